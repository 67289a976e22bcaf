"""Write-behind: the disk takes what is written while the next bytes are being summed."""

from __future__ import annotations

import contextlib
import os
import threading
from queue import SimpleQueue
from typing import Any

_STEP = 1 << 23  # bytes; what is smaller is written at once anyway


class WriteBehind:
    """Begins to write a growing file to the disk, and takes what is there out of memory."""

    def __init__(self, descriptor: int, *, waits: bool) -> None:
        self._descriptor, self._waits = descriptor, waits
        self._written = self._advised = 0
        # No lock, as an executor has: the handler of a signal may save while this one holds it.
        self._ends: SimpleQueue[int] = SimpleQueue()
        # Python need not wait for it at its end: a save that is complete has done so.
        self._thread = threading.Thread(target=self._advise_until_0, daemon=True)

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *error: Any) -> None:
        self._ends.put(0)
        if self._thread.is_alive():
            self._thread.join()

    def advance(self, count: int) -> None:
        """Note that so many bytes more were written."""
        self._written += count
        if self._written - self._advised < _STEP:
            return
        self._advised = self._written
        if self._waits:
            self._advise(self._written)
            return
        self._ends.put(self._written)
        if not self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # too many threads, or Python ends
                self._thread.start()

    def _advise(self, end: int) -> None:
        """Say that the bytes before an end are not needed."""
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # advice is never needed
                os.posix_fadvise(self._descriptor, 0, end, os.POSIX_FADV_DONTNEED)

    def _advise_until_0(self) -> None:
        while end := _newest(self._ends):
            self._advise(end)


def _newest(ends: SimpleQueue[int]) -> int:
    """Wait for an end, and take the last one that there is: it is for all before it, too."""
    end = ends.get()
    while not ends.empty():
        end = ends.get()
    return end
