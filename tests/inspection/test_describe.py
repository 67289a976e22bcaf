"""Describe: every optimizer, every form of it, and no side effect."""

import copy
import io
import json
import math

import pytest
import torch
from rich.console import Console
from torch import nn

from optimkit import audit, describe, diff, lr_curve, param_groups, snapshot, state_memory
from optimkit._errors import CheckpointError


def model_of(kind="AdamW"):
    """Return a small model that a class can train."""
    torch.manual_seed(0)
    if kind == "SparseAdam":
        return nn.Sequential(nn.Embedding(6, 3, sparse=True))
    if kind == "Muon":
        return nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def stepped(model, optimizer, steps=1):
    """Step on made-up data."""
    sparse = isinstance(model[0], nn.Embedding)
    given = torch.tensor([0, 1]) if sparse else torch.ones(2, 3) / 7

    def closure():
        optimizer.zero_grad()
        loss = model(given).square().sum()
        loss.backward()
        return loss

    for _ in range(steps):
        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    return optimizer


CLASSES = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and kind is not torch.optim.Optimizer
)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_before_and_after_a_step(kind):
    """Every class of torch is described before and after a step, live, saved, by text and HTML."""
    model = model_of(kind)
    optimizer = getattr(torch.optim, kind)(model.parameters())
    before = describe(optimizer, model)
    stepped(model, optimizer, 2)
    after = describe(optimizer, model, values=True)
    for report in (before, after, describe(optimizer.state_dict())):
        assert len(report.rows) == len(list(model.parameters()))
        assert report.groups[0].options["lr"] == optimizer.defaults["lr"]
        assert max(map(len, str(report).split("\n"))) <= 100
        assert "<table" in report._repr_html_()
        json.dumps(report.to_dict(), allow_nan=False)
        Console(file=io.StringIO(), width=80).print(report)
    assert [row.name for row in after.rows] == [name for name, _ in model.named_parameters()]
    for row, param in zip(after.rows, model.parameters(), strict=True):
        state = optimizer.state.get(param, {})
        assert set(row.state) == set(state)
        assert row.shape == tuple(param.shape)
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert row.state[key] == tuple(value.shape)
                assert row.norms[key] == pytest.approx(value.float().norm().item(), rel=1e-5)


def test_records():
    """A record has every fact, with its type."""
    model = model_of()
    optimizer = stepped(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1), 3)
    report = describe(optimizer, model)
    row = report.rows[0]
    assert row._asdict() == {
        "name": "0.weight",
        "shape": (4, 3),
        "dtype": torch.float32,
        "numel": 12,
        "trainable": True,
        "group": 0,
        "lr": 0.001,
        "weight_decay": 0.1,
        "state": {"step": (), "exp_avg": (4, 3), "exp_avg_sq": (4, 3)},
        "step": 3,
        "bytes": 100,
        "norms": {},
    }
    group = report.groups[0]
    assert (group.index, group.name, group.parameters, group.numel) == (0, "group 0", 6, 34)
    assert group.overrides == {}
    assert group.options["betas"] == (0.9, 0.999)


def test_overrides_and_what_is_left_out():
    """What a group sets, what only the model has, frozen apart."""
    model = model_of()
    model[1].requires_grad_(False)
    optimizer = torch.optim.SGD(
        [{"params": [model[0].weight], "lr": 0.5, "name": "first"}], lr=0.1, weight_decay=0.2
    )
    report = describe(optimizer, model)
    assert report.groups[0].name == "first"
    assert report.groups[0].overrides == {"lr": 0.5}
    assert report.unmanaged == ("0.bias", "2.weight", "2.bias")
    assert report.frozen == ("1.weight", "1.bias")


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_is_changed(kind):
    """Describing fills no state, steps nothing, and takes no random number."""
    model = model_of(kind)
    optimizer = getattr(torch.optim, kind)(model.parameters())
    state, random = copy.deepcopy(optimizer.state_dict()), torch.get_rng_state()
    before = dict(optimizer.state)
    str(describe(optimizer, model, values=True))
    assert dict(optimizer.state).keys() == before.keys()
    assert str(optimizer.state_dict()) == str(state)
    assert torch.equal(random, torch.get_rng_state())


def test_names_come_from_the_model_then_the_optimizer_then_the_position():
    """Tensors are matched with the model; without one, torch's names; without these, places."""
    model = model_of()
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    named = torch.optim.SGD([(f"x.{n}", p) for n, p in model.named_parameters()], lr=0.1)
    assert describe(plain, model).rows[0].name == "0.weight"
    assert describe(plain, {"net": model}).rows[0].name == "net.0.weight"
    assert describe(named).rows[0].name == "x.0.weight"
    assert describe(named.state_dict()).rows[0].name == "x.0.weight"
    assert describe(named, model).rows[0].name == "0.weight"
    assert [row.name for row in describe(plain).rows][:2] == ["params[0]", "params[1]"]
    assert describe(plain.state_dict()).rows[2].name == "params[2]"


def test_several_models_whose_names_clash():
    """Names that clash get the model's class before them."""
    one, two = nn.Linear(1, 1), nn.Bilinear(1, 1, 1)
    optimizer = torch.optim.SGD([*one.parameters(), *two.parameters()], lr=0.1)
    for models in ([one, two], (one, two), iter([one, two])):
        assert [row.name for row in describe(optimizer, models).rows] == [
            "Linear.weight",
            "Linear.bias",
            "Bilinear.weight",
            "Bilinear.bias",
        ]


def test_models_have_one_form_everywhere():
    """A model, a mapping or several, by place or by name, name the same in describe and audit."""
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD([model.weight], lr=0.1)
    forms = [
        (model, "bias"),
        ([model], "bias"),
        ({"a": model}, "a.bias"),
        ([{"a": model}], "a.bias"),
    ]
    for models, left_out in forms:
        by_place, by_name = describe(optimizer, models), describe(optimizer, models=models)
        assert by_place.unmanaged == by_name.unmanaged == (left_out,)
        assert audit(optimizer, models=models).rows[0].names == (left_out,)
    assert param_groups({"a": model}, lr=0.1)[0]["params"][1][0] == "a.bias"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"models": "net"},
            "model must be a torch.nn.Module, or a mapping of names to modules, not the string "
            "'net'",
        ),
        (
            {"models": 3},
            "model must be a torch.nn.Module, or a mapping of names to modules, not int",
        ),
        ({"schedulers": 3}, "schedulers must be learning rate schedulers, not int"),
        ({"schedulers": [nn.PReLU()]}, "schedulers must be learning rate schedulers, not PReLU"),
    ],
    ids=str,
)
@pytest.mark.parametrize("look", [describe, audit])
def test_what_is_no_model_or_scheduler(look, arguments, message):
    """Anything else is refused by its type, in the same words."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    with pytest.raises(TypeError) as caught:
        look(optimizer, **arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.complex64], ids=str)
def test_types(dtype):
    """Half precision, double and complex parameters are described with their norms."""
    param = nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = torch.optim.SGD([param], lr=0.1, momentum=0.9)
    param.grad = torch.full_like(param, 2)
    optimizer.step()
    [row] = describe(optimizer, values=True).rows
    assert row.dtype == dtype
    assert row.norms == {"momentum_buffer": pytest.approx(4.0)}


def test_meta():
    """On the meta device there are shapes and no norms."""
    param = nn.Parameter(torch.ones(4, device="meta"))
    optimizer = torch.optim.Adam([param])
    param.grad = torch.ones_like(param)
    optimizer.step()
    [row] = describe(optimizer, values=True).rows
    assert row.state["exp_avg"] == (4,)
    assert list(row.norms) == ["step"]


def test_a_checkpoint(tmp_path):
    """A path is described as what it holds; of several optimizers one is chosen."""
    model = model_of()
    one = stepped(model, torch.optim.AdamW(model.named_parameters()))
    two = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.save({"optimizer": one.state_dict(), "model": model.state_dict()}, tmp_path / "one.pt")
    torch.save({"all": [one.state_dict(), two.state_dict()]}, tmp_path / "two.pt")
    report = describe(tmp_path / "one.pt", model)
    assert [row[:3] for row in report.rows] == [row[:3] for row in describe(one, model).rows]
    assert describe(str(tmp_path / "two.pt"), key="all.1").groups[0].options["lr"] == 0.1
    with pytest.raises(CheckpointError) as caught:
        describe(tmp_path / "two.pt")
    assert str(caught.value) == (
        f"{tmp_path}/two.pt holds 2 optimizers. Choose one by key=: all.0, all.1."
    )
    with pytest.raises(CheckpointError) as caught:
        describe(tmp_path / "two.pt", key="adam")
    assert str(caught.value) == (
        f"{tmp_path}/two.pt holds no optimizer called 'adam'. Choose one of: all.0, all.1."
    )


def test_a_checkpoint_of_another_tool(tmp_path):
    """A file without an optimizer says what it holds, and what was expected."""
    torch.save({"weights": {"a": torch.ones(1)}, "step": 3}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        describe(tmp_path / "a.pt")
    assert str(caught.value) == (
        f"{tmp_path}/a.pt holds no optimizer: a mapping with 'state' and 'param_groups' was "
        "expected, found 'weights', 'step'. Save optimizer.state_dict() in it."
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            nn.Linear(1, 1),
            "optimizer must be a torch.optim.Optimizer, its state dict, or the path of a "
            "checkpoint, not Linear",
        ),
        (
            {"lr": 0.1},
            "optimizer must be a state dict with 'state' and 'param_groups', or hold one; "
            "this mapping has 'lr'",
        ),
    ],
    ids=["module", "mapping"],
)
def test_what_is_no_optimizer(given, message):
    """Anything else is a TypeError that says what was given and what was expected."""
    with pytest.raises(TypeError) as caught:
        describe(given)
    assert str(caught.value) == message


def test_a_model_that_shares_nothing():
    """Of a model of which the optimizer has no parameter all are left out; audit says what it means."""
    report = describe(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1), nn.Linear(1, 1))
    assert report.unmanaged == ("weight", "bias")


def test_a_broken_optimizer_is_described():
    """State of a wrong shape, ids without parameters, groups without options: all described."""
    model = model_of()
    optimizer = stepped(model, torch.optim.AdamW(model.named_parameters()))
    optimizer.state[model[0].weight]["exp_avg"] = torch.ones(7)
    optimizer.state[model[0].bias] = "nothing"
    optimizer.state[77] = {"step": 1}
    group = optimizer.param_groups[0]
    group["param_names"] = group["param_names"][:2]
    del group["lr"]
    report = describe(optimizer, model, values=True)
    assert report.rows[0].state["exp_avg"] == (7,)
    assert report.rows[1].state == {}
    assert report.rows[0].lr is None
    assert report.notes == (
        "State of no parameter in any group: 77",
        "group 0 has 6 parameters and 2 names for them",
    )
    assert "exp_avg (7)" in str(report)


def without(attribute):
    """Return what takes an attribute of an optimizer away."""
    return lambda optimizer: delattr(optimizer, attribute)


def in_group(key, value):
    """Return what puts a value into the first group."""
    return lambda optimizer: optimizer.param_groups[0].update({key: value})


def in_state(value):
    """Return what puts a value into the state of the first parameter."""

    def put(optimizer):
        optimizer.state[optimizer.param_groups[0]["params"][0]]["exp_avg"] = value

    return put


BROKEN = {
    "no groups": without("param_groups"),
    "no state": without("state"),
    "no defaults": without("defaults"),
    "state is a list": lambda optimizer: vars(optimizer).update(state=[1]),
    "defaults is None": lambda optimizer: vars(optimizer).update(defaults=None),
    "groups is None": lambda optimizer: vars(optimizer).update(param_groups=None),
    "a group is a string": lambda optimizer: optimizer.param_groups.append("head"),
    "an empty group": lambda optimizer: optimizer.param_groups.append({}),
    "params is None": in_group("params", None),
    "params is a number": in_group("params", 5),
    "params is one tensor": in_group("params", nn.Parameter(torch.ones(()))),
    "a parameter is None": in_group("params", [None, "weight"]),
    "names is a number": in_group("param_names", 5),
    "an option is called 3": in_group(3, 4),
    "an endless lr": in_group("lr", 10**400),
    "float8": in_state(torch.ones(4, 3).to(torch.float8_e4m3fn)),
    "never initialised": lambda optimizer: vars(optimizer).clear(),
}


@pytest.mark.parametrize("break_it", BROKEN.values(), ids=BROKEN)
def test_nothing_is_too_broken_to_look_at(break_it):
    """Whatever has happened to an optimizer, every look at it gives an answer."""
    model = model_of()
    optimizer = stepped(model, torch.optim.AdamW(model.named_parameters()))
    break_it(optimizer)
    report = describe(optimizer, model, values=True)
    json.dumps(report.to_dict(), allow_nan=False)
    assert str(report)
    assert report._repr_html_()
    assert str(audit(optimizer, models=model))
    assert str(state_memory(optimizer))
    assert not diff(snapshot(optimizer, "copy"), optimizer)
    assert not diff(snapshot(optimizer), optimizer)


@pytest.mark.parametrize(
    "group", [{"params": 5}, {"params": [[1, 2]], "param_names": 7}, {"params": None}, {}]
)
def test_a_broken_state_dict_is_described(group):
    """A group whose list of parameters is none has no parameters that can be told."""
    report = describe({"state": {0: 5, "x": None}, "param_groups": [{"lr": "q", **group}]})
    assert report.groups[0].options == {"lr": "q"}
    assert {row.name for row in report.rows} <= {"params[0]"}


def test_lazy_parameters():
    """A lazy parameter has no shape yet."""
    model = nn.LazyLinear(2)
    [row, _] = describe(torch.optim.SGD(model.parameters(), lr=0.1), model).rows
    assert (row.name, row.shape, row.numel) == ("weight", None, None)


def test_schedulers_are_mentioned():
    """The report says which schedulers set its lr, and how far each has come."""
    one, two = (torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1) for _ in range(2))
    scheduler = torch.optim.lr_scheduler.StepLR(one, 3)
    assert describe(one, schedulers=scheduler).notes == ("lr set by StepLR, at step 0",)
    assert describe(two, schedulers=scheduler).notes == ("StepLR sets the lr of another optimizer",)
    outer = torch.optim.lr_scheduler.ChainedScheduler([scheduler])
    assert describe(one, schedulers=[outer, scheduler]).notes == ("lr set by ChainedScheduler",)


def deep(blocks=30):
    """Return a model of many layers that are alike, but for one."""
    torch.manual_seed(0)
    layers = [nn.ModuleDict({"fc": nn.Linear(4, 4), "ln": nn.LayerNorm(4)}) for _ in range(blocks)]
    layers[7]["fc"] = nn.Linear(4, 8)
    return nn.ModuleDict({"embed": nn.Embedding(9, 4), "h": nn.ModuleList(layers)})


class Packed(torch.Tensor):
    """A tensor in a form of its own, as torchao's 8-bit state: it has a shape, and no arithmetic."""

    @staticmethod
    def __new__(cls, size):
        return torch.Tensor._make_wrapper_subclass(cls, size)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(f"no {function}")


def test_state_without_arithmetic():
    """State in a form of its own is listed, and has no norm."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2, 3))], lr=0.1)
    (param,) = optimizer.param_groups[0]["params"]
    optimizer.state[param] = {"packed": Packed((2, 3)), "plain": torch.ones(4)}
    [row] = describe(optimizer, values=True).rows
    assert (row.state, row.norms) == ({"packed": (2, 3), "plain": (4,)}, {"plain": 2.0})
    assert [each.norm for each in snapshot(optimizer).rows] == [None, 2.0]
    assert not audit(optimizer).at_least("warning")


def golden_report():
    """Return the report of a deep model with two groups."""
    model = deep()
    model["embed"].requires_grad_(False)
    named = list(model["h"].named_parameters(prefix="h"))
    optimizer = torch.optim.AdamW(
        [
            {"params": [each for each in named if each[1].ndim > 1], "name": "decay"},
            {"params": [each for each in named if each[1].ndim < 2], "weight_decay": 0.0},
        ],
        lr=0.01,
    )
    for param in model["h"].parameters():
        param.grad = torch.full_like(param, 0.5)
    optimizer.step()
    return describe(optimizer, model, values=True)


@pytest.mark.since("decoupled_weight_decay")
def test_golden_text(golden):
    """Parameters that are alike share a line, and no two lines have one name."""
    text = str(golden_report())
    golden("describe.txt", text)
    assert max(map(len, text.split("\n"))) <= 100


@pytest.mark.since("decoupled_weight_decay")
def test_golden_html(golden):
    """The page has tables with captions and headers."""
    golden("describe.html", golden_report()._repr_html_())


def test_expand():
    """Every parameter can have its own line, all or those of a module."""
    report = golden_report()
    assert len(report.expand().rows) == 120
    assert [row.name for row in report.expand("h.7.fc").rows] == ["h.7.fc.weight", "h.7.fc.bias"]


def test_large_and_mixed_models_stay_readable():
    """Of a model whose hundreds of tensors are all different, the first are shown, and how many more."""
    model = nn.ModuleDict(
        {f"part{a}": nn.ModuleList([nn.Linear(a + 1, b + 1) for b in range(40)]) for a in range(9)}
    )
    text = str(describe(torch.optim.SGD(model.parameters(), lr=0.1), model))
    assert len(text) < 20_000
    assert text.count("\n") < 90
    assert "more lines: see expand())" in text


def test_sum_of_bytes():
    """The bytes of the rows are those of the tensors, LBFGS's lists too."""
    model = model_of()
    optimizer = stepped(model, torch.optim.LBFGS(model.parameters()), 2)
    total = 0
    for value in optimizer.state[model[0].weight].values():
        for each in value if isinstance(value, list) else [value]:
            total += each.nbytes if isinstance(each, torch.Tensor) else 0
    assert describe(optimizer).bytes == total


def test_norm_of_infinity():
    """A norm that is no number is written as text in JSON."""
    param = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([param], lr=0.1, momentum=0.9)
    param.grad = torch.full((2,), math.inf)
    optimizer.step()
    report = describe(optimizer, values=True)
    assert report.to_dict()["rows"][0]["norms"] == {"momentum_buffer": "inf"}


def test_a_report_does_not_change_when_the_optimizer_does():
    """Records, made when first asked for, are of the moment of the call, options included."""
    model = model_of()
    extra = torch.tensor([0.1, 0.2])  # as the lr is on another device, it can't be read at once
    optimizer = torch.optim.AdamW(
        [{"params": list(model.parameters()), "extra": extra, "more": {"a": [1]}}],
        lr=torch.tensor(0.01),
    )
    stepped(model, optimizer)
    report, other = describe(optimizer, model, values=True), describe(optimizer, model, values=True)
    before = (str(other), other.to_dict())
    kept = snapshot(optimizer)
    group = optimizer.param_groups[0]
    group["extra"].mul_(2)
    group["more"]["a"].append(2)
    group["lr"].mul_(2)
    stepped(model, optimizer)
    model[0].weight.requires_grad_(False)
    model[0].bias.data = torch.ones(9)
    assert (str(report), report.to_dict()) == before
    assert {row.key for row in diff(kept, optimizer).options} == {"extra", "more", "lr"}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_does_not_hide_what_is_no_number(place):
    """Of parameters that share a line the largest norm is shown; NaN, wherever it is."""
    model = nn.Sequential(*[nn.PReLU() for _ in range(3)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for index, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, math.nan if index == place else 2.0)
    optimizer.step()
    text = str(describe(optimizer, model, values=True))
    assert "[0-2].weight" in text
    assert "momentum_buffer=nan" in text


def test_a_session_shows_text():
    """What an interactive session shows of an answer is its text."""
    model = model_of()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    curve = lr_curve(torch.optim.lr_scheduler.StepLR(optimizer, 2), 3)
    before = snapshot(optimizer)
    answers = [describe(optimizer), audit(optimizer), state_memory(optimizer), curve, before]
    for answer in [*answers, diff(before, optimizer)]:
        assert repr(answer) == str(answer)
