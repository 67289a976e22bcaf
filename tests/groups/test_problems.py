"""What is wrong with the groups that are asked for: all of it at once, each with its remedy."""

import pytest
import torch
from torch import nn

from optimkit import (
    GroupError,
    freeze,
    is_bias,
    is_matrix,
    is_norm,
    param_groups,
    partition,
    when,
)


def net():
    """Return a model with a norm between two layers."""
    return nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))


def refused(*args, **kwargs):
    """Return what param_groups says when it refuses."""
    with pytest.raises(GroupError) as caught:
        param_groups(*args, **kwargs)
    return str(caught.value)


def test_a_name_that_no_parameter_has():
    """A rule by name must match; it can be told to warn or to be quiet."""
    rule = when("3.*", lr=1.0)
    text = (
        "when('3.*', lr=1.0): no parameter is called '3.*'. "
        'Correct the rule, or pass unused="ignore".'
    )
    assert refused(net(), rule) == text
    with pytest.warns(UserWarning, match="no parameter is called") as caught:
        param_groups(net(), rule, unused="warn")
    assert [str(each.message) for each in caught] == [text]
    assert caught[0].filename == __file__
    assert len(param_groups(net(), rule, unused="ignore")) == 1


def test_a_kind_that_is_absent():
    """A rule by kind may match nothing: one recipe serves all models."""
    rules = when(is_norm, lr=1.0), when(nn.Conv2d, lr=1.0), when(lambda info: False, lr=1.0)
    assert len(param_groups(nn.Linear(1, 1), *rules)) == 1


def test_all_that_is_wrong_is_said_at_once():
    """One error lists every problem, with the rule or the parameters it is about."""
    assert refused(
        net(),
        when("head.*", lr=-1.0),
        when(is_bias, weigth_decay=0.0),
        optimizer=torch.optim.AdamW,
        lr="0.1",
        momentum=0.9,
    ) == (
        "5 problems:\n"
        "  1. param_groups(...): lr='0.1' is of type str; it must be a number.\n"
        "  2. param_groups(...): AdamW has no option 'momentum'; it takes lr, betas, eps, "
        "weight_decay, amsgrad and 5 more.\n"
        "  3. when('head.*', lr=-1.0): lr=-1.0 is negative; it must be 0 or more.\n"
        "  4. when(is_bias, weigth_decay=0.0): AdamW has no option 'weigth_decay'; "
        "did you mean 'weight_decay'?\n"
        "  5. when('head.*', lr=-1.0): no parameter is called 'head.*'. "
        'Correct the rule, or pass unused="ignore".'
    )


def test_nothing_to_train():
    """A model without parameters, or with frozen ones only, is told apart."""
    assert refused(nn.ReLU()) == "the model has no parameters: there is nothing to optimize."
    assert refused({}) == "the model has no parameters: there is nothing to optimize."
    model = net()
    freeze(model)
    assert refused(model) == (
        "the model has no trainable parameter: requires_grad is False for all 6. "
        'Unfreeze some, or pass frozen="keep".'
    )
    assert len(param_groups(model, frozen="keep")) == 1


def test_parameters_without_a_shape():
    """Lazy parameters are named, and the remedy is one batch."""
    model = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))
    text = (
        "these parameters have no shape before the first batch: 0.weight, 0.bias. "
        "Run the model on a batch, then build the groups."
    )
    for kind in (is_matrix, is_bias | is_norm):
        assert refused(model, when(kind, lr=1.0)) == text
    with pytest.raises(GroupError) as caught:
        partition(model, all="*")
    assert str(caught.value) == text
    model(torch.ones(1, 3))
    assert len(param_groups(model)) == 1


@pytest.mark.since("Muon")
def test_matrices_for_muon():
    """Muon takes two dimensions and no other: such a part can be selected."""
    flat = is_matrix & (lambda info: info.param.ndim == 2)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 2))
    parts = partition(model, muon=flat, adamw=~flat)
    assert [name for name, _ in parts["muon"]] == ["1.weight"]
    torch.optim.Muon(parts["muon"])


def test_keys_that_others_put_into_a_group():
    """A group may have initial_lr, with which a schedule is resumed."""
    groups = param_groups(net(), optimizer=torch.optim.AdamW, lr=0.1, initial_lr=0.2)
    optimizer = torch.optim.AdamW(groups)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5, last_epoch=1)
    assert scheduler.base_lrs == [0.2]


def test_words_and_reserved_names():
    """An unknown word lists the choices, and what holds parameters is no option."""
    assert refused(net(), frozen="keeep", unused="no") == (
        "2 problems:\n"
        "  1. frozen='keeep': choose one of 'skip', 'keep', 'error'.\n"
        "  2. unused='no': choose one of 'error', 'warn', 'ignore'."
    )
    assert refused(net(), when("*", params=[]), name="all") == (
        "2 problems:\n"
        "  1. param_groups(...): 'name' is for one group; pass when(select, name=...) instead.\n"
        "  2. when('*', params=[]): 'params' holds the parameters and is not an option."
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (
            ("resnet18",),
            {},
            "model must be a torch.nn.Module, or a mapping of names to modules, "
            "not the string 'resnet18'",
        ),
        (
            (nn.Linear(1, 1), {"lr": 1}),
            {},
            "a rule comes from when(...) or layer_decay(...), not dict",
        ),
        (
            (nn.Linear(1, 1),),
            {"optimizer": torch.optim.SGD([torch.ones(1)])},
            "optimizer must be the class that will take the groups, not SGD",
        ),
        (
            (nn.Linear(1, 1),),
            {"optimizer": "AdamW"},
            "optimizer must be the class that will take the groups, not str",
        ),
    ],
)
def test_wrong_types(args, kwargs, message):
    """A wrong type of argument is a plain TypeError."""
    with pytest.raises(TypeError) as caught:
        param_groups(*args, **kwargs)
    assert str(caught.value) == message


def test_a_partition_covers_each_parameter_once():
    """What is in no part and what is in several are listed together."""
    with pytest.raises(GroupError) as caught:
        partition(net(), a="0.*", b=is_bias, c="*.bias")
    assert str(caught.value) == (
        "2 problems:\n"
        "  1. these parameters are in no part: 1.weight, 2.weight. "
        "Widen a selector, add a part, or freeze them.\n"
        "  2. these parameters are in several parts: 0.bias (a and b and c), "
        "1.bias (b and c), 2.bias (b and c). Narrow a selector, for instance with & ~."
    )
    with pytest.raises(GroupError, match=r"^these parameters are in no part: weight, bias\."):
        partition(nn.Linear(1, 1))
    model = net()
    freeze(model)
    with pytest.raises(GroupError) as caught:
        partition(model, all="*")
    assert str(caught.value) == (
        "the model has no trainable parameter: requires_grad is False for all 6. Unfreeze some."
    )
