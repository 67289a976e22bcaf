"""Looking never touches: a run that is looked at ends bit for bit as one that is not."""

import contextlib
from collections import defaultdict
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import StepLR

import optimkit

TORCH = {
    "ASGD": {},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {},
    "Adam": {"amsgrad": True},
    "AdamW": {"fused": True},
    "Adamax": {},
    "LBFGS": {"max_iter": 3},
    "Muon": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Rprop": {},
    "SGD": {"momentum": 0.9},
}


class Sign(torch.optim.Optimizer):
    """Steps by the sign of a running mean, with noise: state, a count in the group, random numbers."""

    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr, "seen": 0})
        self.history = []  # of its own, beside the state

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["seen"] += 1
            for param in group["params"]:
                if param.grad is not None:
                    mean = self.state[param].setdefault("mean", torch.zeros_like(param))
                    mean.lerp_(param.grad, 0.1)
                    param.sub_(mean.sign() + 0.1 * torch.randn(()), alpha=group["lr"])
        self.history.append(len(self.state))


class Counting(Sign):
    """Counts the steps of all that there are of it, and keeps what they have seen."""

    steps = 0
    seen: ClassVar[list] = []

    def step(self, closure=None):
        super().step()
        Counting.steps += 1
        Counting.last = self
        self.seen.append(len(self.state))
        for param in self.param_groups[0]["params"]:
            param.data.mul_(1 - 0.01 * self.steps - 0.01 * len(self.seen))


class Wrapper(torch.optim.Optimizer):
    """Holds another optimizer, and shares its groups and its state, as wrappers do."""

    def __init__(self, inner):
        super().__init__([group.copy() for group in inner.param_groups], inner.defaults)
        self.inner, self.steps = inner, 0
        self.param_groups, self.state = inner.param_groups, inner.state

    def step(self, closure=None):
        self.inner.step()
        self.steps += 1


class Lookahead(Wrapper):
    """Keeps slow weights under a key of its own, and writes them into the parameters."""

    def __init__(self, inner):
        super().__init__(inner)
        self.state = defaultdict(dict)

    @torch.no_grad()
    def step(self, closure=None):
        self.inner.step()
        for group in self.param_groups:
            for param in group["params"]:
                slow = self.state[param].setdefault("slow", param.clone())
                param.copy_(slow.lerp_(param, 0.5))


class Table(Sign):
    """Keeps its state in a mapping of its own, by shape and address of the parameter."""

    def __init__(self, params):
        super().__init__(params)
        self.table = {}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                self.state[param] = self.table.setdefault(
                    (param.shape, param.data_ptr()), {0: {"mean": torch.zeros_like(param)}}
                )
                self.state[param][0]["mean"].add_(param.grad)
                param.sub_(self.state[param][0]["mean"], alpha=group["lr"])


class Reader(Sign):
    """Reads a value, as a trust ratio is read."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step()
        self.state[self.param_groups[0]["params"][0]]["norm"] = (
            self.param_groups[0]["params"][0].sum().item()
        )


class Captive(Sign):
    """Reaches the live parameters through a function."""

    def __init__(self, params):
        params = list(params)
        super().__init__(params)

        def shrink():
            for param in params:
                param.mul_(0.9)

        self.shrink = shrink

    @torch.no_grad()
    def step(self, closure=None):
        self.shrink()
        super().step()


class OfModel(Sign):
    """Is given the model, and goes over the parameters that are in it."""

    def __init__(self, model):
        super().__init__(model.parameters())
        self.model = model

    @torch.no_grad()
    def step(self, closure=None):
        for param in self.model.parameters():
            if param.grad is not None:
                self.state[param].setdefault("kept", param.clone())
                param.sub_(param.grad, alpha=0.01)


MAKERS = {
    **{
        kind: lambda model, kind=kind, options=options: getattr(torch.optim, kind)(
            [each for each in model.parameters() if kind != "Muon" or each.ndim == 2], **options
        )
        for kind, options in TORCH.items()
    },
    "Sign": lambda model: Sign(model.parameters()),
    "Counting": lambda model: Counting(model.parameters()),
    "Wrapper": lambda model: Wrapper(torch.optim.AdamW(model.parameters())),
    "Lookahead": lambda model: Lookahead(torch.optim.AdamW(model.parameters())),
    "Lookahead of Sign": lambda model: Lookahead(Sign(model.parameters())),
    "Table": lambda model: Table(model.parameters()),
    "Reader": lambda model: Reader(model.parameters()),
    "Captive": lambda model: Captive(model.parameters()),
    "OfModel": OfModel,
}


def look(model, optimizer, scheduler):
    """Look in every way there is."""
    with contextlib.suppress(NotImplementedError):  # a prediction may be refused
        optimkit.state_memory(optimizer, predict=True)
    optimkit.describe(optimizer, model, schedulers=scheduler, values=True)
    optimkit.audit(optimizer, model, schedulers=scheduler)
    before = optimkit.snapshot(optimizer, values="copy")
    assert not optimkit.diff(before, optimizer)
    optimkit.lr_curve(scheduler, 5)


def run(kind, looked_at):
    """Train for a few steps, and return all that there is in the end."""
    torch.manual_seed(0)
    Counting.steps, Counting.seen = 0, []
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = MAKERS[kind](model)
    scheduler = StepLR(optimizer, 2, gamma=0.5)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.randn(5, 3)).square().sum()
        loss.backward()
        return loss

    for step in range(5):
        if looked_at and step in (0, 1, 3):
            look(model, optimizer, scheduler)
        if kind != "LBFGS":
            closure()
        optimizer.step(closure if kind == "LBFGS" else None)
        scheduler.step()
    own = [getattr(optimizer, key, None) for key in ("history", "steps")]
    own.append(list(getattr(optimizer, "table", {}).values()))
    states = [each.state_dict() for each in (model, optimizer, scheduler)]
    return [*states, own, torch.get_rng_state()]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler:UserWarning")
@pytest.mark.parametrize("kind", MAKERS)
def test_a_run_that_is_looked_at_is_the_same(kind):
    """Weights, state, groups, random numbers and attributes are what they are without a look."""
    torch.testing.assert_close(run(kind, True), run(kind, False), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("Captive", "its step may change Parameter, list, which no copy can own"),
        ("Table on meta", "its step takes parameters without values for one another"),
        ("Reader on meta", "a step of its copy, which has no values, fails (RuntimeError: "),
        ("Table", None),
        ("Reader", None),
        ("Sign", None),
        ("Counting", None),
        ("Wrapper", None),
        ("Lookahead", None),
        ("OfModel", None),
    ],
)
def test_what_a_foreign_class_will_make(kind, reason):
    """It is predicted by a copy that leads to nothing of the live optimizer's, or refused in full."""
    torch.manual_seed(0)
    kind, _, device = kind.partition(" on ")
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)).to(device or "cpu")
    optimizer = MAKERS[kind](model)
    if reason:
        with pytest.raises(NotImplementedError) as caught:
            optimkit.state_memory(optimizer, predict=True)
        said = str(caught.value)
        assert said.startswith(f"the state of {kind} can't be predicted: {reason}")
        assert said.endswith(". Take a step, then call state_memory without predict=True.")
        return
    predicted = optimkit.state_memory(optimizer, predict=True)
    model(torch.ones(5, 3)).square().sum().backward()
    optimizer.step()
    assert predicted.rows == optimkit.state_memory(optimizer).rows
