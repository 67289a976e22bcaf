"""Norms of many tensors, with one wait for each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .tensors import local, tensors_in


def state_norms(states: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Compute the norm of every tensor in some states.

    Parameters
    ----------
    states : sequence of mapping
        The state of each parameter.

    Returns
    -------
    list of dict of str to float
        For each state, key -> norm; without what is no tensor, or has no values (meta).

    Examples
    --------
    >>> state_norms([{"exp_avg": torch.tensor([3.0, 4.0]), "step": 7}])
    [{'exp_avg': 5.0}]
    """
    found: list[dict[str, float]] = [{} for _ in states]
    together: dict[Any, list[tuple[dict[str, float], str, Tensor]]] = {}
    usual: list[tuple[dict[str, float], str, Tensor]] = []
    together[None] = usual
    for norms, state in zip(found, states, strict=True):
        for key, value in state.items():
            if (
                type(value) is Tensor
                and value.dtype is _USUAL
                and value.is_cpu
                and value.ndim
                and value.layout is _STRIDED
            ):
                norms[key] = 0.0
                usual.append((norms, key, value))
                continue
            tensor = value if type(value) is Tensor and _is_plain(value) else _brought(value)
            if tensor is None:
                continue
            if not tensor.ndim and tensor.is_cpu:  # a count of steps: no need to wait for it
                norms[str(key)] = abs(tensor.item())
                continue
            norms[str(key)] = 0.0  # keeps its place; the number comes below
            kind = (tensor.dtype, tensor.device if not tensor.is_cpu else None)
            together.setdefault(kind, []).append((norms, str(key), tensor))
    for entries in filter(None, together.values()):
        numbers = _together([tensor for *_, tensor in entries])
        for (norms, key, _), number in zip(entries, numbers, strict=True):
            norms[key] = number
    return found


def _brought(value: Any) -> Tensor | None:
    """Bring any piece of state to one plain tensor of the same norm; None if it has none."""
    tensors = tensors_in(value)
    if not tensors or tensors[0].device.type == "meta":
        return None
    if len(tensors) == 1 and _is_plain(tensors[0]):
        return tensors[0]
    return norm_of(tensors)


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of some tensors together.

    Parameters
    ----------
    tensors : sequence of torch.Tensor
        At least one, of any type and layout.

    Returns
    -------
    torch.Tensor
        One number of ``float64``.

    Examples
    --------
    >>> norm_of([torch.tensor([3, 0]), torch.tensor([[4]])]).item()
    5.0
    """
    norms = [torch.linalg.vector_norm(_plain(local(each))).double() for each in tensors]
    together: Tensor = norms[0]
    if len(norms) > 1:
        together = torch.linalg.vector_norm(torch.stack(norms))
    return together


_STRIDED = torch.strided
_USUAL = torch.float32
_WIDE = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a norm can be taken as it is: half precision would overflow."""
    return tensor.dtype in _WIDE and tensor.layout is _STRIDED and not tensor.is_meta


def _plain(tensor: Tensor) -> Tensor:
    """Bring any tensor to one whose norm can be taken."""
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if _is_plain(tensor):
        return tensor
    return tensor.to(torch.float64 if not tensor.is_floating_point() else torch.float32)


def _together(tensors: list[Tensor]) -> list[float]:
    """Take the norms of tensors of one type on one device, and wait once."""
    with torch.no_grad():
        numbers: list[float] = torch.stack(list(torch._foreach_norm(tensors))).double().tolist()
    return numbers
