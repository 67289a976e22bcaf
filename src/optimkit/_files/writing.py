"""Writing: a file is the old one or the new one, whole, at every moment.

The bytes go to a temporary file beside the old one, and take its name once they are all on
the disk. Readers of the old file, its hard links and its memory maps keep what they have.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import os
import pickle
import secrets
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch
from zlib_ng.zlib_ng import crc32

from .layout import seal
from .progress import show_progress

try:
    import fcntl
except ImportError:  # Windows, where no one can delete a file that is open
    fcntl = None  # type: ignore[assignment]

_SAVE_TAKES = ["zip_file", "pickle_module", "pickle_protocol", "_disable_byteorder_record"]
_PIECE = 1 << 23  # bytes at a time: often enough for the progress bar, and for the disk


def write(
    path: str | os.PathLike[str], content: Any, *, durable: bool = True, size: int | None = None
) -> Path:
    """Write a checkpoint as ``torch.save`` does, atomically, and seal it; show how far of a size."""
    with written(path, content, durable=durable, size=size) as install:
        install(path)
    return Path(path)


@contextlib.contextmanager
def written(
    path: str | os.PathLike[str], content: Any, *, durable: bool = True, size: int | None = None
) -> Iterator[Callable[[str | os.PathLike[str]], None]]:
    """Write a checkpoint aside, for a path in the same folder; meanwhile the disk is at work."""
    with _aside(path, durable=durable) as (file, install):
        with show_progress(f"Saving {Path(path).name}", size) as advance:
            sink = _Sink(file, advance, early=durable)
            try:
                _save(content, sink)
            except BaseException:
                if sink.error is not None:
                    raise sink.error from None
                raise
            file.flush()
            raw = file.raw  # type: ignore[attr-defined]  # a buffer would read far ahead at each step
            seal(raw, sink.checksums)
        yield install


def _save(content: Any, sink: _Sink) -> None:
    """Do as ``torch.save``, but leave out its checksums, which take as long as all else together."""
    serialization: Any = torch.serialization
    # torch/serialization.py, 2.15: what torch.save does. Its option is one for all threads.
    if [*inspect.signature(serialization._save).parameters][1:] != _SAVE_TAKES:
        torch.save(content, cast(IO[bytes], sink))
        return
    archive = torch._C.PyTorchFileWriter(cast(IO[bytes], sink), False)
    try:
        serialization._save(content, archive, pickle, serialization.DEFAULT_PROTOCOL, False)
    except BaseException:  # that one, and not that the end can't be written either
        with contextlib.suppress(Exception):
            archive.write_end_of_file()
        raise
    archive.write_end_of_file()


@contextlib.contextmanager
def _aside(
    path: str | os.PathLike[str], *, durable: bool
) -> Iterator[tuple[BinaryIO, Callable[[str | os.PathLike[str]], None]]]:
    """Open a file that takes a name only when it is complete, by what comes with it."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():  # to take the name of /dev/null breaks a machine
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    with naming(path):
        _clean(target.parent)
        with _temporary(target.parent) as (file, name):
            yield file, partial(_install, file, name, durable)


def _install(file: BinaryIO, name: Path, durable: bool, path: str | os.PathLike[str]) -> None:
    target = Path(os.path.realpath(path))
    file.flush()
    if durable:
        sync(file.fileno())
    if fcntl is None:  # Windows renames no file that is open
        file.close()
    os.replace(name, target)
    if durable:
        sync_folder(target.parent)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let the errors of the system name what was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def make_folder(path: Path) -> None:
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder can't be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Wait until a file's bytes are on the disk; on a Mac, fsync alone leaves them in its cache."""
    if fcntl is not None and hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


class _Sink(io.RawIOBase):
    """What torch writes to: it sums each piece, and remembers the first error, which torch hides."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None], *, early: bool) -> None:
        self._file, self._advance, self._early = file, advance, early
        self._written = self._sent = 0
        self.checksums: dict[tuple[int, int], int] = {}  # by where a piece begins and ends
        self.error: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.error is not None:
            raise self.error
        begin, crc = self._written, 0
        try:
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                crc = crc32(piece, crc)
                count = self._file.write(piece)
                self._advance(count)
                self._written += count
                if self._early and self._written - self._sent >= _PIECE:
                    self._send()
        except BaseException as error:
            self.error = error
            raise
        self.checksums[begin, self._written] = crc
        return len(data)

    def _send(self) -> None:
        """Let the disk begin with what is there: of 1 GB, fsync alone takes twice as long."""
        self._sent = self._written
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # it is advice
                os.posix_fadvise(self._file.fileno(), 0, self._sent, os.POSIX_FADV_DONTNEED)


# Files of a living process. An owner holds a lock on its file for as long as it lives: the lock goes
# with the process, however it ends. So a file that can be locked is litter, and one that can't is at
# work, in whatever container, with whatever process id.
_PREFIX, _WORK, _RUN = ".optimkit-", ".tmp", ".run"


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a new file in a folder; it is gone afterwards, if it still has its name."""
    file, path = _create(folder, _WORK)
    try:
        with file:
            yield file, path
    finally:
        path.unlink(missing_ok=True)


def _clean(folder: Path) -> None:
    """Remove the temporary files whose owners have died."""
    for path in _found(folder, _WORK, _RUN):
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
        self._file, path = _create(folder, _RUN)
        self.name, self._owner = _name(path), os.getpid()
        self.release = weakref.finalize(self, _leave, self._file, path, self._owner)

    @property
    def forked(self) -> bool:
        """Whether this is the copy that a fork has of it."""
        return os.getpid() != self._owner


def live_runs(folder: Path) -> set[str]:
    _clean(folder)
    return {_name(path) for path in _found(folder, _RUN)}


def _leave(file: BinaryIO, path: Path, owner: int) -> None:
    file.close()
    if os.getpid() == owner:  # a fork ends without the run ending
        path.unlink(missing_ok=True)


def _name(path: Path) -> str:
    return path.name.removeprefix(_PREFIX).partition(".")[0]


def _found(folder: Path, *suffixes: str) -> list[Path]:
    return [path for path in folder.glob(f"{_PREFIX}*") if path.suffix in suffixes]


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
