"""The metrics of a checkpoint: numbers that are given at a save, and found in its file again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _files as files
from .._errors import CheckpointError
from ._header import KEY


def numbers_of(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Take metrics for numbers, or say which is none."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"save: metrics must be a mapping, not {type(metrics).__name__}")
    found = {}
    for name, value in (metrics or {}).items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise TypeError(
                f"save: metrics[{name!r}] must be a number, not {value!r}. Pass float('nan') if it "
                "is not known."
            ) from None
    return found


def metrics_in(path: Path) -> Mapping[str, float]:
    """Look up the metrics of a checkpoint; one that is damaged, or gone, or of others has none."""
    content: Any = None
    with contextlib.suppress(CheckpointError, FileNotFoundError):
        content = files.read(path).content
    header = content.get(KEY) if isinstance(content, Mapping) else None
    found = header.get("metrics") if isinstance(header, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, float)}
