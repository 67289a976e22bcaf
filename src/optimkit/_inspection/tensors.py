"""Tensors in state and options: what they hold, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def plain(value: object) -> Any:
    """Take a number out of a tensor, if that costs no wait for a device."""
    if isinstance(value, Tensor):
        if value.numel() == 1 and value.device.type == "cpu" and value.layout is torch.strided:
            return value.item()
        return value
    if type(value) in (tuple, list):
        return tuple(map(plain, value))  # type: ignore[call-overload]
    return value


def tensors_in(value: object) -> Sequence[Tensor]:
    """Return the tensors of a piece of state: LBFGS keeps lists of them."""
    if isinstance(value, Tensor):
        return (local(value),)
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in tensors_in(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return ()


def alike(states: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[int]]:
    """Find the states that have the same keys: thousands of states have few sets of keys."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place, keys in enumerate(map(tuple, states)):
        if keys:
            places.setdefault(keys, []).append(place)
    return places


def local(tensor: Tensor) -> Tensor:
    """Return what this rank holds of a tensor."""
    return tensor._local_tensor if hasattr(tensor, "_local_tensor") else tensor


def nbytes(tensor: Tensor) -> int:
    """Count the bytes of a tensor's values."""
    if tensor.layout is torch.strided:
        return tensor.numel() * tensor.element_size()
    if tensor.layout is torch.sparse_coo:
        return nbytes(tensor._indices()) + nbytes(tensor._values())
    return tensor.untyped_storage().nbytes()
