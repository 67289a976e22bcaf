"""Each silent failure: first what torch does, then what the audit says of it.

The first half of a test is a canary: when it fails, torch has fixed the case, and the notes
and the audit have to say so.
"""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam
from torch.optim import lr_scheduler as lrs

from optimkit import audit


def two_layers(first="p1", second="p2"):
    """Return a model whose layers have the given names, in this order."""
    return nn.ModuleDict({name: nn.Linear(3, 3, bias=False) for name in (first, second)})


def step(optimizer, *models, value=1.0):
    """Step with made-up gradients."""
    for model in models:
        for param in model.parameters():
            param.grad = torch.full_like(param, value)
    optimizer.step()
    optimizer.zero_grad()


def found(optimizer, **others):
    """Return the codes of errors and warnings."""
    return set(audit(optimizer, **others).at_least("warning").codes)


def test_s1_renamed_order():
    """S1: a state dict is loaded by position, and its names replace the right ones."""
    old, new = two_layers("p1", "p2"), two_layers("p2", "p1")
    saved = AdamW(old.named_parameters())
    step(saved, old)
    optimizer = AdamW(new.named_parameters())
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.param_groups[0]["param_names"] == ["p1.weight", "p2.weight"]
    assert optimizer.param_groups[0]["params"][0] is new["p2"].weight
    [finding] = audit(optimizer, models=new)
    assert finding.code == "wrong-names"
    assert finding.names == ("p2.weight", "p1.weight")
    assert finding.message == (
        "AdamW calls p2.weight by the name of p1.weight, p1.weight by the name of p2.weight: a "
        "state dict was loaded by position, and the state belongs to the parameter of that name."
    )


def test_s2_another_layer_frozen():
    """S2: a, b trained and saved; b, c get their state when loaded."""
    model = nn.ModuleDict({key: nn.Linear(3, 3, bias=False) for key in "abc"})
    named = dict(model.named_parameters())
    saved = SGD([(n, named[n]) for n in ("b.weight", "c.weight")], lr=0.1, momentum=0.9)
    step(saved, model)
    optimizer = SGD([(n, named[n]) for n in ("a.weight", "b.weight")], lr=0.1, momentum=0.9)
    optimizer.load_state_dict(saved.state_dict())
    model["c"].requires_grad_(False)
    assert found(optimizer, models=model) == {"wrong-names"}


def test_s3_groups_swapped():
    """S3: two groups of one size are loaded swapped."""
    model = two_layers()
    groups = [{"params": [each]} for each in model.named_parameters()]
    saved = SGD(copy.copy(groups), lr=0.1, momentum=0.9)
    step(saved, model)
    again = [{"params": [each]} for each in list(model.named_parameters())[::-1]]
    optimizer = SGD(again, lr=0.1, momentum=0.9)
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.param_groups[0]["param_names"] == ["p1.weight"]
    assert found(optimizer, models=model) == {"wrong-names"}


def test_s4_other_shapes():
    """S4: state of another shape is loaded without a word."""
    small, large = nn.Linear(2, 2), nn.Linear(4, 4)
    saved = Adam(small.parameters())
    step(saved, small)
    optimizer = Adam(large.parameters())
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.state[large.weight]["exp_avg"].shape == (2, 2)
    assert found(optimizer, models=large) == {"state-shape"}


def test_s4_flat_state():
    """S4: the flat state of LBFGS is judged by all parameters together."""
    small, large = nn.Linear(1, 2), nn.Linear(4, 2)

    def closure():
        saved.zero_grad()
        loss = small(torch.ones(1, 1)).square().sum()
        loss.backward()
        return loss

    saved = torch.optim.LBFGS(small.parameters())
    saved.step(closure)
    optimizer = torch.optim.LBFGS(large.parameters())
    optimizer.load_state_dict(saved.state_dict())
    assert found(optimizer, models=large) == {"state-shape"}


def test_s6_state_of_no_parameter():
    """S6: state under an unknown id is kept as long as the run; missing state looks like none yet."""
    model = nn.Linear(2, 2)
    saved = Adam(model.parameters())
    step(saved, model)
    state_dict = copy.deepcopy(saved.state_dict())
    state_dict["state"][77] = state_dict["state"].pop(0)
    optimizer = Adam(model.parameters())
    optimizer.load_state_dict(state_dict)
    assert 77 in optimizer.state
    assert model.weight not in optimizer.state
    [finding] = audit(optimizer, models=model)
    assert (finding.code, finding.names) == ("orphan-state", ("77",))
    assert 77 in optimizer.state_dict()["state"]


@pytest.mark.since("decoupled_weight_decay")
def test_s7_adam_becomes_adamw():
    """S7: Adam becomes AdamW by a state dict; AdamW stays what it is."""
    model = nn.Linear(2, 2)
    saved = AdamW(model.parameters(), weight_decay=0.1)
    step(saved, model)
    optimizer = Adam(model.parameters())
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    assert found(optimizer, models=model) == {"state-keys"}
    saved.load_state_dict(Adam(model.parameters()).state_dict())
    assert saved.param_groups[0]["decoupled_weight_decay"] is True


def test_s8_another_class():
    """S8: SGD takes Adam's state, and fails at the next step."""
    model = nn.Linear(2, 2)
    saved = Adam(model.parameters())
    step(saved, model)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.load_state_dict(saved.state_dict())
    with pytest.raises(KeyError, match="momentum"):
        step(optimizer, model)
    assert "state-keys" in found(optimizer, models=model)


def test_s8_half_loaded():
    """S8: Adam refuses SGD's state in the middle of the load, and keeps it."""
    model = nn.Linear(2, 2)
    saved = SGD(model.parameters(), lr=0.1, momentum=0.9)
    step(saved, model)
    optimizer = Adam(model.parameters())
    with pytest.raises(KeyError, match="step"):
        optimizer.load_state_dict(saved.state_dict())
    assert {"state-keys", "bad-option"} <= found(optimizer, models=model)


def test_s9_narrow_state():
    """S9: what NAdam multiplies up in float32 comes back in bfloat16."""
    model = nn.Linear(2, 2).bfloat16()
    optimizer = NAdam(model.parameters())
    step(optimizer, model)
    assert not found(optimizer, models=model)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert optimizer.state[model.weight]["mu_product"].dtype == torch.bfloat16
    assert found(optimizer, models=model) == {"state-dtype"}


def test_s9_a_count_of_ones_own():
    """S9: an integer count of another class becomes bfloat16, and stands still at 256."""

    class Count(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            for param in self.param_groups[0]["params"]:
                self.state[param].setdefault("count", torch.tensor(0)).add_(1)

    param = nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    optimizer = Count([param])
    optimizer.step()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert optimizer.state[param]["count"].dtype == torch.bfloat16
    assert found(optimizer) == {"state-dtype"}


@pytest.mark.parametrize(
    "make",
    [
        lambda o: lrs.LambdaLR(o, lambda step: 0.5**step),
        lambda o: lrs.StepLR(o, 1, 0.5),
        lambda o: lrs.CosineAnnealingLR(o, 10),
        lambda o: lrs.ExponentialLR(o, 0.5),
        lambda o: lrs.LinearLR(o, 0.5, total_iters=4),
        lambda o: lrs.OneCycleLR(o, 0.1, total_steps=10),
        lambda o: lrs.SequentialLR(o, [lrs.ConstantLR(o), lrs.StepLR(o, 1)], [2]),
        lambda o: lrs.ReduceLROnPlateau(o, min_lr=[0.01]),
    ],
    ids=["Lambda", "Step", "Cosine", "Exponential", "Linear", "OneCycle", "Sequential", "Plateau"],
)
def test_s13_group_added_after_the_scheduler(make):
    """S13: a scheduler does not learn of a group that is added after it."""
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = SGD(one.parameters(), lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    optimizer.add_param_group({"params": list(two.parameters())})
    assert "initial_lr" not in optimizer.param_groups[1]
    [finding] = audit(optimizer, models=[one, two], schedulers=scheduler).at_least("warning")
    assert (finding.code, finding.names) == ("scheduler-groups", ("group 1",))


@pytest.mark.parametrize("stepped", [0, 2], ids=["right after", "two steps later"])
@pytest.mark.parametrize(
    "make",
    [
        lambda o: lrs.LinearLR(o, 0.1, total_iters=8),
        lambda o: lrs.ConstantLR(o, 0.5, total_iters=8),
        lambda o: lrs.SequentialLR(
            o, [lrs.LinearLR(o, 0.1, total_iters=8), lrs.ConstantLR(o)], [8]
        ),
    ],
    ids=["Linear", "Constant", "Sequential"],
)
def test_s14_the_wrong_order(make, stepped):
    """S14: load the optimizer, make the scheduler, load it: the lr stays wrong."""
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    scheduler = make(optimizer)
    for _ in range(4):
        step(optimizer, model)
        scheduler.step()
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    again = SGD(model.parameters(), lr=0.1)
    again.load_state_dict(saved[0])
    scheduler_again = make(again)
    scheduler_again.load_state_dict(saved[1])
    for _ in range(stepped):
        for each in ((optimizer, scheduler), (again, scheduler_again)):
            step(each[0], model)
            each[1].step()
    assert again.param_groups[0]["lr"] != pytest.approx(optimizer.param_groups[0]["lr"])
    assert found(again, models=model, schedulers=scheduler_again) == {"lr-mismatch"}


def test_s15_the_scheduler_alone():
    """S15: with the scheduler restored and the optimizer not, the two disagree."""
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    scheduler = lrs.CosineAnnealingLR(optimizer, 10)
    for _ in range(5):
        step(optimizer, model)
        scheduler.step()
    again = SGD(model.parameters(), lr=0.1)
    scheduler_again = lrs.CosineAnnealingLR(again, 10)
    scheduler_again.load_state_dict(scheduler.state_dict())
    assert again.param_groups[0]["lr"] == 0.1
    [finding] = audit(again, models=model, schedulers=scheduler_again)
    assert finding.message == (
        "CosineAnnealingLR is at an lr of 0.05 against 0.1 in group 0: they were loaded apart, "
        "the scheduler was made after the optimizer was loaded, or the lr was set by hand."
    )


def test_s18_a_second_scheduler():
    """S18: making a warm-up after another scheduler sets the lr at once."""
    optimizer = SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    one = lrs.StepLR(optimizer, 1, 0.5)
    two = lrs.LinearLR(optimizer, 0.1, total_iters=5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    [finding] = audit(optimizer, schedulers=[one, two])
    assert (finding.code, finding.severity) == ("several-schedulers", "note")


def test_s19_held_twice():
    """S19: a parameter that is given twice moves twice."""
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = SGD(itertools.chain(first.parameters(), second.parameters()), lr=0.1)
    before = first.weight.detach().clone()
    step(optimizer, first)
    assert torch.allclose(before - first.weight, torch.full((2, 2), 0.2))
    [finding] = audit(optimizer, models={"a": first, "b": second})
    assert (finding.code, finding.names) == ("duplicate", ("a.weight", "b.weight"))


def test_s20_two_optimizers():
    """S20: two optimizers may hold one parameter."""
    model = nn.Linear(2, 2)
    one, two = SGD(model.parameters(), lr=0.1), Adam([model.weight])
    [finding] = audit([one, two], model)
    assert (finding.code, finding.names) == ("shared", ("weight",))
    assert finding.message.startswith("SGD (optimizer 0) and Adam (optimizer 1) both have weight")


def test_s21_one_name_for_two():
    """S21: two parameters may have one name."""
    optimizer = SGD([("a", nn.Parameter(torch.ones(1))), ("a", nn.Parameter(torch.ones(1)))], lr=1)
    assert optimizer.param_groups[0]["param_names"] == ["a", "a"]
    assert found(optimizer) == {"duplicate-name"}


def drifted():
    """Give the ways in which model and optimizer part."""

    def assign(model, optimizer):
        model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
        return optimizer

    def new_head(model, optimizer):
        model[1] = nn.Linear(2, 3)
        return optimizer

    def normed(model, optimizer):
        nn.utils.parametrizations.weight_norm(model[0])
        return optimizer

    def copied(model, optimizer):
        return copy.deepcopy(optimizer)

    return {each.__name__: each for each in (assign, new_head, normed, copied)}


@pytest.mark.parametrize("part", drifted().values(), ids=drifted())
def test_s22_drifted_apart(part):
    """S22: the optimizer goes on with parameters that the model no longer has."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = part(model, SGD(model.parameters(), lr=0.1))
    before = copy.deepcopy([each.detach() for each in model.parameters()])
    step(optimizer, model)
    after = [each.detach() for each in model.parameters()]
    assert any(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert found(optimizer, models=model) == {"stale", "stale-grad", "unmanaged"}


def test_s22_cut_off():
    """S22: the tensors of a state dict share the model's memory, and never get a gradient."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = SGD(model.state_dict().values(), lr=0.1)
    before = copy.deepcopy(model[0].weight.detach())
    step(optimizer, model)
    assert torch.equal(model[0].weight, before)
    report = audit(optimizer, models=model)
    assert set(report.codes) == {"stale", "stale-grad", "unmanaged"}
    assert report.rows[0].message == (
        "SGD has 4 parameters that are in none of the models: params[0], params[1], params[2], "
        "params[3]. Their updates reach no model."
    )


def test_s23_swapped_inside_a_group():
    """S23: after a parameter is swapped in its group, state_dict fails with a number."""
    model = nn.Linear(2, 2)
    optimizer = Adam(model.parameters())
    step(optimizer, model)
    model.weight = nn.Parameter(torch.zeros(2, 2))
    optimizer.param_groups[0]["params"][0] = model.weight
    with pytest.raises(KeyError):
        optimizer.state_dict()
    [finding] = audit(optimizer, models=model)
    assert (finding.code, finding.names) == ("orphan-state", ("a tensor of shape (2, 2)",))


def test_s24_frozen_and_moving():
    """S24: a frozen parameter with a gradient of zeros goes on moving."""
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    step(optimizer, model)
    model.requires_grad_(False)
    model.weight.grad = torch.zeros(2, 2)
    assert found(optimizer, models=model) == {"frozen-with-grad"}
    before = model.weight.detach().clone()
    optimizer.step()
    assert not torch.equal(before, model.weight)


def test_s25_frozen_by_lr():
    """S25: with an lr of 0 momentum goes on building up."""
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.0, momentum=0.9)
    step(optimizer, model)
    assert optimizer.state[model.weight]["momentum_buffer"].norm() > 0
    [finding] = audit(optimizer, models=model)
    assert (finding.code, finding.severity) == ("zero-lr", "note")


def test_s27_frozen_batchnorm():
    """S27: the running statistics of a frozen BatchNorm go on moving."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[1].requires_grad_(False)
    before = model[1].running_mean.clone()
    model(torch.randn(8, 2))
    assert not torch.equal(before, model[1].running_mean)
    [finding] = audit(SGD(model[0].parameters(), lr=0.1), models=model)
    assert (finding.code, finding.names) == ("frozen-batchnorm", ("1",))


def test_s28_a_gradient_that_nothing_clears():
    """S28: the gradient of a parameter that no optimizer holds adds up."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = SGD(model[0].parameters(), lr=0.0)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
    assert model[1].bias.grad.item() == 2
    assert found(optimizer, models=model) == {"stale-grad", "unmanaged"}


@pytest.mark.parametrize(
    ("group", "code"),
    [
        ({"weigth_decay": 0.0}, "unknown-option"),
        ({"momentum": 0.5, "learning_rate": 0.1}, "unknown-option"),
        ({"lr": -1.0}, "bad-option"),
        ({"lr": "0.1"}, "bad-option"),
        ({"lr": float("nan")}, "non-finite"),
        ({"betas": (0.9, 1.5)}, "bad-option"),
        ({"weight_decay": None}, "bad-option"),
        ({"eps": -1e-8}, "bad-option"),
    ],
    ids=str,
)
def test_s29_options(group, code):
    """S29: a group takes any key, and any value."""
    model = nn.Linear(2, 2)
    optimizer = AdamW([{"params": model.parameters(), **group}])
    assert found(optimizer, models=model) == {code}


def test_s29_a_synonym():
    """S29: an option by the name that other libraries give it is ignored; the right one is named."""
    optimizer = SGD([{"params": [nn.Parameter(torch.ones(1))], "learning_rate": 1.0}], lr=0.1)
    optimizer.step()
    [row] = audit(optimizer).rows
    assert row.code == "unknown-option"
    assert row.message.endswith("Did you mean learning_rate -> lr?")


def test_s29_empty_group():
    """S29: a generator that has been used up makes an empty group."""
    model = nn.Linear(2, 2)
    params = model.parameters()
    optimizer = SGD([{"params": params}, {"params": params}], lr=0.1)
    assert optimizer.param_groups[1]["params"] == []
    assert found(optimizer, models=model) == {"empty-group"}


def test_s29_no_lr():
    """S29: a group without an lr, as a load that regroups leaves it, is found."""
    model = nn.Linear(2, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    del optimizer.param_groups[0]["lr"]
    assert found(optimizer, models=model) == {"bad-option"}


def test_s30_defaults():
    """S30: a group that is added later gets the defaults, not the current lr."""
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = SGD(one.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.001
    optimizer.add_param_group({"params": two.parameters()})
    assert [group["lr"] for group in optimizer.param_groups] == [0.001, 0.1]
    [finding] = audit(optimizer)
    assert (finding.code, finding.names) == ("differs-from-defaults", ("group 0",))


def test_s31_one_tensor_for_all():
    """S31: a tensor lr is one object in all groups, and a scheduler sets them all."""
    model = nn.Linear(2, 2)
    groups = [{"params": [each]} for each in model.parameters()]
    optimizer = AdamW(groups, lr=torch.tensor(0.1))
    lrs.LambdaLR(optimizer, [lambda step: 1.0, lambda step: 0.1])
    assert [round(group["lr"].item(), 3) for group in optimizer.param_groups] == [0.01, 0.01]
    assert found(optimizer, models=model) == {"aliased-lr"}


def test_a_scheduler_of_another_optimizer():
    """A scheduler that drives a copy of the optimizer is found."""
    model = nn.Linear(2, 2)
    optimizer, other = SGD(model.parameters(), lr=0.1), SGD(model.parameters(), lr=0.1)
    [finding] = audit(optimizer, models=model, schedulers=lrs.StepLR(other, 1))
    assert (finding.code, finding.names) == ("scheduler-groups", ("StepLR",))
