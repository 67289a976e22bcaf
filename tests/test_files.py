"""Files: damage, disks that fail, processes beside each other."""

import errno
import io
import os
import random
import signal
import warnings
import zipfile

import pytest
import torch

import optimkit
from optimkit import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError
from optimkit._files import reading
from optimkit._files.layout import survey


@pytest.fixture
def path(tmp_path):
    """Return a file of torch.save."""
    torch.manual_seed(0)
    torch.save({"weight": torch.randn(500), "epoch": 3}, tmp_path / "last.pt")
    return tmp_path / "last.pt"


def test_no_flipped_bit_goes_unseen(path):
    """Without a seal, a flipped bit is refused, or leaves what is loaded as it was."""
    whole, expected = path.read_bytes(), optimkit.load(path)
    assert expected.verified
    generator = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            found = optimkit.load(path)
        except (CorruptCheckpointError, UnsafeCheckpointError):
            refused += 1
        else:
            assert torch.equal(found["weight"], expected["weight"])
            assert found["epoch"] == 3
    assert refused > 30


def test_another_zip(path):
    """A zip that is no checkpoint is refused."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(CheckpointError):
        optimkit.load(path)


def test_what_was_loaded_is_no_part_of_the_file(path):
    """Who writes over the file, in place, changes nothing of what has been loaded from it."""
    loaded = optimkit.load(path)
    before = loaded["weight"].clone()
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(loaded["weight"], before)


def test_views_stay_views(path):
    """Tensors that share their memory in a file share it when they are loaded."""
    weight = torch.randn(500)
    loaded = optimkit.load(optimkit.save(path, weight=weight, parts={"head": weight[:3]}))
    loaded["parts"]["head"].zero_()
    assert loaded["weight"][:4].tolist() == [0, 0, 0, weight[3].item()]


def test_replaced_while_it_is_read(path, monkeypatch):
    """What is loaded is what was verified, if another file takes the name in between."""
    optimkit.save(path, epoch=1)
    load = torch.load

    def late(*args, **options):
        monkeypatch.setattr(torch, "load", load)
        optimkit.save(path, epoch=2)
        return load(*args, **options)

    monkeypatch.setattr(torch, "load", late)
    loaded = optimkit.load(path)
    assert (loaded["epoch"], loaded.verified) == (1, True)
    assert optimkit.load(path)["epoch"] == 2


class Failing(io.BytesIO):
    """A file on a disk that does not answer."""

    def __init__(self, content, number, after):
        super().__init__(content)
        self.number, self.left = number, after

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))
        return super().read(size)


@pytest.mark.parametrize("after", range(4))
def test_a_disk_that_fails_is_no_damage(path, after):
    """What the system says while a directory is read is passed on, and not called damage."""
    file = Failing(path.read_bytes(), errno.ETIMEDOUT, after)
    with pytest.raises(OSError, match="timed out"):
        survey(file)


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT])
def test_torch_hides_what_the_system_says(path, monkeypatch, number):
    """Unverified, a file that the disk does not give back is said to be that too."""
    trouble = OSError(number, os.strerror(number))

    def hidden(*args, **options):
        monkeypatch.setattr(reading.Path, "open", failing)
        raise ValueError("read of closed file")

    def failing(*args):
        raise trouble

    monkeypatch.setattr(torch, "load", hidden)
    error = CorruptCheckpointError if number == errno.EIO else OSError
    with pytest.raises(error, match=os.strerror(number)):
        optimkit.load(path, verify=False)


def test_the_handler_of_a_signal_saves(tmp_path, monkeypatch):
    """A signal may come in the middle of a save, and its handler may save another file."""
    content, sync = torch.zeros(1 << 20), os.fsync

    def interrupted(descriptor):
        monkeypatch.setattr(os, "fsync", sync)
        signal.raise_signal(signal.SIGINT)
        sync(descriptor)

    before = signal.signal(
        signal.SIGINT, lambda *_: optimkit.save(tmp_path / "signal.pt", content=content)
    )
    monkeypatch.setattr(os, "fsync", interrupted)
    try:
        optimkit.save(tmp_path / "last.pt", content=content)
    finally:
        signal.signal(signal.SIGINT, before)
    assert optimkit.load(tmp_path / "last.pt").verified
    assert optimkit.load(tmp_path / "signal.pt").verified


def test_litter_where_reading_is_too_little_to_lock(tmp_path, monkeypatch):
    """A network file system locks only what is open for writing: litter is removed there, too."""
    fcntl = pytest.importorskip("fcntl")
    real, litter = fcntl.flock, tmp_path / ".optimkit-0a1b2c3d.tmp"

    def flock(file, operation):
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(file, operation)

    litter.touch()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        optimkit.save(tmp_path / "last.pt", epoch=3)
    assert not litter.exists()


def test_a_warning_that_is_an_error_is_no_damage(tmp_path, monkeypatch):
    """Where warnings are errors, one that torch gives while it reads stays what it is."""

    def warn(*_, **__):
        warnings.warn("torch will do it in another way", FutureWarning, stacklevel=2)

    path = optimkit.save(tmp_path / "a.pt", epoch=1)
    monkeypatch.setattr(torch, "load", warn)
    with pytest.raises(FutureWarning, match="another way"):
        optimkit.load(path)
