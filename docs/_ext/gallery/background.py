"""Work beside the scripts: a second process does it while the next script runs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from sphinx.application import Sphinx

__all__ = ["submit", "wait"]

_process: ProcessPoolExecutor | None = None
_begun: list[Future[object]] = []


def submit(function: Callable[..., object], *arguments: Any) -> None:
    """Have the other process call a function."""
    global _process
    if _process is None:
        # Not a fork: the scripts have left threads of torch behind.
        _process = ProcessPoolExecutor(1, get_context("spawn"))
    _begun.append(_process.submit(function, *arguments))


def wait(app: Sphinx | None = None) -> None:
    """Wait for all of it, and raise what has gone wrong there."""
    global _process
    try:
        for one in _begun:
            one.result()
    finally:
        _begun.clear()
        if _process is not None:
            _process.shutdown(cancel_futures=True)
            _process = None
