"""Options: which there are, what they may be, when they are equal."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from optimkit import GroupError, add_param_group, layer_decay, param_groups, when


def problems(options, optimizer=None):
    """Return what param_groups says about options."""
    start = "param_groups(...): "
    try:
        param_groups(nn.Linear(1, 1), optimizer=optimizer, **options)
    except GroupError as error:
        found = error.problems
    else:
        found = ()
    assert all(each.startswith(start) for each in found)
    return [each.removeprefix(start) for each in found]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"lr": 0, "weight_decay": 0.0, "momentum": 1}, []),
        ({"lr": torch.tensor(0.1)}, []),
        ({"lr": torch.tensor([0.1])}, []),
        ({"lr": torch.tensor(0.1, device="meta")}, []),
        ({"lr": -0.1}, ["lr=-0.1 is negative; it must be 0 or more."]),
        (
            {"weight_decay": torch.tensor(-1.0)},
            ["weight_decay=tensor(-1.) is negative; it must be 0 or more."],
        ),
        ({"lr": float("nan")}, ["lr=nan is not a number; it must be 0 or more."]),
        ({"lr": "0.1"}, ["lr='0.1' is of type str; it must be a number."]),
        ({"lr": None}, ["lr=None is of type NoneType; it must be a number."]),
        ({"betas": 0.9}, ["betas=0.9 is of type float; it must be a tuple of numbers."]),
        (
            {"lr": torch.ones(2)},
            ["lr=tensor([1., 1.]) has more than one element; it must have one."],
        ),
        ({"params": []}, ["'params' holds the parameters and is not an option."]),
        (
            {"lr": -1, "momentum": -2},
            [
                "lr=-1 is negative; it must be 0 or more.",
                "momentum=-2 is negative; it must be 0 or more.",
            ],
        ),
    ],
)
def test_values_out_of_range(options, expected):
    """A learning rate, weight decay or momentum is a number, 0 or more."""
    assert problems(options) == expected


def test_unknown_options():
    """An option that the class doesn't have is named, with the one that was perhaps meant."""
    given = {"weigth_decay": 0.0, "learning_rate": 0.1, "betas": (0.9, 0.99), "lr": 1}
    assert problems(given, SGD) == [
        "SGD has no option 'weigth_decay'; did you mean 'weight_decay'?",
        "SGD has no option 'learning_rate'; did you mean 'lr'?",
        "SGD has no option 'betas'; it takes lr, momentum, dampening, weight_decay, nesterov "
        "and 4 more.",
    ]


def test_every_option_of_every_class_is_known():
    """What a torch optimizer has as default is an option that it takes."""
    param = torch.nn.Parameter(torch.ones(2, 2))
    for name in torch.optim.__all__:
        kind = getattr(torch.optim, name)
        if isinstance(kind, type) and kind is not torch.optim.Optimizer:
            defaults = dict(kind([param]).defaults)
            if kind is AdamW:
                defaults.pop("decoupled_weight_decay", None)  # from Adam, which it is made of
            groups = param_groups(nn.Linear(2, 2, bias=False), optimizer=kind, **defaults)
            assert kind(groups).param_groups[0].items() >= defaults.items()


def test_a_class_with_any_keyword_is_not_checked():
    """Of a class that passes keywords on, nothing is known."""

    class Any(SGD):
        def __init__(self, params, **options):
            super().__init__(params, **options)

    assert problems({"whatever": 1}, Any) == []


def test_a_partial_of_a_class_is_that_class():
    """Options are checked against the class inside functools.partial."""
    assert problems({"weigth_decay": 0.0}, partial(partial(SGD, lr=0.1), momentum=0.9)) == [
        "SGD has no option 'weigth_decay'; did you mean 'weight_decay'?"
    ]


def test_a_function_that_makes_an_optimizer_is_not_checked():
    """Nothing is known of the options that a function passes on."""
    assert problems({"lr": 1, "whatever": 1}, lambda groups: SGD(groups)) == []


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (0.1, 0.1, True),
        (0, 0.0, True),
        (0.1, 0.2, False),
        ([0.9, 0.99], [0.9, 0.99], True),
        ([0.9, 0.99], (0.9, 0.99), True),
        ([0.9, 0.99], [0.9, 0.999], False),
        (float("nan"), float("nan"), True),
        (torch.tensor(0.1), torch.tensor(0.1), True),
        (torch.tensor(0.1), torch.tensor(0.1, dtype=torch.float64), False),
        (torch.tensor(0.1), 0.1, False),
        ((torch.tensor(0.9), 0.99), (torch.tensor(0.9), 0.99), True),
        ({"a": [1]}, {"a": [1]}, True),
        ([float("nan")], ["nan"], False),
        (set(), set(), False),
        (torch.tensor(0.1, device="meta"), torch.tensor(0.1, device="meta"), False),
    ],
)
def test_equal_options_are_one_group(one, other, equal):
    """Options are equal by value, containers and tensors too; the unknown only to itself."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    for last, count in ((other, 1 if equal else 2), (one, 1)):
        groups = param_groups(model, when("0.*", option=one), when("1.*", option=last))
        assert len(groups) == count


def test_numbers_of_numpy():
    """A number of numpy's becomes Python's, so that torch.load reads the optimizer's state dict."""
    numpy = pytest.importorskip("numpy")
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    rules = layer_decay(numpy.float64(0.5), lambda name: int(name[0])), when("1.*", momentum=0.9)
    groups = param_groups(model, *rules, lr=numpy.float64(0.1), weight_decay=numpy.float32(0.5))
    optimizer = torch.optim.SGD(groups)
    extra = {"params": nn.Linear(1, 1).named_parameters("extra"), "lr": numpy.float64(0.2)}
    add_param_group(optimizer, extra)
    values = [value for group in optimizer.param_groups for value in group.values()]
    assert not [value for value in values if isinstance(value, numpy.generic)]
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.1, 0.2]
