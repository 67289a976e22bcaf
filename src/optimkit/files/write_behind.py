"""Write-behind: the disk takes what is written while the next bytes are being summed."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_STEP = 1 << 23  # bytes; what is smaller is written at once anyway


class WriteBehind:
    """Begins to write a growing file to the disk, and takes what is there out of memory.

    A file as large as a checkpoint would push out of the page cache what training reads, and
    to find memory for it may take longer than to write it. All this is advice, given in a
    thread, since a slow disk lets even that wait.

    Parameters
    ----------
    descriptor : int
        The file, open for longer than this is.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._written = self._advised = 0
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, *error: Any) -> None:
        self._thread.shutdown(cancel_futures=True)

    def advance(self, count: int) -> None:
        """Note that so many bytes more were written."""
        self._written += count
        if self._written - self._advised >= _STEP:
            self._advised = self._written
            with contextlib.suppress(RuntimeError):  # no thread starts while Python ends
                self._thread.submit(_advise, self._descriptor, self._written)


def _advise(descriptor: int, end: int) -> None:
    """Say that the bytes before the end are not needed.

    Linux begins to write those that are in memory alone, without waiting for the disk, and
    forgets the others: so what is written at one step leaves at one of the next.
    """
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):  # advice is never needed
            os.posix_fadvise(descriptor, 0, end, os.POSIX_FADV_DONTNEED)
