"""Laws of parameter groups, on models and rules that nobody thought of."""

import re
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
from optimkit._groups.options import identity
from optimkit._groups.selectors import select_by
from optimkit._walking import walk

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
    st.sampled_from(SELECTS).map(select_by),
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
rules = st.lists(
    st.builds(
        lambda select, named, found: when(select, name=named, **found),
        selectors,
        st.sampled_from([None, None, "head", "tail"]),
        options,
    ),
    max_size=4,
)


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
    kinds = [
        identity({key: value for key, value in group.items() if key not in ("params", "name")})
        for group in groups
    ]
    asked = [name.split(",")[0].split(" #")[0] for name in names]
    asked = [name if name in ("head", "tail") else None for name in asked]
    assert len(set(zip(kinds, asked, strict=True))) == len(groups)


@given(models(), rules)
def test_merging_is_idempotent(model, found):
    """Rules applied twice over give the groups that they give once."""
    assert settled(build(model, [*found, *found])) == settled(build(model, found))


@given(models(), rules, options.filter(bool))
def test_the_last_rule_decides(model, found, last):
    """Whatever came before, the options of a last rule for all hold for all."""
    for group in build(model, [*found, when("*", **last)]):
        assert {key: group[key] for key in last} == last


@given(models(), rules)
def test_each_parameter_gets_what_the_rules_say(model, found):
    """The groups are what the rules give when applied to one parameter after another."""
    walked = walk(model)
    expected = {}
    for index, place in enumerate(walked.places):
        merged = {"lr": 0.1, "weight_decay": 0.1}
        for rule in found:
            if rule.selector.over(walked)[index]:
                merged.update(rule.options)
        merged.pop("name", None)
        expected[place] = merged
    for group in build(model, found):
        given_options = {key: group[key] for key in group if key not in ("params", "name")}
        for name, _ in group["params"]:
            assert given_options == expected[name]


@given(models(), st.lists(selectors, max_size=3))
def test_a_partition_covers_or_raises(model, found):
    """A partition has each trainable parameter once, or says which ones it has not."""
    walked = walk(model)
    answers = [selector.over(walked) for selector in found]
    counts = {
        name: sum(answer[walked.places.index(name)] for answer in answers)
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
    found = walk(model)
    assert (~(one & other)).over(found) == (~one | ~other).over(found)
    assert (~(one | other)).over(found) == (~one & ~other).over(found)
    assert (~~one).over(found) == one.over(found)


@settings(max_examples=20)
@given(models(), rules)
def test_any_optimizer_takes_the_groups(model, found):
    """The groups build an optimizer that holds exactly the trainable parameters."""
    optimizer = torch.optim.SGD(build(model, found))
    held = [id(param) for group in optimizer.param_groups for param in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)
