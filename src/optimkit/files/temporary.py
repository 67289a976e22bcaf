"""Temporary files that the next one cleans up, if their owner has died.

An owner holds a lock on its file for as long as it lives: the lock goes with the process,
however it ends. So a file that can be locked is litter, and one that can't is somebody's work,
in whatever container, with whatever process id.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where nobody can delete a file that is open
    fcntl = None  # type: ignore[assignment]

_PREFIX, _SUFFIX = ".optimkit-", ".tmp"


@contextlib.contextmanager
def temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file in a folder; it is gone afterwards, if it still has its name.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.

    Yields
    ------
    tuple of binary file and pathlib.Path
        The file, open for reading and writing, with the permissions that the umask gives.
    """
    file, path = _create(folder)
    try:
        with file:
            yield file, path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def clean(folder: Path) -> None:
    """Remove the temporary files whose owners have died.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    """
    with os.scandir(folder) as found:
        paths = [
            Path(each.path)
            for each in found
            if each.name.startswith(_PREFIX) and each.name.endswith(_SUFFIX)
        ]
    for path in paths:
        # Another user's, or gone in the meantime: not ours to remove.
        with contextlib.suppress(OSError), path.open("rb") as file:
            if _lock(file):
                path.unlink()
        if fcntl is None:
            with contextlib.suppress(OSError):
                path.unlink()


def _create(folder: Path) -> tuple[BinaryIO, Path]:
    """Make a file and lock it; somebody may have cleaned it up just between the two."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}"
        file = os.fdopen(os.open(path, flags, 0o666), "w+b", buffering=1 << 20)
        with contextlib.suppress(OSError):
            _lock(file)
        if path.exists():
            return file, path
        file.close()


def _lock(file: BinaryIO) -> bool:
    """Lock a file for as long as it is open; False if it is another's."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
