"""A vocabulary that was enlarged: the rows that were saved are loaded, where that is asked for."""

from functools import partial

import pytest
import torch
from torch import nn

import optimkit
from optimkit import MismatchError
from optimkit.checkpoint import distributed

OPTIMIZERS = {
    "AdamW": lambda params: torch.optim.AdamW(params),
    "SGD": lambda params: torch.optim.SGD(params, momentum=0.9),
    "Adafactor": lambda params: torch.optim.Adafactor(params),
    "Own": lambda params: Own(params),
}


class Own(torch.optim.Optimizer):
    """Keeps a tensor like each parameter, a number for each row, and a count."""

    def __init__(self, params):
        super().__init__(params, {})

    def step(self):
        """Note the gradient."""
        for param in self.param_groups[0]["params"]:
            state = self.state[param]
            state["seen"] = param.grad.clone()
            state["rows"] = param.grad.flatten(1).sum(1) if param.ndim > 1 else param.grad.clone()
            state["count"] = torch.tensor(1)


class Net(nn.Module):
    """A table of words, a layer, and a head with a score for each word."""

    def __init__(self, words):
        super().__init__()
        self.words = nn.Embedding(words, 3)
        self.hidden = nn.Linear(3, 3)
        self.head = nn.Linear(3, words)


def built(words, kind):
    """Return a model for so many words, and an optimizer of it."""
    torch.manual_seed(words)
    model = Net(words)
    return model, OPTIMIZERS[kind](model.named_parameters())


def step(model, optimizer):
    """Step with a gradient of ones."""
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()


@pytest.mark.parametrize("big", [False, True], ids=["read at once", "left in the file"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_rows_that_were_saved(tmp_path, kind, big):
    """They are loaded with their state; the new rows stay, and their state begins with zeros."""
    old = 500 if big else 5
    model, optimizer = built(old, kind)
    step(model, optimizer)
    path = optimkit.save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    larger, again = built(old + 2, kind)
    before = {name: param.detach().clone() for name, param in larger.named_parameters()}
    loaded = optimkit.load(path, model=larger, optimizer=again, grown=True)
    for name, param in larger.named_parameters():
        saved = model.get_parameter(name)
        rows = len(saved)
        assert param[:rows].equal(saved)
        assert param[rows:].equal(before[name][rows:])
        for key, value in optimizer.state[saved].items():
            now = again.state[param][key]
            if value.ndim and len(value) == rows:
                assert now[:rows].equal(value)
                assert not now[rows:].any()
                assert len(now) == len(param)
            else:
                assert now.equal(value)
    assert loaded.reports["optimizer"].notes == tuple(
        f"{name} has {old + 2} rows, {old} in {path}: the others are as they were, with state that "
        "begins with zeros."
        for name in ("words.weight", "head.weight", "head.bias")
    )
    step(larger, again)


def test_it_is_asked_for(tmp_path):
    """Without it a table of another size is refused, and the remedy named; fewer rows always are."""
    model, optimizer = built(5, "AdamW")
    step(model, optimizer)
    path = optimkit.save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    larger, again = built(7, "AdamW")
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, optimizer=again, model=larger)
    assert caught.value.problems[0].endswith(
        "Make the parameters as they were, or pass strict=False to start these afresh, or grown=True "
        "to load the rows that were saved."
    )
    assert caught.value.problems[1].endswith(
        "Make the layers as they were, or pass strict=False to leave them as they are, or grown=True "
        "to load the rows that were saved."
    )
    smaller, other = built(4, "AdamW")
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=smaller, optimizer=other, grown=True)
    assert caught.value.problems[0] == (
        f"model: {path} does not fit words.weight (shape: saved (5, 3), current (4, 3)), head.weight "
        "(shape: saved (5, 3), current (4, 3)), head.bias (shape: saved (5,), current (4,)). Make the "
        "layers as they were, or pass strict=False to leave them as they are."
    )


def test_a_state_dict(tmp_path):
    """load_optimizer does the same, without a header."""
    model, optimizer = built(5, "AdamW")
    step(model, optimizer)
    larger, again = built(7, "AdamW")
    optimkit.load_optimizer(again, optimizer.state_dict(), grown=True)
    kept = again.state[larger.words.weight]["exp_avg"]
    assert kept[:5].equal(optimizer.state[model.words.weight]["exp_avg"])
    assert not kept[5:].any()


def test_other_doors(tmp_path):
    """A directory of checkpoints takes it, and one of many processes."""
    model, optimizer = built(500, "AdamW")
    step(model, optimizer)
    checkpoints = optimkit.CheckpointDir(tmp_path / "runs")
    checkpoints.save(1, model=model, optimizer=optimizer)
    distributed.save(tmp_path / "all", model=model, optimizer=optimizer)
    for load in (checkpoints.restore, partial(distributed.load, tmp_path / "all")):
        larger, again = built(502, "AdamW")
        load(model=larger, optimizer=again, grown=True)
        assert larger.words.weight[:500].equal(model.words.weight)
        assert again.state[larger.words.weight]["exp_avg"].shape == (502, 3)
        step(larger, again)


class Rows(Own):
    """Keeps a number for each row alone."""

    def step(self):
        """Note the gradient."""
        super().step()
        for state in self.state.values():
            del state["seen"]


def test_a_class_that_is_not_known(tmp_path):
    """The model beside it says how many rows there were; without it, what may be rows is refused."""
    model, larger = nn.Embedding(4, 3), nn.Embedding(6, 3)
    optimizer, again = Rows(model.named_parameters()), Rows(larger.named_parameters())
    step(model, optimizer)
    torch.save({"model": model.state_dict(), "own": optimizer.state_dict()}, tmp_path / "a.pt")
    with pytest.raises(MismatchError) as caught:
        optimkit.load_optimizer(again, tmp_path / "a.pt", grown=True)
    assert caught.value.problems == (
        f"Rows: {tmp_path / 'a.pt'} does not fit weight (rows: saved (4,), current (6, 3)). Make the "
        "parameters as they were, or pass strict=False to start these afresh.",
    )
    assert not again.state
    optimkit.load(tmp_path / "a.pt", model=larger, own=again, grown=True)
    kept, was = again.state[larger.weight]["rows"], optimizer.state[model.weight]["rows"]
    assert kept[:4].equal(was)
    assert kept[4:].tolist() == [0, 0]


def test_one_row(tmp_path):
    """Adafactor's state for the columns begins with one row, and is none for the rows."""
    model, larger = nn.Embedding(1, 3), nn.Embedding(4, 3)
    optimizer = torch.optim.Adafactor(model.named_parameters())
    step(model, optimizer)
    again = torch.optim.Adafactor(larger.named_parameters())
    path = optimkit.save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    optimkit.load(path, model=larger, optimizer=again, grown=True)
    assert again.state[larger.weight]["row_var"].shape == (4, 1)
    assert again.state[larger.weight]["col_var"].shape == (1, 3)
    step(larger, again)


def test_rows_or_columns(tmp_path):
    """Where a class keeps a number for each, and there were as many, it is not known which grew."""
    model, larger = nn.Embedding(3, 3), nn.Embedding(4, 3)
    optimizer, again = Own(model.named_parameters()), Own(larger.named_parameters())
    step(model, optimizer)
    path = optimkit.save(tmp_path / "a.pt", model=model, optimizer=optimizer)
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, model=larger, optimizer=again, grown=True)
    assert caught.value.problems == (
        f"optimizer: {path} does not fit weight (rows: saved (3,), current (4, 3)). Make the "
        "parameters as they were, or pass strict=False to start these afresh.",
    )
    optimkit.load(path, model=larger, optimizer=again, grown=True, strict=False)
    assert larger.weight[:3].equal(model.weight)
    assert not again.state
