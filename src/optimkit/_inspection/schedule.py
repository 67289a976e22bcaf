"""Where a schedule will go, without going there."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import SWALR

from .._errors import first_few
from .._optimizer_view import group_label
from .._tables import Shown, Table
from .._torch_optimizers import NOT_OPTIONS
from .._torch_schedulers import Copies, UnforeseenError, children_of, members_of, undisturbed
from .._values import plain, same
from .._wrappers import readable, unwrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    notes : tuple of str, optional
        What of the schedule is hardly meant: that it is over before, for example.

    Examples
    --------
    >>> curve = LrCurve("StepLR", ("head",), (LrRow(0, 0, 0.1), LrRow(1, 0, 0.05)))
    >>> curve.lrs(0)
    [0.1, 0.05]
    """

    scheduler: str
    names: tuple[str, ...]
    rows: tuple[LrRow, ...]
    notes: tuple[str, ...] = ()

    def lrs(self, group: int = 0) -> list[float]:
        """Return the learning rates of a group, by its index: one for each step, from now on."""
        return [row.lr for row in self.rows if row.group == group]

    def _blocks(self) -> list[Table | str]:
        headers = dict(zip(map(str, range(len(self.names))), self.names, strict=True))
        lrs = {key: self.lrs(int(key)) for key in headers}
        last = max(map(len, lrs.values()), default=1) - 1
        lines = min(last, _LINES - 1)
        steps = sorted({round(line * last / (lines or 1)) for line in range(lines + 1)})
        rows = [{"step": step, **{key: lrs[key][step] for key in headers}} for step in steps]
        caption = f"lr by {self.scheduler}, {last} steps"
        return [Table(rows, ("step", *headers), caption, headers), *self.notes]


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
        `steps` is negative, or the schedule ends or fails before, or draws from a generator.

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
    if isinstance(steps, bool) or not isinstance(steps, int):
        raise TypeError(f"steps must be an integer, not {steps!r}")
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, not {steps!r}")
    kind = type(scheduler).__name__
    given = _arguments(scheduler, kind, steps, metrics)
    if any(group.get("lr") is None for group in readable(optimizer).param_groups):
        raise ValueError(
            f"{type(optimizer).__name__} has lr=None, and finds its own: no schedule can set it"
        )
    with undisturbed():
        copies = Copies()
        stub = copies.stub_of(optimizer)
        stepped = copies.copy_of(scheduler)
        rows = list(_now(0, stub))
        for step, arguments in enumerate(given, 1):
            try:
                stepped.step(*arguments)
            except UnforeseenError as error:
                raise ValueError(f"{kind} can't be foreseen: {error}") from error
            except Exception as error:
                reason = str(error).partition("\n")[0][:100] or type(error).__name__
                ends = isinstance(error, ValueError)
                how = f"ends after {step - 1} more steps" if ends else f"fails at step {step}"
                raise ValueError(f"{kind} {how}, {steps} were asked for: {reason}") from error
            rows += _now(step, stub)
        notes = tuple(oddities(stepped))
    names = tuple(group_label(*each) for each in enumerate(optimizer.param_groups))
    curve = LrCurve(kind, names, tuple(rows), notes)
    return replace(curve, notes=(*notes, *_standing_still(curve, optimizer)))


def _standing_still(curve: LrCurve, optimizer: Optimizer) -> Iterator[str]:
    """Yield from where on the lr is 0, in two steps or more, of groups that began with another."""
    since: dict[int, list[str]] = {}
    for index, name in enumerate(curve.names):
        lrs = curve.lrs(index)
        start = max((step for step, lr in enumerate(lrs, 1) if lr), default=0)
        if start < len(lrs) - 1 and plain(optimizer.param_groups[index].get("initial_lr")):
            since.setdefault(start, []).append(name)
    for start, names in since.items():
        when = f"from step {start} on" if start else "in all these steps"
        yield f"{curve.scheduler} leaves the lr of {first_few(names)} at 0 {when}."


def plot_lr(curve: LrCurve, ax: Axes | None = None) -> Axes:
    """Draw the learning rate of each group over the steps to come.

    Parameters
    ----------
    curve : LrCurve
        What :func:`optimkit.lr_curve` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        With a line for each group, in matplotlib's own colours: a dark style works.

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import matplotlib, optimkit
    >>> matplotlib.use("agg")
    >>> rows = (optimkit.LrRow(0, 0, 0.1), optimkit.LrRow(1, 0, 0.05))
    >>> plot_lr(optimkit.LrCurve("StepLR", ("head",), rows)).get_title()
    'lr by StepLR'
    """
    axes: Axes = _new_axes() if ax is None else ax
    groups = range(len(curve.names))
    lines = [axes.plot(curve.lrs(group), label=curve.names[group])[0] for group in groups]
    ends = sorted(row.lr for row in curve.rows[-len(lines) :])
    room = 0.045 * max(row.lr for row in curve.rows)
    if len(lines) > 6 or any(high - low < room for low, high in pairwise(ends)):
        axes.legend(fontsize="small", frameon=False)
    elif len(lines) > 1:  # a label at the end of its line is found sooner than in a legend
        for index, line in enumerate(lines):
            end = (len(curve.rows) // len(lines) - 1, curve.rows[index - len(lines)].lr)
            style: Any = {"color": line.get_color(), "va": "center", "fontsize": "small"}
            name = curve.names[index]
            axes.annotate(name, end, (4, 0), textcoords="offset points", **style)
    axes.set(title=f"lr by {curve.scheduler}", xlabel="scheduler.step()", ylabel="lr")
    axes.set_ylim(bottom=0 if all(row.lr >= 0 for row in curve.rows) else None)
    return axes


def _new_axes() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'optimkit[plots]'") from error
    return pyplot.subplots(layout="constrained")[1]


def oddities(scheduler: Any) -> Iterator[str]:
    """Yield what of a schedule, as far as it has come, is hardly meant."""
    known: list[Any] = [each for each in members_of(scheduler) if isinstance(each, LRScheduler)]
    for each in known:
        kind, groups = type(each).__name__, unwrapped(each.optimizer).param_groups
        if _is_cosine(each) and each.last_epoch > each.T_max:
            how = "is rising" if each.last_epoch // each.T_max % 2 else "has risen"
            yield (
                f"{kind} is over after {each.T_max} steps: at step {each.last_epoch} of the schedule, "
                f"the lr {how} again."
            )
        if ended(each):
            yield f"{kind} is over after {each.total_steps} steps: its next step raises."
        if isinstance(each, (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)) and (
            alike := _alike(groups)
        ):
            which = "all groups" if len(alike) == len(groups) else first_few(alike)
            yield f"{kind} has given one lr to {which}, which differ in nothing now. Give it a list."
        if isinstance(each, SWALR) and _leads_to_one(groups):
            yield f"{kind} leads all groups to one lr; they began with several. Give it a list."
        if names := _below_floor(each, groups):
            yield f"{kind} has a floor above the lr that {first_few(names)} started with."
        if isinstance(each, lr_scheduler.SequentialLR) and any(
            isinstance(inner, lr_scheduler.MultiplicativeLR) for inner in children_of(each)[1:]
        ):
            yield "MultiplicativeLR goes on from the last lr before it, not from the groups' own."


def ended(scheduler: Any) -> bool:
    """Return whether a OneCycleLR has come to its end, where the lr may be below 0."""
    return (
        isinstance(scheduler, lr_scheduler.OneCycleLR)
        and scheduler.last_epoch >= scheduler.total_steps
    )


def _is_cosine(scheduler: Any) -> bool:
    """Return whether it is torch's, and not a class with a curve of its own behind T_max."""
    cosine = lr_scheduler.CosineAnnealingLR
    return isinstance(scheduler, cosine) and type(scheduler).get_lr is cosine.get_lr


def _alike(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the groups that differ from another one in nothing."""
    own = {*NOT_OPTIONS, "name"}
    options = [{key: group[key] for key in group if key not in own} for group in groups]
    return [
        group_label(index, group)
        for index, group in enumerate(groups)
        if sum(same(options[index], each) for each in options) > 1
    ]


def _leads_to_one(groups: Sequence[Mapping[str, Any]]) -> bool:
    ends, starts = ([group.get(key) for group in groups] for key in ("swa_lr", "initial_lr"))
    return same(ends, ends[:1] * len(ends)) and not same(starts, starts[:1] * len(starts))


def _below_floor(scheduler: Any, groups: Sequence[Mapping[str, Any]]) -> list[str]:
    floor = getattr(scheduler, "eta_min", 0)
    floors = getattr(scheduler, "min_lrs", [floor] * len(groups))
    return [
        group_label(index, group)
        for index, (group, floor) in enumerate(zip(groups, floors, strict=False))
        if isinstance(floor, (int, float))
        and isinstance(lr := plain(group.get("initial_lr", group["lr"])), (int, float))
        and 0 < lr < floor
    ]


def _arguments(
    scheduler: Any, kind: str, steps: int, metrics: float | Sequence[float] | None
) -> Iterable[tuple[float, ...]]:
    needed = [
        name
        for name, each in inspect.signature(scheduler.step).parameters.items()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    takes = "metrics" in needed
    if unknown := first_few(name for name in needed if name != "metrics"):
        raise TypeError(f"{kind} is told its {unknown} at each step: only the loop knows which")
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
