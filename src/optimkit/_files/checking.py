"""Checksums compared while somebody else reads: the bytes go through memory once."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

from zlib_ng.zlib_ng import crc32

from .layout import CHUNK, Entry, Layout, crc_of


class Checked(io.RawIOBase):
    """A checkpoint, open for reading, that sums what is read of it."""

    def __init__(self, file: BinaryIO, layout: Layout, seen: Callable[[int], None]) -> None:
        self._file, self._seen = file, seen
        self._waiting = {entry.start: entry for entry in layout.entries}
        self._begun: dict[int, tuple[Entry, int]] = {}  # by where to go on: the sum so far
        self._damaged: list[Entry] = []
        self.error: OSError | None = None

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go somewhere else."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return where it is."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Read, and sum, while the bytes are at hand."""
        view = memoryview(buffer).cast("B")
        place, done = self._file.tell(), 0
        while done < len(view):
            try:
                count = self._file.readinto(view[done : done + CHUNK])  # type: ignore[attr-defined]
            except OSError as error:
                self.error = error
                raise
            if not count:
                break
            self._sum(place + done, view[done : done + count])
            done += count
        self._seen(done)
        return done

    def finish(self) -> tuple[str, ...]:
        """Sum what nobody has read."""
        for entry in self._waiting.values():
            self._compare(entry, crc_of(self._file, entry.start, entry.stop, 0, self._seen))
        self._waiting, self._begun = {}, {}
        return tuple(entry.name for entry in self._damaged)

    def _sum(self, place: int, piece: memoryview) -> None:
        """Go on with the entry that this piece is of, if it is of one."""
        fresh = self._waiting.get(place)
        entry, crc = self._begun.pop(place, (fresh, 0))
        if entry is None:
            return
        crc = crc32(piece[: entry.stop - place], crc)
        if place + len(piece) < entry.stop:
            self._begun[place + len(piece)] = entry, crc
        elif self._waiting.pop(entry.start, None) is not None:
            self._compare(entry, crc)

    def _compare(self, entry: Entry, crc: int) -> None:
        if crc != entry.crc:
            self._damaged.append(entry)
