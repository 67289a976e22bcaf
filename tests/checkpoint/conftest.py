"""What all tests of checkpoints share."""

import pytest

from optimkit._files import unread


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch):
    """Let every tensor but a number be read as large ones are: when it is known where it goes."""
    monkeypatch.setattr(unread, "SMALL", 8)
