"""A schedule replayed: the new group is where it would be, the old ones where they are."""

import contextlib
import copy
import warnings

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.optim.swa_utils import SWALR

from optimkit import GroupError, add_param_group

# SequentialLR itself passes an epoch to its children in older versions of torch.
pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")


def inverse(epoch):
    """Decay with the epochs."""
    return 1 / (1 + epoch)


def shrink(epoch):
    """Decay the same each epoch."""
    return 0.9


OLD, NEW = (0.1, 0.05), 0.02
SCHEDULES = {
    "LambdaLR": lambda o: LambdaLR(o, inverse),
    "MultiplicativeLR": lambda o: MultiplicativeLR(o, shrink),
    "StepLR": lambda o: StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: MultiStepLR(o, [1, 4], 0.5),
    "ConstantLR": lambda o: ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: LinearLR(o, 0.25, 1, 6),
    "ExponentialLR": lambda o: ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: PolynomialLR(o, 10, 2),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 6, 1e-3),
    "CosineAnnealingWarmRestarts": lambda o: CosineAnnealingWarmRestarts(o, 3, 2, 1e-3),
    # These set the lr themselves: here in proportion to the group's.
    "OneCycleLR": lambda o: OneCycleLR(o, [lr * 25 for lr in lrs_of(o)], total_steps=30),
    "CyclicLR": lambda o: CyclicLR(o, lrs_of(o), [lr * 9 for lr in lrs_of(o)], step_size_up=3),
    "SWALR": lambda o: SWALR(o, 0.05, anneal_epochs=4),
    "SequentialLR": lambda o: SequentialLR(
        o, [LinearLR(o, 0.25, 1, 3), CosineAnnealingLR(o, 8, 1e-3), ExponentialLR(o, 0.9)], [3, 8]
    ),
    "ChainedScheduler": lambda o: ChainedScheduler(
        [LinearLR(o, 0.25, 1, 3), ExponentialLR(o, 0.9)]
    ),
    "chained sequence": lambda o: ChainedScheduler(
        [SequentialLR(o, [ConstantLR(o, 0.5, 2), StepLR(o, 2, 0.5)], [3]), ExponentialLR(o, 0.9)]
    ),
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(o, factor=0.5, patience=1, min_lr=1e-4),
    "two in turn": lambda o: [ExponentialLR(o, 0.9), MultiStepLR(o, [2, 5], 0.1)],
    "warm-up and plateau": lambda o: [
        LinearLR(o, 0.25, 1, 3),
        ReduceLROnPlateau(o, factor=0.5, patience=1),
    ],
}


PLATEAUS = ("ReduceLROnPlateau", "warm-up and plateau")


def lrs_of(optimizer):
    """List the learning rates of the groups."""
    return [group["lr"] for group in optimizer.param_groups]


def group_of(lr):
    """Return a group of one parameter."""
    return {"params": [nn.Parameter(torch.ones(1))], "lr": lr}


class Run:
    """An optimizer with a group for each lr, and its schedulers."""

    def __init__(self, schedule, lrs):
        self.optimizer = SGD(map(group_of, lrs), lr=0.1, momentum=0.9)
        schedulers = SCHEDULES[schedule](self.optimizer)
        self.schedulers = schedulers if isinstance(schedulers, list) else [schedulers]

    def add(self, lr, **options):
        """Add a group."""
        add_param_group(self.optimizer, group_of(lr), schedulers=self.schedulers, **options)

    def step(self, times=1):
        for _ in range(times):
            self.optimizer.step()
            for scheduler in self.schedulers:
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(1.0)
                else:
                    scheduler.step()

    @property
    def lrs(self):
        return list(map(float, lrs_of(self.optimizer)))

    @property
    def momenta(self):
        return [group["momentum"] for group in self.optimizer.param_groups]


def goes_on_as(run, alone, whole):
    """Check that the old groups go on as if alone, and all as if there from the start."""
    for _ in range(8):
        assert run.lrs[:-1] == alone.lrs
        assert run.lrs == pytest.approx(whole.lrs, rel=1e-9)
        assert run.momenta == pytest.approx(whole.momenta, rel=1e-9)
        for scheduler, other in zip(run.schedulers, whole.schedulers, strict=True):
            assert scheduler.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-9)
        for one in (run, alone, whole):
            one.step()


FEW = ["LinearLR", "OneCycleLR", "chained sequence"]


@pytest.mark.parametrize(
    ("schedule", "count", "steps"),
    [
        *((schedule, 1, 9) for schedule in SCHEDULES),
        *((schedule, 2, 3) for schedule in SCHEDULES if schedule not in PLATEAUS),
        *((schedule, 1, steps) for schedule in FEW for steps in (0, 1, 5)),
    ],
)
def test_the_new_group_is_where_it_would_be(schedule, count, steps):
    """A group that joins after some steps has the lr of one that was there from the start."""
    run, alone = Run(schedule, OLD[:count]), Run(schedule, OLD[:count])
    whole = Run(schedule, [*OLD[:count], NEW])
    for one in (run, alone, whole):
        one.step(steps)
    run.add(NEW)
    assert run.optimizer.param_groups[-1]["initial_lr"] == NEW
    goes_on_as(run, alone, whole)


@pytest.mark.parametrize("schedule", [each for each in SCHEDULES if each != "ReduceLROnPlateau"])
def test_the_new_group_has_its_lr_now(schedule):
    """With start="now" it has the lr asked for, as one that started from what leads there."""
    run, alone = Run(schedule, OLD[:1]), Run(schedule, OLD[:1])
    for one in (run, alone):
        one.step(3)
    run.add(0.06, start="now")
    assert run.lrs[1] == 0.06
    whole = Run(schedule, [OLD[0], run.optimizer.param_groups[1]["initial_lr"]])
    whole.step(3)
    goes_on_as(run, alone, whole)


def test_an_lr_that_can_not_be_now(refused):
    """Where no start leads to the lr asked for, it is said where all lead to."""
    optimizer = SGD([group_of(0.1)], lr=0.1)
    scheduler = CosineAnnealingLR(optimizer, 4)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    assert refused(optimizer, group_of(0.02), [scheduler], start="now") == (
        "the schedule has brought every lr to 0 by now, so the new group's can't be 0.02. "
        'Pass start="beginning", or add the group at another step.'
    )
    optimizer = SGD([group_of(0.1)], lr=0.1)
    scheduler = CosineAnnealingLR(optimizer, 4, eta_min=0.04)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    assert refused(optimizer, group_of(0.01), [scheduler], start="now").startswith(
        "the schedule has brought every lr to 0.02 or more by now, so the new group's can't be "
        "0.01. "
    )


def test_now_under_a_reduced_plateau():
    """The lr asked for is not reduced for the past, but with the others from here on."""
    run = Run("ReduceLROnPlateau", OLD[:1])
    run.step(5)
    assert run.lrs == [0.025]
    run.add(0.04, start="now")
    run.add(0.02, start="now")
    assert run.lrs == [0.025, 0.04, 0.02]
    assert run.schedulers[0].get_last_lr() == run.lrs
    run.step(2)
    assert run.lrs == [0.0125, 0.02, 0.01]
    assert run.schedulers[0].min_lrs == [1e-4] * 3


def test_now_where_the_past_of_a_plateau_is_not_known(fresh):
    """What a plateau did before is asked of no one if it does not matter."""
    optimizer = SGD([group_of(0.1)], lr=1.0)
    pair = [ReduceLROnPlateau(optimizer, factor=0.5, patience=0) for _ in range(2)]
    for _ in range(3):
        pair[0].step(1.0)
    add_param_group(optimizer, group_of(0.02), pair, start="now")
    assert lrs_of(optimizer) == [0.025, 0.02]


def test_now_and_then_another_one():
    """A group that was added so is explained by the schedule: the next one can be added."""
    run = Run("warm-up and plateau", OLD[:1])
    run.step(6)
    assert run.lrs == [0.025]
    run.add(0.04, start="now")
    run.add(0.02)
    assert run.lrs == pytest.approx([0.025, 0.04, 0.005])


@pytest.mark.parametrize("schedule", ["CosineAnnealingLR", "LambdaLR", "LinearLR", "StepLR"])
def test_tensor_learning_rates(schedule):
    """A tensor lr stays a tensor, is no other group's, and follows the schedule."""
    run = Run(schedule, [torch.tensor(0.1)])
    whole = Run(schedule, [torch.tensor(0.1), torch.tensor(0.02)])
    run.step(3)
    whole.step(3)
    lr = torch.tensor(0.02)
    run.add(lr)
    run.add(lr, start="now")
    assert run.lrs[2] == pytest.approx(0.02, rel=1e-6)
    run.step(3)
    whole.step(3)
    assert run.lrs[:2] == pytest.approx(whole.lrs, rel=1e-6)
    assert all(isinstance(each, torch.Tensor) for each in lrs_of(run.optimizer))
    assert float(lr) == pytest.approx(0.02)


def test_the_copies_step_nothing():
    """A replay leaves parameters, state and schedulers' progress alone."""
    run = Run("SequentialLR", OLD[:1])
    param = run.optimizer.param_groups[0]["params"][0]
    param.grad = torch.ones(1)
    run.step(4)
    value, state = param.detach().clone(), copy.deepcopy(run.optimizer.state[param])
    progress = [child.last_epoch for child in run.schedulers[0]._schedulers]
    run.add(NEW)
    assert torch.equal(param, value)
    assert [child.last_epoch for child in run.schedulers[0]._schedulers] == progress
    assert run.optimizer.state[param] == state


@pytest.mark.parametrize(("lr", "groups"), [(0.025, 2), (0.3, 1)], ids=["extended", "refused"])
def test_what_a_scheduler_of_yours_remembers(fresh, lr, groups):
    """A replay calls copies: what a function or a scheduler remembers stays as it is."""

    class Halving:
        def __init__(self):
            self.calls = 0

        def __call__(self, step):
            self.calls += 1
            return 0.5**step

    class Noting(LRScheduler):
        def __init__(self, optimizer):
            self.seen = []
            super().__init__(optimizer)

        def get_lr(self):
            self.seen.append(self.last_epoch)
            return [group["lr"] for group in self.optimizer.param_groups]

    optimizer, group = fresh()
    halving = Halving()
    schedulers = [LambdaLR(optimizer, halving), Noting(optimizer)]
    for _ in range(2):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    optimizer.param_groups[0]["lr"] = lr
    with contextlib.suppress(GroupError):
        add_param_group(optimizer, group, schedulers)
    assert len(optimizer.param_groups) == groups
    assert (halving.calls, schedulers[1].seen) == (3, [0, 1, 2])
    assert set(schedulers[0].lr_lambdas) == {halving}


def test_a_second_group_later():
    """A group can be added after a group was added."""
    run, whole = Run("CosineAnnealingLR", [0.1]), Run("CosineAnnealingLR", [0.1, 0.05, 0.02])
    for lr in (0.05, 0.02):
        run.step(2)
        whole.step(2)
        run.add(lr)
    run.step(2)
    whole.step(2)
    assert run.lrs == pytest.approx(whole.lrs, rel=1e-12)


def test_fractional_epochs_of_warm_restarts():
    """CosineAnnealingWarmRestarts may be stepped by parts of an epoch."""
    runs = [Run("CosineAnnealingWarmRestarts", lrs) for lrs in ([0.1], [0.1, 0.02])]
    for run in runs:
        run.optimizer.step()
        run.schedulers[0].step(4.25)
    runs[0].add(0.02)
    assert runs[0].lrs == pytest.approx(runs[1].lrs, rel=1e-12)


def test_one_scheduler_after_the_other():
    """SWALR begins when the first scheduler has done its part, as torch's documentation shows."""

    def run(count):
        groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.1, 0.02)[:count]]
        optimizer = SGD(groups, lr=0.1)
        schedulers = [ExponentialLR(optimizer, 0.9), SWALR(optimizer, 0.05, 4)]
        for scheduler in schedulers:
            for _ in range(3):
                optimizer.step()
                scheduler.step()
        return optimizer, schedulers

    (optimizer, schedulers), (whole, _) = run(1), run(2)
    add_param_group(optimizer, {"params": nn.Parameter(torch.ones(1)), "lr": 0.02}, schedulers)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(whole.param_groups[1]["lr"])


def test_a_lambda_for_the_new_group(refused):
    """lr_lambda is the new group's function, needed if the old groups have different ones."""
    params = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = Adam([{"params": [param]} for param in params[:2]], lr=0.1)
    scheduler = LambdaLR(optimizer, [inverse, shrink])
    group = {"params": params[2:], "lr": 1.0}
    assert refused(optimizer, group, [scheduler]) == (
        "LambdaLR: its lr_lambdas differ from group to group, so the new group's is not known. "
        "Pass lr_lambda=."
    )
    optimizer.step()
    scheduler.step()
    add_param_group(optimizer, group, [scheduler], lr_lambda=lambda epoch: 3.0**epoch)
    assert [each["lr"] for each in optimizer.param_groups] == [0.05, 0.09000000000000001, 3.0]
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[2]["lr"] == 9.0


def test_learning_rates_set_by_hand(refused, fresh):
    """If the schedulers do not lead to the current lr, both numbers are shown."""
    optimizer, group = fresh()
    scheduler = StepLR(optimizer, 1, 0.5)
    optimizer.param_groups[0]["lr"] = 0.3
    assert refused(optimizer, group, [scheduler]) == (
        "replaying the schedulers does not give the current learning rates: group 0 has 0.3, they "
        "make it 0.1. Pass every scheduler, in the order in which they are stepped, and set no lr "
        "by hand."
    )


def test_a_plateau_whose_start_is_unknown(refused):
    """A plateau's past is told from initial_lr or the default lr; else the remedy is said."""
    optimizer = SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": 0.1}], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    group = {"params": [nn.Parameter(torch.ones(1))], "lr": 0.02}
    for _ in range(3):
        scheduler.step(1.0)
    assert refused(optimizer, group, [scheduler]) == (
        "replaying the schedulers does not give the current learning rates: group 0 has 0.025, "
        "they make it 1. ReduceLROnPlateau does not record how often it reduced: put the lr that "
        "each group started with into it, as 'initial_lr', or pass start=\"now\"."
    )
    optimizer.param_groups[0]["initial_lr"] = 0.1
    add_param_group(optimizer, group, [scheduler])
    assert optimizer.param_groups[1]["lr"] == 0.005


def test_a_plateau_at_its_bound(refused):
    """When a bound hides how often a plateau reduced, and it matters, it is refused."""
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.05)
    for _ in range(6):
        scheduler.step(1.0)
    group = {"params": [nn.Parameter(torch.ones(1))], "lr": 10.0}
    assert "does not record how often" in refused(optimizer, group, [scheduler])


def test_two_plateaus(refused, fresh):
    """Two plateau schedulers can't be told apart, and are refused."""
    optimizer, group = fresh()
    pair = [ReduceLROnPlateau(optimizer), ReduceLROnPlateau(optimizer)]
    assert refused(optimizer, group, pair) == (
        "two ReduceLROnPlateau: which one lowered an lr is not known. Pass one."
    )


def test_old_warnings_are_not_repeated(fresh):
    """A replay warns of nothing, not even when scheduler and optimizer never stepped."""
    optimizer, group = fresh()
    scheduler = StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        add_param_group(optimizer, group, [scheduler])
