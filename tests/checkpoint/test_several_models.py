"""Several models: state goes to its own, though another has a parameter of the same name."""

import contextlib

import pytest
import torch
from torch import nn

import optimkit
from optimkit import MismatchError


def stepped(*models):
    """Return an optimizer of some models, after a step."""
    params = [param for model in models for param in model.parameters()]
    optimizer = torch.optim.AdamW(params)
    for number, param in enumerate(params):
        param.grad = torch.full_like(param, float(number + 1))
    optimizer.step()
    return optimizer


@pytest.fixture
def pair():
    """Two models whose parameters have the same names."""
    return {"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}


@pytest.mark.parametrize("given", [("a", "b"), ("b",)])
def test_another_model_of_the_same_names(tmp_path, pair, given):
    """State of one model is not taken for that of another, whose names are the same."""
    path = optimkit.save(tmp_path / "last.pt", **pair, optimizer=stepped(pair["a"]))
    other = torch.optim.AdamW(pair["b"].parameters())
    models = {key: pair[key] for key in given}
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, **models, optimizer=other)
    assert caught.value.problems[0] == (
        f"optimizer: {path} lacks b.weight, b.bias. Rename what was renamed, or pass strict=False "
        "to start afresh what is missing."
    )
    assert not other.state


@pytest.mark.parametrize("turned", [False, True])
def test_a_model_is_frozen(tmp_path, pair, turned):
    """Frozen today, or frozen when it was saved, a whole model may be left out."""
    both, one = stepped(*pair.values()), stepped(pair["b"])
    saved, today = (one, both) if turned else (both, one)
    expected = saved.state[pair["b"].weight]["exp_avg"].clone()
    path = optimkit.save(tmp_path / "last.pt", **pair, optimizer=saved)
    optimkit.freeze(pair["a"])
    today.state.clear()
    with contextlib.nullcontext() if turned else pytest.warns(UserWarning, match="now frozen"):
        loaded = optimkit.load(path, **pair, optimizer=today, strict=not turned)
    report = loaded.reports["optimizer"]
    assert report.match == "name"
    assert torch.equal(today.state[pair["b"].weight]["exp_avg"], expected)
    rows = report.missing if turned else report.unexpected
    assert [row.name for row in rows] == ["a.weight", "a.bias"]


def test_one_model_and_no_key(tmp_path, pair):
    """Files without the model's key, as they were written before there was one, are loaded."""
    optimizer = stepped(pair["a"])
    path = optimkit.save(tmp_path / "last.pt", a=pair["a"], optimizer=optimizer)
    content = torch.load(path, weights_only=True)
    del content["__optimkit__"]["objects"]["optimizer"]["model"]
    torch.save(content, path)
    again = torch.optim.AdamW(pair["a"].parameters())
    report = optimkit.load(path, a=pair["a"], optimizer=again).reports["optimizer"]
    assert (report.match, report.complete) == ("name", True)


def test_a_part_is_frozen_of_what_bears_the_key(tmp_path, pair):
    """Names that an optimizer was given, keys and all, are known as those of what is frozen now."""
    saved = torch.optim.AdamW(optimkit.param_groups(pair))
    path = optimkit.save(tmp_path / "last.pt", **pair, optimizer=saved)
    optimkit.freeze(pair["a"].bias)
    again = torch.optim.AdamW(optimkit.param_groups(pair))
    report = optimkit.load(path, **pair, optimizer=again).reports["optimizer"]
    assert [row.name for row in report.unexpected] == ["a.bias"]
    assert not report.problems


def test_models_in_a_mapping_go_by_their_names_in_it(tmp_path, pair):
    """What is saved in a mapping is found by the names of param_groups, with the mapping or without."""
    saved = stepped(*pair.values())
    path = optimkit.save(tmp_path / "last.pt", models=pair, optimizer=saved)
    expected = saved.state[pair["b"].weight]["exp_avg"]
    for models in ({}, {"models": pair}):
        again = torch.optim.AdamW(optimkit.param_groups(dict(reversed(pair.items()))))
        report = optimkit.load_optimizer(again, path, **models)
        assert (report.match, report.complete) == ("name", True)
        assert torch.equal(again.state[pair["b"].weight]["exp_avg"], expected)
    again = torch.optim.AdamW(optimkit.param_groups(dict(reversed(pair.items()))))
    assert optimkit.load(path, optimizer=again).reports["optimizer"].complete


def test_a_parameter_of_two_models(tmp_path, pair):
    """A tied parameter is found whichever of its models is given first."""
    pair["b"].weight = pair["a"].weight
    params = [pair["a"].weight, pair["a"].bias, pair["b"].bias]
    saved = torch.optim.AdamW(params)
    for param in params:
        param.grad = torch.ones_like(param)
    saved.step()
    path = optimkit.save(tmp_path / "last.pt", **pair, optimizer=saved)
    for models in (pair, dict(reversed(pair.items()))):
        again = torch.optim.AdamW(params)
        report = optimkit.load(path, **models, optimizer=again).reports["optimizer"]
        assert (report.match, report.complete) == ("name", True)
        assert len(again.state) == 3
