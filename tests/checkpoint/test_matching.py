"""What was saved finds its place, whatever has moved since; or nothing is touched."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam, AdamW
from torch.optim import lr_scheduler as lrs
from torch.optim.swa_utils import AveragedModel

import optimkit
from optimkit import MismatchError

LAYERS = "abcd"


def layers(order=LAYERS, width=3):
    """Return a model whose layers come in a given order, all of one shape."""
    return nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in order})


def train(model, *stepped, steps=2):
    """Train so that every parameter gets state of its own."""
    for _ in range(steps):
        for number, (_, param) in enumerate(sorted(model.named_parameters())):
            if param.requires_grad:
                param.grad = torch.full_like(param, number + 1.0)
        for each in stepped:
            each.step()


def momenta(model, optimizer, key="momentum_buffer"):
    """Return a number of the state of each parameter, by name."""
    return {
        name: optimizer.state[param][key].flatten()[0].item()
        for name, param in model.named_parameters()
        if param in optimizer.state
    }


def everything(*objects):
    """Copy all that objects hold, to compare it bit for bit."""
    held = [each.state_dict() for each in objects]
    return copy.deepcopy([*held, torch.get_rng_state()])


def same(one, other):
    """Tell whether two values are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture
def path(tmp_path):
    """Return where a checkpoint goes."""
    return tmp_path / "last.pt"


@pytest.fixture
def saved(path):
    """Save a trained model with its optimizer of unnamed parameters."""
    model = layers()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, optimizer)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer)
    return model, optimizer


def groups(model, *parts, **options):
    """Make groups of unnamed parameters."""
    return [{"params": [model[name].weight for name in part], **options} for part in parts]


@pytest.mark.parametrize(
    "parts",
    [["dcba"], ["ab", "cd"], ["d", "b", "ca"], ["abcd"]],
    ids=["reordered", "in two", "in three", "as it was"],
)
def test_state_finds_its_parameter(path, saved, parts):
    """State goes by name through another order and other groups, from unnamed parameters."""
    model = layers("dbca")
    optimizer = SGD(groups(model, *parts), lr=0.5)
    loaded = optimkit.load(path, optimizer=optimizer, model=model)
    assert momenta(model, optimizer) == momenta(*saved)
    assert loaded.reports["optimizer"].match == "name"
    assert [group["lr"] for group in optimizer.param_groups] == [0.1] * len(parts)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9] * len(parts)


def test_a_layer_that_is_frozen_today(path, saved):
    """What is frozen today and in no optimizer is left out, and said so."""
    model = layers()
    model["a"].requires_grad_(False)
    optimizer = SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    with pytest.warns(UserWarning, match="now frozen") as told:
        report = optimkit.load(path, model=model, optimizer=optimizer).reports["optimizer"]
    expected = momenta(*saved)
    del expected["a.weight"]
    text = (
        f"optimizer: {path} has state of a.weight, now frozen and in no group: it is left out. If "
        "they should train, unfreeze them before the optimizer is made."
    )
    assert [str(each.message) for each in told] == [text]
    assert report.notes == (text,)
    assert momenta(model, optimizer) == expected
    assert [row.name for row in report.unexpected] == ["a.weight"]
    assert not report.problems


def test_another_layer_frozen(path):
    """S2: with a frozen then and c frozen now, a is missing; b has its own state."""
    then, now = layers("abc"), layers("abc")
    then["a"].requires_grad_(False)
    now["c"].requires_grad_(False)
    one, two = (
        SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
        for model in (then, now)
    )
    train(then, one)
    optimkit.save(path, durable=False, model=then, optimizer=one)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=now, optimizer=two)
    assert str(caught.value) == (
        f"optimizer: {path} lacks a.weight. Rename what was renamed, or pass strict=False to "
        "start afresh what is missing."
    )
    report = optimkit.load(path, model=now, optimizer=two, strict=False).reports["optimizer"]
    assert momenta(now, two) == {"b.weight": momenta(then, one)["b.weight"]}
    assert [row.name for row in report.missing] == ["a.weight"]


def test_two_groups_become_one(path):
    """Two groups with equal options may meet in one; with different ones they may not."""
    model = layers("ab")
    optimizer = SGD(groups(model, "a", "b"), lr=0.1, momentum=0.9)
    train(model, optimizer)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer)
    again = SGD(model.parameters(), lr=0.5)
    optimkit.load(path, model=model, optimizer=again)
    assert again.param_groups[0]["lr"] == 0.1
    optimizer.param_groups[1].update(lr=0.2, weight_decay=0.1)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=model, optimizer=again, strict=False)
    assert str(caught.value) == (
        f"optimizer: parameters of group 0, group 1 of {path} are together in group 0 now, and "
        "these differ: lr 0.1 and 0.2, weight_decay 0 and 0.1. Group them as they were, or pass "
        'options="current" to keep the current options.'
    )
    optimkit.load(path, model=model, optimizer=again, options="current")
    assert (again.param_groups[0]["lr"], again.param_groups[0]["weight_decay"]) == (0.1, 0)
    assert momenta(model, again) == momenta(model, optimizer)


@pytest.mark.parametrize("load_wrapped", [False, True])
@pytest.mark.parametrize("save_wrapped", [False, True])
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compile", "parallel"])
@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
def test_wrappers_are_seen_through(path, named, wrap, save_wrapped, load_wrapped):
    """A wrapper's prefix is no part of a name, on either side."""
    plain, again = layers("ab"), layers("ba")
    one = wrap(plain) if save_wrapped else plain
    two = wrap(again) if load_wrapped else again
    optimizers = [
        SGD(each.named_parameters() if named else each.parameters(), lr=0.1, momentum=0.9)
        for each in (one, two)
    ]
    train(one, optimizers[0])
    optimkit.save(path, durable=False, model=one, optimizer=optimizers[0])
    assert list(torch.load(path, weights_only=True)["model"]) == ["a.weight", "b.weight"]
    optimkit.load(path, model=two, optimizer=optimizers[1])
    assert momenta(again, optimizers[1]) == momenta(plain, optimizers[0])
    assert torch.equal(again["a"].weight, plain["a"].weight)


@pytest.mark.parametrize("beside", [True, False], ids=["beside the model", "alone"])
def test_named_without_the_model(path, beside):
    """An optimizer's own names do where the model is not given."""
    then, now = layers("ab"), layers("ba")
    one, two = (SGD(each.named_parameters(), lr=0.1, momentum=0.9) for each in (then, now))
    train(then, one)
    optimkit.save(path, durable=False, optimizer=one, **({"model": then} if beside else {}))
    optimkit.load(path, optimizer=two)
    assert momenta(now, two) == momenta(then, one)
    assert two.param_groups[0]["param_names"] == ["b.weight", "a.weight"]


def test_lying_names(path):
    """After a load by position an optimizer's own names lie: the model knows better."""
    then, now = layers("ab"), layers("ba")
    one, two = (SGD(each.named_parameters(), lr=0.1, momentum=0.9) for each in (then, now))
    two.load_state_dict(one.state_dict())
    assert two.param_groups[0]["param_names"] == ["a.weight", "b.weight"]
    train(now, two)
    optimkit.save(path, durable=False, model=now, optimizer=two)
    optimkit.load(path, model=then, optimizer=one)
    assert momenta(then, one) == momenta(now, two)


def test_tied_weights(path):
    """A tied weight is found by any of its names."""

    def tied(first, second):
        model = nn.ModuleDict({first: nn.Linear(3, 3, bias=False), second: nn.Linear(3, 3)})
        model[second].weight = model[first].weight
        return model

    then, now = tied("embed", "head"), tied("head", "embed")
    now["head"].bias = now["embed"].bias
    del now["embed"].bias
    now["embed"].register_parameter("bias", None)
    one, two = (SGD(each.parameters(), lr=0.1, momentum=0.9) for each in (then, now))
    train(then, one)
    optimkit.save(path, durable=False, model=then, optimizer=one)
    optimkit.load(path, model=now, optimizer=two)
    assert two.state[now["embed"].weight]["momentum_buffer"].equal(
        one.state[then["head"].weight]["momentum_buffer"]
    )


def test_two_models_and_one_optimizer(path):
    """Names that two models share are told apart by the models' keys."""
    then, now = [[layers("ab"), layers("ab")] for _ in range(2)]
    one = SGD([p for each in then for p in each.parameters()], lr=0.1, momentum=0.9)
    two = SGD([p for each in now[::-1] for p in each.parameters()], lr=0.1, momentum=0.9)
    for number, param in enumerate(p for each in then for p in each.parameters()):
        param.grad = torch.full_like(param, number + 1.0)
    one.step()
    optimkit.save(path, durable=False, g=then[0], d=then[1], optimizer=one)
    optimkit.load(path, optimizer=two, d=now[1], g=now[0])
    for before, after in zip(then, now, strict=True):
        assert momenta(after, two) == momenta(before, one)


def test_everything_that_does_not_fit(path):
    """Every mismatch of every object is listed, and nothing has been touched."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = AdamW(model.parameters(), lr=0.1)
    scheduler = lrs.CosineAnnealingLR(optimizer, 10)
    train(model, optimizer, scheduler)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer, scheduler=scheduler)
    other = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1), nn.Linear(1, 1, bias=False))
    adam = Adam(other.parameters())
    step = lrs.StepLR(adam, 3)
    ema = AveragedModel(other)
    train(other, adam, step)
    before = everything(other, adam, step, ema)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, ema=ema, model=other, optimizer=adam, scheduler=step)
    assert str(caught.value) == (
        f"""6 problems:
  1. ema: {path} has nothing under this name; it has 'model', 'optimizer', 'scheduler'. Pass \
the object under its name there.
  2. model: {path} lacks 2.weight. Rename what was renamed, or pass strict=False to leave them \
as they are.
  3. model: {path} does not fit 0.weight (shape: saved (3, 2), current (4, 2)), 0.bias (shape: \
saved (3,), current (4,)), 1.weight (shape: saved (1, 3), current (1, 4)). Make the layers as they \
were, or pass strict=False to leave them as they are, or grown=True to load the rows that were saved.
  4. optimizer: {path} was saved by AdamW, the current optimizer is Adam. Make the same one: their \
state means different things.
  5. optimizer: {path} lacks 2.weight. Rename what was renamed, or pass strict=False to start \
afresh what is missing.
  6. scheduler: {path} was saved with CosineAnnealingLR, the current one is StepLR. Make the same \
scheduler."""
    )
    assert same(before, everything(other, adam, step, ema))
    assert list(caught.value.reports) == ["ema", "model", "optimizer", "scheduler"]
    assert [row.name for row in caught.value.reports["model"].mismatched] == [
        "0.weight",
        "0.bias",
        "1.weight",
    ]
    assert caught.value.report.name == "ema"


def test_not_strict(path):
    """Without strict, what fits is loaded, the rest stays as it is, and is reported."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = AdamW(model.parameters(), lr=0.1)
    train(model, optimizer)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer)
    other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(2, 1))
    again = AdamW(other.parameters(), lr=0.5)
    train(other, again, steps=1)
    kept = copy.deepcopy((other[1].state_dict(), again.state[other[1].weight]))
    reports = optimkit.load(path, model=other, optimizer=again, strict=False).reports
    assert torch.equal(other[0].weight, model[0].weight)
    assert again.state[other[0].weight]["step"] == 2
    assert same(kept, (other[1].state_dict(), again.state[other[1].weight]))
    assert [row.name for row in reports["model"].missing] == ["2.weight", "2.bias"]
    assert [row.name for row in reports["model"].mismatched] == ["1.weight", "1.bias"]
    assert [
        (row.name, row.key, row.saved, row.current) for row in reports["optimizer"].mismatched
    ] == [
        ("1.weight", "shape", (1, 3), (2, 3)),
        ("1.bias", "shape", (1,), (2,)),
    ]
    assert not reports["model"].complete
    train(other, again)


class Stubborn:
    """An object that loads by itself, and may refuse."""

    def __init__(self, value, refuses=False):
        self.value, self.refuses = value, refuses

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]
        if self.refuses and self.value < 5:
            raise ValueError("not this one")


def test_an_object_that_refuses(path, saved):
    """When an object raises while it loads, all of them get their former state back."""
    model, optimizer = saved
    ema = AveragedModel(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    ours = {"model": model, "optimizer": optimizer, "ema": ema, "scaler": scaler}
    optimkit.save(path, durable=False, **ours, first=Stubborn(1), second=Stubborn(2))
    now = layers("dcba")
    again = SGD(now.parameters(), lr=0.5, momentum=0.1)
    schedule = lrs.StepLR(again, 1)
    theirs = {
        "model": now,
        "optimizer": again,
        "ema": AveragedModel(now),
        "scaler": torch.amp.GradScaler("cpu", init_scale=2.0),
        "first": Stubborn(8),
        "second": Stubborn(9, refuses=True),
    }
    before = everything(*theirs.values(), schedule)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **theirs)
    assert str(caught.value) == "second: loading it raised ValueError: not this one"
    assert same(before, everything(*theirs.values(), schedule))


def test_a_hook_that_raises(path):
    """When the last object raises, those before it get their former state back too."""

    def build(lr):
        model = layers()
        optimizer = SGD(model.parameters(), lr=lr, momentum=0.9)
        schedule = lrs.LambdaLR(optimizer, lambda step: 0.5**step)
        scaler = torch.amp.GradScaler("cpu", init_scale=lr)
        return {"schedule": schedule, "model": model, "optimizer": optimizer, "scaler": scaler}

    then, now = build(0.1), build(0.2)
    train(then["model"], then["optimizer"], then["schedule"])
    optimkit.save(path, durable=False, **then)

    def refuse(optimizer):
        raise RuntimeError("no")

    handle = now["optimizer"].register_load_state_dict_post_hook(refuse)
    before = everything(*now.values())
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **now)
    assert str(caught.value) == "optimizer: loading it raised RuntimeError: no"
    assert same(before, everything(*now.values()))
    handle.remove()
    optimkit.load(path, **now)
    assert same(everything(*now.values()), everything(*then.values()))


def test_another_kind_under_the_name(path, saved):
    """A model is not loaded into an optimizer."""
    model, optimizer = saved
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=optimizer, optimizer=model)
    assert caught.value.problems == (
        f"model: {path} has a model under this name, not an optimizer.",
        f"optimizer: {path} has an optimizer under this name, not a model.",
    )


def test_casts_are_reported(path):
    """A model of another precision takes the values, its state follows, and it is said."""
    model = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.NAdam(model.parameters())
    train(model, optimizer)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer)
    half = nn.Linear(2, 1, bias=False).bfloat16()
    again = torch.optim.NAdam(half.parameters())
    reports = optimkit.load(path, model=half, optimizer=again).reports
    assert [tuple(row) for row in reports["model"].cast] == [
        ("weight", "dtype", "float32", "bfloat16")
    ]
    assert {row.key for row in reports["optimizer"].cast} == {"exp_avg", "exp_avg_sq"}
    state = again.state[half.weight]
    assert (state["exp_avg"].dtype, state["mu_product"].dtype) == (torch.bfloat16, torch.float32)
    train(half, again)


@pytest.mark.parametrize("make", [torch.optim.NAdam, torch.optim.AdamW])
def test_state_of_a_parameter_of_one_number_is_cast(path, make):
    """A scale has averages without a side, which follow it; its counts have none, and stay."""
    scale = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(1.5, dtype=torch.float64))})
    optimizer = make(scale.parameters())
    scale["scale"].square().backward()
    optimizer.step()
    optimkit.save(path, durable=False, model=scale, optimizer=optimizer)
    half = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(0.0, dtype=torch.bfloat16))})
    again = make(half.parameters())
    optimkit.load(path, model=half, optimizer=again)
    state = again.state[half["scale"]]
    assert {key for key in state if state[key].dtype == torch.bfloat16} == {"exp_avg", "exp_avg_sq"}
    half["scale"].square().backward()
    again.step()


def test_a_rate_in_a_tensor_where_another_device_is_the_default(path):
    """The saved rate goes to where the current one is."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.1), foreach=False)
    optimkit.save(path, durable=False, model=model, optimizer=optimizer)
    again = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.5), foreach=False)
    with torch.device("meta"):
        optimkit.load(path, model=model, optimizer=again)
    assert again.param_groups[0]["lr"].equal(torch.tensor(0.1))


def test_a_model_on_the_meta_device(path, saved):
    """A model without memory is refused, with what to do."""
    with torch.device("meta"):
        model = layers("abcd")
    with pytest.raises(MismatchError, match=r'Call model.to_empty\(device="cpu"\)'):
        optimkit.load(path, model=model)


def test_nothing_is_shared_with_what_was_loaded():
    """S12: the loader clones, steps included."""
    model = layers()
    one, two = (Adam(model.named_parameters()) for _ in range(2))
    train(model, one)
    best = one.state_dict()
    optimkit.load_optimizer(two, best)
    before = copy.deepcopy(best)
    train(model, two)
    assert same(before, best)


@st.composite
def partitions(draw):
    """Draw an order of the layers, cut into groups."""
    order = draw(st.permutations(LAYERS))
    cuts = draw(st.sets(st.integers(1, len(LAYERS) - 1)))
    edges = [0, *sorted(cuts), len(LAYERS)]
    return ["".join(order[i:j]) for i, j in itertools.pairwise(edges)]


@settings(deadline=None, max_examples=60)
@given(partitions(), partitions(), st.permutations(LAYERS), st.booleans())
def test_any_order_and_any_groups(tmp_path_factory, before, after, order, named):
    """Whatever the order of layers, parameters and groups, each parameter gets its own."""
    path = tmp_path_factory.getbasetemp() / "any.pt"
    model, again = layers(), layers(order)

    def build(model, parts):
        pairs = [[(f"{name}.weight", model[name].weight) for name in part] for part in parts]
        made = [each if named else [param for _, param in each] for each in pairs]
        return Adam([{"params": each} for each in made], lr=0.1)

    one, two = build(model, before), build(again, after)
    for number, name in enumerate(LAYERS):
        model[name].weight.grad = torch.full((3, 3), number + 1.0)
    one.step()
    given_models = [{}, {}] if named else [{"model": model}, {"model": again}]
    optimkit.save(path, durable=False, optimizer=one, **given_models[0])
    optimkit.load(path, optimizer=two, **given_models[1])
    for name in LAYERS:
        saved, loaded = one.state[model[name].weight], two.state[again[name].weight]
        assert same(saved, loaded)
    assert [group["lr"] for group in two.param_groups] == [0.1] * len(after)


@settings(deadline=None, max_examples=40)
@given(partitions(), partitions(), st.lists(st.sampled_from([0.1, 0.2]), min_size=4, max_size=4))
def test_options_go_with_the_parameters(tmp_path_factory, before, after, lrs):
    """A group of today has the options of its parameters' groups, or they differ and it is said."""
    path = tmp_path_factory.getbasetemp() / "options.pt"
    model = layers()
    one = SGD(groups(model, *before), lr=0.5)
    for group, lr in zip(one.param_groups, lrs, strict=False):
        group["lr"] = lr
    of = {
        name: group["lr"]
        for part, group in zip(before, one.param_groups, strict=True)
        for name in part
    }
    two = SGD(groups(model, *after), lr=0.9)
    optimkit.save(path, durable=False, model=model, optimizer=one)
    wanted = [{of[name] for name in part} for part in after]
    if all(len(each) == 1 for each in wanted):
        optimkit.load(path, model=model, optimizer=two)
        assert [{group["lr"]} for group in two.param_groups] == wanted
    else:
        with pytest.raises(MismatchError, match="these differ: lr"):
            optimkit.load(path, model=model, optimizer=two)
        assert [group["lr"] for group in two.param_groups] == [0.9] * len(after)
