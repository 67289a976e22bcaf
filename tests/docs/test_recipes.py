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
from pathlib import Path

import pytest
import torch
from sections import BLOCK, ROOT, Section, sections
from torch import nn
from torch.utils.data import DataLoader, Dataset

import optimkit

LINK = re.compile(r"\]\((\S+?\.md)(?:#[^)\s]*)?\)|(?:utorial |教程 ?)(\d\d)")


RECIPES = sections(ROOT / "docs" / "recipes", Section, but=("index", "sheet"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.place)
def test_a_recipe_prints_what_its_page_says(recipe, request, tmp_path, monkeypatch):
    """It needs nothing but its own lines, whatever the random numbers are, and nothing warns."""
    if "`torch>2.6`" in recipe.body and torch.__version__.startswith("2.6."):
        pytest.skip("another torch has it")
    monkeypatch.chdir(tmp_path)
    code, shown = recipe.blocks("python", "text")
    torch.seed()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, recipe.place, "exec"), {"__name__": "__main__"})
    if request.config.getoption("--update-golden"):
        recipe.rewrite((code, shown, printed.getvalue()))
    else:
        assert printed.getvalue() == shown


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.english)
def test_a_recipe_is_short(recipe):
    """Twelve lines, none wider than the page; the lines of the sheet are narrow enough for a column."""
    code, _ = recipe.blocks("python", "text")
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80
    *needs, own, shows = code.replace("\n\n\n", "\n").split("\n\n")
    assert needs
    assert max(map(len, own.splitlines())) <= 72
    assert "print(" in shows


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.english)
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
    titles = [recipe.title for recipe in RECIPES]
    assert len(set(titles)) == len(titles) >= 30
    assert all(re.search("[\u4e00-\u9fff]", one.split(" | ")[1]) for one in titles)


def test_the_recipe_for_sigterm_saves_and_ends(tmp_path):
    """When the signal comes, the checkpoint is written at the next safe point, and the process ends by it."""
    [code] = [one.blocks("python", "text")[0] for one in RECIPES if "SIGTERM" in one.title]
    stopped = code.replace("optimizer.step()", "optimizer.step(), signal.raise_signal(15)")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import signal\n{stopped}"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGTERM
    assert len(list(Path(tmp_path, "runs").glob("*.pt"))) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_the_recipe_for_the_middle_of_an_epoch_goes_on_exactly(workers, tmp_path, monkeypatch):
    """The same batches come, with what their data set and dropout draw, as if the run had not been stopped."""
    monkeypatch.chdir(tmp_path)
    [code] = [
        one.blocks("python", "text")[0] for one in RECIPES if "middle of an epoch" in one.title
    ]
    resumed = re.search(r"saved = .*(?=\n\n)", code, re.DOTALL)[0].replace(
        "range(8), 2,", f"Noisy(), 2, num_workers={workers},"
    )
    torch.manual_seed(0)
    names = {**vars(optimkit), "torch": torch, "DataLoader": DataLoader, "Noisy": _Noisy}
    optimkit.save("last.pt", epoch=3, done=0, rng=optimkit.get_rng_state())
    exec(resumed, names)
    batches = []
    for done, batch in enumerate(names["left"], 1):
        batches.append(nn.functional.dropout(batch).tolist())
        if done == 2:
            optimkit.save("last.pt", epoch=3, done=done, rng=optimkit.get_rng_state())
    torch.seed()
    exec(resumed, names)
    assert [nn.functional.dropout(batch).tolist() for batch in names["left"]] == batches[2:]


class _Noisy(Dataset[torch.Tensor]):
    """What it gives is augmented at random."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, at: int) -> torch.Tensor:
        return at + torch.rand(3)
