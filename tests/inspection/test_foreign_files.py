"""Files of trainers, which hold more than tensors and plain data: looked into, and not run."""

import collections
import datetime
import functools
import pathlib
import types

import numpy as np
import pytest
import torch
from torch import nn

import optimkit
from optimkit import UnsafeCheckpointError, describe, diff

TEXT = "this text has been printed"


class Reduced:
    """Prints when it is unpickled freely, and is nothing but a reduction."""

    def __reduce__(self):
        return print, (TEXT,)


class Stateful:
    """Prints when its state is set."""

    def __init__(self):
        self.x = torch.ones(2)

    def __setstate__(self, state):
        print(TEXT)


def checkpoint(**more):
    """Return what a trainer might save: a trained optimizer, numbers of numpy, its own objects."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=0.5)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state_dict = optimizer.state_dict()
    state_dict["param_groups"][0]["lr"] = np.float64(0.25)
    return {"optimizer": state_dict, "folder": pathlib.Path("here"), **more}


class Quantized(torch.Tensor):
    """A tensor made of two, as torchao's 8-bit state."""

    @staticmethod
    def __new__(cls, codes, scale):
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.float32)

    def __init__(self, codes, scale):
        self.codes, self.scale = codes, scale

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return cls(args[0].codes, args[0].scale)


def test_tensors_of_a_class_that_is_not_there(tmp_path):
    """They are counted at what they hold, and compared by it; objects beside them stay there."""
    paths = [tmp_path / "one.pt", tmp_path / "same.pt", tmp_path / "other.pt"]
    for path, scale in zip(paths, (1.0, 1.0, 2.0), strict=True):
        content = checkpoint()
        state = content["optimizer"]["state"][0]
        codes = torch.zeros(2, 3, dtype=torch.uint8)
        state["exp_avg"] = Quantized(codes, torch.tensor([scale]))
        torch.save(content, path)
        with pytest.raises(UnsafeCheckpointError, match="Quantized"):
            optimkit.load(path)
    report = describe(paths[0])
    assert report.rows[0].bytes == 4 + (6 + 4) + 6 * 4  # step, codes and scale, exp_avg_sq
    assert not diff(*paths[:2]).rows
    assert [(row.name, row.key) for row in diff(*paths[1:]).rows] == [("weight", "exp_avg")]


@pytest.mark.parametrize("number", [np.float64(0.25), np.float32(0.25), np.int64(3)], ids=repr)
def test_an_optimizer_beside_objects(tmp_path, number):
    """The optimizer of such a file is described, with plain numbers for those of numpy."""
    path = tmp_path / "last.ckpt"
    content = checkpoint()
    content["optimizer"]["param_groups"][0]["lr"] = number
    torch.save(content, path)
    report = describe(path)
    assert [row.name for row in report.rows] == ["weight", "bias"]
    lr = report.groups[0].options["lr"]
    assert lr == number
    assert type(lr) is type(number.item())
    with pytest.raises(UnsafeCheckpointError):
        optimkit.load(path)


def test_nothing_is_run(tmp_path, capsys):
    """What would run stands there by its name."""
    path = tmp_path / "last.ckpt"
    more = {"a": Reduced(), "b": Stateful(), "c": functools.partial(print, TEXT), "d": [Stateful]}
    torch.save(checkpoint(**more), path)
    describe(path)
    other = tmp_path / "other.ckpt"
    torch.save(checkpoint(), other)
    rows = {row.name: row.before for row in diff(path, other).state}
    here = Stateful.__module__
    assert repr(rows["a"]) == "<builtins.print>" or repr(rows["a"]) == "<print>"
    assert repr(rows["b"]) == f"<{here}.Stateful>"
    assert repr(rows["c"]) == "<functools.partial>"
    assert TEXT not in capsys.readouterr().out


def test_what_is_equal(tmp_path):
    """Objects of one class that were made of the same are no difference; of another, they are."""
    paths = [tmp_path / name for name in "abc"]
    for path, days in zip(paths, (1, 1, 2), strict=True):
        torch.save({"time": datetime.timedelta(days), "kind": collections.UserDict(a=days)}, path)
    assert not diff(paths[0], paths[1])
    assert {row.name for row in diff(paths[0], paths[2]).state} == {"kind", "time"}


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.eye(2)),
        np.zeros((0, 2)),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_arrays_of_numpy(tmp_path, value):
    """Arrays of numbers are read, whatever their order in memory."""
    paths = [tmp_path / "one.pt", tmp_path / "other.pt"]
    torch.save({"rng": value}, paths[0])
    torch.save({"rng": "nothing"}, paths[1])
    [row] = diff(*paths).state
    assert type(row.before) is np.ndarray
    np.testing.assert_array_equal(row.before, value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
        (np.random.RandomState(0).get_state(), np.random.RandomState(1).get_state()),
        (np.array(["a", "b"]), np.array(["a", "c"])),
        (functools.partial(print, 1), functools.partial(print, 2)),
        ({Reduced, Stateful}, {Reduced}),
    ],
    ids=["numbers", "random numbers", "strings", "partial", "classes"],
)
def test_the_same_in_two_files(tmp_path, one, other):
    """What a file holds beside tensors is no difference from a copy of it; what is another, is."""
    paths = [tmp_path / name for name in "abc"]
    for path, value in zip(paths, (one, one, other), strict=True):
        torch.save({"it": value}, path)
    assert diff(paths[0], paths[1]).rows == ()
    assert {row.kind for row in diff(paths[0], paths[2]).state} == {"changed"}


class Config(dict):
    """A dict of one's own, as configurations are."""


def filled(kind, **more):
    """Return a dict of a kind, with attributes of its own."""
    found = kind(lr=0.1)
    vars(found).update(more)
    return found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (filled(Config), {"it.lr": 0.1}),
        (filled(Config, frozen=True), {"it.lr": 0.1}),
        (collections.defaultdict(list, lr=[0.1]), {"it.lr.0": 0.1}),
        (collections.deque([1, 2], maxlen=3), {"it.0": 1, "it.1": 2}),
        ([Config(a=Config(b=[collections.deque([3])]))], {"it.0.a.b.0.0": 3}),
    ],
    ids=["dict", "dict with attributes", "defaultdict", "deque", "nested"],
)
def test_kinds_of_dicts_and_lists(tmp_path, value, shown):
    """A dict or a list of another class is shown as what it holds, and refused by a load."""
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint(it=value), path)
    torch.save(checkpoint(), tmp_path / "other.ckpt")
    rows = diff(path, tmp_path / "other.ckpt").state
    assert {row.name: row.before for row in rows} == shown
    with pytest.raises(UnsafeCheckpointError):
        optimkit.load(path)


def test_an_optimizer_pickled_whole(tmp_path):
    """It is not made: its class stands there, and the rest is read."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.save({**checkpoint(), "whole": optimizer}, tmp_path / "last.ckpt")
    torch.save(checkpoint(), tmp_path / "other.ckpt")
    [row] = diff(tmp_path / "last.ckpt", tmp_path / "other.ckpt").state
    assert (row.name, repr(row.before)) == ("whole", "<torch.optim.adamw.AdamW>")


@pytest.mark.parametrize("value", [np.array(["a", None], dtype=object), types.SimpleNamespace(a=1)])
def test_other_arrays_stay_closed(tmp_path, value):
    """An array of objects is not made."""
    paths = [tmp_path / "one.pt", tmp_path / "other.pt"]
    torch.save({"rng": value}, paths[0])
    torch.save({"rng": "nothing"}, paths[1])
    [row] = diff(*paths).state
    assert repr(row.before).startswith("<")


class Node:
    """A node of a configuration, as OmegaConf has it: it holds its parent, and a number."""

    def __init__(self, parent, value):
        self.parent, self.value = parent, value
        self.children = [Node(self, value + i) for i in (1, 2, 3)] if value < 100 else []


def tree(last):
    """Return a tree three levels deep, whose last leaf has a number of its own."""
    root = Node(None, 98)
    root.children[0].children[0].value = last
    return root


def test_objects_that_lead_back_to_each_other(tmp_path):
    """They are compared by all that they hold, and each but once."""
    paths = [tmp_path / "one.pt", tmp_path / "same.pt", tmp_path / "other.pt"]
    for path, last in zip(paths, (1, 1, 2), strict=True):
        torch.save(checkpoint(cfg=tree(last)), path)
    assert not diff(*paths[:2])
    assert [row.name for row in diff(paths[0], paths[2]).rows] == ["cfg"]


def test_a_file_of_an_old_torch(tmp_path):
    """Of a file that is no zip, what a load refuses is named, and the rest is read."""
    path = tmp_path / "old.pth"
    content = checkpoint(args=types.SimpleNamespace(lr=0.1), weight=torch.ones(2, 2))
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert describe(path).rows[0].name == "weight"
    with pytest.raises(UnsafeCheckpointError, match=r"types\.SimpleNamespace"):
        optimkit.load(path)
    model = nn.Linear(3, 2)
    fresh = torch.optim.AdamW(model.named_parameters())
    optimkit.load_optimizer(fresh, path)
    saved = content["optimizer"]["state"]
    assert torch.equal(fresh.state[model.weight]["exp_avg"], saved[0]["exp_avg"])
