"""Whatever holds an optimizer: the live one, its state dict, a mapping, a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from .._errors import CheckpointError, first_few
from .._files import is_state_dict, optimizers_in, read
from .holdings import UNNAMED, Holding, Names, hold, hold_saved

Source = Optimizer | Mapping[str, Any] | str | os.PathLike[str]


def hold_any(source: object, names: Names = UNNAMED, key: str | None = None) -> Holding:
    """Look at an optimizer, at a state dict, or into a checkpoint."""
    if isinstance(source, Optimizer):
        return hold(source, names)
    if isinstance(source, (str, os.PathLike)):
        where = os.fspath(source)
        content = read(source)
    elif isinstance(source, Mapping):
        where, content = "the mapping", source
    else:
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer, its state dict, or the path of a "
            f"checkpoint, not {type(source).__name__}"
        )
    if is_state_dict(content):
        return hold_saved(content)
    found = optimizers_in(content)
    if not found and isinstance(source, Mapping):
        raise TypeError(
            "optimizer must be a state dict with 'state' and 'param_groups', or hold one; "
            f"this mapping has {first_few(map(repr, source)) or 'nothing'}"
        )
    chosen = _choose(found, key, where, content)
    return hold_saved(found[chosen], chosen)


def _choose(found: Mapping[str, Any], key: str | None, where: str, content: object) -> str:
    """Choose one optimizer of a checkpoint, or say which there are."""
    if key is not None and key in found:
        return key
    if not found:
        keys = (
            first_few(map(repr, content))
            if isinstance(content, Mapping)
            else type(content).__name__
        )
        raise CheckpointError(
            f"{where} holds no optimizer: a mapping with 'state' and 'param_groups' was "
            f"expected, found {keys or 'nothing'}. Save optimizer.state_dict() in it."
        )
    if key is not None:
        raise CheckpointError(
            f"{where} holds no optimizer called {key!r}. Choose one of: {first_few(found)}."
        )
    if len(found) > 1:
        raise CheckpointError(
            f"{where} holds {len(found)} optimizers. Choose one by key=: {first_few(found)}."
        )
    return next(iter(found))
