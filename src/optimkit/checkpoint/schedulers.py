"""Schedulers: what of one is configuration and what is progress, and how both are loaded."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.optim.swa_utils import SWALR

from ..errors import first_few
from .fits import Fit, Undo, copied, plain, same
from .reports import LoadRow

_TORCH = ("torch.optim.lr_scheduler", "torch.optim.swa_utils")

# What moves with every step, whatever the class.
_PROGRESS = frozenset(
    {
        *("last_epoch", "_step_count", "_last_lr", "_get_lr_called_within_step", "_is_initial"),
        *("T_cur", "T_i"),  # CosineAnnealingWarmRestarts
        *("best", "num_bad_epochs", "cooldown_counter"),  # ReduceLROnPlateau
    }
)
# What is neither: it follows from the optimizer's lr, can't be compared, or only prints.
_ASIDE = frozenset({"base_lrs", "lr_lambdas", "_scale_fn_custom", "_schedulers", "verbose"})
# What a class keeps in the groups: the optimizer has it in its state, the scheduler made it.
_IN_GROUPS: dict[type, tuple[str, ...]] = {
    OneCycleLR: ("max_lr", "max_momentum", "base_momentum"),
    SWALR: ("swa_lr",),
}
# What has an entry for each group.
_PER_GROUP = frozenset(
    {
        *("base_lrs", "_last_lr", "lr_lambdas", "min_lrs", "max_lrs"),
        *("base_momentums", "max_momentums"),
    }
)

GroupMap = Sequence[int | None]


def config_of(scheduler: LRScheduler) -> dict[str, Any]:
    """Say which entries of a scheduler's state are its configuration.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        A scheduler, maybe of others.

    Returns
    -------
    dict
        ``class``, ``keys``, and ``schedulers``: the same for each that is nested.

    Examples
    --------
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])
    >>> config_of(torch.optim.lr_scheduler.StepLR(optimizer, 3))["keys"]
    ['step_size', 'gamma']
    """
    kind = type(scheduler)
    state = {key: value for key, value in vars(scheduler).items() if key != "optimizer"}
    if kind.__module__ in _TORCH:
        aside = _PROGRESS | (_ASIDE - ({"base_lrs"} if kind is CyclicLR else set()))
        keys = [key for key, value in state.items() if key not in aside and not callable(value)]
    else:  # of a class of yours, what its constructor takes
        asked = {name for base in kind.__mro__[:-1] for name in _arguments(base)}
        keys = [key for key in state if key in asked - _PROGRESS - _ASIDE]
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "keys": keys,
        "schedulers": [config_of(each) for each in getattr(scheduler, "_schedulers", ())],
    }


def _arguments(kind: type) -> Sequence[str]:
    try:
        return list(inspect.signature(kind.__init__).parameters)  # type: ignore[misc]
    except (TypeError, ValueError):
        return ()


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
    """Find out whether a saved scheduler fits.

    Parameters
    ----------
    fit : Fit
        To be filled in.
    saved : mapping
        Its state dict.
    about : mapping or None
        What the header says of it.
    live : torch.optim.lr_scheduler.LRScheduler
        Today's scheduler.
    groups : sequence of int or None
        For each group of today the saved one, if the optimizer is loaded beside it.
    options : iterable of LoadRow
        Where the options of the optimizer's groups differ.
    hparams : {"saved", "current"}
        Whose configuration counts.
    twins : dict
        Stand-ins of optimizers that schedules have been played on so far, by ``id``.

    Returns
    -------
    Fit
        The same.
    """
    config = config_of(live)
    if not isinstance(saved, Mapping):
        fit.refuse(f"{fit.where} holds a {type(saved).__name__} under this name, no scheduler.")
        return fit
    if not _same_kind(fit, saved, about and about.get("config"), live, config):
        return fit
    changed = list(_changed(saved, live, config, groups))
    owned = {key for each in _members(live) for key in _IN_GROUPS.get(type(each), ())}
    changed += [row for row in options if row.key in owned]
    if hparams == "saved":
        if changed:
            told = (
                f"{key}: saved {_plain(one)!r}, today {_plain(two)!r}"
                for _, key, one, two in changed
            )
            fit.refuse(
                f"today's {type(live).__name__} is not the one in {fit.where} ({first_few(told)}). "
                'Make it as it was, or pass hparams="current" to go on by today\'s.'
            )
        _fit_saved(fit, saved, live, groups)
    else:
        fit.options_changed += [
            LoadRow(label, key, _plain(one), _plain(two)) for label, key, one, two in changed
        ]
        _fit_current(fit, saved, live, twins)
    fit.keep = lambda: _kept(live)
    return fit


def _same_kind(
    fit: Fit,
    saved: Mapping[str, Any],
    about: Mapping[str, Any] | None,
    live: LRScheduler,
    config: Mapping[str, Any],
) -> bool:
    """Compare the classes, nested ones too; without a header, by what they keep."""
    if about:
        was, now = list(_classes(about)), list(_classes(config))
        alike = len(was) == len(now) and all(map(same_class, was, now))
        told = _told(was)
    else:
        strange = _strange(saved, live.state_dict())
        alike = not strange
        told = f"one that keeps {first_few(sorted(strange))}" if strange else ""
    if not alike:
        fit.refuse(
            f"{fit.where} was saved with {told}, today's is {_told(list(_classes(config)))}. "
            "Make the same scheduler."
        )
    return alike


def _told(classes: list[str]) -> str:
    """Name a scheduler, and those inside it."""
    inner = f" of {first_few(map(_short, classes[1:]))}" if classes[1:] else ""
    return _short(classes[0]) + inner


def _strange(saved: Mapping[str, Any], now: Mapping[str, Any]) -> set[str]:
    """Say by which keys two states are those of two classes."""
    found = (saved.keys() ^ now.keys()) - _ASIDE - {"_is_initial", "anneal_func"}
    nested = [side.get("_schedulers", ()) for side in (saved, now)]
    if len(nested[0]) != len(nested[1]):
        return found | {f"{len(nested[0])} schedulers"}
    for one, two in zip(*nested, strict=True):
        found |= _strange(one, two)
    return found


def _classes(config: Mapping[str, Any]) -> Iterator[str]:
    yield config["class"]
    for each in config["schedulers"]:
        yield from _classes(each)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def same_class(one: str, other: str) -> bool:
    """Tell whether two names mean one class.

    Parameters
    ----------
    one, other : str
        Classes with their modules. Where in torch a class lives is torch's own affair; a
        script run as ``__main__`` may be imported by its name another time.

    Returns
    -------
    bool
        Whether they do.

    Examples
    --------
    >>> same_class("torch.optim.adam.Adam", "torch.optim.Adam")
    True
    >>> same_class("torch.optim.adam.Adam", "torch.optim.adamw.AdamW")
    False
    """
    if one == other:
        return True
    pair = (one.rpartition("."), other.rpartition("."))
    loose = all(name.startswith("torch.") for name in (one, other))
    loose |= "__main__" in (one.partition(".")[0], other.partition(".")[0])
    return loose and pair[0][2] == pair[1][2]


def _changed(
    saved: Mapping[str, Any],
    live: LRScheduler,
    config: Mapping[str, Any],
    groups: GroupMap | None,
) -> Iterator[tuple[str, str, Any, Any]]:
    """Give where the configurations differ: class, key, saved, today's."""
    for key in config["keys"]:
        now = getattr(live, key)
        if key in saved:
            was = saved[key]
            if key in _PER_GROUP and groups is not None:
                was = _regrouped(was, now, groups)
            if not same(was, now):
                yield _short(config["class"]), key, was, now
    nested = zip(saved.get("_schedulers", ()), config["schedulers"], strict=False)
    for index, (state, inner) in enumerate(nested):
        yield from _changed(state, live._schedulers[index], inner, groups)  # type: ignore[attr-defined]


def _plain(value: Any) -> Any:
    """Take the numbers out of tensors, in lists too."""
    return [plain(item) for item in value] if isinstance(value, list) else plain(value)


def _regrouped(was: Sequence[Any], now: Sequence[Any], groups: GroupMap) -> list[Any]:
    """Take for each group of today the entry of the saved one; a new group keeps its own."""
    return [
        now[index] if at is None or at >= len(was) else was[at] for index, at in enumerate(groups)
    ]


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
                    group[key] = like(group.get(key), value)

    fit.load = load


def like(now: Any, value: Any) -> Any:
    """Give an option in the form that it has today: an lr may be a tensor.

    Parameters
    ----------
    now : Any
        Today's option.
    value : Any
        The saved one.

    Returns
    -------
    Any
        The saved one, its own copy.
    """
    if isinstance(now, Tensor) and isinstance(value, (int, float, Tensor)):
        return torch.as_tensor(value, dtype=now.dtype).to(now.device).detach().clone()
    if isinstance(now, (int, float)) and isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return copied(value)


def _state_for(saved: Mapping[str, Any], live: LRScheduler, groups: GroupMap | None) -> Any:
    """Copy a saved state, its groups in today's order."""
    state = copy.deepcopy(dict(saved))
    if groups is not None:
        for key in _PER_GROUP & state.keys():
            now = getattr(live, key, None)
            if isinstance(state[key], list) and isinstance(now, list):
                fresh = [None] * len(now) if key == "lr_lambdas" else now
                state[key] = _regrouped(state[key], fresh, groups)
    for index, each in enumerate(state.get("_schedulers", ())):
        state["_schedulers"][index] = _state_for(each, live._schedulers[index], groups)  # type: ignore[attr-defined]
    return state


def _fit_current(
    fit: Fit, saved: Mapping[str, Any], live: LRScheduler, twins: dict[int, Any]
) -> None:
    """Load progress only: play today's schedule up to the saved step, on a stand-in."""
    optimizer = live.optimizer
    try:
        twin = _played(live, saved, twins)
    except Exception as error:
        fit.refuse(
            f"today's {type(live).__name__} can't be brought to step {_steps(saved)}, where "
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


def _steps(saved: Mapping[str, Any]) -> int:
    """Say how many steps a saved scheduler has made."""
    if "last_epoch" in saved:
        return int(saved["last_epoch"])
    return max(map(_steps, saved.get("_schedulers", ())), default=0)


def _played(live: LRScheduler, saved: Mapping[str, Any], twins: dict[int, Any]) -> Any:
    """Play a copy of today's schedule to where the saved one was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = _twin(live, twins)
        at, now = _steps(saved), _steps(live.state_dict())
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


def _stepped(self: object) -> None:
    """Stand for ``optimizer.step``, marked as a scheduler would mark it."""


_stepped._wrapped_by_lr_sched = True  # type: ignore[attr-defined]


def _twin(live: LRScheduler, twins: dict[int, Any]) -> Any:
    """Copy a scheduler and those inside it; the copies drive a stand-in of the optimizer."""
    optimizer = live.optimizer
    if id(optimizer) not in twins:
        stand_in: Any = object.__new__(type(optimizer))
        stand_in.__dict__.update(defaults=optimizer.defaults, state={}, _opt_called=True)
        stand_in.step = _stepped.__get__(stand_in)
        stand_in.param_groups = [
            {key: copied(value) for key, value in group.items() if key not in _PARAMS}
            for group in optimizer.param_groups
        ]
        twins[id(optimizer)] = stand_in
    memo = {id(optimizer): twins[id(optimizer)]}
    return _copy(live, memo)


_PARAMS = ("params", "param_names")


def _copy(live: Any, memo: dict[int, Any]) -> Any:
    twin = object.__new__(type(live))
    for key, value in vars(live).items():
        if key == "_schedulers":
            twin.__dict__[key] = [_copy(each, memo) for each in value]
            continue
        try:
            twin.__dict__[key] = copy.deepcopy(value, memo)
        except Exception:  # a writer, a lock: what can't be copied is no part of a schedule
            twin.__dict__[key] = value
    return twin


def _kept(live: LRScheduler) -> Undo:
    """Note a scheduler's state, and its optimizer's options."""
    members = list(_members(live))
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


def _members(live: Any) -> Iterator[Any]:
    yield live
    for each in getattr(live, "_schedulers", ()):
        yield from _members(each)


def agree(live: LRScheduler, optimizer: Optimizer) -> None:
    """Let a scheduler report the lr that the groups have.

    Parameters
    ----------
    live : torch.optim.lr_scheduler.LRScheduler
        A scheduler that has been loaded.
    optimizer : torch.optim.Optimizer
        Its optimizer, loaded after it.
    """
    lrs = [group["lr"] for group in optimizer.param_groups]
    if not same(getattr(live, "_last_lr", lrs), lrs):
        live._last_lr = [copied(lr) for lr in lrs]
