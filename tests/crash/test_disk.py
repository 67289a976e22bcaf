"""A full disk, a folder that can't be written, a signal: the old checkpoint stays whole."""

import contextlib
import errno
import mmap
import os
import signal
import stat
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
import torch

import optimkit
from optimkit import CheckpointDir, Last
from optimkit._files import writing
from optimkit.checkpoint import distributed

resource = pytest.importorskip("resource", reason="limits are another thing on Windows")


@contextlib.contextmanager
def disk_of(size):
    """Let no file grow beyond a size: what writes more is told so by the system."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def path(tmp_path):
    """Return a checkpoint."""
    return optimkit.save(tmp_path / "last.pt", number=1)


def unharmed(path):
    """Tell whether the checkpoint is the old one, alone in its folder."""
    return optimkit.load(path)["number"] == 1 and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("size", [0, 100, 5000, 1_000_000, 3_999_999, 4_001_500])
@pytest.mark.parametrize("durable", [True, False])
def test_a_full_disk_leaves_the_old_one(path, size, durable):
    """Wherever the disk ends, the error is the system's, it names the file, the old one is whole."""
    with disk_of(size), pytest.raises(OSError, match="File too large") as caught:
        optimkit.save(path, durable=durable, weight=torch.zeros(1_000_000), other=torch.ones(50))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert unharmed(path)


def test_a_full_disk_beside_training(path):
    """The handle says so whenever it is asked, and no one is told twice."""
    with disk_of(5000):
        saving = optimkit.save(path, weight=torch.zeros(1_000_000), background=True)
        for _ in range(2):
            with pytest.raises(OSError, match="File too large") as caught:
                saving.wait()
    assert caught.value.filename == str(path)
    assert unharmed(path)
    optimkit.save(path, number=2)
    assert optimkit.load(path)["number"] == 2


def test_a_full_disk_leaves_a_directory(tmp_path):
    """A save that fails deletes nothing, and the next one goes on."""
    checkpoints = CheckpointDir(tmp_path / "run", keep=(Last(1),))
    checkpoints.save(1, weight=torch.zeros(10))
    with disk_of(5000), pytest.raises(OSError, match="File too large"):
        checkpoints.save(2, weight=torch.zeros(100_000))
    assert checkpoints.restore().step == 1
    checkpoints.save(3, weight=torch.zeros(10))
    assert checkpoints.restore().step == 3
    assert len(checkpoints.paths) == 1


def test_a_read_only_folder(path, unprivileged):
    """It is a PermissionError that names the file."""
    _refused(path, stat.S_IRUSR | stat.S_IXUSR)


def test_a_folder_of_somebody_else(path, unprivileged):
    """It is a PermissionError that names the file."""
    _refused(path, 0)


def _refused(path, mode):
    root = os.geteuid() != os.getuid()
    user = os.geteuid()
    if root:
        os.seteuid(0)
    os.chmod(path.parent, mode)
    if root:
        os.seteuid(user)
    try:
        for save in (
            lambda: optimkit.save(path, number=2),
            lambda: optimkit.save(path, number=2, background=True).wait(),
        ):
            with pytest.raises(PermissionError) as caught:
                save()
            assert caught.value.filename == str(path)
    finally:
        if root:
            os.seteuid(0)
        os.chmod(path.parent, 0o755)
    assert unharmed(path)


@contextlib.contextmanager
def read_only(folder):
    """Let a folder take no new names, and give up root's right to make some all the same."""
    user, mode = os.geteuid(), os.stat(folder).st_mode
    os.chmod(folder, 0o555)
    try:
        if not user:
            os.seteuid(65534)
        yield
    finally:
        os.seteuid(user)
        os.chmod(folder, mode)


def at_a_signal(checkpoints, step, **content):
    """Save as a signal asks for it."""
    with checkpoints.on_signal(signal.SIGUSR1) as safe_point:
        signal.raise_signal(signal.SIGUSR1)
        safe_point(step, **content)


WAYS = {
    "save": optimkit.save,
    "distributed": distributed.save,
    "CheckpointDir": lambda run, step, **content: run.save(step, **content),
    "on_signal": at_a_signal,
}


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_the_one_before_stays(way, background, trouble):
    """However it is saved, there is one error, the system's, which names the checkpoint."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecations
        os.chmod(name, 0o755)
        path, run = Path(name, "last.pt"), CheckpointDir(name, Last(1), background=background)
        single = way in ("save", "distributed")

        def save(step, way=way):
            content = {"number": step, "weight": torch.zeros(100_000 if step == 2 else 10)}
            if not single:
                made = WAYS[way](run, step, **content)
            else:
                made = WAYS[way](path, **content, background=background)
            return made.wait() if isinstance(made, optimkit.Saving) else made

        def load():
            if not single:
                return run.restore()["number"]
            return (distributed if way == "distributed" else optimkit).load(path)["number"]

        save(1, way if single else "CheckpointDir")
        names = os.listdir(name)
        with (
            disk_of(5000) if trouble == "full" else read_only(name),
            pytest.raises(OSError) as caught,  # noqa: PT011 (all of its text is compared)
        ):
            save(2)
        named = path if single else f"{name}/step-000000002.000002-{run.paths[0].stem[-8:]}.pt"
        said = {"full": "[Errno 27] File too large", "read-only": "[Errno 13] Permission denied"}
        assert str(caught.value) == f"{said[trouble]}: {str(named)!r}"
        assert load() == 1
        assert os.listdir(name) == names
        save(3, way if single else "CheckpointDir")
        assert load() == 3
        assert len(os.listdir(name)) == len(names)


def test_a_missing_folder(tmp_path):
    """It is a FileNotFoundError that names the file."""
    path = tmp_path / "nope" / "last.pt"
    with pytest.raises(FileNotFoundError) as caught:
        optimkit.save(path, number=2)
    assert caught.value.filename == str(path)


def test_a_folder_of_that_name(tmp_path):
    """A folder is not replaced."""
    (tmp_path / "last.pt").mkdir()
    with pytest.raises(IsADirectoryError):
        optimkit.save(tmp_path / "last.pt", number=2)
    assert os.listdir(tmp_path) == ["last.pt"]


def test_a_pipe_keeps_its_name(tmp_path):
    """What is no file is neither replaced nor waited for: a root that saves to /dev/null lost it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="Not a regular file") as caught:
        optimkit.save(pipe, number=2)
    assert caught.value.filename == str(pipe)
    with pytest.raises(optimkit.CheckpointError, match="pipe is no regular file: give one"):
        optimkit.load(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_interrupted_calls_go_on(path):
    """Signals that are handled while it is written do not harm a save."""
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        optimkit.save(path, weight=torch.arange(3_000_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung
    assert optimkit.load(path)["weight"].equal(torch.arange(3_000_000))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("delay", [0.002, 0.005, 0.01, 0.02])
def test_ctrl_c_leaves_the_old_one(path, delay):
    """An interrupt arrives as what it is, the checkpoint is whole, and the next save cleans up."""
    weight, rung = torch.zeros(5_000_000), []

    def interrupt(*_):
        rung.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, delay)
            while not rung:  # an interrupt in a destructor ends nothing
                optimkit.save(path, number=1, weight=weight)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert torch.is_grad_enabled()
    assert optimkit.load(path)["number"] == 1
    optimkit.save(path, number=1)
    assert unharmed(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_wherever_it_is_interrupted(path):
    """Of each call that writes: what is raised there comes out, and not what torch makes of it."""
    left = at = 0

    def interrupt(frame, event, _):
        nonlocal left
        if event == "call" and frame.f_code.co_filename == writing.__file__:
            left -= 1
            if not left:
                raise TimeoutError("enough")

    while left <= 0:
        left = at = at + 1
        sys.setprofile(interrupt)
        try:
            with contextlib.suppress(TimeoutError):
                optimkit.save(path, number=1, weight=torch.ones(3))
        finally:
            sys.setprofile(None)
        assert optimkit.load(path)["number"] == 1
    assert at > 20
    optimkit.save(path, number=1)
    assert unharmed(path)


def test_hard_links_and_maps_keep_the_old_one(path):
    """Who holds the old file, by another name or in memory, keeps it."""
    os.link(path, path.with_name("best.pt"))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        old = bytes(mapped)
        optimkit.save(path, number=2)
        assert bytes(mapped) == old
    assert optimkit.load(path)["number"] == 2
    assert optimkit.load(path.with_name("best.pt"))["number"] == 1


def test_a_link_is_followed(path):
    """A symbolic link stays one; the file it points at is the one that is replaced."""
    link = path.with_name("link.pt")
    link.symlink_to(path.name)
    assert optimkit.save(link, number=2) == link
    assert link.is_symlink()
    assert optimkit.load(path)["number"] == 2


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_the_umask(tmp_path, umask):
    """The file may be read and written as any other that the user makes."""
    before = os.umask(umask)
    try:
        path = optimkit.save(tmp_path / "last.pt", number=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
