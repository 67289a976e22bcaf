"""The recipes for trainers: short, on the page, and run; nox -s trainers runs them."""

import csv
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = sorted((DOCS / "trainers").glob("with_*.py"))
ROWS = list(csv.DictReader((DOCS / "trainers.csv").read_text("utf-8").splitlines()))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_short_and_on_the_page(path):
    """The page shows each recipe out of its file: 12 lines at most, none wider than the page."""
    code = re.search(r"\n *# recipe\n(.*?)\n *# recipe end\n", path.read_text("utf-8"), re.DOTALL)[
        1
    ]
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 100
    assert f"{{literalinclude}} trainers/{path.name}\n" in (DOCS / "trainers.md").read_text("utf-8")


def test_every_recipe_has_been_run():
    """The record has a row for each, and none of another: `nox -s trainers` writes it."""
    scripts = [re.search(r"check\(\"(.*?)\"", path.read_text("utf-8"))[1] for path in RECIPES]
    assert sorted(row["trainer | 框架"].strip("`").split()[0] for row in ROWS) == sorted(scripts)


def test_healthy_runs_give_no_error_and_no_warning():
    """None of the trainers' own healthy runs is called wrong, and every file is read."""
    audit = "``audit``: errors, warnings, notes | ``audit``：错误、警告、提示"
    alarms = {row["trainer | 框架"]: row[audit] for row in ROWS}
    assert {counts[:4] for counts in alarms.values()} == {"0, 0"}
    assert max(int(counts.split(", ")[2]) for counts in alarms.values()) <= 2
    assert {row["``show`` reads it | ``show`` 能读"] for row in ROWS} == {"yes | 是"}
