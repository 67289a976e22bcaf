"""Freezing, unfreezing."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from optimkit import GroupError, freeze, unfreeze


def net():
    """Return a model of two layers."""
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))


def test_freeze_stops_a_parameter_at_once():
    """A frozen parameter keeps still, whatever gradient and momentum it had (S24)."""
    model = net()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    freeze(model[0])
    before = model[0].weight.detach().clone()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()
    assert torch.equal(model[0].weight, before)
    assert model[0].weight.grad is None
    assert not model[0].weight.requires_grad


@pytest.mark.parametrize(
    "targets",
    [
        lambda model: [model],
        lambda model: [model[0], model[1]],
        lambda model: [{"a": model[0], "b": model[1]}],
        lambda model: [model.parameters()],
        lambda model: [list(model.named_parameters())],
        lambda model: [dict(model.named_parameters())],
        lambda model: [{"a": list(model[0].parameters()), "b": [("w", model[1])]}],
        lambda model: [model[0].weight, model[0].bias, [model[1]]],
    ],
)
def test_targets(targets):
    """A target is a module, a parameter, a mapping of modules, or any iterable of them."""
    model = net()
    freeze(*targets(model))
    assert not any(param.requires_grad for param in model.parameters())
    unfreeze(*targets(model))
    assert all(param.requires_grad for param in model.parameters())


def test_lazy_parameters_freeze_too():
    """A parameter that waits for its shape is frozen, and unfrozen, like any other."""
    layer = nn.LazyLinear(2)
    freeze(layer)
    assert [param.requires_grad for param in layer.parameters()] == [False, False]
    unfreeze(layer)
    assert [param.requires_grad for param in layer.parameters()] == [True, True]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "0.weight",
            "a target must be a module, a parameter, or an iterable of them, not '0.weight'",
        ),
        (3, "a target must be a module, a parameter, or an iterable of them, not int"),
        (
            ["0", {"head": "1", "step": 2}],
            "a target must be a module, a parameter, or an iterable of them, not '0', '1', int",
        ),
    ],
)
@pytest.mark.parametrize("change", [freeze, unfreeze])
def test_a_wrong_target_changes_nothing(change, target, message):
    """If targets are wrong, each is named and none is changed."""
    model = net()
    model[1].requires_grad_(False)
    with pytest.raises(TypeError) as caught:
        change(model, target)
    assert str(caught.value) == message
    assert [param.requires_grad for param in model.parameters()] == [True, True, False, False]


def test_what_can_not_have_a_gradient():
    """Integer parameters and results of a computation are named, and nothing is changed."""
    model = net()
    freeze(model)
    model.table = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(GroupError) as caught:
        unfreeze(model)
    assert str(caught.value) == ("these can't be trained: table (torch.int8). Leave them out.")
    assert not any(param.requires_grad for param in model.parameters())
    with torch.inference_mode():
        made = nn.Linear(1, 1)
    with pytest.raises(GroupError) as caught:
        unfreeze(model[0], {"made": made})
    assert str(caught.value) == (
        "these can't be trained: made.weight (made in inference mode), "
        "made.bias (made in inference mode). Leave them out."
    )
    assert not any(param.requires_grad for param in model.parameters())
    result = nn.Parameter(torch.ones(1)) * 2
    with pytest.raises(GroupError) as caught:
        freeze([("y", result)])
    assert str(caught.value) == (
        "these are results of a computation, not parameters: y. Pass what they were computed from."
    )
