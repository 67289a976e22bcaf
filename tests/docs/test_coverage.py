"""Every snippet and claim of the original note is answered under a heading of a tutorial."""

import re

import pytest

pytest.importorskip("imageio_ffmpeg", reason="the docs group is not installed")

from bilingual.languages import CHINESE, ENGLISH, HAN, detect
from gallery.coverage import VERDICTS, answers, items
from gallery.scripts import tutorials

ITEMS = {item["id"]: item for item in items()}


def test_the_whole_note_is_listed():
    """The list has the note's 20 snippets and 56 claims, in their order."""
    assert list(ITEMS) == [*(f"S{n}" for n in range(1, 21)), *(f"C{n}" for n in range(1, 57))]


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_item_is_answered(item):
    """An item has a heading that answers it, or a page of the site."""
    assert item.get("page") or answers(tutorials()).get(item["id"])


def test_no_marker_is_unknown():
    """No tutorial is marked with an item that the note has not."""
    assert set(answers(tutorials())) <= set(ITEMS)


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_item_is_in_both_languages(item):
    """An item says what it is, and what holds, in English and in Chinese, and how far it is right."""
    for english, chinese in (item.get("about") or item["says"], item["found"]):
        assert detect(re.sub("`.*?`", "", english)) is not CHINESE
        assert HAN.search(chinese)
        assert detect(re.sub("`.*?`", "", chinese)) is not ENGLISH
    verdicts = set(VERDICTS) - {None} if item["id"].startswith("C") else {None}
    assert item.get("verdict") in verdicts


def test_headings_of_markers(tmp_path):
    """A marker is under the last heading before it, and under the title before the first."""
    script = tmp_path / "plot_01_a.py"
    script.write_text(
        '"""\nTitle | 题\n==========\n\nLead.\n\n导语。\n\n- Level: beginner. Time: 5 minutes. '
        'Needs: nothing.\n\n- 难度：入门。用时：5 分钟。预备：无。\n"""\n'
        '# sphinx_gallery_covers = "S1"\n\n# %%\n# First part | 第一节\n# ----------------\n'
        '# Words.\n\n# sphinx_gallery_covers = "C2 C3"\n',
        "utf-8",
    )
    found = answers(tutorials(tmp_path))
    assert [(one, heading) for one, ((_, heading),) in found.items()] == [
        ("S1", "Title | 题"),
        ("C2", "First part | 第一节"),
        ("C3", "First part | 第一节"),
    ]
