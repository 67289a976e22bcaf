"""Whether the schedulers and the groups agree."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from torch.optim import lr_scheduler

from ..._errors import first_few
from ..._optimizer_view import OptimizerView
from ..._torch_schedulers import list_names, members_of
from ..._values import plain
from ..findings import Finding, finding
from ..scene import Scene


def scheduler_groups(scene: Scene) -> Iterator[Finding]:
    """Find schedulers made for other groups than there are (S13), or for another optimizer."""
    for scheduler in scene.schedulers:
        index = scene.driven_by(scheduler)
        kind = type(scheduler).__name__
        if index is None:
            if getattr(scheduler, "optimizer", None) is not None:
                yield finding(
                    "scheduler-groups",
                    [kind],
                    f"{kind} drives an optimizer that is not among these: the lr of these does "
                    "not follow it.",
                    "Make the scheduler from the optimizer that trains, and give both.",
                )
            continue
        held = scene.holdings[index]
        for each in members_of(scheduler):
            made_for = _made_for(each, len(held.options))
            if made_for is not None:
                yield finding(
                    "scheduler-groups",
                    held.labels[made_for:] or held.labels,
                    f"{type(each).__name__} was made for {made_for} group"
                    f"{'' if made_for == 1 else 's'}, {scene.called(index)} has "
                    f"{len(held.options)}: the others start in the middle of its schedule, or its "
                    "next step fails.",
                    "Add all groups before making the scheduler, or add them with "
                    "optimkit.add_param_group(..., schedulers=...).",
                )
                break


def lr_mismatch(scene: Scene) -> Iterator[Finding]:
    """Find groups whose lr is not the one that the scheduler believes (S14, S15)."""
    for index, held in enumerate(scene.holdings):
        driving = [each for each in scene.schedulers if scene.driven_by(each) == index]
        if not driving:
            continue
        actual = [plain(group.get("lr")) for group in held.options]
        believed = [_believed(each) for each in driving]
        if all(lrs is not None and not _agree(lrs, actual) for lrs in believed):
            yield _mismatch(scene, index, driving[-1], believed[-1] or (), actual)
        elif len(driving) == 1:
            planned = _planned(driving[0])
            if planned is not None and not _agree(planned, actual, 1e-3):
                yield _mismatch(scene, index, driving[0], planned, actual)


def several_schedulers(scene: Scene) -> Iterator[Finding]:
    """Find optimizers that several schedulers drive (S18)."""
    for index, _ in enumerate(scene.holdings):
        kinds = [type(each).__name__ for each in scene.schedulers if scene.driven_by(each) == index]
        if len(kinds) > 1:
            yield finding(
                "several-schedulers",
                kinds,
                f"{' and '.join(kinds)} drive {scene.called(index)}: each goes on from the lr that "
                "the other left, and making the second has already changed it.",
                "This is right if you step them in turn; else chain them by SequentialLR.",
            )


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


def _believed(scheduler: Any) -> Sequence[Any] | None:
    """Return the lr that a scheduler says it has set."""
    lrs = getattr(scheduler, "_last_lr", None)
    return list(map(plain, lrs)) if isinstance(lrs, (list, tuple)) else None


def _agree(expected: Sequence[Any], actual: Sequence[Any], tolerance: float = 1e-6) -> bool:
    """Return whether two lists of lr are equal, but for rounding; extra groups are not judged."""
    scale = max((abs(lr) for lr in expected if isinstance(lr, (int, float))), default=0.0)
    return all(
        not (isinstance(one, (int, float)) and isinstance(other, (int, float)))
        or math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * scale)
        for one, other in zip(expected, actual, strict=False)
    )


def _planned(scheduler: Any) -> Sequence[Any] | None:
    """Return where a schedule should be now, for one that goes on from a wrong lr for ever."""
    within = False
    while isinstance(scheduler, lr_scheduler.SequentialLR):
        within = True
        scheduler = scheduler._schedulers[bisect_right(scheduler._milestones, scheduler.last_epoch)]
    kinds = (lr_scheduler.LinearLR, lr_scheduler.ConstantLR)
    more = (lr_scheduler.CosineAnnealingLR, lr_scheduler.StepLR, lr_scheduler.ExponentialLR)
    if type(scheduler) not in (kinds + more if within else kinds):
        return None
    if _made_for(scheduler, len(scheduler.optimizer.param_groups)) is not None:
        return None
    closed_form = getattr(scheduler, "_get_closed_form_lr", None)
    return None if closed_form is None else list(map(plain, closed_form()))


def _mismatch(
    scene: Scene, index: int, scheduler: Any, expected: Sequence[Any], actual: Sequence[Any]
) -> Finding:
    held: OptimizerView = scene.holdings[index]
    wrong = [
        (label, one, other)
        for label, one, other in zip(held.labels, expected, actual, strict=False)
        if not _agree([one], [other])
    ]
    texts = (f"{one:g} against {other:g} in {label}" for label, one, other in wrong)
    return finding(
        "lr-mismatch",
        [label for label, *_ in wrong],
        f"{type(scheduler).__name__} is at an lr of {first_few(texts, 3)}: they were loaded apart, "
        "or the scheduler was made after the optimizer was loaded.",
        "Make both, load both, the scheduler first; then the optimizer's lr is the saved one.",
    )
