"""What LBFGS keeps under its first parameter for all of them, end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor

from ..._torch_optimizers import FLAT, FLAT_LISTS, flat_dtype
from ..._values import copied, tensors_in


def casts_in(
    state: Mapping[str, Any], params: Sequence[Tensor]
) -> Iterator[tuple[str, torch.dtype, torch.dtype]]:
    """Give what is to be cast, if the parameters of today have another dtype in common."""
    now = flat_dtype(params)
    for key in (*FLAT, *FLAT_LISTS):
        was = next((value.dtype for value in tensors_in(state.get(key))), now)
        if was != now:
            yield key, was, now


def cast(state: Mapping[str, Any], dtypes: Mapping[str, torch.dtype]) -> dict[str, Any]:
    """Give what LBFGS keeps the dtypes of today."""
    changed = {key: _each(state[key], methodcaller("to", dtype)) for key, dtype in dtypes.items()}
    return {**state, **changed}


def remembered(state: Mapping[str, Any], history_size: int) -> dict[str, Any]:
    """Keep no more of the past than LBFGS remembers today, and room for as much as that."""
    kept = dict(state)
    for key in (*FLAT_LISTS, "ro"):
        if isinstance(kept.get(key), list):
            kept[key] = kept[key][-history_size:]
    if isinstance(kept.get("al"), list):  # written anew in each iteration, in place
        kept["al"] = [*kept["al"], *[None] * history_size][:history_size]
    return kept


def permuted(
    state: Mapping[str, Any], sizes: Sequence[int], pairs: Sequence[int | None]
) -> dict[str, Any]:
    """Copy what LBFGS keeps into today's order."""
    order = [(place, index) for index, place in enumerate(pairs) if place is not None]
    if order == sorted(order):
        return copied(dict(state))  # type: ignore[no-any-return]
    ends, starts = 0, {}
    for _, index in sorted(order):
        starts[index] = ends
        ends += sizes[index]

    def turn(value: Tensor) -> Tensor:
        if value.ndim != 1 or value.numel() != ends:
            return value.detach().clone()
        return torch.cat([value[starts[i] : starts[i] + size] for i, size in enumerate(sizes)])

    return {key: _each(value, turn) for key, value in state.items()}


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change a tensor, or each one of a list; leave the rest."""
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value) if isinstance(value, Tensor) else value
