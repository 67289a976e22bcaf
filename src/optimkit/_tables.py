"""Records, and their three looks: plain text, a rich table, an accessible HTML table.

What optimkit returns is data first. A :class:`Table` adds the looks, and knows nothing of
what its records are about.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from ._layout import GAP, WIDTH, fit, one_line, set_row, stacked, wrap

if TYPE_CHECKING:
    import rich.table


_STYLE = """\
<style>
.optimkit-scroll { overflow-x: auto; }
.optimkit-table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.optimkit-table caption { caption-side: top; text-align: start; font-weight: bold; }
.optimkit-table th, .optimkit-table td { padding: 0.2em 0.8em; text-align: start; }
.optimkit-table tbody th { font-weight: normal; }
.optimkit-table thead th { border-bottom: 2px solid; }
.optimkit-table tfoot td, .optimkit-table tfoot th { border-top: 1px solid; }
.optimkit-table .optimkit-number { text-align: end; }
</style>"""


@dataclass(frozen=True, repr=False)
class Table:
    """Records, shown as a table.

    Parameters
    ----------
    rows : sequence
        The records: mappings, dataclasses or named tuples. They are kept as they are.
    columns : sequence of str, optional
        Which entries to show, in which order. Without it, all that the records have.
    caption : str, optional
        One line above the table.
    headers : mapping of str to str, optional
        What to write above a column, where its own name will not do.
    formats : mapping of str to callable, optional
        How to write the values of a column, where :func:`text` will not do.
    summed : str, optional
        A column of numbers to add up in a last line.

    Examples
    --------
    >>> table = Table(
    ...     [
    ...         {"name": "weight", "numel": 1200, "lr": 0.1},
    ...         {"name": "bias", "numel": 30, "lr": 1e-5},
    ...     ],
    ...     caption="Two parameters",
    ...     summed="numel",
    ... )
    >>> print(table)
    Two parameters
    name    numel     lr
    ------  -----  -----
    weight   1200    0.1
    bias       30  1e-05
    ------  -----  -----
    total    1230
    >>> table.total, table.rows[1]["numel"]
    (1230, 30)
    """

    rows: Sequence[Any]
    columns: Sequence[str] = ()
    caption: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    summed: str | None = None

    def __post_init__(self) -> None:
        """Fix the order of the columns."""
        rows = tuple(self.rows)
        columns = tuple(self.columns) or tuple(
            dict.fromkeys(key for row in rows for key in _keys(row))
        )
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "columns", columns)

    @property
    def total(self) -> Any:
        """The sum of the column `summed`; None if there is none."""
        if self.summed is None:
            return None
        values = (_entry(row, self.summed) for row in self.rows)
        return sum(value for value in values if value is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as data that ``json`` can write.

        Returns
        -------
        dict
            ``caption``, ``columns`` and ``rows``, and ``total`` if a column is summed.
        """
        data: dict[str, Any] = {
            "caption": self.caption,
            "columns": list(self.columns),
            "rows": [
                {column: jsonable(_entry(row, column)) for column in self.columns}
                for row in self.rows
            ],
        }
        if self.summed is not None:
            data["total"] = jsonable(self.total)
        return data

    def __str__(self) -> str:
        """Return plain text, at most :data:`WIDTH` columns wide."""
        head, body, foot = self._head(), self._body(), self._foot()
        caption = wrap(self.caption, WIDTH) if self.caption else []
        if not self.columns:
            return "\n".join([*caption, "(nothing)"])
        widths = fit([head, *body, *foot])
        if widths is None:
            return "\n".join([*caption, *stacked(head, [*body, *foot])])
        numeric = self._numeric()
        rule = GAP.join("-" * width for width in widths)
        lines = [*caption, *set_row(head, widths, numeric), rule]
        for row in body:
            lines += set_row(row, widths, numeric)
        for row in foot:
            lines += [rule, *set_row(row, widths, numeric)]
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        """Return the same: it is what an interactive session shows."""
        return str(self)

    def __rich__(self) -> rich.table.Table:
        """Return the table for ``rich.print``."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        foot = self._foot()
        table = RichTable(
            title=Text(self.caption) if self.caption else None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_footer=bool(foot),
        )
        footers = foot[0] if foot else [""] * len(self.columns)
        for header, footer, numeric in zip(self._head(), footers, self._numeric(), strict=True):
            table.add_column(
                Text(header), Text(footer), justify="right" if numeric else "left", overflow="fold"
            )
        for row in self._body():
            table.add_row(*map(Text, row))
        return table

    def _repr_html_(self) -> str:
        """Return an HTML table: a caption, headers with their scope, no script, no colour."""
        return page(self)

    def _head(self) -> list[str]:
        return [one_line(self.headers.get(column, column)) for column in self.columns]

    def _body(self) -> list[list[str]]:
        return [
            [self._text(column, _entry(row, column)) for column in self.columns]
            for row in self.rows
        ]

    def _foot(self) -> list[list[str]]:
        if self.summed is None:
            return []
        row = [
            self._text(column, self.total) if column == self.summed else ""
            for column in self.columns
        ]
        if self.columns and self.columns[0] != self.summed:
            row[0] = "total"
        return [row]

    def _text(self, column: str, value: object) -> str:
        return one_line(self.formats.get(column, text)(value))

    def _numeric(self) -> list[bool]:
        """Tell which columns hold nothing but numbers: they are set to the right."""
        columns = ([_entry(row, column) for row in self.rows] for column in self.columns)
        return [
            any(value is not None for value in values)
            and all(value is None or isinstance(value, (int, float)) for value in values)
            for values in columns
        ]


def html_table(table: Table) -> str:
    """Return an HTML table without its style, to stand in a :func:`page` with others."""
    numeric = table._numeric()
    parts = [f'<div class="optimkit-scroll"{_named(table.caption)} tabindex="0">']
    parts.append('<table class="optimkit-table">')
    if table.caption:
        parts.append(f"<caption>{html.escape(table.caption)}</caption>")
    heads = "".join(
        _cell("th", text, right, "col") for text, right in zip(table._head(), numeric, strict=True)
    )
    parts += [f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
    parts += [_html_row(row, numeric) for row in table._body()]
    parts.append("</tbody>")
    parts += [f"<tfoot>{_html_row(row, numeric)}</tfoot>" for row in table._foot()]
    return "\n".join([*parts, "</table>", "</div>"])


def page(*parts: Table | str) -> str:
    """Put tables together as HTML; they share one style."""
    written = (html_table(part) if isinstance(part, Table) else part for part in parts)
    return "\n".join([_STYLE, *written])


def text(value: object) -> str:
    """Write a value the way it is shown in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(text, value))})"
    return str(value)


def jsonable(value: object) -> Any:
    """Turn a value into what strict JSON can hold."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {key: jsonable(getattr(value, key)) for key in _keys(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    return str(value)


def _keys(row: Any) -> Sequence[str]:
    """Name the entries of a record."""
    if isinstance(row, Mapping):
        return list(row)
    if is_dataclass(row):
        return [each.name for each in fields(row)]
    names: Sequence[str] = row._fields
    return names


def _entry(row: Any, column: str) -> Any:
    """Look an entry up; a record may lack it."""
    return row.get(column) if isinstance(row, Mapping) else getattr(row, column, None)


def _named(caption: str) -> str:
    """Give the scrolling box, which the keyboard can reach, a name."""
    return f' role="group" aria-label="{html.escape(caption)}"' if caption else ""


def _cell(tag: str, content: str, right: bool, scope: str = "") -> str:
    """Write one cell."""
    scoped = f' scope="{scope}"' if scope else ""
    classed = ' class="optimkit-number"' if right else ""
    return f"<{tag}{scoped}{classed}>{html.escape(content)}</{tag}>"


def _html_row(row: list[str], numeric: list[bool]) -> str:
    """Write one row; its first cell names it."""
    cells = [_cell("th", row[0], numeric[0], "row")] if row else []
    cells += [_cell("td", cell, right) for cell, right in zip(row[1:], numeric[1:], strict=True)]
    return f"<tr>{''.join(cells)}</tr>"
