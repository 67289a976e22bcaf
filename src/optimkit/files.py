"""Bytes on disk: verified before they are read, and never unpickled freely.

A file of ``torch.save`` is a zip, and every entry of a zip has a checksum. torch writes them
and never looks at them: here they are checked. What the bytes spell is read with
``weights_only=True``, whatever the environment says, so nothing in a file is ever run.
"""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError, first_few


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
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory: give one file that torch.save wrote.")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise CorruptCheckpointError(f"{path} is empty. Take an older copy.")
        if file.read(4) != b"PK\x03\x04":
            return Soundness(path, size, 0, checksums=False)
        try:
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
                checksums = any(info.CRC for info in infos)
                bad = archive.testzip() if checksums else None
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise CorruptCheckpointError(
                f"{path} is damaged, or cut off: {error}. Take an older copy."
            ) from error
    if bad is not None:
        part = bad.partition("/")[2] or bad
        raise CorruptCheckpointError(
            f"{path} is damaged: {part} does not fit its checksum. Take an older copy."
        )
    return Soundness(path, size, len(infos), checksums)


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
    found = verify(path)
    zipped = found.entries > 0
    if zipped:
        _refuse_unsafe(found.path)
    try:
        # Given explicitly, it wins over TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD.
        return torch.load(found.path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        if zipped or " GLOBAL " in str(error):
            raise UnsafeCheckpointError(_unsafe(found.path, _first_sentence(error))) from error
        raise CorruptCheckpointError(_foreign(found.path)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, UnicodeDecodeError, TypeError) as error:
        raise CorruptCheckpointError(_foreign(found.path)) from error


def _refuse_unsafe(path: Path) -> None:
    """Refuse what a zip would call, by a look at its pickle that runs none of it."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # whatever is wrong with it, the reading itself says it better
        return
    if found:
        raise UnsafeCheckpointError(_unsafe(path, first_few(sorted(found))))


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


def optimizers_in(content: object) -> dict[str, Mapping[str, Any]]:
    """Find the optimizer state dicts in what a checkpoint holds.

    Parameters
    ----------
    content : object
        What :func:`read` returned.

    Returns
    -------
    dict of str to mapping
        Where each is, keys joined by dots (``""`` if the content is one itself), and the
        state dict.

    Examples
    --------
    >>> from torch import nn
    >>> optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    >>> list(optimizers_in({"epoch": 1, "optimizers": [optimizer.state_dict()]}))
    ['optimizers.0']
    """
    found: dict[str, Mapping[str, Any]] = {}

    def look(value: object, where: str, depth: int) -> None:
        if is_state_dict(value):
            found[where] = value  # type: ignore[assignment]
        elif depth < 5 and isinstance(value, Mapping):
            for key, item in value.items():
                look(item, f"{where}.{key}" if where else str(key), depth + 1)
        elif depth < 5 and isinstance(value, (list, tuple)) and len(value) < 100:
            for index, item in enumerate(value):
                look(item, f"{where}.{index}" if where else str(index), depth + 1)

    look(content, "", 0)
    return found


def is_state_dict(value: object) -> bool:
    """Tell whether a value is the state dict of an optimizer.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    bool
        True for a mapping with ``state`` and ``param_groups``, the latter a list of mappings.

    Examples
    --------
    >>> is_state_dict({"state": {}, "param_groups": []}), is_state_dict({"weight": 1})
    (True, False)
    """
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(value.get("param_groups"), (list, tuple))
        and all(isinstance(group, Mapping) for group in value["param_groups"])
    )
