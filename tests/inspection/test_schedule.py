"""The curve to come, and what is left alone on the way."""

import copy
import json
import random
import warnings

import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.optim import SGD
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR
from torch.utils.data import DataLoader

from optimkit import lr_curve, plot_lr

# SequentialLR itself passes an epoch to its children in older versions of torch.
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")

mpl.use("agg")

MAKERS = {
    "LambdaLR": lambda o: lrs.LambdaLR(o, [lambda s: 0.9**s, lambda s: 1 / (s + 1)]),
    "MultiplicativeLR": lambda o: lrs.MultiplicativeLR(o, lambda s: 0.9),
    "StepLR": lambda o: lrs.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lrs.MultiStepLR(o, [1, 3], 0.5),
    "ConstantLR": lambda o: lrs.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: lrs.LinearLR(o, 0.1, 1.0, 4),
    "ExponentialLR": lambda o: lrs.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: lrs.PolynomialLR(o, 5, 2.0),
    "CosineAnnealingLR": lambda o: lrs.CosineAnnealingLR(o, 4, 1e-5),
    "CosineAnnealingWarmRestarts": lambda o: lrs.CosineAnnealingWarmRestarts(o, 2, 2),
    "CyclicLR": lambda o: lrs.CyclicLR(o, 1e-4, 1e-2, 3, mode="exp_range", gamma=0.9),
    "OneCycleLR": lambda o: lrs.OneCycleLR(o, 1e-2, total_steps=30),
    "ReduceLROnPlateau": lambda o: lrs.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 0.1, total_iters=3), lrs.CosineAnnealingLR(o, 5)], [3]
    ),
    "ChainedScheduler": lambda o: lrs.ChainedScheduler(
        [MAKERS["SequentialLR"](o), lrs.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: SWALR(o, 1e-4, 3),
}


def make(name, tensor=False):
    """Return an optimizer of two groups, and a scheduler."""
    params = [nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))]
    groups = [
        {"params": [param], "lr": torch.tensor(lr) if tensor else lr}
        for param, lr in zip(params, (0.1, 0.01), strict=True)
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    return optimizer, MAKERS[name](optimizer)


def go(optimizer, scheduler, steps):
    """Step both, and return what the lr really is, step by step."""
    for _ in range(steps):
        yield [float(group["lr"]) for group in optimizer.param_groups]
        optimizer.step()
        scheduler.step(*([1.0] if isinstance(scheduler, lrs.ReduceLROnPlateau) else []))


def fingerprint(optimizer, scheduler):
    """Write out all that a scheduler could change."""
    return repr(
        (
            optimizer.param_groups,
            {k: v for k, v in vars(optimizer).items() if k not in ("step", "param_groups")},
            deep(scheduler),
        )
    )


def deep(scheduler):
    """Return the attributes of a scheduler, and of those inside it."""
    return {
        key: [deep(each) for each in value] if key == "_schedulers" else value
        for key, value in vars(scheduler).items()
        if key != "optimizer"
    }


@pytest.mark.parametrize(
    ("name", "at", "tensor"),
    [
        *((name, 4, False) for name in MAKERS),
        *((name, 0, True) for name in ("CyclicLR", "LinearLR", "ReduceLROnPlateau")),
        *((name, 4, True) for name in ("SequentialLR", "ChainedScheduler", "OneCycleLR")),
    ],
)
def test_the_curve_is_what_comes(name, at, tensor):
    """From any point on, the curve is what the live scheduler will do, and nothing is touched."""
    optimizer, scheduler = make(name, tensor)
    list(go(optimizer, scheduler, at))
    before = fingerprint(optimizer, scheduler)
    metrics = 1.0 if name == "ReduceLROnPlateau" else None
    curve = lr_curve(scheduler, 9, metrics)
    assert fingerprint(optimizer, scheduler) == before
    assert scheduler.optimizer is optimizer
    expected = list(go(optimizer, scheduler, 10))
    assert [curve.lrs(0), curve.lrs(1)] == [list(each) for each in zip(*expected, strict=True)]
    assert [row.step for row in curve.rows[:4]] == [0, 0, 1, 1]
    json.dumps(curve.to_dict())


class InPlace(lrs.LRScheduler):
    """A scheduler that keeps the tensor which is the lr, as torch 2.6 does now and then."""

    def __init__(self, optimizer):
        self.kept = optimizer.param_groups[0]["lr"]
        super().__init__(optimizer)

    def step(self):
        """Halve it where it is."""
        self.kept.mul_(0.5)


def test_a_tensor_that_the_scheduler_shares_with_a_group():
    """The copies share a tensor where the live ones do, and the live one stays as it is."""
    lr = torch.tensor(0.8)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=lr)
    curve = lr_curve(InPlace(optimizer), 2)
    assert curve.lrs() == pytest.approx([0.4, 0.2, 0.1])
    assert lr.item() == pytest.approx(0.4)


def test_a_metric_sequence():
    """A plateau is told the metric of each step."""
    _, scheduler = make("ReduceLROnPlateau")
    metrics = [1.0, 0.5, 0.6, 0.4, 0.4]
    expected = [0.1, 0.1, 0.1, 0.01, 0.01, 0.001]
    assert lr_curve(scheduler, 5, metrics).lrs() == pytest.approx(expected)


def test_random_numbers_and_warnings_stay():
    """A lambda that draws, and torch's warning of the order, leave no trace."""
    param = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([param], lr=0.1)
    scheduler = lrs.LambdaLR(optimizer, lambda s: random.random() + torch.rand(()).item())
    states = random.getstate(), torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lr_curve(scheduler, 5)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()


def test_a_scheduler_of_ones_own():
    """What can't be copied is no obstacle."""

    class Mine(lrs.LRScheduler):
        def __init__(self, optimizer):
            self.stream = (each for each in ())
            super().__init__(optimizer)

        def get_lr(self):
            return [lr / (self.last_epoch + 1) for lr in self.base_lrs]

    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    assert lr_curve(Mine(optimizer), 3).lrs() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])


TIMES = 0


def test_functions_keep_what_they_count():
    """What a function closes over, has as a default or writes into a global is the live run's."""
    numbers, drawn, times = random.Random(0), iter([1.0, 0.5, 0.25, 0.2, 0.1]), []

    def counting(epoch, seen=[]):  # noqa: B006
        global TIMES
        TIMES += 1
        seen.append(epoch)
        times.append(numbers.random())
        return next(drawn) / len(seen)

    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = lrs.LambdaLR(optimizer, counting)
    before = TIMES, list(times), numbers.getstate(), list(counting.__defaults__[0])
    curve = lr_curve(scheduler, 3)
    assert (TIMES, times, numbers.getstate(), counting.__defaults__[0]) == before
    ahead = []
    for _ in range(3):
        optimizer.step()
        scheduler.step()
        ahead.append(optimizer.param_groups[0]["lr"])
    assert curve.lrs()[1:] == ahead


def test_a_generator_is_not_used_up():
    """It gives each number once: the schedule can't be foreseen, and stays as it is."""
    numbers = (1 / each for each in range(1, 9))
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = lrs.LambdaLR(optimizer, lambda _: next(numbers))
    message = "LambdaLR can't be foreseen: it takes numbers from a generator, which gives each of them once"
    with pytest.raises(ValueError, match=f"^{message}$"):
        lr_curve(scheduler, 3)
    assert next(numbers) == 1 / 2


class Kept:
    """What must stay the only one of its kind."""

    def __deepcopy__(self, memo):
        raise AssertionError("copied")


class Script:
    """Its schedule is a function that names the trainer, as in many scripts."""

    def __init__(self):
        self.model = nn.Linear(1, 1)
        self.average = nn.Sequential(nn.Linear(1, 1))
        self.average[0].held = Kept()
        self.other = torch.optim.SGD(self.average.parameters(), lr=1.0)
        self.parts = {"data": [DataLoader([Kept()])], "rows": [Kept()] * 10_001}
        self.calls = 0
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.scheduler = lrs.LambdaLR(self.optimizer, lambda epoch: self.rate(epoch))

    def rate(self, epoch):
        self.calls += 1
        return 1 / (epoch + self.calls)


def test_what_a_function_leads_to_is_not_copied():
    """Of a trainer its counts are, but no model, no optimizer and no data that it holds."""
    trainer = Script()
    curve = lr_curve(trainer.scheduler, 3)
    assert trainer.calls == 1
    ahead = []
    for _ in range(3):
        trainer.optimizer.step()
        trainer.scheduler.step()
        ahead.append(trainer.optimizer.param_groups[0]["lr"])
    assert curve.lrs()[1:] == ahead


def test_state_is_not_copied():
    """A large state is neither copied nor touched."""
    optimizer, scheduler = make("StepLR")
    param = optimizer.param_groups[0]["params"][0]
    optimizer.state[param] = {"unpicklable": (each for each in ())}
    lr_curve(scheduler, 2)
    with pytest.raises(TypeError):
        copy.deepcopy(optimizer.state)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        (
            "ReduceLROnPlateau",
            (3,),
            TypeError,
            "ReduceLROnPlateau steps by a metric: pass metrics=, one for each step, or one",
        ),
        (
            "ReduceLROnPlateau",
            (3, [1.0]),
            ValueError,
            "metrics has 1 values, 3 steps need one each",
        ),
        ("StepLR", (3, 1.0), TypeError, "StepLR takes no metrics: leave metrics= out"),
        ("StepLR", (-1,), ValueError, "steps must be 0 or more, not -1"),
        ("StepLR", ("3",), TypeError, "steps must be an integer, not '3'"),
        (
            "OneCycleLR",
            (40,),
            ValueError,
            "OneCycleLR ends after 30 more steps, 40 were asked for: Tried to step 31 times. "
            "The specified number of total steps is 30",
        ),
    ],
)
def test_errors(name, arguments, error, message):
    """What can't be drawn says why."""
    with pytest.raises(error) as caught:
        lr_curve(make(name)[1], *arguments)
    assert str(caught.value) == message


def test_not_a_scheduler():
    """An optimizer is no scheduler."""
    with pytest.raises(TypeError) as caught:
        lr_curve(make("StepLR")[0], 3)
    assert str(caught.value) == "scheduler must be a learning rate scheduler of torch, not SGD"


def test_text_of_a_long_curve(golden):
    """Of many steps, some are shown, the first and the last among them."""
    curve = lr_curve(make("CosineAnnealingLR")[1], 1000)
    golden("lr_curve.txt", str(curve))
    assert "<table" in curve._repr_html_()


def test_the_look_is_silent(recwarn):
    """What a scheduler would say on its way is not said when it is only looked at."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)

    def loud(step):
        warnings.warn("step by step", stacklevel=1)
        return 1.0

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, loud)
    recwarn.clear()
    lr_curve(scheduler, 3)
    assert [str(warning.message) for warning in recwarn] == []


class Trainer:
    """What keeps a model, its optimizer, and a method that says the lr and counts its calls."""

    def __init__(self):
        self.model = nn.Linear(2, 2)
        self.calls = 0
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.scheduler = lrs.LambdaLR(self.optimizer, self.slower)

    def slower(self, step):
        """Halve the lr at the second call, whatever the step."""
        self.calls += 1
        return 1 / self.calls


@pytest.mark.parametrize("graph", [False, True], ids=["copyable", "not copyable"])
def test_a_method_that_counts(graph, monkeypatch):
    """A method counts for its copy, even if what it belongs to can't be copied; no weight is."""
    trainer = Trainer()
    if graph:
        trainer.loss = trainer.model(torch.ones(1, 2)).sum()  # torch refuses to copy this

    def refuse(*_):
        raise AssertionError("a parameter was copied")

    monkeypatch.setattr(nn.Parameter, "__deepcopy__", refuse)
    assert lr_curve(trainer.scheduler, 2).lrs() == [1, 1 / 2, 1 / 3]
    assert trainer.calls == 1


def test_what_is_hardly_meant():
    """The curve says what the schedule does, within these steps, that is hardly meant."""
    groups = [{"params": [torch.ones(1)], "lr": lr} for lr in (0.1, 1e-4)]
    optimizer = SGD(groups, momentum=0.9)
    scheduler = lrs.CosineAnnealingLR(optimizer, 5, eta_min=1e-3)
    floor = "CosineAnnealingLR has a floor above the lr that group 1 started with."
    assert lr_curve(scheduler, 5).notes == (floor,)
    over = "CosineAnnealingLR is over after 5 steps: at step 6 of the schedule, the lr is rising again."
    assert lr_curve(scheduler, 6).notes == (over, floor)
    assert over.partition(":")[0] in str(lr_curve(scheduler, 6))
    again = over.replace("step 6", "step 12").replace("is rising", "has risen")
    assert lr_curve(scheduler, 12).notes == (again, floor)
    scheduler = lrs.OneCycleLR(optimizer, 0.1, total_steps=9)
    assert lr_curve(scheduler, 3).notes == (
        "OneCycleLR has given one lr to all groups, which differ in nothing now. Give it a list.",
    )
    groups = [{"params": [torch.ones(1)], "lr": lr} for lr in (0.1, 0.2)]
    assert lr_curve(SWALR(SGD(groups), 0.05), 2).notes == (
        "SWALR leads all groups to one lr; they began with several. Give it a list.",
    )
    optimizer = SGD([torch.ones(1)], lr=0.1)
    scheduler = lrs.OneCycleLR(optimizer, 0.1, total_steps=9)
    assert lr_curve(scheduler, 9 - 1).notes == ()
    assert lr_curve(scheduler, 9).notes == (
        "OneCycleLR is over after 9 steps: its next step raises.",
    )
    parts = [lrs.LinearLR(optimizer), lrs.MultiplicativeLR(optimizer, lambda step: 0.9)]
    assert lr_curve(lrs.SequentialLR(optimizer, parts, [3]), 2).notes == (
        "MultiplicativeLR goes on from the last lr before it, not from the groups' own.",
    )


def test_groups_that_are_left_alike():
    """One number for groups that had several lrs is noted where two differ in nothing else."""
    options = [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.1, "weight_decay": 0.0}]
    groups = [{"params": [torch.ones(1)], **each} for each in options]
    optimizer = SGD(groups, momentum=0.9, weight_decay=0.1)
    assert lr_curve(lrs.OneCycleLR(optimizer, 0.1, total_steps=9), 3).notes == (
        "OneCycleLR has given one lr to group 0, group 1, which differ in nothing now. Give it a list.",
    )
    optimizer = SGD(groups[1:], momentum=0.9, weight_decay=0.1)
    assert lr_curve(lrs.OneCycleLR(optimizer, 0.1, total_steps=9), 3).notes == ()


class Stays(lrs.CosineAnnealingLR):
    """A cosine that stays down."""

    def get_lr(self):
        return [self.eta_min if self.last_epoch >= self.T_max else base for base in self.base_lrs]


def test_a_cosine_of_ones_own():
    """Of a class with a curve of its own it is not known where it leads behind T_max."""
    assert lr_curve(Stays(SGD([torch.ones(1)], lr=0.1), 3, eta_min=0.01), 9).notes == ()


@pytest.mark.since("sequence_steps_its_own")
def test_a_schedule_that_torch_cannot_step():
    """A schedule that fails is said to, and at which step; the message of the cause is cut short."""
    optimizer = SGD([torch.ones(1)], lr=0.1)
    later = lrs.ChainedScheduler([lrs.ExponentialLR(optimizer, 0.9), lrs.StepLR(optimizer, 3)])
    warm = lrs.LinearLR(optimizer, 0.1, total_iters=3)
    scheduler = lrs.SequentialLR(optimizer, [warm, later], [3])
    assert len(lr_curve(scheduler, 2).rows) == 3
    text = "^SequentialLR fails at step 3, 6 were asked for: NotImplementedError$"
    with pytest.raises(ValueError, match=text):
        lr_curve(scheduler, 6)


@pytest.fixture
def closed():
    """Close all figures in the end."""
    yield
    plt.close("all")


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_a_figure(style):
    """It returns its axes, in a new figure or in the one given, in any style; lines are labelled."""
    curve = lr_curve(make("StepLR")[1], 3)
    with plt.style.context(style):
        ax = plot_lr(curve)
        assert ax.figure.axes == [ax]
        ax.figure.canvas.draw()
        other = plt.subplots()[1]
        assert plot_lr(curve, other) is other
    assert ax.get_title() == "lr by StepLR"
    assert [line.get_label() for line in ax.lines] == ["group 0", "group 1"]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.1, 0.1, 0.05, 0.05])
    assert [text.get_text() for text in ax.texts] == ["group 0", "group 1"]


@pytest.mark.usefixtures("closed")
def test_lines_that_end_together_have_a_legend():
    """Groups that end at the same lr are told apart in a legend, others at the end of their lines."""
    groups = [{"params": [torch.ones(1)], "lr": lr} for lr in (1.0, 0.1)]
    together = lrs.CosineAnnealingLR(SGD(groups), 10)
    ax = plot_lr(lr_curve(together, 10))
    assert len(ax.get_legend().get_texts()) == 2
    assert not ax.texts
    ax = plot_lr(lr_curve(together, 5))
    assert ax.get_legend() is None
    assert len(ax.texts) == 2


def test_a_schedule_that_stays_at_zero():
    """A cosine that is made anew where the last one has ended never leaves an lr of 0."""
    optimizer = SGD([torch.ones(1)], lr=0.1)
    lrs.CosineAnnealingLR(optimizer, 1)
    optimizer.param_groups[0]["lr"] = 0.0  # where it ends
    again = lrs.CosineAnnealingLR(optimizer, 5)
    assert lr_curve(again, 4).notes == (
        "CosineAnnealingLR leaves the lr of group 0 at 0 in all these steps.",
    )
    optimizer = SGD([torch.ones(1)], lr=0.1)
    linear = lrs.LinearLR(optimizer, 1.0, 0.0, total_iters=5)
    assert lr_curve(linear, 5).notes == ()
    assert lr_curve(linear, 9).notes == ("LinearLR leaves the lr of group 0 at 0 from step 5 on.",)
