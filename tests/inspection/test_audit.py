"""The register of checks, what each says, and in which order."""

import copy
import itertools
import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam
from torch.optim import lr_scheduler as lrs
from torch.utils.checkpoint import checkpoint

from optimkit import AuditError, Finding, Findings, audit, describe
from optimkit._inspection.checks import CHECKS, warning

REFERENCE = Path(__file__).parents[2] / "docs/reference/inspection.md"
SETUPS = {}
# The rows of the table of silent failures that objects do not show, and why. Nor do they show state
# that is missing, part of S6: a parameter that never had a gradient looks the same.
NOT_SEEN = {
    "S10 S16 S17": "options replaced by a load: nothing is left of what was asked for",
    "S11": "group keys deleted by a load: the same",
    "S12": "a state dict that goes on changing: it is not among the objects",
    "S26": "gradients of zeros: describe shows state and steps; the cause is in the model",
    "S32 S33": "a scaler, an average restored from weights alone: not looked at",
    "S34": "files: python -m optimkit verify",
}


def setup(code):
    """Register a set-up that a check of this code finds."""

    def register(function):
        SETUPS[code] = function
        return function

    return register


def named(*names):
    """Return a model of one number under each name."""
    return nn.ParameterDict({name: torch.ones(1) for name in names})


def stepped(kind, *params, **options):
    """Return an optimizer after a step."""
    optimizer = kind(params, **options)
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


@setup("duplicate")
def _():
    model = nn.ModuleList([nn.Linear(1, 1, bias=False)] * 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    optimizer.param_groups[0]["params"] *= 2
    return audit(optimizer, model)


@setup("shared")
def _():
    model = named("a")
    return audit([SGD(model.parameters(), lr=0.1), Adam(model.parameters())], model)


@setup("duplicate-name")
def _():
    return audit(SGD([("a", nn.Parameter(torch.ones(1))), ("a", nn.Parameter(torch.ones(1)))]))


@setup("wrong-names")
def _():
    model = named("a", "b")
    optimizer = SGD(model.named_parameters())
    optimizer.param_groups[0]["param_names"] = ["b", "a"]
    return audit(optimizer, model)


@setup("stale")
def _():
    model = named("a")
    optimizer = SGD([model["a"], nn.Parameter(torch.ones(1))])
    return audit(optimizer, model)


@setup("unmanaged")
def _():
    model = named("a", "b")
    return audit(SGD([model["a"]]), model)


@setup("stale-grad")
def _():
    model = named("a", "b")
    model["b"].requires_grad_(False).grad = torch.ones(1)
    return audit(SGD([model["a"]]), model)


@setup("frozen-with-grad")
def _():
    model = named("a").requires_grad_(False)
    model["a"].grad = torch.ones(1)
    return audit(SGD(model.parameters()), model)


@setup("frozen-batchnorm")
def _():
    model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1).requires_grad_(False))
    return audit(SGD(model[0].parameters()), model)


@setup("orphan-state")
def _():
    optimizer = SGD([nn.Parameter(torch.ones(1))])
    optimizer.state.update({77: {}, nn.Parameter(torch.ones(2)): {}})
    return audit(optimizer)


@setup("state-shape")
def _():
    optimizer = stepped(SGD, nn.Parameter(torch.ones(2, 3)), momentum=0.9)
    (state,) = optimizer.state.values()
    state["momentum_buffer"] = torch.ones(3)
    return audit(optimizer)


@setup("state-keys")
def _():
    optimizer = stepped(Adam, nn.Parameter(torch.ones(1)))
    optimizer.load_state_dict(AdamW([nn.Parameter(torch.ones(1))]).state_dict())
    optimizer.state[optimizer.param_groups[0]["params"][0]] = {"momentum_buffer": torch.ones(1)}
    return audit(optimizer)


@setup("state-dtype")
def _():
    optimizer = stepped(NAdam, nn.Parameter(torch.ones(1, dtype=torch.bfloat16)))
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return audit(optimizer)


@setup("scheduler-groups")
def _():
    optimizer, other = (SGD([nn.Parameter(torch.ones(1))]) for _ in range(2))
    schedulers = [lrs.StepLR(optimizer, 1), lrs.StepLR(other, 1)]
    optimizer.add_param_group({"params": nn.Parameter(torch.ones(1))})
    return audit(optimizer, schedulers=schedulers)


@setup("lr-mismatch")
def _():
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = lrs.ConstantLR(optimizer, 0.5)
    optimizer.param_groups[0]["lr"] = 0.1
    return audit(optimizer, schedulers=scheduler)


@setup("several-schedulers")
def _():
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    return audit(optimizer, schedulers=[lrs.StepLR(optimizer, 1), lrs.ExponentialLR(optimizer, 1)])


@setup("schedule-pace")
def _():
    param = nn.Parameter(torch.ones(1))
    optimizer = stepped(Adam, param)
    scheduler = lrs.ExponentialLR(optimizer, 0.9)
    for _ in range(20):
        optimizer._opt_called = True  # what an inner loop over micro-batches does
        scheduler.step()
    return audit(optimizer, schedulers=scheduler)


@setup("schedule-fails")
def _():
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    later = lrs.ChainedScheduler([lrs.ExponentialLR(optimizer, 0.9), lrs.StepLR(optimizer, 3)])
    warm = lrs.LinearLR(optimizer, 0.1, total_iters=3)
    return audit(optimizer, schedulers=lrs.SequentialLR(optimizer, [warm, later], [3]))


@setup("schedule")
def _():
    found = ()
    for make in (
        lambda optimizer: lrs.CosineAnnealingLR(optimizer, 2),
        lambda optimizer: lrs.CosineAnnealingLR(optimizer, 9, eta_min=0.5),
        lambda optimizer: lrs.OneCycleLR(optimizer, 0.1, total_steps=9),
        lambda optimizer: lrs.LinearLR(optimizer, 1.0, 0.0, total_iters=3),
        lambda optimizer: lrs.SequentialLR(
            optimizer,
            [lrs.LinearLR(optimizer), lrs.MultiplicativeLR(optimizer, lambda step: 0.9)],
            [9],
        ),
    ):
        groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.1, 0.2)]
        optimizer = SGD(groups, momentum=0.9)
        scheduler = make(optimizer)
        for _ in range(3):
            optimizer.step()
            scheduler.step()
        found += audit(optimizer, schedulers=scheduler).rows
    return Findings(tuple(row for row in found if row.code == "schedule"))


@setup("unknown-option")
def _():
    group = {"params": [nn.Parameter(torch.ones(1))], "learning_rate": 1, "momentun": 1}
    return audit(SGD([group], lr=0.1))


@setup("unread-key")
def _():
    params = [[nn.Parameter(torch.ones(1))] for _ in range(2)]
    optimizers = [SGD([{"params": each, "lr_mult": 1, "param_group": "bias"}]) for each in params]
    return audit(optimizers)


@setup("bad-option")
def _():
    groups = [
        {"params": [nn.Parameter(torch.ones(1))], **options}
        for options in ({"lr": -1.0}, {"lr": "0.1"}, {"betas": (0.9, 2.0)}, {})
    ]
    optimizer = Adam(groups)
    del optimizer.param_groups[3]["eps"]
    return audit(optimizer)


@setup("empty-group")
def _():
    optimizer = SGD([nn.Parameter(torch.ones(1))])
    optimizer.add_param_group({"params": [], "name": "head"})
    return audit(optimizer)


@setup("aliased-lr")
def _():
    lr = torch.tensor(0.1)
    groups = [{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)]
    return audit(AdamW(groups, lr=lr))


@setup("zero-lr")
def _():
    return audit(SGD([nn.Parameter(torch.ones(1))], lr=0.0))


@setup("differs-from-defaults")
def _():
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.01
    return audit(optimizer)


@setup("non-finite")
def _():
    model = named("a", "b")
    optimizer = stepped(Adam, *model.parameters())
    model["b"].grad = torch.tensor([math.inf])
    optimizer.state[model["b"]]["exp_avg"][0] = math.nan
    optimizer.param_groups[0]["lr"] = math.nan
    return audit(optimizer, model)


@setup("loss-unmanaged")
def _():
    model, weight = named("a"), nn.Parameter(torch.zeros(2, 3))
    return audit(SGD(model.parameters()), model, loss=(model["a"] * weight).sum())


@setup("unreached")
def _():
    model = named("a", "b1", "b2", "c")
    loss = (model["a"] * model["c"].detach()).sum()
    return audit(SGD(model.parameters()), model, loss=loss)


@setup("coupled-decay")
def _():
    return audit(Adam([nn.Parameter(torch.ones(1))], weight_decay=0.1))


@setup("decay-on-bias")
def _():
    model = nn.Sequential(nn.Linear(1, 1), nn.LayerNorm(1), nn.Linear(1, 1))
    return audit(SGD(model.parameters(), weight_decay=0.1), model)


@setup("tiny-eps")
def _():
    return audit(Adam([nn.Parameter(torch.ones(1, dtype=torch.float16))]))


@setup("muon-on-table")
def _():
    model = nn.Sequential(
        nn.Embedding(7, 2), nn.Linear(2, 2, bias=False), nn.Linear(2, 7, bias=False)
    )
    return audit(torch.optim.Muon(model.parameters()), model)


def test_a_decay_that_nobody_chose_is_not_mentioned():
    """The default of AdamW, frozen norms, biases without decay, a model of which nothing is known."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.LayerNorm(2))
    assert not audit(AdamW(model.parameters()), model)
    assert not audit(AdamW(model.parameters(), weight_decay=0.1))
    model[1].requires_grad_(False)
    assert not audit(AdamW(model.parameters(), weight_decay=0.1), model)
    model[1].requires_grad_(True)
    assert audit(AdamW(model.parameters(), weight_decay=0.1), model).codes == ("decay-on-bias",)


@pytest.mark.since("Muon")
def test_choices_that_are_sound_are_not_mentioned():
    """AdamW's decay, an eps that bfloat16 or float32 holds, Muon with matrices only."""
    assert not audit(AdamW([nn.Parameter(torch.ones(1, dtype=torch.bfloat16))]))
    assert not audit(Adam([nn.Parameter(torch.ones(1, dtype=torch.float16))], eps=1e-4))
    model = nn.Sequential(nn.Embedding(7, 2), nn.Linear(2, 2, bias=False))
    optimizers = [torch.optim.Muon([model[1].weight]), AdamW([model[0].weight])]
    assert not audit(optimizers, model)


def test_eps_that_is_zero_in_half_precision():
    """What is said of tiny-eps is so: the step of a gradient of 0 is NaN."""
    for eps, finite in ((1e-8, False), (1e-4, True)):
        param = nn.Parameter(torch.ones(1, dtype=torch.float16))
        optimizer = stepped_on_zero(Adam([param], eps=eps))
        assert bool(param.isfinite().all()) is finite
        assert ("tiny-eps" in audit(optimizer).codes) is not finite


def stepped_on_zero(optimizer):
    """Step with a gradient of zeros."""
    for param in optimizer.param_groups[0]["params"]:
        param.grad = torch.zeros_like(param)
    optimizer.step()
    return optimizer


def test_every_check_has_a_setup():
    """No check is registered that no test provokes."""
    assert SETUPS.keys() == CHECKS.keys()


NEWER = {"muon-on-table": pytest.mark.since("Muon")}


@pytest.mark.parametrize("code", [pytest.param(code, marks=NEWER.get(code, ())) for code in SETUPS])
def test_every_code_is_found(code):
    """Each set-up gives its code, with the severity and the remedy of the register."""
    found = [row for row in SETUPS[code]().rows if row.code == code]
    assert found
    for row in found:
        assert (row.severity, row.remedy) == (CHECKS[code].severity, CHECKS[code].remedy)
        assert row.names
        assert all(isinstance(name, str) for name in row.names)


@pytest.mark.since("Muon")
def test_what_each_says(golden):
    """Messages and remedies, in full."""
    golden("audit.txt", "\n".join(f"# {code}\n{SETUPS[code]()}" for code in sorted(SETUPS)))


def test_the_reference_lists_every_code():
    """The table of the reference has each code once, with its severity."""
    rows = re.findall(
        r"^\| \[`([a-z-]+)`\]\(\S+#\1\) \| (\w+) ", REFERENCE.read_text("utf-8"), re.MULTILINE
    )
    assert rows == [
        (each.code, each.severity) for each in sorted(CHECKS.values(), key=lambda each: each.order)
    ]


def test_every_silent_failure_is_accounted_for():
    """The rows S1 to S34 are found by a check, or it is said why not."""
    seen = {row for each in CHECKS.values() for row in each.rows}
    not_seen = {int(row[1:]) for rows in NOT_SEEN for row in rows.split()}
    assert seen | not_seen == set(range(1, 35))
    assert not seen & not_seen


def test_a_new_check_needs_one_decorator(monkeypatch):
    """A check that is registered is run, and stands where its severity and its row say."""
    monkeypatch.setattr("optimkit._inspection.checks.CHECKS", dict(CHECKS))

    @warning("{label} is {how} too fast, in {names}.", "Slow down.", rows="S40")
    def too_fast(_, view):
        yield view.labels, {"how": "much"}
        yield [], {"how": "never"}

    optimizer = SGD([{"params": []}, {"params": [nn.Parameter(torch.ones(1))], "lr": -1.0}])
    found = audit(optimizer)
    assert found.codes == ("bad-option", "empty-group", "too-fast", "differs-from-defaults")
    message = "SGD is much too fast, in group 0, group 1."
    assert found.rows[2] == Finding(
        "too-fast", "warning", ("group 0", "group 1"), message, "Slow down."
    )


def test_the_tensors_of_a_state_dict():
    """They share the memory of the parameters, and are none: an error, not only left-out parameters."""
    model = nn.Linear(1, 1)
    found = audit(SGD(model.state_dict().values(), lr=0.1), model)
    assert [(each.code, each.severity) for each in found] == [
        ("stale", "error"),
        ("unmanaged", "warning"),
    ]
    own = SGD([torch.zeros(1, requires_grad=True), *model.parameters()], lr=0.1)
    assert not audit(own, model)  # a tensor that is trained beside a model


def test_a_lambda_made_late():
    """A LambdaLR whose last_epoch was set by hand; one that steps is not asked for its function again."""
    calls = []
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = lrs.LambdaLR(optimizer, lambda step: calls.append(step) or 0.5**step)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    assert audit(optimizer, schedulers=scheduler).codes == ()
    assert calls == [0, 1, 2]
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = lrs.LambdaLR(optimizer, lambda step: 0.5**step)
    scheduler.last_epoch = 2
    [found] = audit(optimizer, schedulers=scheduler).rows
    assert found.code == "lr-mismatch"
    assert found.message.startswith("LambdaLR is at an lr of 0.025 against 0.1 in group 0: ")


@pytest.mark.parametrize("steps", [0, 3])
def test_a_scheduler_that_was_not_loaded(steps):
    """An optimizer that was loaded, under a new scheduler, has no warm-up by hand, whether it steps or not."""
    param = nn.Parameter(torch.ones(1))
    old = SGD([param], lr=0.1)
    old.param_groups[0]["lr"] = 0.01
    optimizer = SGD([param], lr=0.1)
    scheduler = lrs.StepLR(optimizer, 9)
    optimizer.load_state_dict(old.state_dict())
    for _ in range(steps):
        optimizer.step()
    assert "lr-mismatch" in audit(optimizer, schedulers=scheduler).codes


def test_a_warmup_by_hand_is_noted():
    """What it is below is said, once; an lr of 0 is part of it."""
    optimizer = SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    scheduler = lrs.StepLR(optimizer, 9)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    [row] = audit(optimizer, schedulers=scheduler).rows
    assert row.code == "schedule"
    assert row.message == (
        "The lr is below that of StepLR (0 against 0.1 in group 0): something else sets it between "
        "the steps of the schedule, as a warm-up written by hand does."
    )


def test_restarts_have_a_pace():
    """CosineAnnealingWarmRestarts does not count its calls, only its epochs."""
    optimizer = stepped(Adam, nn.Parameter(torch.ones(1)))
    scheduler = lrs.CosineAnnealingWarmRestarts(optimizer, 50)
    for _ in range(20):
        scheduler.step()
    assert audit(optimizer, schedulers=scheduler).codes == ("schedule-pace",)


def test_a_parameter_of_the_loss():
    """A weight beside the model, in the optimizer and in the loss, is trained on purpose."""
    model, weight = named("a"), nn.Parameter(torch.ones(1))
    optimizer = SGD([model["a"], weight])
    assert audit(optimizer, model).codes == ("stale",)
    assert not audit(optimizer, model, loss=(model["a"] * weight).sum())


class Counting(SGD):
    """A class that counts in its groups, with a default, what it can't be given."""

    def __init__(self, params):
        super().__init__(params)
        self.defaults["k"] = 0

    def step(self):
        super().step()
        self.param_groups[0]["k"] = self.param_groups[0].get("k", 0) + 1


class Outer(torch.optim.Optimizer):
    """An optimizer around another, with an option of its own in the groups that they share."""

    def __init__(self, params):
        super().__init__(params, {"rho": 0.05})
        self.base = SGD(self.param_groups)
        self.param_groups = self.base.param_groups

    def step(self):
        self.base.step()


@pytest.mark.parametrize("kind", [Counting, Outer])
def test_what_a_class_keeps_in_its_groups_is_its_own(kind):
    """Neither what it counts there nor an option of the wrapper around it is noted."""
    optimizer = kind([nn.Parameter(torch.ones(1))])
    optimizer.step()
    assert not audit(optimizer)


def test_an_lr_in_proportion_to_a_key():
    """A script may scale the lr by a key that some groups lack; while a warm-up is at 0, too."""
    groups = [{"params": [nn.Parameter(torch.ones(1))], **each} for each in ({"lr_scale": 0.5}, {})]
    optimizer = SGD(groups, lr=0.1)
    for lr, found in ((0.0, False), (0.1, False), (None, True)):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 if lr is None else lr * group.get("lr_scale", 1.0)
        assert ("unread-key" in audit(optimizer).codes) is found


def test_one_order():
    """The order of the findings is that of the register, whatever the order of what is passed."""
    model = named("a", "b")
    optimizers = [SGD([model["a"]], lr=0.0), SGD([{"params": [model["a"]], "lr": -1.0}])]
    orders = {audit(each, model).codes for each in itertools.permutations(optimizers)}
    assert orders == {("shared", "bad-option", "unmanaged", "zero-lr", "differs-from-defaults")}


def test_one_or_several():
    """Optimizers, models and schedulers are passed alone or in any iterable, by place or by name."""
    model = named("a", "b")
    optimizer = SGD([model["a"]])
    scheduler = lrs.StepLR(optimizer, 1)
    expected = audit(optimizer, model, schedulers=scheduler)
    assert expected.codes == ("unmanaged",)
    assert audit([optimizer], (model,), schedulers=[scheduler]) == expected
    assert audit(optimizers=iter([optimizer]), models=iter([model])) == expected
    assert audit({"sgd": optimizer}.values(), {"": model}) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "audit needs at least one optimizer: audit(optimizer, model)"),
        ((nn.ReLU(),), "audit takes optimizers first, not ReLU: audit(optimizer, model)"),
        (
            (nn.Sequential(),),
            "audit takes optimizers first, not Sequential: audit(optimizer, model)",
        ),
        ((3,), "audit takes torch.optim.Optimizer objects, not int"),
        ((["adam"],), "audit takes torch.optim.Optimizer objects, not str"),
        (
            (SGD([nn.Parameter(torch.ones(1))]), SGD([nn.Parameter(torch.ones(1))])),
            "audit takes several optimizers as a list: audit([one, other], models)",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    """What is no optimizer is refused, and the message shows the call."""
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        audit(*arguments)


def test_schedulers_are_checked():
    """An optimizer is no scheduler, though it steps."""
    optimizer = SGD([nn.Parameter(torch.ones(1))])
    with pytest.raises(TypeError, match=r"^schedulers must be learning rate schedulers, not SGD$"):
        audit(optimizer, schedulers=optimizer)


class Blocks(nn.Module):
    """A tied, a normed, a frozen and a recomputed layer."""

    def __init__(self, reentrant):
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.again = nn.Linear(4, 4)
        self.reentrant = reentrant

    def forward(self, given):
        hidden = self.frozen(self.normed(self.embed(given)))
        return self.head(checkpoint(self.again, hidden, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_no_alarm_for_what_a_loss_reaches(reentrant, after):
    """Tied, parametrized, frozen and recomputed weights are healthy, before backward and after."""
    model = Blocks(reentrant)
    loss = model(torch.tensor([1, 2])).square().sum()
    if after:
        loss.backward()
    assert not audit(AdamW(model.parameters()), model, loss=loss).at_least("warning")


def test_losses_of_one_step_are_looked_at_together():
    """Two losses that train a network each reach both; an input with a gradient is no parameter."""
    one, other = nn.Linear(2, 2), nn.Linear(2, 1)
    optimizers = [SGD(one.parameters()), SGD(other.parameters())]
    made = one(torch.ones(3, 2, requires_grad=True))
    losses = [other(made.detach()).sum(), other(made).sum()]
    assert not audit(optimizers, {"one": one, "other": other}, loss=losses)
    assert not audit(optimizers, {"one": one, "other": other}, loss=dict(enumerate(losses)))
    [row] = audit(optimizers, {"one": one, "other": other}, loss=losses[0])
    assert (row.code, row.names) == ("unreached", ("one.weight", "one.bias"))


@pytest.mark.parametrize(
    ("loss", "said"),
    [(3.0, "float"), (torch.ones(()), "one without a graph"), ([None], "NoneType")],
    ids=str,
)
def test_a_loss_has_a_graph(loss, said):
    """A number, and a tensor that was computed from nothing, are refused."""
    with pytest.raises(TypeError) as caught:
        audit(SGD([nn.Parameter(torch.ones(1))]), loss=loss)
    expected = f"loss must be a tensor that was computed from parameters, not {said}"
    assert str(caught.value) == expected


def test_large_and_odd_values_are_finite():
    """Numbers whose squares overflow, integers, sparse gradients and meta tensors are no alarm."""
    large = nn.Parameter(torch.full((3,), 1e30))
    half = nn.Parameter(torch.full((300,), 6e4, dtype=torch.float16))
    table = nn.Parameter(torch.ones(3, 2))
    table.grad = torch.eye(3, 2).to_sparse()
    optimizer = SGD([large, half, table, nn.Parameter(torch.ones(2, device="meta"))], lr=0.1)
    optimizer.state[large]["count"] = torch.tensor([7])
    assert not audit(optimizer)
    table.grad = (torch.eye(3, 2) / 0).to_sparse()
    assert audit(optimizer).codes == ("non-finite",)
    assert describe(optimizer, values=True).notes == ("NaN or infinite: the gradient of params[2]",)
    assert describe(optimizer).notes == ()


def test_raise_if():
    """It raises for the severity and what is worse, with message and remedy."""
    found = SETUPS["zero-lr"]()
    found.raise_if()
    found.raise_if("warning")
    with pytest.raises(AuditError) as caught:
        found.raise_if("note")
    [row] = found
    assert str(caught.value) == f"zero-lr: {row.message} {row.remedy}"
    with pytest.raises(
        ValueError, match=r"^severity must be one of error, warning, note, not 'bad'$"
    ):
        found.raise_if("bad")


def test_looks():
    """A sentence for nothing; a table in HTML; data for json."""
    nothing = audit(SGD([nn.Parameter(torch.ones(1))]))
    assert str(nothing) == repr(nothing) == "Nothing found."
    assert not nothing
    found = SETUPS["zero-lr"]()
    assert found._repr_html_().count("<td") == 3
    assert found.to_dict() == {
        "rows": [
            {
                "code": "zero-lr",
                "severity": "note",
                "names": ["group 0"],
                "message": found.rows[0].message,
                "remedy": found.rows[0].remedy,
            }
        ]
    }


def test_a_tensor_lr_that_a_schedule_moves():
    """The defaults have the same tensor, which moves along: they are what the groups have."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=torch.tensor(0.1))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    optimizer.step()
    scheduler.step()
    assert audit(optimizer, schedulers=scheduler).rows == ()
