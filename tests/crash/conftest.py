"""The harness beside the tests, and how much of it is run."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def full(request) -> bool:
    """Return whether ``nox -s crash`` asks for the whole of it."""
    return request.config.getoption("--full")


@pytest.fixture
def unprivileged():
    """Give up root's right to write where nobody may, if this is root; the test is skipped else."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are another thing on Windows")
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield
