"""Values in options and state: one copy, one comparison, one count of bytes for all wings."""

from collections import OrderedDict, defaultdict
from typing import NamedTuple

import pytest
import torch

from optimkit._values import as_form_of, copied, equal, nbytes, plain, same, tensors_in


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
        (defaultdict(list, lr=tensor()), defaultdict),
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


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.tensor(0.5), 0.5, True),
        (torch.tensor(0.1), 0.1, True),  # as float32 has it
        (torch.tensor(0.1), torch.tensor(0.1, dtype=torch.float64), False),
        (torch.tensor([0.5]), torch.tensor(0.5), False),
        (torch.tensor([0.5, 0.5]), 0.5, False),
        (True, 1, True),
        (0.0, False, True),
        ((0.9, 0.999), [0.9, torch.tensor(0.999)], True),
        ({"a": [1]}, {"a": (1,)}, True),
        ({"a": 1}, {"b": 1}, False),
        (float("nan"), torch.tensor(float("nan")), True),
        (None, 0, False),
        ("none", None, False),
    ],
)
def test_options_are_the_same_if_torch_computes_the_same(one, other, expected):
    """A tensor equals its number, True equals 1, a list equals a tuple, NaN equals NaN."""
    assert same(one, other) is same(other, one) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), False),
        (torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 2.0]]), False),
        (torch.tensor(3.0), 3, True),
        ([torch.ones(2)], (torch.ones(2),), True),
        (torch.ones(2), torch.ones(2, device="meta"), False),
        (torch.ones(2).to_sparse(), torch.ones(2).to_sparse(), True),
    ],
)
def test_state_is_equal_bit_for_bit(one, other, expected):
    """Dtype and shape count, the device and the kind of list do not."""
    assert equal(one, other) is equal(other, one) is expected


def test_what_cannot_be_compared_is_another():
    """An object whose comparison raises is the same as itself, and no other."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("not comparable")

        __hash__ = None

    odd = Odd()
    assert same(odd, odd)
    assert equal(odd, odd)
    assert not same(odd, Odd())


def test_numbers_leave_their_tensors():
    """Containers keep their kind; a tensor of several numbers, or on no CPU, stays."""
    found = plain(
        [torch.tensor(0.5), (torch.tensor(2),), torch.ones(2), torch.ones(1, device="meta")]
    )
    assert found[:2] == [0.5, (2,)]
    assert [each.shape for each in found[2:]] == [(2,), (1,)]


def test_form_of_the_current_option():
    """A number becomes a tensor where the current lr is one, with its dtype, and the reverse."""
    lr = as_form_of(torch.tensor(0.1, dtype=torch.float64), 0.5)
    assert (lr.item(), lr.dtype) == (0.5, torch.float64)
    assert as_form_of(0.1, torch.tensor(0.5)) == 0.5
    given = torch.tensor(0.5)
    assert as_form_of(given, given) is not given


@pytest.mark.filterwarnings("ignore:Sparse CS")
def test_bytes():
    """A sparse tensor counts indices and values; all tensors are found, however deep."""
    assert nbytes(torch.zeros(3, dtype=torch.bfloat16)) == 6
    assert nbytes(torch.eye(2).to_sparse()) == 2 * 2 * 8 + 2 * 4
    assert nbytes(torch.eye(2).to_sparse_csr()) == 3 * 8 + 2 * 8 + 2 * 4
    assert nbytes(torch.eye(2).to_sparse_csc()) == 3 * 8 + 2 * 8 + 2 * 4
    assert len(tensors_in({"a": [tensor(), {"b": (tensor(), 3)}]})) == 2
