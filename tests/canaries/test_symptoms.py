"""Every symptom on the site is there, is named by the audit where it can be, and is gone when mended.

Each section of docs/symptoms but those of the index has two pairs of blocks: code that shows the symptom
and what it prints, then the code mended and what that prints. A line of names says what the audit finds.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import optimkit

ROOT = Path(__file__).parents[2]
SYMPTOMS = ROOT / "docs" / "symptoms"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"^\[?`[^`\n]+`(?:\]\(\S+\))?(?: · \S+)*$", re.MULTILINE)


@dataclass(frozen=True)
class Symptom:
    """A section of a page: the symptom, and the mended code."""

    page: Path
    title: str
    body: str

    @property
    def place(self) -> str:
        """The file and the line of its title, and the title."""
        lines = self.page.read_text("utf-8").splitlines()
        line = 1 + lines.index(f"## {self.title}")
        return f"{self.page.relative_to(ROOT)}:{line}: {self.title.partition(' | ')[0]}"

    @property
    def blocks(self) -> list[str]:
        """What is run and what it prints, of the symptom and then of the remedy."""
        kinds, blocks = zip(*BLOCK.findall(self.body), strict=True)
        assert kinds == ("python", "text", "python", "text")
        return list(blocks)

    @property
    def codes(self) -> set[str]:
        """The codes of the audit that it names."""
        line = NAMES.search(BLOCK.sub("", self.body))
        return set(re.findall(r"`([a-z-]+)`", line[0])) if line else set()


def symptoms() -> list[Symptom]:
    """Read the sections of all pages."""
    return [
        Symptom(page, *section.split("\n", 1))
        for page in sorted(SYMPTOMS.glob("*.md"))
        if page.stem != "index"
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    ]


def run(code: str) -> tuple[str, dict]:
    """Run a block behind the beginning of the index; return what it prints, and its names."""
    beginning = BLOCK.search((SYMPTOMS / "index.md").read_text("utf-8"))[2]
    space: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        exec(beginning + code, space)
    return printed.getvalue(), space


def found(space: dict) -> set[str]:
    """Return what the audit says of the optimizers, the model, the schedulers and the loss of a block."""
    others = {"schedulers": space.get("scheduler", ()), "loss": space.get("loss")}
    return set(optimkit.audit(space["optimizer"], space["model"], **others).codes)


@pytest.mark.parametrize("symptom", symptoms(), ids=lambda symptom: symptom.place)
def test_a_symptom_shows_is_named_and_is_mended(symptom, request):
    """What the page says is printed, the audit finds it, and neither is left in the mended code."""
    if "`torch>2.6`" in symptom.body and torch.__version__.startswith("2.6."):
        pytest.skip("another torch shows it")
    bad, shown, good, mended = symptom.blocks
    said, before = run(bad)
    if symptom.codes:
        assert symptom.codes <= found(before)
    better, after = run(good)
    if symptom.codes:
        assert not symptom.codes & found(after)
    if request.config.getoption("--update-golden"):
        body = symptom.body.replace(f"{bad}```\n\n```text\n{shown}", f"{bad}```\n\n```text\n{said}")
        body = body.replace(f"{good}```\n\n```text\n{mended}", f"{good}```\n\n```text\n{better}")
        text = symptom.page.read_text("utf-8")
        symptom.page.write_text(text.replace(symptom.body, body), "utf-8")
    else:
        assert (said, better) == (shown, mended)
    assert said != better


def test_there_are_forty_and_each_title_is_its_own():
    """Enough symptoms that most readers find theirs, each once, in both languages."""
    titles = [symptom.title for symptom in symptoms()]
    assert len(set(titles)) == len(titles) >= 40
