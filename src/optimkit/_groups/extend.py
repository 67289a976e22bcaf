"""Schedulers for one more parameter group.

A new group's learning rate is found by replaying the schedule from the start, on copies of the
schedulers, with the new group among the old ones. That the old groups come out at the learning
rates that they really have proves the replay; otherwise nothing is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from .._errors import GroupError, first_few
from .._torch_schedulers import (
    Copies,
    children_of,
    is_known,
    kept_by,
    lists_of,
    members_of,
    outermost,
    restart,
    steps_to,
    undisturbed,
)
from .._values import as_form_of, copied
from .options import identity

Group = dict[str, Any]
LrLambda = Callable[[int], float]
Moves = Iterator[Callable[[], object]]
Start = Literal["beginning", "now"]


def roots_of(schedulers: LRScheduler | Iterable[LRScheduler]) -> list[LRScheduler]:
    """Bring the schedulers that were passed to a list, without those inside others."""
    given = list(schedulers) if isinstance(schedulers, Iterable) else [schedulers]
    for scheduler in given:
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(
                "schedulers must be schedulers of torch.optim.lr_scheduler, not "
                f"{type(scheduler).__name__}"
            )
    return outermost(given)


def keys_of(schedulers: Iterable[LRScheduler]) -> set[str]:
    """List the keys that a group may bring for its schedulers."""
    members = [member for root in schedulers for member in members_of(root)]
    return {key for member in members for key in _keys(member).values()} - {"lr_lambda"}


def start_of(optimizer: Optimizer, roots: Sequence[LRScheduler]) -> Group:
    """Find the lr that a group without one starts from, if not the default's; maybe None."""
    olds = [old for old in optimizer.param_groups if "initial_lr" in old]
    default = optimizer.defaults.get("lr")
    for old in olds:  # torch has one tensor in both, and a scheduler writes into it
        if isinstance(default, Tensor) and old["lr"] is default:
            return {"lr": old["initial_lr"]}
    if olds and any(kept_by(each).sets_lr for root in roots for each in members_of(root)):
        return {"lr": _common([old["initial_lr"] for old in olds])}
    return {}


@dataclass(frozen=True)
class Extension:
    """What a new group and the schedulers get; nothing is changed before :meth:`apply`."""

    group: Group
    entries: Sequence[tuple[LRScheduler, Group]] = ()

    def apply(self) -> None:
        """Extend the schedulers, once the group has been added to the optimizer."""
        for scheduler, entries in self.entries:
            for name, new in entries.items():
                setattr(scheduler, name, [*getattr(scheduler, name), new])


def extend(
    optimizer: Optimizer,
    group: Group,
    schedulers: Sequence[LRScheduler],
    lr_lambda: LrLambda | None = None,
    start: Start = "beginning",
) -> Extension:
    """Find what a new group, and an optimizer's schedulers, need."""
    problems = [
        text
        for root in schedulers
        for member in members_of(root)
        for text in _beyond_us(member, optimizer)
    ]
    if problems:
        raise GroupError(*problems)
    given = group if lr_lambda is None else {**group, "lr_lambda": lr_lambda}
    by_metric = all(kept_by(root).by_metric for root in schedulers)
    problems = _missing(optimizer, given, schedulers)
    if not (by_metric and start == "now"):
        problems += _lost_past(optimizer, schedulers)
    if problems:
        raise GroupError(*problems)
    if start == "beginning":
        return _replayed(optimizer, given, schedulers)
    if by_metric:
        return _reduced_from_now(optimizer, given, schedulers)
    return _started_so_that_now(optimizer, given, schedulers)


# What a scheduler has for each group


def _keys(scheduler: LRScheduler) -> dict[str, str]:
    """Map what a scheduler keeps for each group to the key by which a group may bring it."""
    kept = kept_by(scheduler)
    return {**kept.lists, **{key: key for key in kept.in_groups}}


def _entries(scheduler: LRScheduler, optimizer: Optimizer, given: Group) -> Group:
    """Find the new group's entries: given, in proportion to its lr, or common; else None."""
    entries: Group = {}
    for name, key in _keys(scheduler).items():
        groups = [group for group in optimizer.param_groups if name in group]
        values = getattr(scheduler, name, [group[name] for group in groups])
        if not values:  # OneCycleLR without cycle_momentum
            continue
        entries[name] = given.get(key)
        if entries[name] is None and name in kept_by(scheduler).scaled:
            entries[name] = _in_proportion(values, scheduler.base_lrs, given["lr"])
        if entries[name] is None:
            entries[name] = _common(values)
    return entries


def _in_proportion(values: Sequence[Any], bases: Sequence[Any], lr: Any) -> Any:
    """Scale an lr as the old groups' are scaled; None if they are not all scaled alike."""
    pairs = list(zip(values, bases, strict=True))
    if not all(base > 0 for _, base in pairs):
        return None
    ratios = [float(value / base) for value, base in pairs]
    return lr * ratios[0] if all(math.isclose(ratio, ratios[0]) for ratio in ratios) else None


def _common(values: Sequence[Any]) -> Any:
    """Return the one value that all are; None if they differ."""
    return values[0] if len(set(map(identity, values))) == 1 else None


# What is refused


def _beyond_us(scheduler: LRScheduler, optimizer: Optimizer) -> list[str]:
    """Say what makes a scheduler one that can't be extended."""
    title, count = type(scheduler).__name__, len(optimizer.param_groups)
    if scheduler.optimizer is not optimizer:
        return [f"{title} belongs to another optimizer. Pass the schedulers of this one."]
    lists = lists_of(scheduler)
    problems = [
        f"{title} has {len(getattr(scheduler, name))} {name} for {count} groups: a group was "
        "added without it. Make a new scheduler."
        for name in lists
        if len(getattr(scheduler, name)) != count
    ]
    if is_known(scheduler):
        return problems
    # torch/optim/lr_scheduler.py, 2.15: the two that nest others keep them in _schedulers.
    stepped = children_of(scheduler) if kept_by(scheduler).nests else []
    problems += [
        f"{title} holds another scheduler, {name!r}, and how it steps it is not known. "
        "Make new ones, after the group was added."
        for name, value in vars(scheduler).items()
        if any(each not in stepped for each in _schedulers_in(value))
    ]
    problems += [
        f"{title} keeps {name!r}, a list as long as there are groups, and how to extend it "
        "is not known. Make a new one, after the group was added."
        for name, value in vars(scheduler).items()
        if isinstance(value, (list, tuple))
        and len(value) == count
        and name not in (*lists, "_schedulers", "_milestones", "_schedule_phases")
    ]
    return problems


def _schedulers_in(value: object) -> list[LRScheduler]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, LRScheduler)]


def _missing(optimizer: Optimizer, given: Group, schedulers: Sequence[LRScheduler]) -> list[str]:
    """Say which entries for the new group are not known."""
    members = [member for root in schedulers for member in members_of(root)]
    problems = [
        f"{type(member).__name__}: its {name} differ from group to group, so the new group's "
        f"is not known. {_remedy(name, _keys(member)[name])}"
        for member in members
        for name, value in _entries(member, optimizer, given).items()
        if value is None
    ]
    if "lr_lambda" in given and not any("lr_lambdas" in _keys(member) for member in members):
        problems.append("lr_lambda is given, but no scheduler has lambdas. Leave it out.")
    return problems


def _remedy(name: str, key: str) -> str:
    return "Pass lr_lambda=." if name == "lr_lambdas" else f"Give the group a {key!r}."


def _lost_past(optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> list[str]:
    """Say what a replay would have to know, and no one has kept."""
    problems = []
    if sum(kept_by(root).by_metric for root in schedulers) > 1:
        problems.append("two ReduceLROnPlateau: which one lowered an lr is not known. Pass one.")
    # A plateau has reduced the very tensor that says where a group started.
    default = optimizer.defaults.get("lr")
    if isinstance(default, Tensor) and any(map(_most_reductions, schedulers)):
        lost = [old for old in optimizer.param_groups if old["lr"] is default]
        if not all("initial_lr" in old for old in lost):
            problems.append(_unexplained(optimizer, [], schedulers))
    return problems


# The replay


class _Replay:
    """A schedule from its start to now, on copies, with one more group."""

    def __init__(
        self, optimizer: Optimizer, given: Group, schedulers: Sequence[LRScheduler]
    ) -> None:
        copies = Copies()
        self.optimizer, self.schedulers = optimizer, schedulers
        self.stub = copies.stub_of(optimizer)
        self.roots = [copies.copy_of(root) for root in schedulers]
        self.members = [
            (member, copies.copy_of(member), _entries(member, optimizer, given))
            for root in schedulers
            for member in members_of(root)
        ]
        for group in self.stub.param_groups:
            lr = _first_lr(group, optimizer, schedulers)
            group.update(lr=copied(lr), initial_lr=copied(lr))
        new = _new_group(given, [member for member, *_ in self.members], optimizer)
        self.stub.param_groups.append({**new, "initial_lr": copied(given["lr"])})
        for member, twin, entries in self.members:
            for name in lists_of(member):
                entry = copies.value_of(entries.get(name, given["lr"]))
                setattr(twin, name, [*getattr(twin, name), entry])
        self.plateaus = [twin for _, twin, _ in self.members if kept_by(twin).by_metric]

    def run(self, in_order: Callable[[Sequence[Moves]], Moves]) -> None:
        """Step the copies from the start to where the schedulers are."""
        for root in self.roots:
            restart(root)
        for plateau in self.plateaus:  # its metrics are gone: let each step reduce the lr
            plateau.patience, plateau.cooldown = -1, 0
        pairs = zip(self.roots, self.schedulers, strict=True)
        moves = [steps_to(twin, vars(live)) for twin, live in pairs if twin not in self.plateaus]
        for move in in_order(moves):
            move()
        self.reached = [float(group["lr"]) for group in self.stub.param_groups]

    def outcomes(self) -> Iterator[Extension]:
        """Yield the new group at each moment when the old groups have the lr that they have."""
        current = [float(group["lr"]) for group in self.optimizer.param_groups]
        for _ in range(1 + sum(map(_most_reductions, self.schedulers))):
            lrs = [float(group["lr"]) for group in self.stub.param_groups]
            if all(map(_same_lr, current, lrs)):
                yield self._extension()
            for plateau in self.plateaus:
                plateau.step(math.nan)
            if all(map(_same_lr, lrs, (group["lr"] for group in self.stub.param_groups))):
                return

    def _extension(self) -> Extension:
        group = copied(self.stub.param_groups[-1])
        found = []
        for member, twin, entries in self.members:
            # A function is passed on as it is: the replay has called a copy.
            new = {
                name: entries.get(name, copied(getattr(twin, name)[-1]))
                for name in lists_of(member)
            }
            if twin in self.plateaus:
                new["_last_lr"] = copied(group["lr"])
            elif twin._last_lr[0]:  # a plateau may have reduced what the scheduler set
                new["_last_lr"] = new["_last_lr"] * (member._last_lr[0] / twin._last_lr[0])
            found.append((member, new))
        return Extension(group, found)


def _new_group(given: Group, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> Group:
    """Return the new group's options, and what the schedulers write into it."""
    written = {
        key: value
        for member in schedulers
        for key, value in _entries(member, optimizer, given).items()
        if key in kept_by(member).in_groups
    }
    return {key: copied(value) for key, value in (given | written).items() if key != "lr_lambda"}


def _in_turn(moves: Sequence[Moves]) -> Moves:
    """Step the schedulers together, as long as each has steps left."""
    return (move for together in zip_longest(*moves) for move in together if move is not None)


def _one_after_the_other(moves: Sequence[Moves]) -> Moves:
    """Step one scheduler to its end, then the next."""
    return chain.from_iterable(moves)


def _first_lr(group: Group, optimizer: Optimizer, schedulers: Sequence[LRScheduler]) -> Any:
    """Find the lr that an old group started with."""
    if "initial_lr" in group:
        return group["initial_lr"]
    reduced = any(map(_most_reductions, schedulers))
    return optimizer.defaults.get("lr", group["lr"]) if reduced else group["lr"]


def _most_reductions(scheduler: LRScheduler) -> int:
    """Count how often a scheduler can have reduced the lr because of a plateau."""
    if not isinstance(scheduler, ReduceLROnPlateau):
        return 0
    return scheduler.last_epoch // (scheduler.patience + 1)


def _same_lr(one: Any, other: Any) -> bool:
    """Compare two learning rates, but for rounding."""
    return math.isclose(float(one), float(other), rel_tol=1e-6, abs_tol=1e-12)


def _replayed(
    optimizer: Optimizer, given: Group, schedulers: Sequence[LRScheduler], *, sure: bool = True
) -> Extension:
    """Replay the schedule, in the order that gives the old groups the lr that they have.

    How often a plateau has reduced may remain open; `sure` refuses that if it makes a difference.
    """
    for in_order in (_in_turn, _one_after_the_other):
        with undisturbed():
            replay = _Replay(optimizer, given, schedulers)
            replay.run(in_order)
            found = list(replay.outcomes())
        lrs = [each.group["lr"] for each in found]
        if found and not (sure and any(not _same_lr(lr, lrs[0]) for lr in lrs)):
            return found[0]
    raise GroupError(_unexplained(optimizer, replay.reached, schedulers))


def _started_so_that_now(
    optimizer: Optimizer, given: Group, schedulers: Sequence[LRScheduler]
) -> Extension:
    """Let the group start from the lr that the schedule has made the one asked for by now."""
    asked = float(given["lr"])

    def replayed(lr: Any) -> Extension:
        return _replayed(optimizer, {**given, "lr": lr}, schedulers, sure=False)

    # The lr is linear in the one at the start, with a constant such as eta_min, above any floor.
    high = [1024 * (asked or 1.0), 2048 * (asked or 1.0)]
    reached = [float(replayed(lr).group["lr"]) for lr in high]
    slope = (reached[1] - reached[0]) / (high[1] - high[0])
    start = high[0] + (asked - reached[0]) / slope if slope else asked
    found = replayed(as_form_of(given["lr"], max(start, 0.0)))
    if not _same_lr(found.group["lr"], asked):
        least = f"{float(replayed(0.0).group['lr']):g}{' or more' if slope else ''}"
        raise GroupError(
            f"the schedule has brought every lr to {least} by now, so the new group's can't be "
            f'{asked:g}. Pass start="beginning", or add the group at another step.'
        )
    return replace(found, group={**found.group, "lr": as_form_of(given["lr"], asked)})


def _reduced_from_now(
    optimizer: Optimizer, given: Group, schedulers: Sequence[LRScheduler]
) -> Extension:
    """Let plateaus alone take the group as it is: what they did before does not matter to it."""
    group = _new_group(given, schedulers, optimizer)
    if any("initial_lr" in old for old in optimizer.param_groups):
        group["initial_lr"] = copied(group["lr"])
    entries = [
        (each, {"_last_lr": copied(group["lr"]), **_entries(each, optimizer, given)})
        for each in schedulers
    ]
    return Extension(group, entries)


def _unexplained(
    optimizer: Optimizer, reached: Sequence[float], schedulers: Sequence[LRScheduler]
) -> str:
    """Say that the schedulers passed don't lead to the current learning rates."""
    pairs = zip((float(group["lr"]) for group in optimizer.param_groups), reached, strict=False)
    wrong = [
        f"group {index} has {lr:.6g}, they make it {other:.6g}"
        for index, (lr, other) in enumerate(pairs)
        if not _same_lr(lr, other)
    ]
    advice = "Pass every scheduler, in the order in which they are stepped, and set no lr by hand."
    if not all(is_known(each) for root in schedulers for each in members_of(root)):
        advice += " One of your own that counts its steps itself can't be extended: make a new one."
    if any(isinstance(root, ReduceLROnPlateau) for root in schedulers):
        advice = (
            "ReduceLROnPlateau does not record how often it reduced: put the lr that each group "
            "started with into it, as 'initial_lr', or pass start=\"now\"."
        )
    found = f": {first_few(wrong)}" if wrong else ""
    return f"replaying the schedulers does not give the current learning rates{found}. {advice}"
