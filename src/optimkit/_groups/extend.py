"""A schedule played again, with one more parameter group.

What a new group's learning rate is today is found by playing the schedule from the start, on
copies of the schedulers, with the new group among the old ones. That the old groups come out
at the learning rates that they really have is the proof that it was played right; otherwise
nothing is changed.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import Any

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingWarmRestarts,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from .._errors import GroupError, first_few
from .._torch_schedulers import own
from .._values import copied
from .schedulers import (
    Group,
    entries_for,
    foreign_to,
    is_foreign,
    kept_per_group,
    lists_of,
    members_of,
    remedy_for,
)

LrLambda = Callable[[int], float]
Moves = Iterator[Callable[[], object]]
Twin = tuple[LRScheduler, LRScheduler, Group]


@dataclass(frozen=True)
class Extension:
    """What a new group and the schedulers get; nothing is changed before :meth:`apply`."""

    group: Group
    twins: Sequence[Twin]

    def apply(self) -> None:
        """Extend the schedulers, once the group has been added to the optimizer."""
        for scheduler, twin, entries in self.twins:
            for name in lists_of(scheduler):
                # A function is given as it is: the twin has played with a copy.
                new = entries.get(name, getattr(twin, name)[-1])
                if name == "_last_lr":
                    new = self._last_lr(scheduler, twin)
                setattr(scheduler, name, [*getattr(scheduler, name), new])

    def _last_lr(self, scheduler: LRScheduler, twin: LRScheduler) -> Any:
        """Find what a scheduler last set; the copies leave out what a plateau reduced since."""
        if isinstance(scheduler, ReduceLROnPlateau):
            return copied(self.group["lr"])
        was, played = scheduler._last_lr[0], twin._last_lr[0]
        return twin._last_lr[-1] * (was / played) if played else twin._last_lr[-1]


def extend(
    optimizer: Optimizer,
    group: Group,
    schedulers: Sequence[LRScheduler],
    lr_lambda: LrLambda | None = None,
) -> Extension:
    """Find what a new group, and an optimizer's schedulers, need."""
    members = [member for root in schedulers for member in members_of(root)]
    problems = [text for member in members for text in foreign_to(member, optimizer)]
    if problems:
        raise GroupError(*problems)
    given = group if lr_lambda is None else {**group, "lr_lambda": lr_lambda}
    entries = {id(member): entries_for(member, optimizer, given) for member in members}
    problems = [
        f"{type(member).__name__}: its {name} differ from group to group, so the new group's "
        f"can't be told. {remedy_for(name, kept_per_group(member)[name])}"
        for member in members
        for name, value in entries[id(member)].items()
        if value is None
    ]
    if lr_lambda is not None and not any("lr_lambdas" in each for each in entries.values()):
        problems.append("lr_lambda is given, but no scheduler has lambdas. Leave it out.")
    if sum(isinstance(root, ReduceLROnPlateau) for root in schedulers) > 1:
        problems.append("two ReduceLROnPlateau: which one lowered an lr can't be told. Pass one.")
    if _start_is_lost(optimizer, schedulers):
        problems.append(_unexplained(optimizer, [], schedulers))
    if problems:
        raise GroupError(*problems)
    return _play_again(optimizer, group, schedulers, entries)


def _play_again(
    optimizer: Optimizer,
    group: Group,
    schedulers: Sequence[LRScheduler],
    entries: dict[int, Group],
) -> Extension:
    """Play the schedule from the start, in an order that gives the old groups' lr of today."""
    played: list[Group] = []
    for order in (_in_turn, _one_after_the_other):
        stand_in = _stand_in(optimizer, group, schedulers, entries)
        copies: dict[int, Any] = {id(optimizer): stand_in}
        copies.update((id(each), each) for old in optimizer.param_groups for each in old["params"])
        twins: list[Twin] = []
        with warnings.catch_warnings():  # whatever they say, they have said it before
            warnings.simplefilter("ignore")
            moves = [
                _moves(root, _twin(root, stand_in, entries, twins, copies)) for root in schedulers
            ]
            for move in order(moves):
                move()
        played = copied(stand_in.param_groups)
        outcomes = list(_outcomes(optimizer, stand_in, schedulers, twins))
        if outcomes and all(_same_lr(outcome, outcomes[0]) for outcome in outcomes):
            return Extension(outcomes[0], twins)
    raise GroupError(_unexplained(optimizer, played, schedulers))


def _stand_in(
    optimizer: Optimizer,
    group: Group,
    schedulers: Sequence[LRScheduler],
    entries: dict[int, Group],
) -> Optimizer:
    """Make an optimizer with no parameters of note, whose groups are as they were at first."""
    stand_in = SGD([torch.zeros(())], lr=0.1)
    lists = {name for root in schedulers for each in members_of(root) for name in lists_of(each)}
    new = {key: value for entry in entries.values() for key, value in entry.items()}
    new = {key: value for key, value in new.items() if key not in lists}
    starting = [(old, _first_lr(old, optimizer, schedulers)) for old in optimizer.param_groups]
    stand_in.param_groups = [
        copied(
            {
                **{key: value for key, value in options.items() if not key.startswith("param")},
                "lr": lr,
                "initial_lr": lr,
            }
        )
        for options, lr in [*starting, ({**group, **new}, group["lr"])]
    ]
    stand_in._opt_called = True  # type: ignore[attr-defined]  # schedulers ask for this
    return stand_in


def _first_lr(group: Group, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> Any:
    """Find the lr that an old group started with."""
    if "initial_lr" in group:
        return group["initial_lr"]
    possible = sum(map(_most_reductions, schedulers))
    return optimizer.defaults.get("lr", group["lr"]) if possible else group["lr"]


def _start_is_lost(optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> bool:
    """Tell whether a plateau has reduced the very tensor that says where a group started."""
    default = optimizer.defaults.get("lr")
    lost = [old for old in optimizer.param_groups if old["lr"] is default]
    return (
        isinstance(default, torch.Tensor)
        and any(_most_reductions(each) for each in schedulers)
        and not all("initial_lr" in old for old in lost)
    )


def _twin(
    scheduler: LRScheduler,
    stand_in: Optimizer,
    entries: dict[int, Group],
    twins: list[Twin],
    copies: dict[int, Any],
) -> LRScheduler:
    """Copy a scheduler, give it the new group, and set it back to the start."""
    twin = copies[id(scheduler)] = copy.copy(scheduler)
    twins.append((scheduler, twin, entries[id(scheduler)]))
    vars(twin).update(
        {
            name: value if name in ("optimizer", "_schedulers") else own(value, copies)
            for name, value in vars(scheduler).items()
        }
    )
    twin.optimizer = stand_in
    for name in set(lists_of(scheduler)) & set(entries[id(scheduler)]):
        setattr(twin, name, [*getattr(twin, name), own(entries[id(scheduler)][name], copies)])
    if isinstance(twin, (SequentialLR, ChainedScheduler)):
        children = [_twin(child, stand_in, entries, twins, copies) for child in twin._schedulers]
        if isinstance(twin, ChainedScheduler):
            ChainedScheduler.__init__(twin, children, stand_in)
        else:
            SequentialLR.__init__(twin, stand_in, children, twin._milestones)
    elif isinstance(twin, ReduceLROnPlateau):
        twin.patience, twin.cooldown, twin.cooldown_counter = -1, 0, 0  # each step reduces
    else:
        if isinstance(twin, CosineAnnealingWarmRestarts):
            twin.T_cur, twin.T_i = -1, twin.T_0
        LRScheduler.__init__(twin, stand_in)
        twin.base_lrs = [*scheduler.base_lrs, twin.base_lrs[-1]]
    return twin


def _moves(scheduler: LRScheduler, twin: LRScheduler) -> Moves:
    """Give the steps that lead a copy from the start to where its scheduler is."""
    if isinstance(scheduler, ReduceLROnPlateau):  # its steps depend on metrics of the past
        return
    if isinstance(scheduler, CosineAnnealingWarmRestarts) and scheduler.T_cur % 1:
        yield partial(twin.step, scheduler.last_epoch + scheduler.T_cur % 1)
        return
    first = scheduler
    while isinstance(first, ChainedScheduler):  # which does not count its steps
        first = first._schedulers[0]
    for _ in range(first.last_epoch):
        yield twin.step


def _in_turn(moves: Sequence[Moves]) -> Moves:
    """Step the schedulers together, as long as each has steps left."""
    return (move for together in zip_longest(*moves) for move in together if move is not None)


def _one_after_the_other(moves: Sequence[Moves]) -> Moves:
    """Step one scheduler to its end, then the next."""
    return chain.from_iterable(moves)


def _outcomes(
    optimizer: Optimizer,
    stand_in: Optimizer,
    schedulers: Sequence[LRScheduler],
    twins: Sequence[Twin],
) -> Iterator[Group]:
    """Give the new group at each moment when the old groups are as they are today."""
    plateaus = [twin for _, twin, _ in twins if isinstance(twin, ReduceLROnPlateau)]
    for _ in range(1 + sum(map(_most_reductions, schedulers))):
        groups = copied(stand_in.param_groups)
        if all(map(_same_lr, optimizer.param_groups, groups)):
            yield groups[-1]
        for plateau in plateaus:
            plateau.step(math.nan)
        if all(map(_same_lr, stand_in.param_groups, groups)):
            return


def _most_reductions(scheduler: LRScheduler) -> int:
    """Count how often a scheduler can have reduced the lr because of a plateau."""
    if not isinstance(scheduler, ReduceLROnPlateau):
        return 0
    return scheduler.last_epoch // (scheduler.patience + 1)


def _same_lr(one: Group, other: Group) -> bool:
    """Compare two groups' learning rates, but for rounding."""
    return math.isclose(float(one["lr"]), float(other["lr"]), rel_tol=1e-6, abs_tol=1e-12)


def _unexplained(
    optimizer: Optimizer, played: Sequence[Group], schedulers: Sequence[LRScheduler]
) -> str:
    """Say that the schedulers given don't lead to the learning rates of today."""
    wrong = [
        f"group {index} has {float(group['lr']):.6g}, they make it {float(other['lr']):.6g}"
        for index, (group, other) in enumerate(zip(optimizer.param_groups, played, strict=False))
        if not _same_lr(group, other)
    ]
    advice = "Pass every scheduler, in the order in which they are stepped, and set no lr by hand."
    if any(is_foreign(each) for root in schedulers for each in members_of(root)):
        advice += " One of your own that counts its steps itself can't be extended: make it anew."
    if any(isinstance(root, ReduceLROnPlateau) for root in schedulers):
        advice = (
            "ReduceLROnPlateau does not record how often it reduced: put the lr that each group "
            "started with into it, as 'initial_lr'."
        )
    found = f": {first_few(wrong)}" if wrong else ""
    return f"the schedulers do not explain the learning rates of today{found}. {advice}"
