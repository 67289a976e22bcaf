"""Tensors in state and options: what they hold, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def alike(states: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], list[int]]:
    """Find the states that have the same keys: thousands of states have few sets of keys."""
    places: dict[tuple[str, ...], list[int]] = {}
    for place, keys in enumerate(map(tuple, states)):
        if keys:
            places.setdefault(keys, []).append(place)
    return places
