"""Whether two values are equal, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from .norms import norm_of
from .tensors import local, plain, tensors_in


def same(one: object, other: object) -> bool:
    """Tell whether two options are equal, whatever they are."""
    if one is other:
        return True
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    try:
        return bool(one == other) or (one != one and other != other)
    except Exception:  # a foreign object that can't be compared is another one
        return False


def equal(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, bit for bit but for the device; NaN equals NaN."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _equal_tensors(local(one.detach()), local(other.detach()))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    one, other = plain(one), plain(other)
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return False
    try:
        return bool(one == other) or bool(one != one and other != other)
    except Exception:  # a foreign object that can't be compared is another one
        return one is other


def _equal_tensors(one: Tensor, other: Tensor) -> bool:
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    if "meta" in (one.device.type, other.device.type):
        return one.device == other.device
    if one.layout is not torch.strided or other.layout is not torch.strided:
        one, other = one.to_dense(), other.to_dense()
    other = other.to(one.device)
    if one.is_floating_point() and one.element_size() == 1:  # torch compares no float8
        one, other = one.float(), other.float()
    if torch.equal(one, other):
        return True
    both_nan = (one != one) & (other != other)
    return bool(((one == other) | both_nan).all())


def change_of(before: Any, after: Any) -> float | None:
    """Say how far apart two values are, relative to the first."""
    if isinstance(before, bool) or isinstance(after, bool):
        return None
    if isinstance(before, Real) and isinstance(after, Real):
        return _ratio(abs(float(after) - float(before)), abs(float(before)))
    ones, others = tensors_in(before), tensors_in(after)
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
