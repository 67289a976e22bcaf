"""Names of groups: readable, unique."""

import pytest
import torch
from torch import nn

from optimkit import param_groups, when


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{}], ["default"]),
        ([{}, {"weight_decay": 0.0}], ["default", "weight_decay=0"]),
        ([{"lr": 1e-5, "weight_decay": 0}], ["lr=1e-05, weight_decay=0"]),
        ([{"betas": (0.9, 0.95)}], ["betas=(0.9, 0.95)"]),
        ([{"lr": torch.tensor(0.5)}], ["lr=0.5"]),
        ([{"fused": None}], ["fused=None"]),
        ([{"lr": 3, "name": "head"}], ["head"]),
        (
            [{"lr": 3, "name": "head"}, {"lr": 3, "name": "head", "weight_decay": 0}],
            ["head", "head, weight_decay=0"],
        ),
        ([{"lr": 3, "name": "head"}, {"lr": 4, "name": "head"}], ["head, lr=3", "head, lr=4"]),
        ([{}, {"name": "default"}], ["default #2", "default"]),
        ([{"lr": 0.1 + 1e-12}, {"lr": 0.1 + 2e-12}], ["lr=0.1", "lr=0.1 #2"]),
    ],
)
def test_names(rules, expected):
    """A group is called what was asked for, else what sets it apart, and no two the same."""
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in rules))
    found = [when(f"{index}.*", **options) for index, options in enumerate(rules)]
    groups = param_groups(model, *found, lr=0.1, weight_decay=0.01)
    assert [group["name"] for group in groups] == expected
