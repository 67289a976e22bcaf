"""Many parameters in few lines: those that are alike share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..render import text
from .patterns import masked, merge
from .records import ParameterRow, Shape

_LINES = 60  # so many lines of parameters are shown; beyond, they are summed up by module


def summed_up(rows: Sequence[ParameterRow]) -> list[dict[str, Any]]:
    """Sum up parameters: the alike ones in one record; by module if these are too many.

    Parameters
    ----------
    rows : sequence of ParameterRow
        The parameters.

    Returns
    -------
    list of dict
        At most sixty lines, and one for the rest.
    """
    lines = list(_alike(rows))
    depth = 6
    while len(lines) > _LINES and depth:
        lines = list(_by_module(rows, depth))
        depth -= 1
    return lines[:_LINES] + ([_rest(lines[_LINES:])] if len(lines) > _LINES else [])


def dtype_name(value: object) -> str:
    """Write a data type without ``torch.``.

    Parameters
    ----------
    value : object
        A data type, or None.

    Returns
    -------
    str
        Its name; nothing for None.
    """
    return "" if value is None else str(value).removeprefix("torch.")


def _alike(rows: Sequence[ParameterRow]) -> Iterator[dict[str, Any]]:
    """Sum up parameters that differ only in a number of their name, in the first one's place."""
    kinds: dict[Any, list[int]] = {}
    masks = masked([row.name for row in rows])
    # States that are laid out alike share one mapping: see `describe._rows`.
    for place, (mask, row) in enumerate(zip(masks, rows, strict=True)):
        _, shape, dtype, _, trainable, group, _, _, state, step, _, _ = row
        kinds.setdefault((mask, group, dtype, shape, trainable, step, id(state)), []).append(place)
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
    columns: Any = ParameterRow._make(zip(*rows, strict=True))
    steps = [step for step in set(columns.step) if step is not None]
    dtypes = dict.fromkeys(columns.dtype)
    one_state = len(set(map(id, columns.state))) == 1 or all(
        state == first.state for state in columns.state
    )
    norms: dict[str, float] = {}
    for each in columns.norms if any(columns.norms) else ():
        for key, value in each.items():
            norms[key] = max(value, norms.get(key, 0.0))
    return {
        "name": name,
        "tensors": len(rows),
        "shape": shape,
        "dtype": first.dtype if len(dtypes) == 1 else ", ".join(map(dtype_name, dtypes)),
        "frozen": "frozen" if False in columns.trainable else None,
        "group": first.group,
        "state": _short_state(first) if one_state else "mixed",
        "step": _span(steps),
        "bytes": sum(columns.bytes),
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
