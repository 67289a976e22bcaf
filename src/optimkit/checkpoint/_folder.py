"""A directory that many processes saved: where it is, and whether its bytes are those that were written."""

from __future__ import annotations

import os
from pathlib import Path

from .. import _files as files
from .._errors import CheckpointError
from ._header import KEY

HEADER = "optimkit.pt"
"""All but the large tensors; there when the directory is complete."""


def aside(target: Path) -> Path:
    """Say where the old directory lies while the new one takes its name."""
    return target.with_name(f".{target.name}.old")


def find(path: Path) -> Path:
    """Find the directory; one whose overwriting was interrupted lies aside."""
    for folder in (path, aside(Path(os.path.realpath(path)))):
        if (folder / HEADER).exists():
            return folder
    if not path.exists():
        raise FileNotFoundError(2, "No such checkpoint", str(path))
    raise CheckpointError(
        f"{path} is no directory of optimkit.checkpoint.distributed.save: it has no {HEADER}."
    )


def verify(path: Path) -> files.Integrity:
    """Compare the checksums of all files of a directory, and read its metadata."""
    from ._shards import SafeReader, check

    folder = find(path)
    reading = files.read(folder / HEADER)
    header = reading.content.get(KEY) if isinstance(reading.content, dict) else None
    if not isinstance(header, dict) or not isinstance(header.get("files"), dict):
        raise CheckpointError(f"{folder / HEADER} says nothing of the files beside it.")
    noted = header["files"]
    check(folder, sorted(noted), noted)
    if noted:
        SafeReader(folder).read_metadata()
    sizes = [(folder / HEADER).stat().st_size, *(size for size, _ in noted.values())]
    return files.Integrity(folder, sum(sizes), len(sizes), reading.integrity.verified)
