"""Damaged and foreign files: each gives one typed error that names the file."""

import os
import random
import warnings
import zipfile

import pytest
import torch
from harness import flip, truncate, zero
from peers import OPTIMKIT

import optimkit
from optimkit import CorruptCheckpointError
from optimkit._files import reading


@pytest.fixture
def path(tmp_path):
    """Return a small checkpoint."""
    torch.manual_seed(0)
    return optimkit.save(tmp_path / "last.pt", model=torch.nn.Linear(20, 10), epoch=3)


@pytest.mark.parametrize(("damage", "times"), [(flip, 200), (truncate, 50), (zero, 50)])
def test_no_damage_goes_unseen(tmp_path, damage, times, full):
    """Every flipped bit, lost end and zeroed block is refused as damage."""
    found = damage(OPTIMKIT, tmp_path, 50 if full else 1, times)
    assert found.times == found.lost > 0
    assert found.errors == {"CorruptCheckpointError"}


def test_no_byte_is_unwatched(path):
    """A flipped bit in any byte of a file, the padding too, is refused, and the file named."""
    whole, generator = path.read_bytes(), random.Random(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CorruptCheckpointError) as caught:
            optimkit.load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{path} is empty. Take an older copy."),
        (
            b"hello " * 50,
            "{path} is not a checkpoint that torch.load can read, or it is damaged.",
        ),
        (
            b"PK\x05\x06" + bytes(18),
            "{path} is not a checkpoint that torch.load can read, or it is damaged.",
        ),
        (
            b"PK\x03\x04" + b"x" * 99,
            "{path} is damaged, or cut off: it does not end as a checkpoint ends. "
            "Take an older copy.",
        ),
        (
            b"\x80\x02}q\x00.",
            "{path} is not a checkpoint that torch.load can read, or it is damaged.",
        ),
    ],
    ids=["empty", "text", "end of a zip", "begin of a zip", "pickle"],
)
def test_foreign_files(path, content, message):
    """An empty file, and one of another kind, say what they are."""
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpointError) as caught:
        optimkit.load(path)
    assert str(caught.value) == message.format(path=path)


def test_a_damaged_tensor_is_named(path):
    """The error says which part of the file does not fit."""
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        [info] = [each for each in archive.infolist() if each.filename.endswith("data/0")]
    whole[info.header_offset + 200] ^= 1
    path.write_bytes(whole)
    for function in (optimkit.load, reading.verify, reading.read):
        with pytest.raises(CorruptCheckpointError) as caught:
            function(path)
        assert str(caught.value) == (
            f"{path} is damaged: data/0 does not fit its checksum. Take an older copy."
        )


def test_a_bomb_is_refused_unopened(path):
    """A compressed entry, which torch never writes, is refused by its size on paper."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, bytes(10**7) if name.endswith("data/0") else content)
    with pytest.raises(CorruptCheckpointError) as caught:
        optimkit.load(path, verify=False)
    assert str(caught.value).startswith(f"{path} is not what torch.save writes: ")
    assert " is compressed, " in str(caught.value)


def test_a_bomb_of_one_part_under_many_names_is_refused(path):
    """Entries that lie over each other are refused: a small file can't become a large state."""
    whole = path.read_bytes()
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        info = next(each for each in archive.infolist() if each.filename.endswith("data/0"))
        again = zipfile.ZipInfo(info.filename.replace("data/0", "data/9"))
        for key in ("header_offset", "CRC", "file_size", "compress_size", "flag_bits"):
            setattr(again, key, getattr(info, key))
        archive.filelist.append(again)
        archive.NameToInfo[again.filename] = again
        archive.comment = b""
        archive._didModify = True
    assert path.read_bytes() != whole
    with pytest.raises(CorruptCheckpointError, match="lies over what is beside it"):
        optimkit.load(path)


def test_a_seal_on_other_bytes_is_refused(path, tmp_path):
    """The seal of another file does not fit."""
    other = optimkit.save(tmp_path / "other.pt", model=torch.nn.Linear(3, 3))
    length = len(b"optimkit seal crc32 00000000")
    path.write_bytes(path.read_bytes()[:-length] + other.read_bytes()[-length:])
    with pytest.raises(CorruptCheckpointError) as caught:
        optimkit.load(path)
    assert str(caught.value) == (
        f"{path} is damaged: what lies between its entries does not fit the seal. "
        "Take an older copy."
    )


def test_unverified_is_not_called_verified(path):
    """With verify=False the checksums are not compared, and the result says so."""
    assert optimkit.load(path).verified
    assert not optimkit.load(path, verify=False).verified


def test_a_missing_file_is_a_missing_file(tmp_path):
    """It is no damage, but Python's own FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        optimkit.load(tmp_path / "nope.pt")
    with pytest.raises(optimkit.CheckpointError, match="is a directory"):
        optimkit.load(os.fspath(tmp_path))
