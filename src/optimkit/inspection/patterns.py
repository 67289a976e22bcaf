"""Many names in few: ``h.0.ln.weight`` … ``h.11.ln.weight`` is ``h.[0-11].ln.weight``.

What is in brackets is exact: every combination of the numbers is there, and nothing else. So
two rows never get the same name, and no name is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import prod

_NUMBERS = re.compile(r"\d+")


def masked(names: Sequence[str]) -> list[str]:
    """Replace the numbers of each name, to see which are alike.

    Parameters
    ----------
    names : sequence of str
        The names.

    Returns
    -------
    list of str
        The same with ``#`` for each number.

    Examples
    --------
    >>> masked(["h.0.weight", "h.11.weight"])
    ['h.#.weight', 'h.#.weight']
    """
    text = "\n".join(names)
    found = _NUMBERS.sub("#", text).split("\n")
    if len(found) == len(names):  # one pass over all of them costs a fraction of one each
        return found
    return [_NUMBERS.sub("#", name) for name in names]


def merge(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Write names that differ in their numbers only as few patterns.

    Parameters
    ----------
    names : sequence of str
        Names with one mask (see :func:`masked`), all different.

    Returns
    -------
    list of tuple of (str, list of int)
        A pattern, and which of the names it stands for, in the order of the names.

    Examples
    --------
    >>> merge(["h.0.0", "h.0.1", "h.1.0", "h.1.1", "h.7.0"])
    [('h.[0,1].[0,1]', [0, 1, 2, 3]), ('h.7.0', [4])]
    """
    if len(names) == 1:
        return [(names[0], [0])]
    pieces = _NUMBERS.split(names[0])
    if len(pieces) == 2:  # one number, as in most models: no need to search each name
        start, stop = len(pieces[0]), -len(pieces[1]) or None
        numbers = [(name[start:stop],) for name in names]
    else:
        numbers = [tuple(_NUMBERS.findall(name)) for name in names]
    if len(set(numbers)) < len(numbers):
        return [(name, [place]) for place, name in enumerate(names)]
    return _merge(names, numbers, list(range(len(names))))


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
    slots = [*map(_numbers, columns), ""]
    pattern = "".join(map("".join, zip(pieces, slots, strict=True)))
    return pattern.replace("[[", "[").replace("]]", "]")


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
