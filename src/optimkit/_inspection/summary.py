"""Many parameters in few lines: those that are alike share one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from .._tables import text
from .patterns import masked, merge
from .records import Columns, Shape

_Line = tuple[str, list[int]]  # a name or a pattern, and the parameters that it stands for
_LINES = 60  # so many lines of parameters are shown; beyond, they are summed up by module


def summed_up(columns: Columns) -> list[dict[str, Any]]:
    """Sum up parameters: the alike ones in one record; by module if these are too many."""
    lines = list(_alike(columns))
    depth = 6
    while len(lines) > _LINES and depth:
        lines = list(_by_module(columns, depth))
        depth -= 1
    shown = [_summed(columns, *line) for line in lines[:_LINES]]
    return shown + ([_rest(columns, lines[_LINES:])] if len(lines) > _LINES else [])


def dtype_name(value: object) -> str:
    """Write a data type without ``torch.``."""
    return "" if value is None else str(value).removeprefix("torch.")


def _alike(columns: Columns) -> Iterator[_Line]:
    """Sum up parameters that differ only in a number of their name, in the first one's place."""
    kinds: dict[Any, list[int]] = {}
    facts = zip(
        masked(columns.name),
        columns.group,
        columns.dtype,
        columns.shape,
        columns.trainable,
        columns.step,
        map(id, columns.state),  # states that are laid out alike share one mapping
        strict=True,
    )
    for place, kind in enumerate(facts):
        kinds.setdefault(kind, []).append(place)
    found = [
        (pattern, [places[member] for member in members])
        for places in kinds.values()
        for pattern, members in merge([columns.name[place] for place in places])
    ]
    return iter(sorted(found, key=lambda line: line[1][0]))


def _by_module(columns: Columns, depth: int) -> Iterator[_Line]:
    """Sum up the parameters of each module at a depth, group by group."""
    kinds: dict[tuple[str, int], list[int]] = {}
    for place, (name, group) in enumerate(zip(columns.name, columns.group, strict=True)):
        parts = name.split(".")
        module = ".".join(parts[:depth]) + (".*" if len(parts) > depth else "")
        kinds.setdefault((module, group), []).append(place)
    for (module, _), places in kinds.items():
        yield module, places


def _rest(columns: Columns, lines: Sequence[_Line]) -> dict[str, Any]:
    """Sum up what is beyond the last line."""
    return {
        "name": f"(and {len(lines)} more lines: see expand())",
        "tensors": sum(len(places) for _, places in lines),
        "bytes": sum(columns.bytes[place] for _, places in lines for place in places),
    }


def _summed(columns: Columns, name: str, places: Sequence[int]) -> dict[str, Any]:
    """Make one record of several parameters."""
    first = places[0]

    def all_of(column: Sequence[Any]) -> list[Any]:
        return [column[place] for place in places]

    shapes = set(all_of(columns.shape))
    dtypes = dict.fromkeys(all_of(columns.dtype))
    states = list({id(state): state for state in all_of(columns.state)}.values())
    return {
        "name": name,
        "tensors": len(places),
        "shape": shapes.pop() if len(shapes) == 1 else None,
        "dtype": columns.dtype[first] if len(dtypes) == 1 else ", ".join(map(dtype_name, dtypes)),
        "frozen": "frozen" if False in all_of(columns.trainable) else None,
        "group": columns.group[first],
        "state": _short_state(states[0], columns.shape[first])
        if all(state == states[0] for state in states)
        else "mixed",
        "step": _span([step for step in set(all_of(columns.step)) if step is not None]),
        "bytes": sum(all_of(columns.bytes)),
        "norms": _largest(all_of(columns.norms)),
    }


def _largest(norms: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the largest norm of each key; NaN if there is one: it is what one looks for."""
    found = {}
    for key in dict.fromkeys(chain.from_iterable(norms)):
        numbers = [each[key] for each in norms if key in each]
        found[key] = math.nan if any(map(math.isnan, numbers)) else max(numbers)
    return found


def _span(steps: Sequence[Any]) -> Any:
    """Write one step count, or the lowest and the highest."""
    if not steps:
        return None
    low, high = min(steps), max(steps)
    return low if low == high else f"{text(low)}-{text(high)}"


def _short_state(state: Mapping[str, Shape | None], own: Shape | None) -> str:
    """Name the state's keys, with a shape where it is neither the parameter's nor a number."""
    return ", ".join(
        key if shape in ((), None, own) else f"{key} {text(shape)}"
        for key, shape in state.items()
        if key != "step"
    )
