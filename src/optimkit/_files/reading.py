"""Reading: verified before it is used, and never unpickled freely.

A file of ``torch.save`` is a zip, and every entry of a zip has a checksum. torch never looks
at them: here they are compared. What the bytes spell is read with
``weights_only=True``, whatever the environment says, so nothing in a file is ever run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import torch

from .._errors import (
    CheckpointError,
    CorruptCheckpointError,
    UnsafeCheckpointError,
    first_few,
    let_through,
)
from .._tables import Shown
from .layout import CHUNK, MAGIC, Layout, LayoutError, crc_of, survey
from .opaque import load_opaque, names_refused, to_show
from .progress import show_progress
from .unread import Unread, can_defer

MapLocation: TypeAlias = torch.serialization.MAP_LOCATION
"""What ``torch.load`` takes: a device, its name, a mapping of names, a function, None."""

_UNREADABLE = {errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}


@dataclass(frozen=True, slots=True, repr=False)
class Integrity(Shown):
    """What the checksums of a file say.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    bytes : int
        Its size.
    entries : int
        How many parts it has; 0 if it is not a zip.
    verified : bool
        Whether the bytes are known to be those that were written: the parts have checksums, which
        have been compared, and fit.

    Examples
    --------
    >>> from pathlib import Path
    >>> from optimkit import Integrity
    >>> Integrity(Path("old.pt"), 100, 0, False).verified
    False
    """

    path: Path
    bytes: int
    entries: int
    verified: bool

    def _blocks(self) -> list[str]:
        size = f"{self.path}: {self.bytes:,} bytes"
        if self.verified:
            return [f"{size}, {self.entries} entries, every checksum fits"]
        return [f"{size}, no checksums: nothing tells whether they are what was written"]

    def __str__(self) -> str:
        """Return one line, however long the path is: a script may look for it."""
        return self._blocks()[0]


@dataclass(frozen=True, slots=True)
class Reading:
    content: Any
    unread: Unread | None  # what placeholders in the content stand for; None if there are none
    integrity: Integrity  # without checksums, if they were not to be compared
    refused: str = ""  # why a load would refuse it; opaque objects stand for what was not made
    files: tuple[Reading, ...] = ()  # of a folder


def verify(path: str | os.PathLike[str]) -> Integrity:
    """Compare the checksums of a checkpoint with its bytes."""
    path = Path(path)
    with _opened(path) as (file, layout):
        return integrity_of(path, file, layout)


def read(
    path: str | os.PathLike[str], *, map_location: MapLocation = "cpu", verify: bool = True
) -> Reading:
    """Read what a checkpoint holds, verified first, and run nothing of it."""
    with opened(path, map_location=map_location, verify=verify, defer=False) as reading:
        return reading


def look_into_file(path: Path) -> Reading:
    """Read the same to be shown: what would be refused stands there by its name."""
    with opened(path, defer=False, opaque=True) as reading:
        return replace(reading, content=to_show(reading.content))


def look(
    path: Path,
    file: BinaryIO,
    map_location: MapLocation = "cpu",
    *,
    zipped: bool = True,
    opaque: bool = True,
) -> tuple[Any, str]:
    """Read what is in a file, and say why a load would refuse it, or refuse it."""
    try:
        return _load(path, file, map_location, zipped=zipped), ""
    except UnsafeCheckpointError as error:
        if not opaque:
            raise
        try:
            with allow_weights_only():
                return to_show(load_opaque(file)), str(error)
        except Exception:  # of another shape than torch reads
            raise error from None


@contextlib.contextmanager
def opened(
    path: str | os.PathLike[str],
    *,
    map_location: MapLocation = "cpu",
    verify: bool = True,
    defer: bool = True,
    opaque: bool = False,
) -> Iterator[Reading]:
    """Read the same, and leave the values of large tensors in the file where that can be.

    With ``opaque``, what would be refused stands there by its name.
    """
    if not (
        isinstance(map_location, (str, torch.device, Mapping, type(None))) or callable(map_location)
    ):
        raise TypeError(
            "map_location must be a device, its name, a mapping or a function, not "
            f"{type(map_location).__name__}"
        )
    path = Path(path)
    with _opened(path) as (file, layout):
        check = _check_of(path, file, layout, verify)
        integrity = integrity_of(path, file, layout, compare=verify)
        deferred = _deferred(path, file, layout, map_location, check) if defer and layout else None
        if deferred is not None:
            yield Reading(*deferred, integrity)
            return
        zipped = layout is not None
        content, refused = look(path, file, map_location, zipped=zipped, opaque=opaque)
        check()
        yield Reading(content, None, integrity, refused)


def _check_of(
    path: Path, file: BinaryIO, layout: Layout | None, verify: bool
) -> Callable[[], None]:
    """Return what raises an error if the file is written to from now on, in place."""
    stamps = [_stamp(file)]

    def check() -> None:
        if not verify or layout is None or (stamp := _stamp(file)) == stamps[-1]:
            return
        try:
            integrity_of(path, file, layout)  # or only its time was changed
        except CorruptCheckpointError:
            raise CorruptCheckpointError(
                f"{path} was written to while it was read. Load it when that is done, or an older "
                "copy."
            ) from None
        stamps.append(stamp)

    return check


def _stamp(file: BinaryIO) -> tuple[int, int]:
    about = os.fstat(file.fileno())
    return about.st_mtime_ns, about.st_size


def _deferred(
    path: Path,
    file: BinaryIO,
    layout: Layout,
    map_location: MapLocation,
    check: Callable[[], None],
) -> tuple[Any, Unread] | None:
    """Read all but the values of large tensors; None if this file, or this torch, does not allow it."""
    device = _device(map_location)
    if device is None or not can_defer():
        return None
    try:
        unread = Unread(path, file, layout, device, check)
        file.seek(0)
        with allow_weights_only():
            content = torch.load(file, map_location="meta", weights_only=True)
        return unread.placed(content), unread
    except Exception as error:  # a plain load does what this can't, or says what is wrong
        let_through(error)
        return None


def _device(map_location: MapLocation) -> torch.device | None:
    """Return the device that all is to go to; None if there is none, or several."""
    if not isinstance(map_location, (str, torch.device)):
        return None
    try:
        device = torch.empty(0, device=map_location).device
    except (RuntimeError, AssertionError):  # torch.load says it better
        return None
    return None if device.type == "meta" else device


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Layout | None]]:
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory: give one file that torch.save wrote.")
    if path.suffix == ".safetensors":
        raise CheckpointError(
            f"{path} is a file of safetensors, which torch.load can't read. Read it with "
            "safetensors.torch.load_file, and give the tensors to load_state_dict()."
        )
    if path.exists() and not path.is_file():  # opening a pipe waits until someone writes
        raise CheckpointError(f"{path} is no regular file: give one that torch.save wrote.")
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
            if not start:
                raise CorruptCheckpointError(f"{path} is empty. Take an older copy.")
            yield file, survey(file) if start == MAGIC else None
    except LayoutError as error:
        raise CorruptCheckpointError(f"{path} is {error}. Take an older copy.") from error
    except OSError as error:
        if error.errno not in _UNREADABLE:  # any other trouble is no damage
            raise
        raise CorruptCheckpointError(
            f"{path} can't be read from the disk: {error.strerror}. Take an older copy."
        ) from error


def integrity_of(
    path: Path, file: BinaryIO, layout: Layout | None, *, compare: bool = True
) -> Integrity:
    if layout is None:
        return Integrity(path, os.fstat(file.fileno()).st_size, 0, verified=False)
    compare = compare and any(entry.crc for entry in layout.entries)  # torch can write it without
    if compare:
        with show_progress(f"Verifying {path.name}", layout.size) as advance:
            damaged = [
                entry.name
                for entry in layout.entries
                if crc_of(file, entry.start, entry.stop, seen=advance) != entry.crc
            ]
        if damaged:
            fit = "does not fit its checksum" if len(damaged) == 1 else "do not fit their checksums"
            raise CorruptCheckpointError(
                f"{path} is damaged: {first_few(damaged)} {fit}. Take an older copy."
            )
    return Integrity(path, layout.size, len(layout.entries), verified=compare)


def _load(path: Path, file: BinaryIO, map_location: MapLocation, *, zipped: bool = True) -> Any:
    """Let torch read; raise our errors for its own."""
    file.seek(0)
    try:
        with allow_weights_only():
            # Given explicitly, it wins over TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD.
            return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if zipped or " GLOBAL " in str(error):
            raise UnsafeCheckpointError(_unsafe(path, file)) from error
        raise CorruptCheckpointError(_foreign(path)) from error
    except (OSError, MemoryError, Warning):  # a warning that is to be an error is no damage
        raise
    except Exception as error:
        if "allocate memory" in str(error):
            raise MemoryError(f"{path}: there is not enough memory to load it") from error
        if map_location not in (None, "cpu") and isinstance(error, RuntimeError):
            raise CheckpointError(f"{path}: {str(error).partition('. ')[0]}.") from error
        with path.open("rb") as whole:  # torch hides an OSError behind errors of its own
            while whole.read(CHUNK):
                pass
        raise CorruptCheckpointError(_foreign(path)) from error


_alone = threading.Lock()


@contextlib.contextmanager
def allow_weights_only() -> Iterator[None]:
    """Let ``torch.load`` work where the environment both forces and forbids weights_only."""
    forced, free = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    if not (os.environ.get(forced) and os.environ.get(free)):
        yield
        return
    with _alone:
        kept = os.environ.pop(free, None)
        try:
            yield
        finally:
            if kept is not None:
                os.environ[free] = kept


def _unsafe(path: Path, file: BinaryIO) -> str:
    """Describe what a checkpoint would call, by a look at its pickle that runs none of it."""
    try:
        found = names_refused(file)
    except Exception:  # of another shape than torch reads
        found = []
    what = first_few(sorted(found)) or "what weights_only=True does not read"
    return (
        f"{path} holds more than tensors and plain data: {what}. Nothing of it was run. "
        "Save it again as tensors, numbers, strings, lists and dicts."
    )


def _foreign(path: Path) -> str:
    return f"{path} is not a checkpoint that torch.load can read, or it is damaged."
