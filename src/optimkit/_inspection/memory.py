"""Count the bytes of an optimizer's state, now or once it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, Source, view_of, view_of_any
from .._tables import Table
from .._values import nbytes, tensors_in
from .prediction import predicted

By = Literal["key", "group", "param", "dtype", "device"]
_BY = ("key", "group", "param", "dtype", "device")


class MemoryRow(NamedTuple):
    """What some of the state takes.

    Parameters
    ----------
    name : str
        A state key, a group, a parameter, a data type or a device.
    bytes : int
        The bytes of its tensors.
    tensors : int
        How many there are.

    Examples
    --------
    >>> MemoryRow("exp_avg", 4000, 1).bytes
    4000
    """

    name: str
    bytes: int
    tensors: int


def state_memory(optimizer: Source, by: By = "key", predict: bool = False) -> Table:
    """Count the bytes of an optimizer's state.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, mapping, str or os.PathLike
        The optimizer, its state dict, or a checkpoint.
    by : {"key", "group", "param", "dtype", "device"}, optional
        What to have a row for.
    predict : bool, optional
        Whether to count, for each trainable parameter without state, what its first step will
        make. This is found by a step of the same class on the meta device, where tensors have
        no values; where a class can't, on tiny copies, and the caption says so. The optimizer
        itself is not touched.

    Returns
    -------
    Table
        Rows of `name`, `bytes` and `tensors`; ``.total`` is the sum of the bytes. A DTensor
        counts what this rank holds of it.

    Raises
    ------
    TypeError
        If `optimizer` is nothing of the kind, or no live one with `predict`.
    ValueError
        If `by` is none of the five.
    NotImplementedError
        If what a class will make can't be predicted: it needs a closure, for example.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Linear(100, 100)
    >>> for kind in (torch.optim.AdamW, torch.optim.Adafactor):
    ...     print(state_memory(kind(model.parameters()), predict=True).total)
    80808
    1208
    >>> print(state_memory(torch.optim.AdamW(model.parameters()), predict=True))
    State of AdamW, after the first step
    name        bytes  tensors
    ----------  -----  -------
    step            8        2
    exp_avg     40400        2
    exp_avg_sq  40400        2
    ----------  -----  -------
    total       80808
    """
    if by not in _BY:
        raise ValueError(f"by must be one of {', '.join(_BY)}, not {by!r}")
    caption = ""
    if predict:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                "predict=True needs a torch.optim.Optimizer, which knows how it steps, "
                f"not {type(optimizer).__name__}"
            )
        held = view_of(optimizer)
        states, how = predicted(held)
        caption = f", after the first step{how}"
    else:
        held = view_of_any(optimizer)
        states = list(held.states)
    sums: dict[str, list[int]] = {}
    seen: set[int] = set()
    for name, tensor in _pieces(held, states, by):
        if id(tensor) not in seen:  # one tensor may be in several lists
            seen.add(id(tensor))
            entry = sums.setdefault(name, [0, 0])
            entry[0] += nbytes(tensor)
            entry[1] += 1
    rows = [MemoryRow(name, *entry) for name, entry in sums.items()]
    return Table(
        rows,
        columns=MemoryRow._fields,
        caption=f"State of {held.kind}{caption}",
        summed="bytes",
    )


def _pieces(
    held: OptimizerView, states: list[Mapping[str, Any]], by: By
) -> Iterator[tuple[str, Tensor]]:
    """Give each tensor of the state, and the row it counts in."""
    labels = held.labels
    for name, group, param, state in zip(
        held.names, held.group_of, held.params, states, strict=True
    ):
        for key, value in state.items():
            for tensor in tensors_in(value):
                if by == "key":
                    yield str(key), tensor
                elif by == "group":
                    yield labels[group], tensor
                elif by == "param":
                    yield name, tensor
                elif by == "dtype":
                    yield str(tensor.dtype).removeprefix("torch."), tensor
                else:
                    yield _device(tensor, param, held.options[group]), tensor


def _device(tensor: Tensor, param: Any, group: Mapping[str, Any]) -> str:
    """Name the device: of a predicted tensor, the one that it will be on."""
    device = tensor.device
    foreseen = device.type == "meta" and isinstance(param, Tensor)
    if foreseen or (
        isinstance(param, Tensor)
        and tensor.ndim == 0
        and device.type == "cpu"
        and (group.get("fused") or group.get("capturable"))
    ):
        device = param.device
    return str(torch.device(device))
