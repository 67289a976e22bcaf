"""Where a schedule will go, without going there."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .._optimizer_view import group_label
from .._tables import Shown, Table
from .._torch_schedulers import Copies, undisturbed
from .._wrappers import unwrapped

_LINES = 21  # so many steps are shown in text, evenly spaced


class LrRow(NamedTuple):
    """The learning rate of a group at one step.

    Parameters
    ----------
    step : int
        0 is now, k is after k calls of ``scheduler.step()``.
    group, lr : int, float
        The index of the group, and its learning rate.

    Examples
    --------
    >>> LrRow(0, 0, 0.1).lr
    0.1
    """

    step: int
    group: int
    lr: float


@dataclass(frozen=True, repr=False)
class LrCurve(Shown):
    """The learning rates to come; see :func:`optimkit.lr_curve`.

    Parameters
    ----------
    scheduler, names : str, tuple of str
        Its class, and the groups.
    rows : tuple of LrRow
        Step by step, group by group.

    Examples
    --------
    >>> curve = LrCurve("StepLR", ("head",), (LrRow(0, 0, 0.1), LrRow(1, 0, 0.05)))
    >>> curve.lrs(0)
    [0.1, 0.05]
    """

    scheduler: str
    names: tuple[str, ...]
    rows: tuple[LrRow, ...]

    def lrs(self, group: int = 0) -> list[float]:
        """Return the learning rates of a group, by its index: one for each step, from now on."""
        return [row.lr for row in self.rows if row.group == group]

    def _blocks(self) -> list[Table]:
        headers = dict(zip(map(str, range(len(self.names))), self.names, strict=True))
        lrs = {key: self.lrs(int(key)) for key in headers}
        last = max(map(len, lrs.values()), default=1) - 1
        lines = min(last, _LINES - 1)
        steps = sorted({round(line * last / (lines or 1)) for line in range(lines + 1)})
        rows = [{"step": step, **{key: lrs[key][step] for key in headers}} for step in steps]
        caption = f"lr by {self.scheduler}, {last} steps"
        return [Table(rows, ("step", *headers), caption, headers)]


def lr_curve(
    scheduler: LRScheduler, steps: int, metrics: float | Sequence[float] | None = None
) -> LrCurve:
    """Return the learning rates that a schedule will set, without stepping it.

    Copies are stepped; the live objects and the random numbers stay as they are, bit for bit.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler
        At any point of its way; it may consist of others.
    steps : int
        How many times to step it.
    metrics : float or sequence of float, optional
        For a scheduler on a plateau: the metric at each step, or one for all.

    Returns
    -------
    LrCurve
        The records are its ``rows``; it prints itself.

    Raises
    ------
    TypeError, ValueError
        If `scheduler` is not one; if a plateau has no `metrics`, or another scheduler has; if
        `steps` is negative, or the schedule ends before.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.ones(1)], lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
    >>> print(lr_curve(scheduler, 2))
    lr by LinearLR, 2 steps
    step  group 0
    ----  -------
       0     0.05
       1    0.075
       2      0.1
    """
    scheduler = unwrapped(scheduler)
    optimizer = unwrapped(getattr(scheduler, "optimizer", None))
    if not hasattr(scheduler, "step") or not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"scheduler must be a learning rate scheduler of torch, not {type(scheduler).__name__}"
        )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be an integer of 0 or more, not {steps!r}")
    kind = type(scheduler).__name__
    given = _arguments(scheduler, kind, steps, metrics)
    with undisturbed():
        copies = Copies()
        stub = copies.stub_of(optimizer)
        stepped = copies.copy_of(scheduler)
        rows = list(_now(0, stub))
        for step, arguments in enumerate(given, 1):
            try:
                stepped.step(*arguments)
            except ValueError as error:
                raise ValueError(
                    f"{kind} ends after {step - 1} more steps, {steps} were asked for: {error}"
                ) from error
            rows += _now(step, stub)
    names = tuple(group_label(*each) for each in enumerate(optimizer.param_groups))
    return LrCurve(kind, names, tuple(rows))


def _arguments(
    scheduler: Any, kind: str, steps: int, metrics: float | Sequence[float] | None
) -> Iterable[tuple[float, ...]]:
    takes = "metrics" in inspect.signature(scheduler.step).parameters
    if takes and metrics is None:
        raise TypeError(f"{kind} steps by a metric: pass metrics=, one for each step, or one")
    if not takes and metrics is not None:
        raise TypeError(f"{kind} takes no metrics: leave metrics= out")
    if metrics is None:
        return [()] * steps
    if isinstance(metrics, (int, float)):
        return [(metrics,)] * steps
    if len(metrics) < steps:
        raise ValueError(f"metrics has {len(metrics)} values, {steps} steps need one each")
    return [(float(metric),) for metric in metrics[:steps]]


def _now(step: int, optimizer: Optimizer) -> Iterator[LrRow]:
    for index, group in enumerate(optimizer.param_groups):
        yield LrRow(step, index, float(group["lr"]))
