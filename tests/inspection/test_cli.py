"""The command line: what it says, and its exit codes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from optimkit import CheckpointDir
from optimkit.__main__ import main


class Boom:
    """What a malicious file would call."""

    def __reduce__(self):
        """Touch a file when unpickled."""
        return os.mkdir, (os.environ["OPTIMKIT_BOOM"],)


@pytest.fixture
def files(tmp_path):
    """Return a folder of good and bad files."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.named_parameters())
    for name in ("a.pt", "b.pt"):
        for param in model.parameters():
            param.grad = torch.ones_like(param)
        optimizer.step()
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
        torch.save(content, tmp_path / name)
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "foreign.pt").write_bytes(b"hello " * 100)
    torch.save(content, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    os.environ["OPTIMKIT_BOOM"] = str(tmp_path / "boom")
    torch.save({"a": Boom()}, tmp_path / "evil.pt")
    torch.save({"a": Boom()}, tmp_path / "evil_legacy.pt", _use_new_zipfile_serialization=False)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("show a.pt", 0),
        ("show legacy.pt", 0),
        ("show a.pt --key optimizer", 0),
        ("show a.pt --key nope", 2),
        ("show nope.pt", 2),
        ("show cut.pt", 1),
        ("show evil.pt", 1),
        ("diff a.pt a.pt", 0),
        ("diff a.pt b.pt", 1),
        ("diff a.pt nope.pt", 2),
        ("diff a.pt cut.pt", 1),
        ("verify a.pt", 0),
        ("verify legacy.pt", 1),
        ("verify cut.pt", 1),
        ("verify empty.pt", 1),
        ("verify foreign.pt", 1),
        ("verify evil.pt", 1),
        ("verify evil_legacy.pt", 1),
        ("verify .", 2),
        ("verify nope.pt", 2),
    ],
)
def test_exit_codes(files, arguments, code, monkeypatch, capsys):
    """0 is verified or equal, 1 is not, 2 is misuse; --json gives data with the same code."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert main(arguments.split()) == code
    out, err = capsys.readouterr()
    assert (out + err).strip()
    assert main([*arguments.split(), "--json"]) == code
    assert isinstance(json.loads(capsys.readouterr().out), dict)
    assert not (files / "boom").exists()


@pytest.mark.parametrize("arguments", [[], ["nope"], ["diff", "a.pt"], ["verify"]])
def test_misuse(arguments, capsys):
    """A command that is none exits with 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_golden_show(files, golden, monkeypatch, capsys):
    """Show lists the parts, then each optimizer."""
    monkeypatch.chdir(files)
    main(["show", "a.pt"])
    out = capsys.readouterr().out.partition("\n")
    assert out[0].startswith("a.pt: ")
    golden("show.txt", out[2].rstrip())


def test_show_as_data(files, monkeypatch, capsys):
    """As data there are the file, its parts, and its optimizers."""
    monkeypatch.chdir(files)
    main(["show", "a.pt", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["file"]["verified"] is True
    assert [part["part"] for part in data["parts"]] == ["model", "optimizer", "epoch"]
    assert data["optimizers"]["optimizer"]["rows"][0]["name"] == "weight"


def test_files_without_checksums_say_so(files, monkeypatch, capsys):
    """A file in the old format is shown, and not called verified."""
    monkeypatch.chdir(files)
    assert main(["verify", "legacy.pt"]) == 1
    assert (
        "no checksums: nothing tells whether they are what was written" in capsys.readouterr().out
    )


def test_a_directory_is_verified(tmp_path, capsys):
    """Of a CheckpointDir every file is verified: 0 if all are intact, 1 if not, 2 if there is none."""
    folder = tmp_path / "run"
    checkpoints = CheckpointDir(folder)
    paths = [checkpoints.save(step, weight=torch.ones(999)) for step in range(2)]
    assert main(["verify", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [*map(str, paths[::-1]), str(folder)]
    assert lines[-1] == f"{folder}: 2 of 2 checkpoints are verified"
    paths[1].write_bytes(paths[1].read_bytes()[:-9])
    assert main(["verify", str(folder), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert [each["verified"] for each in data["files"]] == [False, True]
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"{tmp_path} is a directory without checkpoints of a CheckpointDir: give one file that "
        "torch.save wrote.\n"
    )


def test_a_directory_of_many_processes_is_verified(tmp_path, capsys):
    """Of a directory of checkpoint.distributed every file is verified, and its metadata read."""
    distributed = pytest.importorskip("optimkit.checkpoint.distributed")
    folder = distributed.save(tmp_path / "run", weight=torch.ones(999))
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert main(["verify", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: {size:,} bytes, 3 entries, every checksum fits\n"
    [part] = folder.glob("*.distcp")
    whole = part.read_bytes()
    part.write_bytes(whole[:500] + b"?" + whole[501:])
    assert main(["verify", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "error": f"{part} is damaged: it does not fit its checksum. Take an older copy.",
        "verified": False,
    }
    part.unlink()
    assert main(["verify", str(folder)]) == 1
    assert capsys.readouterr().err == f"{part} is gone. Take an older copy.\n"
    torch.save({"weight": 1}, folder / "optimkit.pt")
    assert main(["verify", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"{folder / 'optimkit.pt'} says nothing of the files beside it.\n"
    )


def test_a_cheap_import():
    """Importing the package loads neither matplotlib nor torch.distributed.checkpoint."""
    code = (
        "import sys, optimkit; "
        "print([m for m in ('matplotlib', 'torch.distributed.checkpoint') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["text", "data"])
def test_a_closed_pipe(files, option):
    """A reader that has seen enough, as head has, costs neither a traceback nor the exit code."""
    command = [sys.executable, "-m", "optimkit", "diff", "a.pt", "a.pt", *option]
    with subprocess.Popen(
        command, cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_terminal_without_the_letters(files):
    """A name that the terminal can't write is escaped, and data stays strict JSON."""
    torch.save({"权重é": 1}, files / "names.pt")
    command = [sys.executable, "-m", "optimkit", "show", "names.pt"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    text, data = (
        subprocess.run(
            [*command, *option], cwd=files, env=environment, capture_output=True, check=True
        ).stdout.decode("ascii")
        for option in ([], ["--json"])
    )
    assert r"\u6743\u91cd\xe9" in text
    assert json.loads(data)["parts"][0]["part"] == "权重é"
