"""What may go in: all that comes back, and nothing else, said before anything is written."""

import collections
import datetime
import enum
import os
import pathlib
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

import optimkit
from optimkit import UnsafeCheckpointError, audit, load, save
from optimkit.checkpoint._contents import check


class Colour(enum.Enum):
    """Something that is no plain value."""

    RED = 1


class Number(enum.IntEnum):
    """Something that looks like a plain value."""

    ONE = 1


@dataclass
class Config:
    """A configuration, as people write them."""

    lr: float = 0.1


Point = collections.namedtuple("Point", "x y")
PATH = f"{pathlib.PurePosixPath.__module__}.PurePosixPath"

REFUSED = {
    f"{PATH}. Save str(...) instead.": pathlib.PurePosixPath("runs"),
    "numpy.float64. Save its tolist() instead.": np.float64(0.1),
    "numpy.ndarray. Save its tolist() instead.": np.ones(2),
    "collections.defaultdict. Save dict(...) instead.": collections.defaultdict(int),
    "collections.deque. Save list(...) instead.": collections.deque([1]),
    "datetime.datetime. Save its isoformat() instead.": datetime.datetime(2026, 1, 1),
    "datetime.timedelta. Save its total_seconds() instead.": datetime.timedelta(1),
    "frozenset. Save list(...) instead.": frozenset([1]),
    "range. Save list(...) instead.": range(3),
    "generator. Save list(...) instead.": (number for number in range(3)),
    "empty bytes. Save None instead.": b"",
    "an int of 3,001 bits. Save str(...) instead.": 2**3000,
    "function. Save its name instead.": os.path.join,
    "type. Save its name instead.": int,
    "torch.nn.modules.linear.Linear. Save its state_dict() instead.": nn.Linear(1, 1),
    "torch._C.Generator. Save its get_state() instead.": torch.Generator(),
    "random.Random. Save its getstate() instead.": random.Random(0),
    f"{__name__}.Colour. Save its value instead.": Colour.RED,
    f"{__name__}.Number. Save its value instead.": Number.ONE,
    f"{__name__}.Config. Save dataclasses.asdict(...) instead.": Config(),
    f"{__name__}.Point. Save tuple(...) instead.": Point(1, 2),
    "object. Save what it holds, as tensors, numbers, strings, lists and dicts.": object(),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_by_path(tmp_path, message):
    """A value that could not be loaded again is refused with its path, type and remedy."""
    path = tmp_path / "last.pt"
    with pytest.raises(UnsafeCheckpointError) as caught:
        optimkit.save(path, metadata={"args": REFUSED[message]})
    expected = f'metadata["args"]: torch.load(weights_only=True) refuses {message}'
    assert str(caught.value) == expected
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*nested tensors")  # of torch, that they are new
def test_a_nested_tensor():
    """It is called what it is: torch.Tensor, its type, is what others are too."""
    with pytest.raises(UnsafeCheckpointError) as caught:
        check({"parts": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])})
    assert str(caught.value) == (
        "parts: torch.load(weights_only=True) refuses nested tensors. Save list(tensor.unbind()) "
        "instead."
    )


def test_all_at_once():
    """All of it is listed, alike with alike, and of many the first five."""
    paths = [pathlib.PurePosixPath("a")] * 7
    content = {"data": {"files": paths, ("a", 1): [{2: np.ones(1)}]}, "model": {"w": Colour.RED}}
    with pytest.raises(UnsafeCheckpointError) as caught:
        check(content)
    refuses = "torch.load(weights_only=True) refuses"
    first = ", ".join(f'data["files"][{i}]' for i in range(5))
    assert caught.value.problems == (
        f"{first} and 2 more: {refuses} {PATH}. Save str(...) instead.",
        f"data[('a', 1)][0][2]: {refuses} numpy.ndarray. Save its tolist() instead.",
        f'model["w"]: {refuses} {__name__}.Colour. Save its value instead.',
    )


def test_keys_and_attributes():
    """What hides in a key, in an attribute of a parameter or of a state dict is found."""
    param = nn.Parameter(torch.ones(1))
    param.tag = Colour.RED
    state_dict = nn.Linear(1, 1).state_dict()
    state_dict._metadata["config"] = Config()
    with pytest.raises(UnsafeCheckpointError) as caught:
        check({"a": {Colour.RED: 1}, "p": [param], "m": state_dict})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "a, the key <Colour.RED",
        'm._metadata["config"]',
    ]
    assert "p[0].tag" in str(caught.value)


def test_an_object_called_metadata(tmp_path):
    """It is looked at beside the metadata of the checkpoint, of which it has the name."""
    with pytest.raises(UnsafeCheckpointError) as caught:
        optimkit.save(tmp_path / "a.pt", {"metadata": Colour.RED}, metadata={"a": 1})
    assert str(caught.value) == (
        f"metadata: torch.load(weights_only=True) refuses {__name__}.Colour. Save its value instead."
    )
    assert not list(tmp_path.iterdir())


def test_what_has_no_values():
    """A model on the meta device is refused: nothing of it would be in the file."""
    with pytest.raises(UnsafeCheckpointError) as caught:
        check({"model": nn.Linear(1, 1, device="meta").state_dict(), "epoch": 3})
    assert str(caught.value) == (
        'model["weight"], model["bias"]: there are no values to save, it is on the meta device. '
        'Call to_empty(device="cpu"), fill it, then save.'
    )


def test_what_holds_itself():
    """A list in itself is saved as such, and one too deep is refused."""
    own: list = [1]
    own.append(own)
    assert check({"own": own}) == 0
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(UnsafeCheckpointError) as caught:
        check({"deep": deep})
    assert str(caught.value) == "deep: nested too deep to be pickled. Save it flat."


TENSORS = [
    torch.ones(2, dtype=torch.bfloat16),
    torch.eye(2).to_sparse(),
    nn.Parameter(torch.ones(1)),
    torch.ones(2, 3).t(),
    torch.ones(0),
    torch.tensor(1j),
]


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: str(tensor.dtype))
@pytest.mark.filterwarnings("ignore")
def test_tensors_of_all_kinds(tmp_path, tensor):
    """Tensors come back as they are, whatever their layout and dtype."""
    path = optimkit.save(tmp_path / "a.pt", tensor=tensor)
    saving = optimkit.save(tmp_path / "b.pt", tensor=tensor, background=True)
    for found in (optimkit.load(path)["tensor"], optimkit.load(saving.wait())["tensor"]):
        assert (type(found), found.dtype, found.shape) == (type(tensor), tensor.dtype, tensor.shape)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**1990, max_value=2**2100)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
    | st.binary().map(bytearray)
    | st.dates()
    | st.frozensets(st.integers())
    | st.sampled_from(
        [torch.float32, torch.device("cpu"), torch.Size([1]), Colour.RED, torch.strided]
    )
)
KEYS = st.text() | st.integers() | st.none() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(KEYS, inner).map(collections.OrderedDict)
        | st.sets(st.integers())
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_what_is_taken_comes_back(tmp_path_factory, value):
    """A value is refused at save, or is the same after load: there is nothing between."""
    path = tmp_path_factory.mktemp("any") / "a.pt"
    try:
        optimkit.save(path, durable=False, value=value)
    except UnsafeCheckpointError:
        assert not path.exists()
    else:
        found = optimkit.load(path)["value"]
        assert found == value
        assert type(found) is type(value)


def test_numbers_of_numpy_in_options(tmp_path):
    """A number that numpy has made of an lr, or of a state, is the plain number that it equals."""
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([param], lr=0.1, momentum=0.5)
    scheduler = LambdaLR(optimizer, lambda step: np.cos(step / 10))
    optimizer.step()
    scheduler.step()
    optimizer.param_groups[0].update(momentum=np.float32(0.7), betas=(np.float64(0.9), np.int64(1)))
    optimizer.state[param]["count"] = [np.int64(3), np.bool_(True)]
    lr = optimizer.param_groups[0]["lr"]
    assert type(lr) is np.float64
    path = save(tmp_path / "a.pt", optimizer=optimizer, scheduler=scheduler)
    saved = torch.load(path, weights_only=True)
    [group] = saved["optimizer"]["param_groups"]
    expected = {"lr": float(lr), "momentum": float(np.float32(0.7)), "betas": (0.9, 1)}
    assert {key: group[key] for key in expected} == expected
    assert saved["optimizer"]["state"] == {0: {"count": [3, True]}}
    assert saved["scheduler"]["_last_lr"] == [float(lr)]
    assert audit(optimizer, schedulers=scheduler).at_least("warning").rows == ()
    load(path, optimizer=optimizer, scheduler=scheduler)
    assert type(optimizer.param_groups[0]["lr"]) is float
