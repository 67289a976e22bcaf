"""What differs between versions of torch is in one table, and so on the torch that runs."""

import gc
import inspect
import io
import re
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler

ROOT = Path(__file__).parents[1]
CHANGES = tomllib.loads((ROOT / "docs" / "versions.toml").read_text("utf-8"))
LATER = re.compile(r"since torch (\d+\.\d+)|torch (\d+\.\d+) 起")


def optimizer(kind=optim.SGD):
    """Return an optimizer of one parameter with a gradient."""
    param = nn.Parameter(torch.ones(2))
    param.grad = torch.ones(2)
    return kind([param], lr=0.1)


def options(kind):
    """Return the names of the options of a class."""
    return set(optimizer(kind).defaults)


def stepped(kind):
    """Return what a class keeps for a parameter after a step."""
    found = optimizer(kind)
    found.step()
    return found.state[found.param_groups[0]["params"][0]]


def arguments(function):
    """Return the arguments of a function, by name."""
    return inspect.signature(function).parameters


def saved(value):
    """Return the bytes of what torch.save makes of a value."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def fails(work):
    """Whether something raises."""
    try:
        work()
    except Exception:
        return True
    return False


def warned(work):
    """Whether something warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return bool(caught)


def step_a_sequence():
    """Step from one scheduler to the next."""
    sgd = optimizer()
    parts = [lr_scheduler.StepLR(sgd, 9), lr_scheduler.StepLR(sgd, 9)]
    sequence = lr_scheduler.SequentialLR(sgd, parts, [1])
    sgd.step()
    sequence.step()


def late_group():
    """Step a LambdaLR after a group was added."""
    sgd = optimizer()
    scheduler = lr_scheduler.LambdaLR(sgd, lambda epoch: 1.0)
    sgd.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    sgd.step()
    scheduler.step()


def save_lets_memory_go():
    """Whether what torch.save has written is freed before garbage is collected."""
    room = bytearray(4)
    gc.disable()
    before = sys.getrefcount(room)
    torch.save(torch.frombuffer(room, dtype=torch.float32), io.BytesIO())
    held = sys.getrefcount(room) > before
    gc.enable()
    return not held


def plateau_keeps_a_tensor():
    """Whether ReduceLROnPlateau writes into an lr that is a tensor, in place of putting a number there."""
    sgd = optim.SGD([nn.Parameter(torch.ones(1))], lr=torch.tensor(0.1))
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd, patience=0)
    for _ in range(2):
        scheduler.step(1.0)
    return isinstance(sgd.param_groups[0]["lr"], torch.Tensor)


def numbers(version):
    """Return a version in numbers: 2.13 comes after 2.9."""
    return tuple(map(int, version.split(".")[:2]))


def is_as_expected(change):
    """Whether a change is there, or is not, as its versions say; true between the two."""
    now, is_so = numbers(torch.__version__), bool(eval(change["is_so"], globals()))
    if now >= numbers(change["since"]):
        return is_so
    return not is_so or ("not_in" in change and now > numbers(change["not_in"]))


def test_the_table_is_so():
    """Each change is there from its version on, and not before."""
    assert [name for name, change in CHANGES.items() if not is_as_expected(change)] == []


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("docs/*.md"), ROOT / "docs" / "glossary.toml", *ROOT.glob("examples/plot_*.py")],
    ids=lambda path: path.name,
)
def test_pages_name_versions_of_the_table(path):
    """Where a page says since which torch something is so, the table has a change of that torch."""
    known = {change["since"] for change in CHANGES.values()}
    assert {one or other for one, other in LATER.findall(path.read_text("utf-8"))} <= known


def test_tutorial_23_says_the_same():
    """The versions that the tutorial and its figure give are those of the table."""
    (script,) = ROOT.glob("examples/plot_23_*.py")
    said = re.findall(r'"(\w+)": "(\d\.\d+)"', script.read_text("utf-8"))
    assert len(dict(said)) >= 12
    assert set(said) <= {(name, change["since"]) for name, change in CHANGES.items()}
