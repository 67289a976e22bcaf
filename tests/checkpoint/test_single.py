"""One file: what goes in comes out, for optimkit and for plain torch."""

import json
import os
import subprocess
import sys
import warnings
import zipfile
import zlib
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import optimkit
from optimkit import CheckpointError, MismatchError
from optimkit._files.progress import show_progress
from optimkit.checkpoint import _shards as shards
from optimkit.checkpoint import distributed


class Counter:
    """An object with a state dict of its own."""

    def __init__(self):
        self.count = 0

    def state_dict(self):
        """Return its state."""
        return {"count": self.count}

    def load_state_dict(self, state):
        """Take its state."""
        self.count = state["count"]


@pytest.fixture
def parts():
    """Return a model, an optimizer that has stepped, and a scheduler."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    scheduler.step()
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler}


@pytest.fixture
def path(tmp_path, parts):
    """Return a checkpoint of them."""
    return optimkit.save(
        tmp_path / "last.pt", metadata={"lr": 0.1}, counter=Counter(), epoch=3, **parts
    )


def test_round_trip(path, parts):
    """Objects are loaded into, plain values and metadata come back, each object has a report."""
    weight = parts["model"].weight.clone()
    with torch.no_grad():
        parts["model"].weight.zero_()
    counter = Counter()
    counter.count = 5
    loaded = optimkit.load(path, counter=counter, **parts)
    assert parts["model"].weight.equal(weight)
    assert counter.count == 0
    assert dict(loaded) == {"epoch": 3}
    assert loaded.metadata == {"lr": 0.1}
    assert loaded.reports.keys() == {"counter", *parts}
    assert (loaded.path, loaded.step, loaded.verified) == (path, None, True)


def test_an_ordinary_file(path, parts):
    """Plain torch reads the file: a state dict for each object, and one more key."""
    found = torch.load(path, weights_only=True)
    assert found.keys() == {"model", "optimizer", "scheduler", "counter", "epoch", "__optimkit__"}
    nn.Linear(4, 2).load_state_dict(found["model"])
    assert torch.load(path, weights_only=True, mmap=True)["model"]["weight"].shape == (2, 4)


def test_a_part_will_do(path, parts):
    """Only the objects that are given are loaded; the others are no plain values either."""
    loaded = optimkit.load(path, model=parts["model"])
    assert list(loaded) == ["epoch"]
    assert list(loaded.reports) == ["model"]


def test_loaded_is_true(path, parts):
    """``if loaded:`` asks whether there was a checkpoint, not whether it has plain values."""
    path = optimkit.save(path, model=parts["model"])
    loaded = optimkit.load(path, model=parts["model"])
    assert loaded
    assert len(loaded) == 0


def test_nothing_is_touched_by_a_misfit(path, parts):
    """An object that does not fit leaves all the others as they were."""
    with torch.no_grad():
        parts["model"].weight.zero_()
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, counter=nn.Linear(9, 9), **parts)
    assert caught.value.reports.keys() == {"counter", *parts}
    assert not parts["model"].weight.any()


def test_an_object_that_is_not_in_the_file(path, parts):
    """It is a misfit that says what there is."""
    with pytest.raises(MismatchError) as caught:
        optimkit.load(path, ema=parts["model"])
    assert str(caught.value).startswith(
        f"ema: {path} has nothing under this name; it has 'counter'"
    )


def test_a_plain_file(tmp_path, parts):
    """A file of torch.save loads, its optimizer by position, with a warning at the caller's line."""
    path = tmp_path / "plain.pt"
    content = {name: value.state_dict() for name, value in parts.items()}
    torch.save({**content, "epoch": 3}, path)
    with pytest.warns(UserWarning, match="matched by position") as caught:
        loaded = optimkit.load(path, **parts)
    assert caught[0].filename == __file__
    assert dict(loaded) == {"epoch": 3}
    assert loaded.metadata == {}


def test_checksums_stand_where_a_zip_has_them(tmp_path):
    """In the directory and behind each entry, whatever their sizes: other programs compare them."""
    tensors = {"none": torch.empty(0), "few": torch.ones(3), "many": torch.randn(3_000_000)}
    path = optimkit.save(tmp_path / "a.pt", **tensors, tied=tensors["many"])
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        infos = [info for info in archive.infolist() if info.file_size]
        for info in infos:
            data = archive.read(info)
            assert b"PK\7\x08" + info.CRC.to_bytes(4, "little") in content
            assert zlib.crc32(data) == info.CRC
    assert len(infos) > 4


def test_a_file_without_checksums(tmp_path):
    """It loads, and is not called verified; optimkit itself always writes them."""
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"epoch": 3}, tmp_path / "a.pt")
        path = optimkit.save(tmp_path / "b.pt", epoch=3)
        assert not torch.serialization.get_crc32_options()
    finally:
        torch.serialization.set_crc32_options(True)
    loaded = optimkit.load(tmp_path / "a.pt")
    assert (loaded["epoch"], loaded.verified) == (3, False)
    assert optimkit.load(path).verified


def test_a_plain_value_is_not_loaded_into(path):
    """It says where the value is to be found."""
    with pytest.raises(TypeError) as caught:
        optimkit.load(path, epoch=0)
    assert str(caught.value) == (
        "load: epoch is of int, which has no load_state_dict. Leave it out: a plain value comes "
        'back, as load(...)["epoch"].'
    )


def test_metadata_is_a_mapping(tmp_path):
    """Anything else is a TypeError."""
    with pytest.raises(TypeError) as caught:
        optimkit.save(tmp_path / "a.pt", metadata=[1])
    assert str(caught.value) == "save: metadata must be a mapping, not list"


@pytest.mark.parametrize("header", [{"format": 99}, {"format": 1}, {}, 3])
def test_another_format(tmp_path, header):
    """A header that this version can't know is refused, and the remedy named."""
    path = tmp_path / "a.pt"
    torch.save({"__optimkit__": header}, path)
    found = header.get("format") if isinstance(header, dict) else header
    with pytest.raises(CheckpointError) as caught:
        optimkit.load(path)
    remedy = "Update optimkit."
    if found == 1:
        remedy = "Read it with torch.load(path, weights_only=True), and load each state dict."
    assert str(caught.value) == f"{path} is in format {found!r}; this version reads 2. {remedy}"


def test_no_mapping(tmp_path):
    """A file that holds something else says so."""
    path = tmp_path / "a.pt"
    torch.save([1], path)
    with pytest.raises(CheckpointError) as caught:
        optimkit.load(path)
    assert str(caught.value) == (
        f"{path} holds a list, where objects by name were expected. Read it with "
        "torch.load(path, weights_only=True)."
    )


def test_a_device_that_is_not_there(path):
    """Torch's own words come with the file's name, and not as damage."""
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(CheckpointError) as caught:
        optimkit.load(path, map_location="cuda")
    assert type(caught.value) is CheckpointError
    assert str(caught.value).startswith(f"{path}: Attempting to deserialize object on a CUDA")


def test_a_device_without_memory(tmp_path, path, parts):
    """It is no damage, and nothing of the objects is lost."""
    before = parts["model"].weight.clone()
    checkpoints = optimkit.CheckpointDir(tmp_path / "run")
    checkpoints.save(1, model=parts["model"])
    for load in (partial(optimkit.load, path), checkpoints.restore):
        with pytest.raises(ValueError, match="map_location") as caught:
            load(model=parts["model"], map_location="meta")
        assert str(caught.value) == (
            "load: map_location='meta' reads no values, and model needs them. Leave it out."
        )
    assert parts["model"].weight.equal(before)


def test_looks(path, parts):
    """The result is data first, then text within 100 columns, and HTML."""
    loaded = optimkit.load(path, model=parts["model"])
    assert "".join(str(loaded).split()) == f"Loadedfrom{path}:model,epochmodel:everythingfits"
    assert repr(loaded) == str(loaded)
    data = json.loads(json.dumps(loaded.to_dict()))
    assert data["values"] == ["epoch"]
    assert data["metadata"] == {"lr": 0.1}
    assert "everything fits" in loaded._repr_html_()


@pytest.mark.parametrize("name", ["模型.pt", "a b.pt", "x" * 255])
def test_any_name(tmp_path, name):
    """A file may have any name that the system takes."""
    assert optimkit.load(optimkit.save(tmp_path / name, epoch=1))["epoch"] == 1


def test_a_relative_path(tmp_path, monkeypatch):
    """A path is given back as it came."""
    monkeypatch.chdir(tmp_path)
    assert optimkit.save("last.pt", epoch=1) == Path("last.pt")
    assert optimkit.load("last.pt")["epoch"] == 1


MEMORY = """
import resource, sys, torch, optimkit
state = {"weight": torch.ones(25_000_000), "other": torch.ones(10)}
optimkit.save(sys.argv[1], small=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
optimkit.save(sys.argv[1], state=state)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / 100e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts in other units elsewhere")
def test_saving_streams(tmp_path):
    """Saving 100 MB takes no more than 5 MB of memory."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "a.pt")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) <= 0.05


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_on_a_terminal(monkeypatch, capsys, terminal):
    """After a second there is a bar on a terminal, and nothing where there is none."""
    monkeypatch.setattr("optimkit._files.progress.PATIENCE", 0.0)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TERM"):
        monkeypatch.delenv(name, raising=False)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    with show_progress("Saving last.pt", 100) as advance:
        advance(50)
        advance(50)
    assert ("Saving last.pt" in capsys.readouterr().err) is terminal


def test_progress_of_a_directory(monkeypatch, capsys, tmp_path):
    """Files of many processes are verified under a bar too."""
    monkeypatch.setattr("optimkit._files.progress.PATIENCE", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    distributed.save(tmp_path / "last", part=torch.ones(1000))
    capsys.readouterr()
    assert shards.verify(tmp_path / "last").verified
    assert "Verifying last" in capsys.readouterr().err


def test_no_thread_is_left(path):
    """A quick save draws no bar, and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimkit.save(path, epoch=1)
        optimkit.load(path)
    assert os.listdir(path.parent) == [path.name]
