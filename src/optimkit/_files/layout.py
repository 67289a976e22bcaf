"""How a checkpoint lies on disk: the entries of its zip, and the frame around them.

A file of ``torch.save`` is a zip with a checksum for each entry, which torch never looks at. They
say nothing of the bytes between the entries: names, sizes, offsets, padding. optimkit adds one
more, of all these, as the zip's comment: the seal. Every reader of zips skips a comment, so the
file stays an ordinary one.
"""

from __future__ import annotations

import errno
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from zlib_ng.zlib_ng import crc32

MAGIC = b"PK\x03\x04"
CHUNK = 1 << 20  # small enough to be still in the processor's cache when it is summed

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_DESCRIPTOR = b"PK\x07\x08"  # stands behind an entry, before its checksum
_IN_DIRECTORY, _LENGTHS, _RECORD = 16, 28, 46  # bytes to a checksum, to what follows, in all
_END = b"PK\x05\x06"
_END_LENGTH = 22  # its last two bytes are the length of the comment
_SEAL = b"optimkit seal crc32 %08x"
_SEAL_LENGTH = len(_SEAL % 0)


class LayoutError(Exception):
    """The bytes can't be those that torch.save wrote; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a part of a checkpoint lies."""

    name: str
    start: int
    stop: int
    crc: int


@dataclass(frozen=True, slots=True)
class Layout:
    entries: tuple[Entry, ...]
    size: int
    directory: int  # where it begins


def survey(file: BinaryIO) -> Layout:
    """Look where the entries of a zip lie, and compare its seal."""
    size = file.seek(0, 2)
    seal = _seal_of(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
            directory = archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        cause = error.__context__ if isinstance(error, zipfile.BadZipFile) else error
        # EINVAL: the directory sent zipfile to a place before the first byte.
        if isinstance(cause, OSError) and cause.errno != errno.EINVAL:
            raise cause from None
        raise LayoutError(f"damaged, or cut off: {error}") from error
    entries = tuple(_entry(file, info, size) for info in infos)
    stop = 0
    for info, entry in zip(infos, entries, strict=True):
        if info.header_offset < stop or entry.stop > size:
            raise LayoutError(f"damaged: {entry.name} lies over what is beside it")
        stop = entry.stop
    if seal is not None and seal != _SEAL % _frame(file, entries, size - 2 - _SEAL_LENGTH):
        raise LayoutError("damaged: what lies between its entries does not fit the seal")
    return Layout(entries, size, directory)


def seal(file: BinaryIO, checksums: Mapping[tuple[int, int], int] | None = None) -> None:
    """Write the seal behind a zip that torch has written, and first the checksums it lacks."""
    layout = survey(file)
    if checksums is not None:
        _write_checksums(file, layout, checksums)
    crc = _frame(file, layout.entries, layout.size - 2)
    file.seek(-2, 2)
    file.write(struct.pack("<H", _SEAL_LENGTH) + _SEAL % crc)


def _write_checksums(
    file: BinaryIO, layout: Layout, checksums: Mapping[tuple[int, int], int]
) -> None:
    """Write the checksum of each entry where torch does: behind it, and in the directory."""
    file.seek(layout.directory)
    directory, at = bytearray(file.read(layout.size - layout.directory)), 0
    for entry in layout.entries:
        if entry.stop > entry.start:
            crc = struct.pack("<I", checksums[entry.start, entry.stop])
            directory[at + _IN_DIRECTORY : at + _IN_DIRECTORY + 4] = crc
            file.seek(entry.stop)
            file.write(_DESCRIPTOR + crc)
        at += _RECORD + sum(struct.unpack_from("<3H", directory, at + _LENGTHS))
    file.seek(layout.directory)
    file.write(directory)


def crc_of(
    file: BinaryIO, start: int, stop: int, crc: int = 0, seen: Callable[[int], None] | None = None
) -> int:
    """Sum a range bit by bit; it ends early where the file does."""
    buffer = memoryview(bytearray(min(CHUNK, max(stop - start, 0))))
    file.seek(start)
    while start < stop:
        count = file.readinto(buffer[: stop - start])  # type: ignore[attr-defined]
        if not count:
            break
        crc = crc32(buffer[:count], crc)
        start += count
        if seen is not None:
            seen(count)
    return crc


def _seal_of(file: BinaryIO, size: int) -> bytes | None:
    """Return the seal; None if nothing follows the zip, as torch writes it."""
    file.seek(max(0, size - _END_LENGTH - _SEAL_LENGTH))
    tail = file.read()
    if tail[-_END_LENGTH:].startswith(_END) and tail.endswith(b"\0\0"):
        return None
    end, comment = tail[:_END_LENGTH], tail[_END_LENGTH:]
    if end.startswith(_END) and end.endswith(struct.pack("<H", _SEAL_LENGTH)):
        return comment
    raise LayoutError("damaged, or cut off: it does not end as a checkpoint ends")


def _entry(file: BinaryIO, info: zipfile.ZipInfo, size: int) -> Entry:
    """Find the bytes of an entry; torch never compresses, so one that is is a bomb."""
    name = info.filename.partition("/")[2] or info.filename
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise LayoutError(
            f"not what torch.save writes: {name} is compressed, {info.compress_size:,} bytes "
            f"that would become {info.file_size:,}"
        )
    header = b""
    if 0 <= info.header_offset < size:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(MAGIC):
        raise LayoutError(f"damaged: {name} is not where it should be")
    _, named, extra = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + named + extra
    return Entry(name, start, start + info.file_size, info.CRC)


def _frame(file: BinaryIO, entries: tuple[Entry, ...], size: int) -> int:
    crc = start = 0
    for entry in entries:
        crc = crc_of(file, start, entry.start, crc)
        start = entry.stop
    return crc_of(file, start, size, crc)
