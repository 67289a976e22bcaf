"""The random number generators go on where they were."""

import random

import numpy as np
import pytest
import torch

import optimkit
from optimkit import CheckpointError


def draw():
    """Draw from each generator; numpy and torch keep a second normal number for later."""
    return [
        random.random(),
        random.gauss(0, 1),
        torch.rand(3).tolist(),
        torch.randn(3).tolist(),
        np.random.rand(3).tolist(),
        np.random.randn(1).tolist(),
    ]


def test_the_numbers_go_on(tmp_path):
    """After a round trip through a file the same numbers are drawn."""
    draw()
    path = optimkit.save(tmp_path / "a.pt", rng=optimkit.get_rng_state())
    expected = draw()
    draw()
    optimkit.set_rng_state(optimkit.load(path)["rng"])
    assert draw() == expected


@pytest.mark.parametrize("bit_generator", [np.random.MT19937, np.random.PCG64, np.random.SFC64])
def test_numpy_with_another_generator(tmp_path, bit_generator):
    """Whatever numpy draws with, its state goes as tensors and numbers, and comes back."""
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(bit_generator(1))
    try:
        test_the_numbers_go_on(tmp_path)
    finally:
        np.random.set_bit_generator(before)


@pytest.mark.parametrize("value", [3, {}, {"torch": 1}])
def test_what_is_no_state(value):
    """Anything else is a TypeError."""
    with pytest.raises(TypeError, match=r"set_rng_state takes what get_rng_state\(\) returned"):
        optimkit.set_rng_state(value)


def test_all_or_none():
    """If one generator refuses its state, the others have theirs back."""
    state = optimkit.get_rng_state()
    draw()
    expected_state = optimkit.get_rng_state()
    expected = draw()
    optimkit.set_rng_state(expected_state)
    state["numpy"] = {"bit_generator": "MT19937", "state": {}}
    with pytest.raises(CheckpointError) as caught:
        optimkit.set_rng_state(state)
    assert "the random number generator 'numpy' does not take this state" in str(caught.value)
    assert draw() == expected
