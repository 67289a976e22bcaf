"""Several models, in which no two parameters have one name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn

from .._parameters import Walk
from .._walking import walk

Model = nn.Module | Mapping[str, nn.Module]


def walk_all(models: Iterable[Model]) -> list[Walk]:
    """Walk several models, so that no two parameters have one name."""
    given = list(models)
    walks = [walk(model) for model in given]
    if len(walks) == 1:
        return walks
    owners: dict[str, int] = {}
    clash = False
    for found in walks:
        for name, param in zip(found.places, found.tensors, strict=True):
            clash |= owners.setdefault(name, id(param)) != id(param)
    if not clash:
        return walks
    kinds = [type(model).__name__ for model in given]
    prefixes = [
        kind if kinds.count(kind) == 1 and kind != "dict" else f"models[{index}]"
        for index, kind in enumerate(kinds)
    ]
    return [
        walk({prefix: model})
        if isinstance(model, nn.Module)
        else walk({f"{prefix}.{key}": each for key, each in model.items()})
        for prefix, model in zip(prefixes, given, strict=True)
    ]


def names_by_id(walks: Iterable[Walk]) -> dict[int, str]:
    """Map each parameter to its first name."""
    names: dict[int, str] = {}
    for found in walks:
        for name, param in zip(found.names, found.params, strict=True):
            names.setdefault(id(param), name)
    return names
