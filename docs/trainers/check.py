"""Run a recipe, read what it saved, resume from it, and write the row of ``docs/trainers.csv``."""

from __future__ import annotations

import csv
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import example
import optimkit

RECORD = Path(__file__).parents[1] / "trainers.csv"
TRAINER = "trainer | 框架"
WORDS = {True: "yes | 是", False: "no | 否"}
ORDERLY = "without shuffling and dropout | 不打乱、无 dropout 时"


@dataclass
class Run:
    """What a recipe leaves behind, as the trainer hands it out."""

    model: nn.Module
    optimizer: Any
    schedulers: Sequence[Any]
    checkpoint: Path
    """What the trainer resumes from."""
    file: Path
    """The file in it that holds the optimizer."""
    key: tuple[Any, ...] = ()
    """Where in the file."""


Recipe = Callable[[Path, int, "Path | None"], Run]
"""Train a new model in a folder, for so many steps in all, from the start or from a checkpoint."""


def saved_by(run: Run) -> dict[str, Any]:
    """Return the state dict of the optimizer as torch reads it."""
    found = torch.load(run.file, weights_only=False)  # we wrote it a moment ago
    for part in run.key:
        found = found[part]
    return found


def names_in(run: Run) -> bool:
    """Whether the groups of the file hold the names of all parameters."""
    groups = saved_by(run)["param_groups"]
    found = {name for group in groups for name in group.get("param_names", ())}
    return found == set(trained(run.model))


def loads_by_name(run: Run) -> bool:
    """Whether each state finds its parameter in an optimizer with one group, in another order."""
    fresh = torch.optim.AdamW(list(trained(run.model).items())[::-1])
    optimkit.load_optimizer(fresh, saved_by(run), options="current")
    return all(
        torch.equal(fresh.state[parameter]["exp_avg"], run.optimizer.state[parameter]["exp_avg"])
        for parameter in trained(run.model).values()
    )


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are trained, by name."""
    found = model.named_parameters()
    return {name: parameter for name, parameter in found if parameter.requires_grad}


def check(
    package: str,
    recipe: Recipe,
    names_in: Callable[[Run], bool] = names_in,
    loads_by_name: Callable[[Run], bool] = loads_by_name,
) -> Run:
    """Train five steps by `recipe`, look at them, resume; write the row of `package`.

    Returns what stood after the five steps.
    """
    folder = Path(tempfile.mkdtemp())
    half = start(recipe, folder / "half", 5)
    found = optimkit.audit(half.optimizer, half.model, schedulers=half.schedulers)
    print(found)
    severities = [row.severity for row in found.rows]
    row = {
        TRAINER: f"``{package} {version(package)}``",
        "``torch``": f"``{version('torch')}``",
        "``show`` reads it | ``show`` 能读": WORDS[shows(half.file)],
        "names in the file | 文件里有名字": WORDS[names_in(half)],
        "found by name | 按名字找得到": WORDS[loads_by_name(half)],
        "``audit``: errors, warnings, notes | ``audit``：错误、警告、提示": ", ".join(
            str(severities.count(severity)) for severity in ("error", "warning", "note")
        ),
    }
    row["resumes to the bit | 恢复后逐位一致"] = resumes(recipe, folder)
    row["run | 运行日期"] = f"{datetime.date.today()}"
    write(row)
    return half


def start(recipe: Recipe, folder: Path, steps: int, checkpoint: Path | None = None) -> Run:
    """Train as a new process would: the same seed, and nothing left of the last run."""
    folder.mkdir()
    torch.manual_seed(0)
    return recipe(folder, steps, checkpoint)


def resumes(recipe: Recipe, folder: Path) -> str:
    """Say when ten steps in two halves end as ten steps in one go do."""
    for example.chance, answer in ((True, WORDS[True]), (False, ORDERLY)):
        whole = start(recipe, folder / f"whole-{example.chance}", 10)
        half = start(recipe, folder / f"half-{example.chance}", 5)
        rest = start(recipe, folder / f"rest-{example.chance}", 10, half.checkpoint)
        assert steps_of(rest) == steps_of(whole) == {10}
        if equal(rest.model, whole.model):
            return answer
    return WORDS[False]


def shows(file: Path) -> bool:
    """Whether ``optimkit show`` lists the optimizer of a file."""
    command = [sys.executable, "-m", "optimkit", "show", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done.returncode == 0 and "of state\n" in done.stdout


def steps_of(run: Run) -> set[int]:
    """Return how many steps the parameters have taken."""
    return {int(state["step"]) for state in run.optimizer.state.values()}


def equal(a: nn.Module, b: nn.Module) -> bool:
    """Whether two models have the same parameters, bit for bit."""
    return all(map(torch.equal, a.parameters(), b.parameters()))


def write(row: dict[str, str]) -> None:
    """Put `row` into the record, in the place of the last one for the same package."""
    text = RECORD.read_text("utf-8") if RECORD.exists() else ""
    rows = list(csv.DictReader(text.splitlines()))
    package = row[TRAINER].split()[0]
    rows = [other for other in rows if other[TRAINER].split()[0] != package]
    rows = sorted([*rows, row], key=lambda each: each[TRAINER])
    with RECORD.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(row)
