"""Preemption: a signal leads to a save between two steps, and to the end that it asks for."""

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

import optimkit
from optimkit import CheckpointDir

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to handle")

RUN = """
import sys, time, torch, optimkit
checkpoints = optimkit.CheckpointDir(sys.argv[1], background=sys.argv[2] == "background")
weight = torch.zeros(4_000_000)
with checkpoints.on_signal() as safe_point:
    for step in range(1, 100_000):
        weight[:2] += 0.5
        time.sleep(0.005)
        weight[2:] += 0.5  # only between two steps are both the same
        weight[:2] += 0.5
        weight[2:] += 0.5
        print(step, flush=True)
        safe_point(step, state=weight, rng=optimkit.get_rng_state())
print("not reached")
"""


@pytest.mark.parametrize("way", ["foreground", "background"])
@pytest.mark.parametrize("signals", [1, 5])
def test_sigterm(tmp_path, way, signals):
    """The step at hand is ended, saved and whole; the status is that of the signal."""
    command = [sys.executable, "-c", RUN, str(tmp_path), way]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = [process.stdout.readline().strip() for _ in range(3)]
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
    said += process.stdout.read().split()  # not communicate(): readline has read ahead
    process.wait(timeout=60)
    process.stdout.close()
    assert process.returncode == -signal.SIGTERM
    assert "not" not in said
    loaded = CheckpointDir(tmp_path).restore()
    assert loaded.step == int(said[-1])
    assert loaded["state"].eq(loaded.step).all()
    assert len(list(tmp_path.iterdir())) == 1


TOGETHER = """
import sys, torch, optimkit
import torch.distributed as dist
rank, store = int(sys.argv[2]), "file://" + sys.argv[3]
dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
checkpoints = optimkit.CheckpointDir(sys.argv[1], background=True)
weight = torch.zeros(1_000_000)
with checkpoints.on_signal() as safe_point:
    for step in range(1, 100_000):
        weight += 1
        if rank == 0:
            checkpoints.save(step, state=weight)
            print(step, flush=True)
        safe_point(step, state=weight)
"""


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_two_processes(tmp_path, number):
    """A signal to the second ends both in one step, saved and whole; a kill of both loses nothing."""
    store, folder = str(tmp_path / "store"), str(tmp_path / "run")
    command = [sys.executable, "-c", TOGETHER, folder]
    processes = [
        subprocess.Popen([*command, rank, store], stdout=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    try:
        said = [processes[0].stdout.readline() for _ in range(3)]
        for process in processes[1:] if number == signal.SIGTERM else processes:
            process.send_signal(number)
        # Not communicate(): readline has read ahead.
        said += processes[0].stdout.read().splitlines()
        for process in processes:
            process.wait(timeout=60)
            process.stdout.close()
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [-number, -number]
    last = int(said[-1])
    loaded = CheckpointDir(folder).restore()
    if number == signal.SIGTERM:
        assert loaded.step == last
    else:
        assert last - 1 <= loaded.step <= last + 1  # the last one was being written
    assert loaded["state"].eq(loaded.step).all()


def test_without_a_signal(tmp_path):
    """Nothing is saved, and the handler from before is back."""
    seen = []
    former = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        checkpoints = CheckpointDir(tmp_path)
        with checkpoints.on_signal(signal.SIGUSR1) as safe_point:
            safe_point(1, model=nn.Linear(2, 2))
        assert not checkpoints.paths
        signal.raise_signal(signal.SIGUSR1)
        assert seen == [1]
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_no_safe_point_comes(tmp_path):
    """A signal in the last step is handled when the block ends, by who handled it before."""
    seen = []
    former = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        with CheckpointDir(tmp_path).on_signal(signal.SIGUSR1):
            signal.raise_signal(signal.SIGUSR1)
            assert not seen
        assert seen == [1]
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_an_error_in_the_loop_is_raised(tmp_path):
    """A signal hides no exception, and none that the save raises."""
    former = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        checkpoints = CheckpointDir(tmp_path)
        with checkpoints.on_signal(signal.SIGUSR1) as safe_point:
            signal.raise_signal(signal.SIGUSR1)
            with pytest.raises(optimkit.UnsafeCheckpointError, match="made: torch"):
                safe_point(1, weight=torch.ones(2), made=object())
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, former)


FAILED = """
import signal, sys, torch, optimkit
sys.stdout = open({stdout!r}, "w")
print("something")
folder = sys.argv[1]
checkpoints = optimkit.CheckpointDir(folder, background=True)
with checkpoints.on_signal() as safe_point:
    optimkit.save(folder + {earlier!r}, state=torch.ones(2), background=True)
    signal.raise_signal(signal.SIGTERM)
    safe_point(1, state=torch.ones(2))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
@pytest.mark.parametrize(
    ("earlier", "stdout", "code"),
    [("/gone/a.pt", "/dev/null", 1), ("-a.pt", "/dev/full", -signal.SIGTERM)],
)
def test_what_fails_beside_it_stops_no_save(tmp_path, earlier, stdout, code):
    """An earlier save has failed, and is told of; what was printed can't be written any more."""
    script = FAILED.format(earlier=earlier, stdout=stdout)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert ("No such file or directory" in done.stderr) == (code == 1)
    assert CheckpointDir(tmp_path / "run").restore().step == 1


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGKILL, ValueError), (999, ValueError), ("SIGTERM", TypeError)]
)
def test_no_signal(tmp_path, number, kind):
    """It is said, and no handler of the others stays; nor of one that is given twice."""
    former, checkpoints = signal.getsignal(signal.SIGUSR1), CheckpointDir(tmp_path)
    message = (
        f"on_signal: {number!r} is no signal that can be handled. Give one or more, as in "
        "on_signal(signal.SIGTERM, signal.SIGUSR1)."
    )
    with (
        pytest.raises(kind, match=f"^{re.escape(message)}$"),
        checkpoints.on_signal(signal.SIGUSR1, number),
    ):
        pass
    with checkpoints.on_signal(signal.SIGUSR1, signal.SIGUSR1):
        pass
    assert signal.getsignal(signal.SIGUSR1) == former


def test_only_the_main_thread_has_handlers(tmp_path):
    """Python says so, before anything is begun."""
    errors = []

    def work():
        try:
            with CheckpointDir(tmp_path).on_signal():
                pass
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]
