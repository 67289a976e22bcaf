"""A row in the table is all that a scheduler needs: shown with a class that is made here."""

import random
import warnings

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim import lr_scheduler as lrs
from torch.optim.lr_scheduler import LRScheduler

import optimkit
from optimkit import GroupError, MismatchError, add_param_group, audit, lr_curve
from optimkit._torch_schedulers import SCHEDULERS, Kept


class Swing(LRScheduler):
    """Lower the lr by a factor for each step of a period, down to a floor, and begin again."""

    def __init__(self, optimizer, period, floors, factor=0.5):
        self.period, self.floors = period, list(floors)
        self.phase = -1
        for group in optimizer.param_groups:
            group["swing"] = factor
        super().__init__(optimizer)

    def get_lr(self):
        self.phase = (self.phase + 1) % self.period if self.last_epoch else 0
        return [
            max(base * group["swing"] ** self.phase, floor)
            for base, floor, group in zip(
                self.base_lrs, self.floors, self.optimizer.param_groups, strict=True
            )
        ]


@pytest.fixture
def row(monkeypatch):
    """Teach the kit the class."""
    kept = Kept(progress=("phase",), lists={"floors": "floor"}, in_groups=("swing",))
    monkeypatch.setitem(SCHEDULERS, Swing, kept)


def build(lrs, floors, period=4, factor=0.5):
    """Make a named optimizer with a group for each lr, and its scheduler."""
    groups = [
        {"params": [(f"w{lr}", nn.Parameter(torch.ones(1)))], "lr": lr, "name": f"{lr}"}
        for lr in lrs
    ]
    optimizer = SGD(groups, lr=0.1)
    return {"optimizer": optimizer, "scheduler": Swing(optimizer, period, floors, factor)}


def run(objects, steps):
    """Step so often, and return the learning rates on the way."""
    found = []
    for _ in range(steps):
        objects["optimizer"].step()
        objects["scheduler"].step()
        found.append([group["lr"] for group in objects["optimizer"].param_groups])
    return found


def test_without_a_row():
    """Without a row it is a class of the user's: what it keeps for each group is not known."""
    parts = build([0.4], [0.1])
    group = {"params": [("w", nn.Parameter(torch.ones(1)))], "lr": 0.2}
    with pytest.raises(GroupError, match="keeps 'floors', a list as long as there are groups"):
        add_param_group(parts["optimizer"], group, parts["scheduler"])
    found = audit(parts["optimizer"], schedulers=parts["scheduler"])
    assert [each.code for each in found] == ["unread-key"]


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize("start", ["beginning", "now"])
def test_a_group_is_added(start):
    """The new group brings its entry, and is where one would be that was there from the start."""
    parts, whole = build([0.4], [0.1]), build([0.4, 0.2], [0.1, 0.04])
    run(parts, 6)
    lr = {"beginning": 0.2, "now": run(whole, 6)[-1][1]}[start]
    group = {"params": [("w", nn.Parameter(torch.ones(1)))], "lr": lr, "floor": 0.04, "swing": 0.5}
    add_param_group(parts["optimizer"], group, parts["scheduler"], start=start)
    assert parts["optimizer"].param_groups[1]["lr"] == whole["optimizer"].param_groups[1]["lr"]
    assert parts["scheduler"].floors == [0.1, 0.04]
    assert run(parts, 6) == [pytest.approx(each) for each in run(whole, 6)]
    assert not audit(parts["optimizer"], schedulers=parts["scheduler"])


@pytest.mark.usefixtures("row")
def test_it_goes_on_as_it_was(tmp_path):
    """Loaded, its lists follow their groups; its progress is no configuration."""
    saved, again = build([0.4, 0.2], [0.1, 0.04]), build([0.2, 0.4], [0.04, 0.1])
    run(saved, 6)
    optimkit.save(tmp_path / "last.pt", durable=False, **saved)
    optimkit.load(tmp_path / "last.pt", **again)
    assert again["scheduler"].phase == 2
    assert run(again, 4) == [each[::-1] for each in run(saved, 4)]


@pytest.mark.usefixtures("row")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"period": 5}, "period: saved 4, current 5"),
        ({"floors": [0.2]}, "floors: saved [0.1], current [0.2]"),
        ({"factor": 0.25}, "swing: saved [0.5], current [0.25]"),
    ],
    ids=["an argument", "a list", "a key in the groups"],
)
@pytest.mark.parametrize("ahead", [0, 7])
def test_its_configuration(tmp_path, changes, told, ahead):
    """Another configuration is refused, or the current schedule is brought to the saved step."""
    arguments = {"lrs": [0.4], "floors": [0.1]}
    saved, again, expected = build(**arguments), *(build(**arguments | changes) for _ in range(2))
    run(saved, 6)
    run(again, ahead)
    run(expected, 6)
    optimkit.save(tmp_path / "last.pt", durable=False, **saved)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(tmp_path / "last.pt", scheduler=again["scheduler"])
    assert f"({told})" in str(caught.value)
    optimkit.load(tmp_path / "last.pt", **again, options="current")
    assert again["scheduler"].phase == expected["scheduler"].phase
    assert run(again, 6) == run(expected, 6)


@pytest.mark.usefixtures("row")
def test_it_is_looked_at():
    """The curve is what comes; a group that was added without it is an error."""
    parts = build([0.4], [0.1])
    run(parts, 3)
    curve = lr_curve(parts["scheduler"], 5)
    assert curve.lrs()[1:] == [lr for (lr,) in run(parts, 5)]
    group = {"params": [("w", nn.Parameter(torch.ones(1)))], "swing": 0.5}
    parts["optimizer"].add_param_group(group)
    found = {each.code: each for each in audit(parts["optimizer"], schedulers=parts["scheduler"])}
    assert "Swing was made for 1 group, SGD has 2" in found["scheduler-groups"].message
    assert "unread-key" not in found


def test_copies_are_not_heard(tmp_path, recwarn):
    """A function that draws and warns in a replay leaves no trace."""

    def loud(step):
        warnings.warn("step by step", stacklevel=1)
        return 0.5 ** (step + 0 * (random.random() + torch.rand(()).item()))

    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = lrs.LambdaLR(optimizer, loud)
    optimkit.save(tmp_path / "last.pt", durable=False, scheduler=scheduler)
    optimizer.step()
    scheduler.step()
    states = random.getstate(), torch.get_rng_state()
    recwarn.clear()
    add_param_group(optimizer, {"params": [nn.Parameter(torch.ones(1))], "lr": 0.2}, scheduler)
    optimkit.load(tmp_path / "last.pt", scheduler=scheduler, options="current")
    assert lr_curve(scheduler, 2).lrs(1) == [0.2, 0.1, 0.05]
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert not recwarn.list


def test_every_class_of_torch_has_a_row():
    """A scheduler that torch has newly got is found here."""
    made = {
        each
        for each in vars(lrs).values()
        if isinstance(each, type) and issubclass(each, LRScheduler)
    }
    assert made - {LRScheduler, lrs._LRScheduler} <= SCHEDULERS.keys()
