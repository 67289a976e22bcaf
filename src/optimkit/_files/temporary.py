"""Files of a living process, which the next one cleans up when their owner has died.

An owner holds a lock on its file for as long as it lives: the lock goes with the process,
however it ends. So a file that can be locked is litter, and one that can't is at work, in
whatever container, with whatever process id.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where no one can delete a file that is open
    fcntl = None  # type: ignore[assignment]

_PREFIX, _WORK, _RUN = ".optimkit-", ".tmp", ".run"


@contextlib.contextmanager
def temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file in a folder; it is gone afterwards, if it still has its name."""
    file, path = _create(folder, _WORK)
    try:
        with file:
            yield file, path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def clean(folder: Path) -> None:
    """Remove the temporary files whose owners have died."""
    for path in _found(folder, (_WORK, _RUN)):
        # Another user's, or gone in the meantime: not ours to remove.
        with contextlib.suppress(OSError), path.open("r+b") as file:  # NFS locks no other
            if _lock(file):
                path.unlink()
        if fcntl is None:
            with contextlib.suppress(OSError):
                path.unlink()


class RunLock:
    """A locked file, which shows the others that a run is alive for as long as this object is."""

    def __init__(self, folder: Path) -> None:
        self._file, self._path = _create(folder, _RUN)
        self._owner = os.getpid()
        self._end = weakref.finalize(self, _leave, self._file, self._path, self._owner)

    def release(self) -> None:
        """End the run before this object ends."""
        self._end()

    @property
    def name(self) -> str:
        """What the run is called: eight hexadecimal digits."""
        return _name(self._path)

    @property
    def forked(self) -> bool:
        """Whether this is the copy that a fork has of it."""
        return os.getpid() != self._owner


def live_runs(folder: Path) -> set[str]:
    clean(folder)
    return {_name(path) for path in _found(folder, (_RUN,))}


def _leave(file: BinaryIO, path: Path, owner: int) -> None:
    file.close()
    if os.getpid() == owner:  # a fork ends without the run ending
        path.unlink(missing_ok=True)


def _name(path: Path) -> str:
    return path.name.removeprefix(_PREFIX).partition(".")[0]


def _found(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    with os.scandir(folder) as found:
        return [
            Path(each.path)
            for each in found
            if each.name.startswith(_PREFIX) and each.name.endswith(suffixes)
        ]


def _create(folder: Path, suffix: str) -> tuple[BinaryIO, Path]:
    """Make a file and lock it; until it is locked, another process may take it for litter."""
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(4)}{suffix}"
        file = path.open("x+b", buffering=1 << 20)
        try:
            mine = fcntl is None or _lock(file)
        except OSError:  # a file system without locks, where no one cleans
            mine = True
        if mine and path.exists():
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
