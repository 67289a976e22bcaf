"""State whose parameter has another dtype today: what of it follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .._classes import dtype_name
from . import flat
from .pairing import Pairs
from .saved import Saved


def casts_in(
    saved: Saved, pairs: Pairs, params: Sequence[Tensor], kind: str | None
) -> Iterator[tuple[int, str, torch.dtype, torch.dtype]]:
    """Give what is to be cast: the state that had the dtype of its parameter, when it was saved."""
    if kind == "LBFGS":
        if 0 in pairs:
            for row in flat.casts_in(saved.state.get(saved.ids[0]) or {}, params):
                yield pairs.index(0), *row
        return
    before = saved.dtypes
    names = {dtype: dtype_name(dtype) for dtype in {param.dtype for param in params}}
    if before is not None and len(names) == 1 and set(before) == set(names.values()):
        return  # one dtype, and the same as before
    for index, (place, param) in enumerate(zip(pairs, params, strict=True)):
        now = param.dtype
        if place is None or (before is not None and before[place] == names[now]):
            continue
        for key, value in (saved.state.get(saved.ids[place]) or {}).items():
            if not isinstance(value, Tensor) or not value.ndim or value.dtype == now:
                continue
            alike = kind is not None and value.shape == param.shape
            follows = alike if before is None else dtype_name(value.dtype) == before[place]
            if follows and (value.is_floating_point() or value.is_complex()):
                yield index, key, value.dtype, now
