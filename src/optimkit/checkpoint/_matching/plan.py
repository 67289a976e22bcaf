"""Saved state against live objects: everything is validated, then everything is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..._errors import CheckpointError, MismatchError, first_few
from .._header import kind_of, models_in
from .._names import names_of
from .._reports import LoadReport
from .fits import Fit, Undo
from .modules import fit_module
from .optimizers import OptimizerFit, fit_optimizer
from .others import fit_foreign, fit_scaler
from .schedulers import agree, fit_scheduler

HParams = Literal["saved", "current"]


@dataclass(frozen=True)
class Plan:
    """What a load will do; nothing has been touched so far."""

    fits: tuple[Fit, ...]
    live: Mapping[str, object]

    @property
    def reports(self) -> dict[str, LoadReport]:
        """What there is to say of each object."""
        found = {fit.name: fit.report for fit in self.fits}
        return {name: found[name] for name in self.live}

    def wanted(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Give each saved tensor that will be loaded, and the one of today it is laid out as."""
        for fit in self.fits:
            yield from fit.wanted()

    def apply(self, do: Callable[[Callable[[], None]], None] = lambda work: work()) -> None:
        """Load all objects, or none: if one raises, all get their former state back."""
        undos: list[tuple[Fit, Undo]] = []
        try:
            do(lambda: self._load((fit for fit in self.fits if fit.keep), undos))
            self._load((fit for fit in self.fits if fit.keep is None), undos)
            self._agree()
        except BaseException as error:
            lost = [problem for fit, undo in reversed(undos) for problem in _taken_back(fit, undo)]
            if lost and isinstance(error, CheckpointError):
                raise MismatchError(*error.problems, *lost, reports=self.reports) from error
            raise

    def _load(self, fits: Iterable[Fit], undos: list[tuple[Fit, Undo]]) -> None:
        """Load objects; note before how each is taken back."""
        for fit in fits:
            try:
                if fit.keep is not None:
                    undos.append((fit, fit.keep()))
                fit.load()
            except Exception as error:
                fit.refuse(f"loading it raised {type(error).__name__}: {error}")
                raise MismatchError(*fit.problems, reports=self.reports) from error

    def _agree(self) -> None:
        """Let each scheduler report the lr that its optimizer has now."""
        schedulers = [each for each in self.live.values() if isinstance(each, LRScheduler)]
        driven = [id(each.optimizer) for each in schedulers]
        optimizers = {id(each) for each in self.live.values() if isinstance(each, Optimizer)}
        for scheduler in schedulers:
            if driven.count(id(scheduler.optimizer)) == 1 and id(scheduler.optimizer) in optimizers:
                agree(scheduler, scheduler.optimizer)


def _taken_back(fit: Fit, undo: Undo) -> list[str]:
    """Give an object its former state; say so if it does not take it."""
    try:
        undo()
    except Exception as error:
        fit.refuse(f"it did not take its former state back: {error!r}. Make it anew.")
        return fit.problems[-1:]
    return []


def plan(
    saved: Mapping[str, Any],
    header: Mapping[str, Any] | None,
    live: Mapping[str, object],
    *,
    strict: bool = True,
    hparams: HParams = "saved",
    match: Literal["name", "position"] = "name",
    where: str = "the checkpoint",
) -> Plan:
    """Find out whether what was saved fits the objects of today; nothing is touched."""
    _check_choices(hparams, match)
    objects: Mapping[str, Any] = (header or {}).get("objects", {})
    fits: dict[str, Fit] = {}
    optimizers: dict[int, OptimizerFit] = {}
    twins: dict[int, Any] = {}
    models = models_in(live)

    def compare(fit: Fit, about: Any, value: Any) -> None:
        name, kind = fit.name, kind_of(value)
        if name not in saved:
            fit.refuse(f"{where} has nothing under this name; it has {_names(saved)}.")
        elif about and _other_kind(about["kind"], kind):
            fit.refuse(f"{where} has {_a(about['kind'])} under this name, not {_a(kind)}.")
        elif kind in ("module", "average"):
            fit_module(fit, saved[name], value, strict=strict)
        elif kind == "optimizer":
            found = fit_optimizer(
                *(fit, saved[name], about, value, names_of(value, models)),
                by_name=match == "name",
                foreign=header is None,
                strict=strict,
                hparams=hparams,
            )
            if found is not None:
                optimizers[id(value)] = found
        elif kind == "scheduler":
            beside = optimizers.get(id(value.optimizer))
            fit_scheduler(
                *(fit, saved[name], about, value),
                groups=None if beside is None else beside.groups,
                options=() if beside is None else beside.fit.options_changed,
                hparams=hparams,
                twins=twins,
            )
        elif kind == "scaler":
            fit_scaler(fit, saved[name], about, value, hparams=hparams)
        else:
            fit_foreign(fit, saved[name], value)

    for name in sorted(live, key=lambda name: kind_of(live[name]) == "scheduler"):
        fit = fits[name] = Fit(name, where)
        try:
            compare(fit, objects.get(name), live[name])
        except Exception as error:  # a file may hold anything, in any form
            told = f"{type(error).__name__}: {error}"
            fit.refuse(f"it can't be compared with what {where} has under this name ({told}).")
    problems = [problem for name in live for problem in fits[name].problems]
    if problems:
        raise MismatchError(*problems, reports={name: fits[name].report for name in live})
    order = sorted(fits, key=lambda name: _turn(fits[name], live[name]))
    return Plan(tuple(fits[name] for name in order), dict(live))


def _check_choices(hparams: str, match: str) -> None:
    if hparams not in ("saved", "current"):
        raise ValueError(f'hparams must be "saved" or "current", not {hparams!r}')
    if match not in ("name", "position"):
        raise ValueError(f'match must be "name" or "position", not {match!r}')


def _turn(fit: Fit, value: object) -> int:
    """Foreign code first, as it may raise; schedulers set the lr, and optimizers set it right."""
    turns = {"scheduler": 1, "optimizer": 2, "scaler": 3}
    return 0 if fit.foreign else turns.get(kind_of(value), 4)


def _other_kind(one: str, other: str) -> bool:
    """Tell whether two kinds are two; whether a model is averaged, its state dict tells."""
    alike = {"average": "module"}
    return alike.get(one, one) != alike.get(other, other)


def _a(kind: str) -> str:
    words = {
        "average": "a model",
        "module": "a model",
        "optimizer": "an optimizer",
        "scheduler": "a scheduler",
        "scaler": "a gradient scaler",
        "stateful": "an object with a state dict of its own",
    }
    return words.get(kind, "a plain value")


def _names(saved: Mapping[str, Any]) -> str:
    return first_few(repr(name) for name in saved if name != "__optimkit__") or "nothing"
