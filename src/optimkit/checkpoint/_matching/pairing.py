"""Which saved parameter is which current one, and which groups they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..._errors import first_few
from ..._optimizer_view import OptimizerView, group_label
from ..._values import plain, same
from .._names import Names, align
from .._results import LoadRow

LABELS = frozenset({"name"})
"""The keys of a group that only call it something."""

Pairs = list[int | None]
"""For each current parameter its place in what was saved; None if it is not there."""


class Pairing(NamedTuple):
    """What names say: the pairs, and the names of both sides as they were compared."""

    pairs: Pairs
    before: list[str]
    now: list[str]
    frozen: set[str]

    @property
    def left(self) -> list[int]:
        """The saved parameters that no current one takes."""
        taken = set(self.pairs)
        return [place for place in range(len(self.before)) if place not in taken]


def pair_by_name(saved: OptimizerView, names: Names) -> Pairing:
    """Look each name up; a tied parameter may go by another of its names."""
    was_long, now_long = _with_models(saved, names)
    before, now = align(_written(saved, was_long), names.written(now_long))
    places = {name: place for place, name in enumerate(before)}
    prefix = f"{saved.model}." if was_long else ""
    for name, others in saved.aliases.items():
        for other in others if prefix + name in places else ():
            places.setdefault(prefix + other, places[prefix + name])
    pairs: Pairs = [places.get(name) for name in now]
    aliases = names.aliases(now_long)
    for index, name in enumerate(names.written(now_long)):
        if pairs[index] is None:
            found = (places.get(other) for other in aliases.get(name, ()))
            pairs[index] = next((place for place in found if place is not None), None)
    return Pairing(pairs, before, now, names.written_frozen(now_long))


def _with_models(saved: OptimizerView, names: Names) -> tuple[bool, bool]:
    """Return for each side whether the key of its only model has to stand before its names."""
    was, now = saved.model, names.model
    if was == now:
        return False, False
    if was is not None and now is not None:
        return True, True
    if was is not None:  # the other side has several models, or names of its own
        return any(name.startswith(f"{was}.") for name in names.written()), False
    apart = set(names.written()).isdisjoint(saved.names)
    return False, apart and any(name.startswith(f"{now}.") for name in saved.names)


def _written(saved: OptimizerView, with_model: bool) -> list[str]:
    return [f"{saved.model}.{name}" for name in saved.names] if with_model else list(saved.names)


def options_of(saved: OptimizerView, group: int) -> dict[str, Any]:
    """Return the options of a saved group: its name is none."""
    return {key: value for key, value in saved.options[group].items() if key not in LABELS}


def sources_of(
    groups: Sequence[Mapping[str, Any]], saved: OptimizerView, pairs: Pairs
) -> list[list[int]]:
    """Find for each current group the saved groups that its parameters were in."""
    found = []
    rest = iter(pairs)
    for index, group in enumerate(groups):
        places = [place for _, place in zip(group["params"], rest, strict=False)]
        mine = dict.fromkeys(saved.group_of[place] for place in places if place is not None)
        if not group["params"] and len(groups) == len(saved.groups):
            mine = dict.fromkeys([] if saved.groups[index]["params"] else [index])
        found.append(list(mine))
    return found


def changed_options(
    groups: Sequence[Mapping[str, Any]], saved: OptimizerView, sources: Sequence[Sequence[int]]
) -> list[LoadRow]:
    rows: list[LoadRow] = []
    for index, (group, found) in enumerate(zip(groups, sources, strict=True)):
        label = group_label(index, group)
        for at in found:
            for key, was in options_of(saved, at).items():
                if key in group and same(was, group[key]):
                    continue
                row = LoadRow(label, key, was, plain(group.get(key)))
                if at == found[0] or row not in rows:
                    rows.append(row)
    return rows


def merged_groups(
    groups: Sequence[Mapping[str, Any]], saved: OptimizerView, sources: Sequence[Sequence[int]]
) -> Iterator[tuple[str, str, str]]:
    """Yield each current group that saved ones with different options meet in.

    Its name comes with those of the saved ones, and with the options that differ.
    """
    for index, (group, found) in enumerate(zip(groups, sources, strict=True)):
        options = [options_of(saved, at) for at in found]
        differing = [
            f"{key} {' and '.join(repr(each.get(key)) for each in options)}"
            for key in dict.fromkeys(key for each in options for key in each)
            if not all(same(options[0].get(key), each.get(key)) for each in options[1:])
        ]
        if differing:
            names = first_few(saved.labels[at] for at in found)
            yield group_label(index, group), names, first_few(differing)
