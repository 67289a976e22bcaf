"""What an audit looks at, and the register of its checks.

A check is a generator that is given the whole run, and yields the names and the message of each
finding. Its decorator says the rest, and registers it; to add one, write it in the module that it
belongs to, a line in docs/reference/inspection.md, and a set-up in tests/inspection/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..._optimizer_view import OptimizerView, view_of
from ..._parameters import ParameterIndex
from ..findings import SEVERITIES, Finding, Severity
from ..models import Models, Schedulers, index_models, list_schedulers, names_by_id

Optimizers = Optimizer | Iterable[Optimizer]
Found = tuple[Iterable[str], str]
"""The parameters, groups or modules that a finding is about, and its message."""


@dataclass(frozen=True)
class AuditContext:
    """The optimizers, models and schedulers of a run."""

    views: list[OptimizerView]
    indexes: list[ParameterIndex]
    schedulers: list[Any]

    @cached_property
    def managed(self) -> set[int]:
        """The ``id`` of each parameter that an optimizer has."""
        return {id(param) for view in self.views for param in view.params}

    @cached_property
    def modelled(self) -> set[int]:
        """The ``id`` of each parameter of a model."""
        return {id(param) for _, param in self.named()}

    @cached_property
    def addresses(self) -> set[int | None]:
        """Where the values of the models' parameters are."""
        return {address_of(param) for _, param in self.named()}

    def named(self) -> Iterator[tuple[str, Any]]:
        """Yield every name that a model has for a parameter; a tied one has several."""
        for index in self.indexes:
            for each in index.occurrences:
                yield each.name, each.param

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the modules of the models that hold a parameter, with their names."""
        for index in self.indexes:
            for each in index.modules:
                yield each.name, each.module

    def optimizers(self) -> Iterator[tuple[str, OptimizerView]]:
        """Yield each optimizer with its label."""
        for index, view in enumerate(self.views):
            yield self.label(index), view

    def label(self, index: int) -> str:
        """Name an optimizer by its class, and by its index if there are several."""
        kind = self.views[index].kind
        return kind if len(self.views) == 1 else f"{kind} (optimizer {index})"

    def driven_by(self, scheduler: Any) -> int | None:
        """Return the index of the optimizer that a scheduler drives."""
        driven = getattr(scheduler, "optimizer", None)
        for index, view in enumerate(self.views):
            if view.optimizer is driven:
                return index
        return None


Find = Callable[[AuditContext], Iterator[Found]]


class Check(NamedTuple):
    """A registered check."""

    code: str
    severity: Severity
    rows: tuple[int, ...]  # of the table of silent failures
    remedy: str
    find: Find

    @property
    def order(self) -> tuple[int, tuple[int, ...], str]:
        """Where its findings stand: the worst first, then in the order of the table."""
        return SEVERITIES.index(self.severity), self.rows, self.code


CHECKS: dict[str, Check] = {}
"""The code -> its check."""


def check(code: str, severity: Severity, rows: str, remedy: str) -> Callable[[Find], Find]:
    """Register a check; `rows` are those of the table of silent failures, as in ``"S4 S5"``."""

    def register(find: Find) -> Find:
        numbers = tuple(int(row.removeprefix("S")) for row in rows.split())
        CHECKS[code] = Check(code, severity, numbers, remedy, find)
        return find

    return register


def run_checks(context: AuditContext) -> tuple[Finding, ...]:
    """Run every check, and return the findings in their order."""
    return tuple(
        Finding(each.code, each.severity, tuple(names), message, each.remedy)
        for each in sorted(CHECKS.values(), key=lambda each: each.order)
        for names, message in each.find(context)
    )


def context_of(optimizers: Optimizers, models: Models, schedulers: Schedulers) -> AuditContext:
    """Check what was passed, and look at it once."""
    given = _optimizers(optimizers)
    if isinstance(models, Optimizer):
        raise TypeError("audit takes several optimizers as a list: audit([one, other], models)")
    indexes = index_models(models)
    names = names_by_id(indexes)
    views = [view_of(optimizer, names) for optimizer in given]
    return AuditContext(views, indexes, list_schedulers(schedulers))


def _optimizers(optimizers: Any) -> list[Optimizer]:
    """List one optimizer or several."""
    one = isinstance(optimizers, (Optimizer, nn.Module)) or not isinstance(optimizers, Iterable)
    given = [optimizers] if one else list(optimizers)
    if not given:
        raise TypeError("audit needs at least one optimizer: audit(optimizer, model)")
    for each in given:
        if isinstance(each, nn.Module):
            raise TypeError(
                f"audit takes optimizers first, not {type(each).__name__}: audit(optimizer, model)"
            )
        if not isinstance(each, Optimizer):
            raise TypeError(f"audit takes torch.optim.Optimizer objects, not {type(each).__name__}")
    return given


def address_of(tensor: Tensor) -> int | None:
    """Return where the values of a tensor are; None for one that is no ordinary tensor."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided:
        return None
    return tensor.data_ptr() or None
