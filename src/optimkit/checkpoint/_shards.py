"""A directory that many processes save: its files, and what lies in which of them.

The tensors go into the files of ``torch.distributed.checkpoint``, and all else into one file
beside them, since torch would unpickle it freely.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._errors import CheckpointError, CorruptCheckpointError, first_few
from .._files.folders import HEADER, read_metadata
from .._files.layout import crc_of
from .._files.progress import show_progress
from .._files.reading import Integrity, MapLocation, Reading, read
from .._files.unread import Placeholder, rebuilt
from ._header import KEY

_MARK = {"__tensor__", "shape", "dtype"}


def backup_path(target: Path) -> Path:
    """Return where the old directory lies while the new one takes its name."""
    return target.with_name(f".{target.name}.old")


def find(path: Path) -> Path:
    """Return the directory, or its backup if overwriting it was interrupted."""
    for folder in (path, backup_path(Path(os.path.realpath(path)))):
        if (folder / HEADER).exists():
            return folder
    if not path.exists():
        raise FileNotFoundError(2, "No such checkpoint", str(path))
    raise CheckpointError(
        f"{path} is no directory of optimkit.checkpoint.distributed.save: it has no {HEADER}."
    )


def read_folder(
    folder: Path,
    *,
    map_location: MapLocation = "cpu",
    verify: bool = True,
    rank: int = 0,
    ranks: int = 1,
) -> Reading:
    """Read what is no large tensor; each rank compares the checksums of a part of the files."""
    reading = read(folder / HEADER, map_location=map_location, verify=verify)
    header = reading.content.get(KEY) if isinstance(reading.content, dict) else None
    if not isinstance(header, dict) or not isinstance(header.get("files"), dict):
        raise CheckpointError(f"{folder / HEADER} says nothing of the files beside it.")
    noted = header["files"]
    if lacking := [name for name in noted if not (folder / name).exists()]:
        raise CorruptCheckpointError(f"{folder} lacks {first_few(lacking)}. Take an older copy.")
    if verify:
        _check_files(folder, noted, sorted(noted)[rank::ranks], show=rank == 0)
    sizes = [(folder / HEADER).stat().st_size, *(size for size, _ in noted.values())]
    integrity = Integrity(folder, sum(sizes), len(sizes), reading.integrity.verified)
    return replace(reading, integrity=integrity)


def verify(path: Path) -> Integrity:
    """Compare the checksums of all files of a directory, and read its metadata."""
    folder = find(path)
    reading = read_folder(folder)
    if reading.content[KEY]["files"]:
        read_metadata(folder)
    return reading.integrity


# The tensors


def split(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Take the tensors out of what is saved, and leave a mark where each was."""
    tensors: dict[str, Tensor] = {}

    def take_out(value: Any, path: tuple[Any, ...]) -> Any:
        if not isinstance(value, Tensor):
            return value
        strided = value.layout is torch.strided and not (value.is_quantized or value.is_nested)
        if not strided or value.is_meta:
            return value.detach()  # goes whole into the file beside the shards, or is refused
        if value.numel() <= 1 and not hasattr(value, "_local_tensor"):
            return value.detach().cpu().clone()
        key = json.dumps(path)
        tensors[key] = value.detach()
        return {"__tensor__": key, "shape": list(value.shape), "dtype": value.dtype}

    return rebuilt(content, take_out), tensors


def forms(skeleton: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by its place."""
    found: dict[str, tuple[int, ...]] = {}

    def note(value: Any, path: tuple[Any, ...]) -> Any:
        mark = isinstance(value, Mapping) and value.keys() == _MARK
        if mark or isinstance(value, Tensor):
            found[".".join(map(str, path))] = tuple(value["shape"] if mark else value.shape)
        return None if mark else value  # and does not look into it

    rebuilt(skeleton, note)
    return found


def with_placeholders(content: Mapping[str, Any]) -> dict[str, Any]:
    """Put placeholders where the marks are."""

    def place(value: Any, _: tuple[Any, ...]) -> Any:
        if isinstance(value, Mapping) and value.keys() == _MARK:
            form = torch.empty(value["shape"], dtype=value["dtype"], device="meta")
            found = Placeholder(value["__tensor__"], form)
            found.anywhere = True
            return found
        return value

    filled: dict[str, Any] = rebuilt(content, place)
    return filled


# The files


def checksum(path: Path, seen: Callable[[int], None] | None = None) -> tuple[int, int]:
    """Return the size and the CRC-32 of a file."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return size, crc_of(file, 0, size, seen=seen)


def _check_files(
    folder: Path, noted: Mapping[str, tuple[int, int]], names: Sequence[str], *, show: bool
) -> None:
    """Compare files with what was noted when they were written."""
    total = sum(noted[name][0] for name in names)
    with show_progress(f"Verifying {folder.name}", total if show else None) as advance:
        for name in names:
            if checksum(folder / name, advance) != tuple(noted[name]):
                raise CorruptCheckpointError(
                    f"{folder / name} is damaged: it does not fit its checksum. Take an older copy."
                )
