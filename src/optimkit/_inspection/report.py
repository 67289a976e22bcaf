"""The records of :func:`optimkit.describe`, and their looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .._errors import first_few
from .._tables import Folded, Shown, Table, jsonable, text
from .patterns import masked, merge
from .records import Columns, GroupRow, ParameterRow, total
from .summary import dtype_name, summed_up

_IN_HTML = 200  # so many rows are worth folding into a page


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """What an optimizer holds; see :func:`optimkit.describe`.

    Parameters
    ----------
    optimizer : str
        The optimizer's class, or where its state dict was found.
    groups : tuple of GroupRow
        The groups.
    columns : tuple of sequence
        The parameters, group by group, a fact at a time; ``rows`` has a record for each.
    unmanaged : tuple of str
        Parameters of the model that can be trained and that the optimizer has not.
    frozen : tuple of str
        Parameters of the model that are frozen and that the optimizer has not.
    notes : tuple of str
        What else should be said, a sentence each.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import describe
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    >>> report = describe(torch.optim.SGD(model[0].parameters(), lr=0.1), model)
    >>> report.rows[0].name, report.rows[0].shape, report.unmanaged
    ('0.weight', (4, 4), ('1.weight', '1.bias'))
    """

    optimizer: str
    groups: tuple[GroupRow, ...]
    columns: Columns
    unmanaged: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def rows(self) -> tuple[ParameterRow, ...]:
        """A record for each parameter, group by group."""
        return self.columns.rows()

    @property
    def bytes(self) -> int:
        """The size of all state."""
        return sum(self.columns.bytes)

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
        >>> import torch
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
            formats={"dtype": dtype_name, "state": _state},
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
                {key: jsonable(value) for key, value in row._asdict().items()} for row in self.rows
            ],
            "unmanaged": list(self.unmanaged),
            "frozen": list(self.frozen),
            "notes": list(self.notes),
        }

    def _blocks(self) -> list[Table | str]:
        """Return the groups, the parameters summed up, what is left out."""
        return [self._title, self._group_table(), self._parameter_table(), *self._remarks]

    def _html_blocks(self) -> list[Table | Folded | str]:
        """Return the same, with every parameter folded below."""
        folded = len(self._summary) < len(self.columns.name) <= _IN_HTML
        return [*self._blocks(), *([Folded(self.expand())] if folded else [])]

    @property
    def _title(self) -> str:
        numel, size = total(self.columns.numel), self.bytes
        pieces = [
            _count(len(self.groups), "group"),
            _count(len(self.columns.name), "parameter"),
            *([] if numel is None else [f"{numel:,} numbers"]),
            f"{size:,} bytes of state" if size else "no state",
        ]
        return f"{self.optimizer}: {', '.join(pieces)}"

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
            formats={"dtype": dtype_name, "state": _state, "norms": _norms},
        )

    @cached_property
    def _summary(self) -> list[dict[str, Any]]:
        return summed_up(self.columns)

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
        and any(
            text(group.options.get(key)) != text(groups[0].options.get(key)) for group in groups
        )
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


def _state(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else ", ".join(
            key if not shape else f"{key} {text(shape)}" for key, shape in (value or {}).items()
        )
    )


def _norms(value: Any) -> str:
    return ", ".join(
        f"{key}={number:.3g}" for key, number in (value or {}).items() if key != "step"
    )


def _names(names: Sequence[str]) -> str:
    """Write names in few, the first ten of them."""
    groups: dict[str, list[str]] = {}
    for mask, name in zip(masked(names), names, strict=False):
        groups.setdefault(mask, []).append(name)
    patterns = [pattern for group in groups.values() for pattern, _ in merge(group)]
    return f"{len(names)}: {first_few(patterns, 10)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
