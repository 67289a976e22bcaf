"""Cells of text, laid out for a terminal: columns, rules, and lines that are not too long."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

WIDTH = 100
"""The width of plain text, in columns of a terminal; a Chinese character takes two."""

GAP = "  "
_BREAK = re.compile(r"(?<= )|(?<=[^0-9]\.)|(?<=\.)(?![0-9])")  # after a full stop in no number
_NARROWEST = 6  # a column is not squeezed below this: the records are stacked instead


def fill(value: str, lead: str = "") -> list[str]:
    """Break a sentence between words, at most :data:`WIDTH` columns wide."""
    indent = " " * max(2, len(lead))
    lines, line = [], lead
    for word in one_line(value).split(" "):
        joint = "" if line in (lead, indent) else " "
        if cell_len(line + joint + word) > WIDTH and line not in (lead, indent):
            lines.append(line)
            line, joint = indent, ""
        while cell_len(line + joint + word) > WIDTH:
            head = wrap(word, WIDTH - cell_len(line + joint))[0]
            lines.append(line + joint + head)
            line, joint, word = indent, "", word[len(head) :]
        line += joint + word
    return [*lines, line]


def one_line(value: str) -> str:
    """Keep a cell to printable text: a name may hold a tab, or an escape sequence."""
    if value.isprintable():
        return value
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in value
    )


def wrap(value: str, width: int) -> list[str]:
    """Break text at the width, between words if it can; Chinese characters take two columns."""
    value = one_line(value)
    if cell_len(value) <= width:
        return [value]
    lines, line, used = [], "", 0
    for char in value:
        size = cell_len(char)
        if used + size > width and char == " ":
            lines.append(line)
            line, used = "", 0
            continue
        if used + size > width:
            # Between words, if that leaves the line at least half full.
            ends = (found.end() for found in _BREAK.finditer(line + char))
            end = max((each for each in ends if each <= len(line)), default=0)
            end = end if 2 * cell_len(line[:end]) > width else len(line)
            lines.append(line[:end])
            line = line[end:]
            used = cell_len(line)
        line, used = line + char, used + size
    return [*lines, line]


def fit(cells: list[list[str]]) -> list[int] | None:
    """Choose the columns' widths, taking from the widest what is too much; None if in vain."""
    columns = list(zip(*cells, strict=True))
    widths = [max(2, *map(cell_len, column)) for column in columns]
    room = WIDTH - len(GAP) * (len(widths) - 1)
    if sum(widths) <= room:
        return widths
    words = [
        max(
            _NARROWEST, *(cell_len(word.rstrip()) for cell in column for word in _BREAK.split(cell))
        )
        for column in columns
    ]
    return _squeeze(widths, words, room) or _squeeze(widths, [_NARROWEST] * len(widths), room)


def _squeeze(widths: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Take from the widest columns, none below its least, until all have room."""
    widths = list(widths)
    while sum(widths) > room:
        loose = [index for index, width in enumerate(widths) if width > least[index]]
        if not loose:
            return None
        widest = max(widths[index] for index in loose)
        second = max((width for width in widths if width < widest), default=0)
        many = [index for index in loose if widths[index] == widest]
        excess = -(-(sum(widths) - room) // len(many))
        for index in many:
            widths[index] = max(second, least[index], widest - excess)
    return widths


def set_row(row: list[str], widths: list[int], numeric: list[bool]) -> list[str]:
    """Lay out one row, on several lines if a cell has to be broken."""
    broken = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, broken))
    return [
        GAP.join(
            _pad(cell[line] if line < len(cell) else "", width, right)
            for cell, width, right in zip(broken, widths, numeric, strict=True)
        )
        for line in range(height)
    ]


def _pad(cell: str, width: int, right: bool) -> str:
    """Fill a cell up to its width."""
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def stacked(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lay out what is too wide for a table: a record a paragraph, an entry a line."""
    lines: list[str] = []
    for row in rows:
        if lines:
            lines.append("")
        for header, cell in zip(head, row, strict=True):
            lines += wrap(f"{header}: {cell}".rstrip(), WIDTH)
    return lines
