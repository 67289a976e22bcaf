"""Laws of parameter groups, on models and rules that no one thought of."""

import re
from fnmatch import fnmatchcase
from operator import and_, or_

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from optimkit import (
    GroupError,
    is_bias,
    is_embedding,
    is_matrix,
    is_norm,
    param_groups,
    partition,
    when,
)
from optimkit._values import same

ANY = is_bias | ~is_bias  # a selector to combine others with
LEAVES = [
    lambda: nn.Linear(2, 2),
    lambda: nn.Linear(2, 3, bias=False),
    lambda: nn.LayerNorm(2),
    lambda: nn.Embedding(3, 2),
    lambda: nn.ReLU(),
    lambda: nn.PReLU(),
    lambda: nn.ParameterList([torch.ones(1), torch.ones(2, 2)]),
]
SELECTS = [
    "*",
    "*.bias",
    "a.*",
    "*b*weight",
    re.compile(r"\.0\."),
    nn.Linear,
    nn.LayerNorm,
    is_bias,
    is_norm,
    is_embedding,
    is_matrix,
    lambda info: info.param.numel() > 2,
    lambda info: "a" in info.name,
]

selectors = st.recursive(
    st.sampled_from(SELECTS).map(lambda select: ANY & select),
    lambda inner: st.one_of(
        inner.map(lambda selector: ~selector),
        st.builds(
            lambda sign, one, other: sign(one, other), st.sampled_from([and_, or_]), inner, inner
        ),
    ),
    max_leaves=4,
)
values = st.sampled_from([0.0, 0.1, 0.5])
options = st.fixed_dictionaries(
    {}, optional={"lr": values, "weight_decay": values, "momentum": values}
)
recipes = st.lists(
    st.builds(
        lambda select, named, found: (select, {**found, **({"name": named} if named else {})}),
        selectors,
        st.sampled_from([None, None, "head", "tail"]),
        options,
    ),
    max_size=4,
)
rules = recipes.map(lambda found: [when(select, **given_) for select, given_ in found])


@st.composite
def models(draw):
    """Draw a nested model, with shared modules, tied weights and frozen parameters."""

    def module(depth):
        if depth == 0 or draw(st.booleans()):
            return draw(st.sampled_from(LEAVES))()
        names = draw(st.lists(st.sampled_from("ab0"), unique=True, min_size=1))
        return nn.ModuleDict({name: module(depth - 1) for name in names})

    model = nn.ModuleDict({"a": module(3), "b": module(3), "z": nn.Linear(2, 2)})
    if draw(st.booleans()):
        model["shared"] = model["a"]
    linear = [each for each in model.modules() if type(each) is nn.Linear]
    if draw(st.booleans()) and linear[0].weight.shape == linear[-1].weight.shape:
        linear[0].weight = linear[-1].weight
    for param in model["b"].parameters():
        param.requires_grad = draw(st.booleans())
    return model


def build(model, found, **kwargs):
    """Build groups, whatever the names in the rules."""
    return param_groups(model, *found, unused="ignore", lr=0.1, weight_decay=0.1, **kwargs)


def chosen(select, model):
    """Return the names of the parameters that are selected."""
    groups = build(model, [when(select, name="chosen")], frozen="keep")
    return {name for group in groups if group["name"] == "chosen" for name, _ in group["params"]}


def settled(groups):
    """Return the options of each parameter, and in which order the groups list them."""
    return [([name for name, _ in group["params"]], {**group, "params": None}) for group in groups]


@given(models(), rules, st.booleans())
def test_exact_cover(model, found, keep):
    """Each trainable parameter is in exactly one group, each group in the model's order."""
    groups = build(model, found, frozen="keep" if keep else "skip")
    own = [name for name, param in model.named_parameters() if keep or param.requires_grad]
    names = [name for group in groups for name, _ in group["params"]]
    assert sorted(names) == sorted(own)
    for group in groups:
        listed = [name for name, _ in group["params"]]
        assert listed == [name for name in own if name in set(listed)]
        assert all(dict(model.named_parameters())[name] is param for name, param in group["params"])


@given(models(), rules)
def test_fewest_groups(model, found):
    """No two groups have equal options and were asked for by the same name; names are unique."""
    groups = build(model, found)
    names = [group["name"] for group in groups]
    assert len(set(names)) == len(names)
    asked = [name.split(",")[0].split(" #")[0] for name in names]
    asked = [name if name in ("head", "tail") else None for name in asked]
    kinds = [
        (name, *((key, group[key]) for key in sorted(group.keys() - {"params", "name"})))
        for name, group in zip(asked, groups, strict=True)
    ]
    assert len(set(kinds)) == len(groups)


@given(models(), rules)
def test_merging_is_idempotent(model, found):
    """Rules applied twice over give the groups that they give once."""
    assert settled(build(model, [*found, *found])) == settled(build(model, found))


@given(models(), rules, options.filter(bool))
def test_the_last_rule_decides(model, found, last):
    """Whatever came before, the options of a last rule for all hold for all."""
    for group in build(model, [*found, when("*", **last)]):
        assert {key: group[key] for key in last} == last


@given(models(), recipes)
def test_each_parameter_gets_what_the_rules_say(model, found):
    """The groups are what the rules give when applied to one parameter after another."""
    expected = {name: {"lr": 0.1, "weight_decay": 0.1} for name, _ in model.named_parameters()}
    for select, changes in found:
        for name in chosen(select, model):
            expected[name].update({key: changes[key] for key in changes.keys() - {"name"}})
    for group in build(model, [when(select, **changes) for select, changes in found]):
        own = {key: group[key] for key in group.keys() - {"params", "name"}}
        for name, _ in group["params"]:
            assert own == expected[name]


@given(models(), st.lists(selectors, max_size=3))
def test_a_partition_covers_or_raises(model, found):
    """A partition has each trainable parameter once, or says which ones it has not."""
    answers = [chosen(selector, model) for selector in found]
    counts = {
        name: sum(name in answer for answer in answers)
        for name, param in model.named_parameters()
        if param.requires_grad
    }
    parts = {f"part{index}": selector for index, selector in enumerate(found)}
    try:
        result = partition(model, **parts)
    except GroupError:
        assert any(count != 1 for count in counts.values())
    else:
        names = [name for pairs in result.values() for name, _ in pairs]
        assert sorted(names) == sorted(counts)
        assert set(counts.values()) == {1}


@given(models(), selectors)
def test_a_selector_and_its_opposite_are_a_partition(model, selector):
    """What is selected and what is not make up the model, ties and all."""
    result = partition(model, yes=selector, no=~selector)
    assert sum(map(len, result.values())) == sum(
        param.requires_grad for param in model.parameters()
    )


@given(models(), selectors, selectors)
def test_boolean_laws(model, one, other):
    """De Morgan and double negation hold for selectors."""
    for left, right in [
        (~(one & other), ~one | ~other),
        (~(one | other), ~one & ~other),
        (~~one, one),
    ]:
        assert chosen(left, model) == chosen(right, model)


@given(st.text("ab*?[]!", max_size=8), st.lists(st.text("ab", min_size=1, max_size=6), min_size=1))
def test_any_glob_means_what_fnmatch_means(pattern, names):
    """Whatever the glob and the names, it selects what fnmatch finds."""
    model = nn.ParameterDict({name: nn.Parameter(torch.ones(1)) for name in names})
    assert chosen(pattern, model) == {name for name in names if fnmatchcase(name, pattern)}


numbers = st.sampled_from([0, 0.0, 1, 1.0, True, False, None, 0.5, float("nan"), "a"])
tensors = st.builds(
    torch.tensor,
    st.sampled_from([[0.0, 1.0], 0.5, 1.0, float("nan")]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
nested = st.recursive(
    numbers | tensors,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    ),
    max_leaves=3,
)


def forms(value):
    """Return the tensors in a value as their dtypes, and all else as nothing."""
    if isinstance(value, torch.Tensor):
        return value.dtype
    if isinstance(value, dict):
        return {key: forms(item) for key, item in value.items()}
    return list(map(forms, value)) if isinstance(value, (list, tuple)) else None


@settings(max_examples=200)
@given(nested, nested)
def test_options_that_are_the_same_share_a_group(one, other):
    """Options share a group if they mean the same, but for a tensor beside a number or a dtype."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    groups = param_groups(model, when("0.*", option=one), when("1.*", option=other))
    assert (len(groups) == 1) == (same(one, other) and forms(one) == forms(other))


@settings(max_examples=20)
@given(models(), rules)
def test_any_optimizer_takes_the_groups(model, found):
    """The groups build an optimizer that holds exactly the trainable parameters."""
    optimizer = torch.optim.SGD(build(model, found))
    held = [id(param) for group in optimizer.param_groups for param in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
