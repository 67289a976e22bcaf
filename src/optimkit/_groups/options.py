"""The options of a group: which there are, when two are the same, and the name they make."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import count
from numbers import Real
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from .._errors import first_few
from .._tables import text
from .._torch_optimizers import NOT_OPTIONS, closest_option, is_extra
from .._values import PLAIN, copied, of_python

_NAN = object()  # as an option, NaN is equal to itself
_NOT_NEGATIVE = ("lr", "weight_decay", "momentum")


def bad_options(
    options: Mapping[str, Any], optimizer: Callable[..., Optimizer] | None = None
) -> list[str]:
    """Return a problem for each option that can't be, with what would be right."""
    wrong = []
    for key, value in options.items():
        if key in NOT_OPTIONS:
            wrong.append(f"{key!r} holds the parameters and is not an option.")
        elif key in _NOT_NEGATIVE and (reason := _no_amount(value)):
            wrong.append(f"{key}={value!r} {reason}")
        elif key == "betas" and not isinstance(value, (tuple, list)):
            kind = type(value).__name__
            wrong.append(f"{key}={value!r} is of type {kind}; it must be a tuple of numbers.")
    if optimizer is not None:
        known = takes(optimizer)
        if known is not None:
            wrong += unknown_options(options, known, class_of(optimizer).__name__)
    return wrong


def unknown_options(options: Iterable[str], known: Iterable[str], title: str) -> list[str]:
    """Return a problem for each option that an optimizer doesn't have."""
    known = list(known)
    wrong = []
    for key in options:
        if key in known or is_extra(key):
            continue
        near = closest_option(key, known, 0.6)
        advice = f"did you mean {near!r}?" if near else f"it takes {first_few(known) or 'none'}."
        wrong.append(f"{title} has no option {key!r}; {advice}")
    return wrong


def class_of(optimizer: Any) -> Any:
    """Look through ``functools.partial`` for the class that will be called."""
    while isinstance(optimizer, partial):
        optimizer = optimizer.func
    return optimizer


@cache  # a signature takes longer to read than the rest of the groups to build
def takes(optimizer: Any) -> tuple[str, ...] | None:
    """List the options that an optimizer class takes."""
    kind = class_of(optimizer)
    if not isinstance(kind, type):
        return None
    try:
        parameters = list(inspect.signature(kind).parameters.values())[1:]
    except ValueError:  # written in C
        return None
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return tuple(each.name for each in parameters if each.kind is not each.VAR_POSITIONAL)


def own_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Copy options: no tensor is shared, and a number of numpy's is one of Python's."""
    own: dict[str, Any] = of_python(copied(options))
    return own


def identity(value: object) -> Hashable:
    """Return a key that two values share if, as options, they are equal and of one form.

    It agrees with :func:`~optimkit._values.same`, but that a tensor stays apart from a number,
    and from a tensor of another dtype or device: a group can't have both.
    """
    if type(value) in PLAIN:
        return value if value == value else _NAN
    if isinstance(value, dict):
        return frozenset([(key, identity(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return tuple(map(identity, value))
    if isinstance(value, Tensor):
        if value.is_meta:
            return ("tensor", id(value))
        return ("tensor", value.dtype, value.device, tuple(value.shape), str(value.tolist()))
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    return value


def _no_amount(value: object) -> str:
    """Return why a value is no learning rate or weight decay; nothing if it is one."""
    if type(value) not in PLAIN and isinstance(value, Tensor):
        if value.numel() != 1:
            return "has more than one element; it must have one."
        if value.is_meta:
            return ""
        value = value.item()
    if not isinstance(value, (float, int, Real)):
        return f"is of type {type(value).__name__}; it must be a number."
    if math.isnan(value):
        return "is not a number; it must be 0 or more."
    return "is negative; it must be 0 or more." if value < 0 else ""


def name_groups(groups: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[str]:
    """Name each group, readably: the name that was asked for, and what else sets it apart."""
    common = {key: identity(value) for key, value in base.items()}
    apart = [
        [
            f"{key}={_short(value)}"
            for key, value in options.items()
            if key != "name" and not (key in common and common[key] == identity(value))
        ]
        for options in groups
    ]
    asked = [options.get("name") for options in groups]
    names = []
    for name, own in zip(asked, apart, strict=True):
        parts = own
        if name:
            alike = [set(each) for other, each in zip(asked, apart, strict=True) if other == name]
            in_all = set.intersection(*alike)
            parts = [name, *(part for part in own if part not in in_all)]
        names.append(", ".join(parts) or "default")
    taken: set[str] = set()
    for index in sorted(range(len(names)), key=lambda index: names[index] != asked[index]):
        names[index] = numbered(names[index], taken)  # one that was asked for goes first
        taken.add(names[index])
    return names


def is_made(name: object, options: Mapping[str, Any]) -> bool:
    """Return whether a name is one of ours, which may be changed: no one has asked for it."""
    if not isinstance(name, str):
        return False
    return name == "default" or all(part.partition("=")[0] in options for part in name.split(", "))


def numbered(name: str, taken: Collection[str]) -> str:
    if name not in taken:
        return name
    return next(new for number in count(2) if (new := f"{name} #{number}") not in taken)


def _short(value: object) -> str:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_meta:
        value = value.item()
    return text(value) if value is not None else "None"
