"""Where the optimizers are in what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def optimizers_in(content: object) -> dict[str, Mapping[str, Any]]:
    """Find the optimizer state dicts in what a checkpoint holds."""
    found: dict[str, Mapping[str, Any]] = {}

    def look(value: object, where: str, depth: int) -> None:
        if is_state_dict(value):
            found[where] = value  # type: ignore[assignment]
        elif depth < 5 and isinstance(value, Mapping):
            for key, item in value.items():
                look(item, f"{where}.{key}" if where else str(key), depth + 1)
        elif depth < 5 and isinstance(value, (list, tuple)) and len(value) < 100:
            for index, item in enumerate(value):
                look(item, f"{where}.{index}" if where else str(index), depth + 1)

    look(content, "", 0)
    return found


def is_state_dict(value: object) -> bool:
    """Tell whether a value is the state dict of an optimizer."""
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(value.get("param_groups"), (list, tuple))
        and all(isinstance(group, Mapping) for group in value["param_groups"])
    )
