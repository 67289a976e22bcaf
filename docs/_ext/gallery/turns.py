"""Whose turn it is: the first language runs the scripts, the others begin to read when that is done."""

from __future__ import annotations

import gc
from multiprocessing import parent_process
from multiprocessing.synchronize import Event
from pathlib import Path

from sphinx.application import Sphinx

__all__ = ["announce", "take", "wait"]

_is_generated: Event | None = None
_is_first = True


def take(is_generated: Event, is_first: bool) -> None:
    """Join the builds that share one event: the gallery is generated."""
    global _is_generated, _is_first
    _is_generated, _is_first = is_generated, is_first


def wait(app: Sphinx) -> None:
    """Import what the pages of the reference need, and wait for the gallery."""
    if _is_generated is None or _is_first:
        return
    if (Path(app.srcdir) / "reference").exists():
        import optimkit.checkpoint.distributed  # noqa: F401 (autodoc would import it later)
    gc.freeze()
    while not _is_generated.wait(timeout=1):
        parent = parent_process()
        if parent is None or not parent.is_alive():
            raise SystemExit("the build that this one belongs to is gone")


def announce(app: Sphinx) -> None:
    """Say that the gallery is there."""
    if _is_generated is not None and _is_first:
        _is_generated.set()
