"""Every recipe on the site is short, runs on its own without a warning, and prints what its page says.

A section of docs/recipes, but for the index and the sheet, is a block of code and the block of text that it
prints. The code has parts with an empty line between them: what it needs, the recipe itself, what shows it.
The sheet has the part before the last.
"""

import contextlib
import io
import re
import signal
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((\S+?\.md)(?:#[^)\s]*)?\)|(?:utorial |教程 ?)(\d\d)")


@dataclass(frozen=True)
class Recipe:
    """A section of a page."""

    page: Path
    title: str
    body: str

    @property
    def place(self) -> str:
        """The file and the line of its title, and the title."""
        lines = self.page.read_text("utf-8").splitlines()
        line = 1 + lines.index(f"## {self.title}")
        return f"{self.page.relative_to(ROOT)}:{line}: {title(self)}"

    @property
    def blocks(self) -> list[str]:
        """What is run, and what it prints."""
        kinds, blocks = zip(*BLOCK.findall(self.body), strict=True)
        assert kinds == ("python", "text")
        return list(blocks)


def recipes() -> list[Recipe]:
    """Read the sections of all pages."""
    return [
        Recipe(page, *section.split("\n", 1))
        for page in sorted(RECIPES.glob("*.md"))
        if page.stem not in ("index", "sheet")
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    ]


def title(recipe: Recipe) -> str:
    """Return the English half of its title."""
    return recipe.title.split(" | ")[0]


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.place)
def test_a_recipe_prints_what_its_page_says(recipe, request, tmp_path, monkeypatch):
    """It needs nothing but its own lines, whatever the random numbers are, and nothing warns."""
    if "`torch>2.6`" in recipe.body and torch.__version__.startswith("2.6."):
        pytest.skip("another torch has it")
    monkeypatch.chdir(tmp_path)
    code, shown = recipe.blocks
    torch.seed()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, recipe.place, "exec"), {"__name__": "__main__"})
    if request.config.getoption("--update-golden"):
        body = recipe.body.replace(f"```text\n{shown}", f"```text\n{printed.getvalue()}")
        text = recipe.page.read_text("utf-8")
        recipe.page.write_text(text.replace(recipe.body, body), "utf-8")
    else:
        assert printed.getvalue() == shown


@pytest.mark.parametrize("recipe", recipes(), ids=title)
def test_a_recipe_is_short(recipe):
    """Twelve lines, none wider than the page; the lines of the sheet are narrow enough for a column."""
    code, _ = recipe.blocks
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80
    *needs, own, shows = code.replace("\n\n\n", "\n").split("\n\n")
    assert needs
    assert max(map(len, own.splitlines())) <= 72
    assert "print(" in shows


@pytest.mark.parametrize("recipe", recipes(), ids=title)
def test_a_recipe_leads_on(recipe):
    """It names a tutorial, and both languages lead to the same pages."""
    english, chinese = [], []
    for paragraph in BLOCK.sub("", recipe.body).split("\n\n"):
        words = re.sub(r"\]\(\S+?\)", "", paragraph)
        half = chinese if re.search("[\u4e00-\u9fff]", words) else english
        half += [page or number for page, number in LINK.findall(paragraph)]
    assert sorted(english) == sorted(chinese)
    assert any(target.isdigit() for target in english)


def test_there_are_thirty_and_each_title_is_its_own():
    """Enough that most wishes have one, each once, in both languages."""
    titles = [recipe.title for recipe in recipes()]
    assert len(set(titles)) == len(titles) >= 30
    assert all(re.search("[\u4e00-\u9fff]", one.split(" | ")[1]) for one in titles)


def test_the_recipe_for_sigterm_saves_and_ends(tmp_path):
    """When the signal comes, the checkpoint is written at the next safe point, and the process ends by it."""
    (code,) = [one.blocks[0] for one in recipes() if "SIGTERM" in one.title]
    stopped = code.replace("optimizer.step()", "optimizer.step(), signal.raise_signal(15)")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import signal\n{stopped}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGTERM
    assert len(list(Path(tmp_path, "runs").glob("*.pt"))) == 1
