"""How far apart two values are."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .._values import local, tensors_in
from .norms import norm_of


def change_of(before: Any, after: Any) -> float | None:
    """Say how far apart two values are, relative to the first."""
    if isinstance(before, bool) or isinstance(after, bool):
        return None
    if isinstance(before, Real) and isinstance(after, Real):
        return _ratio(abs(float(after) - float(before)), abs(float(before)))
    ones, others = (list(map(local, tensors_in(each))) for each in (before, after))
    if not ones or len(ones) != len(others) or "meta" in {each.device.type for each in ones}:
        return None
    if any(one.shape != other.shape for one, other in zip(ones, others, strict=True)):
        return None
    differences = [
        _wide(other).to(one.device) - _wide(one) for one, other in zip(ones, others, strict=True)
    ]
    return _ratio(float(norm_of(differences)), float(norm_of(ones)))


def _wide(tensor: Tensor) -> Tensor:
    """Take the difference of integers and of half precision in a type that can hold it."""
    tensor = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    return tensor if tensor.is_complex() else tensor.double()


def _ratio(difference: float, size: float) -> float:
    if math.isnan(difference) or math.isnan(size):
        return math.inf
    return difference / size if size else math.inf
