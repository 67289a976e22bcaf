"""Schedulers: what of one is configuration and what is progress, and how both are loaded."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
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
from .base import Loader
from .optimizers import OptimizerLoader
from .playing import play, steps_of


class SchedulerLoader(Loader):
    """Loads a scheduler: what was, or only how far it has come."""

    turn = 1  # before its optimizer, which sets the lr right
    live: LRScheduler
    optimizer: OptimizerLoader | None = None  # of its optimizer, if that is loaded too
    replayed: Any = None  # with the current options: a copy of it, at the saved step

    @property
    def groups(self) -> GroupMap | None:
        """The saved group that each current one of its optimizer comes from, if that is known."""
        return None if self.optimizer is None else self.optimizer.groups

    def compare(self) -> None:
        """Compare the class and the configuration."""
        where, saved, live = self.source.where, self.saved, self.live
        config = config_of(live)
        if not isinstance(saved, Mapping):
            self.add_problem(
                f"{where} holds a {type(saved).__name__} under this name, no scheduler."
            )
            return
        was = other_kind(saved, self.about and self.about.get("config"), live)
        if was:
            self.add_problem(
                f"{where} was saved with {was}, the current one is {told(config)}. Make the same "
                "scheduler."
            )
            return
        changed = self._changed(config)
        if self.source.options == "current":
            self.options_changed += [
                LoadRow(label, key, plain_in(one), plain_in(two))
                for label, key, one, two in changed
            ]
            self._replay()
            return
        if changed:
            each = (
                f"{key}: saved {plain_in(one)!r}, current {plain_in(two)!r}"
                for _, key, one, two in changed
            )
            self.add_problem(
                f"the current {type(live).__name__} is not the one in {where} ({first_few(each)}). "
                'Make it as it was, or pass options="current" to go on by the current one.'
            )
        self._compare_group_counts()

    def _changed(self, config: Mapping[str, Any]) -> list[tuple[str, str, Any, Any]]:
        """List where the configurations differ: class or group, key, saved, current."""
        changed = list(changed_in(self.saved, self.live, config, self.groups))
        owned = {key for each in members_of(self.live) for key in IN_GROUPS.get(type(each), ())}
        if self.groups is not None and self.optimizer is not None:
            changed += [row for row in self.optimizer.options_changed if row.key in owned]
        elif self.about:
            changed += changed_in_groups(self.about["config"], config)
        return changed

    def _compare_group_counts(self) -> None:
        """Refuse another number of groups, if nothing says which is which."""
        lrs, count = self.saved.get("_last_lr"), len(self.live.optimizer.param_groups)
        if self.groups is None and isinstance(lrs, (list, tuple)) and len(lrs) != count:
            self.add_problem(
                f"{self.source.where} has {len(lrs)} groups, the current optimizer {count}. Load "
                "the optimizer in the same call, so that the groups can be matched."
            )

    def _replay(self) -> None:
        """Step a copy of the current schedule to the saved step."""
        try:
            self.replayed = play(self.live, self.saved, self.source.copies)
        except Exception as error:
            self.add_problem(
                f"the current {type(self.live).__name__} can't be brought to step "
                f"{steps_of(self.saved)}, where {self.source.where} is: {error}"
            )

    def load(self) -> None:
        """Load what was, or the state of the copy."""
        self.former = _noted(self.live)
        groups = self.live.optimizer.param_groups
        if self.replayed is not None:
            self.live.load_state_dict(self.replayed.state_dict())
            for group, moved in zip(groups, self.replayed.optimizer.param_groups, strict=True):
                for key, value in moved.items():
                    if key not in group or not same(group[key], value):
                        group[key] = value
            return
        self.live.load_state_dict(_state_for(self.saved, self.live, self.groups))
        if self.groups is None:  # without its optimizer, it takes the lr along
            for key, saved_key in (("lr", "_last_lr"), ("initial_lr", "base_lrs")):
                for group, value in zip(groups, self.saved.get(saved_key) or (), strict=False):
                    group[key] = as_form_of(group.get(key), value)

    def restore(self) -> None:
        """Give the scheduler and its optimizer's groups what they had."""
        for now, before in self.former:
            now.clear()
            now.update(before)

    def wanted(self) -> Iterator[tuple[Tensor, None]]:
        """Yield every saved tensor."""
        for value in tensors_in(self.saved):
            yield value, None

    def agree(self) -> None:
        """Report the lr that the groups have, now that the optimizer has been loaded."""
        lrs = [group["lr"] for group in self.live.optimizer.param_groups]
        if not same(getattr(self.live, "_last_lr", lrs), lrs):
            self.live._last_lr = [copied(lr) for lr in lrs]


def _state_for(saved: Mapping[str, Any], live: LRScheduler, groups: GroupMap | None) -> Any:
    """Copy a saved state, its groups in the current order."""
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


def _noted(live: LRScheduler) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Note a scheduler's state, and its optimizer's options: each dict with a copy of it."""
    members = list(members_of(live))
    lambdas = [each for member in members for each in getattr(member, "lr_lambdas", ())]
    noted = [
        (vars(each), dict(vars(each))) for each in (*members, *lambdas) if hasattr(each, "__dict__")
    ]
    return noted + [(group, dict(group)) for group in live.optimizer.param_groups]
