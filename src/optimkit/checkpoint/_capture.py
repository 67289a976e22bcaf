"""What of an object goes into a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from ._header import is_group, kind_of
from ._matching.modules import own_state


def states_of(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes into a file: state dicts of objects, and plain values as they are."""
    return {
        name: states_of(value) if is_group(value) else state_of(value)
        for name, value in objects.items()
    }


def state_of(value: Any) -> Any:
    """Return the state dict of an object, as a file can hold it; a plain value as it is."""
    if kind_of(value) == "value":
        return value
    if isinstance(value, nn.Module):
        return own_state(value)
    state = value.state_dict()
    return _without_functions(state) if isinstance(value, LRScheduler) else state


def _without_functions(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(map(_without_functions, item)) if key == "_schedulers" else item
        for key, item in state.items()
        if not callable(item)
    }
