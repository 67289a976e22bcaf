"""Selectors: globs, expressions, modules, predicates, combinations."""

import re
from fnmatch import fnmatchcase
from typing import Union

import pytest
import torch
from torch import nn

from optimkit import GroupError, is_bias, is_embedding, is_matrix, is_norm, param_groups, when

ANY = is_bias | ~is_bias  # a selector to combine others with


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


NAMES = [name for name, _ in net().named_parameters()]


def misses(select, model):
    """Return what is said about the names in a selector that no parameter has."""
    start, end = f"{when(select)}: ", '. Correct the rule, or pass unused="ignore".'
    try:
        param_groups(model, when(select))
    except GroupError as error:
        found = error.problems
    else:
        found = ()
    assert all(each.startswith(start) and each.endswith(end) for each in found)
    return [each[len(start) : -len(end)] for each in found]


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "**",
        "head.weight",
        "head.*",
        "*.bias",
        "*.0.*",
        "layers.*.weight",
        "layers.?.0.bias",
        "layers.[01].1.*",
        "layers.[!0].1.*",
        "*.1.*.bias",
        "*layers*0*bias",
        "*weight*",
        "Head.*",
        "ead.weight",
        "",
    ],
)
def test_globs_mean_what_fnmatch_means(chosen, pattern):
    """A glob is matched against the whole name, case and all, and ``*`` crosses dots."""
    assert chosen(pattern, net()) == [name for name in NAMES if fnmatchcase(name, pattern)]


def test_expressions_are_searched(chosen):
    """A compiled expression is found anywhere in the name, with the flags it has."""
    assert chosen(re.compile(r"\.1\.weight$"), net()) == ["layers.0.1.weight", "layers.1.1.weight"]
    assert chosen(re.compile("HEAD", re.IGNORECASE), net()) == ["head.weight", "head.bias"]


def test_a_type_selects_all_that_is_inside(chosen):
    """A module type selects what its instances own, and what is inside them."""
    assert chosen(nn.LayerNorm, net())[:2] == ["layers.0.1.weight", "layers.0.1.bias"]
    assert chosen(nn.Sequential, net()) == [name for name in NAMES if "layers" in name]
    assert chosen(nn.Module, net()) == NAMES
    assert chosen(nn.Conv2d, net()) == []


def test_an_instance_selects_all_that_is_inside(chosen):
    """A module selects what is inside it, and nothing of one that is like it."""
    model = net()
    assert chosen(model["layers"][1], model) == [
        "layers.1.0.weight",
        "layers.1.0.bias",
        "layers.1.1.weight",
        "layers.1.1.bias",
    ]


def test_a_predicate_sees_names_modules_and_aliases(chosen):
    """A predicate gets a ParamInfo, and whatever it returns counts as a truth value."""
    assert chosen(lambda info: info.param.ndim == 1 and "head" in info.name, net()) == ["head.bias"]
    assert chosen(lambda info: isinstance(info.module, nn.Embedding), net()) == ["embed.weight"]
    assert chosen(lambda info: info.module_name == "head" or None, net()) == [
        "head.weight",
        "head.bias",
    ]


def test_a_union_of_types(chosen):
    """Types joined by Python's own operator select what is inside any of them."""
    kinds = nn.LayerNorm | nn.Embedding
    assert chosen(kinds, net()) == chosen(is_norm | nn.Embedding, net())
    assert chosen(is_bias & kinds, net()) == ["layers.0.1.bias", "layers.1.1.bias"]
    assert repr(when(kinds)) == "when(LayerNorm | Embedding)"


def test_old_unions(chosen):
    """typing.Union joins module types as ``|`` does."""
    model = nn.Sequential(nn.Linear(1, 1), nn.LayerNorm(1), nn.PReLU())
    union = Union[nn.LayerNorm, nn.PReLU]  # noqa: UP007 (what is tested)
    assert chosen(union, model) == ["1.weight", "1.bias", "2.weight"]


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
        (  # it would be false for every parameter
            lambda info: "bias" in info,
            "TypeError: a ParamInfo is not a name; use its .name",
        ),
    ],
)
def test_a_predicate_that_fails(predicate, reason):
    """An error names the predicate, the parameter at which it failed, and what it raised."""
    with pytest.raises(GroupError) as caught:
        param_groups(net(), when(predicate, lr=1.0))
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
def test_any_alias_will_do(chosen, select):
    """A tied parameter is selected by each of its names and owners."""
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4, bias=False)})
    model["head"].weight = model["embed"].weight
    assert chosen(select, model) == ["embed.weight"]
    assert chosen(~(ANY & select), model) == []


def test_combinations(chosen):
    """Selectors, and whatever else selects, combine with and, or, not, from either side."""
    model = net()
    biases, norms = chosen(is_bias, model), chosen(is_norm, model)
    for combined, expected in [
        (is_bias & is_norm, [n for n in NAMES if n in biases and n in norms]),
        (is_bias | is_norm, [n for n in NAMES if n in biases or n in norms]),
        (~is_bias, [n for n in NAMES if n not in biases]),
        (is_bias & "head.*", ["head.bias"]),
        ("head.*" & is_bias, ["head.bias"]),
        (nn.Linear & is_bias, ["layers.0.0.bias", "layers.1.0.bias", "head.bias"]),
        (re.compile("head") | is_norm, [n for n in NAMES if n in norms or "head" in n]),
        (~(is_bias | is_norm | "embed.*") & model["head"], ["head.weight"]),
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
        (~is_matrix & "a & b", "~is_matrix & 'a & b'"),
        (is_embedding & test_combinations, "is_embedding & test_combinations"),
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
    """Anything else is a TypeError that says what was passed."""
    with pytest.raises(TypeError) as caught:
        when(select)
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
        (is_bias & "*.weight", []),  # each name is found, if not together
        ("hed.weight", ["no parameter is called 'hed.weight' (is it 'head.weight'?)"]),
        ("layer.*", ["no parameter is called 'layer.*' (is it 'layers.*'?)"]),
        ("*.wieght", ["no parameter is called '*.wieght' (is it '*.weight'?)"]),
        ("*weigth", ["no parameter is called '*weigth' (is it '*weight'?)"]),
        ("xyz", ["no parameter is called 'xyz'"]),
        ("O.*", ["no parameter is called 'O.*'"]),
        ("head", ["no parameter is called 'head' (is it 'head.*'?)"]),
        ("head.", ["no parameter is called 'head.' (is it 'head.*'?)"]),
        ("bias", ["no parameter is called 'bias' (is it '*bias'?)"]),
        ("EAD", ["no parameter is called 'EAD' (is it '*ead*'?)"]),
        ("ead.we", ["no parameter is called 'ead.we' (is it '*ead.we*'?)"]),
        (re.compile("xyz"), ["'xyz' is found in no parameter's name"]),
        (nn.ReLU(), ["this ReLU has no parameters"]),
        (nn.Linear(1, 1), ["this Linear is not in the model (a copy, or replaced?)"]),
        (is_bias & "xyz", ["no parameter is called 'xyz'"]),
        (is_bias | ~(is_norm & "xyz"), ["no parameter is called 'xyz'"]),
        (
            is_bias | "xyz" | re.compile("zyx") | "head.*",
            ["no parameter is called 'xyz'", "'zyx' is found in no parameter's name"],
        ),
    ],
)
def test_names_that_no_parameter_has(select, expected):
    """Each name in a selector must be found, while a kind may be absent."""
    assert misses(select, net()) == expected


def test_a_module_without_parameters_says_so():
    """An instance in the model that owns nothing is told from one that is not in it."""
    model = nn.Sequential(nn.ReLU(), nn.Linear(1, 1))
    assert misses(model[0], model) == ["this ReLU has no parameters"]


def test_no_nearest_name_in_a_crowd():
    """Among thousands of names none is looked for: comparing them would take minutes."""
    crowd = nn.ParameterList(nn.Parameter() for _ in range(2_001))
    assert misses("20O", crowd) == ["no parameter is called '20O'"]


def test_an_answer_is_asked_for_once():
    """A predicate is called once for each name, however often its selector is used."""
    calls = []
    asked = ANY & (lambda info: calls.append(info.name))
    param_groups(net(), when(asked, lr=0.1), when(~asked, lr=0.2), when(asked | "head.*"))
    assert calls == NAMES


def test_brackets_in_a_name():
    """A name with brackets is no glob; the error says how to write it."""
    model = nn.ParameterDict({"a[0]": torch.ones(1)})
    assert misses("a[0]", model) == ["no parameter is called 'a[0]' (is it 'a[[]0]'?)"]
    assert misses("a[[]0]", model) == []


def test_a_selector_in_a_predicate(chosen):
    """Asked in a predicate, a selector knows the whole model: ties, and what lies around."""
    model = nn.ModuleDict({"embed": nn.Embedding(4, 3), "head": nn.Linear(3, 4)})
    model["head"].weight = model["embed"].weight
    for select in (is_embedding, is_matrix, ANY & "embed.*", ANY & nn.ModuleDict, ANY & model):
        expected = chosen(select, model)
        assert chosen(lambda info, select=select: select(info), model) == expected
        inner = ANY & (lambda info, select=select: select(info))  # a predicate in a predicate
        assert chosen(lambda info, inner=inner: inner(info), model) == expected


def test_a_wrapped_part_of_the_model(chosen):
    """A module selects what is inside it through a wrapper, too."""
    model = net()
    wrapped = torch.compile(nn.DataParallel(model["head"]))
    assert chosen(wrapped, model) == ["head.weight", "head.bias"]
