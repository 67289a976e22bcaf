"""Reading: verified before it is used, and never unpickled freely.

A file of ``torch.save`` is a zip, and every entry of a zip has a checksum. torch writes them
and never looks at them: here they are checked. What the bytes spell is read with
``weights_only=True``, whatever the environment says, so nothing in a file is ever run.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch

from .._errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError, first_few
from .checking import Checked
from .opening import opened
from .progress import Progress
from .soundness import Integrity, damaged, soundness_of, verify

_NO_MEMORY = ("allocate memory", "unable to mmap")  # how torch says it


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from a file, and what its checksums said meanwhile."""

    content: Any
    soundness: Integrity | None


def read(path: str | os.PathLike[str]) -> Any:
    """Read what a checkpoint holds, verified first, and run nothing of it."""
    path = Path(path)
    found = verify(path)
    if not found.entries:
        return _load(path, path, "cpu")
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # torch can't map a file of such a name
        return read_once(path, verified=False).content
    return _load(path, path, "cpu", mmap=True)


def read_once(
    path: str | os.PathLike[str], *, map_location: Any = "cpu", verified: bool = True
) -> Reading:
    """Read all that a checkpoint holds, and compare the checksums on the way."""
    _refuse_location(map_location)
    path = Path(path)
    with opened(path) as (file, layout):
        soundness = soundness_of(path, file, layout) if verified else None
        if layout is None:
            return Reading(_load(path, path, map_location), soundness)
        with Progress(f"Loading {path.name}", layout.size) as progress:
            checked = Checked(file, layout, progress.advance)
            content: Any = None
            failure: Exception | None = None
            try:
                content = _load(path, checked, map_location)
            except (CheckpointError, MemoryError) as error:
                failure = error
            # That it is damaged says more than what torch made of it.
            if verified and layout.checksums and (found := checked.finish()):
                raise damaged(path, found) from failure
            if failure is not None:
                raise failure
    return Reading(content, soundness)


def _refuse_location(given: Any) -> None:
    if not (isinstance(given, (str, torch.device, Mapping, type(None))) or callable(given)):
        raise TypeError(
            "map_location must be a device, its name, a mapping or a function, not "
            f"{type(given).__name__}"
        )


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
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if any(words in str(error) for words in _NO_MEMORY):
            raise MemoryError(f"{path}: there is not enough memory to load it") from error
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
