"""Checkpoints of other tools: an optimizer somewhere in a file, beside what can't be loaded."""

import datetime

import pytest
import torch
from torch import nn

import optimkit
from optimkit import CheckpointError, UnsafeCheckpointError, describe, load, load_optimizer


def stepped(optimizer):
    """Give each parameter a gradient of its own, and step."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    for number, param in enumerate(params, 1):
        param.grad = torch.full_like(param, float(number))
    optimizer.step()
    return optimizer


def averages(model, optimizer):
    """Return what the optimizer keeps for each parameter, by the model's names."""
    return {
        name: optimizer.state[param]["exp_avg"].flatten()[0].item()
        for name, param in model.named_parameters()
    }


@pytest.fixture
def norm():
    """Return a model with two parameters of one shape, and an optimizer of them that has stepped."""
    model = nn.LayerNorm(2)
    return model, stepped(torch.optim.AdamW(model.named_parameters()))


def backwards(model):
    """Return an optimizer with the parameters in the other order."""
    return torch.optim.AdamW(list(model.named_parameters())[::-1])


@pytest.fixture
def path(tmp_path, norm):
    """Write a file as Lightning's, with what no load takes beside it."""
    model, saved = norm
    content = {
        "state_dict": model.state_dict(),
        "optimizer_states": [saved.state_dict()],
        "epoch": 3,
    }
    torch.save({**content, "elapsed": datetime.timedelta(1)}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


KEYS = {"optimizer": "optimizer_states.0", "model": "state_dict"}


def test_an_optimizer_in_a_file(path, norm):
    """It is reached by its place, and goes by the names of the file."""
    model, saved = norm
    one, two, three = (backwards(model) for _ in range(3))
    loaded = load(path, optimizer=one, key="optimizer_states.0")
    assert dict(loaded) == {"epoch": 3}
    load_optimizer(two, path, key="optimizer_states.0")
    load_optimizer(three, path)
    for each in (one, two, three):
        assert averages(model, each) == averages(model, saved)


def test_a_place_for_each_object(path, norm):
    """A mapping says where each is; one that is not named there is under its own name."""
    model, saved = norm
    fresh = nn.LayerNorm(2)
    optimizer = backwards(fresh)
    load(path, model=fresh, optimizer=optimizer, key=KEYS)
    assert fresh.bias.equal(model.bias)
    assert averages(fresh, optimizer) == averages(model, saved)
    again = nn.LayerNorm(2)
    load(path, state_dict=again, optimizer=backwards(again), key="optimizer_states.0")
    assert again.bias.equal(model.bias)


def test_a_place_in_a_file_of_ours(tmp_path, norm):
    """What the header says of an object goes with it."""
    model, saved = norm
    optimkit.save(tmp_path / "a.pt", model=model, optimizers={"adam": saved})
    other = torch.optim.SGD(model.parameters())
    with pytest.raises(
        optimkit.MismatchError, match="was saved by AdamW, the current optimizer is SGD"
    ):
        load(tmp_path / "a.pt", o=other, key="optimizers.adam")
    fresh = torch.optim.AdamW(list(model.parameters())[::-1])
    load(tmp_path / "a.pt", model=model, o=fresh, key="optimizers.adam")
    assert averages(model, fresh) == averages(model, saved)


def test_what_would_be_refused_is_refused(tmp_path, norm):
    """A part that is more than tensors and plain data is not loaded, and nothing is without a key."""
    model, saved = norm
    state = saved.state_dict()
    state["param_groups"][0]["since"] = datetime.timedelta(1)
    torch.save({"opt": state}, tmp_path / "a.pt")
    text = (
        f"{tmp_path / 'a.pt'} holds more than tensors and plain data: datetime.timedelta. Nothing of "
        "it was run. Save it again as tensors, numbers, strings, lists and dicts."
    )
    for refused in (
        lambda: load(tmp_path / "a.pt", o=backwards(model), key="opt"),
        lambda: load(tmp_path / "a.pt", opt=backwards(model)),
        lambda: load_optimizer(backwards(model), tmp_path / "a.pt"),
    ):
        with pytest.raises(UnsafeCheckpointError) as caught:
            refused()
        assert str(caught.value) == text


def test_a_place_where_nothing_is(path, norm):
    """It is said what there is."""
    model, _ = norm
    with pytest.raises(CheckpointError) as caught:
        load(path, optimizer=backwards(model), key="optimizer_states.1")
    assert str(caught.value) == (
        f"{path} has nothing at 'optimizer_states.1'; it has 'state_dict', 'optimizer_states', "
        "'epoch', 'elapsed', and optimizers at 'optimizer_states.0'."
    )
    with pytest.raises(CheckpointError) as caught:
        load_optimizer(backwards(model), path, key="optimizer")
    assert str(caught.value) == (
        f"{path} holds no optimizer called 'optimizer'. Choose one of: optimizer_states.0."
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (
            "state_dict",
            "load: key must be the place of the only optimizer, or say of each object by its name "
            'where it is, as in key={"optimizer": "optimizer_states.0"}.',
        ),
        ({"optimiser": "a"}, "load: key names 'optimiser', no object of this load."),
    ],
)
def test_a_key_that_says_not_whose(path, norm, key, text):
    """Of several objects, each needs a place of its own."""
    model, _ = norm
    with pytest.raises(TypeError) as caught:
        load(path, a=backwards(model), b=backwards(model), key=key)
    assert str(caught.value) == text


class Net(nn.Module):
    """Has what trainers sort: a table, a matrix, a norm, biases."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.norm = nn.LayerNorm(3)
        self.head = nn.Linear(3, 2)


ORDERS = {
    "the Trainer of transformers": [
        ["words.weight", "head.weight"],
        ["norm.weight", "norm.bias", "head.bias"],
    ],
    "timm": [["norm.weight", "norm.bias", "head.bias"], ["words.weight", "head.weight"]],
    "Ultralytics": [["words.weight", "head.weight"], ["norm.weight"], ["norm.bias", "head.bias"]],
    "the model": [["words.weight", "norm.weight", "norm.bias", "head.weight", "head.bias"]],
}


@pytest.mark.parametrize("whose", ORDERS)
def test_names_by_the_rule_of_a_trainer(tmp_path, whose):
    """Where a file has no names, the model gives them, in the order and groups of its trainer."""
    model = Net()
    groups = [{"params": [model.get_parameter(n) for n in names]} for names in ORDERS[whose]]
    saved = stepped(torch.optim.AdamW(groups))
    torch.save(saved.state_dict(), tmp_path / "optimizer.pt")
    report = describe(tmp_path / "optimizer.pt", model)
    assert [row.name for row in report.rows] == [name for names in ORDERS[whose] for name in names]
    assert report.notes[0] == (
        "The file has no names for its 5 parameters: these are the model's, in the order and "
        f"groups of {whose}"
    )
    fresh = backwards(model)
    load_optimizer(fresh, tmp_path / "optimizer.pt", names=model, options="current")
    assert averages(model, fresh) == averages(model, saved)


def test_an_order_that_no_rule_has(tmp_path):
    """Then the places stay places."""
    model = Net()
    torch.save(
        stepped(torch.optim.AdamW(list(model.parameters())[::-1])).state_dict(), tmp_path / "a.pt"
    )
    assert describe(tmp_path / "a.pt", model).rows[0].name == "params[0]"


def test_state_that_is_left_out_is_told(tmp_path, norm):
    """Of a file of another tool, that has names, as of one of ours: what is frozen now is left out."""
    model, saved = norm
    torch.save({"state_dict": model.state_dict(), "optimizer": saved.state_dict()}, tmp_path / "a")
    model.bias.requires_grad_(False)
    some = torch.optim.AdamW([("weight", model.weight)])
    with pytest.warns(UserWarning, match="has state of bias, now frozen and in no group"):
        load(tmp_path / "a", optimizer=some, state_dict=model)
    with pytest.warns(UserWarning, match="has state of bias, now frozen and in no group"):
        load_optimizer(some, tmp_path / "a", models=model)


@pytest.mark.parametrize("place", [0, None])
def test_a_place_is_a_string(path, norm, place):
    """Of one object, as of the only optimizer."""
    with pytest.raises(
        TypeError, match="load: key must be the place of the only optimizer, or say"
    ):
        load(path, optimizer=backwards(norm[0]), key={"optimizer": place})


def test_flat_tensors_of_groups(tmp_path):
    """ZeRO keeps one tensor for each group; of which parameters, is told."""
    content = {
        "base_optimizer_state": {
            "state": {0: {"exp_avg": torch.ones(6)}},
            "param_groups": [{"lr": 0.1, "params": [0]}],
        },
        "param_slice_mappings": [{"weight": (4, 0), "bias": (2, 4)}],
    }
    torch.save({"optimizer_state_dict": content}, tmp_path / "zero.pt")
    assert describe(tmp_path / "zero.pt").notes == (
        "group 0 is one flat tensor, as ZeRO keeps it, of weight, bias",
    )


def test_a_file_that_is_a_list(tmp_path, norm):
    """Its places are numbers, as show calls them."""
    model, saved = norm
    torch.save([model.state_dict(), saved.state_dict()], tmp_path / "a.pt")
    fresh = nn.LayerNorm(2)
    optimizer = backwards(fresh)
    load(tmp_path / "a.pt", model=fresh, optimizer=optimizer, key={"model": "0", "optimizer": "1"})
    assert fresh.bias.equal(model.bias)
    assert averages(fresh, optimizer) == averages(model, saved)
    with pytest.raises(CheckpointError, match=r"has nothing at '2'; it has '0', '1', and optim"):
        load(tmp_path / "a.pt", optimizer=optimizer, key="2")
