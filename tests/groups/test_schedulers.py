"""What schedulers keep for each group is extended, or said to be beyond us."""

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    ReduceLROnPlateau,
    StepLR,
)

from optimkit import add_param_group


def inverse(epoch):
    """Decay with the epochs."""
    return 1 / (1 + epoch)


def test_schedulers_of_another_optimizer(refused, fresh):
    """A scheduler of another optimizer is refused, and named."""
    (optimizer, group), (other, _) = fresh(), fresh()
    assert refused(optimizer, group, [StepLR(optimizer, 1), StepLR(other, 1)]) == (
        "StepLR belongs to another optimizer. Pass the schedulers of this one."
    )


def test_a_lambda_that_nobody_takes(refused, fresh):
    """lr_lambda without a scheduler that has lambdas is refused."""
    optimizer, group = fresh()
    assert refused(optimizer, group, [StepLR(optimizer, 1)], lr_lambda=inverse) == (
        "lr_lambda is given, but no scheduler has lambdas. Leave it out."
    )


def test_a_group_that_was_added_without_the_scheduler(refused, fresh):
    """A scheduler that lacks an older group is refused: it is wrong already."""
    optimizer, group = fresh()
    scheduler = LambdaLR(optimizer, inverse)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    text = "for 2 groups: a group was added without it. Make the scheduler anew."
    assert refused(optimizer, group, [scheduler]) == (
        "3 problems:\n"
        f"  1. LambdaLR has 1 base_lrs {text}\n"
        f"  2. LambdaLR has 1 _last_lr {text}\n"
        f"  3. LambdaLR has 1 lr_lambdas {text}"
    )


def test_schedulers_of_yours(refused, fresh):
    """A scheduler of a user's works from base_lrs; a list of its own is refused by name."""

    class Halving(LRScheduler):
        def get_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]

    class Floored(Halving):
        def __init__(self, optimizer, floors):
            self.floors = floors
            super().__init__(optimizer)

    optimizer, group = fresh()
    scheduler = Halving(optimizer)
    optimizer.step()
    scheduler.step()
    add_param_group(optimizer, group, [scheduler])
    assert [each["lr"] for each in optimizer.param_groups] == [0.05, 0.01]
    optimizer, group = fresh()
    assert refused(optimizer, group, [Floored(optimizer, [0.1])]) == (
        "Floored keeps 'floors', a list as long as there are groups, and how to extend it is not "
        "known. Make the scheduler anew, after the group was added."
    )


def test_what_differs_from_group_to_group(refused):
    """What a scheduler keeps for each group is asked for, and may come with the group."""
    params = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = SGD([{"params": [param]} for param in params[:2]], lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, min_lr=[0.01, 0.02])
    group = {"params": params[2:]}
    assert refused(optimizer, group, [scheduler]) == (
        "ReduceLROnPlateau: its min_lrs differ from group to group, so the new group's can't be "
        "told. Give the group a 'min_lr'."
    )
    add_param_group(optimizer, {**group, "min_lr": 0.05}, [scheduler])
    assert scheduler.min_lrs == [0.01, 0.02, 0.05]


def test_nested_schedulers_passed_twice(fresh):
    """A scheduler that is passed beside the one it is nested in is extended once."""
    optimizer, group = fresh()
    inner = ExponentialLR(optimizer, 0.5)
    outer = ChainedScheduler([inner])
    add_param_group(optimizer, group, [inner, outer, outer])
    assert inner.base_lrs == [0.1, 0.02]
    assert outer.get_last_lr() == [0.1, 0.02]
