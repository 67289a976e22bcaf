"""Snapshots: what an optimizer holds at one moment, to compare with another."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, view_of
from .._tables import Shown, Table, counted, jsonable
from .._values import copied
from .._wrappers import unwrapped
from .norms import state_norms

Values = Literal["norm", "copy", "none"]


@dataclass(frozen=True, eq=False, slots=True)
class SnapshotRow:
    """A piece of state of a parameter, at one moment.

    Parameters
    ----------
    name, key : str
        The parameter, and the key in its state.
    shape, dtype : tuple of int, torch.dtype or None
        Its shape, of a list its length, and its data type; None if it has none.
    norm : float, optional
        Its norm, with ``values="norm"``.
    value : Any, optional
        A copy of it, with ``values="copy"``; a number that is no tensor with ``"norm"`` too.

    Examples
    --------
    >>> import torch
    >>> SnapshotRow("weight", "sum", (2,), torch.float32, norm=0.5).norm
    0.5
    """

    name: str
    key: str
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    norm: float | None = None
    value: Any = None


_SHOWN = ("name", "key", "shape", "dtype", "norm")


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot(Shown):
    """What an optimizer held at one moment; it does not change when the optimizer steps.

    Parameters
    ----------
    optimizer, values : str or None, {"norm", "copy", "none"}
        Its class, None if only a state dict was known; what is kept of each tensor.
    groups, labels : tuple
        Of each group, the options and the name.
    names, named : tuple of str, bool
        The parameters, and whether these are names or positions.
    group_of, states : tuple
        Of each parameter, the index of its group, and its rows by state key.

    Examples
    --------
    >>> import optimkit, torch
    >>> before = optimkit.snapshot(torch.optim.SGD([torch.ones(2)], lr=0.1))
    >>> before.optimizer, before.names, before.groups[0]["lr"]
    ('SGD', ('params[0]',), 0.1)
    """

    optimizer: str | None
    values: Values
    groups: tuple[Mapping[str, Any], ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    named: bool
    group_of: tuple[int, ...]
    states: tuple[Mapping[str, SnapshotRow], ...]

    @property
    def rows(self) -> tuple[SnapshotRow, ...]:
        """All pieces of state."""
        return tuple(row for state in self.states for row in state.values())

    def to_dict(self) -> dict[str, Any]:
        """Return ``optimizer``, ``groups`` and ``rows`` for ``json``, without copies of tensors."""
        return {
            "optimizer": self.optimizer,
            "groups": [
                {"name": label, "options": jsonable(group)}
                for label, group in zip(self.labels, self.groups, strict=True)
            ],
            "rows": [{key: jsonable(getattr(row, key)) for key in _SHOWN} for row in self.rows],
        }

    def _blocks(self) -> list[str]:
        counts = {"group": self.groups, "parameter": self.names, "piece": self.rows}
        held = ", ".join(counted(len(each), noun) for noun, each in counts.items())
        return [f"Snapshot of {self.optimizer or 'a state dict'}: {held} of state ({self.values})"]

    def _html_blocks(self) -> list[Table]:
        return [Table(self.rows[:200], _SHOWN, caption=self._blocks()[0])]


def snapshot(optimizer: Optimizer, values: Values = "norm") -> Snapshot:
    """Return a record of what an optimizer holds now.

    ``optimizer.state_dict()`` is no snapshot: its tensors are the optimizer's own, and change
    with every step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        A live one.
    values : {"norm", "copy", "none"}, optional
        What to keep of each tensor: a number, all of it on its device, or only its shape.

    Returns
    -------
    Snapshot
        For :func:`optimkit.diff`, which compares it with another, or with the live optimizer.

    Raises
    ------
    TypeError, ValueError
        If `optimizer` is none, or `values` none of the three.

    Examples
    --------
    >>> import optimkit, torch
    >>> optimizer = torch.optim.SGD([torch.ones(2)], lr=0.1)
    >>> before = snapshot(optimizer)
    >>> optimizer.param_groups[0]["lr"] = 0.01
    >>> [row.key for row in optimkit.diff(before, optimizer).rows]
    ['lr']
    """
    optimizer = unwrapped(optimizer)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"snapshot takes a torch.optim.Optimizer, not {type(optimizer).__name__}")
    if values not in get_args(Values):
        raise ValueError(f"values must be one of {', '.join(get_args(Values))}, not {values!r}")
    return take(view_of(optimizer), values)


def take(view: OptimizerView, values: Values, *, clone: bool = True) -> Snapshot:
    """Return a snapshot; without `clone`, one that changes with the optimizer."""
    norms = state_norms(view.states) if values == "norm" else [{}] * len(view.states)
    states = []
    for name, state, norm in zip(view.names, view.states, norms, strict=True):
        rows = {}
        for key, value in state.items():
            large = isinstance(value, (Tensor, list, tuple, deque, dict))
            kept = None if values == "none" or (values == "norm" and large) else value
            kept = copied(kept) if clone else kept
            rows[str(key)] = row_of(name, str(key), value, norm.get(str(key)), kept)
        states.append(rows)
    return Snapshot(
        optimizer=None if view.optimizer is None else view.kind,
        values=values,
        groups=tuple(map(copied, view.options) if clone else view.options),
        labels=tuple(view.labels),
        names=tuple(view.names),
        named=view.named,
        group_of=tuple(view.group_of),
        states=tuple(states),
    )


def row_of(name: str, key: str, value: Any, norm: float | None, kept: Any) -> SnapshotRow:
    if isinstance(value, Tensor):
        return SnapshotRow(name, key, tuple(value.shape), value.dtype, norm, kept)
    if isinstance(value, (list, tuple, deque, dict)):
        return SnapshotRow(name, key, (len(value),), None, norm, kept)
    shape = () if isinstance(value, (int, float, complex)) else None
    return SnapshotRow(name, key, shape, None, norm, kept)
