"""Folders that trainers write: shown, compared, verified and described as one checkpoint."""

import datetime
import json
import struct

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

import optimkit
from optimkit import CheckpointError, CorruptCheckpointError, describe, diff
from optimkit.__main__ import main
from optimkit.checkpoint import distributed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch.distributed")


def safetensors(path, tensors):
    """Write tensors of float32 as the format has it: a length, a table in JSON, the values."""
    raw = {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}
    write(path, {name: ("F32", list(each.shape), raw[name]) for name, each in tensors.items()})


def write(path, entries):
    """Write dtypes, shapes and bytes in that format."""
    table, values = {}, b""
    for name, (dtype, shape, raw) in entries.items():
        offsets = [len(values), len(values) + len(raw)]
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        values += raw
    head = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + values)


def run():
    """Return a model, and an optimizer of it in two groups that has stepped."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    groups = [
        {"params": [("weight", model.weight)], "weight_decay": 0.1},
        {"params": [("bias", model.bias)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture
def folder(tmp_path):
    """Write a folder as the Trainer of transformers does."""
    return written(tmp_path / "checkpoint-5", 5)


def written(folder, step):
    """Write a folder as that Trainer does, after so many steps."""
    model, optimizer = run()
    folder.mkdir()
    safetensors(folder / "model.safetensors", model.state_dict())
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save({"elapsed": datetime.timedelta(step)}, folder / "training_args.bin")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (folder / "README.md").write_text("nothing")
    return folder


def test_show(folder, capsys):
    """Every file is listed by its name, the optimizer in full."""
    assert main(["show", str(folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert {row["part"]: row["holds"] for row in data["parts"]} == {
        "README.md": "'7 bytes, crc32 22298ed7'",
        "model.safetensors": "2 entries",
        "optimizer.pt": "2 entries",
        "trainer_state.json": "1 entries",
        "training_args.bin": "1 entries",
    }
    assert list(data["optimizers"]) == ["optimizer.pt"]
    report = describe(folder)
    assert [row.name for row in report.rows] == ["weight", "bias"]
    assert report.rows[0].shape == (2, 3)


def test_diff(folder, tmp_path, capsys):
    """A folder is its files: what differs is named by the file that it is in."""
    other = written(tmp_path / "checkpoint-10", 10)
    rows = diff(folder, other).rows
    assert [
        (row.name, row.before, row.after) for row in rows if row.name != "training_args.bin.elapsed"
    ] == [("trainer_state.json.global_step", 5, 10)]
    assert "training_args.bin.elapsed" in {row.name for row in rows}
    _, optimizer = run()
    optimizer.step()
    torch.save(optimizer.state_dict(), other / "optimizer.pt")
    assert ("weight", "step") in {(row.name, row.key) for row in diff(folder, other).rows}
    assert main(["diff", str(folder), str(folder)]) == 0
    assert capsys.readouterr().out == "No difference.\n"


def test_verify(folder, capsys):
    """It is said of each file whether its checksums fit, and what a load would refuse."""
    assert main(["verify", str(folder)]) == 1
    size = {each.name: each.stat().st_size for each in folder.iterdir()}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"{folder / 'model.safetensors'}: {size['model.safetensors']:,} bytes, no checksums: nothing "
        "tells whether they are what was written"
    )
    assert lines[1].startswith(f"{folder / 'optimizer.pt'}: {size['optimizer.pt']:,} bytes, ")
    assert lines[1].endswith(" entries, every checksum fits")
    assert lines[-1] == (
        f"{folder / 'training_args.bin'} holds more than tensors and plain data: datetime.timedelta. "
        "Nothing of it was run. Save it again as tensors, numbers, strings, lists and dicts."
    )
    (folder / "model.safetensors").unlink()
    assert main(["verify", str(folder)]) == 3
    (folder / "training_args.bin").unlink()
    assert main(["verify", str(folder)]) == 0


def test_a_damaged_file_of_a_folder(folder):
    """The file is named."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptCheckpointError) as caught:
        describe(folder)
    assert str(caught.value) == (
        f"{path} is damaged, or no file of safetensors: it is cut off. Take an older copy."
    )


def test_a_folder_without_a_checkpoint(tmp_path):
    """It is said what is in it."""
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(CheckpointError) as caught:
        describe(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is a directory without a checkpoint: it holds notes.txt. Give one that a "
        "trainer or torch.distributed.checkpoint wrote, or a file of torch.save."
    )


def test_load_from_a_folder(folder):
    """An optimizer in a folder is loaded, by its file or alone."""
    model, saved = run()
    for load in (
        lambda fresh: optimkit.load_optimizer(fresh, folder, options="current"),
        lambda fresh: optimkit.load(folder, o=fresh, key="optimizer.pt", options="current"),
    ):
        fresh = torch.optim.AdamW(list(model.named_parameters())[::-1])
        load(fresh)
        assert fresh.state[model.weight]["exp_avg"].equal(saved.state[model.weight]["exp_avg"])


@pytest.mark.parametrize("flat", [False, True])
def test_a_folder_of_torch_distributed_checkpoint(tmp_path, flat, capsys):
    """Its tensors are put together, and its optimizer is one, by names, however its keys are."""
    model, optimizer = run()
    options = StateDictOptions(flatten_optimizer_state_dict=flat)
    state = {"model": model.state_dict(), "epoch": 3, "since": datetime.timedelta(1)}
    state["optimizer"] = get_optimizer_state_dict(model, optimizer, options=options)
    dcp.save(state, checkpoint_id=tmp_path / "last")
    report = describe(tmp_path / "last")
    assert {row.name: row.shape for row in report.rows} == {"weight": (2, 3), "bias": (2,)}
    assert [group.options["weight_decay"] for group in report.groups] == [0.1, 0.0]
    torch.save({"model": model.state_dict()}, tmp_path / "model.pt")
    named = {row.name: row.kind for row in diff(tmp_path / "model.pt", tmp_path / "last").rows}
    assert named == {"epoch": "added", "since": "added", "optimizer": "added"}
    fresh = torch.optim.AdamW(list(model.named_parameters())[::-1])
    optimkit.load_optimizer(fresh, tmp_path / "last", options="current")
    assert fresh.state[model.bias]["exp_avg"].equal(optimizer.state[model.bias]["exp_avg"])
    assert main(["verify", str(tmp_path / "last")]) == 1  # .metadata has no checksum
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'last' / '.metadata'}: ")
    assert lines[-1].startswith(f"{tmp_path / 'last' / '__0_0.distcp'}: ")
    assert lines[-1].endswith(" entries, every checksum fits")


def test_a_damaged_piece(tmp_path):
    """A piece whose checksum does not fit is named by its file."""
    dcp.save({"a": torch.zeros(100)}, checkpoint_id=tmp_path / "last")
    path = tmp_path / "last" / "__0_0.distcp"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(bytes(400), bytes(399) + b"\x01"))
    with pytest.raises(CorruptCheckpointError) as caught:
        diff(tmp_path / "last", tmp_path / "last")
    assert str(caught.value) == (
        f"{path} is damaged: data/0 does not fit its checksum. Take an older copy."
    )


def test_a_folder_of_ours(tmp_path):
    """What many processes saved is shown as what was saved."""
    model, optimizer = run()
    path = distributed.save(tmp_path / "last", model=model, optimizer=optimizer, epoch=3)
    assert [row.name for row in describe(path, key="optimizer").rows] == ["weight", "bias"]
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt"
    )
    rows = diff(path, tmp_path / "a.pt").rows
    assert {row.name.partition(".")[0] for row in rows} == {"epoch", "__optimkit__"}


def test_a_sharded_folder_by_place(tmp_path):
    """State that was saved under places is found by them, and loads."""
    model, optimizer = run()
    dcp.save({"optimizer": optimizer.state_dict()}, checkpoint_id=tmp_path / "all")
    assert [row.step for row in describe(tmp_path / "all").rows] == [1, 1]
    fresh = torch.optim.AdamW([("bias", model.bias), ("weight", model.weight)])
    optimkit.load_optimizer(fresh, tmp_path / "all", options="current")
    for param in model.parameters():
        assert fresh.state[param]["exp_avg"].equal(optimizer.state[param]["exp_avg"])


def test_every_dtype_of_safetensors(tmp_path, capsys):
    """An intact file is shown, and compared; a dtype that torch has not, by its name."""
    for folder, last in (("a", b"\x01"), ("b", b"\x02")):
        (tmp_path / folder).mkdir()
        entries = {
            "ids": ("U16", [2], b"\x01\x00\x02\x00"),
            "seed": ("U64", [1], b"\x09" + bytes(7)),
            "half": ("F4", [2], last),
            "later": ("F6_E2M3", [4], b"\x00\x00" + last),
        }
        write(tmp_path / folder / "model.safetensors", entries)
    assert main(["show", str(tmp_path / "a")]) == 0
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "a")]) == 0
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert capsys.readouterr().out.endswith(
        "No difference.\nState\n"
        "name                     key    kind     before          after\n"
        "-----------------------  -----  -------  --------------  --------------\n"
        "model.safetensors.half   value  changed  <F4 (2,)>       <F4 (2,)>\n"
        "model.safetensors.later  value  changed  <F6_E2M3 (4,)>  <F6_E2M3 (4,)>\n"
    )


def test_a_file_of_safetensors_alone(tmp_path, capsys):
    """It is shown, and load says how to read it."""
    path = tmp_path / "model.safetensors"
    safetensors(path, nn.Linear(3, 2).state_dict())
    assert main(["show", str(path)]) == 0
    assert "weight  Tensor  (2, 3) float32" in capsys.readouterr().out
    with pytest.raises(CheckpointError) as error:
        optimkit.load(path, model=nn.Linear(3, 2))
    assert str(error.value) == (
        f"{path} is a file of safetensors, which torch.load can't read. Read it with "
        "safetensors.torch.load_file, and give the tensors to load_state_dict()."
    )


def test_audit_of_a_folder_asks_about_its_optimizers(folder, capsys):
    """The random states of a Trainer hold arrays of NumPy; the optimizer's file does not."""
    torch.save({"numpy": np.random.default_rng(0).random(3)}, folder / "rng_state.pth")
    assert main(["audit", str(folder)]) == 0
    assert "Nothing found" in capsys.readouterr().out
    assert main(["verify", str(folder)]) == 1  # its weights have no checksums
    torch.save({"it": np.ones(3), **run()[1].state_dict()}, folder / "optimizer.pt")
    assert main(["audit", str(folder)]) == 1
    assert "error: unsafe-file:" in capsys.readouterr().out
