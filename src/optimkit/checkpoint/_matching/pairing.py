"""Who is who: each parameter of today, and its place in what was saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from ..._errors import first_few
from .._names import Names, align
from .._reports import LoadRow
from .fits import Fit
from .saved import Saved

Pairs = list[int | None]


def pair(
    fit: Fit,
    saved: Saved,
    groups: Sequence[Mapping[str, Any]],
    names: Names | None,
    *,
    by_name: bool,
    strict: bool,
) -> Pairs:
    """Find for each parameter of today its place in what was saved."""
    params = [param for group in groups for param in group["params"]]
    if by_name and saved.names is not None and names is not None and not saved.stale:
        fit.match = "name"
        saved, names = _by_model(saved, names)
        before, now = align(saved.names or (), names.flat)
        if before == now:
            return list(range(len(now)))
        pairs = _pair_by_name(before, now, saved, names)
        _report(fit, pairs, (before, now), saved, params, names.frozen, strict)
        return pairs
    fit.match = "position"
    if by_name:
        fit.notes.append(
            f"{fit.name} was matched by position: {_why(fit, saved, names)}. Shapes were "
            "checked; whether the order is the same can't be."
        )
    sizes = [[len(group["params"]) for group in each] for each in (saved.groups, groups)]
    if sizes[0] != sizes[1]:
        fit.refuse(
            f"{fit.where} has {_count(sizes[0])}, today's optimizer {_count(sizes[1])}, and "
            "without names nothing says which is which. Save with optimkit.save, the model "
            "beside the optimizer, or build both from named parameters"
            + (" and take load_optimizer." if by_name and saved.stale else ".")
        )
        return [None] * len(params)
    return list(range(len(params)))


def _by_model(saved: Saved, names: Names) -> tuple[Saved, Names]:
    """Put the model's key before the names of a side that has one model, where it matters."""
    was, now = saved.model, names.model
    if was == now:
        return saved, names
    if was is not None and now is not None:
        return _under(saved, was), names.under(now)
    if was is not None and any(name.startswith(f"{was}.") for name in names.flat):
        return _under(saved, was), names
    before = saved.names or ()
    apart = now is not None and set(names.flat).isdisjoint(before)
    if apart and any(name.startswith(f"{now}.") for name in before):
        return saved, names.under(str(now))
    return saved, names


def _under(saved: Saved, key: str) -> Saved:
    """Put a key before each saved name."""
    aliases = {
        f"{key}.{name}": [f"{key}.{other}" for other in others]
        for name, others in saved.aliases.items()
    }
    return replace(saved, names=[f"{key}.{name}" for name in saved.names or ()], aliases=aliases)


def _why(fit: Fit, saved: Saved, names: Names | None) -> str:
    """Say why names were of no use."""
    if saved.names is None or names is None:
        side = fit.where if saved.names is None else "today's optimizer"
        return f"{side} has no names for it"
    pairs = zip(*align(saved.names, names.flat), strict=False)
    told = next((f" (it has {was} for {now})" for was, now in pairs if was != now), "")
    return (
        f"optimkit did not write {fit.where}, and names that torch writes may be stale{told}; "
        "load_optimizer goes by them"
    )


def _pair_by_name(before: list[str], now: list[str], saved: Saved, names: Names) -> Pairs:
    """Look each name up; a tied parameter may go by another of its names."""
    places = {name: place for place, name in enumerate(before)}
    for name, others in saved.aliases.items():
        for other in others if name in places else ():
            places.setdefault(other, places[name])
    pairs: Pairs = [places.get(name) for name in now]
    for index, name in enumerate(names.flat if None in pairs else ()):
        if pairs[index] is None and name in names.aliases:
            found = (places.get(other) for other in names.aliases[name])
            pairs[index] = next((place for place in found if place is not None), None)
    return pairs


def _report(
    fit: Fit,
    pairs: Pairs,
    names: tuple[list[str], list[str]],
    saved: Saved,
    params: Sequence[Tensor],
    frozen: frozenset[str],
    strict: bool,
) -> None:
    """Note who is only in the file, or only here; what is frozen today may be left out."""
    before, now = names
    missing = [index for index, place in enumerate(pairs) if place is None]
    fit.missing += [
        LoadRow(now[index], "parameter", None, tuple(params[index].shape)) for index in missing
    ]
    taken = set(pairs)
    left = [place for place in range(len(before)) if place not in taken]
    shapes: Any = saved.shapes and {place: tuple(saved.shapes[place]) for place in left}
    fit.unexpected += [
        LoadRow(before[place], "parameter", shapes and shapes[place], None) for place in left
    ]
    strangers = [before[place] for place in left if before[place] not in frozen]
    if strict and missing:
        fit.refuse(
            f"{fit.where} lacks {first_few(now[index] for index in missing)}. Rename what was "
            "renamed, or pass strict=False to start afresh what is missing."
        )
    if strict and strangers:
        fit.refuse(
            f"{fit.where} has {first_few(strangers)}, which today's optimizer has not. Give it "
            "these parameters, or pass strict=False to leave their state out."
        )


def _count(sizes: list[int]) -> str:
    plural = "" if len(sizes) == 1 else "s"
    return f"{len(sizes)} group{plural} of {', '.join(map(str, sizes))} parameters"
