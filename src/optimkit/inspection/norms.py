"""Norms of many tensors, with one wait for each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .holdings import local, tensors_in

_Place = tuple[int, str]


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
    together: dict[tuple[torch.device, torch.dtype], list[tuple[_Place, Tensor]]] = {}
    for place, state in enumerate(states):
        for key, value in state.items():
            tensors = (value,) if type(value) is Tensor else tensors_in(value)
            if not tensors or tensors[0].device.type == "meta":
                continue
            found[place][str(key)] = 0.0  # in its order; the number comes below
            tensor = tensors[0]
            if len(tensors) > 1 or not _is_plain(tensor):
                tensor = norm_of(tensors)
            elif tensor.numel() == 1 and tensor.device.type == "cpu":
                found[place][str(key)] = abs(tensor.item())
                continue
            together.setdefault((tensor.device, tensor.dtype), []).append(
                ((place, str(key)), tensor)
            )
    for entries in together.values():
        for (place, key), norm in zip(
            (where for where, _ in entries), _together([each for _, each in entries]), strict=True
        ):
            found[place][key] = norm
    return found


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


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a norm can be taken as it is: half precision would overflow."""
    return tensor.layout is torch.strided and tensor.dtype in (
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
    )


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
