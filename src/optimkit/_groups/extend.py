"""Schedulers for one more parameter group, whose lr is found by replaying the schedule on copies.

That the old groups come out at the lr that they have proves the replay; else nothing is changed.
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
    SCHEDULERS,
    Copies,
    children_of,
    kept_by,
    lists_of,
    members_of,
    outermost,
    restart,
    steps_to,
    undisturbed,
)
from .._values import as_form_of, copied
from .._wrappers import unwrapped
from .options import identity

Group = dict[str, Any]
Extension = tuple[Group, list[tuple[LRScheduler, Group]]]
"""A new group, and its entry in each list of each scheduler."""

Start = Literal["beginning", "now"]


def roots_of(schedulers: LRScheduler | Iterable[LRScheduler]) -> list[LRScheduler]:
    """List the schedulers that were passed, without those inside others."""
    given = list(schedulers) if isinstance(schedulers, Iterable) else [schedulers]
    given = list(map(unwrapped, given))
    for scheduler in given:
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(
                "schedulers must be schedulers of torch.optim.lr_scheduler, not "
                f"{type(scheduler).__name__}"
            )
    return outermost(given)


def start_of(optimizer: Optimizer, roots: Iterable[LRScheduler]) -> Group:
    """Find the lr that a group without one starts from, if not the default's; maybe None."""
    olds = [old for old in optimizer.param_groups if "initial_lr" in old]
    default = optimizer.defaults.get("lr")
    for old in olds:  # torch has one tensor in both, and a scheduler writes into it
        if isinstance(default, Tensor) and old["lr"] is default:
            return {"lr": old["initial_lr"]}
    if olds and any(kept_by(each).sets_lr for root in roots for each in members_of(root)):
        return {"lr": _common([old["initial_lr"] for old in olds])}
    return {}


def extend(
    optimizer: Optimizer,
    group: Group,
    roots: Sequence[LRScheduler],
    lr_lambda: Callable[[int], float] | None = None,
    start: Start = "beginning",
) -> Extension:
    """Find what a new group, and an optimizer's schedulers, get."""
    problems = [
        text
        for root in roots
        for member in members_of(root)
        for text in _not_extensible(member, optimizer)
    ]
    if problems:
        raise GroupError(*problems)
    given = group if lr_lambda is None else {**group, "lr_lambda": lr_lambda}
    case = _Case(optimizer, given, roots)
    plateaus_only = all(kept_by(root).by_metric for root in roots)
    problems = _unknown_entries(case)
    if not (plateaus_only and start == "now"):
        problems += _unknown_past(case)
    if problems:
        raise GroupError(*problems)
    if start == "beginning":
        return _replayed(case)
    return _as_it_is(case) if plateaus_only else _replayed_to(case)


@dataclass(frozen=True)
class _Case:
    """A group to add: to which optimizer, under which schedulers."""

    optimizer: Optimizer
    given: Group  # its options, and maybe its lr_lambda
    roots: Sequence[LRScheduler]

    @property
    def members(self) -> list[LRScheduler]:
        return [member for root in self.roots for member in members_of(root)]

    def entries(self, scheduler: LRScheduler) -> Group:
        """Find the new group's entries: given, in proportion to its lr, or common; else None."""
        entries: Group = {}
        for name, key in _keys(scheduler).items():
            groups = [group for group in self.optimizer.param_groups if name in group]
            values = getattr(scheduler, name, [group[name] for group in groups])
            if not values:  # OneCycleLR without cycle_momentum
                continue
            entry = self.given.get(key)
            if entry is None and name in kept_by(scheduler).scaled:
                entry = _in_proportion(values, scheduler.base_lrs, self.given["lr"])
            entries[name] = _common(values) if entry is None else entry
        return entries

    def group(self) -> Group:
        """Return the new group's options, and what the schedulers write into it."""
        group = {key: value for key, value in self.given.items() if key != "lr_lambda"}
        for member in self.members:
            entries = self.entries(member)
            group.update((key, entries[key]) for key in kept_by(member).in_groups if key in entries)
        return {key: copied(value) for key, value in group.items()}


def _keys(scheduler: LRScheduler) -> dict[str, str]:
    """Map what a scheduler keeps for each group to the key by which a group may bring it."""
    kept = kept_by(scheduler)
    return {**kept.lists, **{key: key for key in kept.in_groups}}


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


def _not_extensible(scheduler: LRScheduler, optimizer: Optimizer) -> list[str]:
    title, count = type(scheduler).__name__, len(optimizer.param_groups)
    if unwrapped(scheduler.optimizer) is not optimizer:
        return [f"{title} belongs to another optimizer. Pass the schedulers of this one."]
    lists = lists_of(scheduler)
    problems = [
        f"{title} has {len(getattr(scheduler, name))} {name} for {count} groups: a group was "
        "added without it. Make a new scheduler."
        for name in lists
        if len(getattr(scheduler, name)) != count
    ]
    if type(scheduler) in SCHEDULERS:
        return problems
    stepped = children_of(scheduler) if kept_by(scheduler).nests else []
    # torch/optim/lr_scheduler.py, 2.15: lists of SequentialLR, of OneCycleLR, of both and a chain.
    lists += ["_milestones", "_schedule_phases", "_schedulers"]
    for name, value in vars(scheduler).items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(each, LRScheduler) and each not in stepped for each in values):
            problems.append(
                f"{title} holds another scheduler, {name!r}, and how it steps it is not known. "
                "Make new ones, after the group was added."
            )
        if values is value and len(values) == count and name not in lists:
            problems.append(
                f"{title} keeps {name!r}, a list as long as there are groups, and how to extend "
                "it is not known. Make a new one, after the group was added."
            )
    return problems


def _unknown_entries(case: _Case) -> list[str]:
    """Return a problem for each entry of the new group that is not known."""
    problems = []
    for member in case.members:
        for name, value in case.entries(member).items():
            if value is None:
                key = _keys(member)[name]
                remedy = "Pass lr_lambda=." if key == "lr_lambda" else f"Give the group a {key!r}."
                problems.append(
                    f"{type(member).__name__}: its {name} differ from group to group, so the new "
                    f"group's is not known. {remedy}"
                )
    if "lr_lambda" in case.given and not any("lr_lambdas" in _keys(each) for each in case.members):
        problems.append("lr_lambda is given, but no scheduler has lambdas. Leave it out.")
    return problems


def _unknown_past(case: _Case) -> list[str]:
    """Return what a replay would have to know, and no one has kept."""
    problems = []
    if sum(kept_by(root).by_metric for root in case.roots) > 1:
        problems.append("two ReduceLROnPlateau: which one lowered an lr is not known. Pass one.")
    # A plateau has reduced the very tensor that says where a group started.
    default = case.optimizer.defaults.get("lr")
    if isinstance(default, Tensor) and any(map(_most_reductions, case.roots)):
        lost = [old for old in case.optimizer.param_groups if old["lr"] is default]
        if not all("initial_lr" in old for old in lost):
            problems.append(_unexplained(case, []))
    return problems


def _unexplained(case: _Case, reached: Sequence[float]) -> str:
    """Describe how the schedulers passed don't lead to the current learning rates."""
    current = [float(group["lr"]) for group in case.optimizer.param_groups]
    wrong = [
        f"group {index} has {lr:.6g}, they make it {other:.6g}"
        for index, (lr, other) in enumerate(zip(current, reached, strict=False))
        if not _same_lr(lr, other)
    ]
    advice = "Pass every scheduler, in the order in which they are stepped, and set no lr by hand."
    if any(type(member) not in SCHEDULERS for member in case.members):
        advice += " One of your own that counts its steps itself can't be extended: make a new one."
    if any(kept_by(root).by_metric for root in case.roots):
        advice = (
            "ReduceLROnPlateau does not record how often it reduced: put the lr that each group "
            "started with into it, as 'initial_lr', or pass start=\"now\"."
        )
    found = f": {first_few(wrong)}" if wrong else ""
    return f"replaying the schedulers does not give the current learning rates{found}. {advice}"


class _Replay:
    """A schedule from its start to now, on copies, with the new group."""

    def __init__(self, case: _Case) -> None:
        self.case, copies = case, Copies()
        self.stub = copies.stub_of(case.optimizer)
        self.members = [(each, copies.copy_of(each), case.entries(each)) for each in case.members]
        self.pairs = [(root, copies.copy_of(root)) for root in case.roots]
        self.plateaus = [copy for root, copy in self.pairs if kept_by(root).by_metric]
        default = case.optimizer.defaults.get("lr")
        reduced = default is not None and any(map(_most_reductions, case.roots))
        for old in self.stub.param_groups:
            old.setdefault("initial_lr", copied(default if reduced else old["lr"]))
            old["lr"] = copied(old["initial_lr"])
        lr = case.given["lr"]
        self.stub.param_groups.append({**case.group(), "initial_lr": copied(lr)})
        for member, copy, entries in self.members:
            for name in lists_of(member):
                new = copies.value_of(entries.get(name, lr))
                setattr(copy, name, [*getattr(copy, name), new])

    def run(self, *, in_turn: bool) -> None:
        """Step the copies to where the schedulers are: in turn, or each to its end."""
        for _, copy in self.pairs:
            restart(copy)
        for plateau in self.plateaus:  # its metrics are gone: let each step reduce the lr
            plateau.patience, plateau.cooldown = -1, 0
        moves = [
            steps_to(copy, vars(root)) for root, copy in self.pairs if copy not in self.plateaus
        ]
        for move in chain.from_iterable(zip_longest(*moves) if in_turn else moves):
            if move is not None:
                move()

    def lrs(self) -> list[float]:
        return [float(group["lr"]) for group in self.stub.param_groups]

    def outcomes(self) -> Iterator[Extension]:
        """Yield the new group at each moment when the old groups have the lr that they have."""
        current = [float(group["lr"]) for group in self.case.optimizer.param_groups]
        for _ in range(1 + sum(map(_most_reductions, self.case.roots))):
            lrs = self.lrs()
            if all(map(_same_lr, current, lrs)):
                yield self._extension()
            for plateau in self.plateaus:
                plateau.step(math.nan)
            if all(map(_same_lr, lrs, self.lrs())):
                return

    def _extension(self) -> Extension:
        group = copied(self.stub.param_groups[-1])
        found = []
        for member, copy, entries in self.members:
            # A function is passed on as it is: the replay has called a copy.
            new = {
                name: entries.get(name, copied(getattr(copy, name)[-1]))
                for name in lists_of(member)
            }
            if copy in self.plateaus:
                new["_last_lr"] = copied(group["lr"])
            elif copy._last_lr[0]:  # a plateau may have reduced what the scheduler set
                new["_last_lr"] = new["_last_lr"] * (member._last_lr[0] / copy._last_lr[0])
            found.append((member, new))
        return group, found


def _replayed(case: _Case, *, sure: bool = True) -> Extension:
    """Replay the schedule, in the order that gives the old groups the lr that they have.

    How often a plateau has reduced may remain open; `sure` refuses that if it makes a difference.
    """
    reached: list[float] = []
    for in_turn in (True, False):
        with undisturbed():
            replay = _Replay(case)
            replay.run(in_turn=in_turn)
            reached = replay.lrs()
            found = list(replay.outcomes())
        lrs = [group["lr"] for group, _ in found]
        if found and not (sure and any(not _same_lr(lr, lrs[0]) for lr in lrs)):
            return found[0]
    raise GroupError(_unexplained(case, reached))


def _replayed_to(case: _Case) -> Extension:
    """Let the group start from the lr that the schedule has made the one asked for by now."""
    asked = float(case.given["lr"])

    def replayed(lr: Any) -> Extension:
        return _replayed(replace(case, given={**case.given, "lr": lr}), sure=False)

    # The lr is linear in the one at the start, with a constant such as eta_min, above any floor.
    high = [1024 * (asked or 1.0), 2048 * (asked or 1.0)]
    reached = [float(replayed(lr)[0]["lr"]) for lr in high]
    slope = (reached[1] - reached[0]) / (high[1] - high[0])
    start = high[0] + (asked - reached[0]) / slope if slope else asked
    group, entries = replayed(as_form_of(case.given["lr"], max(start, 0.0)))
    if not _same_lr(group["lr"], asked):
        least = f"{float(replayed(0.0)[0]['lr']):g}{' or more' if slope else ''}"
        raise GroupError(
            f"the schedule has brought every lr to {least} by now, so the new group's can't be "
            f'{asked:g}. Pass start="beginning", or add the group at another step.'
        )
    return {**group, "lr": as_form_of(case.given["lr"], asked)}, entries


def _as_it_is(case: _Case) -> Extension:
    """Add the group under plateaus alone: what they did before does not matter to it."""
    group = case.group()
    if any("initial_lr" in old for old in case.optimizer.param_groups):
        group["initial_lr"] = copied(group["lr"])
    return group, [
        (root, {"_last_lr": copied(group["lr"]), **case.entries(root)}) for root in case.roots
    ]


def _most_reductions(scheduler: LRScheduler) -> int:
    """Count how often a scheduler can have reduced the lr because of a plateau."""
    if not isinstance(scheduler, ReduceLROnPlateau):
        return 0
    return scheduler.last_epoch // (scheduler.patience + 1)


def _same_lr(one: Any, other: Any) -> bool:
    return math.isclose(float(one), float(other), rel_tol=1e-6, abs_tol=1e-12)
