"""Records and results, and their looks: text, in a terminal with rich too, and accessible HTML."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ._errors import written

if TYPE_CHECKING:  # rich is imported when something is shown: `import optimkit` stays cheap
    import rich.console

WIDTH = 100  # of plain text, in columns of a terminal; a Chinese character takes two
_NARROWEST = 6  # a column of words is not squeezed below this: the records are stacked instead
_SHORT = 12  # a cell of this width is not broken, if it can be helped
_GAP = 2
_NUMBERS = re.compile(r"([0-9]+)")  # a split keeps them

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


class Shown:
    """A result that prints itself, from its tables and sentences; as a dataclass, ``repr=False``."""

    __slots__ = ()

    def _blocks(self) -> Iterable[Table | str]:
        """Return what is shown, from top to bottom."""
        raise NotImplementedError

    def _html_blocks(self) -> Iterable[Table | str]:
        """Return what is shown in HTML, where there is more room."""
        return self._blocks()

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as data that ``json`` can write."""
        data: dict[str, Any] = jsonable(self)
        return data

    def __str__(self) -> str:
        return self._plain(WIDTH)

    def __repr__(self) -> str:
        return str(self)

    def __rich_console__(
        self, console: rich.console.Console, options: rich.console.ConsoleOptions
    ) -> Iterator[rich.console.RenderableType]:
        from rich.text import Text

        yield Text(self._plain(options.max_width))

    def _repr_html_(self) -> str:
        """Return HTML: no script, no colour; the blocks share one style."""
        return "\n".join([_STYLE, *map(_html, self._html_blocks())])

    def _plain(self, width: int) -> str:
        return "\n".join(
            _fill(block, width) if isinstance(block, str) else block._lines(width)
            for block in self._blocks()
        )


@dataclass(frozen=True, repr=False)
class Table(Shown):
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
        How to write the values of a column, where plain text will not do.
    summed : str, optional
        A column of numbers to add up in a last line.

    Examples
    --------
    >>> print(Table([{"name": "weight", "numel": 6}, {"name": "bias", "numel": 2}], summed="numel"))
    name    numel
    ------  -----
    weight      6
    bias        2
    ------  -----
    total       8
    """

    rows: Sequence[Any]
    columns: Sequence[str] = ()
    caption: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    summed: str | None = None

    def __post_init__(self) -> None:
        rows = tuple(self.rows)
        found = self.columns or dict.fromkeys(key for row in rows for key in _keys(row))
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "columns", tuple(found))

    @property
    def total(self) -> float | None:
        """The sum of the column `summed`; None if there is none."""
        if self.summed is None:
            return None
        total: float = sum(_entry(row, self.summed) or 0 for row in self.rows)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return ``caption``, ``columns``, ``rows`` and any ``total`` as data for ``json``."""
        rows = [{key: jsonable(_entry(row, key)) for key in self.columns} for row in self.rows]
        total = {} if self.summed is None else {"total": jsonable(self.total)}
        return {"caption": self.caption, "columns": list(self.columns), "rows": rows, **total}

    def _blocks(self) -> Iterable[Table | str]:
        return (self,)

    def _head(self) -> list[str]:
        return [one_line(self.headers.get(column, column)) for column in self.columns]

    def _body(self) -> list[list[str]]:
        return [[self._text(key, _entry(row, key)) for key in self.columns] for row in self.rows]

    def _foot(self) -> list[list[str]]:
        if self.summed is None:
            return []
        cells = {**dict.fromkeys(self.columns, ""), **dict.fromkeys(self.columns[:1], "total")}
        cells[self.summed] = self._text(self.summed, self.total)
        return [[cells[column] for column in self.columns]]

    def _text(self, column: str, value: object) -> str:
        return one_line(self.formats.get(column, text)(value))

    def _numeric(self) -> list[bool]:
        """Return which columns hold nothing but numbers: they are set to the right."""
        columns = ([_entry(row, column) for row in self.rows] for column in self.columns)
        return [
            any(value is not None for value in values)
            and all(value is None or isinstance(value, (int, float)) for value in values)
            for values in columns
        ]

    def _lines(self, width: int) -> str:
        """Lay the table out; where it has too many columns, a paragraph a record."""
        caption = [_fill(self.caption, width)] if self.caption else []
        if not self.columns:
            return "\n".join([*caption, "(nothing)"])
        head, body, foot, numeric = self._head(), self._body(), self._foot(), self._numeric()
        widths = _widths(list(zip(head, *body, *foot, strict=True)), numeric, width)
        if widths is not None:
            rule = ["-" * each for each in widths]
            rows = [head, rule, *body, *([rule] if foot else []), *foot]
            return "\n".join([*caption, *(_row(row, widths, numeric) for row in rows)])
        records = [
            "\n".join(_fill(f"{name}: {cell}", width) for name, cell in zip(head, row, strict=True))
            for row in [*body, *foot]
        ]
        return "\n".join([*caption, "\n\n".join(records)])


def _widths(
    columns: Sequence[Sequence[str]], numeric: Sequence[bool], width: int
) -> list[int] | None:
    """Choose the columns' widths, taking from the widest what is too much; None if in vain."""
    widths = [min(width, max(map(_width, column))) for column in columns]
    words = [max(map(_unbroken, column)) for column in columns]
    room = width - _GAP * (len(widths) - 1)
    for shortest in (width, _NARROWEST):  # words are kept whole if they can be, numbers always
        least = [
            own if number else min(word, shortest)
            for own, word, number in zip(widths, words, numeric, strict=True)
        ]
        while sum(widths) > room and widths != least:
            loose = (index for index, own in enumerate(widths) if own > least[index])
            widths[max(loose, key=widths.__getitem__)] -= 1
    return widths if sum(widths) <= room else None


def _width(words: str) -> int:
    from rich.cells import cell_len

    return cell_len(words)


def _unbroken(cell: str) -> int:
    """Return how wide a column has to be for a cell not to be broken within a word."""
    short = _width(cell) <= _SHORT
    pieces = [cell] if short else cell.split(" ") if " " in cell else re.split(r"(?<=\.)", cell)
    return max(map(_width, pieces))


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    """Lay out a row, on several lines where a cell has to be broken."""
    lines = []
    for pieces in zip_longest(*map(_broken, cells, widths), fillvalue=""):
        line = ""
        for piece, width, right in zip(pieces, widths, numeric, strict=True):
            space = " " * (width - _width(piece))
            line += (space + piece if right else piece + space) + " " * _GAP
        lines.append(line.rstrip())
    return "\n".join(lines)


def _broken(cell: str, width: int) -> list[str]:
    """Break a cell that is too long, between words, or a name after its dots."""
    if _width(cell) <= width:
        return [cell]
    if "." in cell and " " not in cell:
        pieces = rf".{{1,{width}}}$|.{{1,{width - 1}}}\.|.{{1,{width}}}"
        cell = "\n".join(re.findall(pieces, cell))
    return _wrapped(cell, width)


def _fill(sentence: str, width: int) -> str:
    """Break a sentence between words, and indent its further lines: by its arrow, if it has one."""
    sentence = one_line(sentence)
    body = sentence.lstrip(" ->") if sentence.startswith("  -> ") else sentence
    lead = sentence[: len(sentence) - len(body)]
    indent = max(2, len(lead))
    first, *more = _wrapped(body, max(1, width - indent))
    return "\n".join([lead + first, *(" " * indent + line for line in more)])


def _wrapped(words: str, width: int) -> list[str]:
    import rich
    from rich.text import Text

    lines = Text(words).wrap(rich.get_console(), width, overflow="fold")
    return [line.plain.rstrip() for line in lines]


def _html(block: Table | str) -> str:
    """Write a block as HTML, without the style."""
    if isinstance(block, str):
        return f"<p>{html.escape(block)}</p>"
    numeric, caption = block._numeric(), html.escape(block.caption)
    label = f' role="group" aria-label="{caption}"' if caption else ""  # the keyboard reaches it
    above, beside = ["col"] * len(numeric), ["row", *[""] * (len(numeric) - 1)]
    lines = [
        f'<div class="optimkit-scroll"{label} tabindex="0">',
        '<table class="optimkit-table">',
        *([f"<caption>{caption}</caption>"] if caption else []),
        f"<thead>{_html_row(block._head(), numeric, above)}</thead>",
        "<tbody>",
        *(_html_row(row, numeric, beside) for row in block._body()),
        "</tbody>",
        *(f"<tfoot>{_html_row(row, numeric, beside)}</tfoot>" for row in block._foot()),
        "</table>",
        "</div>",
    ]
    return "\n".join(lines)


def _html_row(row: Sequence[str], numeric: Sequence[bool], scopes: Sequence[str]) -> str:
    """Write a row; a cell with a scope is a heading."""
    cells = []
    for cell, right, scope in zip(row, numeric, scopes, strict=False):
        tag, attributes = ("th", f' scope="{scope}"') if scope else ("td", "")
        attributes += ' class="optimkit-number"' if right else ""
        cells.append(f"<{tag}{attributes}>{html.escape(cell)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def one_line(value: str) -> str:
    """Keep a text printable: a name may hold a line break, or an escape sequence."""
    if value.isprintable():
        return value
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in value
    )


def text(value: object) -> str:
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
    return written(value)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def jsonable(value: object) -> Any:
    """Turn a value into what strict JSON can hold; a record becomes a mapping."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if (is_dataclass(value) or hasattr(value, "_fields")) and not isinstance(value, type):
        return {key: jsonable(getattr(value, key)) for key in _keys(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    return written(value)


def _keys(row: Any) -> Sequence[str]:
    if isinstance(row, Mapping):
        return list(row)
    if is_dataclass(row):
        return [each.name for each in fields(row)]
    names: Sequence[str] = row._fields
    return names


def _entry(row: Any, column: str) -> Any:
    return row.get(column) if isinstance(row, Mapping) else getattr(row, column, None)


# Many names in few, exactly: ``h.[0-11].ln.weight`` is these twelve names, and no other.

# A product of the numbers at each place, and the names that are in it.
Grid = tuple[tuple[tuple[str, ...], ...], list[int]]


def in_few(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Write names as few patterns, each with the places of its names, in the order of the first."""
    alike: dict[tuple[Any, ...], list[tuple[list[str], int]]] = {}  # between the numbers -> names
    times: dict[str, int] = {}
    for place, name in enumerate(names):
        pieces = _NUMBERS.split(name)
        times[name] = times.get(name, 0) + 1  # one that comes again is in a pattern of its own
        alike.setdefault((times[name], *pieces[::2]), []).append((pieces[1::2], place))
    found = []
    for (_, *pieces), named in alike.items():
        grids: list[Grid] = [(tuple(zip(numbers)), [place]) for numbers, place in named]
        for slot in reversed(range(len(pieces) - 1)):
            if len({columns[slot] for columns, _ in grids}) > 1:
                grids = _joined(grids, slot)
        found += [(_filled_in(pieces, columns), sorted(places)) for columns, places in grids]
    return sorted(found, key=lambda each: each[1][0])


def _joined(grids: Sequence[Grid], slot: int) -> list[Grid]:
    """Join grids that differ in the numbers at one place only: together they are one grid again."""
    joined: dict[Any, tuple[list[str], list[int]]] = {}
    for columns, places in grids:
        others = columns[:slot] + columns[slot + 1 :]
        numbers, together = joined.setdefault(others, ([], []))
        numbers += columns[slot]
        together += places
    return [
        ((*others[:slot], tuple(numbers), *others[slot:]), places)
        for others, (numbers, places) in joined.items()
    ]


def _filled_in(pieces: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    """Write the numbers between the pieces of a name; what is in brackets needs no second pair."""
    pattern = pieces[0]
    for column, piece in zip(columns, pieces[1:], strict=True):
        bracketed = pattern.endswith("[") and piece.startswith("]")
        text = column[0] if len(column) == 1 else _ranges(column)
        pattern += (text if bracketed or len(column) == 1 else f"[{text}]") + piece
    return pattern


def _ranges(column: Sequence[str]) -> str:
    """Write several numbers, three and more in a row as a range."""
    if any(text[0] == "0" != text for text in column):  # leading zeros: as they are
        return ",".join(column)
    runs: list[list[int]] = []
    for number in sorted(map(int, column)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs
    )
