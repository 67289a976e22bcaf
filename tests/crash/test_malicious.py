"""Files made to run something: none of it runs, and the error says what it was."""

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


class Reduced:
    """A call, as an object says how to make it again."""

    def __reduce__(self):
        """Make a folder."""
        return os.mkdir, (os.environ["OPTIMKIT_EVIL"],)


class Evaluated:
    """Code as text."""

    def __reduce__(self):
        """Make a folder."""
        return builtins.eval, (f"__import__('os').mkdir({os.environ['OPTIMKIT_EVIL']!r})",)


class Stateful:
    """A call when the state is set."""

    def __setstate__(self, state):
        """Make a folder."""
        os.mkdir(os.environ["OPTIMKIT_EVIL"])


def opcode() -> bytes:
    """Write a call by an opcode that weights_only need not know: INST."""
    evil = os.environ["OPTIMKIT_EVIL"]
    return f"(S{evil!r}\nios\nmkdir\n.".encode()


def zipped(path, pickled):
    """Put a pickle where that of a checkpoint is, with a seal that fits."""
    optimkit.save(path, epoch=3)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else content)
    with path.open("r+b") as file:
        seal(file)


def rebuilt(path):
    """Let torch's own way to make a tensor of a subclass make the call."""
    torch.save({"a": Rebuilt()}, path)


class Rebuilt:
    """A call that torch is asked to make."""

    def __reduce__(self):
        """Make a folder, through torch."""
        evil = os.environ["OPTIMKIT_EVIL"]
        return torch._tensor._rebuild_from_type_v2, (os.mkdir, torch.Tensor, (evil,), {})


SHAPES = {
    "a reduce, in a zip": lambda path: torch.save({"a": Reduced()}, path),
    "a reduce, in the old format": lambda path: torch.save(
        {"a": Reduced()}, path, _use_new_zipfile_serialization=False
    ),
    "a bare pickle": lambda path: path.write_bytes(pickle.dumps(Evaluated(), 2)),
    "a state that is set": lambda path: torch.save({"model": {"a": Stateful()}}, path),
    "another opcode, sealed": lambda path: zipped(path, opcode()),
    "a rebuilt tensor": rebuilt,
}


@pytest.mark.parametrize("forced", [(), ("NO_",), ("",), ("NO_", "")], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_run(tmp_path, shape, forced, monkeypatch):
    """Whatever the shape, and whatever the environment says, it is refused and has not run."""
    path, evil = tmp_path / "evil.pt", tmp_path / "evil"
    monkeypatch.setenv("OPTIMKIT_EVIL", str(evil))
    Stateful.__init__ = lambda self: self.__dict__.update(a=1)
    SHAPES[shape](path)
    for each in forced:
        monkeypatch.setenv(f"TORCH_FORCE_{each}WEIGHTS_ONLY_LOAD", "1")
    for verify in (True, False):
        with pytest.raises(CheckpointError) as caught:
            optimkit.load(path, verify=verify)
        assert str(path) in str(caught.value)
    if "pickle" not in shape:
        assert isinstance(caught.value, UnsafeCheckpointError)
        assert "Nothing of it was run." in str(caught.value)
    assert not evil.exists()


def test_a_sound_file_loads_whatever_the_environment_says(tmp_path, monkeypatch):
    """Both variables at once make torch.load give up; here they change nothing."""
    path = optimkit.save(tmp_path / "last.pt", epoch=3)
    for name in ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(name, "1")
    assert optimkit.load(path)["epoch"] == 3
    assert optimkit._files.read(path).content["epoch"] == 3
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"


def test_a_claim_of_size_is_not_believed(tmp_path):
    """A pickle that claims more bytes than the file has gives an error, and takes no memory."""
    path = tmp_path / "big.pt"
    torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes().replace(struct.pack("<q", 3), struct.pack("<q", 2**40))
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        optimkit.load(path)
