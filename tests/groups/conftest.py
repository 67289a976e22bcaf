"""What the tests of groups share."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from optimkit import GroupError, add_param_group, param_groups, when


def state_of(optimizer, schedulers):
    """Return, as text, all that a refused call must leave alone."""
    groups = [
        {**group, "params": list(map(id, group["params"]))} for group in optimizer.param_groups
    ]
    kept = [
        {key: value for key, value in vars(each).items() if key != "optimizer"}
        for each in schedulers
    ]
    return repr((groups, kept))


@pytest.fixture
def refused():
    """What is said when a group is refused; nothing may be changed."""

    def refused(optimizer, group, schedulers=(), *, error=GroupError, **options):
        before = state_of(optimizer, schedulers)
        with pytest.raises(error) as caught:
            add_param_group(optimizer, group, schedulers=schedulers, **options)
        assert state_of(optimizer, schedulers) == before
        return str(caught.value)

    return refused


@pytest.fixture
def fresh():
    """An optimizer with a group of its own, and a group to add."""

    def fresh():
        optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
        return optimizer, {"params": [nn.Parameter(torch.ones(1))], "lr": 0.02}

    return fresh


@pytest.fixture
def chosen():
    """The names of the parameters of a model that are selected."""

    def chosen(select, model):
        rule = when(select, name="chosen")
        groups = param_groups(model, rule, frozen="keep", unused="ignore")
        return [
            name for group in groups if group["name"] == "chosen" for name, _ in group["params"]
        ]

    return chosen
