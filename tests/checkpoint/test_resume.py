"""Stop, and go on in a fresh process: the run is the one that was never stopped, bit for bit."""

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import optimkit

SCRIPT = Path(__file__).with_name("training.py")
_spec = importlib.util.spec_from_file_location("training", SCRIPT)
training = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(training)


PARTS = 2  # each takes a fresh process


def differences(one, other, where=""):
    """List where two values differ, bit for bit."""
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.shape) == (other.dtype, other.shape)
        one, other = (each.detach().to_dense() for each in (one, other))
        return [] if alike and torch.equal(one, other) else [where]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: {one.keys() ^ other.keys()}"]
        return [d for key in one for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [where]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for index, pair in pairs for d in differences(*pair, f"{where}[{index}]")]
    return [] if one == other else [where]


@pytest.fixture
def one_thread():
    """Compute with one thread, as the fresh process does: sums depend on how they are split."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("part", range(PARTS))
def test_resume_is_exact(tmp_path, part):
    """Every optimizer with every scheduler: weights, average, state, options, schedule, scale
    and random numbers are those of the run that went on, in whatever order they were loaded."""
    straight = {}
    for number, case in list(enumerate(training.CASES))[part::PARTS]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of its own schedulers
            run = training.start(*case, seed=number)
            run.train(3)
            path = tmp_path / f"{number}.pt"
            optimkit.save(path, durable=False, **run.parts, rng=optimkit.get_rng_state())
            run.train(3)
        straight[number] = {**run.outcome(), "agreed": True}
    subprocess.run([sys.executable, SCRIPT, tmp_path], check=True)
    resumed = torch.load(tmp_path / "outcomes", weights_only=False)
    assert resumed.keys() == straight.keys()
    found = {training.CASES[key]: differences(straight[key], resumed[key]) for key in straight}
    assert {case: each for case, each in found.items() if each} == {}
