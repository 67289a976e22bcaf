"""Rules: what they are written like, and what they refuse."""

import re

import numpy as np
import pytest
from torch import nn

from optimkit import GroupError, is_bias, layer_decay, param_groups, when


def layer_of(name):
    """Return the number in front of the first dot."""
    return int(name.split(".")[0])


def test_a_rule_is_written_as_it_was_made():
    """Messages show a rule as one would write it."""
    assert repr(when("*.bias", weight_decay=0.0)) == "when('*.bias', weight_decay=0.0)"
    assert repr(when(is_bias, name="b", lr=1)) == "when(is_bias, name='b', lr=1)"
    assert repr(when(re.compile("a"))) == "when(re.compile('a'))"
    assert repr(layer_decay(0.5, layer_of)) == "layer_decay(0.5, layer_of)"
    assert repr(layer_decay(0.5, layer_of, 0.1)) == "layer_decay(0.5, layer_of, min_scale=0.1)"


def test_wrong_types_are_refused_where_they_are_written():
    """A name that is no string, a factor that is no number: a TypeError at once."""
    with pytest.raises(TypeError, match=r"^name must be a string, not int$"):
        when("*", name=3)
    with pytest.raises(TypeError, match=r"^layer_of must be callable, not dict$"):
        layer_decay(0.5, {})
    with pytest.raises(TypeError, match=r"^decay must be a number, not str$"):
        layer_decay("0.5", layer_of)
    with pytest.raises(TypeError, match=r"^min_scale must be a number, not NoneType$"):
        layer_decay(0.5, layer_of, min_scale=None)


def test_factors_out_of_range():
    """A decay must be above 0, a least factor 0 or more, and both are said at once."""
    with pytest.raises(GroupError) as caught:
        layer_decay(0.0, layer_of, min_scale=-1)
    assert str(caught.value) == (
        "2 problems:\n"
        "  1. decay=0.0: the factor between two layers must be above 0.\n"
        "  2. min_scale=-1: the least factor must be 0 or more."
    )


def layers(count):
    """Return a model whose layers are numbered."""
    return nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(count)))


def lrs(model, *rules, **options):
    """Return each parameter's learning rate."""
    groups = param_groups(model, *rules, **options)
    return {name: group["lr"] for group in groups for name, _ in group["params"]}


def test_layer_decay_sets_a_real_lr():
    """The deepest layer keeps its lr, each layer before has it times the factor."""
    assert lrs(layers(3), layer_decay(0.5, layer_of), lr=0.8) == {
        "0.weight": 0.2,
        "1.weight": 0.4,
        "2.weight": 0.8,
    }


def test_layer_decay_has_a_least_factor():
    """The factor never falls below min_scale."""
    found = lrs(layers(3), layer_decay(0.1, layer_of, min_scale=0.5), lr=1.0)
    assert found == {"0.weight": 0.5, "1.weight": 0.5, "2.weight": 1.0}


def test_layer_decay_scales_what_comes_before_and_yields_to_what_comes_after():
    """An lr set before is scaled, an lr set after wins, two decays multiply."""
    before, after = when("1.*", lr=0.4), when("0.*", lr=7.0)
    decay = layer_decay(0.5, layer_of)
    assert lrs(layers(3), before, decay, after, lr=0.8) == {
        "0.weight": 7.0,
        "1.weight": 0.2,
        "2.weight": 0.8,
    }
    assert lrs(layers(2), decay, decay, lr=0.8) == {"0.weight": 0.2, "1.weight": 0.8}


def test_depth_counts_frozen_layers():
    """Freezing the head does not change what the layers below it learn with."""
    model = layers(3)
    model[2].requires_grad_(False)
    assert lrs(model, layer_decay(0.5, layer_of), lr=0.8) == {"0.weight": 0.2, "1.weight": 0.4}


def test_an_lr_to_scale_is_needed_only_where_it_is_scaled():
    """Without an lr, a decay is an error, unless a later rule gives one to all it scales."""
    decay = layer_decay(0.5, layer_of)
    assert lrs(layers(2), decay, when("*", lr=0.1)) == {"0.weight": 0.1, "1.weight": 0.1}
    with pytest.raises(GroupError) as caught:
        param_groups(layers(7), decay, when("0.*", lr=0.1))
    assert str(caught.value) == (
        "layer_decay has no lr to scale for 1.weight, 2.weight, 3.weight, 4.weight, 5.weight "
        "and 1 more. Pass param_groups(..., lr=...)."
    )


def test_layers_of_any_integer_type():
    """An integer of another library's counts as one, and the lr stays a plain float."""
    for kind in (np.int64, np.uint8, bool):
        found = lrs(
            layers(2), layer_decay(0.5, lambda name, kind=kind: kind(layer_of(name))), lr=0.8
        )
        assert found == {"0.weight": 0.4, "1.weight": 0.8}
        assert {type(lr) for lr in found.values()} == {float}


def test_a_factor_that_underflows_is_zero():
    """A layer that is deep enough has an lr of 0, not the lr of the last layer."""
    found = lrs(layers(2), layer_decay(1e-200, lambda name: 2 * layer_of(name)), lr=0.8)
    assert found == {"0.weight": 0.0, "1.weight": 0.8}


def test_a_factor_that_overflows_is_refused():
    """A growing factor over too many layers is no learning rate, and says so."""
    layers = {"0.weight": 0, "0.bias": 5_000}
    with pytest.raises(GroupError) as caught:
        param_groups(nn.Sequential(nn.Linear(1, 1)), layer_decay(2.0, layers.__getitem__), lr=0.1)
    assert str(caught.value) == (
        "layer_decay(2.0, __getitem__): 2.0 ** 5000 is too large a factor. Check that layer_of "
        "returns the number of a layer, and that decay is at most 1."
    )


def test_layer_of_that_fails():
    """The name for which layer_of has no answer is told, and what it raised."""
    with pytest.raises(GroupError) as caught:
        param_groups(layers(2), layer_decay(0.5, {"0.weight": 0}.__getitem__), lr=1.0)
    assert str(caught.value) == (
        "layer_decay(0.5, __getitem__): layer_of fails at 1.weight: KeyError: '1.weight'. "
        "It must have an answer for every parameter."
    )


def test_layer_of_that_finds_nothing():
    """A next() that finds nothing is an error too, and does not end the list of parameters."""
    stages = ["0.", "1."]
    depth = layer_decay(
        0.5, lambda name: next(at for at, stage in enumerate(stages) if name.startswith(stage))
    )
    assert list(lrs(layers(2), depth, lr=1.0).values()) == [0.5, 1.0]
    with pytest.raises(GroupError) as caught:
        param_groups(layers(4), depth, lr=1.0)
    assert str(caught.value) == (
        "layer_decay(0.5, <lambda>): layer_of fails at 2.weight: StopIteration: next() finds "
        "nothing. It must have an answer for every parameter."
    )


def test_layer_of_must_give_numbers():
    """What layer_of gives for each name is shown if it is no int."""
    with pytest.raises(GroupError) as caught:
        param_groups(layers(2), layer_decay(0.5, lambda name: None), lr=1.0)
    assert str(caught.value) == (
        "layer_decay(0.5, <lambda>): layer_of must return an int for each name, the number of its "
        "layer, but returned 0.weight -> None, 1.weight -> None."
    )


def test_layer_decay_knows_no_aliases():
    """A tied parameter has one layer, that of its name: an alias is not asked about."""
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    model["head"].weight = model["embed"].weight
    depths = {name: index for index, (name, _) in enumerate(model.named_parameters())}
    assert lrs(model, layer_decay(0.5, depths.__getitem__), lr=1.0) == {
        "embed.weight": 0.5,
        "head.bias": 1.0,
    }
