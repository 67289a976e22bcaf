"""The records of :func:`optimkit.describe`, and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._errors import first_few
from .._tables import Shown, Table, counted, in_few, text
from .._values import dtype_name

Shape = tuple[int, ...]

_LINES = 60  # so many lines of parameters are shown


class ParameterRow(NamedTuple):
    """A parameter, and what the optimizer holds for it.

    Parameters
    ----------
    name : str
        Its name, or its position where no one has named it: ``params[3]``.
    shape, dtype, numel : tuple of int, torch.dtype, int or None
        Its shape, data type, and number of elements; None where its state does not tell.
    trainable : bool or None
        Its ``requires_grad``; None in a state dict.
    group : int
        The index of its group.
    lr, weight_decay : float, torch.Tensor or None
        Of its group now; a tensor where a device would have to be waited for.
    state : mapping of str to tuple or None
        State key -> its shape; ``()`` for a single number, None for nothing yet.
    step : float, torch.Tensor or None
        How many steps it has taken; None before the first, and for a class that does not count.
    bytes : int
        The size of its state.
    norms : mapping of str to float
        State key -> its norm, when asked for by ``values=True``.

    Examples
    --------
    >>> import optimkit, torch
    >>> [row] = optimkit.describe(torch.optim.SGD([torch.ones(2, 3)], lr=0.1)).rows
    >>> row.name, row.shape, row.lr, row.step
    ('params[0]', (2, 3), 0.1, None)
    """

    name: str
    shape: Shape | None
    dtype: torch.dtype | None
    numel: int | None
    trainable: bool | None
    group: int
    lr: float | Tensor | None
    weight_decay: float | Tensor | None
    state: Mapping[str, Shape | None]
    step: float | Tensor | None
    bytes: int
    norms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A parameter group.

    Parameters
    ----------
    index, name : int, str
        Its index in ``optimizer.param_groups``; its name, or else ``group`` and the index.
    options, overrides : mapping
        All its options, and those that differ from the optimizer's ``defaults``.
    parameters, numel : int or None
        How many parameters it has, and elements in them; None if a state dict does not tell.

    Examples
    --------
    >>> import optimkit, torch
    >>> group = {"params": [torch.ones(2)], "lr": 0.5, "name": "head"}
    >>> [row] = optimkit.describe(torch.optim.SGD([group], lr=0.1)).groups
    >>> row.name, row.overrides, row.numel
    ('head', {'lr': 0.5}, 2)
    """

    index: int
    name: str
    options: Mapping[str, Any]
    overrides: Mapping[str, Any]
    parameters: int
    numel: int | None


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """What an optimizer holds; see :func:`optimkit.describe`.

    Parameters
    ----------
    optimizer : str
        The optimizer's class, or where its state dict was found.
    groups, rows : tuple of GroupRow, tuple of ParameterRow
        The groups; the parameters, group by group.
    unmanaged, frozen : tuple of str, optional
        Trainable, and frozen, parameters of the model that the optimizer does not have.
    notes : tuple of str, optional
        What else should be said, a sentence each.

    Examples
    --------
    >>> import optimkit, torch
    >>> model = torch.nn.Linear(4, 1)
    >>> optimkit.describe(torch.optim.SGD([model.weight], lr=0.1), model).unmanaged
    ('bias',)
    """

    optimizer: str
    groups: tuple[GroupRow, ...]
    rows: tuple[ParameterRow, ...]
    unmanaged: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The size of all state."""
        return sum(row.bytes for row in self.rows)

    def expand(self, prefix: str = "") -> Table:
        """Return a table with a row for each parameter, or each whose name begins with `prefix`."""
        rows = [row for row in self.rows if row.name.startswith(prefix)]
        columns = [name for name in ParameterRow._fields if name not in ("numel", "trainable")]
        if not any(row.norms for row in rows):
            columns.remove("norms")
        caption = counted(len(rows), "parameter") + (f" in {prefix}" if prefix else "")
        return Table(rows, columns, caption, formats={"dtype": dtype_name, "state": _state_text})

    def _blocks(self) -> list[Table | str]:
        numel, size = total(row.numel for row in self.rows), self.bytes
        pieces = [
            counted(len(self.groups), "group"),
            counted(len(self.rows), "parameter"),
            *([] if numel is None else [counted(numel, "element")]),
            f"{size:,} bytes of state" if size else "no state",
        ]
        title = f"{self.optimizer}: {', '.join(pieces)}"
        return [title, self._group_table(), self._parameter_table(), *self._remarks()]

    def _group_table(self) -> Table:
        chosen = _telling_options(self.groups)
        rows = [
            {
                "group": group.index,
                "name": None if group.name == f"group {group.index}" else group.name,
                "parameters": group.parameters,
                "numel": group.numel,
                **{key: group.options.get(key) for key in chosen},
                "overrides": ", ".join(group.overrides),
            }
            for group in self.groups
        ]
        columns = ["group", "name", "parameters", "numel", *chosen, "overrides"]
        shown = [key for key in columns if key in chosen or _any_says(rows, key)]
        return Table(rows, shown, "Groups")

    def _parameter_table(self) -> Table:
        lines = self._lines
        columns = ["name", "tensors", "shape", "dtype", "frozen", "group", "state", "step", "bytes"]
        if all(line["tensors"] == 1 for line in lines):
            columns.remove("tensors")
        shown = [key for key in [*columns, "norms"] if _any_says(lines, key)]
        return Table(lines, shown, "Parameters", formats={"norms": _norms_text})

    @cached_property
    def _lines(self) -> list[dict[str, Any]]:
        return _summed_up(self.rows)

    def _remarks(self) -> list[str]:
        lines = []
        told = {"name", *_telling_options(self.groups)}
        options = self.groups[0].options if self.groups else {}
        shared = {
            key: each for key, each in options.items() if key not in told and each is not None
        }
        if shared:
            lines.append(f"In every group: {text(shared)}")
        if self.unmanaged:
            lines.append(f"Trainable, but not in this optimizer: {_names_text(self.unmanaged)}")
        if self.frozen:
            lines.append(f"Frozen, and not in this optimizer: {_names_text(self.frozen)}")
        return [*lines, *self.notes]


def total(numbers: Iterable[int | None]) -> int | None:
    """Return the sum; None if one is not known."""
    known = list(numbers)
    return None if None in known else sum(known)  # type: ignore[arg-type]


def _telling_options(groups: Sequence[GroupRow]) -> list[str]:
    """Choose the options worth a column: lr, weight decay, and what differs between groups."""
    keys = dict.fromkeys(key for group in groups for key in group.options if key != "name")
    first = [key for key in ("lr", "weight_decay") if key in keys]
    written = {key: {text(group.options.get(key)) for group in groups} for key in keys}
    differing = [key for key in keys if key not in first and len(written[key]) > 1]
    return (first + differing)[:8]


def _summed_up(rows: Sequence[ParameterRow]) -> list[dict[str, Any]]:
    """Make one line of parameters that are alike."""
    lines = _alike(rows)
    shown = [_line(name, members) for name, members in lines[:_LINES]]
    rest = [row for _, members in lines[_LINES:] for row in members]
    if rest:
        more = f"(and {len(lines) - _LINES} more lines: see expand())"
        size = sum(row.bytes for row in rest)
        shown.append({"name": more, "tensors": len(rest), "bytes": size})
    return shown


def _alike(rows: Sequence[ParameterRow]) -> list[tuple[str, list[ParameterRow]]]:
    """Bring together what differs only in the numbers of the name, at the place of the first."""
    kinds: dict[object, list[ParameterRow]] = {}
    for row in rows:
        state = tuple(row.state.items())
        kind = (row.group, row.dtype, row.shape, row.trainable, row.step, state)
        kinds.setdefault(kind, []).append(row)
    lines = [
        (pattern, [members[place] for place in places])
        for members in kinds.values()
        for pattern, places in in_few([row.name for row in members])
    ]
    order = {id(row): place for place, row in enumerate(rows)}
    return sorted(lines, key=lambda line: order[id(line[1][0])])


def _line(name: str, rows: Sequence[ParameterRow]) -> dict[str, Any]:
    first = rows[0]
    return {
        **first._asdict(),
        "name": name,
        "tensors": len(rows),
        "dtype": dtype_name(first.dtype),
        "frozen": "frozen" if first.trainable is False else None,
        "state": _short_state(first),
        "bytes": sum(row.bytes for row in rows),
        "norms": _largest([row.norms for row in rows]),
    }


def _largest(norms: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the largest norm of each key; NaN if there is one: it is what one looks for."""
    found: dict[str, float] = {}
    for key in dict.fromkeys(chain.from_iterable(norms)):
        numbers = [each[key] for each in norms if key in each]
        found[key] = math.nan if any(map(math.isnan, numbers)) else max(numbers)
    return found


def _short_state(row: ParameterRow) -> str:
    """Name the state's keys, with a shape where it is neither the parameter's nor a number."""
    return ", ".join(
        key if shape in ((), None, row.shape) else f"{key} {text(shape)}"
        for key, shape in row.state.items()
        if key != "step"
    )


def _any_says(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(row.get(key) or row.get(key) == () for row in rows)


def _state_text(state: Mapping[str, Shape | None]) -> str:
    return ", ".join(f"{key} {text(shape)}" if shape else key for key, shape in state.items())


def _norms_text(norms: Mapping[str, float] | None) -> str:
    items = (norms or {}).items()
    return ", ".join(f"{key}={number:.3g}" for key, number in items if key != "step")


def _names_text(names: Sequence[str]) -> str:
    return f"{len(names)}: {first_few((pattern for pattern, _ in in_few(names)), 10)}"
