"""Opening a checkpoint: what it is, and how it lies, before anything of it is used."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .._errors import CheckpointError, CorruptCheckpointError
from .layout import MAGIC, Layout, LayoutError, survey


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Layout | None]]:
    """Open a file, and look how it lies."""
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
