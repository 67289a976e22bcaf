"""What torch's learning-rate schedulers keep for each parameter group.

torch's schedulers count the groups when they are made, so a group that is added later has no
base learning rate, no lambda, no lower bound. Here is what it lacks, class by class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CyclicLR,
    LambdaLR,
    LRScheduler,
    MultiplicativeLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.optim.swa_utils import SWALR

from .options import identity

Group = dict[str, Any]

_TORCH = ("torch.optim.lr_scheduler", "torch.optim.swa_utils")

# What a class keeps for each group, beside base_lrs and _last_lr which all have: in a list of
# its own or in the group itself, and the key under which a new group may bring its value.
_PER_GROUP: dict[type, dict[str, str]] = {
    LambdaLR: {"lr_lambdas": "lr_lambda"},
    MultiplicativeLR: {"lr_lambdas": "lr_lambda"},
    ReduceLROnPlateau: {"min_lrs": "min_lr"},
    CyclicLR: {
        "max_lrs": "max_lr",
        "base_momentums": "base_momentum",
        "max_momentums": "max_momentum",
        "base_momentum": "base_momentum",
        "max_momentum": "max_momentum",
    },
    OneCycleLR: {key: key for key in ("max_lr", "min_lr", "base_momentum", "max_momentum")},
    SWALR: {"swa_lr": "swa_lr"},
}
_IN_PROPORTION = {"max_lr", "min_lr", "max_lrs"}  # to the lr that a group starts with


def roots_of(schedulers: LRScheduler | Iterable[LRScheduler]) -> list[LRScheduler]:
    """Bring the schedulers that were passed to a list, without those inside others."""
    given = list(schedulers) if isinstance(schedulers, Iterable) else [schedulers]
    for scheduler in given:
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(
                "schedulers must be schedulers of torch.optim.lr_scheduler, not "
                f"{type(scheduler).__name__}"
            )
    nested = {id(member) for root in given for member in members_of(root)[1:]}
    return list({id(root): root for root in given if id(root) not in nested}.values())


def keys_of(schedulers: Iterable[LRScheduler]) -> set[str]:
    """List the keys that a group may have because of its schedulers."""
    members = [member for root in schedulers for member in members_of(root)]
    return {key for member in members for key in kept_per_group(member).values()} - {"lr_lambda"}


def members_of(scheduler: LRScheduler) -> list[LRScheduler]:
    """List a scheduler, then all that are nested in it."""
    if not isinstance(scheduler, (SequentialLR, ChainedScheduler)):
        return [scheduler]
    return [scheduler, *(each for child in scheduler._schedulers for each in members_of(child))]


def kept_per_group(scheduler: LRScheduler) -> dict[str, str]:
    """Look up what a scheduler keeps for each group."""
    return {
        name: key
        for kind, names in _PER_GROUP.items()
        if isinstance(scheduler, kind)
        for name, key in names.items()
    }


def lists_of(scheduler: LRScheduler) -> list[str]:
    """Name the lists of a scheduler that have an entry for each group."""
    names = ("base_lrs", "_last_lr", *kept_per_group(scheduler))
    return [name for name in names if hasattr(scheduler, name)]


def is_foreign(scheduler: LRScheduler) -> bool:
    """Tell whether a scheduler's class is not of torch."""
    return type(scheduler).__module__ not in _TORCH


def foreign_to(scheduler: LRScheduler, optimizer: Optimizer) -> list[str]:
    """Say what makes a scheduler one that can't be extended."""
    title, count = type(scheduler).__name__, len(optimizer.param_groups)
    if scheduler.optimizer is not optimizer:
        return [f"{title} belongs to another optimizer. Pass the schedulers of this one."]
    lists = lists_of(scheduler)
    problems = [
        f"{title} has {len(getattr(scheduler, name))} {name} for {count} groups: a group was "
        "added without it. Make the scheduler anew."
        for name in lists
        if len(getattr(scheduler, name)) != count
    ]
    if is_foreign(scheduler):
        problems += [
            f"{title} holds another scheduler, {name!r}, and how it steps it is not known. "
            "Make both anew, after the group was added."
            for name, value in vars(scheduler).items()
            if any(each not in members_of(scheduler) for each in _schedulers_in(value))
        ]
        problems += [
            f"{title} keeps {name!r}, a list as long as there are groups, and how to extend it "
            "is not known. Make the scheduler anew, after the group was added."
            for name, value in vars(scheduler).items()
            if isinstance(value, (list, tuple))
            and len(value) == count
            and name not in (*lists, "_schedulers", "_milestones", "_schedule_phases")
        ]
    return problems


def entries_for(scheduler: LRScheduler, optimizer: Optimizer, given: Group) -> Group:
    """Find the new group's entries: given, in proportion to its lr, or common; else None."""
    entries: Group = {}
    for name, key in kept_per_group(scheduler).items():
        groups = [group for group in optimizer.param_groups if name in group]
        values = getattr(scheduler, name, [group[name] for group in groups])
        if not values:  # OneCycleLR without cycle_momentum
            continue
        entries[name] = given.get(key)
        if entries[name] is None and name in _IN_PROPORTION:
            entries[name] = _in_proportion(values, scheduler.base_lrs, given["lr"])
        if entries[name] is None and len(set(map(identity, values))) == 1:
            entries[name] = values[0]
    return entries


def _in_proportion(values: Sequence[Any], bases: Sequence[Any], lr: Any) -> Any:
    """Scale an lr as the old groups' are scaled; None if they are not all scaled alike."""
    pairs = list(zip(values, bases, strict=True))
    if not all(base > 0 for _, base in pairs):
        return None
    ratios = [float(value / base) for value, base in pairs]
    return lr * ratios[0] if all(math.isclose(ratio, ratios[0]) for ratio in ratios) else None


def _schedulers_in(value: object) -> list[LRScheduler]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, LRScheduler)]


def start_of(optimizer: Optimizer, roots: Sequence[LRScheduler]) -> Group:
    """Find the lr that a group without one starts from, where the default is not it; maybe None."""
    olds = [old for old in optimizer.param_groups if "initial_lr" in old]
    default = optimizer.defaults.get("lr")
    for old in olds:  # torch has one tensor in both, and a scheduler writes into it
        if isinstance(default, Tensor) and old["lr"] is default:
            return {"lr": old["initial_lr"]}
    members = [each for root in roots for each in members_of(root)]
    if olds and any(isinstance(each, (OneCycleLR, CyclicLR)) for each in members):  # set it anew
        starts = [old["initial_lr"] for old in olds]
        return {"lr": starts[0] if len(set(map(identity, starts))) == 1 else None}
    return {}


def remedy_for(name: str, key: str) -> str:
    """Say how to give the new group's entry."""
    return "Pass lr_lambda=." if name == "lr_lambdas" else f"Give the group a {key!r}."
