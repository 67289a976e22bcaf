"""The glossary has a page, and the first use of a term on any other page links to it."""

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
LETTERS = dict(
    zip("ABCDEFGHJKLMNOPQRSTWXYZ", "啊芭擦搭蛾发噶哈击喀垃妈拿哦啪期然撒塌挖昔压匝", strict=True)
)
"""The first character of each letter in GBK, which has its common characters in the order of pinyin."""

MYST = "# Page | 页\n\n"
TERMS = """
["rate"]
zh = "速率"
also = ["速度"]
topic = "one"
tutorial = "05"
means = ["How `fast`.", "有多 `快`。"]

["learning rate"]
zh = "学习速率"
topic = "one"
means = ["How fast it learns.", "学得有多快。"]

["L2 loss"]
zh = "L2 损失"
topic = "one"
means = ["Its square.", "它的平方。"]

["no meaning"]
zh = "无释义"
"""
GLOSSARY = "# Glossary | 术语表\n\n```{glossary-terms} one\n```\n"


@pytest.fixture
def pages(both):
    """Return what builds a page beside a glossary, in both languages."""

    def make(text):
        files = {
            "index.md": f"{MYST}{text}\n\n```{{toctree}}\nglossary\n```\n",
            "glossary.md": GLOSSARY,
            "glossary.toml": TERMS,
        }
        return both(files)

    return make


def links(site, page="index"):
    """Return the words and targets of the links to the glossary."""
    found = [(tag.text(), tag.attributes["href"]) for tag in site.body(page).all("a")]
    return [(words, target) for words, target in found if "#term-" in target]


def test_page_of_terms(pages):
    """A term is listed in both languages, the reader's own first, with its meaning in that one."""
    english, chinese = pages("Words.\n\n文字。")
    assert [tag.text() for tag in english.body("glossary").all("dt")] == [
        "rate 速率",
        "learning rate 学习速率",
        "L2 loss L2 损失",
    ]
    assert [tag.text() for tag in chinese.body("glossary").all("dt")] == [
        "速率 rate",
        "学习速率 learning rate",
        "L2 损失 L2 loss",
    ]
    for site, meaning in (
        (english, "How fast. See tutorial 05."),
        (chinese, "有多 快。见教程 05。"),
    ):
        first, *_ = site.body("glossary").all("dd")
        assert first.text(hidden=False) == meaning
        term, *_ = site.body("glossary").all("dt")
        assert term.attributes["id"] == "term-rate"


def letter(word):
    """Return the letter that a term is under: its own, or that of its pinyin."""
    if word[0].isascii():
        return word[0].upper()
    first = word[0].encode("gbk")
    assert first <= "座".encode("gbk"), f"{word}: GBK has {word[0]} in another order"
    return max(letter for letter, start in LETTERS.items() if start.encode("gbk") <= first)


def test_every_term_is_under_its_letter():
    """The page lists all terms by letter in English, by the letter of their pinyin in Chinese."""
    terms = tomllib.loads((DOCS / "glossary.toml").read_text("utf-8"))
    shown = {en: row["zh"] for en, row in terms.items() if "topic" in row}
    text = (DOCS / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\*\*([A-Z])\*\* (.+)$", text, re.M)
    english = [(key, word) for key, row in rows for word in re.findall("{term}`([^<`]+)`", row)]
    chinese = [
        (key, *re.findall("([^`]+) <(.+)>", word)[0])
        for key, row in rows
        for word in re.findall("{term}`([^`]+<[^`]+)`", row)
    ]
    assert sorted(word for _, word in english) == sorted(shown)
    assert {en: zh for _, zh, en in chinese} == shown
    assert len(chinese) == len(shown)
    for key, word, *_ in [*english, *chinese]:
        assert letter(word) == key, word
    for listed in (english, chinese):
        assert all(one[0] <= other[0] for one, other in pairwise(listed))


def test_first_use_is_linked(pages):
    """The first use of a term links to it in each language, the longest term wins, the second is text."""
    text = "Learning rates, a rate, a rate.\n\n学习速率、速率、速率。"
    english, chinese = pages(text)
    ours = [
        ("Learning rates", "glossary.html#term-learning-rate"),
        ("rate", "glossary.html#term-rate"),
    ]
    theirs = [
        ("学习速率", "glossary.html#term-learning-rate"),
        ("速率", "glossary.html#term-rate"),
    ]
    assert links(english) == ours + theirs
    assert links(chinese) == theirs + ours


def test_a_name_with_a_capital_is_linked(pages):
    """A term is found as it is written, and at the beginning of a sentence."""
    english, chinese = pages("An L2 loss.\n\n一个 L2 损失。")
    assert links(english) == [
        ("L2 loss", "glossary.html#term-l2-loss"),
        ("L2 损失", "glossary.html#term-l2-loss"),
    ]
    assert links(chinese) == [
        ("L2 损失", "glossary.html#term-l2-loss"),
        ("L2 loss", "glossary.html#term-l2-loss"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Of `rate` $rate$ <https://rate.org/rate>\n\n从 `rate`，$rate$，<https://rate.org/rate>。",
        "[A rate](https://a.org)\n\n[速率，](https://a.org)",
        "## A rate | 速率",
        "Second-rate, pirates, separate.\n\n二流。",
    ],
)
def test_not_linked(pages, text):
    """Code, maths, links, headings and parts of longer words stay what they are."""
    for site in pages(text):
        assert links(site) == []


def test_glossary_does_not_link_to_itself(pages):
    """The page of the terms has no link to a term."""
    for site in pages("Words.\n\n文字。"):
        assert links(site, "glossary") == []


def test_unknown_topic(build):
    """A topic without a term is an error with file and line."""
    files = {"index.md": "# P | 页\n\n```{glossary-terms} two\n```\n", "glossary.toml": TERMS}
    (warning,) = build(files).warnings
    assert warning.startswith("index.md:3: ")
    assert "the glossary has no term of the topic 'two'" in warning


def test_names_of_terms_in_the_search_box(pages):
    """The search box learns what a term of the other language, or by another name, is called here."""
    names = [index(site)["names"] for site in pages("Words.\n\n文字。")]
    for own, (rate, learning) in zip(
        names, (("rate", "learning rate"), ("速率", "学习速率")), strict=True
    ):
        assert {own[name] for name in ("rate", "速率", "速度")} == {rate}
        assert {own[name] for name in ("learning rate", "学习速率")} == {learning}


def index(site):
    """Return what the search box of a site looks through."""
    script = Path(site.app.outdir, "_static", "search-index.js").read_text("utf-8")
    return json.loads(script.removeprefix("window.searchIndex=").removesuffix(";"))
