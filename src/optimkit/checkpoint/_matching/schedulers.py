"""Schedulers: what of one is configuration and what is progress, and how both are loaded."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..._errors import first_few
from ..._values import as_form_of, copied, same, tensors_in
from .._configuration import (
    IN_GROUPS,
    PER_GROUP,
    GroupMap,
    changed_in,
    changed_in_groups,
    config_of,
    members_of,
    other_kind,
    plain_in,
    regrouped,
    told,
)
from .._reports import LoadRow
from .fits import Fit, Undo
from .playing import play, steps_of


def fit_scheduler(
    fit: Fit,
    saved: Mapping[str, Any],
    about: Mapping[str, Any] | None,
    live: LRScheduler,
    *,
    groups: GroupMap | None,
    options: Iterable[LoadRow] = (),
    hparams: str,
    twins: dict[int, Any],
) -> Fit:
    """Find out whether a saved scheduler fits."""
    config = config_of(live)
    if not isinstance(saved, Mapping):
        fit.refuse(f"{fit.where} holds a {type(saved).__name__} under this name, no scheduler.")
        return fit
    was = other_kind(saved, about and about.get("config"), live)
    if was:
        fit.refuse(
            f"{fit.where} was saved with {was}, today's is {told(config)}. Make the same scheduler."
        )
        return fit
    changed = list(changed_in(saved, live, config, groups))
    owned = {key for each in members_of(live) for key in IN_GROUPS.get(type(each), ())}
    changed += [row for row in options if row.key in owned]
    if groups is None and about:
        changed += changed_in_groups(about["config"], config)
    if hparams == "saved":
        if changed:
            each = (
                f"{key}: saved {plain_in(one)!r}, today {plain_in(two)!r}"
                for _, key, one, two in changed
            )
            fit.refuse(
                f"today's {type(live).__name__} is not the one in {fit.where} ({first_few(each)}). "
                'Make it as it was, or pass hparams="current" to go on by today\'s.'
            )
        _fit_saved(fit, saved, live, groups)
    else:
        fit.options_changed += [
            LoadRow(label, key, plain_in(one), plain_in(two)) for label, key, one, two in changed
        ]
        _fit_current(fit, saved, live, twins)
    fit.keep = lambda: _kept(live)
    fit.wanted = lambda: [(value, None) for value in tensors_in(saved)]
    return fit


def _fit_saved(
    fit: Fit, saved: Mapping[str, Any], live: LRScheduler, groups: GroupMap | None
) -> None:
    """Load what was: configuration and progress."""
    optimizer = live.optimizer
    lrs = saved.get("_last_lr")
    if groups is None and isinstance(lrs, (list, tuple)) and len(lrs) != len(
        optimizer.param_groups
    ):  # fmt: skip
        fit.refuse(
            f"{fit.where} has {len(lrs)} groups, today's optimizer {len(optimizer.param_groups)}. "
            "Load the optimizer in the same call, so that the groups can be matched."
        )
        return

    def load() -> None:
        live.load_state_dict(_state_for(saved, live, groups))
        if groups is None:
            for key, values in (("lr", lrs), ("initial_lr", saved.get("base_lrs"))):
                for group, value in zip(optimizer.param_groups, values or (), strict=False):
                    group[key] = as_form_of(group.get(key), value)

    fit.load = load


def _state_for(saved: Mapping[str, Any], live: LRScheduler, groups: GroupMap | None) -> Any:
    """Copy a saved state, its groups in today's order."""
    state = copy.deepcopy(dict(saved))
    if groups is not None:
        for key in PER_GROUP & state.keys():
            now = getattr(live, key, None)
            if isinstance(state[key], list) and isinstance(now, list):
                fresh = [None] * len(now) if key == "lr_lambdas" else now
                state[key] = regrouped(state[key], fresh, groups)
    for index, each in enumerate(state.get("_schedulers", ())):
        state["_schedulers"][index] = _state_for(each, live._schedulers[index], groups)  # type: ignore[attr-defined]
    return state


def _fit_current(
    fit: Fit, saved: Mapping[str, Any], live: LRScheduler, twins: dict[int, Any]
) -> None:
    """Load progress only: play today's schedule up to the saved step, on a stand-in."""
    optimizer = live.optimizer
    try:
        twin = play(live, saved, twins)
    except Exception as error:
        fit.refuse(
            f"today's {type(live).__name__} can't be brought to step {steps_of(saved)}, where "
            f"{fit.where} is: {error}"
        )
        return

    def load() -> None:
        live.load_state_dict(twin.state_dict())
        for group, moved in zip(optimizer.param_groups, twin.optimizer.param_groups, strict=True):
            for key, value in moved.items():
                if key not in group or not same(group[key], value):
                    group[key] = value

    fit.load = load


def _kept(live: LRScheduler) -> Undo:
    """Note a scheduler's state, and its optimizer's options."""
    members = list(members_of(live))
    lambdas = [each for member in members for each in getattr(member, "lr_lambdas", ())]
    kept = [
        (vars(each), dict(vars(each))) for each in (*members, *lambdas) if hasattr(each, "__dict__")
    ]
    kept += [(group, dict(group)) for group in live.optimizer.param_groups]

    def undo() -> None:
        for now, before in kept:
            now.clear()
            now.update(before)

    return undo


def agree(live: LRScheduler, optimizer: Optimizer) -> None:
    """Let a scheduler report the lr that the groups have."""
    lrs = [group["lr"] for group in optimizer.param_groups]
    if not same(getattr(live, "_last_lr", lrs), lrs):
        live._last_lr = [copied(lr) for lr in lrs]
