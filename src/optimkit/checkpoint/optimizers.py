"""Optimizers: saved state finds its parameter, saved options find their group."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..errors import first_few
from ..files import is_state_dict
from ..known import keys_of, required_keys, torch_class
from .fits import Fit, Undo, copied, plain, same
from .names import Names, align, saved_names
from .reports import LoadRow
from .schedulers import like, same_class
from .states import Judge, Required, permuted

_NOT_OPTIONS = frozenset({"params", "param_names"})
_LABELS = frozenset({"name"})


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved optimizer, a column for each fact, an entry for each parameter."""

    groups: Sequence[Mapping[str, Any]]
    state: Mapping[Any, Mapping[str, Any]]
    ids: list[Any]
    group_of: list[int]
    names: list[str] | None
    aliases: Mapping[str, Sequence[str]]
    shapes: list[tuple[int, ...]] | None
    dtypes: list[str] | None
    stateless: frozenset[int] | None
    kind: str | None


def read_saved(state_dict: Mapping[str, Any], about: Mapping[str, Any] | None) -> Saved:
    """Bring a state dict, and what the header says of it, to one form.

    Parameters
    ----------
    state_dict : mapping
        With ``state`` and ``param_groups``.
    about : mapping or None
        The header's entry.

    Returns
    -------
    Saved
        The same in columns.
    """
    groups = state_dict["param_groups"]
    ids = [key for group in groups for key in group["params"]]
    about = about or {}
    names = _flat(about.get("names")) or saved_names(groups)
    shapes, dtypes = _flat(about.get("shapes")), _flat(about.get("dtypes"))
    stateless = about.get("stateless")
    return Saved(
        groups=groups,
        state=state_dict["state"],
        ids=ids,
        group_of=[index for index, group in enumerate(groups) for _ in group["params"]],
        names=names if names and len(names) == len(ids) else None,
        aliases=about.get("aliases") or {},
        shapes=[tuple(each) for each in shapes] if shapes and len(shapes) == len(ids) else None,
        dtypes=dtypes if dtypes and len(dtypes) == len(ids) else None,
        stateless=None if stateless is None else frozenset(stateless),
        kind=about.get("class"),
    )


def _flat(groups: Any) -> list[Any] | None:
    return None if groups is None else [each for group in groups for each in group]


class OptimizerFit:
    """How a saved optimizer and one of today fit.

    Parameters
    ----------
    fit : Fit
        To be filled in.
    saved : Saved
        What was saved.
    live : torch.optim.Optimizer
        Today's optimizer.
    names : Names or None
        The names of its parameters.
    strict : bool
        Whether all must fit.
    hparams : {"saved", "current"}
        Whose options count.
    """

    def __init__(
        self,
        fit: Fit,
        saved: Saved,
        live: Optimizer,
        names: Names | None,
        *,
        by_name: bool,
        strict: bool,
        hparams: str,
    ) -> None:
        self.fit, self.saved, self.live = fit, saved, live
        self.names, self.strict, self.hparams = names, strict, hparams
        self.params = [param for group in live.param_groups for param in group["params"]]
        self.group_of = [i for i, group in enumerate(live.param_groups) for _ in group["params"]]
        self.kind = torch_class(type(live))
        self.labels = _labels(self.params, names)
        self.skipped: set[int] = set()
        self.casts: dict[tuple[int, str], torch.dtype] = {}
        self._compare_classes()
        self.pairs = self._pair(by_name)
        self.groups = self._map_groups()
        if not fit.problems:
            self._judge()
            self._compare_groups()
        fit.load, fit.keep = self.load, self.keep

    # Who is who

    def _pair(self, by_name: bool) -> list[int | None]:
        """Find for each parameter of today its place in what was saved."""
        fit, saved = self.fit, self.saved
        if by_name and saved.names is not None and self.names is not None:
            fit.match = "name"
            return self._pair_by_name(saved.names, self.names)
        fit.match = "position"
        if by_name:
            side = fit.where if saved.names is None else "today's optimizer"
            fit.notes.append(
                f"{fit.name} was matched by position: {side} has no names. Shapes were checked; "
                "whether the order is the same can't be."
            )
        sizes = [
            [len(group["params"]) for group in each]
            for each in (saved.groups, self.live.param_groups)
        ]
        if sizes[0] != sizes[1]:
            fit.refuse(
                f"{fit.where} has {_count(sizes[0])}, today's optimizer {_count(sizes[1])}, and "
                "without names nothing says which is which. Save with optimkit.save, the model "
                "beside the optimizer, or build both from named parameters."
            )
            return [None] * len(self.params)
        return list(range(len(self.params)))

    def _pair_by_name(self, saved_names: list[str], names: Names) -> list[int | None]:
        before, now = align(saved_names, names.flat)
        places = {name: place for place, name in enumerate(before)}
        if before == now:
            return list(range(len(now)))
        for name, others in self.saved.aliases.items():
            for other in others:
                if name in places:
                    places.setdefault(other, places[name])
        pairs = [places.get(name) for name in now]
        for index, name in enumerate(names.flat):
            if pairs[index] is None:
                found = (places.get(other) for other in names.aliases.get(name, ()))
                pairs[index] = next((place for place in found if place is not None), None)
        self._report_strangers(pairs, before, now, names)
        return pairs

    def _report_strangers(
        self, pairs: list[int | None], before: list[str], now: list[str], names: Names
    ) -> None:
        """Note who is only in the file, or only here."""
        fit = self.fit
        missing = [name for name, place in zip(now, pairs, strict=True) if place is None]
        fit.missing += [
            LoadRow(now[index], "parameter", None, tuple(self.params[index].shape))
            for index, place in enumerate(pairs)
            if place is None
        ]
        taken = set(pairs)
        left = [place for place in range(len(before)) if place not in taken]
        fit.unexpected += [
            LoadRow(before[place], "parameter", self._saved_shape(place), None) for place in left
        ]
        strangers = [before[place] for place in left if before[place] not in names.frozen]
        if self.strict and missing:
            fit.refuse(
                f"{fit.where} lacks {first_few(missing)}. Rename what was renamed, or pass "
                "strict=False to start them afresh."
            )
        if self.strict and strangers:
            fit.refuse(
                f"{fit.where} has {first_few(strangers)}, which today's optimizer has not. "
                "Give it these parameters, or pass strict=False to leave their state out."
            )

    def _saved_shape(self, place: int) -> tuple[int, ...] | None:
        return None if self.saved.shapes is None else self.saved.shapes[place]

    # What kind, what shape

    def _compare_classes(self) -> None:
        fit, kind = self.fit, type(self.live)
        now = f"{kind.__module__}.{kind.__qualname__}"
        if self.saved.kind is not None:
            if not same_class(self.saved.kind, now):
                fit.refuse(
                    f"{fit.where} was saved by {self.saved.kind.rpartition('.')[2]}, today's "
                    f"optimizer is {kind.__name__}. Make the same one: their state means "
                    "different things."
                )
            return
        doubt = _other_class(self.saved, self.live, self.kind)
        if doubt:
            fit.refuse(
                f"{fit.where} was not saved by {kind.__name__}: {doubt}. Make the same optimizer."
            )

    def _judge(self) -> None:
        """Look at the state of every parameter."""
        fit, saved = self.fit, self.saved
        known = set(saved.ids)
        orphans = [key for key in saved.state if key not in known]
        if orphans:
            fit.unexpected += [LoadRow(f"state[{key!r}]", "state", None, None) for key in orphans]
            if self.strict:
                fit.refuse(
                    f"{fit.where} has state of no parameter: {first_few(map(repr, orphans))}. "
                    "Pass strict=False to leave it out."
                )
        judge = Judge(self.kind, [tuple(param.shape) for param in self.params], saved)
        required = Required(self.kind, list(map(self._options, range(len(self.groups)))))
        lost = []
        for index, place in enumerate(self.pairs):
            if place is None:
                continue
            state = saved.state.get(saved.ids[place])
            if not state:
                lost += [LoadRow(self.labels[index], "state", None, None)] * self._lost(
                    index, place
                )
                continue
            for key in required.lacking(self.group_of[index], judge.shapes[index], state):
                lost.append(LoadRow(self.labels[index], key, None, judge.shapes[index]))
                self.skipped.add(index)
            for key, shape, expected in judge.misfits(index, place, state):
                fit.mismatched.append(LoadRow(self.labels[index], key, shape, expected))
                self.skipped.add(index)
            self._note_casts(index, place, state)
        fit.missing += lost
        if self.strict and lost:
            fit.refuse(
                f"{fit.where} lacks {first_few(f'{row.key} of {row.name}' for row in lost)}. "
                "Pass strict=False to start afresh what lacks it."
            )
        if self.strict and fit.mismatched:
            rows = fit.mismatched
            shown = (
                f"{row.name} ({row.key}: saved {row.saved}, today {row.current})" for row in rows
            )
            fit.refuse(
                f"{fit.where} has another shape of {first_few(shown)}. Make the parameters as they "
                "were, or pass strict=False to start these afresh."
            )

    def _lost(self, index: int, place: int) -> bool:
        """Tell whether state is missing that should be there."""
        saved = self.saved
        if not saved.state or not self.params[index].requires_grad or self.kind == "LBFGS":
            return False
        if saved.stateless is not None:
            return place not in saved.stateless
        return bool(self.kind and required_keys(self.kind, False, {}))

    def _note_casts(self, index: int, place: int, state: Mapping[str, Any]) -> None:
        """Note which state follows its parameter into another dtype."""
        param, saved = self.params[index], self.saved
        now = param.dtype
        if saved.dtypes is not None:
            before = saved.dtypes[place]
            if before == str(now)[6:]:
                return
        else:
            before = None
        alike = tuple(param.shape)
        for key, value in state.items():
            if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype == now:
                continue
            follows = (
                str(value.dtype)[6:] == before
                if before is not None
                else self.kind is not None and tuple(value.shape) == alike
            )
            if follows and value.ndim:
                self.casts[index, key] = now
                self.fit.cast.append(
                    LoadRow(self.labels[index], key, str(value.dtype)[6:], str(now)[6:])
                )

    # Groups

    def _map_groups(self) -> list[int | None]:
        """Find for each group of today one that its parameters were in."""
        found: list[int | None] = [None] * len(self.live.param_groups)
        for index, place in enumerate(self.pairs):
            if place is not None and found[self.group_of[index]] is None:
                found[self.group_of[index]] = self.saved.group_of[place]
        if len(self.saved.groups) == len(found):
            for index, group in enumerate(self.live.param_groups):
                if not group["params"] and not self.saved.groups[index]["params"]:
                    found[index] = index
        return found

    def _compare_groups(self) -> None:
        """Note which options differ, and what can't be told."""
        sources: list[list[int]] = [[] for _ in self.live.param_groups]
        for index, place in enumerate(self.pairs):
            if place is not None:
                mine = sources[self.group_of[index]]
                if self.saved.group_of[place] not in mine:
                    mine.append(self.saved.group_of[place])
        for index, (group, found) in enumerate(zip(self.live.param_groups, sources, strict=True)):
            label = _label(index, group)
            if len(found) > 1 and self.hparams == "saved":
                self._refuse_merged(label, found)
            at = self.groups[index]
            if at is None:
                continue
            for key, was in self.saved.groups[at].items():
                if key in _NOT_OPTIONS or key in _LABELS:
                    continue
                now = group.get(key)
                if not (key in group and same(was, now)):
                    self.fit.options_changed.append(LoadRow(label, key, plain(was), plain(now)))

    def _refuse_merged(self, label: str, found: list[int]) -> None:
        """Refuse two saved groups with different options in one of today."""
        groups = [self.saved.groups[at] for at in found]
        first = _options(groups[0])
        differing: dict[str, list[Any]] = {}
        for group in groups[1:]:
            options = _options(group)
            for key in dict.fromkeys([*first, *options]):
                if not same(first.get(key), options.get(key)):
                    differing.setdefault(key, [])
        if not differing:
            return
        told = (
            f"{key} {' and '.join(_written(group.get(key)) for group in groups)}"
            for key in differing
        )
        names = first_few(_label(at, group) for at, group in zip(found, groups, strict=True))
        self.fit.refuse(
            f"parameters of {names} of {self.fit.where} are together in {label} today, and these "
            f'differ: {first_few(told)}. Group them as they were, or pass hparams="current" to '
            "take today's options."
        )

    # Loading

    def keep(self) -> Undo:
        """Note what the optimizer has: a load replaces it, and changes none of it."""
        live, kept = self.live, dict(vars(self.live))
        if not _plain_load(live):
            state = copy.deepcopy(live.state_dict())
            return lambda: live.load_state_dict(state)

        def undo() -> None:
            vars(live).update(state=kept["state"], param_groups=kept["param_groups"])

        return undo

    def load(self) -> None:
        """Load, through the optimizer's own ``load_state_dict``."""
        live = self.live
        states = [self._state(index) for index in range(len(self.params))]
        start = iter(range(len(self.params)))
        groups = [
            {**self._options(index), "params": [next(start) for _ in group["params"]]}
            for index, group in enumerate(live.param_groups)
        ]
        filled = {index: state for index, state in enumerate(states) if state is not None}
        live.load_state_dict({"state": filled, "param_groups": groups})
        if _plain_load(live):
            for index, state in filled.items():
                self._mend(live.state[self.params[index]], state, self.params[index].device)

    def _state(self, index: int) -> dict[str, Any] | None:
        """Copy the state of a parameter; None if there is none."""
        place, param = self.pairs[index], self.params[index]
        if self.kind == "LBFGS":
            return self._flat_state(index)
        if place is None or index in self.skipped:
            return dict(self.live.state[param]) if param in self.live.state else None
        saved = self.saved.state.get(self.saved.ids[place])
        if saved is None:
            return None
        state = {}
        for key, value in saved.items():
            value = copied(value)
            dtype = self.casts.get((index, key))
            state[key] = value if dtype is None else value.to(dtype)
        return state

    def _flat_state(self, index: int) -> dict[str, Any] | None:
        """Copy what LBFGS keeps under its first parameter for all of them, end to end."""
        saved = self.saved.state.get(self.saved.ids[0]) if self.saved.ids else None
        if self.skipped or None in self.pairs:
            return dict(self.live.state[self.params[index]]) or None
        if index or saved is None:
            return None
        return permuted(saved, [param.numel() for param in self.params], self.pairs)

    def _mend(self, now: dict[str, Any], state: Mapping[str, Any], device: torch.device) -> None:
        """Give state back the dtype that torch takes from it."""
        for key, value in state.items():
            if isinstance(value, Tensor):
                if key != "step" and now[key].dtype != value.dtype:
                    now[key] = value.to(device)
            elif isinstance(value, (list, tuple, dict, str)):
                now[key] = copied(value, device)

    def _options(self, index: int) -> dict[str, Any]:
        """Give a group of today its options."""
        group = self.live.param_groups[index]
        options = {key: value for key, value in group.items() if key != "params"}
        at = self.groups[index]
        if at is not None and self.hparams == "saved":
            options |= {
                key: like(group.get(key), value)
                for key, value in self.saved.groups[at].items()
                if key not in _NOT_OPTIONS and not (key in _LABELS and key in group)
            }
        return options


def fit_optimizer(
    fit: Fit,
    state_dict: Any,
    about: Mapping[str, Any] | None,
    live: Optimizer,
    names: Names | None,
    *,
    by_name: bool,
    strict: bool,
    hparams: str,
) -> OptimizerFit | None:
    """Find out whether a saved optimizer fits.

    Parameters
    ----------
    fit : Fit
        To be filled in.
    state_dict : Any
        What was saved.
    about : mapping or None
        What the header says of it.
    live : torch.optim.Optimizer
        Today's optimizer.
    names : Names or None
        The names of its parameters.
    by_name : bool
        Whether to match by name where there are names.
    strict : bool
        Whether all must fit.
    hparams : {"saved", "current"}
        Whose options count.

    Returns
    -------
    OptimizerFit or None
        None if what was saved is no optimizer.
    """
    if not is_state_dict(state_dict) or not all(
        "params" in group for group in state_dict["param_groups"]
    ):
        fit.refuse(
            f"{fit.where} holds a {type(state_dict).__name__} under this name, not the state dict "
            "of an optimizer."
        )
        return None
    saved = read_saved(state_dict, about)
    return OptimizerFit(fit, saved, live, names, by_name=by_name, strict=strict, hparams=hparams)


def _plain_load(live: Optimizer) -> bool:
    """Tell whether an optimizer loads as torch's do."""
    return type(live).load_state_dict is Optimizer.load_state_dict


def _other_class(saved: Saved, live: Optimizer, kind: str | None) -> str:
    """Say by what a state dict gives away that another class wrote it; else nothing."""
    state: Mapping[str, Any] = next((each for each in saved.state.values() if each), {})
    if kind is not None and state:
        strange = sorted(set(map(str, state)) - keys_of(kind))
        if strange:
            return f"it keeps {first_few(strange)} for a parameter"
        if not keys_of(kind) & set(state):
            return f"it keeps none of {first_few(sorted(keys_of(kind)))} for a parameter"
    if saved.groups and live.param_groups:
        was, now = set(_options(saved.groups[0])), set(live.defaults)
        strange = sorted(was - set(live.param_groups[0]) - now - _EXTRAS)
        if strange and now - was:
            return f"its groups have {first_few(strange)}, and no {first_few(sorted(now - was))}"
        decoupled = "decoupled_weight_decay"
        found = saved.groups[0].get(decoupled)
        if kind in ("Adam", "AdamW") and found not in (None, live.defaults.get(decoupled)):
            return f"its groups have {decoupled}={found}"
    return ""


_EXTRAS = frozenset(
    {
        *("name", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "swa_lr"),
        *("differentiable", "decoupled_weight_decay"),
    }
)


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in group.items() if key not in _NOT_OPTIONS and key not in _LABELS
    }


def _label(index: int, group: Mapping[str, Any]) -> str:
    name = group.get("name")
    return name if isinstance(name, str) and name else f"group {index}"


def _labels(params: Sequence[Tensor], names: Names | None) -> list[str]:
    return names.flat if names is not None else [f"params[{i}]" for i in range(len(params))]


def _count(sizes: list[int]) -> str:
    plural = "" if len(sizes) == 1 else "s"
    return f"{len(sizes)} group{plural} of {', '.join(map(str, sizes))} parameters"


def _written(value: Any) -> str:
    return repr(plain(value))
