"""Every symptom on the site is there, is named by the audit where it can be, and is gone when mended.

Each section of docs/symptoms but those of the index has two pairs of blocks: code that shows the symptom
and what it prints, then the code mended and what that prints. A line of names says what the audit finds.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings

import pytest
import torch
from sections import BLOCK, ROOT, Section, sections

import optimkit

FOLDER = ROOT / "docs" / "symptoms"
NAMES = re.compile(r"^\[?`[^`\n]+`(?:\]\(\S+\))?(?: · \S+)*$", re.MULTILINE)


class Symptom(Section):
    """The symptom, and the mended code."""

    @property
    def codes(self) -> set[str]:
        """The codes of the audit that it names."""
        line = NAMES.search(BLOCK.sub("", self.body))
        return set(re.findall(r"`([a-z-]+)`", line[0])) if line else set()


SYMPTOMS = sections(FOLDER, Symptom)


def run(code: str) -> tuple[str, dict]:
    """Run a block behind the beginning of the index; return what it prints, and its names."""
    beginning = BLOCK.search((FOLDER / "index.md").read_text("utf-8"))[2]
    space: dict = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        exec(beginning + code, space)
    return printed.getvalue(), space


def found(space: dict) -> set[str]:
    """Return what the audit says of the optimizers, the model, the schedulers and the loss of a block."""
    others = {"schedulers": space.get("scheduler", ()), "loss": space.get("loss")}
    return set(optimkit.audit(space["optimizer"], space["model"], **others).codes)


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.place)
def test_a_symptom_shows_is_named_and_is_mended(symptom, request):
    """What the page says is printed, the audit finds it, and neither is left in the mended code."""
    if "`torch>2.6`" in symptom.body and torch.__version__.startswith("2.6."):
        pytest.skip("another torch shows it")
    bad, shown, good, mended = symptom.blocks("python", "text", "python", "text")
    said, before = run(bad)
    if symptom.codes:
        assert symptom.codes <= found(before)
    better, after = run(good)
    if symptom.codes:
        assert not symptom.codes & found(after)
    if request.config.getoption("--update-golden"):
        symptom.rewrite((bad, shown, said), (good, mended, better))
    else:
        assert (said, better) == (shown, mended)
    assert said != better


def test_there_are_forty_and_each_title_is_its_own():
    """Enough symptoms that most readers find theirs, each once, in both languages."""
    titles = [symptom.title for symptom in SYMPTOMS]
    assert len(set(titles)) == len(titles) >= 40
