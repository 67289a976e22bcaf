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


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """Train 3 and 3 epochs, saving in between; go on from what was saved in another process."""
    folder = tmp_path_factory.mktemp("resume")
    straight = {}
    for number, case in enumerate(training.CASES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says of its own schedulers
            run = training.start(*case, seed=number)
            run.train(3)
            optimkit.save(
                folder / f"{number}.pt", durable=False, **run.parts, rng=optimkit.rng_state()
            )
            run.train(3)
        straight[number] = run.outcome()
    subprocess.run([sys.executable, SCRIPT, folder], check=True)
    return straight, torch.load(folder / "outcomes.pt", weights_only=False)


@pytest.mark.parametrize("scheduler", training.SCHEDULERS)
@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
def test_resume_is_exact(resumed, optimizer, scheduler):
    """Weights, average, state, options, schedule, scale and random numbers are all the same."""
    number = training.CASES.index((optimizer, scheduler))
    straight, again = (outcomes[number] for outcomes in resumed)
    assert again.pop("agreed")
    assert differences(straight, again) == []
