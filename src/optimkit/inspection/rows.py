"""A record for each parameter of an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..known import SINGLE, VOCABULARY
from .holdings import Holding
from .records import ParameterRow, Shape
from .tensors import nbytes, plain, tensors_in

_Layout = tuple[Any, ...]  # the keys, then their shapes: flat, since thousands are made
_PLAIN = {Tensor}
_shape_of: Callable[[Tensor], Shape] = attrgetter("shape")
_nbytes_of: Callable[[Tensor], int] = attrgetter("nbytes")


def parameter_rows(
    held: Holding, shapes: Sequence[Any], norms: Sequence[Mapping[str, float]] | None
) -> Iterator[ParameterRow]:
    """Give a record for each parameter."""
    lrs = [group.get("lr") for group in held.groups]
    decays = [group.get("weight_decay") for group in held.groups]
    nothing: Mapping[str, float] = MappingProxyType({})
    layouts: dict[Any, Mapping[str, Shape | None]] = {}  # thousands of states, few layouts
    for place, (name, tensor, live, group, state) in enumerate(
        zip(held.names, shapes, held.tensors, held.group_of, held.states, strict=True)
    ):
        layout, size, step = _look(state)
        kept = layouts.get(layout)
        if kept is None:
            half = len(layout) // 2
            kept = MappingProxyType(
                {
                    key: None if shape is None else tuple(shape)
                    for key, shape in zip(layout[:half], layout[half:], strict=True)
                }
            )
            layouts[layout] = kept
        shape, numel, dtype = _dimensions(tensor, state)
        yield ParameterRow(
            name,
            shape,
            dtype,
            numel,
            getattr(live, "requires_grad", None),
            group,
            lrs[group],
            decays[group],
            kept,
            step,
            size,
            nothing if norms is None else norms[place],
        )


def _look(state: Mapping[str, Any]) -> tuple[_Layout, int, Any]:
    """Return the shape of each piece of a state, its bytes, and how many steps it counts."""
    if not state:
        return (), 0, None
    step = _count(state.get("step"))
    values = state.values()
    if set(map(type, values)) == _PLAIN:  # of thousands of states, nearly all are such
        try:
            size = sum(map(_nbytes_of, values))
            return (*state, *map(_shape_of, values)), size, step
        except RuntimeError:  # a sparse tensor does not tell its bytes
            pass
    layout = (*map(str, state), *map(_shape, values))
    return layout, sum(map(nbytes, tensors_in(state))), step


def _dimensions(
    tensor: Any, state: Mapping[str, Any]
) -> tuple[Shape | None, int | None, torch.dtype | None]:
    """Return a parameter's shape, size and type; in a state dict, as its state tells."""
    if tensor is None:
        tensor = next(
            (
                value
                for key, value in state.items()
                if isinstance(value, Tensor)
                and key in VOCABULARY - SINGLE
                and value.ndim
                and key not in ("row_var", "col_var", "d", "prev_flat_grad")
            ),
            None,
        )
    kind = type(tensor)
    if kind is nn.Parameter or kind is Tensor:
        return tuple(tensor.shape), tensor.numel(), tensor.dtype
    if not isinstance(tensor, Tensor):
        return None, None, None
    if isinstance(tensor, nn.UninitializedParameter):
        return None, None, tensor.dtype
    return tuple(tensor.shape), tensor.numel(), tensor.dtype


def _shape(value: object) -> Shape | None:
    """Return the shape of a piece of state: a list counts its entries."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple, dict)):
        return (len(value),)
    return None if value is None else ()


def _count(step: object) -> Any:
    """Return a count of steps, if no device must be waited for."""
    plainly = type(step) is Tensor and step.is_cpu and not step.ndim
    number = step.item() if plainly else plain(step)  # type: ignore[attr-defined]
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number if isinstance(number, (int, float)) else None
