"""What there is to say of each parameter of an optimizer, in columns.

A fact at a time for all parameters, instead of a parameter at a time: thousands of tensors are
then asked in a few passes, and a report costs a fraction of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from .._optimizer_view import OptimizerView
from .._torch_optimizers import layouts_of
from .._values import copied, nbytes, plain, tensors_in
from .records import Columns, Shape
from .tensors import alike

_NOTHING: Mapping[str, Any] = MappingProxyType({})

_shape_of: Callable[[Tensor], Shape] = attrgetter("shape")
_dtype_of: Callable[[Tensor], torch.dtype] = attrgetter("dtype")
_nbytes_of: Callable[[Tensor], int] = attrgetter("nbytes")
_ndim_of: Callable[[Tensor], int] = attrgetter("ndim")
_is_cpu: Callable[[Tensor], bool] = attrgetter("is_cpu")


def parameter_columns(
    held: OptimizerView, shapes: Sequence[Any], norms: Sequence[Mapping[str, float]] | None
) -> Columns:
    """Look at every parameter."""
    lrs = [copied(group.get("lr")) for group in held.options]
    decays = [copied(group.get("weight_decay")) for group in held.options]
    tensors = [
        _telling(state) if tensor is None else tensor
        for tensor, state in zip(shapes, held.states, strict=True)
    ]
    shape, numel, dtype = _dimensions(tensors)
    layouts, steps, sizes = _states(held.states)
    return Columns(
        name=held.names,
        shape=shape,
        dtype=dtype,
        numel=numel,
        trainable=[getattr(live, "requires_grad", None) for live in held.params],
        group=held.group_of,
        lr=[lrs[group] for group in held.group_of],
        weight_decay=[decays[group] for group in held.group_of],
        state=layouts,
        step=steps,
        bytes=sizes,
        norms=[_NOTHING] * len(held.names) if norms is None else norms,
    )


def _states(
    states: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Shape | None]], list[Any], list[int]]:
    """Return of each state the shapes by key, how many steps it counts, and its bytes."""
    layouts: list[Mapping[str, Shape | None]] = [_NOTHING] * len(states)
    steps: list[Any] = [None] * len(states)
    sizes = [0] * len(states)
    for keys, places in alike(states).items():
        columns = list(zip(*(states[place].values() for place in places), strict=True))
        shapes, counts = zip(*map(_laid_out, columns), strict=True)
        rows = list(zip(*shapes, strict=True))
        known = {row: _layout(keys, row) for row in set(rows)}
        _put(layouts, places, [known[row] for row in rows])
        _put(sizes, places, list(map(sum, zip(*counts, strict=True))))
        if "step" in keys:
            _put(steps, places, _counts(columns[keys.index("step")]))
    return layouts, steps, sizes


def _put(column: list[Any], places: Sequence[int], values: Sequence[Any]) -> None:
    """Put values in their places."""
    if len(places) == len(column):
        column[:] = values
        return
    for place, value in zip(places, values, strict=True):
        column[place] = value


def _laid_out(column: Sequence[Any]) -> tuple[list[Shape | None], list[int]]:
    """Return the shape and the bytes of each piece of state under one key."""
    if set(map(type, column)) == {Tensor}:  # in thousands of states, nearly always
        try:
            return list(map(_shape_of, column)), list(map(_nbytes_of, column))
        except RuntimeError:  # a sparse tensor does not tell its bytes
            pass
    return list(map(_shape, column)), [sum(map(nbytes, tensors_in(each))) for each in column]


def _layout(keys: Iterable[str], shapes: Iterable[Shape | None]) -> Mapping[str, Shape | None]:
    return MappingProxyType(
        {
            str(key): None if shape is None else tuple(shape)
            for key, shape in zip(keys, shapes, strict=True)
        }
    )


def _shape(value: object) -> Shape | None:
    """Return the shape of a piece of state: a list counts its entries."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple, dict)):
        return (len(value),)
    return None if value is None else ()


def _counts(column: Sequence[Any]) -> list[Any]:
    """Return counts of steps, where no device must be waited for."""
    numbers: list[Any]
    usual = set(map(type, column)) == {Tensor} and all(map(_is_cpu, column))
    if usual and not any(map(_ndim_of, column)):
        numbers = list(map(Tensor.item, column))
    else:
        numbers = [each if isinstance(each, (int, float)) else None for each in map(plain, column)]
    whole = {number: _whole(number) for number in set(numbers)}
    return [whole[number] for number in numbers]


def _whole(number: Any) -> Any:
    """Take a count for what it is: torch keeps it as a float."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _telling(state: Mapping[str, Any]) -> Tensor | None:
    """Find the piece of a state that has the shape of its parameter."""
    return next(
        (
            value
            for key, value in state.items()
            if isinstance(value, Tensor) and value.ndim and layouts_of(key) == {"parameter"}
        ),
        None,
    )


def _dimensions(
    tensors: Sequence[Any],
) -> tuple[list[Shape | None], list[int | None], list[torch.dtype | None]]:
    """Return the shape, the size and the type of each tensor; None for what does not tell."""
    if set(map(type, tensors)) <= {nn.Parameter, Tensor}:
        shapes: list[Shape | None] = list(map(tuple, map(_shape_of, tensors)))
        return shapes, list(map(Tensor.numel, tensors)), list(map(_dtype_of, tensors))
    known = [
        isinstance(each, Tensor) and not isinstance(each, nn.UninitializedParameter)
        for each in tensors
    ]
    return (
        [tuple(each.shape) if told else None for each, told in zip(tensors, known, strict=True)],
        [each.numel() if told else None for each, told in zip(tensors, known, strict=True)],
        [each.dtype if isinstance(each, Tensor) else None for each in tensors],
    )
