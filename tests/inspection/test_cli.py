"""The command line: what it says, and its exit codes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import optimkit
from optimkit import CheckpointDir, diff
from optimkit.__main__ import main
from optimkit._torch_optimizers import STATE

TABLE = [(kind, {}) for kind in STATE] + [
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "lr": torch.tensor(1e-3)}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
]


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
        ("verify evil.pt", 3),
        ("verify evil_legacy.pt", 1),
        ("verify .", 1),
        ("verify nope.pt", 2),
        ("audit a.pt", 0),
        ("audit legacy.pt", 1),
        ("audit cut.pt", 1),
        ("audit evil.pt", 1),
        ("audit .", 1),
        ("audit nope.pt", 2),
    ],
)
def test_exit_codes(files, arguments, code, monkeypatch, capsys):
    """0 is verified, equal or sound, 1 is not, 2 is misuse, 3 is refused; so it is with data and SARIF."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert main(arguments.split()) == code
    out, err = capsys.readouterr()
    assert (out + err).strip()
    assert main([*arguments.split(), "--json"]) == code
    data = json.loads(capsys.readouterr().out)
    if not arguments.startswith("diff"):
        assert main([*arguments.split(), "--sarif"]) == code
        log = json.loads(capsys.readouterr().out)
        [run] = log["runs"]
        [invocation] = run["invocations"]
        assert (invocation["exitCode"], invocation["executionSuccessful"]) == (code, code != 2)
        codes = [found["code"] for found in data.get("findings", [])]
        assert [result["ruleId"] for result in run["results"]] == codes
        assert bool(invocation["toolExecutionNotifications"]) is (code == 2)
        assert code != 1 or codes
    assert not (files / "boom").exists()


def test_sarif_fits_the_schema(files, monkeypatch, capsys):
    """What is found, and why nothing could be, are logs as the standard has them."""
    schema = pytest.importorskip("pydantic_sarif.model")
    monkeypatch.chdir(files)
    for arguments in ("audit a.pt", "audit legacy.pt", "show cut.pt", "verify evil.pt", "verify ."):
        main([*arguments.split(), "--sarif"])
        log = json.loads(capsys.readouterr().out)
        schema.StaticAnalysisResultsFormatSarifVersion210JsonSchema.model_validate(log)


def test_sarif_names_the_file_and_what_it_is_about(files, monkeypatch, capsys):
    """A result has the level, the sentence, the place; its rule says at length what it means."""
    monkeypatch.chdir(files)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    torch.save(
        {"optimizer": torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.0).state_dict()}, "ü 1.pt"
    )
    assert main(["audit", "ü 1.pt", "--sarif"]) == 0
    [run] = json.loads(capsys.readouterr().out)["runs"]
    assert run["results"] == [
        {
            "ruleId": "zero-lr",
            "ruleIndex": 0,
            "level": "note",
            "message": {
                "text": "optimizer: lr is 0 in group 0. The parameters stand still, while momentum goes on "
                "building up. To freeze parameters, set requires_grad=False and .grad = None."
            },
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": "%C3%BC%201.pt"}},
                    "logicalLocations": [{"name": "group 0"}],
                }
            ],
        }
    ]
    [rule] = run["tool"]["driver"]["rules"]
    assert rule["id"] == "zero-lr"
    assert "改法" in rule["help"]["text"]
    assert main(["audit", str(files / "ü 1.pt"), "--sarif"]) == 0
    [run] = json.loads(capsys.readouterr().out)["runs"]
    [location] = run["results"][0]["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == (files / "ü 1.pt").as_uri()


def found_in(path, capsys):
    """Return the code of each finding in a file, with what it is about."""
    main(["audit", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    return {each["code"]: each["names"] for each in found}


def test_what_a_file_shows_by_itself(tmp_path, capsys):
    """With the header of save shapes, dtypes and the class are known; without it less is said."""
    model = nn.Linear(3, 2, dtype=torch.float16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.1))
    optimizer.add_param_group(
        {"params": [nn.Parameter(torch.ones(2))], "lr": -1.0, "weigth_decay": 1}
    )
    optimizer.add_param_group({"params": []})
    weight, bias = model.parameters()
    optimizer.state[weight] = {
        "step": 1,
        "exp_avg": torch.ones(2),
        "exp_avg_sq": weight * torch.nan,
    }
    optimizer.state[bias] = {"momentum_buffer": torch.ones(2)}
    expected = {
        "non-finite": ["params[0]"],
        "bad-option": ["group 1"],
        "empty-group": ["group 2"],
        "aliased-lr": ["group 0", "group 2"],
    }
    torch.save({"optimizer": optimizer.state_dict()}, tmp_path / "plain.pt")
    assert found_in(tmp_path / "plain.pt", capsys) == expected
    optimkit.save(tmp_path / "ours.pt", optimizer=optimizer)
    assert found_in(tmp_path / "ours.pt", capsys) == expected | {
        "state-shape": ["params[0]"],
        "state-keys": ["params[1]"],
        "unknown-option": ["group 1"],
        "tiny-eps": ["group 0"],
    }


@pytest.mark.since("Muon")
def test_a_sound_file_gives_notes_only(tmp_path, capsys):
    """No class of torch gets a warning for what it has saved itself, with a header or without."""
    for kind, options in TABLE:
        param = nn.Parameter(torch.ones(2, 2))
        optimizer = getattr(torch.optim, kind)([{"params": [param], "name": "all"}], **options)
        param.grad = torch.ones(2, 2).to_sparse() if kind == "SparseAdam" else torch.ones(2, 2)
        optimizer.step(lambda: torch.tensor(1.0))
        optimkit.save(tmp_path / "ours.pt", optimizer=optimizer)
        torch.save(optimizer.state_dict(), tmp_path / "plain.pt")
        for name in ("ours.pt", "plain.pt"):
            assert main(["audit", str(tmp_path / name)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nope"], ["diff", "a.pt"], ["verify"]])
def test_misuse(arguments, capsys):
    """A command that is none exits with 2."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.since("decoupled_weight_decay")
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


def test_what_a_load_would_refuse(files, monkeypatch, capsys):
    """The bytes are judged apart from what they spell; the rest of the file is shown."""
    monkeypatch.chdir(files)
    content = torch.load("a.pt") | {"when": files}
    torch.save(content, "evil.pt")
    refused = (
        "evil.pt holds more than tensors and plain data: pathlib.PosixPath. Nothing of it was run. "
        "Save it again as tensors, numbers, strings, lists and dicts.\n"
    )
    assert main(["verify", "evil.pt"]) == 3
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first.endswith(" entries, every checksum fits")
    assert rest == refused
    assert main(["show", "evil.pt"]) == 0
    out = capsys.readouterr().out
    assert "<pathlib.PosixPath>" in out
    assert "optimizer: 1 group, 2 parameters" in out
    assert main(["audit", "evil.pt"]) == 1
    assert "error: unsafe-file: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "make",
    [torch.Tensor.to_sparse_csr, lambda it: torch.quantize_per_tensor(it, 0.1, 0, torch.qint8)],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_of_other_kinds(tmp_path, monkeypatch, capsys, make):
    """A tensor that is compressed or quantized is counted, and compared with others."""
    monkeypatch.chdir(tmp_path)
    torch.save({"it": make(torch.eye(2))}, "one.pt")
    torch.save({"it": torch.eye(3)}, "other.pt")
    assert main(["show", "one.pt"]) == 0
    assert "it" in capsys.readouterr().out
    assert main(["diff", "one.pt", "one.pt"]) == 0
    assert main(["diff", "one.pt", "other.pt"]) == 1
    torch.save({"it": make(2 * torch.eye(2))}, "other.pt")
    assert main(["diff", "one.pt", "other.pt"]) == 1
    torch.save({"it": 1}, "other.pt")
    assert main(["diff", "one.pt", "other.pt"]) == 1


def test_a_file_that_holds_itself(tmp_path, monkeypatch, capsys):
    """What has no end ends in a placeholder, and so does what is nested without measure."""
    monkeypatch.chdir(tmp_path)
    endless = {"deep": 1}
    endless["config"] = [endless]
    for _ in range(200):
        endless["deep"] = [endless["deep"]]
    torch.save(endless, "endless.pt")
    torch.save({"config": 1}, "other.pt")
    for command in ("show", "audit", "verify", "diff endless.pt"):
        assert main([*command.split(), "endless.pt"]) == 0
    rows = {row.name: repr(row.before) for row in diff("endless.pt", "other.pt").rows}
    assert rows["config.0"] == "<itself>"
    assert "<nested deeper than 100 levels>" in rows.values()


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
    assert [(each["file"], each["code"]) for each in data["findings"]] == [
        (str(paths[1]), "damaged-file")
    ]
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"{tmp_path} is a directory without a checkpoint: it holds run. Give one that a trainer or "
        "torch.distributed.checkpoint wrote, or a file of torch.save.\n"
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
        "findings": [
            {
                "file": str(folder),
                "code": "damaged-file",
                "severity": "error",
                "names": [],
                "message": f"{part} is damaged: it does not fit its checksum. Take an older copy.",
                "remedy": "",
                "url": None,
            }
        ],
    }
    part.unlink()
    assert main(["verify", str(folder)]) == 1
    assert capsys.readouterr().err == f"{folder} lacks {part.name}. Take an older copy.\n"
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


def test_a_header_of_another_format(tmp_path, capsys):
    """What it says of the parameters has another form: it is shown and audited without."""
    optimizer = torch.optim.AdamW(nn.Linear(3, 2).parameters())
    content = torch.load(optimkit.save(tmp_path / "a.pt", optimizer=optimizer), weights_only=True)
    content["__optimkit__"]["format"] = 1
    content["__optimkit__"]["objects"]["optimizer"]["names"] = [["weight"], ["bias"]]
    torch.save(content, tmp_path / "a.pt")
    assert [main([command, str(tmp_path / "a.pt")]) for command in ("show", "audit")] == [0, 0]
    assert "Nothing found." in capsys.readouterr().out
