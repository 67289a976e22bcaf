"""Keep what an optimizer holds at one moment, to compare with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, view_of
from .._tables import Shown, Table, jsonable
from .._values import copied, plain
from .norms import state_norms

Values = Literal["norm", "copy", "none"]
_VALUES = ("norm", "copy", "none")


class Entry(NamedTuple):
    """A piece of state at one moment."""

    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    norm: float | None = None
    value: Any = None


class SnapshotRow(NamedTuple):
    """A piece of state of a parameter, at one moment.

    Parameters
    ----------
    name : str
        The parameter.
    key : str
        The state's key.
    shape : tuple of int or None
        Its shape.
    dtype : torch.dtype or None
        Its type.
    norm : float or None
        Its norm.

    Examples
    --------
    >>> from optimkit import snapshot
    >>> param = torch.nn.Parameter(torch.ones(2))
    >>> snapshot(torch.optim.Adagrad([param])).rows[1]
    SnapshotRow(name='params[0]', key='sum', shape=(2,), dtype=torch.float32, norm=0.0)
    """

    name: str
    key: str
    shape: tuple[int, ...] | None
    dtype: torch.dtype | None
    norm: float | None


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
    states : tuple of mapping of str to Entry
        The state of each parameter.

    Examples
    --------
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
    states: tuple[Mapping[str, Entry], ...]

    @property
    def rows(self) -> tuple[SnapshotRow, ...]:
        """A record for each piece of state."""
        return tuple(
            SnapshotRow(name, key, entry.shape, entry.dtype, entry.norm)
            for name, state in zip(self.names, self.states, strict=True)
            for key, entry in state.items()
        )

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
            "rows": [
                {key: jsonable(value) for key, value in row._asdict().items()} for row in self.rows
            ],
        }

    def _blocks(self) -> list[str]:
        """Say what there is, in a line."""
        groups = _counted(len(self.groups), "group")
        parameters = _counted(len(self.names), "parameter")
        pieces = _counted(sum(map(len, self.states)), "piece")
        line = (
            f"Snapshot of {self.optimizer or 'a state dict'}: {groups}, {parameters}, "
            f"{pieces} of state ({self.values})"
        )
        return [line]

    def _html_blocks(self) -> list[Table]:
        """Return the state as a table."""
        return [Table(self.rows[:200], SnapshotRow._fields, caption=self._blocks()[0])]


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def snapshot(optimizer: Optimizer, values: Values = "norm") -> Snapshot:
    """Keep what an optimizer holds now.

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


def take(held: OptimizerView, values: Values, *, clone: bool = True) -> Snapshot:
    """Take a snapshot of what a view shows."""
    norms: Sequence[Mapping[str, float]] = (
        state_norms(held.states) if values == "norm" else [{}] * len(held.states)
    )
    return Snapshot(
        optimizer=None if held.optimizer is None else held.kind,
        values=values,
        groups=tuple(map(copied, held.options) if clone else held.options),
        labels=tuple(held.labels),
        names=tuple(held.names),
        named=held.named,
        group_of=tuple(held.group_of),
        states=tuple(
            {
                str(key): _entry(value, values, norm.get(str(key)), clone)
                for key, value in state.items()
            }
            for state, norm in zip(held.states, norms, strict=True)
        ),
    )


def _entry(value: Any, values: Values, norm: float | None, clone: bool) -> Entry:
    """Keep of a piece of state what was asked for."""
    if isinstance(value, Tensor):
        kept = (copied(value) if clone else value.detach()) if values == "copy" else None
        return Entry(tuple(value.shape), value.dtype, norm, kept)
    if isinstance(value, (list, tuple, dict)):
        kept = (copied(value) if clone else value) if values == "copy" else None
        return Entry((len(value),), None, norm, kept)
    number = isinstance(value, (int, float, complex))
    return Entry(() if number else None, None, None, None if values == "none" else plain(value))
