"""What an audit looks at, and the register of its checks.

To add one, write it in the module that it belongs to, a line in docs/reference/inspection.md, and
a set-up in tests/inspection/test_audit.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from ..._errors import first_few
from ..._optimizer_view import OptimizerView, view_of
from ..._parameters import Models, ParameterIndex, ParamInfo, index_models, left_out, names_by_id
from ..._torch_schedulers import Schedulers, list_schedulers
from ..._wrappers import unwrapped
from ..findings import SEVERITIES, Finding, Findings, Severity

_CALLED_AVERAGE = re.compile("EMA|Ema(?![a-z])")  # timm's ModelEmaV3, ema_pytorch's EMA

Find = TypeVar("Find", bound=Callable[..., "Iterator[Found]"])
Optimizers = Optimizer | Iterable[Optimizer]
Found = tuple[Collection[str], Mapping[str, object]]  # what it is about, and words of its message


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

    @cached_property
    def names(self) -> dict[int, set[str]]:
        """The id of each parameter in a model -> its names."""
        found: dict[int, set[str]] = {}
        for name, param in self.named:
            found.setdefault(id(param), set()).add(name)
        return found

    @cached_property
    def left_out(self) -> list[ParamInfo]:
        """The parameters of the models that are in no optimizer; not those of an average."""
        params = [param for view in self.optimizers.values() for param in view.params]
        for _, module in self.modules():
            if isinstance(module, AveragedModel) or _CALLED_AVERAGE.search(type(module).__name__):
                params += module.parameters()
        return left_out(self.indexes, params)

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        for index in self.indexes:
            for each in index.modules:
                yield each.name, each.module

    def driving(self, view: OptimizerView) -> list[Any]:
        """List the schedulers of an optimizer."""
        return [
            each
            for each in self.schedulers
            if unwrapped(getattr(each, "optimizer", None)) is view.optimizer
        ]

    def driven_by(self, scheduler: Any) -> str | None:
        views = self.optimizers.items()
        return next((label for label, view in views if scheduler in self.driving(view)), None)


def groups_where(view: OptimizerView, test: Callable[[Mapping[str, Any]], object]) -> list[str]:
    """Name the groups whose options pass a test."""
    pairs = zip(view.labels, view.options, strict=True)
    return [label for label, options in pairs if test(options)]


def names_where(view: OptimizerView, test: Callable[[Tensor], object]) -> list[str]:
    """Name the parameters that pass a test."""
    return [each.name for each in view.held if isinstance(each.param, Tensor) and test(each.param)]


@dataclass(frozen=True)
class Check:
    code: str
    severity: Severity
    rows: tuple[int, ...]  # of the table of silent failures
    message: str
    remedy: str
    find: Callable[..., Iterator[Found]]
    of_run: bool  # whether it takes the run only, and not one of its optimizers too

    @property
    def order(self) -> tuple[int, tuple[int, ...], str]:
        return SEVERITIES.index(self.severity), self.rows, self.code

    def findings(self, context: AuditContext) -> Iterator[Finding]:
        if self.of_run:
            found = [("", each) for each in self.find(context)]
        else:
            pairs = context.optimizers.items()
            found = [(label, each) for label, view in pairs for each in self.find(context, view)]
        for label, (names, words) in found:
            if names:
                filled = {"label": label, "names": first_few(names), **words}
                message = self.message.format_map(filled)
                yield Finding(self.code, self.severity, tuple(names), message, self.remedy)


CHECKS: dict[str, Check] = {}  # by code


def check(severity: Severity, message: str, remedy: str, rows: str = "") -> Callable[[Find], Find]:
    """Register a generator of what is found in a run, or in one of its optimizers; its name is the code.

    It yields what a finding is about, and the words that fill in its message beside ``{names}``,
    the first of these, and ``{label}``, the optimizer. A finding about nothing is none. `rows` are
    those of the table of silent failures, as in ``"S4 S5"``.
    """

    def register(find: Find) -> Find:
        code = find.__name__.replace("_", "-")
        numbers = tuple(int(row.removeprefix("S")) for row in rows.split())
        of_run = len(signature(find).parameters) == 1
        CHECKS[code] = Check(code, severity, numbers, message, remedy, find, of_run)
        return find

    return register


error, warning, note = (partial(check, severity) for severity in SEVERITIES)


def run_checks(context: AuditContext) -> Findings:
    checks = sorted(CHECKS.values(), key=lambda each: each.order)
    return Findings(tuple(found for each in checks for found in each.findings(context)))


def context_of(
    optimizers: Any, models: Models, schedulers: Schedulers, loss: Any = None
) -> AuditContext:
    one = isinstance(optimizers, (Optimizer, nn.Module)) or not isinstance(optimizers, Iterable)
    outer = {id(unwrapped(each)): each for each in ([optimizers] if one else optimizers)}
    given = list(map(unwrapped, outer.values()))
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
    loss = loss.values() if isinstance(loss, Mapping) else loss  # as detection models return them
    several = isinstance(loss, Iterable) and not isinstance(loss, Tensor)
    losses = list(loss) if several else [] if loss is None else [loss]
    for each in losses:
        if not isinstance(each, Tensor) or each.grad_fn is None:
            said = "one without a graph" if isinstance(each, Tensor) else type(each).__name__
            raise TypeError(f"loss must be a tensor that was computed from parameters, not {said}")
    indexes = index_models(models)
    names = names_by_id(indexes)
    views = [view_of(optimizer, names) for optimizer in outer.values()]
    labels = [f"{view.kind} (optimizer {index})" for index, view in enumerate(views)]
    if len(views) == 1:
        labels = [views[0].kind]
    optimizers = dict(zip(labels, views, strict=True))
    return AuditContext(optimizers, indexes, list_schedulers(schedulers), losses)
