"""Snapshots and differences: of anything with anything."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from optimkit import diff, snapshot
from optimkit._errors import CheckpointError


def trained(steps=1, named=True, **options):
    """Return a model and AdamW after some steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    params = model.named_parameters() if named else model.parameters()
    optimizer = torch.optim.AdamW(params, **options)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model, optimizer):
    """Step with gradients of 1."""
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()


FORMS = {
    "live": lambda o, folder: o,
    "state dict": lambda o, folder: copy.deepcopy(o.state_dict()),
    "in a mapping": lambda o, folder: {"epoch": 3, "opt": copy.deepcopy(o.state_dict())},
    "norms": lambda o, folder: snapshot(o),
    "copies": lambda o, folder: snapshot(o, "copy"),
    "shapes": lambda o, folder: snapshot(o, "none"),
    "path": lambda o, folder: saved(o, folder),
}


def saved(optimizer, folder):
    """Save to a new file, and return its path."""
    path = folder / f"{len(list(folder.iterdir()))}.pt"
    torch.save({"optimizer": optimizer.state_dict()}, path)
    return path


@pytest.mark.parametrize("other", FORMS)
@pytest.mark.parametrize("one", FORMS)
def test_any_pairing(one, other, tmp_path):
    """An optimizer equals itself in every form, and a step later it does not."""
    model, optimizer = trained()
    before = FORMS[one](optimizer, tmp_path)
    assert not diff(before, FORMS[other](optimizer, tmp_path))
    if one == "live":
        return
    step(model, optimizer)
    after = diff(before, FORMS[other](optimizer, tmp_path))
    if "shapes" in (one, other):
        assert not after
        return
    assert {(row.name, row.key, row.kind) for row in after.rows} == {
        (name, key, "changed")
        for name, _ in model.named_parameters()
        for key in ("step", "exp_avg", "exp_avg_sq")
    }
    json.dumps(after.to_dict(), allow_nan=False)


def test_a_snapshot_stands_still():
    """A snapshot stays as it is when the optimizer steps; a state dict does not."""
    model, optimizer = trained()
    state_dict, kept = optimizer.state_dict(), snapshot(optimizer, "copy")
    before = kept.states[0]["exp_avg"].value.clone()
    step(model, optimizer)
    assert not torch.equal(state_dict["state"][0]["exp_avg"], before)
    assert torch.equal(kept.states[0]["exp_avg"].value, before)
    assert (kept.rows[0].name, kept.rows[0].key, kept.rows[0].shape) == ("0.weight", "step", ())
    json.dumps(kept.to_dict(), allow_nan=False)
    assert str(kept) == ("Snapshot of AdamW: 1 group, 4 parameters, 12 pieces of state (copy)")


@pytest.mark.since("decoupled_weight_decay")
def test_options_are_apart_from_state():
    """Options come first and by themselves; the class is one."""
    model, optimizer = trained(lr=0.1, weight_decay=0.01)
    other = torch.optim.Adam(model.named_parameters(), lr=0.2, weight_decay=0.01)
    found = diff(optimizer, other)
    assert [row[:5] for row in found.options] == [
        ("optimizer", "class", "changed", "AdamW", "Adam"),
        ("group 0", "lr", "changed", 0.1, 0.2),
        ("group 0", "decoupled_weight_decay", "changed", True, False),
    ]
    assert {row.kind for row in found.state} == {"removed"}
    assert found.rows == found.options + found.state


def test_the_largest_change_comes_first():
    """What was added or removed comes first, then the largest relative change."""
    model, optimizer = trained()
    before = snapshot(optimizer, "copy")
    optimizer.state[model[0].weight]["exp_avg"] *= 1.5
    optimizer.state[model[1].weight]["exp_avg"] *= -9
    optimizer.state[model[1].bias]["extra"] = torch.ones(2)
    rows = diff(before, optimizer).state
    assert [(row.name, row.key, row.change) for row in rows] == [
        ("1.bias", "extra", None),
        ("1.weight", "exp_avg", pytest.approx(10)),
        ("0.weight", "exp_avg", pytest.approx(0.5)),
    ]


def test_a_sign_is_seen_in_copies_and_not_in_norms():
    """With the same norm, only copies tell a difference."""
    model, optimizer = trained()
    norms, copies = snapshot(optimizer), snapshot(optimizer, "copy")
    optimizer.state[model[0].weight]["exp_avg"].neg_()
    assert not diff(norms, optimizer)
    [row] = diff(copies, optimizer).rows
    assert row.before == row.after
    assert row.change == pytest.approx(2)


class Factors:
    """What a class may keep in its state: an object that compares by what it is, not by its values."""

    def __init__(self):
        self.values = [torch.ones(2)]


@pytest.mark.parametrize("values", ["norm", "copy"])
def test_an_object_and_its_copy_differ_in_nothing(values):
    """A snapshot has a copy of it: that is no difference, what has changed in it since is."""
    model, optimizer = trained()
    optimizer.state[model[0].weight]["factors"] = held = Factors()
    before = snapshot(optimizer, values)
    assert not diff(before, optimizer)
    held.values[0].add_(1)
    assert [row[:3] for row in diff(before, optimizer).rows] == [("0.weight", "factors", "changed")]


def test_matched_by_name():
    """Parameters in another order are the same; one that is gone is told with its state."""
    model, optimizer = trained()
    state_dict = copy.deepcopy(optimizer.state_dict())
    again = torch.optim.AdamW(list(model.named_parameters())[::-1])
    for param in model.parameters():
        again.state[param] = optimizer.state[param]
    assert not diff(state_dict, again)
    less = torch.optim.AdamW(list(model.named_parameters())[:3])
    found = diff(again, less)
    assert ("1.bias", "group", "removed", "group 0", None) in [row[:5] for row in found.options]


def test_matched_by_position():
    """Where a side has no names, position counts."""
    _, named = trained()
    _, plain = trained(named=False)
    assert not diff(named, plain)
    assert not diff(plain.state_dict(), named)


def test_moved_to_another_group():
    """A parameter that changes its group, and groups that come and go, are told."""
    model, _ = trained()
    named = list(model.named_parameters())
    one = torch.optim.SGD(
        [{"params": named[:2], "name": "a"}, {"params": named[2:], "name": "b"}], lr=0.1
    )
    two = torch.optim.SGD(
        [{"params": named[:1], "name": "a"}, {"params": named[1:], "name": "b"}], lr=0.1
    )
    three = torch.optim.SGD([{"params": named, "name": "a"}], lr=0.1)
    assert [row[:5] for row in diff(one, two).rows] == [("0.bias", "group", "changed", "a", "b")]
    assert ("b", "group", "removed", "2 parameters", None) in [
        row[:5] for row in diff(one, three).rows
    ]


def test_shape_and_type():
    """Another shape, or another type, is told as such."""
    model, optimizer = trained()
    before = snapshot(optimizer, "copy")
    state = optimizer.state[model[0].weight]
    state["exp_avg"] = torch.ones(7)
    state["exp_avg_sq"] = state["exp_avg_sq"].bfloat16()
    assert [row[:5] for row in diff(before, optimizer).rows] == [
        ("0.weight", "exp_avg", "changed", "(4, 3) float32", "(7,) float32"),
        ("0.weight", "exp_avg_sq", "changed", "(4, 3) float32", "(4, 3) bfloat16"),
    ]


def test_not_a_number():
    """NaN equals NaN, and a change to it is infinite."""
    model, optimizer = trained()
    optimizer.state[model[0].weight]["exp_avg"].fill_(math.nan)
    before = snapshot(optimizer, "copy")
    assert not diff(before, optimizer)
    optimizer.state[model[0].bias]["exp_avg"].fill_(math.nan)
    assert diff(before, optimizer).rows[0].change == math.inf


def test_files_are_compared_in_everything(tmp_path):
    """Of two files, models, schedulers and plain values are compared too."""
    model, optimizer = trained()
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save({**content, "note": "a", "only": None, "loss": None}, tmp_path / "a.pt")
    with torch.no_grad():
        model[0].weight.mul_(2)
    torch.save({**content, "epoch": 4, "note": "a", "loss": "mse"}, tmp_path / "b.pt")
    found = diff(tmp_path / "a.pt", str(tmp_path / "b.pt"))
    assert [(row.name, row.key, row.kind) for row in found.rows] == [
        ("only", "value", "removed"),
        ("loss", "value", "changed"),
        ("model.0.weight", "value", "changed"),
        ("epoch", "value", "changed"),
    ]
    assert found.rows[1][3:] == ("None", "mse", None)
    assert found.rows[2].change == pytest.approx(1)
    assert not diff(tmp_path / "a.pt", tmp_path / "a.pt")


def test_an_optimizer_that_one_file_lacks(tmp_path):
    """An optimizer that only one of two files holds is a difference."""
    _, optimizer = trained()
    torch.save({"a": optimizer.state_dict(), "b": optimizer.state_dict()}, tmp_path / "both.pt")
    torch.save({"a": optimizer.state_dict()}, tmp_path / "one.pt")
    [row] = diff(tmp_path / "both.pt", tmp_path / "one.pt").rows
    assert row[:5] == ("b", "value", "removed", "1 group", None)
    [row] = diff(tmp_path / "one.pt", tmp_path / "both.pt").rows
    assert row[:5] == ("b", "value", "added", None, "1 group")


def test_a_file_without_an_optimizer(tmp_path):
    """Against an optimizer, a file must have one."""
    torch.save({"a": 1}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="holds no optimizer"):
        diff(tmp_path / "a.pt", trained()[1])


def test_lists_in_state():
    """What LBFGS keeps in lists is compared too."""
    param = nn.Parameter(torch.tensor([3.0, -4.0]))
    optimizer = torch.optim.LBFGS([param], max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = (param**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    copies, norms = snapshot(optimizer, "copy"), snapshot(optimizer)
    assert not diff(copies, optimizer)
    optimizer.step(closure)
    assert "old_dirs" in {row.key for row in diff(copies, optimizer).rows}
    assert "d" in {row.key for row in diff(norms, optimizer).rows}


def test_golden_text(golden):
    """Options and state are two tables."""
    model, optimizer = trained(lr=0.1)
    before = snapshot(optimizer, "copy")
    step(model, optimizer)
    optimizer.param_groups[0]["lr"] = 0.05
    found = diff(before, optimizer)
    golden("diff.txt", str(found))
    golden("diff.html", found._repr_html_())
    assert str(diff(before, before)) == "No difference."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: snapshot(o.state_dict()), "snapshot takes a torch.optim.Optimizer, not dict"),
        (
            lambda o: diff(o, 3),
            "optimizer must be a torch.optim.Optimizer, its state dict, or the path of a "
            "checkpoint, not int",
        ),
    ],
)
def test_wrong_types(call, message):
    """What is no optimizer is refused by its type."""
    with pytest.raises(TypeError) as caught:
        call(trained()[1])
    assert str(caught.value) == message


def test_wrong_values():
    """An unknown kind of snapshot is refused, with the kinds there are."""
    with pytest.raises(ValueError, match=r"^values must be one of norm, copy, none, not 'all'$"):
        snapshot(trained()[1], "all")


def test_what_changed_alike_is_one_line():
    """A count of steps is one line of text; the rows have each."""
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    optimizer = torch.optim.Adagrad(model.named_parameters())
    step(model, optimizer)
    before = snapshot(optimizer)
    for state in optimizer.state.values():
        state["step"] += 4
    found = diff(before, optimizer)
    assert [row.name for row in found.rows] == [name for name, _ in model.named_parameters()]
    assert str(found) == (
        "State\n"
        "name                 key   kind     before  after  change\n"
        "-------------------  ----  -------  ------  -----  ------\n"
        "0.weight and 5 more  step  changed       1      5       4"
    )
