"""Files made to run something: none of it runs, and the error says what it was.

What they would run is a print. Plain ``torch.load(path, weights_only=True)`` refuses all of them
too; it has to be asked for that, and the environment must not ask for something else.
"""

import builtins
import os
import pickle
import struct
import zipfile

import pytest
import torch

import optimkit
from optimkit import CheckpointError, UnsafeCheckpointError
from optimkit._files.layout import seal

TEXT = "it has run"


class Reduced:
    """A call, as an object says how to make it again."""

    def __reduce__(self):
        return print, (TEXT,)


class Evaluated:
    """Code as text."""

    def __reduce__(self):
        return builtins.eval, (f"print({TEXT!r})",)


class Stateful:
    """A call when the state is set."""

    def __init__(self):
        self.number = 1

    def __setstate__(self, state):
        print(TEXT)


class Rebuilt:
    """A call that torch's own way to make a tensor of a subclass is asked to make."""

    def __reduce__(self):
        return torch._tensor._rebuild_from_type_v2, (print, torch.Tensor, (TEXT,), {})


def replaced(path):
    """Put a pickle where that of a checkpoint is: a call by an opcode of its own, sealed."""
    length = struct.pack("<I", len(TEXT))
    pickled = b"(X" + length + TEXT.encode() + b"ibuiltins\nprint\n."
    optimkit.save(path, epoch=3)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)
    with path.open("r+b") as file:
        seal(file)


SHAPES = {
    "a reduce, in a zip": lambda path: torch.save({"a": Reduced()}, path),
    "a reduce, in the old format": lambda path: torch.save(
        {"a": Reduced()}, path, _use_new_zipfile_serialization=False
    ),
    "a bare pickle": lambda path: path.write_bytes(pickle.dumps(Evaluated(), 2)),
    "a state that is set": lambda path: torch.save({"model": {"a": Stateful()}}, path),
    "another opcode, sealed": replaced,
    "a rebuilt tensor": lambda path: torch.save({"a": Rebuilt()}, path),
}


@pytest.mark.parametrize("forced", [(), ("NO_",), ("",), ("NO_", "")], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_run(tmp_path, shape, forced, monkeypatch, capfd):
    """Whatever the shape, and whatever the environment says, it is refused and has not run."""
    path = tmp_path / "malicious.pt"
    SHAPES[shape](path)
    for each in ("", "NO_"):
        monkeypatch.delenv(f"TORCH_FORCE_{each}WEIGHTS_ONLY_LOAD", raising=False)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    for each in forced:
        monkeypatch.setenv(f"TORCH_FORCE_{each}WEIGHTS_ONLY_LOAD", "1")
    for verify in (True, False):
        with pytest.raises(UnsafeCheckpointError) as caught:
            optimkit.load(path, verify=verify)
        assert str(caught.value).startswith(f"{path} holds more than tensors and plain data: ")
        assert str(caught.value).endswith(
            "Nothing of it was run. Save it again as tensors, numbers, strings, lists and dicts."
        )
        assert "add_safe_globals" not in str(caught.value)
    assert TEXT not in capfd.readouterr().out


def test_an_intact_file_loads_whatever_the_environment_says(tmp_path, monkeypatch):
    """Both variables at once make torch.load give up; here they change nothing."""
    path = optimkit.save(tmp_path / "last.pt", epoch=3)
    for name in ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(name, "1")
    for verify in (True, False):
        assert optimkit.load(path, verify=verify)["epoch"] == 3
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"


def test_a_claim_of_size_is_not_believed(tmp_path):
    """A pickle that claims more bytes than the file has gives an error, and takes no memory."""
    path = tmp_path / "big.pt"
    torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes().replace(struct.pack("<q", 3), struct.pack("<q", 2**40))
    path.write_bytes(content)
    with pytest.raises(RuntimeError):
        torch.load(path, weights_only=True)
    with pytest.raises(CheckpointError):
        optimkit.load(path)
