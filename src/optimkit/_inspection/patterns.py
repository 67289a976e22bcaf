"""Many names in few: ``h.0.ln.weight`` … ``h.11.ln.weight`` is ``h.[0-11].ln.weight``.

What is in brackets is exact: every combination of the numbers is there, and nothing else. So
two lines never get the same name, and no name is cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from math import prod

_NUMBERS = re.compile(r"[0-9]+")

Places = list[int]


def in_few(names: Sequence[str]) -> list[tuple[str, Places]]:
    """Write names as few patterns, each with the places of its names, the first one's order."""
    alike: dict[str, Places] = {}
    for place, name in enumerate(names):
        alike.setdefault(_NUMBERS.sub("0", name), []).append(place)
    found = [
        (pattern, [places[member] for member in members])
        for places in alike.values()
        for pattern, members in _merge([names[place] for place in places])
    ]
    return sorted(found, key=lambda each: each[1][0])


def _merge(names: Sequence[str]) -> list[tuple[str, Places]]:
    """Write names that differ in their numbers only as few patterns."""
    numbers = [tuple(_NUMBERS.findall(name)) for name in names]
    if len(set(numbers)) < len(names):
        return [(name, [place]) for place, name in enumerate(names)]
    pieces = _NUMBERS.split(names[0])
    return [
        (_fill(pieces, _columns(numbers, places)), places)
        for places in _grids(numbers, list(range(len(names))))
    ]


def _grids(numbers: Sequence[tuple[str, ...]], places: Places) -> list[Places]:
    """Part names until the numbers of each part are a full grid: all their combinations."""
    columns = _columns(numbers, places)
    if prod(map(len, columns)) == len(places):
        return [places]
    slot = next(slot for slot, column in enumerate(columns) if len(column) > 1)
    parts = [[p for p in places if numbers[p][slot] == number] for number in columns[slot]]
    # Parts that differ in this number only are one grid again.
    joined: dict[frozenset[tuple[str, ...]], Places] = {}
    for grid in chain.from_iterable(_grids(numbers, part) for part in parts):
        rest = frozenset(numbers[p][:slot] + numbers[p][slot + 1 :] for p in grid)
        joined.setdefault(rest, []).extend(grid)
    return sorted(map(sorted, joined.values()))


def _columns(numbers: Sequence[tuple[str, ...]], places: Places) -> list[list[str]]:
    """List the different numbers in each slot."""
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
