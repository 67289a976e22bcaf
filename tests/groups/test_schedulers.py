"""What schedulers keep for each group is extended, or said to be beyond us."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
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
    text = "for 2 groups: a group was added without it. Make a new scheduler."
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
        "known. Make a new one, after the group was added."
    )


def test_a_scheduler_that_is_none_of_torch(refused, fresh):
    """One that steps, and is none of torch's, is refused by its class."""

    class Stepper:
        def step(self):
            pass

    optimizer, group = fresh()
    assert refused(optimizer, group, [Stepper()]) == (
        "Stepper is no scheduler of torch.optim.lr_scheduler, and how to extend it is not known. "
        "Make a new one, after the group was added."
    )


def test_what_differs_from_group_to_group(refused):
    """What a scheduler keeps for each group is asked for, and may come with the group."""
    params = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = SGD([{"params": [param]} for param in params[:2]], lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, min_lr=[0.01, 0.02])
    group = {"params": params[2:]}
    assert refused(optimizer, group, [scheduler]) == (
        "ReduceLROnPlateau: its min_lrs differ from group to group, so the new group's is "
        "not known. Give the group a 'min_lr'."
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


def test_schedulers_inside_those_of_yours(refused, fresh):
    """A scheduler of a user's that steps another is refused, and the other one is not touched."""

    class Warmup(LRScheduler):
        def __init__(self, optimizer, after):
            self.after = after
            super().__init__(optimizer)

        def get_lr(self):
            if self.last_epoch > 0:
                self.after.step()
            return self.after.get_last_lr()

    optimizer, group = fresh()
    inner = StepLR(optimizer, 3, 0.5)
    warmup = Warmup(optimizer, inner)
    for _ in range(4):
        optimizer.step()
        warmup.step()
    text = (
        "Warmup holds another scheduler, 'after', and how it steps it is not known. Make new ones, "
        "after the group was added."
    )
    assert refused(optimizer, group, [warmup]) == text
    assert refused(optimizer, group, [inner, warmup]) == text


def test_what_schedulers_of_yours_refer_to(refused, fresh):
    """A replay leaves alone what a scheduler or a function refers to, however deep."""

    class Counter:
        count = 0

    class Counting(LRScheduler):
        def __init__(self, optimizer):
            self.same, self.counter = optimizer, Counter()
            super().__init__(optimizer)

        def get_lr(self):
            self.counter.count += 1
            for group in self.same.param_groups:
                group["lr"] = 0.1 / self.counter.count
            return [0.1 / self.counter.count for _ in self.base_lrs]

    optimizer, group = fresh()
    scheduler = Counting(optimizer)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    before = scheduler.counter.count, optimizer.param_groups[0]["lr"]
    assert refused(optimizer, group, [scheduler]).endswith(
        "One of your own that counts its steps itself can't be extended: make a new one."
    )
    assert (scheduler.counter.count, optimizer.param_groups[0]["lr"]) == before

    class Trainer:
        def __init__(self):
            self.log = {"calls": 0}

        def factor(self, epoch):
            self.log["calls"] += 1
            return 0.5**epoch

    trainer = Trainer()
    optimizer, group = fresh()
    scheduler = LambdaLR(optimizer, trainer.factor)
    optimizer.step()
    scheduler.step()
    add_param_group(optimizer, group, [scheduler])
    assert [each["lr"] for each in optimizer.param_groups] == [0.05, 0.01]
    assert trainer.log == {"calls": 2}


@pytest.mark.parametrize("kind", ["OneCycleLR", "CyclicLR"])
def test_no_lr_beside_schedulers_that_set_it(refused, kind):
    """Where the optimizer's lr counts for nothing, a group without one starts as the others do."""
    make = {
        "OneCycleLR": lambda each, most: OneCycleLR(each, most, total_steps=30),
        "CyclicLR": lambda each, most: CyclicLR(each, [lr / 5 for lr in most], most, 3),
    }[kind]
    params = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = SGD(params[:1], lr=0.3, momentum=0.9)
    whole = SGD([{"params": [param]} for param in params[:2]], lr=0.3, momentum=0.9)
    pair = make(optimizer, [0.05]), make(whole, [0.05, 0.05])
    for _ in range(4):
        for each, scheduler in zip((optimizer, whole), pair, strict=True):
            each.step()
            scheduler.step()
    add_param_group(optimizer, {"params": params[1:2]}, [pair[0]])
    for _ in range(4):
        assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in whole.param_groups]
        for each, scheduler in zip((optimizer, whole), pair, strict=True):
            each.step()
            scheduler.step()
    lone = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    assert refused(lone, {"params": params[2:]}, [pair[0]]) == (
        f"{kind} belongs to another optimizer. Pass the schedulers of this one."
    )
    apart = SGD([{"params": [param]} for param in params[:2]], lr=0.3, momentum=0.9)
    assert refused(apart, {"params": params[2:]}, [make(apart, [0.05, 0.1])]) == (
        "the group has no 'lr' for the schedulers to scale. Give it one."
    )


def test_a_tensor_that_is_default_and_lr(refused):
    """A scheduler writes into a tensor lr that is the default, too: the group starts at initial_lr."""
    params = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = Adam(params[:1], lr=torch.tensor(0.1))
    scheduler = ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    add_param_group(optimizer, {"params": params[1:2]}, [scheduler])
    assert [round(float(group["lr"]), 6) for group in optimizer.param_groups] == [0.025, 0.025]
    optimizer = Adam(params[:1], lr=torch.tensor(0.1))
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    for _ in range(3):
        plateau.step(1.0)
    group = {"params": params[1:2], "lr": 0.1}
    if optimizer.param_groups[0]["lr"] is optimizer.defaults["lr"]:
        assert "put the lr that each group started with" in refused(optimizer, group, [plateau])
    else:  # older versions of torch give the group another tensor
        add_param_group(optimizer, group, [plateau])
        assert float(optimizer.param_groups[1]["lr"]) == pytest.approx(0.025)
