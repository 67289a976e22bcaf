"""Optimizer and scheduler agree after a load: what was, or the current schedule at that step."""

import copy
import re
import warnings

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

import optimkit
from optimkit import MismatchError

SCHEDULERS = {
    "Lambda": lambda o, k: lrs.LambdaLR(o, lambda step: (0.9 / k) ** step),
    "Multiplicative": lambda o, k: lrs.MultiplicativeLR(o, lambda step: 0.9 / k),
    "Step": lambda o, k: lrs.StepLR(o, 2, 0.5 / k),
    "MultiStep": lambda o, k: lrs.MultiStepLR(o, [2, 4], 0.5 / k),
    "Constant": lambda o, k: lrs.ConstantLR(o, 0.5 / k, total_iters=8),
    "Linear": lambda o, k: lrs.LinearLR(o, 0.1, total_iters=8 * k),
    "Exponential": lambda o, k: lrs.ExponentialLR(o, 0.9 / k),
    "Polynomial": lambda o, k: lrs.PolynomialLR(o, 8 * k, 2.0),
    "Cosine": lambda o, k: lrs.CosineAnnealingLR(o, 8 * k),
    "WarmRestarts": lambda o, k: lrs.CosineAnnealingWarmRestarts(o, 2 * k, 2),
    "Cyclic": lambda o, k: lrs.CyclicLR(o, 0.01 * k, 0.1, 3),
    "OneCycle": lambda o, k: lrs.OneCycleLR(o, 0.1 * k, 12 * k),
    "Sequential": lambda o, k: lrs.SequentialLR(
        o, [lrs.LinearLR(o, 0.1, total_iters=3), lrs.CosineAnnealingLR(o, 8 * k)], [3]
    ),
    "Chained": lambda o, k: lrs.ChainedScheduler(
        [lrs.ConstantLR(o, 0.5, total_iters=3), lrs.ExponentialLR(o, 0.9 / k)]
    ),
    "nested twice": lambda o, k: lrs.ChainedScheduler(
        [
            lrs.SequentialLR(
                o,
                [lrs.ConstantLR(o, 0.5, 2), lrs.CosineAnnealingWarmRestarts(o, 2 * k, 2)],
                [2],
            ),
            lrs.ExponentialLR(o, 0.9),
        ]
    ),
    "SWA": lambda o, k: SWALR(o, 0.001 * k, anneal_epochs=6),
}


@pytest.fixture
def path(tmp_path):
    """Return where a checkpoint goes."""
    return tmp_path / "last.pt"


def build(make, k=1, lr=0.1, parts=None):
    """Make a model, its optimizer and its scheduler."""
    model = nn.Linear(2, 1)
    groups = parts(model) if parts else model.parameters()
    optimizer = SGD(groups, lr=lr, momentum=0.9)
    return {"model": model, "optimizer": optimizer, "scheduler": make(optimizer, k)}


def run(objects, steps):
    """Step so often, and return the learning rates on the way."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch 2.6 says of its own SequentialLR
        for _ in range(steps):
            objects["optimizer"].step()
            objects["scheduler"].step()
            found.append([group["lr"] for group in objects["optimizer"].param_groups])
    return found


def agree(objects):
    """Tell whether scheduler and groups name the same learning rates."""
    now = [group["lr"] for group in objects["optimizer"].param_groups]
    return list(objects["scheduler"].get_last_lr()) == now


def backwards(objects):
    """Give the objects in the other order."""
    return dict(reversed(objects.items()))


@pytest.mark.parametrize(
    ("name", "order"), [*((name, backwards) for name in SCHEDULERS), ("OneCycle", dict)]
)
def test_s14_any_order(path, name, order):
    """S14: made late, loaded in any order, the schedule goes on as if nothing had been."""
    straight, again = build(SCHEDULERS[name]), build(SCHEDULERS[name])
    run(straight, 4)
    optimkit.save(path, durable=False, **straight)
    optimkit.load(path, **order(again))
    assert agree(again)
    assert run(again, 4) == run(straight, 4)


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
def test_s15_the_scheduler_alone(path, make):
    """S15: a scheduler that is loaded without its optimizer takes its lr along."""
    straight = build(make)
    run(straight, 4)
    optimkit.save(path, durable=False, **straight)
    again = build(make)
    optimkit.load(path, scheduler=again["scheduler"])
    assert agree(again)
    assert run(again, 4) == run(straight, 4)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("OneCycle", "max_lr: saved [0.1], current [0.2], min_lr: saved [4e-07], current [8e-07]"),
        ("SWA", "swa_lr: saved [0.001], current [0.002]"),
    ],
)
def test_s16_what_a_scheduler_keeps_in_the_groups(path, name, told):
    """S16: what it keeps in the optimizer's groups is compared without the optimizer too."""
    optimkit.save(path, durable=False, **build(SCHEDULERS[name]))
    make = {"OneCycle": lambda o, _: lrs.OneCycleLR(o, 0.2, 12), "SWA": SCHEDULERS["SWA"]}[name]
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, scheduler=build(make, k=2)["scheduler"])
    assert told in str(caught.value)


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"Lambda", "Multiplicative"}))
def test_s16_another_configuration(path, name):
    """S16: a schedule that is configured otherwise is refused, even where not all must fit."""
    straight = build(SCHEDULERS[name])
    optimkit.save(path, durable=False, **straight)
    again = build(SCHEDULERS[name], k=2)
    before = copy.deepcopy([each.state_dict() for each in again.values()])
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, strict=False, **again)
    assert [name for name, each in caught.value.reports.items() if each.problems] == ["scheduler"]
    assert repr(before) == repr([each.state_dict() for each in again.values()])


def test_s16_the_text(path):
    """S16: the error says what was, and what is."""
    straight = build(SCHEDULERS["Cosine"])
    optimkit.save(path, durable=False, **straight)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **build(SCHEDULERS["Cosine"], k=2))
    assert str(caught.value) == (
        f"scheduler: the current CosineAnnealingLR is not the one in {path} (T_max: saved 8, current "
        '16). Make it as it was, or pass options="current" to go on by the current one.'
    )


@pytest.mark.parametrize(
    ("name", "ahead"),
    [
        *((name, 0) for name in SCHEDULERS),
        *((name, 7) for name in SCHEDULERS),
        *((name, 2) for name in ("Linear", "Cyclic", "Sequential", "SWA")),
    ],
)
def test_the_current_schedule(path, name, ahead):
    """With the current configuration, the lr is what it gives at the saved step: not yet, past."""
    make = SCHEDULERS[name]
    saved = build(make)
    run(saved, 4)
    optimkit.save(path, durable=False, **saved)
    expected, again = (build(make, k=2, lr=0.05) for _ in range(2))
    run(expected, 4)
    run(again, ahead)
    optimkit.load(path, **again, options="current")
    assert agree(again)
    one, two = run(again, 5), run(expected, 5)
    assert one == [pytest.approx(each) for each in two]
    if ahead == 0:
        assert one == two
    momenta = [each["optimizer"].param_groups[0]["momentum"] for each in (again, expected)]
    assert momenta[0] == momenta[1]


def test_the_current_schedule_is_reported(path):
    """The report lists what differed: the schedule's configuration and the options."""
    saved = build(SCHEDULERS["Cosine"])
    optimkit.save(path, durable=False, **saved)
    again = build(SCHEDULERS["Cosine"], k=2, lr=0.05)
    reports = optimkit.load(path, **again, options="current").reports
    assert [tuple(row) for row in reports["scheduler"].options_changed] == [
        ("CosineAnnealingLR", "T_max", 8, 16)
    ]
    assert [row.key for row in reports["optimizer"].options_changed] == ["lr", "initial_lr"]


def test_the_current_schedule_ends_before(path):
    """A schedule that is over at the saved step is refused."""
    saved = build(lambda o, k: lrs.OneCycleLR(o, 0.1, 12))
    run(saved, 10)
    optimkit.save(path, durable=False, **saved)
    again = build(lambda o, k: lrs.OneCycleLR(o, 0.1, 5))
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **again, options="current")
    assert str(caught.value) == (
        f"scheduler: the current OneCycleLR can't be brought to step 10, where {path} is: Tried to "
        "step 6 times. The specified number of total steps is 5"
    )


def test_a_plateau_goes_on(path):
    """With the current options a plateau keeps what it has seen, and the current lr."""
    saved = build(lambda o, k: lrs.ReduceLROnPlateau(o, patience=2, factor=0.5))
    for metric in (1.0, 0.5, 0.7, 0.8):
        saved["scheduler"].step(metric)
    optimkit.save(path, durable=False, **saved)
    again = build(lambda o, k: lrs.ReduceLROnPlateau(o, patience=3, factor=0.1), lr=0.3)
    optimkit.load(path, **again, options="current")
    scheduler = again["scheduler"]
    assert (scheduler.best, scheduler.num_bad_epochs, scheduler.patience) == (0.5, 2, 3)
    assert again["optimizer"].param_groups[0]["lr"] == 0.3
    assert agree(again)


def one_group(model):
    return [{"params": model.parameters()}]


def two_groups(model):
    return [{"params": [model.bias]}, {"params": [model.weight]}]


def two_lrs(model):
    return [{"params": [model.bias], "lr": 0.3}, {"params": [model.weight], "lr": 0.1}]


def two_lrs_turned(model):
    return two_lrs(model)[::-1]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        *((name, two_lrs, two_lrs_turned) for name in SCHEDULERS),
        *((name, one_group, two_groups) for name in ("Lambda", "Cyclic", "OneCycle", "Chained")),
        *((name, two_groups, one_group) for name in ("Lambda", "Cyclic", "OneCycle", "Sequential")),
    ],
)
def test_regrouped(path, name, before, after):
    """The schedule follows its groups: base lrs and all that it keeps for each."""
    make = SCHEDULERS[name]
    saved, again = build(make, parts=before), build(make, parts=after)
    run(saved, 4)
    optimkit.save(path, durable=False, **saved)
    optimkit.load(path, **again)
    assert agree(again)

    def by_name(objects, lrs):
        of = {
            id(param): index
            for index, group in enumerate(objects["optimizer"].param_groups)
            for param in group["params"]
        }
        return [[each[of[id(param)]] for each in lrs] for param in objects["model"].parameters()]

    assert by_name(again, run(again, 4)) == by_name(saved, run(saved, 4))


def test_s16_each_difference_is_told_once(path):
    """S16: what a scheduler keeps in a list and writes into the groups too is compared once."""
    optimkit.save(path, durable=False, **build(lambda o, k: lrs.CyclicLR(o, 0.01, 0.1)))
    again = build(lambda o, k: lrs.CyclicLR(o, 0.01, 0.1, base_momentum=0.7))
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, scheduler=again["scheduler"])
    assert "(base_momentums: saved [0.8], current [0.7])" in str(caught.value)


def test_regrouped_without_the_optimizer(path):
    """Without the optimizer nothing says which group is which."""
    saved = build(SCHEDULERS["Step"], parts=two_groups)
    optimkit.save(path, durable=False, **saved)
    again = build(SCHEDULERS["Step"])
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, scheduler=again["scheduler"])
    assert str(caught.value) == (
        f"scheduler: {path} has 2 groups, the current optimizer 1. Load the optimizer in the same "
        "call, so that the groups can be matched."
    )


def test_a_scheduler_inside_another(path):
    """Schedulers that are nested are compared too."""
    saved = build(SCHEDULERS["Sequential"])
    optimkit.save(path, durable=False, **saved)
    again = build(
        lambda o, k: lrs.SequentialLR(o, [lrs.LinearLR(o, 0.1), lrs.ExponentialLR(o, 0.9)], [3])
    )
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **again)
    assert str(caught.value) == (
        f"scheduler: {path} was saved with SequentialLR of LinearLR, CosineAnnealingLR, the current "
        "one is SequentialLR of LinearLR, ExponentialLR. Make the same scheduler."
    )


def test_a_plain_file(path):
    """A file that optimkit did not write: by position, with a warning; a class by what it keeps."""
    saved = build(SCHEDULERS["Cosine"])
    run(saved, 4)
    torch.save({name: each.state_dict() for name, each in saved.items()}, path)
    again = build(SCHEDULERS["Cosine"])
    with pytest.warns(UserWarning, match="optimizer was matched by position: "):
        optimkit.load(path, **again)
    assert run(again, 4) == run(saved, 4)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **build(SCHEDULERS["Step"]))
    assert str(caught.value) == (
        f"scheduler: {path} was saved with one that keeps T_max, eta_min and lacks gamma, step_size, "
        "the current one is StepLR. Make the same scheduler."
    )


def test_a_plain_file_with_other_objects(path):
    """A file under whose names are other objects, or none: what is said of it is so."""
    parts = build(SCHEDULERS["Step"])
    states = {name: each.state_dict() for name, each in parts.items()}
    torch.save({**states, "scheduler": states["optimizer"], "optimizer": states["scheduler"]}, path)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **parts)
    assert caught.value.problems == (
        f"optimizer: what {path} has for it is no state dict of an optimizer, but a dict without "
        "'state' and 'param_groups'.",
        f"scheduler: {path} holds an optimizer under this name, no scheduler.",
    )


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_plain_file_of_one_state_dict(path, prefix):
    """It loads into the only object; beside others, it is said what it is."""
    model = nn.Linear(2, 3)
    optimizer = torch.optim.Adam(model.parameters())
    torch.save({prefix + name: each for name, each in model.state_dict().items()}, path)
    other = nn.Linear(2, 3)
    optimkit.load(path, model=other)
    assert other.weight.equal(model.weight)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=model, optimizer=optimizer)
    assert caught.value.problems == (
        f"{path} is by its form the state dict of a model, and holds no objects by name. Load it by "
        "itself, into such an object, or give another file.",
    )


def test_a_plain_file_of_one_optimizer_or_scheduler(path):
    """A file of one state dict loads into the only object, under any name."""
    parts = build(SCHEDULERS["Cosine"])
    run(parts, 4)
    again = build(SCHEDULERS["Cosine"])
    for name, each in parts.items():
        torch.save(each.state_dict(), path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # there are no names
            optimkit.load(path, it=again[name])
    assert run(again, 4) == run(parts, 4)


def test_a_scheduler_of_ones_own(path):
    """Of another class, what its constructor takes is its configuration."""

    class Warm(lrs.LRScheduler):
        def __init__(self, optimizer, steps):
            self.steps, self.seen = steps, 0
            super().__init__(optimizer)

        def get_lr(self):
            self.seen += 1
            return [base * min(1.0, (self.last_epoch + 1) / self.steps) for base in self.base_lrs]

    saved = build(lambda o, k: Warm(o, 8 * k))
    run(saved, 4)
    optimkit.save(path, durable=False, **saved)
    again = build(lambda o, k: Warm(o, 8))
    optimkit.load(path, **again)
    assert again["scheduler"].seen == 5
    other = build(lambda o, k: Warm(o, 16))
    with pytest.raises(MismatchError, match=r"\(steps: saved 8, current 16\)"):
        optimkit.load(path, **other)
    optimkit.load(path, **other, options="current")
    assert other["optimizer"].param_groups[0]["lr"] == pytest.approx(0.1 * 5 / 16)


@pytest.mark.parametrize("then", [True, False])
@pytest.mark.parametrize("now", [True, False])
def test_s32_a_scaler(path, then, now):
    """S32: a scaler that is enabled on one side only is left as it is, and it is said."""
    saved = torch.amp.GradScaler("cpu", init_scale=8.0, enabled=then)
    again = torch.amp.GradScaler("cpu", init_scale=2.0, enabled=now)
    optimkit.save(path, durable=False, scaler=saved)
    report = optimkit.load(path, scaler=again).reports["scaler"]
    assert again.get_scale() == (8.0 if then and now else 2.0 if now else 1.0)
    if then == now:
        assert report.notes == ()
    else:
        was, is_now = ("enabled" if each else "disabled" for each in (then, now))
        assert report.notes == (
            f"scaler was {was} when it was saved, and is {is_now} now: its scale was left as "
            "it is.",
        )


def test_a_scaler_with_the_current_options(path):
    """With the current options a scaler grows by the current factor, from the saved scale."""
    optimkit.save(path, durable=False, scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
    again = torch.amp.GradScaler("cpu", init_scale=2.0, growth_factor=4.0)
    report = optimkit.load(path, scaler=again, options="current").reports["scaler"]
    assert (again.get_scale(), again.get_growth_factor()) == (8.0, 4.0)
    assert [tuple(row) for row in report.options_changed] == [("scaler", "growth_factor", 2.0, 4.0)]


def test_functions_get_their_attributes_back(path):
    """A load that fails leaves what a scheduler's functions remember as it was."""

    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return self.rate**step

    class Failing(SGD):
        def load_state_dict(self, state_dict):
            assert parts["scheduler"].lr_lambdas[0].rate == 0.5
            raise RuntimeError("no")

    optimizer = Failing(nn.Linear(2, 1).parameters(), lr=0.1)
    parts = {"optimizer": optimizer, "scheduler": lrs.LambdaLR(optimizer, Decay(0.5))}
    optimkit.save(path, durable=False, **parts)
    parts["scheduler"].lr_lambdas[0].rate = 0.9
    with pytest.raises(MismatchError, match="loading it raised RuntimeError: no"):
        optimkit.load(path, **parts)
    assert parts["scheduler"].lr_lambdas[0].rate == 0.9


def test_s33_an_average(path):
    """S33: an average is saved whole; one without its count is refused, strict or not."""
    model = nn.Linear(2, 1)
    ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    ema.update_parameters(model)
    optimkit.save(path, durable=False, ema=ema)
    again = AveragedModel(nn.Linear(2, 1))
    optimkit.load(path, ema=again)
    assert again.n_averaged == 1
    optimkit.save(path, durable=False, ema=ema.module)
    before = copy.deepcopy(again.state_dict())
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, ema=again, strict=False)
    assert str(caught.value) == (
        f"ema: {path} has no n_averaged, so the next update would throw the average away: only "
        "ema.module was saved. Save the AveragedModel whole."
    )
    assert all(torch.equal(before[key], again.state_dict()[key]) for key in before)


def rates(scheduler, optimizer, path):
    """Return what a load says of a file whose scheduler and optimizer have another lr."""
    return (
        f"scheduler: {path} contradicts itself: it has set an lr of {scheduler} against {optimizer} "
        "in group 0 in optimizer. The lr was set by hand, or it drove another optimizer. That of "
        "optimizer is taken."
    )


def test_an_lr_that_was_set_by_hand(path):
    """A file in which scheduler and optimizer have another lr says so when it is loaded."""
    straight, again = build(SCHEDULERS["Step"]), build(SCHEDULERS["Step"])
    run(straight, 4)
    straight["optimizer"].param_groups[0]["lr"] = 0.5
    optimkit.save(path, durable=False, **straight)
    with pytest.warns(UserWarning, match="contradicts") as told:
        loaded = optimkit.load(path, **again)
    assert [str(each.message) for each in told] == [rates("0.025", "0.5", path)]
    assert loaded.reports["scheduler"].notes == (rates("0.025", "0.5", path),)
    assert again["optimizer"].param_groups[0]["lr"] == 0.5
    optimkit.load(path, options="current", **again)  # its lr is not asked for


def test_one_of_two_schedulers(path, recwarn):
    """A scheduler beside another of the same optimizer, and loaded without it, contradicts nothing."""
    straight = build(SCHEDULERS["Step"])
    optimizer = straight["optimizer"]
    others = {"warm": lrs.LinearLR(optimizer, 0.1), "plateau": lrs.ReduceLROnPlateau(optimizer)}
    run(straight, 4)
    others["warm"].step()
    optimkit.save(path, durable=False, **straight, others=others)
    again = build(SCHEDULERS["Step"])
    optimkit.load(path, **again)
    assert not recwarn.list
    assert again["optimizer"].param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    optimizer.param_groups[0]["lr"] = 0.5
    optimkit.save(path, durable=False, **straight, others=others)
    with pytest.warns(UserWarning, match="contradicts"):
        optimkit.load(path, **build(SCHEDULERS["Step"]))


def test_a_scheduler_of_another_optimizer(path):
    """A scheduler is saved with an optimizer that it does not drive: said then, and loaded so."""
    one, other = build(SCHEDULERS["Step"]), build(SCHEDULERS["Step"])
    run(other, 4)
    mixed = {**one, "scheduler": other["scheduler"]}
    with pytest.warns(UserWarning, match="drives") as told:
        optimkit.save(path, durable=False, **mixed)
    assert [str(each.message) for each in told] == [
        "save: scheduler drives an optimizer that is not saved with it: optimizer is another object, "
        "and does not follow it. Save the optimizer that it drives."
    ]
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="contradicts") as told:
        optimkit.load(path, **build(SCHEDULERS["Step"]))
    assert [str(each.message) for each in told] == [rates("0.025", "0.1", path)]
    assert told[0].filename == __file__
    mixed = {**build(SCHEDULERS["Step"]), "scheduler": build(SCHEDULERS["Step"])["scheduler"]}
    with pytest.warns(UserWarning, match="drives") as told:
        optimkit.load(path, **mixed)
    assert str(told[0].message) == (
        "load: scheduler drives an optimizer that is not loaded with it: optimizer is another "
        "object, and does not follow it. Load the optimizer that it drives."
    )
    assert told[0].filename == __file__


def test_a_scheduler_that_is_ahead_of_an_optimizer_without_state(path):
    """The optimizer of the file has never stepped, its scheduler has: said, though the lr is equal."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.named_parameters())
    scheduler = lrs.StepLR(optimizer, 30)
    objects = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimkit.load(optimkit.save(path, **objects), **objects)
    scheduler.last_epoch = 9
    optimkit.save(path, **objects)
    with pytest.warns(UserWarning, match="has no state") as told:
        optimkit.load(path, **objects)
    assert [str(each.message) for each in told] == [
        f"scheduler: {path} contradicts itself: it has made 9 steps, and optimizer none, for it has "
        "no state. It drove another optimizer, or the state was not saved."
    ]


@pytest.mark.since("plateau_keeps_a_tensor")
def test_groups_that_share_a_tensor(path):
    """One tensor that is the lr of two groups still is: what a scheduler writes reaches both."""

    def make():
        weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
        optimizer = SGD(
            [{"params": [(f"w{i}", w)]} for i, w in enumerate(weights)], torch.tensor(0.1)
        )
        return optimizer, lrs.ReduceLROnPlateau(optimizer, patience=0)

    def lr_after_two_more(optimizer, scheduler):
        for _ in range(2):
            scheduler.step(1.0)
        return [float(group["lr"]) for group in optimizer.param_groups]

    one, schedule = make()
    lr_after_two_more(one, schedule)
    optimkit.save(path, durable=False, optimizer=one, scheduler=schedule)
    two, again = make()
    optimkit.load(path, optimizer=two, scheduler=again)
    assert two.param_groups[0]["lr"] is two.param_groups[1]["lr"]
    assert lr_after_two_more(two, again) == lr_after_two_more(one, schedule)


def test_other_functions(path):
    """No file has the functions of a LambdaLR: what they give tells whether they are the same."""
    objects = build(SCHEDULERS["Lambda"])
    run(objects, 3)
    optimkit.save(path, **objects)
    again = build(SCHEDULERS["Lambda"], k=2)
    with pytest.warns(UserWarning, match="its functions are not those") as caught:
        optimkit.load(path, **again)
    assert [str(each.message) for each in caught] == [
        "scheduler: its functions are not those that were saved: at step 3 they give an lr of "
        f'0.0091125, {path} has 0.0729. Make them as they were, or pass options="current" to go '
        "on by these."
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimkit.load(path, **again, options="current")
        optimkit.load(path, **build(SCHEDULERS["Lambda"]))


def test_a_schedule_that_ran_ahead_of_its_optimizer(tmp_path):
    """Stepped by the micro-batch, it was four times as fast: a load says so."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([weight])
    scheduler = lrs.ExponentialLR(optimizer, 0.99)
    weight.grad = torch.ones(1)
    for _ in range(10):
        optimizer.step()
        for _ in range(4):
            scheduler.step()
    path = optimkit.save(tmp_path / "last.pt", optimizer=optimizer, scheduler=scheduler)
    message = (
        f"scheduler: {path} has 40 steps of it, and 10 of optimizer: the schedule runs ahead. Call "
        "scheduler.step() once for each optimizer.step(), or once an epoch."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        optimkit.load(path, optimizer=optimizer, scheduler=scheduler)


@pytest.mark.parametrize("before", [True, False])
def test_what_is_frozen_now_in_its_group(tmp_path, before):
    """It trained when it was saved: a strict load says that it stands still; else nothing."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([("weight", weight)])
    weight.grad = torch.ones(1)
    optimizer.step()
    weight.requires_grad_(before)
    path = optimkit.save(tmp_path / "last.pt", optimizer=optimizer)
    weight.requires_grad_(False)
    message = (
        f"optimizer: {path} has weight trained, now frozen in its group: its state is loaded, and "
        "stands still. If it should train, set requires_grad=True."
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        optimkit.load(path, optimizer=optimizer)
    assert [str(each.message) for each in told] == [message] * before
