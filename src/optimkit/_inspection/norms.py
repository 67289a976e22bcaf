"""Norms of many tensors, with one wait for each device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from .._values import local, tensors_in
from .tensors import alike


def state_norms(states: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Compute the norm of every tensor in some states."""
    found: list[dict[str, float]] = [{} for _ in states]
    waiting: dict[Any, list[tuple[dict[str, float], str, Tensor]]] = {}
    for keys, places in alike(states).items():
        mine = [found[place] for place in places]
        columns = zip(*(states[place].values() for place in places), strict=True)
        for key, column in zip(keys, columns, strict=True):
            if _are_usual(column):
                for norms, number in zip(mine, _together(column), strict=True):
                    norms[str(key)] = number
                continue
            for norms, value in zip(mine, column, strict=True):
                tensor = _brought(value)
                if tensor is not None:
                    norms[str(key)] = 0.0  # keeps its place; the number comes below
                    waiting.setdefault(_kind(tensor), []).append((norms, str(key), tensor))
    for entries in waiting.values():
        numbers = _together([tensor for *_, tensor in entries])
        for (norms, key, _), number in zip(entries, numbers, strict=True):
            norms[key] = number
    return found


def _brought(value: Any) -> Tensor | None:
    """Bring any piece of state to one plain tensor of the same norm; None if it has none."""
    tensors = list(map(local, tensors_in(value)))
    if not tensors or tensors[0].device.type == "meta":
        return None
    if len(tensors) == 1 and _is_plain(tensors[0]):
        return tensors[0]
    return norm_of(tensors)


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of some tensors together."""
    norms = [torch.linalg.vector_norm(_plain(local(each))).double() for each in tensors]
    together: Tensor = norms[0]
    if len(norms) > 1:
        together = torch.linalg.vector_norm(torch.stack(norms))
    return together


_kind: Callable[[Tensor], tuple[object, ...]] = attrgetter("device", "dtype")
_is_cpu: Callable[[Tensor], bool] = attrgetter("is_cpu")
_dtype: Callable[[Tensor], torch.dtype] = attrgetter("dtype")
_layout: Callable[[Tensor], torch.layout] = attrgetter("layout")
_SMALL = 1024  # numbers
_WIDE = {torch.float32, torch.float64, torch.complex64, torch.complex128}


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a norm can be taken as it is: half precision would overflow."""
    return tensor.dtype in _WIDE and tensor.layout is torch.strided and not tensor.is_meta


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


def _are_usual(column: Sequence[Any]) -> bool:
    """Tell whether all are tensors on the CPU of one type, whose norm can be taken as it is."""
    if set(map(type, column)) != {Tensor}:
        return False
    dtypes = set(map(_dtype, column))
    return (
        all(map(_is_cpu, column))
        and len(dtypes) == 1
        and dtypes <= _WIDE
        and set(map(_layout, column)) == {torch.strided}
    )


def _together(tensors: Sequence[Tensor]) -> list[float]:
    """Take the norms of tensors of one type on one device, and wait once."""
    with torch.no_grad():
        if tensors[0].is_cpu:
            return _on_cpu(tensors)
        norms = torch.stack(list(torch._foreach_norm(list(tensors))))
    numbers: list[float] = norms.double().tolist()
    return numbers


def _on_cpu(tensors: Sequence[Tensor]) -> list[float]:
    """Take norms where a call costs more than a copy: small tensors of one shape go together."""
    places: dict[Any, list[int]] = {}
    for place, tensor in enumerate(tensors):
        places.setdefault(tensor.shape if tensor.numel() <= _SMALL else None, []).append(place)
    norms = [0.0] * len(tensors)
    for shape, alike_ones in places.items():
        these = [tensors[place] for place in alike_ones]
        if shape is None:
            found = [norm.item() for norm in torch._foreach_norm(these)]
        elif shape:
            found = torch.linalg.vector_norm(torch.stack(these).flatten(1), dim=1).tolist()
        else:
            found = [abs(tensor.item()) for tensor in these]
        for place, number in zip(alike_ones, found, strict=True):
            norms[place] = number
    return norms
