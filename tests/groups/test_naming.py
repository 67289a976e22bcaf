"""Names of groups: readable, unique."""

import pytest
import torch

from optimkit._groups.naming import name_groups

BASE = {"lr": 0.1, "weight_decay": 0.01}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([BASE], ["default"]),
        ([BASE, {**BASE, "weight_decay": 0.0}], ["default", "weight_decay=0"]),
        ([{**BASE, "lr": 1e-5, "weight_decay": 0}], ["lr=1e-05, weight_decay=0"]),
        ([{**BASE, "betas": (0.9, 0.95)}], ["betas=(0.9, 0.95)"]),
        ([{**BASE, "lr": torch.tensor(0.5)}], ["lr=0.5"]),
        ([{**BASE, "fused": None}], ["fused=None"]),
        ([{**BASE, "lr": 3, "name": "head"}], ["head"]),
        (
            [
                {**BASE, "lr": 3, "name": "head"},
                {**BASE, "lr": 3, "name": "head", "weight_decay": 0},
            ],
            ["head", "head, weight_decay=0"],
        ),
        (
            [{**BASE, "lr": 3, "name": "head"}, {**BASE, "lr": 4, "name": "head"}],
            ["head, lr=3", "head, lr=4"],
        ),
        ([BASE, {**BASE, "name": "default"}], ["default #2", "default"]),
        (
            [{**BASE, "lr": 0.1 + 1e-12}, {**BASE, "lr": 0.1 + 2e-12}],
            ["lr=0.1", "lr=0.1 #2"],
        ),
    ],
)
def test_names(groups, expected):
    """A group is called what was asked for, else what sets it apart, and no two the same."""
    assert name_groups(groups, BASE) == expected
