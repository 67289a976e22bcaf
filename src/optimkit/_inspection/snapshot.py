"""Snapshots: what an optimizer holds at one moment, to compare with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, view_of
from .._tables import Shown, Table, counted, jsonable
from .._values import copied
from .norms import state_norms

Values = Literal["norm", "copy", "none"]
_VALUES = ("norm", "copy", "none")


@dataclass(frozen=True, eq=False, slots=True)
class SnapshotRow:
    """A piece of state of a parameter, at one moment.

    Parameters
    ----------
    name : str
        The parameter.
    key : str
        The state's key.
    shape : tuple of int or None
        Its shape; of a list its length; None if it has none.
    dtype : torch.dtype or None
        Its data type.
    norm : float, optional
        Its norm, with ``values="norm"``.
    value : Any, optional
        A copy of it, with ``values="copy"``; a number that is no tensor with ``"norm"`` too.

    Examples
    --------
    >>> import torch
    >>> from optimkit import snapshot
    >>> param = torch.nn.Parameter(torch.ones(2))
    >>> snapshot(torch.optim.Adagrad([param])).rows[1]
    SnapshotRow(name='params[0]', key='sum', shape=(2,), dtype=torch.float32, norm=0.0, value=None)
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
    optimizer : str or None
        Its class; None if only a state dict was known.
    values : {"norm", "copy", "none"}
        What is kept of each tensor.
    groups : tuple of mapping
        The options of each group.
    labels : tuple of str
        The name of each group.
    names : tuple of str
        The parameters.
    named : bool
        Whether these are names, or positions.
    group_of : tuple of int
        The group of each parameter.
    states : tuple of mapping of str to SnapshotRow
        The state of each parameter, by key.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import snapshot
    >>> before = snapshot(torch.optim.SGD(nn.PReLU().named_parameters(), lr=0.1))
    >>> before.optimizer, before.names, before.groups[0]["lr"]
    ('SGD', ('weight',), 0.1)
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
        """A record for each piece of state."""
        return tuple(row for state in self.states for row in state.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as data that ``json`` can write.

        Returns
        -------
        dict
            ``optimizer``, ``groups`` and ``rows``; copies of tensors are left out.
        """
        return {
            "optimizer": self.optimizer,
            "groups": [
                {"name": label, "options": jsonable(group)}
                for label, group in zip(self.labels, self.groups, strict=True)
            ],
            "rows": [{key: jsonable(getattr(row, key)) for key in _SHOWN} for row in self.rows],
        }

    def _blocks(self) -> list[str]:
        """Return what there is, in a line."""
        groups = counted(len(self.groups), "group")
        parameters = counted(len(self.names), "parameter")
        pieces = counted(len(self.rows), "piece")
        kind = self.optimizer or "a state dict"
        return [f"Snapshot of {kind}: {groups}, {parameters}, {pieces} of state ({self.values})"]

    def _html_blocks(self) -> list[Table]:
        """Return the state as a table."""
        return [Table(self.rows[:200], _SHOWN, caption=self._blocks()[0])]


def snapshot(optimizer: Optimizer, values: Values = "norm") -> Snapshot:
    """Return a record of what an optimizer holds now.

    ``optimizer.state_dict()`` is no snapshot: its tensors are the optimizer's own, and change
    with every step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer.
    values : {"norm", "copy", "none"}, optional
        What to keep of each tensor: a number, all of it on its device, or only its shape.

    Returns
    -------
    Snapshot
        To give to :func:`optimkit.diff`.

    Raises
    ------
    TypeError
        If `optimizer` is none.
    ValueError
        If `values` is none of the three.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import diff, snapshot
    >>> model = nn.Linear(2, 1, bias=False)
    >>> optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.5)
    >>> def step():
    ...     model.weight.grad = torch.ones(1, 2)
    ...     optimizer.step()
    >>> step()
    >>> before = snapshot(optimizer)
    >>> step()
    >>> for row in diff(before, optimizer).rows:
    ...     print(row.name, row.key, row.kind, f"{row.before:.3f} {row.after:.3f}")
    weight momentum_buffer changed 1.414 2.121
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"snapshot takes a torch.optim.Optimizer, not {type(optimizer).__name__}")
    if values not in _VALUES:
        raise ValueError(f"values must be one of {', '.join(_VALUES)}, not {values!r}")
    return take(view_of(optimizer), values)


def take(view: OptimizerView, values: Values, *, clone: bool = True) -> Snapshot:
    """Return a snapshot; without `clone`, one that changes with the optimizer."""
    norms: Sequence[Mapping[str, float]] = (
        state_norms(view.states) if values == "norm" else [{} for _ in view.states]
    )
    states = []
    for name, state, norm in zip(view.names, view.states, norms, strict=True):
        rows = {}
        for key, value in state.items():
            kept = value if _is_kept(value, values) else None
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
    """Return what is kept of a value."""
    if isinstance(value, Tensor):
        return SnapshotRow(name, key, tuple(value.shape), value.dtype, norm, kept)
    if isinstance(value, (list, tuple, dict)):
        return SnapshotRow(name, key, (len(value),), None, norm, kept)
    shape = () if isinstance(value, (int, float, complex)) else None
    return SnapshotRow(name, key, shape, None, norm, kept)


def _is_kept(value: Any, values: Values) -> bool:
    """Return whether to keep a value as it is: what is no tensor is so small that norms do it too."""
    large = isinstance(value, (Tensor, list, tuple, dict))
    return values == "copy" or (values == "norm" and not large)
