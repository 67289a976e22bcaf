"""What an audit looks at, and the register of its checks.

To add one, write it in the module that it belongs to, a line in docs/reference/inspection.md, and
a set-up in tests/inspection/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from ..._optimizer_view import OptimizerView, view_of
from ..._parameters import ParameterIndex
from ..._wrappers import unwrapped
from ..findings import SEVERITIES, Finding, Severity
from ..models import Models, Schedulers, index_models, list_schedulers, names_by_id

Optimizers = Optimizer | Iterable[Optimizer]
Found = tuple[Collection[str], str]  # what a finding is about, and its message


@dataclass(frozen=True)
class AuditContext:
    optimizers: dict[str, OptimizerView]  # by class, and by index if there are several
    indexes: list[ParameterIndex]
    schedulers: list[Any]
    losses: list[Tensor]

    @cached_property
    def named(self) -> list[tuple[str, Any]]:
        """Every name that a model has for a parameter; a tied one has several."""
        return [(each.name, each.param) for index in self.indexes for each in index.occurrences]

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        for index in self.indexes:
            for each in index.modules:
                yield each.name, each.module

    def driven_by(self, scheduler: Any) -> str | None:
        driven = unwrapped(getattr(scheduler, "optimizer", None))
        labels = (label for label, view in self.optimizers.items() if view.optimizer is driven)
        return next(labels, None)

    def driving(self, label: str) -> list[Any]:
        return [each for each in self.schedulers if self.driven_by(each) == label]


def groups_where(view: OptimizerView, test: Callable[[Mapping[str, Any]], object]) -> list[str]:
    """Name the groups whose options pass a test."""
    pairs = zip(view.labels, view.options, strict=True)
    return [label for label, options in pairs if test(options)]


def names_where(view: OptimizerView, test: Callable[[Tensor], object]) -> list[str]:
    """Name the parameters that pass a test."""
    pairs = zip(view.names, view.params, strict=True)
    return [name for name, param in pairs if isinstance(param, Tensor) and test(param)]


Find = Callable[[AuditContext], Iterator[Found]]


class Check(NamedTuple):
    code: str
    severity: Severity
    rows: tuple[int, ...]  # of the table of silent failures
    remedy: str
    find: Find

    @property
    def order(self) -> tuple[int, tuple[int, ...], str]:
        return SEVERITIES.index(self.severity), self.rows, self.code


CHECKS: dict[str, Check] = {}  # by code


def check(code: str, severity: Severity, rows: str, remedy: str) -> Callable[[Find], Find]:
    """Register a generator of what is found in a run: of findings with names, others are none.

    `rows` are those of the table of silent failures, as in ``"S4 S5"``.
    """

    def register(find: Find) -> Find:
        numbers = tuple(int(row.removeprefix("S")) for row in rows.split())
        CHECKS[code] = Check(code, severity, numbers, remedy, find)
        return find

    return register


def run_checks(context: AuditContext) -> tuple[Finding, ...]:
    return tuple(
        Finding(each.code, each.severity, tuple(names), message, each.remedy)
        for each in sorted(CHECKS.values(), key=lambda each: each.order)
        for names, message in each.find(context)
        if names
    )


def context_of(
    optimizers: Any, models: Models, schedulers: Schedulers, loss: Any = None
) -> AuditContext:
    one = isinstance(optimizers, (Optimizer, nn.Module)) or not isinstance(optimizers, Iterable)
    given = list(map(unwrapped, [optimizers] if one else optimizers))
    given = [each for index, each in enumerate(given) if each not in given[:index]]
    if not given:
        raise TypeError("audit needs at least one optimizer: audit(optimizer, model)")
    for each in given:
        kind = type(each).__name__
        if isinstance(each, nn.Module):
            raise TypeError(f"audit takes optimizers first, not {kind}: audit(optimizer, model)")
        if not isinstance(each, Optimizer):
            raise TypeError(f"audit takes torch.optim.Optimizer objects, not {kind}")
    if isinstance(models, Optimizer):
        raise TypeError("audit takes several optimizers as a list: audit([one, other], models)")
    several = isinstance(loss, Iterable) and not isinstance(loss, Tensor)
    losses = list(loss) if several else [] if loss is None else [loss]
    for each in losses:
        if not isinstance(each, Tensor) or each.grad_fn is None:
            said = "one without a graph" if isinstance(each, Tensor) else type(each).__name__
            raise TypeError(f"loss must be a tensor that was computed from parameters, not {said}")
    indexes = index_models(models)
    names = names_by_id(indexes)
    views = [view_of(optimizer, names) for optimizer in given]
    labels = [f"{view.kind} (optimizer {index})" for index, view in enumerate(views)]
    if len(views) == 1:
        labels = [views[0].kind]
    optimizers = dict(zip(labels, views, strict=True))
    return AuditContext(optimizers, indexes, list_schedulers(schedulers), losses)
