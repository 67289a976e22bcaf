"""The records of :func:`optimkit.describe`, and their looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..errors import first_few
from ..render import Table, fill, jsonable, text
from .patterns import masked, merge

if TYPE_CHECKING:
    import rich.console

_LINES = 60  # so many lines of parameters are shown; beyond, they are summed up by module
_IN_HTML = 200  # so many rows are worth folding into a page
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
    """

    index: int
    name: str
    options: Mapping[str, Any]
    overrides: Mapping[str, Any]
    parameters: int
    numel: int | None


@dataclass(frozen=True)
class Report:
    """What an optimizer holds; see :func:`optimkit.describe`.

    Parameters
    ----------
    optimizer : str
        The optimizer's class, or where its state dict was found.
    groups : tuple of GroupRow
        The groups.
    rows : tuple of ParameterRow
        The parameters, group by group.
    unmanaged : tuple of str
        Parameters of the model that can be trained and that the optimizer has not.
    frozen : tuple of str
        Parameters of the model that are frozen and that the optimizer has not.
    notes : tuple of str
        What else should be said, a sentence each.

    Examples
    --------
    >>> from torch import nn
    >>> from optimkit import describe
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    >>> report = describe(torch.optim.SGD(model[0].parameters(), lr=0.1), model)
    >>> report.rows[0].name, report.rows[0].shape, report.unmanaged
    ('0.weight', (4, 4), ('1.weight', '1.bias'))
    """

    optimizer: str
    groups: tuple[GroupRow, ...]
    rows: tuple[ParameterRow, ...]
    unmanaged: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """The size of all state."""
        return sum(row.bytes for row in self.rows)

    def expand(self, prefix: str = "") -> Table:
        """Return every parameter on a line of its own.

        Parameters
        ----------
        prefix : str, optional
            Only those whose name begins so.

        Returns
        -------
        Table
            One row for each parameter.

        Examples
        --------
        >>> from torch import nn
        >>> from optimkit import describe
        >>> print(describe(torch.optim.SGD(nn.PReLU().named_parameters(), lr=0.1)).expand())
        1 parameter
        name    shape  dtype    group   lr  weight_decay  state  step  bytes
        ------  -----  -------  -----  ---  ------------  -----  ----  -----
        weight  (1)    float32      0  0.1             0                   0
        """
        rows = [row for row in self.rows if row.name.startswith(prefix)]
        columns = [name for name in ParameterRow._fields if name not in ("numel", "trainable")]
        if not any(row.norms for row in rows):
            columns.remove("norms")
        return Table(
            rows,
            columns=columns,
            caption=_count(len(rows), "parameter") + (f" in {prefix}" if prefix else ""),
            formats={"dtype": _dtype, "state": _state},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as data that ``json`` can write.

        Returns
        -------
        dict
            ``optimizer``, ``groups``, ``rows``, ``unmanaged``, ``frozen``, ``notes``.
        """
        return {
            "optimizer": self.optimizer,
            "groups": [jsonable(group) for group in self.groups],
            "rows": [
                {key: jsonable(value) for key, value in row._asdict().items()}
                for row in self.rows
            ],
            "unmanaged": list(self.unmanaged),
            "frozen": list(self.frozen),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Return plain text: the groups, the parameters summed up, what is left out."""
        tables = [str(table) for table in self._tables]
        remarks = [line for remark in self._remarks for line in fill(remark)]
        return "\n".join([self._title, *tables, *remarks])

    def __rich__(self) -> rich.console.Group:
        """Return the same for ``rich.print``."""
        from rich.console import Group
        from rich.text import Text

        remarks = [Text(line) for line in self._remarks]
        return Group(Text(self._title), *(table.__rich__() for table in self._tables), *remarks)

    def _repr_html_(self) -> str:
        """Return the same as HTML tables, with every parameter folded below."""
        import html

        parts = [f"<p>{html.escape(self._title)}</p>"]
        parts += [table._repr_html_() for table in self._tables]
        if len(self._summary) < len(self.rows) <= _IN_HTML:
            every = self.expand()
            parts.append(
                f"<details><summary>{html.escape(every.caption)}</summary>"
                f"{every._repr_html_()}</details>"
            )
        parts += [f"<p>{html.escape(line)}</p>" for line in self._remarks]
        return "\n".join(parts)

    @property
    def _title(self) -> str:
        numel = [row.numel for row in self.rows]
        pieces = [
            _count(len(self.groups), "group"),
            _count(len(self.rows), "parameter"),
            *([f"{sum(n or 0 for n in numel):,} numbers"] if None not in numel else []),
            f"{self.bytes:,} bytes of state" if self.bytes else "no state",
        ]
        return f"{self.optimizer}: {', '.join(pieces)}"

    @property
    def _tables(self) -> list[Table]:
        return [self._group_table(), self._parameter_table()]

    def _group_table(self) -> Table:
        """Lay out the groups: the options in columns where they differ."""
        chosen = _telling_options(self.groups)
        rows = []
        for group in self.groups:
            row = {
                "group": group.index,
                "name": None if group.name == f"group {group.index}" else group.name,
                "parameters": group.parameters,
                "numel": group.numel,
                **{key: group.options.get(key) for key in chosen},
                "not the default": ", ".join(group.overrides),
            }
            rows.append(row)
        shown = [
            key
            for key in (rows[0] if rows else ())
            if key in chosen or any(_says(row[key]) for row in rows)
        ]
        return Table(rows, columns=shown, caption="Groups")

    def _parameter_table(self) -> Table:
        """Lay out the parameters, those that are alike on one line."""
        rows = self._summary
        columns = ["name", "tensors", "shape", "dtype", "frozen", "group", "state", "step", "bytes"]
        if all(row["tensors"] == 1 for row in rows):
            columns.remove("tensors")
        shown = [key for key in columns if any(_says(row.get(key)) for row in rows)]
        if any(row.get("norms") for row in rows):
            shown.append("norms")
        return Table(
            rows,
            columns=shown,
            caption="Parameters",
            formats={"dtype": _dtype, "state": _state, "norms": _norms},
        )

    @cached_property
    def _summary(self) -> list[dict[str, Any]]:
        """The parameters that are alike in one record; by module if these are too many."""
        rows = list(_alike(self.rows))
        depth = 6
        while len(rows) > _LINES and depth:
            rows = list(_by_module(self.rows, depth))
            depth -= 1
        return rows[:_LINES] + ([_rest(rows[_LINES:])] if len(rows) > _LINES else [])

    @cached_property
    def _remarks(self) -> list[str]:
        lines = []
        shared = _shared_options(self.groups)
        if shared:
            lines.append(f"In every group: {text(shared)}")
        if self.unmanaged:
            lines.append(f"Trainable, but not in this optimizer: {_names(self.unmanaged)}")
        if self.frozen:
            lines.append(f"Frozen, and not in this optimizer: {_names(self.frozen)}")
        return [*lines, *self.notes]


def _says(value: object) -> bool:
    """Tell whether a cell would say anything."""
    return value is not None and value not in ("", {}, False)


def _telling_options(groups: Sequence[GroupRow]) -> list[str]:
    """Choose the options worth a column: lr, weight decay, and what differs between groups."""
    keys = dict.fromkeys(key for group in groups for key in group.options if key != "name")
    first = [key for key in ("lr", "weight_decay") if key in keys]
    differing = [
        key
        for key in keys
        if key not in first
        and any(text(group.options.get(key)) != text(groups[0].options.get(key)) for group in groups)
    ]
    return (first + differing)[:8]


def _shared_options(groups: Sequence[GroupRow]) -> dict[str, Any]:
    """Return the options that are the same in every group, and are not shown in a column."""
    if not groups:
        return {}
    shown = {"name", *_telling_options(groups)}
    return {
        key: value
        for key, value in groups[0].options.items()
        if key not in shown and value is not None
    }


def _alike(rows: Sequence[ParameterRow]) -> Iterator[dict[str, Any]]:
    """Sum up parameters that differ only in a number of their name, in the first one's place."""
    kinds: dict[Any, list[int]] = {}
    masks = masked([row.name for row in rows])
    # States that are laid out alike share one mapping: see `describe._rows`.
    for place, (mask, row) in enumerate(zip(masks, rows)):
        kind = (mask, row.group, row.dtype, row.shape, row.trainable, row.step, id(row.state))
        kinds.setdefault(kind, []).append(place)
    found = []
    for places in kinds.values():
        for pattern, members in merge([rows[place].name for place in places]):
            found.append((places[members[0]], pattern, [rows[places[m]] for m in members]))
    found.sort(key=lambda each: each[0])
    for _, pattern, members_rows in found:
        yield _summed(pattern, members_rows, members_rows[0].shape)


def _by_module(rows: Sequence[ParameterRow], depth: int) -> Iterator[dict[str, Any]]:
    """Sum up the parameters of each module at a depth, group by group."""
    kinds: dict[Any, list[ParameterRow]] = {}
    for row in rows:
        parts = row.name.split(".")
        module = ".".join(parts[:depth]) + (".*" if len(parts) > depth else "")
        kinds.setdefault((module, row.group), []).append(row)
    for (module, _), members in kinds.items():
        yield _summed(module, members, None if len(members) > 1 else members[0].shape)


def _rest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up what is beyond the last line."""
    return {
        "name": f"(and {len(rows)} more lines: see expand())",
        "tensors": sum(row["tensors"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
    }


def _summed(name: str, rows: Sequence[ParameterRow], shape: Shape | None) -> dict[str, Any]:
    """Make one record of several parameters."""
    first = rows[0]
    steps = [row.step for row in rows if row.step is not None]
    dtypes = dict.fromkeys(row.dtype for row in rows)
    one_state = all(row.state is first.state or row.state == first.state for row in rows)
    norms: dict[str, float] = {}
    for row in rows:
        for key, value in row.norms.items():
            norms[key] = max(value, norms.get(key, 0.0))
    return {
        "name": name,
        "tensors": len(rows),
        "shape": shape,
        "dtype": first.dtype if len(dtypes) == 1 else ", ".join(map(_dtype, dtypes)),
        "frozen": "frozen" if any(row.trainable is False for row in rows) else None,
        "group": first.group,
        "state": _short_state(first) if one_state else "mixed",
        "step": _span(steps),
        "bytes": sum(row.bytes for row in rows),
        "norms": norms,
    }


def _span(steps: Sequence[Any]) -> Any:
    """Write one step count, or the lowest and the highest."""
    if not steps:
        return None
    low, high = min(steps), max(steps)
    return low if low == high else f"{text(low)}-{text(high)}"


def _short_state(row: ParameterRow) -> str:
    """Name the state's keys, with a shape where it is neither the parameter's nor a number."""
    return ", ".join(
        key if shape in ((), None, row.shape) else f"{key} {text(shape)}"
        for key, shape in row.state.items()
        if key != "step"
    )


def _state(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(
        key if not shape else f"{key} {text(shape)}" for key, shape in (value or {}).items()
    )


def _norms(value: Any) -> str:
    return ", ".join(f"{key}={number:.3g}" for key, number in (value or {}).items() if key != "step")


def _dtype(value: object) -> str:
    return "" if value is None else str(value).removeprefix("torch.")


def _names(names: Sequence[str]) -> str:
    """Write names in few, the first ten of them."""
    groups: dict[str, list[str]] = {}
    for mask, name in zip(masked(names), names):
        groups.setdefault(mask, []).append(name)
    patterns = [pattern for group in groups.values() for pattern, _ in merge(group)]
    return f"{len(names)}: {first_few(patterns, 10)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
