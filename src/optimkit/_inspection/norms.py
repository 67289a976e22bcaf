"""Read many tensors, with few waits for each device: their norms, and whether they are finite."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _values
from .._optimizer_view import OptimizerView
from .._values import FEW, TENSORS, local, tensors_in

_WIDE = {torch.float32, torch.float64, torch.complex64, torch.complex128}


@torch.no_grad()
def state_norms(states: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return the norm of every tensor in some states, of a list all together."""
    found: list[dict[str, float]] = [{} for _ in states]
    waiting: defaultdict[Any, tuple[list[Any], ...]] = defaultdict(lambda: ([], [], []))
    for norms, state in zip(found, states, strict=True):
        for key, value in state.items():
            tensor = _as_one(value)
            if tensor is not None:
                norms[str(key)] = math.nan  # keeps its place; the number comes below
                shape = tensor.shape if tensor.numel() <= FEW else None
                owners, keys, tensors = waiting[tensor.device, tensor.dtype, shape]
                owners.append(norms)
                keys.append(str(key))
                tensors.append(tensor)
    for (_, _, shape), (owners, keys, tensors) in waiting.items():
        for norms, key, number in zip(owners, keys, _norms(tensors, shape).tolist(), strict=True):
            norms[key] = number
    return found


def _norms(tensors: list[Tensor], shape: torch.Size | None) -> Tensor:
    """Return the norm of each of some tensors, which are small if they are of one shape."""
    if shape is None:  # torch/nn/utils/clip_grad.py, 2.15, does the same: one call for all of them
        return torch.stack(torch._foreach_norm(tensors))
    rows = torch.stack(tensors)  # a norm each of thousands of biases takes longer
    return torch.linalg.vector_norm(rows.flatten(1), dim=1) if shape else rows.abs()


@torch.no_grad()
def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    norms = [torch.linalg.vector_norm(_wide(local(each))).double() for each in tensors]
    together: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return together


def non_finite(
    view: OptimizerView, norms: Sequence[Mapping[str, float]] = ()
) -> list[tuple[str, str]]:
    """Return the parameters and groups of which something is NaN or infinite, and what it is.

    State whose norm is known, and is finite, is not read again.
    """
    norms = norms or [{}] * len(view.states)
    bad = _values.non_finite(value for _, _, value in _held(view, norms))
    found = list(_held(view, norms)) if bad else []
    named = (found[at][:2] for at in bad)
    return [(name, f"{what} of {name}" if what else name) for name, what in named]


def _held(
    view: OptimizerView, norms: Sequence[Mapping[str, float]]
) -> Iterator[tuple[str, str, Any]]:
    for name, param, state, known in zip(view.names, view.params, view.states, norms, strict=True):
        yield name, "", param
        yield name, "the gradient", getattr(param, "grad", None)
        if len(known) == len(state) and all(map(math.isfinite, known.values())):
            continue
        for key, value in state.items():
            if key != "step" and not (known and math.isfinite(known.get(str(key), math.nan))):
                for each in [value] if type(value) is Tensor else tensors_in(value):
                    yield name, key, each
    for label, options in zip(view.labels, view.options, strict=True):
        lr = options.get("lr")
        yield label, "lr", torch.tensor(lr) if isinstance(lr, float) else lr


def _as_one(value: Any) -> Tensor | None:
    """Return one plain tensor that has the norm of a piece of state; None if it has none."""
    if type(value) is Tensor and value.dtype in _WIDE and value.layout is torch.strided:
        return None if value.is_meta else value  # as nearly always: what follows takes longer
    tensors = [value] if type(value) is Tensor else [local(each) for each in tensors_in(value)]
    if not tensors or tensors[0].is_meta or not all(type(each) in TENSORS for each in tensors):
        return None  # a quantized tensor may have no norm
    return _wide(tensors[0]) if len(tensors) == 1 else norm_of(tensors)


def _wide(tensor: Tensor) -> Tensor:
    """Bring a tensor to one whose norm can be taken: half precision would overflow."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.coalesce().values()
    elif tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.dtype in _WIDE:
        return tensor
    return tensor.to(torch.float32 if tensor.is_floating_point() else torch.float64)
