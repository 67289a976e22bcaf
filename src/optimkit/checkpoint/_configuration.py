"""What of a scheduler is its configuration, and whether two are configured alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from .._errors import first_few
from .._torch_schedulers import (
    SCHEDULERS,
    children_of,
    configuration_of,
    kept_by,
    list_names,
    no_option_of_any,
)
from .._torch_schedulers import members_of as members_of
from .._values import plain, same
from ._classes import class_of, same_class, short

IN_GROUPS = {kind: row.in_groups for kind, row in SCHEDULERS.items()}
PER_GROUP = frozenset(list_names())

GroupMap = Sequence[int | None]


def config_of(scheduler: LRScheduler) -> dict[str, Any]:
    """Say which entries of a scheduler's state are its configuration."""
    kept = kept_by(scheduler)
    return {
        "class": class_of(scheduler),
        "keys": configuration_of(scheduler),
        "in_groups": {
            key: [plain(group.get(key)) for group in scheduler.optimizer.param_groups]
            for key in kept.in_groups
            if key not in kept.lists.values()
        },
        "schedulers": [config_of(each) for each in children_of(scheduler)],
    }


def other_kind(saved: Mapping[str, Any], about: Mapping[str, Any] | None, live: LRScheduler) -> str:
    """Say with which other scheduler a state was saved; without a header, by what it keeps."""
    if about:
        was, now = list(_classes(about)), list(_classes(config_of(live)))
        return "" if len(was) == len(now) and all(map(same_class, was, now)) else told(about)
    strange = _strange(saved, live.state_dict())
    return f"one that keeps {first_few(sorted(strange))}" if strange else ""


def told(config: Mapping[str, Any]) -> str:
    """Name a scheduler, and those inside it."""
    classes = list(_classes(config))
    inner = f" of {first_few(map(short, classes[1:]))}" if classes[1:] else ""
    return short(classes[0]) + inner


def _strange(saved: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Say by which keys two states are those of two classes."""
    found = (saved.keys() ^ now.keys()) - no_option_of_any()
    nested = [side.get("_schedulers", ()) for side in (saved, now)]
    if len(nested[0]) != len(nested[1]):
        return found | {f"{len(nested[0])} schedulers"}
    for one, two in zip(*nested, strict=True):
        found |= _strange(one, two)
    return found


def _classes(config: Mapping[str, Any]) -> Iterator[str]:
    yield config["class"]
    for each in config["schedulers"]:
        yield from _classes(each)


def changed_in(
    saved: Mapping[str, Any],
    live: LRScheduler,
    config: Mapping[str, Any],
    groups: GroupMap | None,
) -> Iterator[tuple[str, str, Any, Any]]:
    """Give where the configurations differ: class, key, saved, today's."""
    for key in config["keys"]:
        now = getattr(live, key)
        if key in saved:
            was = saved[key]
            if key in PER_GROUP and groups is not None:
                was = regrouped(was, now, groups)
            if not same(was, now):
                yield short(config["class"]), key, was, now
    nested = zip(saved.get("_schedulers", ()), config["schedulers"], strict=False)
    for index, (state, inner) in enumerate(nested):
        yield from changed_in(state, live._schedulers[index], inner, groups)  # type: ignore[attr-defined]


def changed_in_groups(
    saved: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, str, Any, Any]]:
    """Give the same of what lies in the groups, for a scheduler without its optimizer."""
    was = saved.get("in_groups", {})
    for key, values in now["in_groups"].items():
        if key in was and not same(was[key], values):
            yield short(now["class"]), key, was[key], values
    for one, two in zip(saved["schedulers"], now["schedulers"], strict=False):
        yield from changed_in_groups(one, two)


def plain_in(value: Any) -> Any:
    """Take the numbers out of tensors, in lists too."""
    return [plain(item) for item in value] if isinstance(value, list) else plain(value)


def regrouped(was: Sequence[Any], now: Sequence[Any], groups: GroupMap) -> list[Any]:
    """Take for each group of today the entry of the saved one; a new group keeps its own."""
    return [
        now[index] if at is None or at >= len(was) else was[at] for index, at in enumerate(groups)
    ]
