"""What differs between two optimizers, or between two moments of one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import written
from .._files.folders import look_into
from .._optimizer_view import Source, view_of_any, view_of_saved
from .._tables import Shown, Table, counted, in_few, jsonable
from .._torch_optimizers import is_state_dict, optimizers_in
from .._values import dtype_name, equal, items_of, local, parts_of, plain, same, tensors_in
from .norms import norm_of
from .snapshot import Snapshot, SnapshotRow, row_of, take

Kind = Literal["added", "removed", "changed"]
Pair = tuple[str, int | None, int | None]  # a parameter, and its place in either side

_FEW = 3  # so many rows that are alike are shown one by one
_LINES = 40  # so many rows of a table are shown; `rows` has all


class DiffRow(NamedTuple):
    """One difference.

    Parameters
    ----------
    name : str
        The parameter, or the group; of two files, where in them.
    key : str
        The state's key, or the option; ``group`` for its place, ``value`` for another entry of a file.
    kind : {"added", "removed", "changed"}
        What happened from the first to the second.
    before, after : Any
        The option or the number; of a tensor its norm, or the shape or type that has changed.
    change : float or None
        For numbers, how far they are apart, relative to the first.

    Examples
    --------
    >>> row = DiffRow("group 0", "lr", "changed", 0.1, 0.05, 0.5)
    >>> row.name, row.change
    ('group 0', 0.5)
    """

    name: str
    key: str
    kind: Kind
    before: Any
    after: Any
    change: float | None = None


@dataclass(frozen=True, repr=False)
class Diff(Shown):
    """What differs; it is false when nothing does. See :func:`optimkit.diff`.

    Parameters
    ----------
    options : tuple of DiffRow
        Differences in the groups' options, and in which parameter is in which group.
    state : tuple of DiffRow
        Those in state, and in all else of files: added or removed, then the largest change first.

    Examples
    --------
    >>> Diff((), ()).rows, bool(Diff((), ()))
    ((), False)
    """

    options: tuple[DiffRow, ...]
    state: tuple[DiffRow, ...]

    @property
    def rows(self) -> tuple[DiffRow, ...]:
        """All differences, the options first."""
        return self.options + self.state

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[DiffRow]:
        return iter(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return ``equal``, ``options`` and ``state`` as data that ``json`` can write."""
        return {"equal": not self.rows, **jsonable(self)}

    def _blocks(self) -> list[Table | str]:
        tables = [_table("Options", self.options), _table("State", self.state)]
        return [table for table in tables if table.rows] or ["No difference."]


def _table(caption: str, rows: Sequence[DiffRow]) -> Table:
    rows = _summed_up(rows)
    more = f", the first {_LINES} of {len(rows)}" if len(rows) > _LINES else ""
    told = any(row.change is not None for row in rows)
    columns = [key for key in DiffRow._fields if told or key != "change"]
    formats = {"change": lambda value: "" if value is None else f"{value:.3g}"}
    return Table(rows[:_LINES], columns, caption + more, formats=formats)


def _summed_up(rows: Sequence[DiffRow]) -> list[DiffRow]:
    """Make one line of what changed alike in many, as a count of steps does."""
    alike: dict[str, list[DiffRow]] = {}
    for row in rows:
        alike.setdefault(repr([written(each, repr) for each in row[1:]]), []).append(row)
    lines: list[DiffRow] = []
    for members in alike.values():
        patterns = in_few([row.name for row in members])
        if len(patterns) == 1:
            lines.append(members[0]._replace(name=patterns[0][0]))
        elif len(members) > _FEW:
            more = f"{members[0].name} and {len(members) - 1} more"
            lines.append(members[0]._replace(name=more))
        else:
            lines += members
    return lines


def diff(a: Source | Snapshot, b: Source | Snapshot) -> Diff:
    """Compare two optimizers, or two moments of one.

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
        A :class:`DiffRow` for each difference; options and state apart.

    Raises
    ------
    TypeError, CheckpointError
        If one is nothing of the kind; if a file has no optimizer to compare with, or is corrupt or
        unsafe.

    Examples
    --------
    >>> import torch
    >>> one, two = (torch.optim.AdamW([torch.ones(2)], lr=lr) for lr in (1e-3, 1e-4))
    >>> print(diff(one, two.state_dict()))
    Options
    name     key  kind     before   after  change
    -------  ---  -------  ------  ------  ------
    group 0  lr   changed   0.001  0.0001     0.9
    """
    if isinstance(a, (str, os.PathLike)) and isinstance(b, (str, os.PathLike)):
        return _diff_files(look_into(a).content, look_into(b).content)
    return _diff(_side(a, b), _side(b, a))


def _side(source: Source | Snapshot, against: Source | Snapshot) -> Snapshot:
    """Bring one side to a snapshot, with the values that the other side can be compared in."""
    if isinstance(source, Snapshot):
        return source
    values = against.values if isinstance(against, Snapshot) else "copy"
    return take(view_of_any(source), values, clone=False)


def _diff(a: Snapshot, b: Snapshot) -> Diff:
    pairs = _pairs(a, b)
    options = [*_class(a, b), *_options(a, b), *_moved(a, b, pairs)]
    return Diff(tuple(options), _largest_first(_states(a, b, pairs)))


def _largest_first(rows: Iterable[DiffRow]) -> tuple[DiffRow, ...]:
    """Put the largest change first; what has no size of change comes before."""
    return tuple(sorted(rows, key=lambda row: -math.inf if row.change is None else -row.change))


def _pairs(a: Snapshot, b: Snapshot) -> list[Pair]:
    """Match the parameters by name, where both sides have names; else by place."""
    if a.named and b.named:
        return _match(a.names, b.names)
    names = (b if b.named else a).names
    return [
        (names[place] if place < len(names) else f"params[{place}]", one, other)
        for place, one, other in _match(range(len(a.names)), range(len(b.names)))
    ]


def _match(a: Sequence[Any], b: Sequence[Any]) -> list[tuple[Any, int | None, int | None]]:
    """Match the keys of two sides: the key, its place in a, its place in b."""
    there = {key: place for place, key in enumerate(b)}
    here = [(key, place, there.pop(key, None)) for place, key in enumerate(a)]
    return [*here, *((key, None, place) for key, place in there.items())]


def _class(a: Snapshot, b: Snapshot) -> Iterator[DiffRow]:
    if a.optimizer and b.optimizer and a.optimizer != b.optimizer:
        yield DiffRow("optimizer", "class", "changed", a.optimizer, b.optimizer)


def _options(a: Snapshot, b: Snapshot) -> Iterator[DiffRow]:
    """Compare the options of the groups: by name, where all have one."""
    labels = (a.labels, b.labels)
    named = all(
        len(set(side)) == len(side) and not any(label.startswith("group ") for label in side)
        for side in labels
    )
    for _, one, other in _match(*(side if named else range(len(side)) for side in labels)):
        if one is not None and other is not None:
            yield from _group(a.labels[one], a.groups[one], b.groups[other])
            continue
        side, group = (b, other) if other is not None else (a, one or 0)
        size = counted(side.group_of.count(group), "parameter")
        yield _one_sided(side.labels[group], "group", size, one is not None)


def _one_sided(name: str, key: str, value: Any, first: bool) -> DiffRow:
    """Return a row for what only the first side has, or only the second."""
    if first:
        return DiffRow(name, key, "removed", value, None)
    return DiffRow(name, key, "added", None, value)


def _group(label: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[DiffRow]:
    for key in dict.fromkeys([*one, *other]):
        if key not in one or key not in other:
            yield _one_sided(label, key, one.get(key, other.get(key)), key in one)
        elif not (same(one[key], other[key]) or equal(one[key], other[key])):
            before, after = one[key], other[key]
            yield DiffRow(label, key, "changed", before, after, _change(before, after))


def _moved(a: Snapshot, b: Snapshot, pairs: Sequence[Pair]) -> Iterator[DiffRow]:
    for name, one, other in pairs:
        before = None if one is None else a.labels[a.group_of[one]]
        after = None if other is None else b.labels[b.group_of[other]]
        if one is None or other is None:
            yield _one_sided(name, "group", before or after, other is None)
        elif a.group_of[one] != b.group_of[other] and before != after:
            yield DiffRow(name, "group", "changed", before, after)


def _states(a: Snapshot, b: Snapshot, pairs: Sequence[Pair]) -> Iterator[DiffRow]:
    for name, one, other in pairs:
        before = {} if one is None else a.states[one]
        after = {} if other is None else b.states[other]
        for key in dict.fromkeys([*before, *after]):
            yield from _piece(name, key, before.get(key), after.get(key))


def _piece(
    name: str, key: str, one: SnapshotRow | None, other: SnapshotRow | None
) -> Iterator[DiffRow]:
    """Compare one piece of state, or of a file."""
    if one is None or other is None:
        only = one or other
        yield _one_sided(name, key, only and _text(only), other is None)
    elif (one.shape, one.dtype) != (other.shape, other.dtype) and not _same_number(one, other):
        yield DiffRow(name, key, "changed", _layout(one), _layout(other))
    elif one.shape is None or (one.value is not None and other.value is not None):
        if not equal(one.value, other.value):
            change = _change(one.value, other.value)
            yield DiffRow(name, key, "changed", _text(one), _text(other), change)
    else:
        norms = _norm(one), _norm(other)
        if None not in norms and not math.isclose(*norms, rel_tol=1e-6):
            yield DiffRow(name, key, "changed", _text(one), _text(other), _change(*norms))


def _same_number(one: SnapshotRow, other: SnapshotRow) -> bool:
    """Return whether a Python number and a tensor of one say the same."""
    numbers = [plain(each.value) if each.value is not None else each.norm for each in (one, other)]
    return one.shape == other.shape == () and None not in numbers and same(*numbers)


def _norm(row: SnapshotRow) -> Any:
    """Return the norm, computing it for a copy."""
    if row.norm is not None or row.value is None:
        return row.norm
    tensors = tensors_in(row.value)
    tensors = [each for each in tensors if not each.is_meta and not parts_of(each)]
    if tensors:
        return float(norm_of(tensors))
    return float(row.value) if isinstance(row.value, (int, float)) else None


def _text(row: SnapshotRow) -> Any:
    """Return what is shown of a piece of state: a number, a norm, or its shape."""
    if row.shape == () or not isinstance(row.value, (Tensor, list, tuple, dict, type(None))):
        number = plain(row.value)
        if number is not None and not isinstance(number, Tensor):
            return number
    norm = _norm(row)
    return _layout(row) if norm is None else norm


def _layout(row: SnapshotRow) -> str:
    shape = "" if row.shape is None else str(row.shape)
    return f"{shape} {dtype_name(row.dtype)}".strip() or written(row.value, repr)


def _diff_files(a: Any, b: Any) -> Diff:
    """Compare two files: the optimizers as such, the rest leaf by leaf."""
    ones, others = optimizers_in(a), optimizers_in(b)
    options: list[DiffRow] = []
    state: list[DiffRow] = []
    for where in dict.fromkeys([*ones, *others]):
        if where not in ones or where not in others:
            only = ones.get(where, others.get(where, {}))
            size = counted(len(only["param_groups"]), "group")
            state.append(_one_sided(where, "value", size, where in ones))
            continue
        found = _diff(
            take(view_of_saved(ones[where]), "copy", clone=False),
            take(view_of_saved(others[where]), "copy", clone=False),
        )
        prefix = "" if len(ones) == 1 else f"{where}."
        options += (row._replace(name=prefix + row.name) for row in found.options)
        state += (row._replace(name=prefix + row.name) for row in found.state)
    left, right = dict(_leaves(a)), dict(_leaves(b))
    for where in dict.fromkeys([*left, *right]):
        state += _piece(where, "value", left.get(where), right.get(where))
    return Diff(tuple(options), _largest_first(state))


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, SnapshotRow]]:
    """Yield each value in a file but those in optimizers, with its place."""
    if is_state_dict(value):
        return
    if not isinstance(value, (Mapping, list, tuple)):
        yield where, row_of(where, "value", value, None, value)
        return
    for key, item in items_of(value):
        yield from _leaves(item, f"{where}.{key}" if where else str(key))


def _change(before: Any, after: Any) -> float | None:
    """Return how far apart two values are, relative to the first."""
    if isinstance(before, bool) or isinstance(after, bool):
        return None
    if isinstance(before, Real) and isinstance(after, Real):
        return _ratio(abs(float(after) - float(before)), abs(float(before)))
    ones, others = (list(map(local, tensors_in(each))) for each in (before, after))
    if not ones or len(ones) != len(others) or "meta" in {each.device.type for each in ones}:
        return None
    if any(one.shape != other.shape for one, other in zip(ones, others, strict=True)):
        return None
    if any(map(parts_of, ones)):  # of a subclass it is not known how it computes
        return None
    differences = [
        _wide(other).to(one.device) - _wide(one) for one, other in zip(ones, others, strict=True)
    ]
    return _ratio(float(norm_of(differences)), float(norm_of(ones)))


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor in a type that holds differences, of integers and half precision too."""
    tensor = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    tensor = tensor.dequantize() if tensor.is_quantized else tensor
    return tensor if tensor.is_complex() else tensor.double()


def _ratio(difference: float, size: float) -> float:
    if math.isnan(difference) or math.isnan(size):
        return math.inf
    return difference / size if size else math.inf
