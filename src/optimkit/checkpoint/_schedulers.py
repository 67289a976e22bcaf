"""Schedulers: what of one is configuration and what is progress, and how both are loaded."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from .._errors import first_few, let_through
from .._torch_optimizers import is_state_dict
from .._torch_schedulers import (
    children_of,
    configuration_in_groups,
    configuration_of,
    held_by,
    kept_by,
    last_lrs,
    list_names,
    lrs_agree,
    members_of,
    no_option_of_any,
    outpaces,
    replay,
    steps_made,
    undisturbed,
)
from .._values import as_form_of, copied, plain, same
from ._header import config_of, same_class, short
from ._loaders import Loader
from ._optimizers import OptimizerLoader
from ._results import LoadRow

Config = Sequence[Mapping[str, Any]]  # of a scheduler and all in it, as a header has it
GroupMap = Sequence[int | None]  # for each current group the saved one; None if it is new


class SchedulerLoader(Loader):
    """Loads a scheduler: what was, or only how far it has come."""

    turn = 1  # before its optimizer, which sets the lr right
    live: LRScheduler
    optimizer: OptimizerLoader | None = None  # of its optimizer, if that is loaded too
    replayed: Any = None  # with the current options: a copy of it, at the saved step

    @property
    def groups(self) -> GroupMap | None:
        """The saved group that each current one of its optimizer comes from, if that is known."""
        return getattr(self.optimizer, "groups", None)

    def compare(self) -> None:
        where, saved, live = self.source.where, self.saved, self.live
        if not isinstance(saved, Mapping) or is_state_dict(saved):
            what = "an optimizer" if isinstance(saved, Mapping) else f"a {type(saved).__name__}"
            self.add_problem(f"{where} holds {what} under this name, no scheduler.")
            return
        config: Config | None = (self.about or {}).get("config")
        if was := _other_class(saved, config, live):
            self.add_problem(
                f"{where} was saved with {was}, the current one is {_in_words(config_of(live))}. Make "
                "the same scheduler."
            )
            return
        changed = self._changed()
        if self.choices.options == "current":
            self.options_changed += changed
            self._replay()
            return
        if changed:
            each = (f"{row.key}: saved {row.saved!r}, current {row.current!r}" for row in changed)
            self.add_problem(
                f"the current {type(live).__name__} is not the one in {where} ({first_few(each)}). "
                'Make it as it was, or pass options="current" to go on by the current one.'
            )
        self._compare_functions()
        lrs, count = saved.get("_last_lr"), len(live.optimizer.param_groups)
        if self.groups is None and isinstance(lrs, (list, tuple)) and len(lrs) != count:
            self.add_problem(
                f"{where} has {len(lrs)} groups, the current optimizer {count}. Load the optimizer "
                "in the same call, so that the groups can be matched."
            )

    def _changed(self) -> list[LoadRow]:
        """List where the configurations differ."""
        changed = list(_changes(self.saved, self.live, self.groups))
        owned = {key for each in members_of(self.live) for key in configuration_in_groups(each)}
        if self.groups is not None and self.optimizer is not None:
            changed += [row for row in self.optimizer.options_changed if row.key in owned]
        elif self.about:
            changed += _changes_in_groups(self.about["config"], config_of(self.live))
        return changed

    def _compare_functions(self) -> None:
        """Warn if the functions of a LambdaLR, which no file has, do not give the lr that was saved."""
        had, live, step = last_lrs(self.saved), self.live, steps_made(self.saved)
        if type(live) is not LambdaLR or not had or not step:
            return
        base = _regrouped(self.saved.get("base_lrs", ()), live.base_lrs, self.groups)
        had = _regrouped(had, [None] * len(base), self.groups)
        try:
            with undisturbed():
                functions = self.source.copies.copy_of(live).lr_lambdas
                gives = [plain(each(step) * lr) for each, lr in zip(functions, base, strict=True)]
        except Exception as error:  # it may need what is made later
            let_through(error)
            return
        for was, now in zip(had, gives, strict=False):
            if not lrs_agree([was], [now], 1e-4):
                self.warn(
                    f"its functions are not those that were saved: at step {step} they give an lr of "
                    f"{now:g}, {self.source.where} has {was:g}. Make them as they were, or pass "
                    'options="current" to go on by these.'
                )
                return

    def compare_with(self, optimizer: OptimizerLoader) -> None:
        """Warn if the lr that was saved for its optimizer is not the one that it had set."""
        if self.problems or optimizer.problems or self.choices.options == "current":
            return
        made = steps_made(self.saved)
        if made and optimizer.counts_steps and not optimizer.was.state:
            self.warn(
                f"{self.source.where} contradicts itself: it has made {made} steps, and "
                f"{optimizer.name} none, for it has no state. It drove another optimizer, or the "
                "state was not saved."
            )
        elif outpaces(self.saved, optimizer.was.steps_taken):
            self.warn(
                f"{self.source.where} has {made} steps of it, and {optimizer.was.steps_taken:g} of "
                f"{optimizer.name}: the schedule runs ahead. Call scheduler.step() once for each "
                "optimizer.step(), or once an epoch."
            )
        had, has = last_lrs(self.saved), [each.get("lr") for each in optimizer.was.options]
        if (
            had is not None
            and not kept_by(self.live).by_metric
            and not lrs_agree(had, has)
            and not self._set_by_another(has)
        ):
            wrong = [
                f"{one:g} against {other:g} in {label}"
                for label, one, other in zip(optimizer.was.labels, had, has, strict=False)
                if not lrs_agree([one], [other])
            ]
            self.warn(
                f"{self.source.where} contradicts itself: it has set an lr of {first_few(wrong, 3)} "
                f"in {optimizer.name}. The lr was set by hand, or it drove another optimizer. That "
                f"of {optimizer.name} is taken."
            )

    def _set_by_another(self, lrs: Sequence[Any]) -> bool:
        """Return whether a scheduler that was saved too, and is not asked for, had set this lr."""
        others = (each for each in self.source.others if isinstance(each, Mapping))
        found = [last_lrs(each) for each in others if "_last_lr" in each]
        return any(each and lrs_agree(each, lrs) for each in found)

    def _replay(self) -> None:
        """Step a copy of the current schedule to the saved step."""
        try:
            with undisturbed():
                self.replayed = self.source.copies.copy_of(self.live)
                replay(self.replayed, self.saved)
        except Exception as error:
            let_through(error)
            self.add_problem(
                f"the current {type(self.live).__name__} can't be brought to step "
                f"{steps_made(self.saved)}, where {self.source.where} is: {error}"
            )

    def load(self) -> None:
        self.former = _noted(self.live)
        groups = self.live.optimizer.param_groups
        if self.replayed is not None:
            _load(self.live, scheduler_state(self.replayed.state_dict()), None)
            for group, moved in zip(groups, self.replayed.optimizer.param_groups, strict=True):
                for key, value in moved.items():
                    if key not in group or not same(group[key], value):
                        group[key] = value
            return
        _load(self.live, self.saved, self.groups)
        if self.groups is None:  # without its optimizer, it takes the lr along
            for key, saved_key in (("lr", "_last_lr"), ("initial_lr", "base_lrs")):
                for group, value in zip(groups, self.saved.get(saved_key) or (), strict=False):
                    group[key] = as_form_of(group.get(key), value)

    def undo(self) -> None:
        for now, before in self.former:
            now.clear()
            now.update(before)

    def agree(self) -> None:
        """Report the lr that the groups have, now that the optimizer has been loaded."""
        lrs = [group["lr"] for group in self.live.optimizer.param_groups]
        if not same(getattr(self.live, "_last_lr", lrs), lrs):
            self.live._last_lr = [copied(lr) for lr in lrs]


def scheduler_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scheduler's state without functions; a scheduler in it has its own state there."""
    found: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, LRScheduler):
            found[key] = scheduler_state(value.state_dict())
        elif key == "_schedulers":
            found[key] = list(map(scheduler_state, value))
        elif not callable(value):
            found[key] = value
    return found


def _load(live: LRScheduler, saved: Mapping[str, Any], groups: GroupMap | None) -> None:
    """Load a scheduler's state; one that it holds stays, and loads its own."""
    state = _state_for(saved, live, groups)
    for key, inner in held_by(live).items():
        if isinstance(state.get(key), Mapping):
            _load(inner, state[key], groups)
            state[key] = inner
    live.load_state_dict(state)


def _other_class(saved: Mapping[str, Any], about: Config | None, live: LRScheduler) -> str:
    """Describe the other class that a state is of, if so; without a header, by what it keeps."""
    if about:
        pair = [[each["class"] for each in one] for one in (about, config_of(live))]
        alike = len(pair[0]) == len(pair[1]) and all(map(same_class, *pair))
        return "" if alike else _in_words(about)
    found = zip(("keeps", "lacks"), _strange(saved, live.state_dict()), strict=True)
    texts = [f"{verb} {first_few(sorted(keys))}" for verb, keys in found if keys]
    return f"one that {' and '.join(texts)}" if texts else ""


def _in_words(config: Config) -> str:
    outer, *inner = (short(each["class"]) for each in config)
    return f"{outer} of {first_few(inner)}" if inner else outer


def _strange(saved: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return what a saved state keeps, and what it lacks, that shows it is of another class."""
    keeps, lacks = (
        one.keys() - other.keys() - no_option_of_any()
        for one, other in ((saved, current), (current, saved))
    )
    nested = [side.get("_schedulers", ()) for side in (saved, current)]
    if len(nested[0]) != len(nested[1]):
        return keeps | {f"{len(nested[0])} schedulers"}, lacks
    for pair in zip(*nested, strict=True):
        more = _strange(*pair)
        keeps, lacks = keeps | more[0], lacks | more[1]
    return keeps, lacks


def _changes(
    saved: Mapping[str, Any], live: LRScheduler, groups: GroupMap | None
) -> Iterator[LoadRow]:
    for key in configuration_of(live):
        current = getattr(live, key)
        if key in saved:
            was = saved[key]
            if key in list_names():
                was = _regrouped(was, current, groups)
            if not same(was, current):
                yield LoadRow(type(live).__name__, key, plain(was), plain(current))
    for pair in zip(saved.get("_schedulers", ()), children_of(live), strict=False):
        yield from _changes(*pair, groups)


def _changes_in_groups(saved: Config, current: Config) -> Iterator[LoadRow]:
    """Yield the same of what lies in the groups, for a scheduler without its optimizer."""
    for one, other in zip(saved, current, strict=False):
        for key, values in other["in_groups"].items():
            was = one.get("in_groups", {}).get(key, values)
            if not same(was, values):
                yield LoadRow(short(other["class"]), key, was, values)


def _state_for(saved: Mapping[str, Any], live: LRScheduler, groups: GroupMap | None) -> Any:
    """Copy a saved state, its groups in the current order."""
    state = copy.deepcopy(dict(saved))
    for key in list_names():
        was, current = state.get(key), getattr(live, key, None)
        if isinstance(was, list) and isinstance(current, list):
            # A function's state is its attributes, if it has any: a new group's has none to take.
            fresh = [None if callable(each) else each for each in current]
            state[key] = _regrouped(was, fresh, groups)
    if "_schedulers" in state:
        pairs = zip(state["_schedulers"], children_of(live), strict=True)
        state["_schedulers"] = [_state_for(*pair, groups) for pair in pairs]
    return state


def _regrouped(was: Sequence[Any], current: Sequence[Any], groups: GroupMap | None) -> Any:
    """Return for each current group the entry of the saved one; a new group keeps its own."""
    if groups is None:
        return was
    return [
        current[index] if at is None or at >= len(was) else was[at]
        for index, at in enumerate(groups)
    ]


def _noted(live: LRScheduler) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Note a scheduler's state, and its optimizer's options: each dict with a copy of it."""
    kept = [vars(member) for member in members_of(live)]
    for value in [value for each in kept for value in each.values()]:
        # torch/optim/lr_scheduler.py, 2.15: a load writes into the attributes of functions.
        functions = filter(callable, value if isinstance(value, list) else [value])
        attributes = [getattr(each, "__dict__", None) for each in functions]
        kept += [each for each in attributes if isinstance(each, dict)]
    return [(each, dict(each)) for each in (*kept, *live.optimizer.param_groups)]
