"""Whether the schedulers and the groups agree."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from torch.optim import lr_scheduler

from ..._errors import first_few
from ..._optimizer_view import OptimizerView
from ..._tables import counted
from ..._torch_schedulers import (
    Copies,
    kept_by,
    last_lrs,
    list_names,
    lrs_agree,
    members_of,
    outpaces,
    steps_made,
    undisturbed,
)
from ..._values import plain
from ..schedule import oddities
from . import AuditContext, Found, error, note, warning
from .options import zero_groups


@error(
    "{text}",
    "Make the scheduler from the optimizer that trains, once it has all its groups; add later ones "
    "by optimkit.add_param_group(..., schedulers=...).",
    rows="S13",
)
def scheduler_groups(context: AuditContext) -> Iterator[Found]:
    for scheduler in context.schedulers:
        kind, label = type(scheduler).__name__, context.driven_by(scheduler)
        if label is not None:
            yield from _made_for_others(label, context.optimizers[label].labels, scheduler)
        elif getattr(scheduler, "optimizer", None) is not None:
            text = "drives an optimizer that was not passed: those that were do not follow it."
            yield [kind], {"text": f"{kind} {text}"}


@error(
    "{kind} is at an lr of {texts}: they were loaded apart, the scheduler was made after the "
    "optimizer was loaded, or the lr was set by hand.",
    "Make both, then load the scheduler, then the optimizer: its lr is then the saved one.",
    rows="S14 S15",
)
def lr_mismatch(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    driving = context.driving(view)
    actual = [plain(group.get("lr")) for group in view.options]
    known = [last_lrs(vars(each)) for each in driving]
    if _set_between(context, view):
        return
    if driving and all(lrs is not None and not lrs_agree(lrs, actual) for lrs in known):
        yield _mismatch(view.labels, driving[-1], known[-1] or (), actual)
    elif len(driving) == 1:
        planned = _planned(driving[0])
        if planned is not None and not lrs_agree(planned, actual, 1e-3):
            yield _mismatch(view.labels, driving[0], planned, actual)


@note(
    "{kinds} drive {label}: each goes on from the lr that the other left, and making the second has "
    "already changed it.",
    "Step them in turn, or chain them by SequentialLR.",
    rows="S18",
)
def several_schedulers(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    kinds = _kinds(context, view)
    yield kinds if len(kinds) > 1 else [], {"kinds": " and ".join(kinds)}


@warning(
    "{names} has made {made:g} steps, and {label} {taken:g}.",
    "Call scheduler.step() once for each optimizer.step(), or once an epoch; resume both, or neither.",
)
def schedule_pace(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    for scheduler in context.driving(view):
        state, taken = vars(scheduler), view.steps_taken
        if outpaces(state, taken):
            yield [type(scheduler).__name__], {"made": steps_made(state), "taken": taken}


@error(
    "SequentialLR can't step to {names} at its milestone {milestone}.",
    "Behind a milestone, give SequentialLR schedulers that consist of no others.",
)
def schedule_fails(context: AuditContext) -> Iterator[Found]:
    for scheduler in [each for root in context.schedulers for each in members_of(root)]:
        if isinstance(scheduler, lr_scheduler.SequentialLR):
            ahead = zip(scheduler._milestones, scheduler._schedulers[1:], strict=False)
            for milestone, inner in ahead:
                # torch/optim/lr_scheduler.py, 2.15: it calls step(0) there, which these refuse.
                if kept_by(inner).nests and scheduler.last_epoch < milestone:
                    yield [type(inner).__name__], {"milestone": milestone}


@note(
    "{text}",
    "Look where it leads by optimkit.lr_curve, and give the schedule other arguments if that is "
    "not meant.",
)
def schedule(context: AuditContext) -> Iterator[Found]:
    for scheduler in context.schedulers:
        if context.driven_by(scheduler) is not None:
            for text in oddities(scheduler):
                yield [type(scheduler).__name__], {"text": text}
    for label, view in context.optimizers.items():
        below = _set_between(context, view)
        text = (
            f"The lr is below that of {' and '.join(_kinds(context, view))} "
            f"({first_few(below.values(), 3)}): something else sets it between the steps of the "
            "schedule, as a warm-up written by hand does."
        )
        yield list(below), {"text": text}
        names = zero_groups(view) if context.driving(view) and not below else []
        yield names, {"text": f"The schedule of {label} is at an lr of 0 in {first_few(names)}."}


def _kinds(context: AuditContext, view: OptimizerView) -> list[str]:
    return [type(each).__name__ for each in context.driving(view)]


def _set_between(context: AuditContext, view: OptimizerView) -> dict[str, str]:
    """Find groups whose lr a warm-up sets by hand, below a schedule that steps by the epoch: how far.

    It does no harm before the first step, nor to a schedule that never looks at the lr before.
    """
    driving = context.driving(view)
    if len(driving) != 1:
        return {}
    [scheduler] = driving
    made, planned = steps_made(vars(scheduler)), last_lrs(vars(scheduler))
    later = type(scheduler) is lr_scheduler.LambdaLR and scheduler._step_count > 1
    by_hand = made < view.steps_taken if later else made == 0 and _trains_unloaded(view, scheduler)
    if not by_hand or planned is None:
        return {}
    actual = [plain(group.get("lr")) for group in view.options]
    return {
        label: f"{now:g} against {lr:g} in {label}"
        for label, lr, now in zip(view.labels, planned, actual, strict=False)
        if isinstance(now, float) and now < lr and not lrs_agree([lr], [now])
    }


def _trains_unloaded(view: OptimizerView, scheduler: Any) -> bool:
    """Return whether an optimizer has stepped since its scheduler was made, and was not loaded."""
    # torch/optim/lr_scheduler.py, 2.15: schedulers have the step of their optimizer leave this, but
    # for ReduceLROnPlateau.
    steps = getattr(view.optimizer, "_opt_called", False) or kept_by(scheduler).by_metric
    # torch/optim/optimizer.py, 2.15: load_state_dict makes groups in which params come last.
    return steps and all(next(iter(group), None) == "params" for group in view.groups)


def _made_for_others(label: str, groups: list[str], scheduler: Any) -> Iterator[Found]:
    """Find that a scheduler, or one nested in it, was made for another number of groups."""
    for each in members_of(scheduler):
        made_for = _made_for(each, len(groups))
        if made_for is not None:
            text = (
                f"{type(each).__name__} was made for {counted(made_for, 'group')}, {label} has "
                f"{len(groups)}: the others start in the middle of its schedule, or its next step "
                "fails."
            )
            yield groups[made_for:] or groups, {"text": text}
            return


def _made_for(scheduler: Any, groups: int) -> int | None:
    """Return for how many groups a scheduler was made, if it does not fit."""
    for name in list_names():
        values = getattr(scheduler, name, None)
        if not isinstance(values, (list, tuple)) or len(values) == groups:
            continue
        # torch/optim/lr_scheduler.py, 2.15: ReduceLROnPlateau stretches one minimum over new
        # groups, but not a list of them; and each step writes the whole of _last_lr.
        stretched = name == "min_lrs" and getattr(scheduler, "default_min_lr", 0) is not None
        if name != "_last_lr" and not stretched:
            return len(values)
    return None


def _planned(scheduler: Any) -> Sequence[Any] | None:
    """Return where a schedule should be now, for one that never recovers from a wrong lr."""
    within = False
    if any(kept_by(each).sets_lr for each in members_of(scheduler)):
        return None  # OneCycleLR has overwritten what the others start from
    while isinstance(scheduler, lr_scheduler.SequentialLR):
        within = True
        # torch/optim/lr_scheduler.py, 2.15: SequentialLR.step chooses so.
        scheduler = scheduler._schedulers[bisect_right(scheduler._milestones, scheduler.last_epoch)]
    kinds = (lr_scheduler.LinearLR, lr_scheduler.ConstantLR)
    more = (lr_scheduler.CosineAnnealingLR, lr_scheduler.StepLR, lr_scheduler.ExponentialLR)
    # A function of the user's is called only where it seems that nobody has: last_epoch set by hand.
    late = type(scheduler) is lr_scheduler.LambdaLR and scheduler._step_count == 1
    late = late and scheduler.last_epoch > 0
    if not late and type(scheduler) not in (kinds + more if within else kinds):
        return None
    if _made_for(scheduler, len(scheduler.optimizer.param_groups)) is not None:
        return None
    if late:
        with undisturbed():
            copy = Copies().copy_of(scheduler)
            pairs = zip(copy.base_lrs, copy.lr_lambdas, strict=True)
            return [plain(base * function(copy.last_epoch)) for base, function in pairs]
    # torch/optim/lr_scheduler.py, 2.15: these have it; it computes from base_lrs and last_epoch.
    closed_form = getattr(scheduler, "_get_closed_form_lr", None)
    return None if closed_form is None else list(map(plain, closed_form()))


def _mismatch(
    labels: Sequence[str], scheduler: Any, expected: Sequence[Any], actual: Sequence[Any]
) -> Found:
    wrong = [
        (label, one, other)
        for label, one, other in zip(labels, expected, actual, strict=False)
        if not lrs_agree([one], [other])
    ]
    texts = first_few((f"{one:g} against {other:g} in {label}" for label, one, other in wrong), 3)
    names = [label for label, *_ in wrong]
    return names, {"kind": type(scheduler).__name__, "texts": texts}
