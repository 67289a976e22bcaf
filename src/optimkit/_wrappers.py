"""Wrappers: an optimizer or scheduler inside another object, as trainers and packages have them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ._errors import broken, let_through
from ._values import items_of

_FEW = 8  # so many entries of a list are looked at
_DEEPEST = 4  # so many wrappers may be around each other


def unwrapped(value: Any, depth: int = _DEEPEST) -> Any:
    """Return the optimizer or scheduler that does a wrapper's work; anything else as it is."""
    inner = _inner(value, depth)
    return value if inner is None else unwrapped(inner, depth)


def stored(value: Any) -> Any:
    """Return whose state dict a checkpoint has: the wrapped one's, unless the wrapper's is another."""
    inner = unwrapped(value)
    if inner is value or getattr(type(value), "state_dict", None) is Optimizer.state_dict:
        return inner
    try:
        outer, state = value.state_dict(), inner.state_dict()
    except Exception as error:  # the save that asks again says so
        let_through(error)
        return value
    return inner if isinstance(outer, Mapping) and outer.keys() >= state.keys() else value


def layers(value: Any) -> list[Any]:
    """Return what wraps each other: the outermost first, at the end what does the work."""
    inner = _inner(value, _DEEPEST)
    return [value] if inner is None else [value, *layers(inner)]


def state_around(outer: Any) -> dict[Any, Any]:
    """Return the table of state of an optimizer that wraps another, if it is one of its own."""
    *wrappers, inner = layers(outer)
    for each in wrappers:
        state = vars(each).get("state") if isinstance(each, Optimizer) else None
        if state is not None and state is not inner.state:
            return state  # type: ignore[no-any-return]
    return {}


def own_state_of(outer: Any) -> dict[Any, dict[str, Any]]:
    """Return what an optimizer that wraps another keeps for each parameter beside the other's state."""
    inner, found = unwrapped(outer), {}
    for param, mine in state_around(outer).items():
        others = inner.state.get(param, {})
        if own := {key: value for key, value in mine.items() if key not in others}:
            found[param] = own
    return found


def readable(optimizer: Optimizer) -> Optimizer:
    """Return an optimizer whose groups and state can be read; else say what raises."""
    for name in ("param_groups", "state", "defaults"):
        try:
            getattr(optimizer, name, None)
        except Exception as error:
            let_through(error)
            kind = type(optimizer).__name__
            raise TypeError(broken(f"{kind}.{name}", kind, error)) from error
    return optimizer


def optimizers_within(value: Any) -> dict[str, Optimizer]:
    """Return the optimizers that one holds, by where, in short lists and dicts too."""
    own = _attributes(value)
    for name, each in list(own.items()):
        if isinstance(each, (list, tuple, dict)) and len(each) <= _FEW:
            held = [pair for pair in items_of(each) if isinstance(pair[1], Optimizer)]
            own.update((f"{name}[{key!r}]", item) for key, item in held)
    return {key: each for key, each in own.items() if isinstance(each, Optimizer)}


def _attributes(value: Any) -> dict[str, Any]:
    """Return what an object holds under names, in slots too."""
    own = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            with contextlib.suppress(AttributeError, KeyError):  # not set yet, or a private name
                own[name] = vars(kind)[name].__get__(value)
    return own


def _inner(value: Any, depth: int) -> Any:
    if isinstance(value, (type, nn.Module, LRScheduler)):
        return None
    own = {id(each): each for each in _attributes(value).values() if each is not value}
    held = [(each, _within(each, depth)) for each in own.values()]
    found = [pair for pair in held if isinstance(pair[1], Optimizer)]
    steps = hasattr(value, "step") and hasattr(value, "zero_grad")
    listed = {} if found or not steps else optimizers_within(value)
    found = found or [
        (each, each) for each in {id(each): each for each in listed.values()}.values()
    ]
    if len(found) == 1 and steps:
        [(wrapped, inner)] = found
        # Sharded optimizers hold one of a part of the parameters, which is no stand-in for them.
        groups = getattr(readable(value), "param_groups", readable(inner).param_groups)
        return wrapped if _params(groups) == _params(inner.param_groups) else None
    if isinstance(value, Optimizer) or any(
        isinstance(inner, (Optimizer, nn.Module)) for _, inner in held
    ):
        return None  # a whole run, which has a scheduler among other things
    schedulers = [each for each, inner in held if isinstance(inner, LRScheduler)]
    return schedulers[0] if len(schedulers) == 1 else None


def _within(value: Any, depth: int) -> Any:
    """Return what a wrapper that is wrapped wraps; anything else as it is."""
    steps = any(hasattr(type(value), name) for name in ("step", "__getattr__"))
    direct = isinstance(value, (Optimizer, LRScheduler)) or not steps or not depth
    return value if direct else unwrapped(value, depth - 1)


def _params(groups: Any) -> list[int]:
    # mmengine/optim/optimizer/optimizer_wrapper.py, 0.10: its groups end in a tensor of its own.
    return [id(each) for group in groups for each in group["params"] if each.requires_grad]
