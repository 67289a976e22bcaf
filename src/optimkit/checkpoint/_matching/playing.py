"""Where today's schedule is at the saved step: found out on a stand-in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from ..._torch_schedulers import copy_optimizer, copy_scheduler
from ..._values import copied


def steps_of(saved: Mapping[str, Any]) -> int:
    """Say how many steps a saved scheduler has made."""
    if "last_epoch" in saved:
        return int(saved["last_epoch"])
    return max(map(steps_of, saved.get("_schedulers", ())), default=0)


def play(live: LRScheduler, saved: Mapping[str, Any], twins: dict[int, Any]) -> Any:
    """Play a copy of today's schedule to where the saved one was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = _twin(live, twins)
        at, now = steps_of(saved), steps_of(live.state_dict())
        if isinstance(live, ReduceLROnPlateau):  # its metrics are gone: its counts are not
            for key in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
                setattr(twin, key, copied(saved.get(key, getattr(live, key))))
        elif isinstance(live, CosineAnnealingWarmRestarts):  # steps by fractions of an epoch
            fraction = float(saved.get("T_cur", 0)) % 1
            twin.step(at + fraction if fraction else at)
        else:
            if now > at:
                _rewind(twin)
                now = 0
            for _ in range(at - now):
                twin.step()
    return twin


def _rewind(twin: Any) -> None:
    """Bring a copy back to its first step."""
    if hasattr(twin, "_schedulers"):
        leaves = twin._schedulers
        if any(hasattr(each, "_schedulers") for each in leaves):
            raise ValueError("it is past that step already. Make it anew, then load.")
        for group in twin.optimizer.param_groups:
            group["lr"] = copied(group["initial_lr"])
        for each in leaves:
            each.last_epoch = -1
        sequential = isinstance(twin, SequentialLR)
        for each in leaves[:1] if sequential else leaves:
            each._initial_step()
        if sequential:
            twin.last_epoch = 0
        return
    for group in twin.optimizer.param_groups:
        group["lr"] = copied(group.get("initial_lr", group["lr"]))
    twin.last_epoch = -1
    twin._initial_step()


def _twin(live: LRScheduler, twins: dict[int, Any]) -> Any:
    """Copy a scheduler and those inside it; the copies drive a stand-in of the optimizer."""
    if id(live.optimizer) not in twins:
        copy_optimizer(live.optimizer, twins)
    return copy_scheduler(live, dict(twins))
