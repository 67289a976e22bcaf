"""Files: verified, never unpickled."""

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import zipfile

import pytest
import torch

from optimkit._errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError
from optimkit._files import freed_aside, read, verify, write
from optimkit._files.freeing import wait_until_freed
from optimkit._files.layout import survey
from optimkit._files.write_behind import WriteBehind


@pytest.fixture
def path(tmp_path):
    """Return a checkpoint."""
    torch.manual_seed(0)
    torch.save({"weight": torch.randn(500), "epoch": 3}, tmp_path / "last.pt")
    return tmp_path / "last.pt"


def test_round_trip(path):
    """A sound file is verified and read."""
    soundness = verify(path)
    assert soundness.sound
    assert str(soundness) == (
        f"{path}: {path.stat().st_size:,} bytes, {soundness.entries} entries, every checksum fits"
    )
    assert read(path)["epoch"] == 3


def test_no_flipped_bit_goes_unseen(path):
    """A flipped bit anywhere is refused, or leaves what is read as it was."""
    whole, expected = path.read_bytes(), read(path)
    generator = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            found = read(path)
        except (CorruptCheckpointError, UnsafeCheckpointError):
            refused += 1
        else:
            assert torch.equal(found["weight"], expected["weight"])
            assert found["epoch"] == 3
    assert refused > 30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{path} is empty. Take an older copy."),
        (
            b"hello " * 50,
            "{path} is not a checkpoint that torch.load can read, or it is damaged.",
        ),
        (
            b"PK\x03\x04" + b"x" * 99,
            "{path} is damaged, or cut off: it does not end as a checkpoint ends. Take an older copy.",
        ),
    ],
    ids=["empty", "foreign", "cut"],
)
def test_bad_files(path, content, message):
    """An empty, a foreign and a cut file each give one error that names it."""
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpointError) as caught:
        read(path)
    assert str(caught.value) == message.format(path=path)


def test_another_zip(path):
    """A zip that is no checkpoint is refused."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(CheckpointError):
        read(path)


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


def test_no_checksums(path):
    """A file that was written without checksums is read, and not called sound."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": torch.ones(3)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert not verify(path).sound
    assert read(path)["weight"].tolist() == [1, 1, 1]


class Evil:
    """What a malicious file would call."""

    def __reduce__(self):
        """Make a folder when unpickled."""
        return os.mkdir, (os.environ["OPTIMKIT_EVIL"],)


@pytest.mark.parametrize("force", ["0", "1"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_nothing_is_run(path, zipped, force, monkeypatch):
    """Whatever the environment says, nothing in a file is run."""
    monkeypatch.setenv("OPTIMKIT_EVIL", str(path.with_name("evil")))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    torch.save({"a": Evil()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpointError) as caught:
        read(path)
    assert not path.with_name("evil").exists()
    assert "mkdir" in str(caught.value)
    assert str(caught.value).endswith(
        "Nothing of it was run. Save it again as tensors, numbers, strings, lists and dicts."
    )


def test_missing_and_folder(tmp_path):
    """A file that is not there is a FileNotFoundError, a folder says what was expected."""
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "nope.pt")
    with pytest.raises(CheckpointError) as caught:
        verify(tmp_path)
    assert str(caught.value) == f"{tmp_path} is a directory: give one file that torch.save wrote."


AT_EXIT = """
import atexit, sys, torch
from optimkit._files import write

for durable in (True, False):
    path = f"{sys.argv[1]}.{durable}"
    atexit.register(write, path, torch.zeros(5_000_000), durable=durable)
"""


def test_written_while_python_ends(path):
    """A large file can be written when no thread starts any more."""
    subprocess.run([sys.executable, "-c", AT_EXIT, path], check=True)
    for durable in (True, False):
        assert read(f"{path}.{durable}").shape == (5_000_000,)


@pytest.mark.parametrize("waits", [True, False])
def test_advice_is_never_needed(waits):
    """What knows no page cache, such as a pipe, is written to all the same."""
    reader, writer = os.pipe()
    with WriteBehind(writer, waits=waits) as behind:
        behind.advance(1 << 30)
    os.close(reader)
    os.close(writer)


@pytest.fixture
def large(tmp_path):
    """Return a file that is large enough to be freed in a thread."""
    (tmp_path / "large.pt").write_bytes(bytes(1 << 23))
    return tmp_path / "large.pt"


def test_without_threads(large, monkeypatch):
    """Where no thread can be started, a large file is replaced all the same, again and again."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for epoch in range(2):
        write(large, {"weight": torch.zeros(1 << 22), "epoch": epoch}, durable=False)
        assert read(large)["epoch"] == epoch


def test_many_replace_files_at_once(large):
    """Threads free files beside each other, whenever one gives way to the next."""
    errors = []

    def free():
        try:
            for _ in range(50):
                with freed_aside(large):
                    pass
                wait_until_freed()
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=free) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert errors == []


def test_the_handler_of_a_signal_saves(tmp_path, monkeypatch):
    """A signal may come while a save starts its thread, and its handler may save another file."""
    content, start = {"weight": torch.zeros(1 << 22)}, threading.Thread.start

    def interrupted(thread):
        monkeypatch.setattr(threading.Thread, "start", start)
        signal.raise_signal(signal.SIGINT)
        start(thread)

    def save(*_):
        write(tmp_path / "signal.pt", content, durable=False)

    before = signal.signal(signal.SIGINT, save)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    try:
        write(tmp_path / "last.pt", content, durable=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert verify(tmp_path / "last.pt").sound
    assert verify(tmp_path / "signal.pt").sound


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
        write(tmp_path / "last.pt", {"epoch": 3})
    assert not litter.exists()
