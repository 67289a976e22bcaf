"""A bar in the terminal, for what takes longer than a second."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress

PATIENCE = 1.0  # seconds


@contextlib.contextmanager
def show_progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes just done; without a total, there is no bar."""
    bar: rich.progress.Progress | None = None
    start, done = time.monotonic(), 0

    def advance(count: int) -> None:
        nonlocal bar, done
        done += count
        if bar is None and total is not None and time.monotonic() - start >= PATIENCE:
            bar = _bar(label, total)
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def _bar(label: str, total: int) -> rich.progress.Progress:
    """Draw a bar; where there is no terminal, rich draws none if it is told so."""
    import rich.console
    import rich.progress as columns

    console = rich.console.Console(stderr=True)
    bar = columns.Progress(
        columns.TextColumn("{task.description}", markup=False),
        columns.BarColumn(),
        columns.DownloadColumn(),
        columns.TransferSpeedColumn(),
        columns.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bar.add_task(label, total=total)
    bar.start()
    return bar
