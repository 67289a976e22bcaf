"""Many names in few, exactly: ``h.[0-11].ln.weight`` is these twelve names, and no other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from math import prod

_NUMBERS = re.compile(r"([0-9]+)")  # a split keeps them

Numbers = tuple[str, ...]
Places = list[int]


def in_few(names: Sequence[str]) -> list[tuple[str, Places]]:
    """Write names as few patterns, each with the places of its names, in the order of the first."""
    numbers: list[Numbers] = []
    alike: dict[tuple[str, ...], Places] = {}  # what is between the numbers -> the names
    for place, name in enumerate(names):
        pieces = _NUMBERS.split(name)
        numbers.append(tuple(pieces[1::2]))
        alike.setdefault(tuple(pieces[::2]), []).append(place)
    found = [
        (_fill(pieces, _columns(numbers, grid)), grid)
        for pieces, places in alike.items()
        for grid in _grids(numbers, places)
    ]
    return sorted(found, key=lambda each: each[1][0])


def _grids(numbers: Sequence[Numbers], places: Places) -> list[Places]:
    """Part names until the numbers of each part are a full grid: all their combinations."""
    if len({numbers[place] for place in places}) < len(places):  # two names are the same
        return [[place] for place in places]
    columns = _columns(numbers, places)
    if prod(map(len, columns)) == len(places):
        return [places]
    slot = next(slot for slot, column in enumerate(columns) if len(column) > 1)
    parts: dict[str, Places] = {}
    for place in places:
        parts.setdefault(numbers[place][slot], []).append(place)
    # Parts that differ in this number only are one grid again.
    joined: dict[frozenset[Numbers], Places] = {}
    for grid in chain.from_iterable(_grids(numbers, part) for part in parts.values()):
        rest = frozenset(numbers[p][:slot] + numbers[p][slot + 1 :] for p in grid)
        joined.setdefault(rest, []).extend(grid)
    return sorted(map(sorted, joined.values()))


def _columns(numbers: Sequence[Numbers], places: Places) -> list[list[str]]:
    return [
        list(dict.fromkeys(column)) for column in zip(*(numbers[p] for p in places), strict=True)
    ]


def _fill(pieces: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
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
