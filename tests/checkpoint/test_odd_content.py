"""Sound files with odd content: each is refused in words, and nothing is touched."""

import copy
import random
import re
import warnings

import pytest
import torch
from torch import nn

import optimkit
from optimkit import CheckpointError, MismatchError, UnsafeCheckpointError
from optimkit.checkpoint import distributed
from optimkit.checkpoint._header import KEY


def stepped(model, make=torch.optim.AdamW, **options):
    """Return an optimizer of a model that has made a step."""
    optimizer = make(model.named_parameters(), lr=0.1, **options)
    for number, param in enumerate(model.parameters()):
        param.grad = torch.full_like(param, number + 1)
    optimizer.step()
    return optimizer


def everything(seed=0):
    """Return one object of each kind."""
    torch.manual_seed(seed)
    model = nn.Linear(2, 2)
    optimizer = stepped(model)
    inner = [
        torch.optim.lr_scheduler.LinearLR(optimizer),
        torch.optim.lr_scheduler.StepLR(optimizer, 3),
    ]
    return {
        "model": model,
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.SequentialLR(optimizer, inner, [2]),
        "scaler": torch.amp.GradScaler("cpu"),
    }


def places(value, place=()):
    """List the way to each part of a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*place, key)
        if isinstance(item, (dict, list, tuple)):
            yield from places(item, (*place, key))


def replaced(value, place, new):
    """Return a value with another part at one place."""
    if not place:
        return new
    if isinstance(value, dict):
        return type(value)({**value, place[0]: replaced(value[place[0]], place[1:], new)})
    return type(value)(
        replaced(item, place[1:], new) if index == place[0] else item
        for index, item in enumerate(value)
    )


def same(one, other):
    """Tell whether two values are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


ODD = (None, -1, "x", [], {}, (), [1, 2, 3], {"a": 1}, True, torch.zeros(7), torch.zeros(2, 2))


@pytest.mark.filterwarnings("ignore")
def test_any_part_may_be_anything(tmp_path):
    """Whatever stands in whatever place, it loads, or a CheckpointError says why and all is as it was."""
    draw, path = random.Random(0), tmp_path / "odd.pt"
    optimkit.save(path, durable=False, **everything())
    content = torch.load(path, weights_only=True)
    cases = [(place, odd) for place in places(content) for odd in ODD]
    for place, odd in draw.sample(cases, 100):
        torch.save(replaced(content, place, odd), path)
        objects = everything(1)
        before = copy.deepcopy({name: each.state_dict() for name, each in objects.items()})
        options = {"strict": draw.random() < 0.5, "options": draw.choice(["saved", "current"])}
        try:
            optimkit.load(path, **options, **objects)
        except CheckpointError:
            now = {name: each.state_dict() for name, each in objects.items()}
            assert same(before, now), (place, odd)


def test_a_part_that_can_not_be_compared(tmp_path):
    """The error names the object and the file, and the other objects are looked at too."""
    path, objects = tmp_path / "odd.pt", everything()
    optimkit.save(path, **objects)
    content = torch.load(path, weights_only=True)
    content[KEY]["objects"]["model"] = 3
    content["scaler"] = 4
    torch.save(content, path)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **objects)
    assert caught.value.problems == (
        f"model: it can't be compared with what {path} has under this name (TypeError: 'int' "
        "object is not subscriptable).",
        f"scaler: it can't be compared with what {path} has under this name (TypeError: 'int' "
        "object is not subscriptable).",
    )


def test_a_header_of_others(tmp_path):
    """A header that lacks what optimkit writes is refused, and it is said what to do."""
    path = tmp_path / "odd.pt"
    torch.save({KEY: {"format": 2, "objects": 3}}, path)
    with pytest.raises(CheckpointError) as caught:
        optimkit.load(path)
    assert str(caught.value) == (
        f"{path} has a header without objects and metadata, which optimkit did not write. "
        "Take '__optimkit__' out of it."
    )


def test_names_that_are_numbers(tmp_path):
    """A plain file may call its values by numbers."""
    path = tmp_path / "odd.pt"
    torch.save({1: 2}, path)
    assert str(optimkit.load(path)) == f"Loaded from {path}: 1"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            None,
            "lacks exp_avg of weight. Pass strict=False to start afresh what lacks it.",
        ),
        (
            3.0,
            "does not fit weight (exp_avg: saved float, current (1, 2)). Make the parameters as they "
            "were, or pass strict=False to start these afresh.",
        ),
    ],
)
def test_state_that_is_no_tensor(value, problem):
    """State that a step would fail on is refused, or left out."""
    model = nn.Linear(2, 1)
    optimizer = stepped(model)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0]["exp_avg"] = value
    with pytest.raises(MismatchError) as caught:
        optimkit.load_optimizer(optimizer, state)
    assert str(caught.value) == f"AdamW: the state dict {problem}"
    kept = optimizer.state[model.weight]["exp_avg"].clone()
    optimkit.load_optimizer(optimizer, state, strict=False)
    assert torch.equal(optimizer.state[model.weight]["exp_avg"], kept)


def test_momentum_that_is_not_there_yet():
    """SGD keeps None until there is momentum, and a count may be a number."""
    model = nn.Linear(2, 1)
    for make, key, value in (
        (torch.optim.SGD, "momentum_buffer", None),
        (torch.optim.Adam, "step", 3),
    ):
        optimizer = stepped(model, make)
        state = optimizer.state_dict()
        for each in range(2):
            state["state"].setdefault(each, {})[key] = value
        optimkit.load_optimizer(optimizer, state)
        optimizer.step()


def test_state_that_the_file_lacks_stays():
    """strict=False leaves the state as it is of a parameter that had none when it was saved."""
    model = nn.Linear(2, 1)
    state = copy.deepcopy(stepped(model).state_dict())
    del state["state"][1]
    optimizer = stepped(model)
    report = optimkit.load_optimizer(optimizer, state, strict=False)
    assert [(row.name, row.key) for row in report.missing] == [("bias", "state")]
    assert optimizer.state[model.bias]["step"] == 1


def turned(dtype):
    """Return a model with a parameter of a dtype, and its optimizer."""
    model = nn.ParameterList([nn.Parameter(torch.ones(3, dtype=dtype))])
    optimizer = torch.optim.Adam(model.named_parameters())
    model[0].abs().sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("before", [torch.complex64, torch.float32])
def test_complex_state_follows_its_parameter(tmp_path, before):
    """State takes the dtype of its parameter, complex or not, and the next step can be made."""
    model, optimizer = turned(before)
    path = optimkit.save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    model, optimizer = turned(torch.complex128)
    report = optimkit.load(path, model=model, optimizer=optimizer).reports["optimizer"]
    assert [row.key for row in report.cast] == ["exp_avg", "exp_avg_sq"]
    optimizer.step()


def test_complex_state_of_a_real_parameter(tmp_path):
    """Complex state does not fit a real parameter."""
    model, optimizer = turned(torch.complex64)
    path = optimkit.save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    _, optimizer = turned(torch.float32)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, optimizer=optimizer)
    assert str(caught.value) == (
        f"optimizer: {path} does not fit 0 (exp_avg: saved complex64, current float32), 0 "
        "(exp_avg_sq: saved complex64, current float32). Make the parameters as they were, or pass "
        "strict=False to start these afresh."
    )


def expanded():
    """Return a model with a buffer of which all elements are one."""
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.ones(1).expand(5))
    return model


def inferring():
    """Return a model that can only be written to in inference mode."""
    with torch.inference_mode():
        return nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("make", "names"),
    [(expanded, "mask"), (inferring, "weight, bias")],
    ids=["expanded", "inference"],
)
def test_a_model_that_can_not_be_written_to(tmp_path, make, names):
    """It is refused before the models beside it, and its own other layers, are loaded."""
    path = optimkit.save(tmp_path / "a.pt", first=nn.Linear(2, 2), model=make())
    first, model = nn.Linear(2, 2), make()
    before = [each.clone() for net in (first, model) for each in net.state_dict().values()]
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, first=first, model=model)
    assert str(caught.value) == (
        f"model: {names} of the current model can't be written to (expanded, or made in inference "
        "mode). Make the model of clones."
    )
    after = [each for net in (first, model) for each in net.state_dict().values()]
    assert all(map(torch.equal, before, after))


def test_a_load_in_inference_mode(tmp_path):
    """An optimizer that was loaded in inference mode steps outside of it."""
    model = nn.Linear(2, 2)
    path = optimkit.save(tmp_path / "a.pt", optimizer=stepped(model))
    again = stepped(model)
    with torch.inference_mode():
        optimkit.load(path, optimizer=again)
    again.step()
    assert {state["step"].item() for state in again.state.values()} == {2}


def of_two(order):
    """Return a model of two layers of one shape, and an optimizer of them in an order."""
    model = nn.ModuleDict({name: nn.Linear(2, 2, bias=False) for name in "ab"})
    named = [(f"{name}.weight", model[name].weight) for name in order]
    optimizer = torch.optim.SGD(named, lr=0.1, momentum=0.9)
    return model, optimizer


def test_names_of_a_plain_file_count(tmp_path):
    """Two parameters of one shape that have changed places keep their state: the file names them."""
    model, optimizer = of_two("ab")
    for number, name in enumerate("ab"):
        model[name].weight.grad = torch.full((2, 2), float(number))
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict()}, tmp_path / "plain.pt")
    swapped, fresh = of_two("ba")
    assert (
        optimkit.load(tmp_path / "plain.pt", optimizer=fresh).reports["optimizer"].match == "name"
    )
    for number, name in enumerate("ab"):
        kept = fresh.state[swapped[name].weight]["momentum_buffer"]
        assert kept.unique().tolist() == [float(number)]
    renamed = torch.optim.SGD(
        [(f"net.{n}", p) for n, p in swapped.named_parameters()], momentum=0.9
    )
    with pytest.raises(MismatchError) as caught:
        optimkit.load(tmp_path / "plain.pt", optimizer=renamed)
    assert caught.value.problems[0] == (
        f"optimizer: {tmp_path / 'plain.pt'} lacks net.a.weight, net.b.weight. Rename what was "
        'renamed, or pass strict=False to start afresh what is missing, match="position" to go by '
        "the order."
    )
    optimkit.load(tmp_path / "plain.pt", optimizer=renamed, match="position")


def test_names_that_are_keys(tmp_path):
    """Where the names are the keys of the state, as in torch.distributed.checkpoint, they count."""
    model, optimizer = of_two("ab")
    for number, name in enumerate("ab"):
        model[name].weight.grad = torch.full((2, 2), float(number))
    optimizer.step()
    state, names = optimizer.state_dict(), ["a.weight", "b.weight"]
    state["state"] = dict(zip(names, state["state"].values(), strict=True))
    state["param_groups"][0]["params"] = names
    torch.save({"optimizer": state}, tmp_path / "plain.pt")
    model, fresh = of_two("ba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimkit.load(tmp_path / "plain.pt", optimizer=fresh)
    assert fresh.state[model["b"].weight]["momentum_buffer"].unique().tolist() == [1.0]


def test_a_dtype_that_can_not_be_stored(tmp_path):
    """A tensor of a dtype that torch has no storage for is refused with the rest."""
    if not hasattr(torch, "uint1"):
        pytest.skip("this torch has no such dtype")
    with pytest.raises(UnsafeCheckpointError, match=re.escape('mask["bits"]: torch.load')):
        optimkit.save(tmp_path / "a.pt", mask={"bits": torch.empty(2, dtype=torch.uint1)})


@pytest.mark.parametrize("where", [3.5, ["cpu"]])
def test_a_place_that_is_none(tmp_path, where):
    """A map_location of a wrong type is a TypeError, and no damage."""
    path = optimkit.save(tmp_path / "a.pt", model=nn.Linear(1, 1))
    with pytest.raises(TypeError) as caught:
        optimkit.load(path, map_location=where)
    assert str(caught.value) == (
        f"map_location must be a device, its name, a mapping or a function, not {type(where).__name__}"
    )


@pytest.mark.parametrize("count", [3, 3000], ids=["read at once", "left in the file"])
def test_values_that_are_negated_when_they_are_read(tmp_path, count):
    """The imaginary part of a conjugate lies in memory with the other sign, and says so."""
    part = torch.complex(torch.ones(count), torch.arange(count) + 1.0).conj().imag
    assert part.is_neg()
    path = optimkit.save(tmp_path / "a.pt", part=part)
    assert optimkit.load(path)["part"].equal(part)


class Spectrum(nn.Module):
    """Sees one memory as complex numbers and as pairs of real ones."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(40, dtype=torch.complex64))
        self.register_buffer("pairs", torch.view_as_real(self.weight.detach()))


@pytest.mark.parametrize("background", [False, True])
def test_columns_take_no_memory_between_them(tmp_path, background):
    """Nor does one that is in two places; and columns that share some go on sharing them."""
    table = torch.arange(250_000.0).reshape(500, 500)
    first, second = table[:, :3], table[:, 400:403]
    values = {"a": first, "same": table[:, :3], "b": second, "one": table[0, 450].expand(5, 5)}
    saved = optimkit.save(tmp_path / "last.pt", values, background=background)
    saved = saved.wait() if background else saved
    assert saved.stat().st_size < 20_000
    found = torch.load(saved, weights_only=True)
    assert all(found[name].equal(value) for name, value in values.items())
    found["a"].fill_(-1)
    assert found["same"].equal(found["a"])
    assert found["b"].equal(second)

    found = torch.load(
        optimkit.save(tmp_path / "last.pt", a=first, b=table[:, 2:5]), weights_only=True
    )
    found["a"].fill_(-1)
    assert (found["b"][:, 0] == -1).all()


@pytest.mark.parametrize("background", [False, True])
def test_one_memory_of_two_dtypes(tmp_path, background):
    """Torch can't save it: what is seen as another dtype is saved apart, and loads into a view."""
    model, fresh, numbers = Spectrum(), Spectrum(), torch.arange(9.0)
    with torch.no_grad():
        model.weight.copy_(torch.randn(40, dtype=torch.complex64))
    parts = {"numbers": numbers[1:], "bits": numbers.view(torch.int32), "none": numbers[:0].long()}
    optimkit.save(tmp_path / "a.pt", model=model, **parts, background=background)
    loaded = optimkit.load(tmp_path / "a.pt", model=fresh)
    assert fresh.weight.equal(model.weight)
    assert fresh.pairs.data_ptr() == fresh.weight.data_ptr()
    assert all(loaded[name].equal(each) for name, each in parts.items())
    distributed.save(tmp_path / "all", model=model, **parts)
    assert distributed.load(tmp_path / "all", model=fresh)["bits"].equal(parts["bits"])


def test_one_memory_of_two_dtypes_of_what_is_conjugate(tmp_path):
    """What is more than a view is no tensor to copy: it is refused."""
    weight = torch.zeros(4, dtype=torch.complex64)
    with pytest.raises(UnsafeCheckpointError) as caught:
        optimkit.save(tmp_path / "a.pt", weight=weight.conj(), negative=weight.conj().imag)
    assert str(caught.value) == (
        "two tensors view one memory as complex64 and as float32. Save detach().clone() of one of "
        "them."
    )
