"""Many processes, really run: what they save together, any number of them loads."""

import importlib.util
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint import metadata

from optimkit import CheckpointError, CorruptCheckpointError, MismatchError, UnsafeCheckpointError
from optimkit.__main__ import main
from optimkit.checkpoint import distributed

fcntl = pytest.importorskip("fcntl", reason="processes are forked")
pytestmark = pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="torch was built without gloo"
)

SCRIPT = Path(__file__).with_name("workers.py")
_spec = importlib.util.spec_from_file_location("workers", SCRIPT)
workers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(workers)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save with two processes of DDP, go on with four of FSDP2: once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "distributed"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            assert not (folder / "failed").exists(), "it failed in another test process"
            (folder / "failed").touch()
            done = subprocess.run(
                [sys.executable, str(SCRIPT), str(folder)],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=2 * workers.PATIENCE,
            )
            assert done.returncode == 0, done.stderr[-4000:]
            (folder / "failed").unlink()
            (folder / "done").touch()
    return folder


@pytest.mark.parametrize(("name", "expected"), [("ddp", "expected.pt"), ("fsdp", "after.pt")])
def test_two_to_four_to_one(saved, name, expected):
    """2 of DDP -> 4 of FSDP2 -> 1: weights, state, options by name and schedule, bit for bit."""
    objects = workers.parts(workers.model(), turned=True, lr=0.7)
    reports = distributed.load(saved / name, **objects).reports
    workers.expect(saved, objects, expected)
    assert reports["optimizer"].match == "name"


def test_a_part_of_it(saved):
    """A part may be loaded, and what does not fit may be skipped."""
    net = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 5))
    report = distributed.load(saved / "fsdp", model=net, strict=False).reports["model"]
    after = torch.load(saved / "after.pt", weights_only=True)
    assert torch.equal(net[0].weight, after["model"]["0.weight"])
    assert [row.name for row in report.mismatched] == ["2.weight", "2.bias"]


def test_flipped_bits(saved, tmp_path):
    """Every flipped bit, in whichever file, is found before anything is touched."""
    whole = saved / "fsdp"
    folder = shutil.copytree(whole, tmp_path / "last")
    objects = workers.parts(workers.model())
    before = workers.contents(objects)
    draw = random.Random(0)
    for number in range(40):
        path = draw.choice(sorted(folder.iterdir()))
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=path.name) as caught:
            distributed.load(folder, **objects)
        assert isinstance(caught.value, CorruptCheckpointError) or path.suffix == ".pt", number
        path.write_bytes((whole / path.name).read_bytes())
    assert workers.same(before, workers.contents(objects))
    distributed.load(folder, **objects)


def test_damaged_files(saved, tmp_path):
    """A file that is cut off, or gone, is named."""
    folder = shutil.copytree(saved / "ddp", tmp_path / "last")
    path = folder / "__1_0.distcp"
    os.truncate(path, 100)
    with pytest.raises(CorruptCheckpointError) as caught:
        distributed.load(folder, model=workers.model())
    assert str(caught.value) == (
        f"{path} is damaged: it does not fit its checksum. Take an older copy."
    )
    path.unlink()
    with pytest.raises(CorruptCheckpointError) as caught:
        distributed.load(folder, model=workers.model())
    assert str(caught.value) == f"{folder} lacks {path.name}. Take an older copy."
    with pytest.raises(CorruptCheckpointError):
        distributed.load(folder, model=workers.model(), verify=False)


class Printing:
    """Prints something when it is unpickled."""

    def __reduce__(self):
        return print, ("it has run",)


def test_a_foreign_metadata_runs_nothing(tmp_path, capfd):
    """A .metadata that would call something is refused, and calls nothing."""
    folder = tmp_path / "last"
    net = nn.Linear(2, 2)
    distributed.save(folder, model=net)
    (folder / ".metadata").write_bytes(pickle.dumps(Printing()))
    with pytest.raises(CorruptCheckpointError):
        distributed.load(folder, model=net)
    with pytest.raises(UnsafeCheckpointError) as caught:
        distributed.load(folder, model=net, verify=False)
    assert str(caught.value) == (
        f"{folder}/.metadata would call builtins.print. Nothing of it was run. Save the directory "
        "again."
    )
    assert "it has run" not in capfd.readouterr().out
    (folder / ".metadata").write_bytes(b"no pickle")
    with pytest.raises(CorruptCheckpointError, match="is damaged"):
        distributed.load(folder, model=net, verify=False)
    (folder / ".metadata").write_bytes(pickle.dumps({"state_dict_metadata": {}}))
    with pytest.raises(CorruptCheckpointError, match="it holds no metadata"):
        distributed.load(folder, model=net, verify=False)


class _Newer(pickle.Pickler):
    """Writes of the properties of a tensor what a later torch may write: more."""

    def reducer_override(self, value):
        if type(value) is not metadata.TensorProperties:
            return NotImplemented
        return metadata.TensorProperties, (), (*value.__getstate__(), None)


def test_metadata_of_a_newer_torch(tmp_path):
    """What this torch does not know of a tensor's properties is left out: the directory is whole."""
    net, again = nn.Linear(3, 2), nn.Linear(3, 2)
    path = distributed.save(tmp_path / "last", net=net)
    before = (path / ".metadata").read_bytes()
    with (path / ".metadata").open("wb") as file:
        _Newer(file).dump(pickle.loads(before))
    assert (path / ".metadata").read_bytes() != before
    distributed.load(path, net=again, verify=False)  # the checksum is of what torch wrote
    assert torch.equal(net.weight, again.weight)


@pytest.mark.parametrize("moment", range(6))
def test_overwriting_leaves_the_old_or_the_new(tmp_path, monkeypatch, moment):
    """Wherever an overwrite is broken off, load finds the old directory or the new one."""
    folder = tmp_path / "last"
    distributed.save(folder, number=0, part=torch.zeros(4))
    done = []

    def breaking(function):
        def call(*arguments, **options):
            if len(done) == moment:
                raise KeyboardInterrupt
            done.append(function)
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", breaking(Path.rename))
        patch.setattr(os, "replace", breaking(os.replace))
        patch.setattr(distributed, "sync_folder", breaking(distributed.sync_folder))
        patch.setattr(shutil, "rmtree", breaking(shutil.rmtree))
        with suppress(KeyboardInterrupt):
            distributed.save(folder, number=1, part=torch.ones(4))
    loaded = distributed.load(folder)
    assert loaded["part"].tolist() == [loaded["number"]] * 4
    distributed.save(folder, number=2)
    assert distributed.load(folder)["number"] == 2
    assert [each.name for each in tmp_path.iterdir() if each.name != "last"] == []


def test_a_rank_is_killed(saved, tmp_path):
    """A rank that is killed in mid-save leaves a whole directory, and no litter for long."""
    folder = shutil.copytree(saved / "killed", tmp_path / "killed")
    assert (folder / "started").exists()
    loaded = distributed.load(folder / "last")
    assert loaded["number"] < 999
    for index in range(8):
        assert loaded[f"part{index}"].unique().tolist() == [loaded["number"]]
    distributed.save(folder / "last", number=-1)
    assert sorted(each.name for each in folder.iterdir() if "store" not in each.name) == [
        "last",
        "started",
    ]


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_tensors_that_are_not_strided(tmp_path):
    """A sparse tensor goes whole into the directory; one without values is refused by its path."""
    table = torch.eye(3).to_sparse()
    loaded = distributed.load(distributed.save(tmp_path / "last", table=table))
    assert torch.equal(loaded["table"].to_dense(), torch.eye(3))
    with pytest.raises(CheckpointError, match="empty: ") as caught:
        distributed.save(tmp_path / "last", empty=torch.ones(2, device="meta"))
    assert "meta device" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_another_layout(tmp_path):
    """A tensor that can't be copied into the current one is refused before anything is touched."""
    net, other = nn.Linear(3, 3), nn.Linear(3, 3)
    net.register_buffer("table", torch.eye(3))
    other.register_buffer("table", torch.eye(3).to_sparse())
    before = other.weight.detach().clone()
    with pytest.raises(MismatchError, match=r"table \(layout: saved strided, current sparse_coo\)"):
        distributed.load(distributed.save(tmp_path / "last", net=net), net=other)
    assert torch.equal(other.weight, before)


def test_misuse(tmp_path):
    """What can't be is said, as for one file."""
    net = nn.Linear(2, 2)
    with pytest.raises(FileNotFoundError):
        distributed.load(tmp_path / "nothing", model=net)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"it has no optimkit\.pt"):
        distributed.load(tmp_path / "empty", model=net)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file; a directory is written"):
        distributed.save(tmp_path / "file", model=net)
    with pytest.raises(UnsafeCheckpointError, match="pathlib"):
        distributed.save(tmp_path / "bad", place=tmp_path)
    with pytest.raises(TypeError, match="strict can't be a keyword for an object"):
        distributed.save(tmp_path / "bad", strict=net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    optimizer.state["epoch"] = 3
    message = (
        "optimizer: what would be saved has state of no parameter: 'epoch': load would refuse it. A "
        "hook, the class or the script has put it there. Save state_dict() itself, as a plain value, "
        "and give that to load_state_dict()."
    )
    with pytest.raises(UnsafeCheckpointError, match=f"^{re.escape(message)}$"):
        distributed.save(tmp_path / "bad", optimizer=optimizer)
    distributed.save(tmp_path / "good", model=net)
    with pytest.raises(MismatchError, match="has nothing under this name; it has 'model'"):
        distributed.load(tmp_path / "good", net=net)


def test_verify_an_interrupted_overwrite(tmp_path, capsys):
    """Where only the old directory is left, set aside, the command verifies it as load finds it."""
    folder = distributed.save(tmp_path / "last", number=1)
    folder.rename(tmp_path / ".last.old")
    assert distributed.load(folder)["number"] == 1
    assert main(["verify", str(folder)]) == 0
    assert "every checksum fits" in capsys.readouterr().out
