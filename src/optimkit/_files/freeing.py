"""Give the bytes of an old file back to the disk while the program goes on.

To free a gigabyte takes as long as to write a good part of it, and nobody has to wait for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_LARGE = 1 << 23  # bytes; what is smaller is freed at once
_freeing: list[threading.Thread] = []


@contextlib.contextmanager
def freed_aside(path: Path) -> Iterator[None]:
    """Run a block that replaces or deletes a file, and free its bytes in a thread."""
    held = _hold(path)
    try:
        yield
    finally:
        if held is not None:
            _close_aside(held)


def wait_until_freed() -> None:
    """Wait for what is still being freed: the next file may need the room."""
    with contextlib.suppress(IndexError):  # none is left, or another save waits for it
        while True:  # one waits for each: the handler of a signal can't join what it interrupted
            _freeing.pop().join()


def _hold(path: Path) -> int | None:
    """Open a large file, so that its bytes outlive its name."""
    with contextlib.suppress(OSError):
        if os.name != "nt" and path.is_file() and path.stat().st_size >= _LARGE:
            return os.open(path, os.O_RDONLY)
    return None


def _close_aside(held: int) -> None:
    thread = threading.Thread(target=os.close, args=(held,))
    try:
        thread.start()
    except RuntimeError:  # too many threads, or Python ends
        os.close(held)
    else:
        _freeing.append(thread)  # started: one that is not can't be joined
