"""Optimizers: saved state finds its parameter, saved options find their group."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..._errors import first_few
from ..._torch_optimizers import flat_size, is_state_dict, required_keys, torch_class
from ..._values import as_form_of, copied, tensors_in
from .._classes import class_of, dtype_name, same_class, short
from .._names import Names
from .._reports import LoadRow
from . import flat
from .casting import casts_in
from .fits import Fit, Undo
from .pairing import pair
from .regrouping import compare_options, sources_of
from .saved import LABELS, NOT_OPTIONS, Saved, other_class, read_saved
from .states import Judge


class OptimizerFit:
    """How a saved optimizer and one of today fit."""

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
        alike = not fit.problems
        self.pairs = pair(fit, saved, live.param_groups, names, by_name=by_name, strict=strict)
        sources = sources_of(live.param_groups, saved, self.pairs)
        self.groups = [found[0] if found else None for found in sources]
        if alike:
            self._judge()
            compare_options(fit, live.param_groups, saved, sources, hparams)
        fit.load, fit.keep, fit.wanted = self.load, self.keep, self.wanted

    # What kind, what shape

    def _compare_classes(self) -> None:
        fit, kind = self.fit, type(self.live)
        now = class_of(self.live)
        if self.saved.kind is not None:
            if not same_class(self.saved.kind, now):
                fit.refuse(
                    f"{fit.where} was saved by {short(self.saved.kind)}, today's "
                    f"optimizer is {kind.__name__}. Make the same one: their state means "
                    "different things."
                )
            return
        doubt = other_class(self.saved, self.live, self.kind)
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
        options = list(map(self._options, range(len(self.groups))))
        judge = Judge(self.kind, self.params, self.group_of, options, saved)
        lost: list[LoadRow] = []
        for index, place, state in judge.doubtful(self.pairs):
            label, shape, misfits = self.labels[index], judge.shape(index), []
            if state:
                lacking = [LoadRow(label, key, None, shape) for key in judge.lacking(index, state)]
                misfits = [LoadRow(label, *row) for row in judge.misfits(index, place, state)]
            else:
                lacking = [LoadRow(label, "state", None, None)] if self._lost(index, place) else []
            lost += lacking
            fit.mismatched += misfits
            if lacking or misfits:
                self.skipped.add(index)
            elif state:
                judge.approve(index, state)
        self._note_casts()
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
                f"{fit.where} does not fit {first_few(shown)}. Make the parameters as they "
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

    def _note_casts(self) -> None:
        """Note which state follows its parameter into another dtype."""
        for index, key, was, now in casts_in(self.saved, self.pairs, self.params, self.kind):
            row = LoadRow(self.labels[index], key, dtype_name(was), dtype_name(now))
            if not torch.can_cast(was, now):
                self.fit.mismatched.append(row)
                self.skipped.add(index)
            elif index not in self.skipped:
                self.casts[index, key] = now
                self.fit.cast.append(row)

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

    def wanted(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Give each saved tensor that will be loaded, and the parameter it is laid out as."""
        for index, place in enumerate(self.pairs):
            if place is None or index in self.skipped:
                continue
            param = self.params[index]
            for value in tensors_in(self.saved.state.get(self.saved.ids[place], {})):
                yield value, param if value.shape == param.shape else None

    @torch.inference_mode(False)  # no step can use what is made in it
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
        live.load_state_dict({**copied(self.saved.more), "state": filled, "param_groups": groups})
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
        if self.skipped or None in self.pairs or 0 not in self.pairs:
            return dict(self.live.state[self.params[index]]) or None
        if index or saved is None:
            return None
        state = flat.permuted(saved, [flat_size([param]) for param in self.params], self.pairs)
        state = flat.cast(state, {key: dtype for (_, key), dtype in self.casts.items()})
        return flat.remembered(state, self._options(0)["history_size"])

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
                key: as_form_of(group.get(key), value)
                for key, value in self.saved.groups[at].items()
                if key not in NOT_OPTIONS and not (key in LABELS and key in group)
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
    foreign: bool,
    strict: bool,
    hparams: str,
) -> OptimizerFit | None:
    """Find out whether a saved optimizer fits."""
    if not is_state_dict(state_dict) or not all(
        "params" in group for group in state_dict["param_groups"]
    ):
        fit.refuse(
            f"what {fit.where} has for it is no state dict of an optimizer, but a "
            f"{type(state_dict).__name__} without 'state' and 'param_groups'."
        )
        return None
    saved = read_saved(state_dict, about, foreign=foreign)
    return OptimizerFit(fit, saved, live, names, by_name=by_name, strict=strict, hparams=hparams)


def _plain_load(live: Optimizer) -> bool:
    """Tell whether an optimizer loads as torch's do."""
    return type(live).load_state_dict is Optimizer.load_state_dict


def _labels(params: Sequence[Tensor], names: Names | None) -> list[str]:
    return names.flat if names is not None else [f"params[{i}]" for i in range(len(params))]
