"""kill -9 at any moment: the last checkpoint is whole, and nothing is left lying about."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from harness import kill
from peers import BACKGROUND, OPTIMKIT, whole

import optimkit
from optimkit.checkpoint import distributed

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")


@pytest.mark.parametrize("peer", [OPTIMKIT, BACKGROUND], ids=lambda peer: peer.name)
def test_a_killed_save_loses_nothing(tmp_path, full, peer):
    """Whenever the process dies that overwrites it, the checkpoint loads, and is of one save."""
    times, megabytes = (200, 50) if full else (12, 5)
    found = kill(peer, tmp_path, megabytes, times)
    assert (found.times, found.lost, found.silent, found.litter) == (times, 0, 0, 0)


RUN = """
import sys, torch, optimkit
checkpoints = optimkit.CheckpointDir(sys.argv[1])
loaded = checkpoints.restore()
step = loaded.step if loaded else 0
if loaded:
    assert loaded["number"].eq(step).all()
print("from", step, flush=True)
while True:
    step += 1
    checkpoints.save(step, number=torch.full((300_000,), step))
    print("saved", step, flush=True)
"""


def test_a_killed_run_goes_on_from_its_last_save(tmp_path):
    """What save has returned from is there after kill -9, in a new process, without litter."""
    generator, said = random.Random(0), 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        start = int(process.stdout.readline().split()[1])
        assert start >= said
        process.stdout.readline()
        time.sleep(generator.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        lines = [line for line in process.stdout.read().splitlines() if line.startswith("saved")]
        process.wait()
        process.stdout.close()
        said = max([start + 1, *(int(line.split()[1]) for line in lines)])
    checkpoints = optimkit.CheckpointDir(tmp_path)
    assert checkpoints.restore().step >= said
    checkpoints.save(10_000, number=torch.zeros(1))
    assert len(checkpoints.paths) == 3
    [presence] = {*os.listdir(tmp_path)} - {path.name for path in checkpoints.paths}
    assert presence.endswith(".run")
    del checkpoints
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch has no gloo")
def test_killed_processes_of_torchrun_lose_nothing(tmp_path, full):
    """Whichever of two dies while they save in the background, what was complete is there, whole."""
    generator, script, said = random.Random(0), Path(__file__).with_name("ranks.py"), 0
    for time_ in range(21 if full else 1):
        dying = (("0", "1"), ("1",), ("0",))[time_ % 3]
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(script), str(tmp_path), str(generator.uniform(0, 0.6)), *dying),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert "Signal 9 (SIGKILL)" in done.stderr, done.stderr[-2000:]
        lines = done.stdout.splitlines()  # of gloo too, on torch 2.9
        told = [line.split() for line in lines if line.startswith(("from ", "saved "))]
        begun, *complete = [int(number) for _, number in told]
        assert begun >= said
        loaded = distributed.load(tmp_path / "last")
        said = max([begun + 1, *complete])
        assert loaded["number"] >= said
        assert loaded["tensors"]["layer.0"].eq(loaded["number"]).all()
        assert whole(loaded["tensors"])
    distributed.save(tmp_path / "last", number=-1)
    assert os.listdir(tmp_path) == ["last"]
