"""Schedulers for one more parameter group, whose lr is found by replaying the schedule on copies.

That the old groups come out at the lr that they have proves the replay; else nothing is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .._errors import GroupError, first_few
from .._torch_schedulers import (
    SCHEDULERS,
    Copies,
    children_of,
    kept_by,
    lists_of,
    members_of,
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


def start_of(optimizer: Optimizer, roots: Iterable[LRScheduler]) -> Group:
    """Find the lr that a group without one starts from, if not the default's; maybe None."""
    olds = [old for old in optimizer.param_groups if "initial_lr" in old]
    default = getattr(optimizer, "defaults", {}).get("lr")
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
    given = group if lr_lambda is None else {**group, "lr_lambda": lr_lambda}
    case = _Case(optimizer, given, roots)
    problems = [text for each in case.members for text in _not_extensible(each, optimizer)]
    if problems:
        raise GroupError(*problems)
    problems = _unknown_entries(case)
    replays = start == "beginning" or len(case.plateaus) < len(roots)
    if replays and len(case.plateaus) > 1:
        problems.append("two ReduceLROnPlateau: which one lowered an lr is not known. Pass one.")
    if problems:
        raise GroupError(*problems)
    if not replays:
        return _as_it_is(case)
    return _replayed(case) if start == "beginning" else _replayed_to(case)


@dataclass(frozen=True)
class _Case:
    """A group to add: to which optimizer, under which schedulers."""

    optimizer: Optimizer
    given: Group  # its options, and maybe its lr_lambda
    roots: Sequence[LRScheduler]

    @property
    def members(self) -> list[LRScheduler]:
        return [member for root in self.roots for member in members_of(root)]

    @property
    def plateaus(self) -> list[Any]:
        return [root for root in self.roots if kept_by(root).by_metric]

    @property
    def lrs(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    @property
    def most_reductions(self) -> int:
        """How often plateaus can have reduced the lr."""
        return sum(each.last_epoch // (each.patience + 1) for each in self.plateaus)

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
    if not isinstance(scheduler, LRScheduler):
        return [
            f"{title} is no scheduler of torch.optim.lr_scheduler, and how to extend it is not "
            "known. Make a new one, after the group was added."
        ]
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


def _unexplained(case: _Case, reached: Sequence[float]) -> str:
    """Describe how the schedulers passed don't lead to the current learning rates."""
    wrong = [
        f"group {index} has {lr:.6g}, they make it {other:.6g}"
        for index, (lr, other) in enumerate(zip(case.lrs, reached, strict=False))
        if not _same_lr(lr, other)
    ]
    advice = "Pass every scheduler, in the order in which they are stepped, and set no lr by hand."
    if any(type(member) not in SCHEDULERS for member in case.members):
        advice += " One of your own that counts its steps itself can't be extended: make a new one."
    if case.plateaus:
        advice = (
            "ReduceLROnPlateau does not record how often it reduced: put the lr that each group "
            "started with into it, as 'initial_lr', or pass start=\"now\"."
        )
    found = f": {first_few(wrong)}" if wrong else ""
    return f"replaying the schedulers does not give the current learning rates{found}. {advice}"


class _Replay:
    """A schedule from its start to now, on copies, with the new group; without plateaus."""

    def __init__(self, case: _Case, *, in_turn: bool) -> None:
        self.case, copies, lr = case, Copies(), case.given["lr"]
        self.groups = copies.stub_of(case.optimizer).param_groups
        for group, old in zip(self.groups, case.optimizer.param_groups, strict=True):
            group["initial_lr"] = copied(_start(case, old))
            group["lr"] = copied(group["initial_lr"])
        self.groups.append({**case.group(), "initial_lr": copied(lr)})
        roots = [root for root in case.roots if root not in case.plateaus]
        self.members = [
            (each, copies.copy_of(each), case.entries(each))
            for root in roots
            for each in members_of(root)
        ]
        for member, copy, entries in self.members:
            for name in lists_of(member):
                new = copies.value_of(entries.get(name, lr))
                setattr(copy, name, [*getattr(copy, name), new])
        for root in roots:
            restart(copies.copy_of(root))
        moves = [steps_to(copies.copy_of(root), vars(root)) for root in roots]
        for move in chain.from_iterable(zip_longest(*moves) if in_turn else moves):
            if move is not None:
                move()
        self.lrs = [float(group["lr"]) for group in self.groups[:-1]]

    def extension(self, reduction: float) -> Extension:
        """Return what has been reached, less what a plateau has taken off it."""
        group = copied(self.groups[-1])
        plateaus = [(each, self.case.entries(each)) for each in self.case.plateaus]
        for _, entries in plateaus:
            least = min(entries["min_lrs"], float(group["lr"]))
            group["lr"] = as_form_of(group["lr"], max(group["lr"] * reduction, least))
        found = []
        for member, copy, entries in self.members:
            # A function is passed on as it is: the replay has called a copy.
            new = {
                name: entries.get(name, copied(getattr(copy, name)[-1]))
                for name in lists_of(member)
            }
            if copy._last_lr[0]:  # a plateau may have reduced what the scheduler set
                new["_last_lr"] = new["_last_lr"] * (member._last_lr[0] / copy._last_lr[0])
            found.append((member, new))
        last = {"_last_lr": copied(group["lr"])}
        return group, [*found, *((each, last | entries) for each, entries in plateaus)]


def _start(case: _Case, old: Group) -> Any:
    """Return the lr that an old group started with."""
    default = case.optimizer.defaults.get("lr")
    if "initial_lr" in old or default is None or not case.most_reductions:
        return old.get("initial_lr", old["lr"])
    if isinstance(default, Tensor) and old["lr"] is default:  # which the plateau has reduced
        raise GroupError(_unexplained(case, []))
    return default


def _reduction(case: _Case, reached: Sequence[float]) -> float | None:
    """Return the factor by which a plateau has reduced what a replay reached; None if not known."""
    most, factor = case.most_reductions, 1.0
    for plateau in case.plateaus if most else ():
        factor = plateau.factor
        if any(lr <= least for lr, least in zip(case.lrs, plateau.min_lrs, strict=True)):
            return None  # its bound hides how often
    for times in range(most + 1):
        lrs = (lr * factor**times for lr in reached)
        if all(map(_same_lr, lrs, case.lrs)):
            return factor**times
    return None


def _replayed(case: _Case) -> Extension:
    """Replay the schedule, in the order that gives the old groups the lr that they have."""
    for in_turn in (True, False):
        with undisturbed():
            replay = _Replay(case, in_turn=in_turn)
        reduction = _reduction(case, replay.lrs)
        if reduction is not None:
            return replay.extension(reduction)
    raise GroupError(_unexplained(case, replay.lrs))


def _replayed_to(case: _Case) -> Extension:
    """Let the group start from the lr that the schedule has made the one asked for by now."""
    asked = float(case.given["lr"])

    def replayed(lr: Any) -> Extension:
        return _replayed(replace(case, given={**case.given, "lr": lr}))

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


def _same_lr(one: Any, other: Any) -> bool:
    return math.isclose(float(one), float(other), rel_tol=1e-6, abs_tol=1e-12)
