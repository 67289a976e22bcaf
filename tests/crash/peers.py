"""Who is put to the test: optimkit, and what people use otherwise, as their manuals say."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import optimkit

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Peer:
    """A way to keep tensors on disk.

    ``save(path, state)`` writes, over what is there; ``load(path, like)`` reads, where `like`
    has the names and shapes.
    """

    name: str
    save: Callable[[Path, State], object]
    load: Callable[[Path, State], State]

    def write(self, path: Path, state: State) -> None:
        """Save, and wait until it is there."""
        saving = self.save(path, state)
        if isinstance(saving, optimkit.Saving):
            saving.wait()

    def files(self, path: Path) -> list[Path]:
        """List the files that one checkpoint is made of."""
        return sorted(path.rglob("*")) if path.is_dir() else [path]


def _optimkit_save(path: Path, state: State) -> None:
    optimkit.save(path, tensors=state)


def _background_save(path: Path, state: State) -> optimkit.Saving:
    return optimkit.save(path, tensors=state, background=True)


def _optimkit_load(path: Path, like: State) -> State:
    return optimkit.load(path)["tensors"]


def _torch_save(path: Path, state: State) -> None:
    torch.save(state, path)


def _torch_load(path: Path, like: State) -> State:
    return torch.load(path, weights_only=True)


def _safetensors_save(path: Path, state: State) -> None:
    from safetensors.torch import save_file

    save_file(state, path)


def _safetensors_load(path: Path, like: State) -> State:
    from safetensors.torch import load_file

    return load_file(path)


def _dcp_save(path: Path, state: State) -> None:
    import torch.distributed.checkpoint as dcp

    with _quiet():
        dcp.save(state, checkpoint_id=path)


def _dcp_load(path: Path, like: State) -> State:
    import torch.distributed.checkpoint as dcp

    state = {name: torch.full_like(tensor, -1) for name, tensor in like.items()}
    with _quiet():
        dcp.load(state, checkpoint_id=path)
    return state


@contextlib.contextmanager
def _quiet():
    """Silence what DCP says about there being one process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


OPTIMKIT = Peer("optimkit", _optimkit_save, _optimkit_load)
BACKGROUND = Peer("optimkit, background", _background_save, _optimkit_load)
TORCH = Peer("torch.save", _torch_save, _torch_load)
SAFETENSORS = Peer("safetensors", _safetensors_save, _safetensors_load)
DCP = Peer("DCP", _dcp_save, _dcp_load)

PEERS = {peer.name: peer for peer in (OPTIMKIT, BACKGROUND, TORCH, SAFETENSORS, DCP)}


def make(number: int, megabytes: float) -> State:
    """Make a state whose every value is its number, so that a mixture shows."""
    count = int(megabytes * 1e6 / 4 / 5)
    return {f"layer.{index}": torch.full((count,), float(number)) for index in range(5)}


def whole(state: State) -> bool:
    """Tell whether a state is of one number."""
    numbers = {float(each) for tensor in state.values() for each in (tensor.min(), tensor.max())}
    return len(numbers) == 1
