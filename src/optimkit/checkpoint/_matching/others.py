"""Scalers, and objects with a ``load_state_dict`` of their own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch.amp.grad_scaler import GradScaler

from ..._values import copied, same, tensors_in
from .._reports import LoadRow
from .fits import Fit, Undo

_PROGRESS = ("scale", "_growth_tracker")


def fit_scaler(
    fit: Fit,
    saved: Any,
    about: Mapping[str, Any] | None,
    live: GradScaler,
    *,
    hparams: str,
) -> Fit:
    """Find out whether a saved gradient scaler fits."""
    if not isinstance(saved, Mapping):
        fit.refuse(f"{fit.where} holds a {type(saved).__name__} under this name, no scaler.")
        return fit
    enabled = bool(about["enabled"]) if about and "enabled" in about else bool(saved)
    if enabled != live.is_enabled():
        was, now = ("enabled" if each else "disabled" for each in (enabled, live.is_enabled()))
        fit.options_changed.append(LoadRow(fit.name, "enabled", enabled, live.is_enabled()))
        fit.notes.append(
            f"{fit.name} was {was} when it was saved, and is {now} today: its scale was left as "
            "it is."
        )
        return fit
    if not enabled:
        return fit
    current = live.state_dict()
    lacking = [key for key in current if key not in saved]
    if lacking:
        fit.refuse(f"{fit.where} holds no scaler under this name: it lacks {', '.join(lacking)}.")
        return fit
    changed = [
        key for key in current if key not in _PROGRESS and not same(saved[key], current[key])
    ]
    fit.options_changed += [LoadRow(fit.name, key, saved[key], current[key]) for key in changed]
    state = dict(saved)
    if hparams == "current":
        state |= {key: current[key] for key in changed}
    fit.load = lambda: live.load_state_dict(copied(state))
    fit.keep = lambda: _kept_scaler(live)
    return fit


def _kept_scaler(live: GradScaler) -> Undo:
    kept = {key: copied(value) for key, value in vars(live).items() if not key.startswith("_per")}

    def undo() -> None:
        vars(live).update(kept)

    return undo


def fit_foreign(fit: Fit, saved: Any, live: Any) -> Fit:
    """Take an object that only itself can judge; it gets its former state back if it raises."""
    fit.load = lambda: live.load_state_dict(copied(saved))
    fit.wanted = lambda: [(value, None) for value in tensors_in(saved)]
    fit.foreign = True

    def keep() -> Undo:
        state = copy.deepcopy(live.state_dict())
        return lambda: live.load_state_dict(state)

    fit.keep = keep
    return fit
