"""Optimizers and schedulers inside others: every wing sees through them, by one mechanism.

Each wrapper here does what the class does that it is named after, and no more.
"""

from collections import OrderedDict, defaultdict

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, LRScheduler

from optimkit import (
    add_param_group,
    audit,
    describe,
    diff,
    load,
    load_optimizer,
    lr_curve,
    save,
    snapshot,
    state_memory,
)


class Accelerated(torch.optim.Optimizer):
    """Accelerate's AcceleratedOptimizer: properties that pass on, and a class of its own."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.scaler = None

    state = property(lambda self: self.optimizer.state)
    param_groups = property(lambda self: self.optimizer.param_groups)
    defaults = property(lambda self: self.optimizer.defaults)

    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict):
        self.optimizer.load_state_dict(state_dict)

    def step(self, closure=None):
        self.optimizer.step(closure)

    def zero_grad(self, set_to_none=None):
        self.optimizer.zero_grad()


def lightning(optimizer):
    """Return Lightning's LightningOptimizer: of a class made for it, with the attributes copied."""

    class LightningOptimizer:
        def __init__(self, inner):
            self.__dict__ = dict(vars(inner))
            self._optimizer = inner

        def step(self, closure=None):
            self._optimizer.step()

    kind = type(f"Lightning{type(optimizer).__name__}", (LightningOptimizer, type(optimizer)), {})
    return kind(optimizer)


class Lookahead(torch.optim.Optimizer):
    """Timm's Lookahead: what it keeps is in the state of the optimizer that it wraps."""

    def __init__(self, base, alpha=0.5, k=2):
        self._optimizer_step_pre_hooks, self._optimizer_step_post_hooks = (
            OrderedDict(),
            OrderedDict(),
        )
        self._base_optimizer = base
        self.param_groups = base.param_groups
        self.defaults = base.defaults
        self.defaults.update(lookahead_alpha=alpha, lookahead_k=k, lookahead_step=0)
        self.state = defaultdict(dict)
        for group in self.param_groups:
            group.update(lookahead_alpha=alpha, lookahead_k=k, lookahead_step=0)

    def step(self, closure=None):
        self._base_optimizer.step()
        for group in self.param_groups:
            group["lookahead_step"] += 1

    def state_dict(self):
        return self._base_optimizer.state_dict()

    def load_state_dict(self, state_dict):
        self._base_optimizer.load_state_dict(state_dict)
        self.param_groups = self._base_optimizer.param_groups


class LARC:
    """Apex's LARC: no torch.optim.Optimizer."""

    def __init__(self, optimizer):
        self.optim = optimizer
        self.trust_coefficient = 0.02

    state = property(lambda self: self.optim.state)
    param_groups = property(lambda self: self.optim.param_groups)

    def state_dict(self):
        return self.optim.state_dict()

    def load_state_dict(self, state_dict):
        self.optim.load_state_dict(state_dict)

    def step(self):
        self.optim.step()

    def zero_grad(self):
        self.optim.zero_grad()


class OptimWrapper:
    """Fastai's OptimWrapper: no groups of its own, the rest by ``__getattr__``."""

    def __init__(self, opt):
        self.opt = opt
        self.state = defaultdict(dict)

    def __getattr__(self, name):
        if name not in ("zero_grad", "step", "state_dict", "load_state_dict"):
            raise AttributeError(name)
        return getattr(self.opt, name)


class WithSettings:
    """MMEngine's OptimWrapper: its groups end in one of its own, which nothing trains."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.base_param_settings = {"params": [torch.tensor([0.0])], **optimizer.defaults}

    param_groups = property(lambda self: [*self.optimizer.param_groups, self.base_param_settings])
    defaults = property(lambda self: self.optimizer.defaults)
    state = property(lambda self: self.optimizer.state)

    def step(self):
        self.optimizer.step()

    def zero_grad(self):
        self.optimizer.zero_grad()

    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict):
        self.optimizer.load_state_dict(state_dict)


class SAM(torch.optim.Optimizer):
    """SAM as most have it: made around a class, with state of its own beside that of the other."""

    def __init__(self, params, base, **options):
        super().__init__(params, options)
        self.base_optimizer = base(self.param_groups, **options)
        self.param_groups = self.base_optimizer.param_groups
        self.defaults.update(self.base_optimizer.defaults)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param]["old_p"] = param.clone()
        self.base_optimizer.step()

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        self.base_optimizer.param_groups = self.param_groups


class Schedule:
    """A wrapper around that of accelerate."""

    def __init__(self, scheduler):
        self.inner = scheduler

    def __getattr__(self, name):
        return getattr(vars(self)["inner"], name)


class AcceleratedScheduler:
    """Accelerate's: no LRScheduler."""

    def __init__(self, scheduler, optimizers):
        self.scheduler = scheduler
        self.optimizers = optimizers

    def step(self):
        self.scheduler.step()

    def state_dict(self):
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict):
        self.scheduler.load_state_dict(state_dict)


class Handler:
    """Ignite's LRScheduler: called by an engine, it counts for the scheduler and never steps it."""

    def __init__(self, lr_scheduler):
        self.lr_scheduler = lr_scheduler
        self.event_index = 0

    def __call__(self, engine=None):
        self.lr_scheduler.last_epoch += 1
        self.lr_scheduler._get_lr_called_within_step = True
        lrs = self.lr_scheduler.get_lr()
        self.lr_scheduler._get_lr_called_within_step = False
        for group, lr in zip(self.lr_scheduler.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self.event_index += 1

    def state_dict(self):
        return {"event_index": self.event_index, "lr_scheduler": self.lr_scheduler.state_dict()}

    def load_state_dict(self, state_dict):
        self.event_index = state_dict["event_index"]
        self.lr_scheduler.load_state_dict(state_dict["lr_scheduler"])


class WarmUp(LRScheduler):
    """A warm-up as people write it: it holds the scheduler that goes on after it."""

    def __init__(self, optimizer, steps, after):
        self.steps, self.after = steps, after
        super().__init__(optimizer)

    def get_lr(self):
        if self.last_epoch > self.steps:
            return self.after.get_last_lr()
        return [base * (self.last_epoch + 1) / (self.steps + 1) for base in self.base_lrs]

    def step(self, epoch=None):
        if self.last_epoch > getattr(self, "steps", 0):
            self.after.step()
        super().step()


def twice(optimizer):
    """Return a wrapper around a wrapper, neither of which is an optimizer for torch."""
    return LARC(WithSettings(optimizer))


WRAPPERS = [Accelerated, lightning, Lookahead, LARC, OptimWrapper, WithSettings, twice]
BOTH_WAYS = [*WRAPPERS, lambda optimizer: Accelerated(lightning(optimizer))]


def train(optimizer, model, steps=3):
    """Take some steps."""
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()


def built(lr=0.1):
    """Return a model, and AdamW of it."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, AdamW(model.parameters(), lr=lr)


def momenta(optimizer):
    """Return what an AdamW keeps."""
    return [state["exp_avg"] for state in optimizer.state.values()]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapper_is_looked_at_as_what_it_wraps(wrap):
    """Describe, state_memory, snapshot and diff see the class, the state and the options within."""
    model, inner = built()
    outer = wrap(inner)
    before = snapshot(outer)
    train(outer, model)
    assert str(describe(outer, model)) == str(describe(inner, model))
    assert describe(outer).optimizer == "AdamW"
    assert state_memory(outer).rows == state_memory(inner).rows != ()
    assert diff(before, outer).rows == diff(before, inner).rows != ()
    assert diff(outer, inner).rows == ()


@pytest.mark.parametrize(
    ("wrap", "driven"),
    [
        *((wrap, "inner") for wrap in WRAPPERS),
        *((wrap, "outer") for wrap in (Accelerated, lightning, Lookahead)),  # as torch takes them
    ],
)
def test_wrapped_run_is_audited(wrap, driven):
    """A healthy run is healthy whichever of the two is given; a fault within is found."""
    model, inner = built()
    outer = wrap(inner)
    scheduler = ExponentialLR(inner if driven == "inner" else outer, 0.5)
    wrapped = AcceleratedScheduler(scheduler, [outer])
    train(outer, model)
    scheduler.step()
    for optimizers in (outer, inner, [inner, outer]):
        for schedulers in (scheduler, wrapped, [scheduler, wrapped], Schedule(wrapped)):
            assert audit(optimizers, model, schedulers=schedulers).at_least("warning").rows == ()
    inner.param_groups[0]["lr"] = 0.7
    del inner.state[model.weight]["exp_avg"]
    found = audit(outer, model, schedulers=wrapped)
    assert found == audit(inner, model, schedulers=scheduler)
    assert set(found.at_least("error").codes) == {"lr-mismatch", "state-keys"}


@pytest.mark.parametrize("wrap", BOTH_WAYS)
@pytest.mark.parametrize("saved", ["wrapped", "plain"])
def test_wrapped_pair_and_plain_pair_load_each_other(wrap, saved, tmp_path):
    """A file of one loads into the other, whose parts stay attached to each other."""
    model, inner = built()
    schedule = ExponentialLR(inner, 0.5)
    outer = wrap(inner)
    train(outer, model)
    schedule.step()
    objects = {"optimizer": outer, "scheduler": AcceleratedScheduler(schedule, [outer])}
    if saved == "plain":
        objects = {"optimizer": inner, "scheduler": schedule}
    path = save(tmp_path / "a.pt", model=model, **objects)
    model, again = built(lr=0.3)
    schedule = ExponentialLR(again, 0.5)
    around = wrap(again)
    objects = {"optimizer": again, "scheduler": schedule}
    if saved == "plain":
        objects = {"optimizer": around, "scheduler": AcceleratedScheduler(schedule, [around])}
    load(path, model=model, **objects)
    assert schedule.last_epoch == 1
    assert again.param_groups[0]["lr"] == 0.05
    assert len(momenta(again)) == 2
    assert all(map(torch.equal, momenta(again), momenta(inner)))
    if hasattr(around, "param_groups"):
        assert around.param_groups[0] is again.param_groups[0]
    train(around, model)
    schedule.step()
    assert again.param_groups[0]["lr"] == 0.025
    assert audit(around, model, schedulers=schedule).at_least("warning").rows == ()


def test_load_optimizer_of_a_wrapper():
    """load_optimizer goes into what is wrapped."""
    model, inner = built()
    train(inner, model)
    _, again = built(lr=0.3)
    report = load_optimizer(Accelerated(again), inner.state_dict(), match="position")
    assert report.name == "AdamW"
    assert again.param_groups[0]["lr"] == 0.1
    assert len(again.state) == 2


def test_load_keeps_the_tables(tmp_path):
    """Whoever holds the groups or the state of an optimizer holds them still after a load."""
    model, optimizer = built()
    train(optimizer, model)
    groups, group, state = optimizer.param_groups, optimizer.param_groups[0], optimizer.state
    path = save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    load(path, model=model, optimizer=optimizer)
    assert optimizer.param_groups is groups
    assert optimizer.param_groups[0] is group
    assert optimizer.state is state
    assert isinstance(state, defaultdict)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, Accelerated, LARC])
def test_wrapper_with_state_of_its_own(wrap, tmp_path):
    """What an outer and an inner optimizer keep is saved, and loaded; the plain one leaves it out."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = SAM(model.parameters(), SGD, lr=0.1, momentum=0.9)
    train(optimizer, model)
    assert state_memory(wrap(optimizer)).total == 2 * 4 * (6 + 2)
    path = save(tmp_path / "a.pt", model=model, optimizer=wrap(optimizer))
    again = nn.Linear(3, 2)
    outer = SAM(again.parameters(), SGD, lr=0.2, momentum=0.9)
    assert state_memory(wrap(outer), predict=True).total == 2 * 4 * (6 + 2)
    load(path, model=again, optimizer=wrap(outer))
    plain = SGD(again.parameters(), lr=0.2, momentum=0.9)
    load(path, model=again, optimizer=plain)
    for was, now in zip(model.parameters(), again.parameters(), strict=True):
        kept = optimizer.base_optimizer.state[was]["momentum_buffer"]
        assert torch.equal(kept, outer.base_optimizer.state[now]["momentum_buffer"])
        assert torch.equal(kept, plain.state[now]["momentum_buffer"])
        assert torch.equal(optimizer.state[was]["old_p"], outer.state[now]["old_p"])
        assert plain.state[now].keys() == {"momentum_buffer"}
    assert outer.param_groups is outer.base_optimizer.param_groups
    assert outer.param_groups[0]["lr"] == plain.param_groups[0]["lr"] == 0.1


def test_schedules_of_wrappers():
    """lr_curve and add_param_group take wrapped schedulers, and optimizers whose state is a property."""
    model, inner = built()
    outer = Accelerated(inner)
    scheduler = AcceleratedScheduler(LambdaLR(outer, lambda step: 0.5**step), [outer])
    assert lr_curve(scheduler, 2).lrs() == [0.1, 0.05, 0.025]
    train(outer, model, 1)
    scheduler.step()
    add_param_group(outer, {"params": [torch.ones(1)], "lr": 0.01}, scheduler)
    assert [group["lr"] for group in inner.param_groups] == [0.05, 0.005]
    assert lr_curve(scheduler, 1).lrs(1) == [0.005, 0.0025]
    assert audit(outer, schedulers=scheduler).at_least("warning").rows == ()


def test_handler_that_never_steps(tmp_path):
    """Where a scheduler is counted on but never stepped, what it says it has set is no mismatch."""
    model, optimizer = built()
    scheduler = ExponentialLR(optimizer, 0.5)
    handler = Handler(scheduler)
    for _ in range(3):
        train(optimizer, model, 1)
        handler()
    assert audit(optimizer, model, schedulers=handler).at_least("warning").rows == ()
    assert audit(optimizer, model, schedulers=scheduler).at_least("warning").rows == ()
    assert lr_curve(handler, 1).lrs() == pytest.approx([0.0125, 0.00625])
    path = save(tmp_path / "a.pt", optimizer=optimizer, schedule=handler)
    again = Handler(ExponentialLR(built()[1], 0.5))
    load(path, schedule=again)
    assert (again.event_index, again.lr_scheduler.last_epoch) == (3, 3)


def test_scheduler_that_holds_another(tmp_path):
    """A scheduler that holds another is saved with its state, and loads it into the live one."""
    model, optimizer = built()
    scheduler = WarmUp(optimizer, 2, ExponentialLR(optimizer, 0.5))
    for _ in range(5):
        train(optimizer, model, 1)
        scheduler.step()
    path = save(tmp_path / "a.pt", model=model, optimizer=optimizer, scheduler=scheduler)
    assert torch.load(path, weights_only=True)["scheduler"]["after"]["last_epoch"] == 2
    for options in ("saved", "current"):
        model, again = built()
        other = WarmUp(again, 2, after := ExponentialLR(again, 0.5))
        load(path, model=model, optimizer=again, scheduler=other, options=options)
        assert other.after is after
        assert after.optimizer is again
        assert after.last_epoch == 2
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        again.step()
        other.step()
        assert after.last_epoch == 3


def test_a_run_is_no_wrapper(tmp_path):
    """An object that has a scheduler among other things is saved by its own state dict."""

    class Run:
        def __init__(self):
            self.model, optimizer = built()
            self.scheduler = ExponentialLR(optimizer, 0.5)
            self.calls = 0

        def step(self):
            self.scheduler.step()

        def state_dict(self):
            self.calls += 1
            return {"calls": self.calls, **self.scheduler.state_dict()}

        def load_state_dict(self, state_dict):
            self.calls = state_dict["calls"]

    run = Run()
    path = save(tmp_path / "a.pt", run=run)
    assert run.calls == 1
    load(path, run=(again := Run()))
    assert again.calls == 1


def test_schedulers_of_other_packages():
    """A scheduler that is none of torch's, as mmengine has, is taken for what it has of one."""

    class Cosine:
        def __init__(self, optimizer):
            self.optimizer, self.eta_min, self.last_step, self._step_count = optimizer, None, 3, 1

        def step(self):
            pass

    model, optimizer = built()
    assert audit(optimizer, model, schedulers=Cosine(optimizer)).at_least("warning").rows == ()


def test_part_of_an_optimizer_is_no_wrapped_one():
    """An optimizer that holds one of some of its parameters, as a sharded one does, stands for itself."""

    class Sharded(torch.optim.Optimizer):
        def __init__(self, params, kind, **options):
            params = list(params)
            super().__init__(params, options)
            self.optim = kind(params[:1], **options)

    optimizer = Sharded(nn.Linear(3, 2).parameters(), SGD, lr=0.1)
    assert describe(optimizer).optimizer == "Sharded"
    assert len(describe(optimizer).rows) == 2


class Slotted:
    """Keeps what it wraps in a slot: a class made to be small has no attributes besides."""

    __slots__ = ("inner", "steps")

    def __init__(self, inner):
        self.inner = inner

    param_groups = property(lambda self: self.inner.param_groups)

    def step(self):
        self.inner.step()

    def zero_grad(self):
        self.inner.zero_grad()


class Listed:
    """Keeps what it wraps in a list of one, beside an alias of it."""

    def __init__(self, inner):
        self.all, self.first = [inner], inner

    step, zero_grad = Slotted.step, Slotted.zero_grad
    param_groups = property(lambda self: self.all[0].param_groups)


@pytest.mark.parametrize("around", [Slotted, Listed])
def test_wherever_it_is_held(around):
    """A slot, a list of one, two attributes for one optimizer: it is found."""
    model = nn.Linear(2, 2)
    optimizer = AdamW(model.parameters())
    assert describe(around(optimizer), model).optimizer == "AdamW"
    assert not audit(around(optimizer), model).rows


class Container(torch.optim.Optimizer):
    """torchtitan's container: an optimizer that holds several, and keeps no state."""

    def __init__(self, params):
        params = list(params)
        self.optimizers = [AdamW([each]) for each in params]
        super().__init__(params, {"lr": 1e-3})

    def step(self, closure=None):
        for each in self.optimizers:
            each.step()


def test_whose_state_is_where():
    """Of a container it is said where the state is, once there is some."""
    model = nn.Linear(2, 2)
    container = Container(model.parameters())
    assert not describe(container, model).notes
    model(torch.ones(1, 2)).sum().backward()
    container.step()
    assert describe(container, model).notes == (
        "The state is in .optimizers[0] (AdamW), .optimizers[1] (AdamW), which Container steps: "
        "describe that",
    )
