"""Selectors: globs, expressions, modules, predicates, combinations."""

import re
from typing import Union

import pytest
import torch
from torch import nn

from optimkit import GroupError, is_bias, is_embedding, is_matrix, is_norm, param_groups, when
from optimkit._groups.selectors import select_by
from optimkit._walking import walk


def net():
    """Return a model with layers in layers."""
    return nn.ModuleDict(
        {
            "embed": nn.Embedding(4, 3),
            "layers": nn.ModuleList(
                [nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)) for _ in range(2)]
            ),
            "head": nn.Linear(3, 4),
        }
    )


def chosen(select, model):
    """Return the names that are selected."""
    found = walk(model)
    answer = select_by(select).over(found)
    return [name for name, yes in zip(found.places, answer, strict=True) if yes]


def test_expressions_are_searched():
    """A compiled expression is found anywhere in the name, with the flags it has."""
    assert chosen(re.compile(r"\.1\.weight$"), net()) == [
        "layers.0.1.weight",
        "layers.1.1.weight",
    ]
    assert chosen(re.compile("HEAD", re.IGNORECASE), net()) == ["head.weight", "head.bias"]


def test_a_type_selects_all_that_is_inside():
    """A module type selects what its instances own, and what is inside them."""
    assert chosen(nn.LayerNorm, net())[:2] == ["layers.0.1.weight", "layers.0.1.bias"]
    assert chosen(nn.Sequential, net()) == [n for n in walk(net()).places if "layers" in n]
    assert chosen(nn.Module, net()) == walk(net()).places
    assert chosen(nn.Conv2d, net()) == []


def test_an_instance_selects_all_that_is_inside():
    """A module selects what is inside it, and nothing of its twins."""
    model = net()
    assert chosen(model["layers"][1], model) == [
        "layers.1.0.weight",
        "layers.1.0.bias",
        "layers.1.1.weight",
        "layers.1.1.bias",
    ]


def test_a_predicate_sees_names_modules_and_aliases():
    """A predicate gets a ParamInfo, and whatever it returns counts as a truth value."""
    assert chosen(lambda info: info.param.ndim == 1 and "head" in info.name, net()) == ["head.bias"]
    assert chosen(lambda info: isinstance(info.module, nn.Embedding), net()) == ["embed.weight"]
    assert chosen(lambda info: info.module_name == "head" or None, net()) == [
        "head.weight",
        "head.bias",
    ]


def test_a_union_of_types():
    """Types joined by Python's own operator select what is inside any of them."""
    kinds = nn.LayerNorm | nn.Embedding
    assert chosen(kinds, net()) == chosen(is_norm | nn.Embedding, net())
    assert chosen(is_bias & kinds, net()) == ["layers.0.1.bias", "layers.1.1.bias"]
    assert repr(select_by(kinds)) == "LayerNorm | Embedding"


@pytest.mark.parametrize(
    ("predicate", "reason"),
    [
        (
            lambda info: info.module.normalized_shape,
            "AttributeError: 'Embedding' object has no attribute 'normalized_shape'",
        ),
        (
            lambda info: info.param > 0,
            "RuntimeError: Boolean value of Tensor with more than one value is ambiguous",
        ),
        (
            lambda info: next(name for name in info.aliases if name == "head"),
            "StopIteration: next() finds nothing",
        ),
    ],
)
def test_a_predicate_that_fails(predicate, reason):
    """An error names the predicate, the parameter at which it failed, and what it raised."""
    for ask in (
        lambda: param_groups(net(), when(predicate, lr=1.0)),
        lambda: chosen(predicate, net()),
    ):
        with pytest.raises(GroupError) as caught:
            ask()
        assert str(caught.value) == (
            f"the predicate <lambda> fails at embed.weight: {reason}. "
            "It must have an answer for every parameter."
        )
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    "select",
    [
        "head.weight",
        "embed.weight",
        re.compile("^head"),
        nn.Linear,
        nn.Embedding,
        lambda info: info.name == "head.weight",
        lambda info: info.module_name == "embed",
    ],
)
def test_any_alias_will_do(select):
    """A tied parameter is selected by each of its names and owners, at all its places."""
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)})
    model["head"].weight = model["embed"].weight
    assert chosen(select, model) == ["embed.weight", "head.weight"]


def test_combinations():
    """Selectors, and whatever else selects, combine with and, or, not, from either side."""
    model = net()
    names = walk(model).places
    biases, norms = chosen(is_bias, model), chosen(is_norm, model)
    for combined, expected in [
        (is_bias & is_norm, [n for n in names if n in biases and n in norms]),
        (is_bias | is_norm, [n for n in names if n in biases or n in norms]),
        (~is_bias, [n for n in names if n not in biases]),
        (is_bias & "head.*", ["head.bias"]),
        ("head.*" & is_bias, ["head.bias"]),
        (nn.Linear & is_bias, ["layers.0.0.bias", "layers.1.0.bias", "head.bias"]),
        (re.compile("head") | is_norm, [n for n in names if n in norms or "head" in n]),
        (~(is_bias | is_norm) & ~select_by("embed.*") & model["head"], ["head.weight"]),
        (is_bias & (lambda info: info.param.numel() == 4), ["head.bias"]),
    ]:
        assert chosen(combined, model) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (is_bias & "head.*", "is_bias & 'head.*'"),
        (~(is_bias | is_norm), "~(is_bias | is_norm)"),
        (is_bias & (is_norm | nn.Linear), "is_bias & (is_norm | Linear)"),
        (~is_bias & re.compile("a|b"), "~is_bias & re.compile('a|b')"),
        (is_bias | nn.Linear(1, 1), "is_bias | <Linear>"),
    ],
)
def test_a_selector_is_written_as_it_was_made(selector, expected):
    """Messages show a selector as one would write it."""
    assert repr(selector) == expected


@pytest.mark.parametrize(
    ("select", "what"),
    [
        (3, "int"),
        (None, "NoneType"),
        (["*.bias"], "list"),
        (nn.Parameter, "Parameter"),
        (dict, "dict"),
        (re.compile(b"bias"), "Pattern"),
        (nn.Linear | None, "NoneType"),
    ],
)
def test_what_selects_nothing_is_refused(select, what):
    """Anything else is a TypeError that says what was given."""
    with pytest.raises(TypeError) as caught:
        select_by(select)
    assert str(caught.value) == (
        "select must be a glob, a compiled regular expression, a module, a module type, "
        f"a predicate or a combination of these, not {what}"
    )


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("*.bias", []),
        (nn.Conv2d, []),
        (lambda info: False, []),
        (is_bias & nn.Conv2d, []),
        ("hed.weight", ["no parameter is called 'hed.weight' (is it 'head.weight'?)"]),
        ("layer.*", ["no parameter is called 'layer.*' (is it 'layers.*'?)"]),
        ("*.wieght", ["no parameter is called '*.wieght' (is it '*.weight'?)"]),
        ("xyz", ["no parameter is called 'xyz'"]),
        ("head", ["no parameter is called 'head' (is it 'head.*'?)"]),
        ("head.", ["no parameter is called 'head.' (is it 'head.*'?)"]),
        (re.compile("xyz"), ["'xyz' is found in no parameter's name"]),
        (nn.ReLU(), ["this ReLU has no parameters"]),
        (is_bias & "xyz", ["no parameter is called 'xyz'"]),
        (is_bias | ~select_by("xyz"), ["no parameter is called 'xyz'"]),
        (select_by("head.*") & "embed.*", ["'head.*' & 'embed.*' is empty"]),
        (
            select_by("xyz") | re.compile("zyx") | "head.*",
            ["no parameter is called 'xyz'", "'zyx' is found in no parameter's name"],
        ),
    ],
)
def test_names_that_no_parameter_has(select, expected):
    """Each name in a selector must be found, while a kind may be absent."""
    assert select_by(select).misses(walk(net())) == expected


def test_a_module_without_parameters_says_so():
    """An instance in the model that owns nothing is told from one that is not in it."""
    model = nn.Sequential(nn.ReLU(), nn.Linear(1, 1))
    assert select_by(model[0]).misses(walk(model)) == ["this ReLU has no parameters"]


def test_an_answer_is_asked_for_once():
    """A predicate is called once for each place, however often its selector is used."""
    calls = []
    selector = select_by(lambda info: calls.append(info.name))
    found = walk(net())
    selector.over(found)
    (selector | ~selector).over(found)
    assert calls == found.places


def test_brackets_in_a_name():
    """A name with brackets is no glob; the error says how to write it."""
    model = nn.ParameterDict({"a[0]": torch.ones(1)})
    assert select_by("a[0]").misses(walk(model)) == [
        "no parameter is called 'a[0]' (is it 'a[[]0]'?)"
    ]
    assert select_by("a[[]0]").misses(walk(model)) == []


def test_old_unions():
    """typing.Union joins module types as ``|`` does."""
    model = nn.Sequential(nn.Linear(1, 1), nn.LayerNorm(1), nn.PReLU())
    union = select_by(Union[nn.LayerNorm, nn.PReLU])  # noqa: UP007 (what is tested)
    assert union.over(walk(model)) == select_by(nn.LayerNorm | nn.PReLU).over(walk(model))


def test_a_selector_in_a_predicate():
    """Asked in a predicate, a selector knows the whole model: ties, and what lies around."""
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    model["head"].weight = model["embed"].weight
    for select in (is_embedding, is_matrix, select_by("embed.*"), select_by(nn.ModuleDict)):
        inside = select_by(lambda info, select=select: select(info))
        assert inside.over(walk(model)) == select.over(walk(model))


def test_a_record_is_no_name():
    """``"bias" in info`` would be false for every parameter: it is an error, and says what to ask."""
    with pytest.raises(GroupError) as caught:
        select_by(lambda info: "bias" in info).over(walk(nn.Linear(1, 1)))
    assert str(caught.value) == (
        "the predicate <lambda> fails at weight: TypeError: a ParamInfo is no name; ask its .name. "
        "It must have an answer for every parameter."
    )


def test_a_wrapped_part_of_the_model():
    """A module selects what is inside it through a wrapper, too."""
    model = net()
    wrapped = torch.compile(nn.DataParallel(model["head"]))
    assert chosen(wrapped, model) == ["head.weight", "head.bias"]
