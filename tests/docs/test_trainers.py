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
