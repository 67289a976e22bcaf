"""Copies of options and state."""

from collections import OrderedDict, defaultdict
from typing import NamedTuple

import pytest
import torch

from optimkit._values import copied


class Pair(NamedTuple):
    """A tuple with names."""

    one: object
    other: object


def tensor():
    """Return a tensor."""
    return torch.tensor([0.5, 2.0], dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([tensor(), 1], list),
        ((tensor(), None), tuple),
        ({"lr": tensor()}, dict),
        (OrderedDict(lr=tensor()), OrderedDict),
        (defaultdict(list, lr=tensor()), dict),
        (Pair(tensor(), "x"), Pair),
        ({"deep": [{"deeper": (tensor(),)}]}, dict),
    ],
)
def test_a_copy_shares_nothing(value, kind):
    """Tensors are copied in whatever holds them, and what holds them is built anew."""

    def tensors(value):
        if isinstance(value, torch.Tensor):
            return [value]
        items = value.values() if isinstance(value, dict) else value
        return [
            each
            for item in items
            if not isinstance(item, str | int | None)
            for each in tensors(item)
        ]

    again = copied(value)
    assert type(again) is kind
    assert again is not value
    [before], [after] = tensors(value), tensors(again)
    before.zero_()
    assert torch.equal(after, tensor())
    assert after.dtype == torch.bfloat16


@pytest.mark.parametrize("value", [3, 0.5, "adam", None, True, print, torch.Size([2, 3])])
def test_what_can_not_change_is_not_copied(value):
    """Numbers, text, functions and shapes come back as they are."""
    assert copied(value) is value


def test_to_a_device():
    """Asked for a device, the tensors come to it, and those that are there are copied too."""
    here, there = copied([tensor()], torch.device("cpu")), copied([tensor()], torch.device("meta"))
    assert here[0].device.type == "cpu"
    assert there[0].is_meta
