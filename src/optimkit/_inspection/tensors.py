"""Tensors in state and options: what they hold, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def plain(value: object) -> Any:
    """Take a number out of a tensor, if that costs no wait for a device.

    Parameters
    ----------
    value : object
        An option, or a piece of state.

    Returns
    -------
    Any
        A Python number for a tensor with one element on the CPU; all else as it is.

    Examples
    --------
    >>> plain(torch.tensor(0.5)), plain((0.9, torch.tensor(0.5))), plain("adam")
    (0.5, (0.9, 0.5), 'adam')
    """
    if isinstance(value, Tensor):
        if value.numel() == 1 and value.device.type == "cpu" and value.layout is torch.strided:
            return value.item()
        return value
    if type(value) in (tuple, list):
        return tuple(map(plain, value))  # type: ignore[call-overload]
    return value


def tensors_in(value: object) -> Sequence[Tensor]:
    """Return the tensors of a piece of state: LBFGS keeps lists of them.

    Parameters
    ----------
    value : object
        A piece of state.

    Returns
    -------
    sequence of torch.Tensor
        The tensors in it; of a DTensor, this rank's part.

    Examples
    --------
    >>> len(tensors_in([torch.ones(1), None, {"a": torch.ones(2)}]))
    2
    """
    if isinstance(value, Tensor):
        return (local(value),)
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in tensors_in(item)]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return ()


def alike(states: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[int]]:
    """Find the states that have the same keys: thousands of states have few sets of keys.

    Parameters
    ----------
    states : sequence of mapping
        The state of each parameter.

    Returns
    -------
    dict of tuple to list of int
        The keys -> which states have them, in this order; without empty states.

    Examples
    --------
    >>> alike([{"sum": 1}, {}, {"sum": 2}])
    {('sum',): [0, 2]}
    """
    places: dict[tuple[str, ...], list[int]] = {}
    for place, keys in enumerate(map(tuple, states)):
        if keys:
            places.setdefault(keys, []).append(place)
    return places


def local(tensor: Tensor) -> Tensor:
    """Return what this rank holds of a tensor.

    Parameters
    ----------
    tensor : torch.Tensor
        Any tensor, a DTensor too.

    Returns
    -------
    torch.Tensor
        A plain tensor.
    """
    return tensor._local_tensor if hasattr(tensor, "_local_tensor") else tensor


def nbytes(tensor: Tensor) -> int:
    """Count the bytes of a tensor's values.

    Parameters
    ----------
    tensor : torch.Tensor
        Any layout, any device.

    Returns
    -------
    int
        The bytes; a sparse tensor counts its indices and values.

    Examples
    --------
    >>> nbytes(torch.ones(3, dtype=torch.bfloat16)), nbytes(torch.ones(3).to_sparse())
    (6, 36)
    """
    if tensor.layout is torch.strided:
        return tensor.numel() * tensor.element_size()
    if tensor.layout is torch.sparse_coo:
        return nbytes(tensor._indices()) + nbytes(tensor._values())
    return tensor.untyped_storage().nbytes()
