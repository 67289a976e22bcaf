"""Which saved group each group of today comes from, and where their options differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._errors import first_few
from ..._values import plain, same
from .._reports import LoadRow
from .fits import Fit
from .pairing import Pairs
from .saved import LABELS, NOT_OPTIONS, Saved, label_of, options_of

Sources = list[list[int]]


def sources_of(groups: Sequence[Mapping[str, Any]], saved: Saved, pairs: Pairs) -> Sources:
    """Find for each group of today the saved groups that its parameters were in."""
    found: Sources = []
    rest = iter(pairs)
    for index, group in enumerate(groups):
        places = [place for _, place in zip(group["params"], rest, strict=False)]
        mine = dict.fromkeys(saved.group_of[place] for place in places if place is not None)
        if not group["params"] and len(groups) == len(saved.groups):
            mine = dict.fromkeys([] if saved.groups[index]["params"] else [index])
        found.append(list(mine))
    return found


def compare_options(
    fit: Fit, groups: Sequence[Mapping[str, Any]], saved: Saved, sources: Sources, hparams: str
) -> None:
    """Note which options differ; refuse those of which nobody can say which count."""
    for index, (group, found) in enumerate(zip(groups, sources, strict=True)):
        label = label_of(index, group)
        if len(found) > 1 and hparams == "saved":
            _refuse_merged(fit, label, saved, found)
        for at in found:
            for key, was in saved.groups[at].items():
                if key in NOT_OPTIONS or key in LABELS or (key in group and same(was, group[key])):
                    continue
                row = LoadRow(label, key, plain(was), plain(group.get(key)))
                if at == found[0] or row not in fit.options_changed:
                    fit.options_changed.append(row)


def _refuse_merged(fit: Fit, label: str, saved: Saved, found: list[int]) -> None:
    """Refuse saved groups with different options in one group of today."""
    groups = [saved.groups[at] for at in found]
    options = [options_of(group) for group in groups]
    keys = dict.fromkeys(key for each in options for key in each)
    differing = [
        key
        for key in keys
        if not all(same(options[0].get(key), each.get(key)) for each in options[1:])
    ]
    if not differing:
        return
    told = (
        f"{key} {' and '.join(repr(plain(each.get(key))) for each in options)}" for key in differing
    )
    names = first_few(label_of(at, group) for at, group in zip(found, groups, strict=True))
    fit.refuse(
        f"parameters of {names} of {fit.where} are together in {label} today, and these differ: "
        f'{first_few(told)}. Group them as they were, or pass hparams="current" to take today\'s '
        "options."
    )
