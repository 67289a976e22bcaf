"""Say what differs between two optimizers, or between two moments of one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from .._files import read
from .._optimizer_view import Source, view_of_any, view_of_saved
from .._torch_optimizers import is_state_dict, optimizers_in
from .._values import equal, plain, same, tensors_in
from .difference import Diff, DiffRow, Kind
from .equality import change_of
from .norms import norm_of
from .snapshot import Entry, Snapshot, take

_NOTHING = Entry(None, None)


def diff(a: Source | Snapshot, b: Source | Snapshot) -> Diff:
    """Say what differs between two optimizers, or two moments of one.

    Parameters are matched by name where both sides have names, else by position; groups by
    name where all have one, else by place. Two files are compared in everything they hold.

    Parameters
    ----------
    a, b : torch.optim.Optimizer, mapping, Snapshot, str or os.PathLike
        Live optimizers, state dicts, snapshots and checkpoints, in any pairing. Where one is
        a snapshot of norms, tensors are compared by norm.

    Returns
    -------
    Diff
        Records first (``rows``, each with ``name``, ``key``, ``kind``, ``before``, ``after``,
        ``change``; ``options`` and ``state`` apart), then text, a rich table, HTML.

    Raises
    ------
    TypeError
        If one is nothing of the kind.
    CheckpointError
        If a file has no optimizer to compare with; its subclasses if it is corrupt or unsafe.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 1)
    >>> one = torch.optim.AdamW(model.named_parameters(), lr=1e-3)
    >>> two = torch.optim.AdamW(model.named_parameters(), lr=1e-4)
    >>> print(diff(one, two.state_dict()))
    Options
    name     key  kind     before   after  change
    -------  ---  -------  ------  ------  ------
    group 0  lr   changed   0.001  0.0001     0.9
    """
    if _is_path(a) and _is_path(b):
        return _diff_files(read(a), read(b))  # type: ignore[arg-type]
    one, other = _side(a, b), _side(b, a)
    return _diff(one, other)


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))


def _side(source: Source | Snapshot, against: Source | Snapshot) -> Snapshot:
    """Bring one side to a snapshot, with the values that the other side can be compared in."""
    if not isinstance(source, Snapshot):
        held = view_of_any(source)
        if isinstance(against, Snapshot):
            return take(held, against.values, clone=False)
        return take(held, "copy", clone=False)
    if isinstance(against, Snapshot) and (source.values, against.values) == ("copy", "norm"):
        return _with_norms(source)
    return source


def _with_norms(source: Snapshot) -> Snapshot:
    """Turn a snapshot of copies into one of norms."""
    states = tuple(
        {key: entry._replace(norm=_norm(entry)) for key, entry in state.items()}
        for state in source.states
    )
    return Snapshot(
        source.optimizer,
        "norm",
        source.groups,
        source.labels,
        source.names,
        source.named,
        source.group_of,
        states,
    )


def _diff(a: Snapshot, b: Snapshot, prefix: str = "") -> Diff:
    """Compare two snapshots."""
    pairs = _pairs(a, b)
    options = [*_class(a, b), *_options(a, b), *_places(a, b, pairs)]
    state = _states(a, b, pairs)
    return Diff(
        tuple(row._replace(name=prefix + row.name) for row in options),
        _ordered(row._replace(name=prefix + row.name) for row in state),
    )


def _ordered(rows: Iterator[DiffRow]) -> tuple[DiffRow, ...]:
    """Put the largest change first; what has no size of change comes before."""
    return tuple(sorted(rows, key=lambda row: -math.inf if row.change is None else -row.change))


def _pairs(a: Snapshot, b: Snapshot) -> list[tuple[str, int | None, int | None]]:
    """Match the parameters: name, place in a, place in b."""
    if a.named and b.named:
        there = {name: place for place, name in enumerate(b.names)}
        pairs: list[tuple[str, int | None, int | None]] = [
            (name, place, there.pop(name, None)) for place, name in enumerate(a.names)
        ]
        return pairs + [(name, None, place) for name, place in there.items()]
    names = (b if b.named else a).names
    longest = max(len(a.names), len(b.names))
    return [
        (
            names[place] if place < len(names) else f"params[{place}]",
            place if place < len(a.names) else None,
            place if place < len(b.names) else None,
        )
        for place in range(longest)
    ]


def _class(a: Snapshot, b: Snapshot) -> Iterator[DiffRow]:
    """Compare the classes, where both are known."""
    if a.optimizer and b.optimizer and a.optimizer != b.optimizer:
        yield DiffRow("optimizer", "class", "changed", a.optimizer, b.optimizer)


def _options(a: Snapshot, b: Snapshot) -> Iterator[DiffRow]:
    """Compare the options of the groups."""
    labels = (a.labels, b.labels)
    named = all(
        len(set(side)) == len(side) and not any(label.startswith("group ") for label in side)
        for side in labels
    )
    keys = [
        dict(zip(side if named else range(len(side)), range(len(side)), strict=False))
        for side in labels
    ]
    for key in dict.fromkeys([*keys[0], *keys[1]]):
        one, other = (side.get(key) for side in keys)
        if one is None:
            yield DiffRow(b.labels[other or 0], "group", "added", None, _size(b, other or 0))
        elif other is None:
            yield DiffRow(a.labels[one], "group", "removed", _size(a, one), None)
        else:
            yield from _group(a.labels[one], a.groups[one], b.groups[other])


def _size(side: Snapshot, group: int) -> str:
    number = side.group_of.count(group)
    return f"{number} parameter{'' if number == 1 else 's'}"


def _group(label: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[DiffRow]:
    """Compare the options of one group."""
    for key in dict.fromkeys([*one, *other]):
        if key not in other:
            yield DiffRow(label, key, "removed", one[key], None)
        elif key not in one:
            yield DiffRow(label, key, "added", None, other[key])
        elif not (same(one[key], other[key]) or equal(one[key], other[key])):
            before, after = one[key], other[key]
            yield DiffRow(label, key, "changed", before, after, change_of(before, after))


def _places(
    a: Snapshot, b: Snapshot, pairs: Sequence[tuple[str, int | None, int | None]]
) -> Iterator[DiffRow]:
    """Compare which group each parameter is in."""
    for name, one, other in pairs:
        before = None if one is None else a.labels[a.group_of[one]]
        after = None if other is None else b.labels[b.group_of[other]]
        if before is None or after is None:
            yield DiffRow(name, "group", "added" if before is None else "removed", before, after)
        elif a.group_of[one or 0] != b.group_of[other or 0] and before != after:
            yield DiffRow(name, "group", "changed", before, after)


def _states(
    a: Snapshot, b: Snapshot, pairs: Sequence[tuple[str, int | None, int | None]]
) -> Iterator[DiffRow]:
    """Compare the state of each parameter."""
    empty: Mapping[str, Entry] = {}
    for name, one, other in pairs:
        before = empty if one is None else a.states[one]
        after = empty if other is None else b.states[other]
        for key in dict.fromkeys([*before, *after]):
            row = _entry(name, key, before.get(key), after.get(key))
            if row is not None:
                yield row


def _entry(name: str, key: str, one: Entry | None, other: Entry | None) -> DiffRow | None:
    """Compare one piece of state."""
    if one is None or other is None:
        kind: Kind = "added" if one is None else "removed"
        return DiffRow(name, key, kind, one and _shown(one), other and _shown(other))
    if (one.shape, one.dtype) != (other.shape, other.dtype) and not _same_number(one, other):
        return DiffRow(name, key, "changed", _layout(one), _layout(other))
    if one.value is not None and other.value is not None:
        if equal(one.value, other.value):
            return None
        change = change_of(one.value, other.value)
    elif one.norm is not None or other.norm is not None:
        before, after = _norm(one), _norm(other)
        if before is None or after is None or math.isclose(before, after, rel_tol=1e-6):
            return None
        change = change_of(before, after)
    elif same(one.value, other.value) or None in (one.value, other.value):
        return None
    else:
        change = None
    return DiffRow(name, key, "changed", _shown(one), _shown(other), change)


def _same_number(one: Entry, other: Entry) -> bool:
    """Tell whether a Python number and a tensor of one say the same."""
    numbers = [plain(each.value) if each.value is not None else each.norm for each in (one, other)]
    return one.shape == other.shape == () and None not in numbers and same(*numbers)


def _norm(entry: Entry) -> float | None:
    """Return the norm, computing it for a copy."""
    if entry.norm is not None or entry.value is None:
        return entry.norm
    tensors = [each for each in tensors_in(entry.value) if each.device.type != "meta"]
    if tensors:
        return float(norm_of(tensors))
    return float(entry.value) if isinstance(entry.value, (int, float)) else None


def _shown(entry: Entry) -> Any:
    """Say a piece of state in a word: a number, a norm, a layout."""
    if entry.shape == () or not isinstance(entry.value, (Tensor, list, tuple, dict, type(None))):
        number = plain(entry.value)
        if number is not None and not isinstance(number, Tensor):
            return number
    norm = _norm(entry)
    return _layout(entry) if norm is None else norm


def _layout(entry: Entry) -> str:
    dtype = "" if entry.dtype is None else f" {str(entry.dtype).removeprefix('torch.')}"
    return f"{'' if entry.shape is None else entry.shape}{dtype}".strip() or repr(entry.value)


def _diff_files(a: Any, b: Any) -> Diff:
    """Compare everything in two files: the optimizers as such, the rest leaf by leaf."""
    ones, others = optimizers_in(a), optimizers_in(b)
    both = [where for where in ones if where in others]
    options: list[DiffRow] = []
    state: list[DiffRow] = []
    for where in both:
        found = _diff(
            take(view_of_saved(ones[where]), "copy", clone=False),
            take(view_of_saved(others[where]), "copy", clone=False),
            "" if len(both) == 1 else f"{where}.",
        )
        options += found.options
        state += found.state
    left, right = dict(_leaves(a)), dict(_leaves(b))
    for where in dict.fromkeys([*left, *right]):
        one, other = left.get(where, _NOTHING), right.get(where, _NOTHING)
        row = _entry(
            where, "value", None if one is _NOTHING else one, None if other is _NOTHING else other
        )
        if row is not None:
            state.append(row)
    return Diff(tuple(options), _ordered(iter(state)))


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Entry]]:
    """Give each value in a file but those in optimizers, with its place."""
    if is_state_dict(value):
        return
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, Tensor):
        yield where, Entry(tuple(value.shape), value.dtype, None, value)
    else:
        yield where, Entry(() if isinstance(value, (int, float)) else None, None, None, value)
    for key, item in items:
        yield from _leaves(item, f"{where}.{key}" if where else str(key))
