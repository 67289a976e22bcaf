"""A state dict into an optimizer: checked first, by name, dtype for dtype."""

import copy
import io
import math

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.optim import SGD, Adam, AdamW, NAdam

import optimkit
from optimkit import CheckpointError, MismatchError, load_optimizer


def step(optimizer, value=1.0):
    """Step with made-up gradients."""
    for group in optimizer.param_groups:
        for param in group["params"]:
            param.grad = torch.full_like(param, value)
    optimizer.step()


def trained(kind, model, **options):
    """Return an optimizer that has made a step."""
    optimizer = kind(model.named_parameters(), **options)
    step(optimizer)
    return optimizer


def refused(optimizer, state_dict, **options):
    """Return the error of a load that is refused, and see that nothing was touched."""
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(MismatchError) as caught:
        load_optimizer(optimizer, state_dict, **options)
    assert repr(before) == repr(optimizer.state_dict())
    return caught.value


def test_without_names():
    """Without names it goes by position, and warns."""
    model = nn.Linear(2, 1)
    saved = trained(Adam, model)
    for group in saved.param_groups:
        del group["param_names"]
    optimizer = Adam(model.named_parameters())
    with pytest.warns(UserWarning, match="by position") as caught:
        report = load_optimizer(optimizer, saved.state_dict())
    text = (
        "Adam was matched by position: the state dict has no names for its 2 parameters. Shapes "
        "were checked; whether the order is the same can't be."
    )
    assert [str(each.message) for each in caught] == [text]
    assert caught[0].filename == __file__
    assert (report.match, report.notes) == ("position", (text,))
    assert load_optimizer(optimizer, saved.state_dict(), match="position").notes == ()


def test_by_position_on_request():
    """match="position" goes by position though there are names."""
    model = nn.ModuleDict({"a": nn.Linear(2, 1, bias=False), "b": nn.Linear(2, 1, bias=False)})
    saved = trained(SGD, model, lr=0.1, momentum=0.9)
    optimizer = SGD(list(model.named_parameters())[::-1], lr=0.1)
    report = load_optimizer(optimizer, saved.state_dict(), match="position")
    assert report.match == "position"
    assert optimizer.param_groups[0]["param_names"] == ["b.weight", "a.weight"]


def test_by_position_other_groups():
    """By position the groups must be the same."""
    model = nn.Linear(2, 1)
    saved = Adam(model.parameters())
    optimizer = Adam([{"params": [model.weight]}, {"params": [model.bias]}])
    assert str(refused(optimizer, saved.state_dict(), match="position")) == (
        "Adam: the state dict has 1 group of 2 parameters, the current optimizer 2 groups of 1, 1 "
        'parameters, and nothing says which is which: match="position" was passed. Save with '
        "optimkit.save, the model beside the optimizer, or build both from named parameters. To "
        "what is saved already, load_optimizer gives names: names=model."
    )


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a", "a"], "the name 'a' for several parameters"),
        (["weight"], "1 name for its 2 parameters"),
        (["weight", "bias", "scale"], "3 names for its 2 parameters"),
    ],
)
def test_names_that_do_not_tell(names, told):
    """Names that are not one for each parameter are no names, and it is said which there are."""
    model = nn.Linear(2, 1)
    saved = trained(Adam, model).state_dict()
    saved["param_groups"][0]["param_names"] = names
    with pytest.warns(UserWarning, match="by position") as caught:
        load_optimizer(Adam(model.named_parameters()), saved)
    assert str(caught[0].message) == (
        f"Adam was matched by position: the state dict has {told}. Shapes were checked; whether "
        "the order is the same can't be."
    )
    two = Adam([{"params": [model.weight]}, {"params": [model.bias]}])
    assert str(refused(two, saved)) == (
        "Adam: the state dict has 1 group of 2 parameters, the current optimizer 2 groups of 1, 1 "
        f"parameters, and nothing says which is which: the state dict has {told}. Save with "
        "optimkit.save, the model beside the optimizer, or build both from named parameters. To "
        "what is saved already, load_optimizer gives names: names=model."
    )


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", [Adam, AdamW, SGD, torch.optim.Adagrad])
def test_other_shapes(kind, named):
    """S4, S5: state of another shape is refused, before a step can use it."""
    small, large = nn.Linear(2, 2), nn.Linear(64, 64)
    options = {"lr": 0.1, **({"momentum": 0.9} if kind is SGD else {})}
    saved, optimizer = trained(kind, small, **options), kind(large.named_parameters(), **options)
    match = "name" if named else "position"
    error = refused(optimizer, saved.state_dict(), match=match)
    key = {"SGD": "momentum_buffer", "Adagrad": "sum"}.get(kind.__name__, "exp_avg")
    assert (f"weight ({key}: saved (2, 2), current (64, 64))") in str(error)
    assert {row.name for row in error.report.mismatched} == {"weight", "bias"}
    report = load_optimizer(optimizer, saved.state_dict(), match=match, strict=False)
    assert report.mismatched
    step(optimizer)
    assert all(param.isfinite().all() for param in large.parameters())


def test_state_with_one_element():
    """S5: state with one element is no state for a parameter with many."""
    small, large = nn.Linear(1, 1, bias=False), nn.Linear(8, 8, bias=False)
    saved, optimizer = trained(Adam, small), Adam(large.named_parameters())
    assert "exp_avg: saved (1, 1), current (8, 8)" in str(refused(optimizer, saved.state_dict()))


def test_factored_state():
    """Adafactor's rows and columns are not of the shape of the parameter, and right."""
    model, other = nn.Linear(4, 3), nn.Linear(5, 3)
    saved = trained(torch.optim.Adafactor, model)
    again = torch.optim.Adafactor(model.named_parameters())
    assert load_optimizer(again, saved.state_dict()).complete
    error = refused(torch.optim.Adafactor(other.named_parameters()), saved.state_dict())
    assert [tuple(row) for row in error.report.mismatched] == [
        ("weight", "col_var", (1, 4), (1, 5))
    ]


def test_s6_missing_and_unknown_state():
    """S6: state of nobody, and no state where others have some, are refused."""
    model = nn.Linear(2, 2)
    state_dict = copy.deepcopy(trained(Adam, model).state_dict())
    state_dict["state"][77] = state_dict["state"].pop(0)
    optimizer = Adam(model.named_parameters())
    assert str(refused(optimizer, state_dict)) == (
        "2 problems:\n"
        "  1. Adam: the state dict has state of no parameter: 77. Pass strict=False to leave it "
        "out.\n"
        "  2. Adam: the state dict lacks state of weight. Pass strict=False to start afresh what "
        "lacks it."
    )
    report = load_optimizer(optimizer, state_dict, strict=False)
    assert (report.missing[0].name, report.unexpected[0].name) == ("weight", "state[77]")
    assert list(optimizer.state) == [model.bias]
    load_optimizer(optimizer, Adam(model.named_parameters()).state_dict())
    assert not optimizer.state


def test_adamw_of_a_newer_torch():
    """Where a torch has no word for AdamW's decay, what a newer one saved of AdamW still fits."""
    model = nn.Linear(2, 2)
    state_dict = trained(AdamW, model, lr=0.1).state_dict()
    state_dict["param_groups"][0]["decoupled_weight_decay"] = True
    optimizer = AdamW(model.named_parameters())
    for options in (optimizer.defaults, optimizer.param_groups[0]):
        options.pop("decoupled_weight_decay", None)
    load_optimizer(optimizer, state_dict)
    assert torch.equal(optimizer.state[model.bias]["exp_avg"], state_dict["state"][1]["exp_avg"])


TELLS = pytest.mark.since("decoupled_weight_decay")


@pytest.mark.parametrize(
    ("saved", "today", "reason"),
    [
        pytest.param(AdamW, Adam, "its groups have decoupled_weight_decay=True", marks=TELLS),
        pytest.param(Adam, AdamW, "its groups have decoupled_weight_decay=False", marks=TELLS),
        (Adam, SGD, "it keeps exp_avg, exp_avg_sq, step for a parameter"),
        (SGD, Adam, "it keeps momentum_buffer for a parameter"),
    ],
)
def test_s7_s8_another_class(saved, today, reason):
    """S7, S8: another class gives itself away by what it keeps."""
    model = nn.Linear(2, 2)
    options = {"lr": 0.1, **({"momentum": 0.9} if saved is SGD else {})}
    state_dict = trained(saved, model, **options).state_dict()
    optimizer = today(model.named_parameters(), lr=0.1)
    assert str(refused(optimizer, state_dict, strict=False)) == (
        f"{today.__name__}: the state dict was not saved by {today.__name__}: {reason}. Make the "
        "same optimizer."
    )


def test_another_class_before_the_first_step():
    """Without state, the options tell the class."""
    model = nn.Linear(2, 2)
    saved = Adam(model.named_parameters()).state_dict()
    error = refused(SGD(model.named_parameters(), lr=0.1), saved)
    assert str(error) == (
        "SGD: the state dict was not saved by SGD: its groups have amsgrad, betas, capturable, eps, "
        "and no dampening, momentum, nesterov. Make the same optimizer."
    )


def test_an_option_that_calls_for_more_state():
    """amsgrad now needs what was not kept then: refused, or begun with zeros; the rest is loaded."""
    model = nn.Linear(2, 2)
    state_dict = trained(Adam, model).state_dict()
    optimizer = Adam(model.named_parameters(), amsgrad=True)
    assert str(refused(optimizer, state_dict, options="current")) == (
        "Adam: the state dict lacks max_exp_avg_sq of weight, max_exp_avg_sq of bias. Pass "
        "strict=False to begin it with zeros."
    )
    report = load_optimizer(optimizer, state_dict, options="current", strict=False)
    assert [row[:2] for row in report.missing] == [
        ("weight", "max_exp_avg_sq"),
        ("bias", "max_exp_avg_sq"),
    ]
    state = optimizer.state[model.weight]
    assert torch.equal(state["exp_avg"], state_dict["state"][0]["exp_avg"])
    assert state["step"] == state_dict["state"][0]["step"]
    assert torch.equal(state["max_exp_avg_sq"], torch.zeros(2, 2))
    step(optimizer)
    load_optimizer(optimizer, state_dict)
    assert optimizer.param_groups[0]["amsgrad"] is False


def test_s9_dtypes_survive():
    """S9: what NAdam keeps in float32 for a bfloat16 parameter stays float32."""
    model = nn.Linear(2, 2).bfloat16()
    saved = trained(NAdam, model)
    optimizer = NAdam(model.named_parameters())
    report = load_optimizer(optimizer, saved.state_dict())
    assert optimizer.state[model.weight]["mu_product"].dtype == torch.float32
    assert optimizer.state[model.weight]["step"].shape == ()
    assert not report.cast


def test_s9_a_count_of_ones_own():
    """S9: an integer count of another class stays an integer, and goes on counting."""

    class Count(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            for param in self.param_groups[0]["params"]:
                self.state[param].setdefault("count", torch.tensor(0)).add_(1)

    param = nn.Parameter(torch.zeros(2, dtype=torch.bfloat16))
    saved, optimizer = Count([("p", param)]), Count([("p", param)])
    for _ in range(1001):
        saved.step()
    load_optimizer(optimizer, saved.state_dict())
    optimizer.step()
    assert optimizer.state[param]["count"].item() == 1002
    assert optimizer.state[param]["count"].dtype == torch.int64


def test_s10_whose_options():
    """S10: the options are those that were saved, or those of today; it is said what differs."""
    model = nn.Linear(2, 2)
    saved = trained(AdamW, model, lr=1e-3, weight_decay=0.1).state_dict()
    changed = [
        ("group 0", "lr", 1e-3, 5e-4),
        ("group 0", "betas", (0.9, 0.999), (0.8, 0.9)),
        ("group 0", "weight_decay", 0.1, 0.0),
        ("group 0", "fused", None, True),
    ]
    for options, lr, fused in (("saved", 1e-3, None), ("current", 5e-4, True)):
        optimizer = AdamW(
            model.named_parameters(), lr=5e-4, weight_decay=0.0, betas=(0.8, 0.9), fused=True
        )
        report = load_optimizer(optimizer, saved, options=options)
        group = optimizer.param_groups[0]
        assert (group["lr"], group["fused"]) == (lr, fused)
        assert sorted(map(tuple, report.options_changed)) == sorted(changed)
        assert optimizer.state[model.weight]["step"] == 1


def test_s11_keys_of_ones_own():
    """S11: what a group has and the checkpoint has not stays; a name of today stays."""
    model = nn.Linear(2, 2)
    saved = SGD([{"params": model.named_parameters(), "name": "all"}], lr=0.1).state_dict()
    group = {"params": model.named_parameters(), "lr_scale": 0.5, "name": "body"}
    optimizer = SGD([group], lr=0.3)
    load_optimizer(optimizer, saved)
    group = optimizer.param_groups[0]
    assert (group["lr_scale"], group["name"], group["lr"]) == (0.5, "body", 0.1)


def test_s17_a_stale_initial_lr():
    """S17: with today's options, a scheduler that is made later starts from today's lr."""
    model = nn.Linear(2, 2)
    saved = trained(SGD, model, lr=0.1)
    torch.optim.lr_scheduler.StepLR(saved, 1)
    for options, base in (("current", 0.01), ("saved", 0.1)):
        optimizer = SGD(model.named_parameters(), lr=0.01)
        load_optimizer(optimizer, saved.state_dict(), options=options)
        assert torch.optim.lr_scheduler.StepLR(optimizer, 1).base_lrs == [base]


def test_a_tensor_lr():
    """A tensor lr stays a tensor of its own, and a number stays a number."""
    model = nn.Linear(2, 2)
    tensor = AdamW(model.named_parameters(), lr=torch.tensor(0.5), foreach=False)
    number = AdamW(model.named_parameters(), lr=0.25, foreach=False)
    before = tensor.state_dict()
    lr = tensor.param_groups[0]["lr"]
    load_optimizer(tensor, number.state_dict())
    assert tensor.param_groups[0]["lr"].item() == 0.25
    assert lr.item() == 0.5
    load_optimizer(number, before)
    assert number.param_groups[0]["lr"] == 0.5
    assert isinstance(number.param_groups[0]["lr"], float)


KINDS = {"a": torch.float32, "b": torch.complex64, "c": torch.float64, "d": torch.complex128}


def lbfgs(order, kinds=KINDS, steps=0, **options):
    """Give an optimizer of parameters in an order, after some steps, and one step more."""
    generator = torch.Generator().manual_seed(0)
    params = {
        name: nn.Parameter(torch.randn(2, size, dtype=kind, generator=generator))
        for size, (name, kind) in enumerate(kinds.items())  # the first has no numbers at all
    }
    named = [(name, params[name]) for name in order]
    optimizer = torch.optim.LBFGS(named, **{"lr": 0.1, "max_iter": 3, "history_size": 4} | options)

    def step():
        def closure():
            optimizer.zero_grad()
            loss = sum((place + param).abs().pow(4).sum() for place, param in enumerate(ordered))
            loss.backward()
            return loss

        optimizer.step(closure)

    ordered = list(params.values())
    for _ in range(steps):
        step()
    return optimizer, step


def test_lbfgs_goes_on():
    """What LBFGS keeps of all parameters, end to end, is that of the same ones in the same order."""
    saved = lbfgs("abcd", steps=3)[0].state_dict()
    other, step = lbfgs("abcd")
    load_optimizer(other, saved)
    assert len(saved["state"][0]["old_dirs"]) == 4
    assert repr(other.state_dict()) == repr(saved)
    step()


@pytest.mark.parametrize(
    ("order", "options", "load"),
    [
        ("dbac", {}, {}),
        ("bcd", {}, {}),
        ("abcd", {"kinds": dict.fromkeys(KINDS, torch.float32)}, {}),
        ("abcd", {"history_size": 2}, {"options": "current"}),
    ],
)
def test_lbfgs_of_other_parameters(order, options, load):
    """LBFGS of other parameters, or in another order, is refused; without strict, it starts afresh."""
    saved = lbfgs("abcd", steps=2)[0].state_dict()
    other, step = lbfgs(order, **options)
    assert refused(other, saved, **load).problems[-1] == (
        "LBFGS: the state dict has one vector for all parameters, and these are others, or their "
        "order, their dtype or history_size is another. Make the optimizer as it was, or pass "
        "strict=False to start it afresh."
    )
    load_optimizer(other, saved, strict=False, **load)
    assert not other.state_dict()["state"]
    step()


def test_a_renamed_parameter():
    """A name that is gone and one that is new are both told."""
    one = nn.ModuleDict({"head": nn.Linear(2, 1, bias=False), "body": nn.Linear(2, 2, bias=False)})
    two = nn.ModuleDict({"tail": nn.Linear(2, 1, bias=False), "body": nn.Linear(2, 2, bias=False)})
    saved = trained(SGD, one, lr=0.1, momentum=0.9)
    error = refused(SGD(two.named_parameters(), lr=0.1, momentum=0.9), saved.state_dict())
    assert error.problems == (
        "SGD: the state dict lacks tail.weight. Rename what was renamed, or pass strict=False to "
        "start afresh what is missing.",
        "SGD: the state dict has head.weight, which the current optimizer does not have. Add "
        "these parameters to it, or pass strict=False to leave their state out.",
    )
    assert str(error.report) == (
        "SGD: matched by name, 1 missing, 1 unexpected\n"
        "Missing in the file\n"
        "name         key        saved  current\n"
        "-----------  ---------  -----  -------\n"
        "tail.weight  parameter         (1, 2)\n"
        "In the file only\n"
        "name         key        saved  current\n"
        "-----------  ---------  -----  -------\n"
        "head.weight  parameter"
    )


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"options": "mine"}, ValueError, 'options must be "saved" or "current", not \'mine\''),
        ({"match": "names"}, ValueError, 'match must be "name" or "position", not \'names\''),
        (
            {"state_dict_or_path": {}},
            MismatchError,
            "SGD: what the state dict has for it is no state dict",
        ),
        ({"optimizer": 3}, TypeError, "load_optimizer takes a torch.optim.Optimizer, not int"),
        (
            {"models": [nn.Linear(1, 1), nn.Linear(1, 1)]},
            TypeError,
            "load_optimizer: several models are given by the names they were saved under, as in "
            'models={"generator": ..., "critic": ...}',
        ),
    ],
    ids=str,
)
def test_misuse(options, error, text):
    """What can't be is said at once."""
    model = nn.Linear(2, 2)
    optimizer = SGD(model.named_parameters(), lr=0.1)
    given = {"optimizer": optimizer, "state_dict_or_path": optimizer.state_dict(), **options}
    with pytest.raises(error) as caught:
        load_optimizer(**given)
    assert str(caught.value).startswith(text)


def test_a_report_has_all_looks():
    """A report is data, text, rich and HTML."""
    model = nn.Linear(2, 2)
    saved = trained(SGD, model, lr=0.1).state_dict()
    report = load_optimizer(SGD(model.named_parameters(), lr=0.5), saved)
    assert report.to_dict()["options_changed"] == [
        {"name": "group 0", "key": "lr", "saved": 0.1, "current": 0.5}
    ]
    assert report.rows == report.options_changed
    assert "0.5" in report._repr_html_()
    out = io.StringIO()
    Console(file=out, width=100).print(report)
    assert out.getvalue().split() == str(report).split()


class Counting(torch.optim.SGD):
    """Keeps a number of its own in its state dict."""

    def __init__(self, params):
        self.seen = 0
        super().__init__(params, lr=0.1)

    def state_dict(self):
        """Add the number."""
        return {**super().state_dict(), "seen": self.seen}

    def load_state_dict(self, state_dict):
        """Take the number out."""
        self.seen = state_dict["seen"]
        super().load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})


def test_keys_of_a_class_of_yours():
    """What a class, or a hook, adds to a state dict comes back to it."""
    param = nn.Parameter(torch.ones(2))
    saved, today = Counting([("weight", param)]), Counting([("weight", param)])
    saved.seen = 7
    load_optimizer(today, saved.state_dict())
    assert today.seen == 7
    hooked = torch.optim.SGD([("weight", param)], lr=0.1)
    hooked.register_state_dict_post_hook(lambda _, state: state.update(tokens=[123]))
    found = []
    hooked.register_load_state_dict_pre_hook(lambda _, state: found.append(state["tokens"]))
    state_dict = hooked.state_dict()
    load_optimizer(hooked, state_dict)
    assert found == [[123]]
    assert found[0] is not state_dict["tokens"]


class Own(torch.optim.Optimizer):
    """An optimizer with state of its own."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})


def test_state_beside_a_load_hook():
    """Only what a hook has loaded is its own: the rest keeps its dtype, and what is no tensor."""
    param = nn.Parameter(torch.ones(2))
    saved, today = Own([("weight", param)]), Own([("weight", param)])
    bound = torch.tensor([1 / 3, math.nan], dtype=torch.float64)
    shape = torch.Size([2])
    saved.state[param] = {"bound": bound, "nested": {0: [bound]}, "mine": bound, "shape": shape}

    def hook(optimizer):
        optimizer.state[param]["mine"] = torch.zeros(1)

    today.register_load_state_dict_post_hook(hook)
    load_optimizer(today, saved.state_dict())
    loaded = today.state[param]
    for each in (loaded["bound"], loaded["nested"][0][0]):
        torch.testing.assert_close(each, bound, rtol=0, atol=0, equal_nan=True)
    assert loaded["mine"].tolist() == [0.0]
    assert loaded["shape"] == shape
    assert type(loaded["shape"]) is torch.Size


def backwards(model, names=("b", "a")):
    """Return an optimizer of unnamed parameters, the layers in another order."""
    params = [param for name in names for param in model[name].parameters()]
    return SGD(params, lr=0.5, momentum=0.9)


@pytest.fixture
def layers():
    """Return a model, and an optimizer of its unnamed parameters that has stepped."""
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    optimizer = backwards(model, "ab")
    for number, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, float(number))
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("give", [lambda m: m, lambda m: [m], lambda m: {"model": m}])
def test_a_model_names_the_parameters(tmp_path, layers, give):
    """With the model beside it, an optimizer of unnamed parameters is loaded by name."""
    model, saved = layers
    path = optimkit.save(tmp_path / "last.pt", model=model, optimizer=saved, epoch=3)
    again = backwards(model)
    report = load_optimizer(again, path, models=give(model))
    assert report.match == "name"
    for param in model.parameters():
        assert torch.equal(
            again.state[param]["momentum_buffer"], saved.state[param]["momentum_buffer"]
        )


def test_two_models_name_the_parameters(tmp_path, layers):
    """Several models are given by the names they were saved under."""
    model, saved = layers
    path = optimkit.save(tmp_path / "last.pt", a=model["a"], b=model["b"], optimizer=saved)
    again = backwards(model)
    models = {"b": model["b"], "a": model["a"]}
    assert load_optimizer(again, str(path), models=models).match == "name"
    weight = model["b"].weight
    assert torch.equal(
        again.state[weight]["momentum_buffer"], saved.state[weight]["momentum_buffer"]
    )


def test_the_file_of_a_state_dict(tmp_path):
    """A plain file of one optimizer, bare or among other things, is read as its state dict is."""
    model = nn.Linear(2, 2)
    saved = trained(SGD, model, lr=0.1, momentum=0.9)
    for content in (saved.state_dict(), {"epoch": 3, "opt": {"main": saved.state_dict()}}):
        torch.save(content, tmp_path / "plain.pt")
        again = SGD(list(model.named_parameters())[::-1], lr=0.5)
        assert load_optimizer(again, tmp_path / "plain.pt").match == "name"
        assert torch.equal(
            again.state[model.weight]["momentum_buffer"],
            saved.state[model.weight]["momentum_buffer"],
        )


@pytest.mark.parametrize("given", ["names", "model"])
def test_a_file_without_names_is_given_some(tmp_path, given):
    """They are those of the parameters in the order of the file, or of the model it was built from."""
    built = nn.Linear(2, 2)
    saved = SGD(built.parameters(), lr=0.1, momentum=0.9)
    step(saved)
    torch.save(saved.state_dict(), tmp_path / "plain.pt")
    model = nn.Linear(2, 2)
    again = SGD(list(model.named_parameters())[::-1], lr=0.5)
    names = built if given == "model" else ["weight", "bias"]
    assert load_optimizer(again, tmp_path / "plain.pt", names=names).match == "name"
    for name, param in model.named_parameters():
        buffer = saved.state[built.get_parameter(name)]["momentum_buffer"]
        assert again.state[param]["momentum_buffer"].equal(buffer)


@pytest.mark.parametrize(
    ("names", "count"), [(["a"], "1 names"), (["a", "a"], "2 names, not all of them different")]
)
def test_names_that_do_not_fit(names, count):
    """One for each parameter is asked for, and nothing is touched."""
    optimizer = SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(CheckpointError) as caught:
        load_optimizer(optimizer, optimizer.state_dict(), names=names)
    assert str(caught.value) == (
        f"load_optimizer: names gives {count}; the state dict has 2 parameters. Give the names in "
        "the order in which they were saved."
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("ab", "str"),
        (2, "int"),
        (["a", 1], "int"),
        ([("weight", nn.Parameter(torch.ones(1000)))], "tuple"),
    ],
)
def test_names_that_are_none(names, said):
    """One name, whose letters are as many as the parameters, is no list of names."""
    optimizer = SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(TypeError) as caught:
        load_optimizer(optimizer, optimizer.state_dict(), names=names)
    assert str(caught.value) == (
        f"load_optimizer: names must be a list of strings, or a model; found {said}"
    )


@pytest.mark.parametrize(
    ("count", "holds"),
    [
        (
            0,
            "no optimizer: a mapping with 'state' and 'param_groups' was expected, found 'parts'. "
            "Save optimizer.state_dict() in it.",
        ),
        (2, "2 optimizers. Choose one by key=: parts.0, parts.1."),
    ],
)
def test_a_file_of_other_things(tmp_path, count, holds):
    """What holds no optimizer, or several, is refused, and the remedy named."""
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    path = tmp_path / "a.pt"
    torch.save({"parts": [optimizer.state_dict()] * count}, path)
    with pytest.raises(CheckpointError) as caught:
        load_optimizer(optimizer, path)
    assert str(caught.value) == f"{path} holds {holds}"
