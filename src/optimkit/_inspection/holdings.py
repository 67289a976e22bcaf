"""What an optimizer holds, brought to one form: from the live object, or from what was saved.

Everything else in this wing reads a :class:`Holding`, and so works on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from .._values import plain

Names = Mapping[int, str]
UNNAMED: Names = {}

_NOT_OPTIONS = ("params", "param_names")
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Holding:
    """What an optimizer holds: a column for each fact, an entry for each parameter."""

    kind: str
    optimizer: Optimizer | None
    defaults: Mapping[str, Any]
    raw_groups: list[Mapping[str, Any]]
    groups: list[Mapping[str, Any]]
    names: list[str]
    named: bool
    tensors: list[Any]
    group_of: list[int]
    states: list[Mapping[str, Any]]
    orphans: list[tuple[Any, Any]]

    @property
    def labels(self) -> list[str]:
        """The name of each group, or its place."""
        return [group_label(index, group) for index, group in enumerate(self.groups)]


def group_label(index: int, group: Mapping[str, Any]) -> str:
    """Name a group: by its own name if it has one."""
    name = group.get("name")
    return name if isinstance(name, str) and name else f"group {index}"


def hold(optimizer: Optimizer, names: Names = UNNAMED) -> Holding:
    """Look at a live optimizer; nothing of it is changed, or computed."""
    labels: list[str] = []
    tensors: list[Any] = []
    group_of: list[int] = []
    named = True
    groups = list(map(_mapping, entries(getattr(optimizer, "param_groups", None))))
    for index, group in enumerate(groups):
        params = entries(group.get("params"))
        own = entries(group.get("param_names"))
        known = list(map(names.get, map(id, params)))
        if None in known:
            for place, name in enumerate(known):
                known[place] = name or (str(own[place]) if place < len(own) else None)
            named &= None not in known
        labels += [name or f"params[{place}]" for place, name in enumerate(known, len(labels))]
        tensors += params
        group_of += [index] * len(params)
    state = _mapping(getattr(optimizer, "state", None))
    held = set(map(id, tensors))
    return Holding(
        kind=type(optimizer).__name__,
        optimizer=optimizer,
        defaults=_mapping(getattr(optimizer, "defaults", None)),
        raw_groups=groups,
        groups=list(map(_options, groups)),
        names=labels,
        named=named and bool(labels),
        tensors=tensors,
        group_of=group_of,
        states=[_mapping(state.get(param)) for param in tensors],  # `get` never fills it
        orphans=[]
        if held.issuperset(map(id, state))
        else [(key, value) for key, value in state.items() if id(key) not in held],
    )


def hold_saved(state_dict: Mapping[str, Any], kind: str = "state dict") -> Holding:
    """Look at the state dict of an optimizer."""
    state = state_dict["state"]
    ids: list[Any] = []
    names: list[str] = []
    group_of: list[int] = []
    named = True
    groups = list(state_dict["param_groups"])
    for index, group in enumerate(groups):
        own = entries(group.get("param_names"))
        for place, key in enumerate(entries(group.get("params"))):
            name = own[place] if place < len(own) else key if isinstance(key, str) else None
            named &= name is not None
            names.append(f"params[{len(names)}]" if name is None else str(name))
            ids.append(key if isinstance(key, (int, str)) else None)
            group_of.append(index)
    held = set(ids)
    return Holding(
        kind=kind,
        optimizer=None,
        defaults=_NOTHING,
        raw_groups=groups,
        groups=list(map(_options, groups)),
        names=names,
        named=named and bool(names),
        tensors=[None] * len(names),
        group_of=group_of,
        states=[_mapping(state.get(key)) for key in ids],
        orphans=[(key, value) for key, value in state.items() if key not in held],
    )


def _options(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy a group's options: the group goes on changing."""
    return {str(key): plain(value) for key, value in group.items() if key not in _NOT_OPTIONS}


def entries(value: object) -> list[Any]:
    """List what a group holds; what can't be a list of parameters, or names, holds none."""
    if isinstance(value, Tensor):
        return [value]
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []


def _mapping(value: object) -> Mapping[str, Any]:
    """Take a state, or a group, as it is; as an empty one if it is no mapping."""
    return value if type(value) is dict or isinstance(value, Mapping) else _NOTHING
