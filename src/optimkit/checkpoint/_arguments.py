"""What save and load may be given: names that are free, objects that can be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._header import KEY, kind_of

KEYWORDS = ("path", "metadata", "durable", "map_location", "strict", "options", "verify")
"""What can't be the name of an object, since ``save`` or ``load`` means something by it."""


def refuse_names(function: str, stateful: Mapping[str, Any], more: tuple[str, ...] = ()) -> None:
    """Refuse names under which nothing could be loaded."""
    taken = [name for name in stateful if name in (*KEYWORDS, *more, KEY)]
    if taken:
        raise TypeError(
            f"{function}: {', '.join(taken)} can't be the name of an object: it is a keyword of "
            "save or load. Call it something else."
        )


def refuse_values(stateful: Mapping[str, Any]) -> None:
    """Refuse what nothing can be loaded into."""
    refuse_names("load", stateful)
    for name, value in stateful.items():
        if kind_of(value) == "value":
            raise TypeError(
                f"load: {name} is of {type(value).__name__}, which has no load_state_dict. "
                f'Leave it out: a plain value comes back, as load(...)["{name}"].'
            )


def checked_metadata(metadata: Any) -> dict[str, Any]:
    """Refuse metadata that is no mapping."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"save: metadata must be a mapping, not {type(metadata).__name__}")
    return dict(metadata or {})
