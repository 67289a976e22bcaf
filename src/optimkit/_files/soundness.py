"""Whether a file is what was written: every entry of a zip has a checksum, and torch looks at none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .._errors import CorruptCheckpointError, first_few
from .._tables import Shown
from .checking import Checked
from .layout import Layout
from .opening import opened
from .progress import Progress


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
    checksums : bool
        Whether the parts have checksums. If so they have been compared, and fit.

    Examples
    --------
    >>> from pathlib import Path
    >>> Integrity(Path("old.pt"), 100, 0, False).sound
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

    def _blocks(self) -> list[str]:
        """Say it in a line."""
        size = f"{self.path}: {self.bytes:,} bytes"
        if self.checksums:
            return [f"{size}, {self.entries} entries, every checksum fits"]
        return [f"{size}, no checksums: nothing tells whether they are what was written"]

    def __str__(self) -> str:
        """Return one line, however long the path is: a script may look for it."""
        return self._blocks()[0]

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


def verify(path: str | os.PathLike[str]) -> Integrity:
    """Compare the checksums of a checkpoint with its bytes."""
    path, found = Path(path), None
    with opened(path) as (file, layout):
        if layout is not None and layout.checksums:
            with Progress(f"Verifying {path.name}", layout.size) as progress:
                found = Checked(file, layout, progress.advance).finish()
        if found:
            raise damaged(path, found)
        return soundness_of(path, file, layout)


def soundness_of(path: Path, file: BinaryIO, layout: Layout | None) -> Integrity:
    """Say of an open file what can be said, if its checksums fit."""
    if layout is None:
        return Integrity(path, os.fstat(file.fileno()).st_size, 0, checksums=False)
    return Integrity(path, layout.size, len(layout.entries), layout.checksums)


def damaged(path: Path, entries: tuple[str, ...]) -> CorruptCheckpointError:
    """Say which parts of a file do not fit their checksums."""
    fit = "does not fit its checksum" if len(entries) == 1 else "do not fit their checksums"
    return CorruptCheckpointError(
        f"{path} is damaged: {first_few(entries)} {fit}. Take an older copy."
    )
