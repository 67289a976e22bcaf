"""One more group."""

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, StepLR

from optimkit import add_param_group, freeze, param_groups, unfreeze, when


def net():
    """Return a model of two layers."""
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))


def test_without_schedulers_it_is_torch_and_more_careful():
    """Without schedulers the group is added as torch does, and the caller's dict is left alone."""
    model = net()
    optimizer = SGD(model[1].parameters(), lr=0.1)
    group = {"params": list(model[0].parameters()), "lr": 0.01, "name": "backbone"}
    given = dict(group)
    add_param_group(optimizer, group)
    assert group == given
    added = optimizer.param_groups[1]
    assert added["params"] == list(model[0].parameters())
    assert (added["lr"], added["momentum"], added["name"]) == (0.01, 0, "backbone")
    assert "initial_lr" not in added


def test_a_stale_gradient_is_cleared():
    """What piled up while nobody managed the parameters does not make the first step (S28)."""
    model = net()
    optimizer = SGD(model[1].parameters(), lr=0.1)
    for _ in range(10):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert model[0].weight.grad is not None
    before = model[0].weight.detach().clone()
    add_param_group(optimizer, {"params": model[0].parameters()})
    optimizer.step()
    assert torch.equal(model[0].weight, before)


def test_gradual_unfreezing():
    """A frozen layer is thawed, added from param_groups, and trains on the schedule."""
    model = net()
    freeze(model[0])
    optimizer = Adam(param_groups(model, lr=0.1))
    scheduler = ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    unfreeze(model[0])
    [group] = param_groups(nn.ModuleDict({"0": model[0]}), when("0.*", name="first"), lr=0.02)
    add_param_group(optimizer, group, schedulers=scheduler)
    assert [each["lr"] for each in optimizer.param_groups] == [0.05, 0.01]
    assert [each["initial_lr"] for each in optimizer.param_groups] == [0.1, 0.02]
    assert optimizer.param_groups[1]["param_names"] == ["0.weight", "0.bias"]


def test_tensor_lr_is_not_shared():
    """A group that takes the default lr takes a copy of the tensor."""
    lr = torch.tensor(0.1)
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=lr)
    add_param_group(optimizer, {"params": nn.Parameter(torch.ones(1))})
    assert optimizer.param_groups[1]["lr"] == lr
    assert optimizer.param_groups[1]["lr"] is not optimizer.param_groups[0]["lr"]


def test_a_scheduled_optimizer_without_its_schedulers():
    """If there was a schedule and no scheduler is passed, a warning says so."""
    model = net()
    optimizer = SGD(model[1].parameters(), lr=0.1)
    StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="^this optimizer has been scheduled") as caught:
        add_param_group(optimizer, {"params": model[0].parameters(), "lr": 0.5})
    assert caught[0].filename == __file__
    assert optimizer.param_groups[1]["initial_lr"] == 0.5


def test_parameters_that_are_taken(refused):
    """Parameters that the optimizer has, or the group has twice, are listed by name."""
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
    optimizer = SGD(param_groups(model, when("3.*", name="head"), lr=0.1))
    extra = nn.Parameter(torch.ones(1))
    group = {"params": [*model.named_parameters(), ("x", extra), ("y", extra)]}
    assert refused(optimizer, group) == (
        "2 problems:\n"
        "  1. the optimizer has these parameters already: 0.weight (group 0), 0.bias (group 0), "
        "1.weight (group 0), 1.bias (group 0), 2.weight (group 0) and 3 more. Leave them out.\n"
        "  2. the group has a parameter more than once: x, y. Name it once."
    )
    assert refused(optimizer, {"params": [("0.bias", extra)], "name": "head"}) == (
        "2 problems:\n"
        "  1. these names belong to other parameters: 0.bias. Rename them.\n"
        "  2. a group is called 'head' already. Choose another name."
    )


def test_names_for_all_or_for_none(refused):
    """Torch itself refuses a group with names beside one without: nothing has been changed then."""
    extra = nn.Parameter(torch.ones(1))
    named, unnamed = SGD(net().named_parameters(), lr=0.1), SGD(net().parameters(), lr=0.1)
    for optimizer, params in (
        (named, extra),
        (unnamed, [("x", extra)]),
        (named, [("x", extra), nn.Parameter(torch.ones(1))]),
    ):
        scheduler = ExponentialLR(optimizer, 0.5)
        said = refused(optimizer, {"params": params}, [scheduler], error=ValueError)
        assert "with/without names" in said


def test_options_that_can_not_be(refused):
    """An unknown option and a value out of range are said at once; extra keys in use are known."""
    optimizer = SGD([{"params": [nn.Parameter(torch.ones(1))], "lr_scale": 0.5}], lr=0.1)
    group = {"params": nn.Parameter(torch.ones(1)), "weigth_decay": 0, "lr": -1, "lr_scale": 1}
    assert refused(optimizer, group) == (
        "2 problems:\n"
        "  1. lr=-1 is negative; it must be 0 or more.\n"
        "  2. SGD has no option 'weigth_decay'; did you mean 'weight_decay'?"
    )


def test_groups_that_are_none(refused):
    """An empty group, a group without params, a second group for LBFGS."""
    optimizer = SGD(net().parameters())
    assert refused(optimizer, {"params": iter(())}) == (
        "the group has no parameters (an exhausted generator?). Pass a list of them."
    )
    assert refused(optimizer, {}) == "the group has no 'params'. Put the parameters there."
    assert refused(LBFGS(net().parameters()), {"params": net().parameters()}) == (
        "LBFGS takes one group. Make a new optimizer, with all parameters."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": 3}, "optimizer must be a torch.optim.Optimizer, not int"),
        ({"group": [1]}, "group must be a dict, not list"),
        ({"group": {"params": {1}}}, "params must be ordered, and a set is not: pass a list"),
        (
            {"group": {"params": ["w"]}},
            "optimizer can only optimize Tensors, but one of the params is str",
        ),
        (
            {"group": {"params": nn.Linear(1, 1)}},
            "params must be a tensor, or an iterable of them, not Linear",
        ),
        ({"lr_lambda": 0.5}, "lr_lambda must be callable, not float"),
        (
            {"schedulers": [3]},
            "schedulers must be learning rate schedulers, not int",
        ),
        (
            {"schedulers": None},
            "schedulers must be learning rate schedulers, not NoneType",
        ),
    ],
)
def test_wrong_types(changes, message):
    """A wrong type of argument is a plain TypeError."""
    arguments = {
        "optimizer": SGD(net().parameters()),
        "group": {"params": [nn.Parameter(torch.ones(1))]},
        **changes,
    }
    with pytest.raises(TypeError) as caught:
        add_param_group(**arguments)
    assert str(caught.value) == message


def test_another_word_for_start(refused):
    """The start is one of two words."""
    optimizer = SGD(net().parameters())
    group = {"params": [nn.Parameter(torch.ones(1))]}
    assert refused(optimizer, group, error=ValueError, start="end") == (
        'start must be "beginning" or "now", not \'end\''
    )
    add_param_group(optimizer, group, start="now")
    assert optimizer.param_groups[1]["lr"] == 0.001


def test_what_torch_refuses_changes_nothing(refused):
    """When torch itself refuses the group, the schedulers have not been touched."""
    optimizer = SGD(net().parameters(), lr=0.1)
    scheduler = LambdaLR(optimizer, lambda epoch: 1.0)
    result = nn.Parameter(torch.ones(1)) * 2
    assert "non-leaf" in refused(optimizer, {"params": [result]}, [scheduler], error=ValueError)


def test_a_name_that_nobody_asked_for_is_numbered():
    """Groups of two calls of param_groups go together: names that were made do not clash."""
    model = net()
    optimizer = SGD(param_groups({"head": model[1]}, lr=0.1))
    for group in param_groups({"body": model[0]}, when("*.bias", lr=0.2), lr=0.1):
        add_param_group(optimizer, group)
    extra = param_groups({"more": net()}, when("*.bias", lr=0.2), lr=0.1)
    for group in extra:
        add_param_group(optimizer, group)
    names = ["default", "default #2", "lr=0.2", "default #3", "lr=0.2 #2"]
    assert [group["name"] for group in optimizer.param_groups] == names
    assert [group["name"] for group in extra] == ["default", "lr=0.2"]
