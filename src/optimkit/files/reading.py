"""Reading: verified before it is used, and never unpickled freely.

A file of ``torch.save`` is a zip, and every entry of a zip has a checksum. torch writes them
and never looks at them: here they are checked. What the bytes spell is read with
``weights_only=True``, whatever the environment says, so nothing in a file is ever run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from ..errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError, first_few
from .checking import Checked
from .layout import MAGIC, Layout, LayoutError, survey
from .progress import Progress


@dataclass(frozen=True, slots=True)
class Soundness:
    """What the checksums of a file say.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    bytes : int
        Its size.
    entries : int
        How many parts it has; 0 if it is not a zip.
    checksums : bool
        Whether the parts have checksums. If so they have been compared, and fit.

    Examples
    --------
    >>> Soundness(Path("old.pt"), 100, 0, False).sound
    False
    """

    path: Path
    bytes: int
    entries: int
    checksums: bool

    @property
    def sound(self) -> bool:
        """Whether the bytes are known to be those that were written."""
        return self.checksums

    def __str__(self) -> str:
        """Say it in a line."""
        size = f"{self.path}: {self.bytes:,} bytes"
        if self.checksums:
            return f"{size}, {self.entries} entries, every checksum fits"
        return f"{size}, no checksums: nothing tells whether they are what was written"

    def to_dict(self) -> dict[str, Any]:
        """Return the same as data that ``json`` can write.

        Returns
        -------
        dict
            ``path``, ``bytes``, ``entries``, ``checksums``, ``sound``.
        """
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "entries": self.entries,
            "checksums": self.checksums,
            "sound": self.sound,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from a file, and what its checksums said meanwhile.

    Parameters
    ----------
    content : Any
        What was saved.
    soundness : Soundness or None
        What the checksums said; None if they were not asked.
    """

    content: Any
    soundness: Soundness | None


def verify(path: str | os.PathLike[str]) -> Soundness:
    """Compare the checksums of a checkpoint with its bytes.

    Parameters
    ----------
    path : str or os.PathLike
        A file that ``torch.save`` wrote.

    Returns
    -------
    Soundness
        Whether there are checksums. If there are, they fit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptCheckpointError
        If the file is empty, cut off, or a checksum does not fit.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "last.pt")
    ...     torch.save({"weight": torch.ones(1000)}, path)
    ...     verify(path).sound
    ...     whole = path.read_bytes()
    ...     _ = path.write_bytes(whole[:2000] + b"?" + whole[2001:])
    ...     try:
    ...         verify(path)
    ...     except CorruptCheckpointError as error:
    ...         print(str(error).replace(folder, ""))
    True
    /last.pt is damaged: data/0 does not fit its checksum. Take an older copy.
    """
    path, found = Path(path), None
    with _opened(path) as (file, layout):
        if layout is not None and layout.checksums:
            with Progress(f"Verifying {path.name}", layout.size) as progress:
                found = Checked(file, layout, progress.advance).finish()
        if found:
            raise _damaged(path, found)
        return _soundness(path, file, layout)


def read(path: str | os.PathLike[str]) -> Any:
    """Read what a checkpoint holds, verified first, and run nothing of it.

    Parameters
    ----------
    path : str or os.PathLike
        A file that ``torch.save`` wrote.

    Returns
    -------
    Any
        What was saved. Its tensors are on the CPU; those of a zip are mapped from the file,
        so those that nobody looks at are never read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptCheckpointError
        If its bytes are not what was written, or not a checkpoint at all.
    UnsafeCheckpointError
        If it holds more than tensors and plain data.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "last.pt")
    ...     torch.save({"epoch": 3}, path)
    ...     read(path)
    {'epoch': 3}
    """
    path = Path(path)
    found = verify(path)
    if not found.entries:
        return _load(path, path, "cpu")
    return _load(path, path, "cpu", mmap=True)


def read_once(
    path: str | os.PathLike[str], *, map_location: Any = "cpu", verified: bool = True
) -> Reading:
    """Read all that a checkpoint holds, and compare the checksums on the way.

    Parameters
    ----------
    path : str or os.PathLike
        A file that ``torch.save`` wrote.
    map_location : optional
        Where the tensors go, as ``torch.load`` takes it.
    verified : bool, optional
        Whether to compare the checksums.

    Returns
    -------
    Reading
        What was saved, in memory, and what the checksums said.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorruptCheckpointError
        If its bytes are not what was written, or not a checkpoint at all.
    UnsafeCheckpointError
        If it holds more than tensors and plain data.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "last.pt")
    ...     torch.save({"epoch": 3}, path)
    ...     found = read_once(path)
    >>> found.content, found.soundness.sound
    ({'epoch': 3}, True)
    """
    _refuse_location(map_location)
    path = Path(path)
    with _opened(path) as (file, layout):
        soundness = _soundness(path, file, layout) if verified else None
        if layout is None:
            return Reading(_load(path, path, map_location), soundness)
        with Progress(f"Loading {path.name}", layout.size) as progress:
            checked = Checked(file, layout, progress.advance)
            content, failure = None, None
            try:
                content = _load(path, checked, map_location)
            except CheckpointError as error:
                failure = error
            # That it is damaged says more than what torch made of it.
            if verified and layout.checksums and (found := checked.finish()):
                raise _damaged(path, found) from failure
            if failure is not None:
                raise failure
    return Reading(content, soundness)


def _refuse_location(given: Any) -> None:
    if not (isinstance(given, (str, torch.device, Mapping, type(None))) or callable(given)):
        raise TypeError(
            "map_location must be a device, its name, a mapping or a function, not "
            f"{type(given).__name__}"
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Layout | None]]:
    """Open a file, and look how it lies; None for one that is no zip."""
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory: give one file that torch.save wrote.")
    if path.exists() and not path.is_file():  # to open a pipe waits for somebody to write
        raise CheckpointError(f"{path} is no regular file: give one that torch.save wrote.")
    with path.open("rb") as file, _legible(path):
        start = file.read(len(MAGIC))
        if not start:
            raise CorruptCheckpointError(f"{path} is empty. Take an older copy.")
        try:
            layout = survey(file) if start == MAGIC else None
        except LayoutError as error:
            raise CorruptCheckpointError(f"{path} is {error}. Take an older copy.") from error
        file.seek(0)
        yield file, layout


_ILLEGIBLE = {errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}


@contextlib.contextmanager
def _legible(path: Path) -> Iterator[None]:
    """Take bytes that the disk does not give back for damaged; any other trouble is no damage."""
    try:
        yield
    except OSError as error:
        if error.errno not in _ILLEGIBLE:
            raise
        raise CorruptCheckpointError(
            f"{path} can't be read from the disk: {error.strerror}. Take an older copy."
        ) from error


def _soundness(path: Path, file: BinaryIO, layout: Layout | None) -> Soundness:
    if layout is None:
        return Soundness(path, os.fstat(file.fileno()).st_size, 0, checksums=False)
    return Soundness(path, layout.size, len(layout.entries), layout.checksums)


def _load(path: Path, source: Path | Checked, map_location: Any, *, mmap: bool = False) -> Any:
    """Let torch read, and say in our words what it can't."""
    zipped = mmap or source is not path
    try:
        with one_mind():
            # Given explicitly, it wins over TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD.
            file = cast(Path | IO[bytes], source)
            return torch.load(file, map_location=map_location, weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if zipped or " GLOBAL " in str(error):
            raise UnsafeCheckpointError(_unsafe(path, _refused(path, error))) from error
        raise CorruptCheckpointError(_foreign(path)) from error
    except OSError:
        raise
    except Exception as error:
        if isinstance(source, Checked) and source.error is not None:
            raise source.error from None  # torch hides it behind its own
        if map_location not in (None, "cpu") and isinstance(error, RuntimeError):
            raise CheckpointError(f"{path}: {str(error).partition('. ')[0]}.") from error
        raise CorruptCheckpointError(_foreign(path)) from error


_alone = threading.Lock()


@contextlib.contextmanager
def one_mind() -> Iterator[None]:
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


def _refused(path: Path, error: Exception) -> str:
    """List what a checkpoint would call, by a look at its pickle that runs none of it."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # whatever is wrong with it, torch's own words say it better
        found = []
    return first_few(sorted(found)) or _first_sentence(error)


def _damaged(path: Path, entries: tuple[str, ...]) -> CorruptCheckpointError:
    fit = "does not fit its checksum" if len(entries) == 1 else "do not fit their checksums"
    return CorruptCheckpointError(
        f"{path} is damaged: {first_few(entries)} {fit}. Take an older copy."
    )


def _unsafe(path: Path, what: str) -> str:
    return (
        f"{path} holds more than tensors and plain data: {what}. Nothing of it was run. "
        "Save it again as tensors, numbers, strings, lists and dicts."
    )


def _foreign(path: Path) -> str:
    return f"{path} is not a checkpoint that torch.load can read, or it is damaged."


def _first_sentence(error: Exception) -> str:
    """Take what torch refused, and cut its advice to unpickle freely."""
    lines = [line.strip() for line in str(error).split("\n")]
    about = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0])
    return about.rpartition("WeightsUnpickler error:")[2].strip().rstrip(".")
