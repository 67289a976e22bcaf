"""Where the current schedule is at the saved step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from ..._torch_schedulers import Copies, replay, steps_made, undisturbed

steps_of = steps_made


def play(live: LRScheduler, saved: Mapping[str, Any], copies: dict[int, Any]) -> Any:
    """Replay a copy of the current schedule to where the saved one was."""
    with undisturbed():
        copy = copies.setdefault(0, Copies()).copy_of(live)
        replay(copy, saved)
    return copy
