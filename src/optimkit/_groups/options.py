"""The options of a group: which there are, what they may be, when two are the same."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache, partial
from numbers import Number, Real
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from .._errors import first_few
from .._torch_optimizers import closest_option, is_extra
from .._values import PLAIN, copied

RESERVED = frozenset({"params", "param_names"})
"""Keys of a group that are no options: they hold the parameters."""

_NOT_NEGATIVE = ("lr", "weight_decay", "momentum")


def bad_options(
    options: Mapping[str, Any], optimizer: Callable[..., Optimizer] | None = None
) -> list[str]:
    """Say which options can't be, and what would be right."""
    wrong = []
    for key, value in options.items():
        if key in RESERVED:
            wrong.append(f"{key!r} holds the parameters, and is no option.")
        elif key in _NOT_NEGATIVE and (text := _no_amount(value)):
            wrong.append(f"{key}={value!r} {text}")
    if optimizer is not None:
        known = takes(optimizer)
        if known is not None:
            wrong += unknown_options(options, known, class_of(optimizer).__name__)
    return wrong


def unknown_options(options: Iterable[str], known: Iterable[str], title: str) -> list[str]:
    """Say which options an optimizer doesn't have."""
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
    return {
        key: value.item() if isinstance(value, Number) and hasattr(value, "item") else value
        for key, value in copied(options).items()
    }


def identity(value: object) -> Hashable:
    """Give two values the same key if, as options, they are equal."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        if PLAIN.issuperset(map(type, value.values())):
            return frozenset(value.items())
        return frozenset([(key, identity(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value), tuple(map(identity, value)))
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
    """Say why a value is no learning rate or weight decay; nothing if it is one."""
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
