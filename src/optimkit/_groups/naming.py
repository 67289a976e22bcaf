"""A readable, unique name for each group: the one asked for, else what sets it apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

from torch import Tensor

from .._tables import text
from .._values import PLAIN
from .options import identity


def name_groups(groups: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[str]:
    """Name each group."""
    apart = _differences(groups, base)
    asked: dict[str | None, list[int]] = {}
    for index, options in enumerate(groups):
        asked.setdefault(options.get("name"), []).append(index)
    names = [""] * len(groups)
    for name, indices in asked.items():
        parts = [apart[index] for index in indices]
        if name:
            common = set.intersection(*map(set, parts))
            parts = [[name, *(each for each in own if each not in common)] for own in parts]
        for index, own in zip(indices, parts, strict=True):
            names[index] = ", ".join(own) or "default"
    return _unique(names, [options.get("name") for options in groups])


def is_made(name: object, options: Mapping[str, Any]) -> bool:
    """Tell whether a name is one of ours: nobody asked for it, so it may be changed."""
    if not isinstance(name, str):
        return False
    return name == "default" or all(part.partition("=")[0] in options for part in name.split(", "))


def number_made(name: Any, options: Mapping[str, Any], taken: Collection[str]) -> Any:
    """Number a name of ours that another group has."""
    if name not in taken or not is_made(name, options):
        return name
    number = next(number for number in count(2) if f"{name} #{number}" not in taken)
    return f"{name} #{number}"


def _differences(groups: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[list[str]]:
    """Write, for each group, the options that are not those of the base."""
    same = {key: identity(value) for key, value in base.items()}
    return [
        [
            f"{key}={_short(value)}"
            for key, value in options.items()
            if key != "name"
            and not (key in base and (value is base[key] or same[key] == identity(value)))
        ]
        for options in groups
    ]


def _short(value: object) -> str:
    """Write an option's value in few letters."""
    if (
        type(value) not in PLAIN
        and isinstance(value, Tensor)
        and value.numel() == 1
        and not value.is_meta
    ):
        value = value.item()
    return text(value) if value is not None else "None"


def _unique(names: list[str], asked: Sequence[str | None]) -> list[str]:
    """Number what still looks the same; a name that was asked for goes first."""
    if len(set(names)) == len(names):
        return names
    taken: set[str] = set()
    unique = list(names)
    for index in sorted(range(len(names)), key=lambda index: names[index] != asked[index]):
        number = 1
        while unique[index] in taken:
            number += 1
            unique[index] = f"{names[index]} #{number}"
        taken.add(unique[index])
    return unique
