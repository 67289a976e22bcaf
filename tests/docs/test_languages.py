"""Which language a text is in, and its halves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilingual.languages import CHINESE, ENGLISH, choose, detect, halves, in_order

LATIN = st.text("abcdefghijklmnopqrstuvwxyzABC", min_size=1, max_size=12)
WORDS = st.lists(LATIN, min_size=1, max_size=12).map(" ".join)
CHARACTERS = st.text("梯度清零优化器参数学习率更新", min_size=1, max_size=20)
WORDLESS = st.text("0123456789 .,;:-+=()[]%/×→…—“”", max_size=20)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("使用Adam、AdamW…等", CHINESE),
        ("Adam、AdamW、SGD、RMSprop、Adagrad、Adadelta 等", CHINESE),
        ("用 Adam", CHINESE),
        ("PyTorch 的 optimizer 和 scheduler", CHINESE),
        ("㐀", CHINESE),
        ("The note calls it “优化器”, and means the object that holds the parameters.", ENGLISH),
        ('The Chinese word "优化器" means a thing that optimizes.', ENGLISH),
        ("It stops…", ENGLISH),
        ("don't", ENGLISH),
        ("x", ENGLISH),
        ("3.14 / 2 = 1.57", None),
        ("。", None),
        ("", None),
        ("→ 10⁻³", None),
    ],
)
def test_edge_strings(text, language):
    """A text is Chinese by its punctuation, or by one character to two Latin words."""
    assert detect(text) is language


@given(WORDS, WORDLESS)
def test_no_chinese_character_is_never_chinese(words, rest):
    """Text without a Chinese character is never Chinese, whatever its punctuation."""
    assert detect(words + rest) is ENGLISH
    assert detect(rest) is None


@given(CHARACTERS, WORDLESS)
def test_only_chinese_characters_are_chinese(characters, rest):
    """Text without a Latin word is Chinese as soon as it has one Chinese character."""
    assert detect(rest + characters) is CHINESE


@given(CHARACTERS, st.lists(LATIN, max_size=40))
def test_the_share_decides(characters, words):
    """Without Chinese punctuation, the share of Chinese characters decides, at one half."""
    text = " ".join([characters, *words])
    assert (detect(text) is CHINESE) == (2 * len(characters) >= len(words))


@given(CHARACTERS, st.lists(LATIN, max_size=40), st.sampled_from("，。；：？！、（）《》"))
def test_chinese_punctuation_decides(characters, words, mark):
    """One Chinese punctuation mark beside a Chinese character outweighs any number of words."""
    assert detect(" ".join([characters, *words]) + mark) is CHINESE


@given(WORDS, CHARACTERS, st.sampled_from([" | ", "｜", " ｜ ", "\n| "]))
def test_halves_come_back(english, chinese, bar):
    """What is joined with a bar comes apart into the same two halves, each for its language."""
    text = english + bar + chinese
    assert halves(text) == (english, chinese)
    assert choose(text, ENGLISH) == english
    assert choose(text, CHINESE) == chinese
    assert in_order(english, chinese)
    assert not in_order(chinese, english)


@pytest.mark.parametrize("text", ["p(y | x)", "a|b", "a | b | 丙", "甲|乙", "no bar, 没有", ""])
def test_what_has_no_halves(text):
    """A bar without spaces, without Chinese, or beside another bar separates nothing."""
    assert halves(text) is None
    assert choose(text, ENGLISH) == choose(text, CHINESE) == text
