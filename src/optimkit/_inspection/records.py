"""The records of :func:`optimkit.describe`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

Shape = tuple[int, ...]


class ParameterRow(NamedTuple):
    """A parameter, and what the optimizer holds for it.

    Parameters
    ----------
    name : str
        Its name, or its position if nobody knows its name: ``params[3]``.
    shape : tuple of int or None
        Its shape; None where only its state is known and does not tell.
    dtype : torch.dtype or None
        Its data type.
    numel : int or None
        How many numbers it has.
    trainable : bool or None
        Its ``requires_grad``; None in a state dict.
    group : int
        The index of its group.
    lr : float or None
        The learning rate of its group now.
    weight_decay : float or None
        The weight decay of its group; None if the class has none.
    state : mapping of str to tuple or None
        State key -> its shape; ``()`` for a single number, None for nothing yet.
    step : int or float or None
        How many steps it has taken; None before the first, and for a class that does not count.
    bytes : int
        The size of its state.
    norms : mapping of str to float
        State key -> its norm, when asked for by ``values=True``.

    Examples
    --------
    >>> from torch import nn
    >>> from optimkit import describe
    >>> [row] = describe(torch.optim.SGD([nn.Parameter(torch.ones(2, 3))], lr=0.1)).rows
    >>> row.name, row.shape, row.lr, row.step
    ('params[0]', (2, 3), 0.1, None)
    """

    name: str
    shape: Shape | None
    dtype: torch.dtype | None
    numel: int | None
    trainable: bool | None
    group: int
    lr: Any
    weight_decay: Any
    state: Mapping[str, Shape | None]
    step: Any
    bytes: int
    norms: Mapping[str, float]


class Columns(NamedTuple):
    """The records of all parameters: under each name of :class:`ParameterRow`, that of each."""

    name: Sequence[str]
    shape: Sequence[Shape | None]
    dtype: Sequence[torch.dtype | None]
    numel: Sequence[int | None]
    trainable: Sequence[bool | None]
    group: Sequence[int]
    lr: Sequence[Any]
    weight_decay: Sequence[Any]
    state: Sequence[Mapping[str, Shape | None]]
    step: Sequence[Any]
    bytes: Sequence[int]
    norms: Sequence[Mapping[str, float]]

    def rows(self) -> tuple[ParameterRow, ...]:
        """Make a record for each parameter."""
        return tuple(map(ParameterRow._make, zip(*self, strict=True)))


def total(numbers: Iterable[int | None]) -> int | None:
    """Add up what is known."""
    known = list(numbers)
    return None if None in known else sum(known)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A parameter group.

    Parameters
    ----------
    index : int
        Its place in ``optimizer.param_groups``.
    name : str
        Its own name, or ``group`` and its place.
    options : mapping
        Its options: lr, weight decay, and all others.
    overrides : mapping
        Those that differ from the optimizer's ``defaults``.
    parameters : int
        How many parameters it has.
    numel : int or None
        How many numbers these have; None if a state dict does not tell.

    Examples
    --------
    >>> from torch import nn
    >>> from optimkit import describe
    >>> group = {"params": [nn.Parameter(torch.ones(2))], "lr": 0.5, "name": "head"}
    >>> [row] = describe(torch.optim.SGD([group], lr=0.1)).groups
    >>> row.name, row.overrides, row.numel
    ('head', {'lr': 0.5}, 2)
    """

    index: int
    name: str
    options: Mapping[str, Any]
    overrides: Mapping[str, Any]
    parameters: int
    numel: int | None
