"""No false alarms: a healthy set-up gives neither an error nor a warning."""

import importlib.util
import sys
from pathlib import Path

import pytest

from optimkit import audit

_spec = importlib.util.spec_from_file_location("healthy", Path(__file__).with_name("healthy.py"))
healthy = importlib.util.module_from_spec(_spec)
sys.modules["healthy"] = healthy
_spec.loader.exec_module(healthy)

PAIRS = dict(healthy.pairs())
# What torch 2.6 says of its own SequentialLR.
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")


def assert_healthy(setup):
    """Check that an audit says nothing but notes."""
    optimizers, models, schedulers = setup
    found = audit(optimizers, models, schedulers=schedulers).at_least("warning")
    assert not found, str(found)


@pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)
def test_no_alarm_for_what_torch_ships(make):
    """Every optimizer, with a scheduler or another, before and after steps, is healthy."""
    for setup in make():
        assert_healthy(setup)


@pytest.mark.parametrize("make", healthy.PATTERNS.values(), ids=healthy.PATTERNS)
def test_no_alarm_for_common_patterns(make):
    """What people do on purpose is healthy."""
    assert_healthy(make())


@pytest.mark.since("Muon")
def test_the_table_is_long():
    """There are at least 40 patterns, and every class that torch ships is among the pairs."""
    import torch

    shipped = {
        name
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and kind is not torch.optim.Optimizer
    }
    assert shipped == set(healthy.OPTIMIZERS)
    assert len(healthy.PATTERNS) >= 40
