"""The questions: each is put to a class in a process of its own, and answered by a short word or a number."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

import optimkit
from subject import Subject, alike, bytes_of, copies, said, state_keys, state_of

YES, NO, NONE = "✓", "✗", "–"
BEFORE, AFTER = range(3), range(3, 6)
Answers = Iterator[tuple[str, str]]


def tried(do: Callable[[], str]) -> str:
    """Return an answer, or the name of what was raised."""
    try:
        return do()
    except Exception as error:  # of 350 classes, any may raise anything
        return type(error).__name__


def run(subject: Subject, folder: Path) -> Answers:
    """Train, save in torch's way and in optimkit's, and train on: what a resumed run is compared with."""
    model, optimizer, schedule = subject.start()
    subject.train(model, optimizer, schedule, BEFORE)
    matrix = next(param for param in model.parameters() if param.ndim == 2)
    yield "state", state_keys(optimizer, matrix)
    objects = {"model": model, "optimizer": optimizer}
    if schedule is not None:
        objects["schedule"] = schedule

    def readable() -> str:
        content = {name: each.state_dict() for name, each in objects.items()}
        torch.save(content, folder / "torch.pt")
        torch.load(folder / "torch.pt", weights_only=True)
        return YES

    def saved() -> str:
        optimkit.save(folder / "optimkit.pt", **objects)
        return YES

    yield "weights_only", tried(readable)
    answer = tried(saved)
    yield "save", answer
    subject.train(model, optimizer, schedule, AFTER)
    torch.save(copies(model.parameters()), folder / "end.pt")


def ends_alike(folder: Path, model: nn.Module) -> str:
    """Say whether a model has the weights of the run that nothing came between."""
    return YES if alike(torch.load(folder / "end.pt"), model.parameters()) else NO


def resume(subject: Subject, folder: Path) -> Answers:
    """Load into new objects, go on, compare."""

    def by_torch() -> str:
        objects = subject.start(77)
        content = torch.load(folder / "torch.pt", weights_only=False)  # written a moment ago
        for each, state in zip(objects, content.values(), strict=False):
            each.load_state_dict(state)
        subject.train(*objects, AFTER)
        return ends_alike(folder, objects[0])

    def by_optimkit() -> str:
        model, optimizer, schedule = objects = subject.start(77)
        rest = {} if schedule is None else {"schedule": schedule}
        optimkit.load(folder / "optimkit.pt", model=model, optimizer=optimizer, **rest)
        alarms.append(alarms_of(*objects))
        subject.train(*objects, AFTER)
        return ends_alike(folder, model)

    alarms: list[str] = []
    yield "torch", tried(by_torch)
    if (folder / "optimkit.pt").exists():
        yield "optimkit", tried(by_optimkit)
        yield "audit loaded", " ".join(alarms)


def alarms_of(model: nn.Module, optimizer: Any, schedule: Any) -> str:
    """Return the codes of the errors and warnings of an audit; all of these runs are healthy."""
    try:
        found = optimkit.audit(
            optimizer, models=model, schedulers=() if schedule is None else schedule
        )
    except Exception as error:
        return f"{type(error).__name__}"
    return " ".join(dict.fromkeys(row.code for row in found if row.severity != "note"))


def look(subject: Subject, folder: Path) -> Answers:
    """Look at a run with all there is: does it end as the one that nobody looked at?"""
    answers = []
    model, optimizer, schedule = objects = subject.start()
    try:
        foreseen = optimkit.state_memory(optimizer, predict=True).total
    except NotImplementedError:
        foreseen = None
    quiet = True
    for steps in (range(1), range(1, 3), AFTER):
        drawn = generators()
        answers.append(alarms_of(*objects))
        optimkit.describe(optimizer, model, values=True)
        snapshot = optimkit.snapshot(optimizer, values="copy")
        if optimkit.diff(snapshot, optimizer).rows:
            answers.append("diff")
        if schedule is not None:
            optimkit.lr_curve(schedule, 3)
        counted = optimkit.state_memory(optimizer).total
        if steps.start and counted != bytes_of(state_of(optimizer)):
            answers.append(f"counted {counted} for {bytes_of(state_of(optimizer))}")
        quiet &= drawn == generators()
        subject.train(*objects, steps)
        if not steps.start:
            first = bytes_of(state_of(optimizer))
    yield "looked at", ends_alike(folder, model) if quiet else NO
    yield "alarms", " ".join(dict.fromkeys(filter(None, answers)))
    yield (
        "predicted",
        "?" if foreseen is None else YES if foreseen == first else f"{foreseen} for {first}",
    )


def generators() -> str:
    """Return the state of all generators, to compare."""
    return f"{torch.get_rng_state().tolist()} {random.getstate()} {numpy.random.get_state()}"


def ask(subject: Subject, folder: Path) -> Answers:
    """Ask what needs no file."""
    yield "bytes", tried(lambda: size(subject))
    yield "decay", tried(lambda: decay(subject))
    yield "new group", tried(lambda: new_group(subject))
    yield "lr 0", tried(lambda: at_rate_zero(subject))
    yield "schedule", tried(lambda: scheduled(subject))
    yield "copy", tried(lambda: copied(subject))  # last: it changes the step of the class for good


def size(subject: Subject) -> str:
    """Return the bytes of state per parameter, of a matrix of 128 by 128."""
    params, optimizer = subject.alone((128, 128))
    subject.pull(optimizer, params, range(2))
    return f"{bytes_of(state_of(optimizer)) / 128**2:.3g}"


def decay(subject: Subject) -> str:
    """Say what weight decay does.

    Decoupled, it shrinks all weights by one factor, whatever the gradients; coupled, it goes
    through what the optimizer makes of a gradient.
    """
    options = subject.alone((6, 6))[1].param_groups[0]
    if "weight_decay" not in options:
        return NONE
    kinds: list[str] = []
    for strength in (0.1, 10.0):
        kinds += [
            shrinks(subject, strength, 1.0),
            tried(lambda strength=strength: shrinks(subject, strength, 0.0)),  # some need gradients
        ]
        if "coupled" in kinds:
            return "coupled"
        if kinds[-2] == "decoupled":  # of gradients of zeros, both kinds make this
            break
    return "decoupled" if "decoupled" in kinds else "no effect"


def shrinks(subject: Subject, strength: float, scale: float) -> str:
    """Compare two runs, with decay and without, along the same gradients: of zeros, if scale is 0."""
    ends = []
    for value in (0.0, strength):
        params, optimizer = subject.alone((6, 6), weight_decay=value)
        start = params[0].detach().clone()
        subject.pull(optimizer, params, range(4), scale)
        ends.append(copies(params)[0])
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.0
        subject.pull(optimizer, params, range(4, 7), scale)
        ends.append(copies(params)[0])
    plain, plain_later, decayed, decayed_later = ends
    change, later = decayed - plain, decayed_later - plain_later
    if not (change.abs().max() > 1e-5 and change.isfinite().all()):
        return ""
    ratio = change / start
    lasts = (later - change).abs().max() > 0.05 * change.abs().max()  # in the momentum
    even = ratio.std() < 0.1 * ratio.mean().abs()
    return "decoupled" if even and not (scale and lasts) else "coupled"


def moved(before: list[Tensor], params: list[nn.Parameter]) -> list[bool]:
    """Say which parameters have moved."""
    return [not torch.equal(old, new.detach()) for old, new in zip(before, params, strict=True)]


def new_group(subject: Subject) -> str:
    """Add a group in the middle of a run, and see whether it trains."""
    params, optimizer = subject.alone((6, 6))
    subject.pull(optimizer, params, BEFORE)
    new = nn.Parameter(torch.rand(5, 5) + 0.5)
    before = copies([*params, new])
    marks = {key: each for key, each in optimizer.param_groups[0].items() if key == "use_muon"}
    optimizer.add_param_group({"params": [new], **marks})
    subject.pull(optimizer, [*params, new], AFTER)
    trained = moved(before, [*params, new])
    return YES if trained[1] else "still" if trained[0] else NONE


def at_rate_zero(subject: Subject) -> str:
    """Give one of two groups lr 0: it should stand still."""
    params = [nn.Parameter(torch.rand(6, 6) + 0.5) for _ in range(2)]
    before = copies(params)
    optimizer = subject.build([{"params": params[:1]}, {"params": params[1:], "lr": 0.0}])
    subject.pull(optimizer, params, BEFORE)
    other, zero = moved(before, params)
    return "moves" if zero else YES if other else NONE


def scheduled(subject: Subject) -> str:
    """Give a tenth of the lr by a scheduler of torch: the steps should be a tenth of their length."""
    lengths = []
    for factor in (1.0, 0.1):
        params, optimizer = subject.alone((6, 6))
        LambdaLR(optimizer, lambda _, factor=factor: factor)
        before = copies(params)[0]
        subject.pull(optimizer, params, BEFORE)
        lengths.append(float((params[0].detach() - before).norm()))
    if not lengths[0] > 0:
        return NONE
    ratio = lengths[1] / lengths[0]
    return YES if 0.05 < ratio < 0.2 else "ignores" if ratio > 0.95 else f"{ratio:.2g}"


def copied(subject: Subject) -> str:
    """Copy model and optimizer deeply, and train both on."""
    model, optimizer, _ = subject.start()
    subject.train(model, optimizer, None, BEFORE)
    twin, other = copy.deepcopy((model, optimizer))
    subject.train(model, optimizer, None, AFTER)
    subject.train(twin, other, None, AFTER)
    return YES if alike(model.parameters(), twin.parameters()) else NO


def start(subject: Subject, folder: Path) -> Answers:
    """Find out how it wants to be stepped."""
    subject.find_drive()
    yield "drive", "" if callable(subject.drive) else subject.drive


PARTS = (run, resume, look, ask)


def answers_of(part: Callable[..., Answers], subject: Subject, folder: Path) -> Answers:
    """Yield the answers of a part, and what ended it early."""
    warnings.simplefilter("ignore")
    try:
        yield from part(subject, folder)
    except Exception as error:
        yield f"{part.__name__} ended", said(error)
