"""What plain torch does with groups. When one of these fails, torch has changed: tell the notes."""

from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)


def param():
    """Return a new parameter."""
    return nn.Parameter(torch.ones(1))


def test_duplicates_in_one_group_only_warn():
    """S19: the same parameter twice in a group is a warning, and moves twice as far."""
    twice = param()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = SGD([twice, twice], lr=0.1, foreach=False)
    twice.grad = torch.ones(1)
    optimizer.step()
    assert twice.item() == pytest.approx(0.8)


def test_duplicate_names_are_accepted():
    """S21: two parameters may have the same name."""
    optimizer = SGD([("w", param()), ("w", param())])
    assert optimizer.param_groups[0]["param_names"] == ["w", "w"]


def test_one_parameter_in_two_optimizers():
    """S20: two optimizers may hold the same parameter."""
    shared = param()
    SGD([shared])
    SGD([shared])


def test_unknown_and_negative_options_are_accepted_in_a_group():
    """S29: a misspelt key and a negative lr pass in a group, while the default is checked."""
    optimizer = AdamW([{"params": [param()], "weigth_decay": 0.0, "lr": -1.0}])
    assert optimizer.param_groups[0]["weigth_decay"] == 0.0
    assert optimizer.param_groups[0]["lr"] == -1.0
    with pytest.raises(ValueError, match="Invalid learning rate"):
        AdamW([param()], lr=-1.0)


def test_empty_groups_are_accepted():
    """S29: a group may be empty, such as from a generator that is exhausted."""
    optimizer = SGD([{"params": [param()]}, {"params": iter(())}])
    assert optimizer.param_groups[1]["params"] == []


def test_lr_scale_is_ignored():
    """timm's lr_scale is a key like any other: plain torch steps with the lr alone."""
    scaled = param()
    optimizer = SGD([{"params": [scaled], "lr_scale": 0.0}], lr=0.5)
    scaled.grad = torch.ones(1)
    optimizer.step()
    assert scaled.item() == 0.5


def test_a_tensor_lr_is_shared():
    """S31: a tensor lr is one object for the defaults, all groups, and the caller."""
    lr = torch.tensor(0.1)
    optimizer = SGD([{"params": [param()]}, {"params": [param()]}], lr=lr)
    assert all(group["lr"] is lr for group in optimizer.param_groups)


def test_a_late_group_breaks_lambda_lr():
    """S13: after add_param_group, LambdaLR fails at its next step; it used to skip the group."""
    optimizer = SGD([param()], lr=0.1)
    scheduler = LambdaLR(optimizer, lambda epoch: 0.5)
    optimizer.add_param_group({"params": [param()]})
    optimizer.step()
    with suppress(ValueError):
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1]


def test_a_late_group_breaks_one_cycle_lr():
    """S13: after add_param_group, OneCycleLR misses what it keeps in the group."""
    optimizer = SGD([param()], lr=0.1, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    optimizer.add_param_group({"params": [param()]})
    optimizer.step()
    with pytest.raises(KeyError, match="initial_lr"):
        scheduler.step()


@pytest.mark.parametrize(
    ("schedule", "late", "from_the_start"),
    [
        (lambda o: LinearLR(o, 0.25, total_iters=6), 0.16, 0.1),
        (lambda o: StepLR(o, 2, 0.5), 0.025, 0.0125),
        (lambda o: ReduceLROnPlateau(o, factor=0.5, patience=0), 0.0125, 0.003125),
    ],
    ids=["LinearLR", "StepLR", "ReduceLROnPlateau"],
)
def test_a_late_group_has_an_lr_of_its_own(schedule, late, from_the_start):
    """S13: a group added in the middle does not have the lr of one that was there."""

    def run(when):
        optimizer = SGD([param()], lr=0.1)
        scheduler = schedule(optimizer)
        for step in range(6):
            if step == when:
                optimizer.add_param_group({"params": [param()], "lr": 0.1})
            optimizer.step()
            scheduler.step(*[1.0] * isinstance(scheduler, ReduceLROnPlateau))
        return optimizer.param_groups[-1]["lr"]

    assert run(None) == pytest.approx(from_the_start)
    assert run(3) == pytest.approx(late, rel=0.05)


def test_a_late_group_has_no_base_lr():
    """S13: base_lrs is not extended by add_param_group."""
    optimizer = SGD([param()], lr=0.1)
    scheduler = CosineAnnealingLR(optimizer, 10)
    optimizer.add_param_group({"params": [param()]})
    assert len(scheduler.base_lrs) == 1
    assert "initial_lr" not in optimizer.param_groups[1]


def test_initial_lr_outlives_its_scheduler():
    """S17: a new scheduler starts from the old initial_lr, not from the lr that was set."""
    optimizer = SGD([param()], lr=0.1)
    StepLR(optimizer, 1)
    optimizer.param_groups[0]["lr"] = 0.01
    assert StepLR(optimizer, 1).base_lrs == [0.1]


def test_gradients_of_unmanaged_parameters_pile_up():
    """S28: zero_grad clears what the optimizer has, and a late group steps with what piled up."""
    model = nn.Linear(1, 1)
    optimizer = SGD([model.weight], lr=0.1)
    for _ in range(10):
        model(torch.ones(1, 1)).backward()
        optimizer.zero_grad()
    assert model.bias.grad.item() == 10.0
    before = model.bias.item()
    optimizer.add_param_group({"params": [model.bias]})
    optimizer.step()
    assert model.bias.item() == pytest.approx(before - 1.0)


def test_a_frozen_parameter_keeps_moving():
    """S24: requires_grad_(False) alone leaves the gradient, and the optimizer takes it."""
    frozen = param()
    optimizer = SGD([frozen], lr=0.1, momentum=0.9)
    frozen.grad = torch.ones(1)
    optimizer.step()
    frozen.requires_grad_(False)
    before = frozen.item()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    assert frozen.item() < before


def test_wrappers_leave_their_prefix():
    """DataParallel and torch.compile put their own prefix before every name."""
    model = nn.Linear(1, 1)
    assert next(iter(nn.DataParallel(model).named_parameters()))[0] == "module.weight"
    assert next(iter(torch.compile(model).named_parameters()))[0] == "_orig_mod.weight"
