"""Wrappers: an optimizer or scheduler inside another object, as trainers and packages have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def unwrapped(value: Any) -> Any:
    """Return the optimizer or scheduler that does a wrapper's work; anything else as it is."""
    inner = _inner(value)
    return value if inner is None else unwrapped(inner)


def stored(value: Any) -> Any:
    """Return whose state dict a checkpoint has: the wrapped one's, unless the wrapper's is another."""
    inner = unwrapped(value)
    if inner is value or getattr(type(value), "state_dict", None) is Optimizer.state_dict:
        return inner
    try:
        outer, state = value.state_dict(), inner.state_dict()
    except Exception:  # the save that asks again says so
        return value
    return inner if isinstance(outer, Mapping) and outer.keys() >= state.keys() else value


def own_state_of(outer: Any) -> dict[Any, dict[str, Any]]:
    """Return what an optimizer that wraps another keeps for each parameter beside the other's state."""
    inner, found = unwrapped(outer), {}
    state = (
        vars(outer).get("state") if isinstance(outer, Optimizer) and inner is not outer else None
    )
    for param, mine in (state or {}).items():
        others = inner.state.get(param, {})
        if own := {key: value for key, value in mine.items() if key not in others}:
            found[param] = own
    return found


def _inner(value: Any) -> Any:
    if isinstance(value, (type, nn.Module, LRScheduler)):
        return None
    held = list(getattr(value, "__dict__", {}).values())
    found = [each for each in held if isinstance(each, Optimizer) and each is not value]
    if len(found) == 1 and hasattr(value, "step") and hasattr(value, "zero_grad"):
        # Sharded optimizers hold one of a part of the parameters, which is no stand-in for them.
        groups = getattr(value, "param_groups", found[0].param_groups)
        return found[0] if _params(groups) == _params(found[0].param_groups) else None
    if isinstance(value, Optimizer) or any(
        isinstance(each, (Optimizer, nn.Module)) for each in held
    ):
        return None  # a whole run, which has a scheduler among other things
    schedulers = [each for each in held if isinstance(each, LRScheduler)]
    return schedulers[0] if len(schedulers) == 1 else None


def _params(groups: Any) -> list[int]:
    # mmengine/optim/optimizer/optimizer_wrapper.py, 0.10: its groups end in a tensor of its own.
    return [id(each) for group in groups for each in group["params"] if each.requires_grad]
