"""Many names in few: ``h.0.ln.weight`` … ``h.11.ln.weight`` is ``h.[0-11].ln.weight``.

What is in brackets is exact: every combination of the numbers is there, and nothing else. So
two rows never get the same name, and no name is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod

_NUMBERS = re.compile(r"[0-9]+")
_ZEROS = re.compile(r"0+")
_AS_ZERO = str.maketrans("123456789", "0" * 9)


def masked(names: Sequence[str]) -> list[str]:
    """Put 0 for each number of each name, to see which are alike."""
    found = "\n".join(names).translate(_AS_ZERO).split("\n")  # at once: a tenth of one by one
    if len(found) != len(names):  # a name has a line break
        found = [name.translate(_AS_ZERO) for name in names]
    short = {mask: _ZEROS.sub("0", mask) for mask in set(found)}
    return [short[mask] for mask in found]


def merge(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Write names that differ in their numbers only as few patterns."""
    if len(names) == 1:
        return [(names[0], [0])]
    pieces = _NUMBERS.split(names[0])
    slots = len(pieces) - 1
    found = _NUMBERS.findall("\n".join(names))
    columns = [found[slot::slots] for slot in range(slots)]
    if len(set(names)) < len(names):
        return [(name, [place]) for place, name in enumerate(names)]
    distinct = [list(dict.fromkeys(column)) for column in columns]
    if prod(map(len, distinct)) == len(names):
        return [(_fill(pieces, distinct), list(range(len(names))))]
    return _merge(names, list(zip(*columns, strict=True)), list(range(len(names))))


def _merge(
    names: Sequence[str], numbers: Sequence[tuple[str, ...]], places: list[int]
) -> list[tuple[str, list[int]]]:
    """Merge if the names are a full grid; else split where they first differ."""
    columns = [
        list(dict.fromkeys(column)) for column in zip(*(numbers[p] for p in places), strict=False)
    ]
    if prod(map(len, columns)) == len(places):
        pieces = _NUMBERS.split(names[places[0]])
        return [(_fill(pieces, columns), places)]
    first = next(slot for slot, column in enumerate(columns) if len(column) > 1)
    if sum(len(column) > 1 for column in columns) == 1:
        return [(names[place], [place]) for place in places]
    parts: dict[str, list[int]] = {}
    for place in places:
        parts.setdefault(numbers[place][first], []).append(place)
    merged = [found for part in parts.values() for found in _merge(names, numbers, part)]
    return _join(names, numbers, merged, first)


def _join(
    names: Sequence[str],
    numbers: Sequence[tuple[str, ...]],
    merged: list[tuple[str, list[int]]],
    slot: int,
) -> list[tuple[str, list[int]]]:
    """Put parts together again that differ in one slot only."""
    alike: dict[object, list[int]] = {}
    for _, places in merged:
        rest = tuple(sorted(numbers[p][:slot] + numbers[p][slot + 1 :] for p in places))
        alike.setdefault(rest, []).extend(places)
    result = []
    for places in alike.values():
        places.sort()
        columns = [
            list(dict.fromkeys(column))
            for column in zip(*(numbers[p] for p in places), strict=False)
        ]
        if prod(map(len, columns)) == len(places):
            pieces = _NUMBERS.split(names[places[0]])
            result.append((_fill(pieces, columns), places))
        else:
            result += [found for found in merged if found[1][0] in places]
    return sorted(result, key=lambda found: found[1][0])


def _fill(pieces: Sequence[str], columns: Iterable[Iterable[str]]) -> str:
    """Write the numbers between the pieces of a name; what is in brackets needs no second pair."""
    pattern = pieces[0]
    for column, piece in zip(columns, pieces[1:], strict=True):
        numbers = _numbers(column)
        bracketed = pattern.endswith("[") and piece.startswith("]")
        pattern += (numbers.strip("[]") if bracketed else numbers) + piece
    return pattern


def _numbers(column: Iterable[str]) -> str:
    """Write the numbers of a slot: one as it is, several in brackets, runs as ranges."""
    texts = list(column)
    if len(texts) == 1:
        return texts[0]
    if any(text[0] == "0" != text for text in texts):  # leading zeros: as they are
        return f"[{','.join(texts)}]"
    ordered = sorted(map(int, texts))
    if 2 < len(ordered) == ordered[-1] - ordered[0] + 1:
        return f"[{ordered[0]}-{ordered[-1]}]"
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    pieces = []
    for run in runs:
        first, last = run[0], run[-1]
        joint = "-" if last - first > 1 else ","
        pieces.append(str(first) if first == last else f"{first}{joint}{last}")
    return f"[{','.join(pieces)}]"
