"""Folders that trainers write, as one mapping: several files, or torch.distributed.checkpoint's."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from .._errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError, first_few
from .._values import equal
from .layout import LayoutError, crc_of, survey
from .opaque import opaque, to_show
from .reading import Integrity, Reading, integrity_of, look, look_into_file
from .unread import rebuilt

HEADER = "optimkit.pt"  # in a directory that many processes save: all but the large tensors
_TORCH = {".bin", ".ckpt", ".pkl", ".pt", ".pth", ".tar"}
_JSON = 1 << 20  # bytes: a longer file is a vocabulary


def look_into(path: str | os.PathLike[str]) -> Reading:
    """Read a file, or all files of a folder by their names, to be shown."""
    path = Path(path)
    if not path.is_dir():
        return _safetensors(path) if path.suffix == ".safetensors" else look_into_file(path)
    content, files = _folder(path)
    if not files:
        names = first_few(sorted(each.name for each in path.iterdir())) or "nothing"
        raise CheckpointError(
            f"{path} is a directory without a checkpoint: it holds {names}. Give one that a trainer "
            "or torch.distributed.checkpoint wrote, or a file of torch.save."
        )
    integrity = Integrity(
        path,
        sum(each.integrity.bytes for each in files),
        len(files),
        all(each.integrity.verified for each in files),
    )
    refused = "\n".join(each.refused for each in files if each.refused)
    return Reading(content, None, integrity, refused, tuple(files))


def _folder(folder: Path) -> tuple[dict[Any, Any], list[Reading]]:
    content, files = _sharded(folder) if (folder / ".metadata").is_file() else ({}, [])
    latest = folder / "latest"  # DeepSpeed's word for the folder that it wrote last
    current = latest.read_text("utf-8", "replace").strip() if latest.is_file() else ""
    shards = dict(content)
    for each in sorted(folder.iterdir()):
        if each.is_dir() and (each.name == current or (each / ".metadata").is_file()):
            content[each.name], more = _folder(each)
            files += more
        elif each.is_file() and each.suffix in (".safetensors", *_TORCH):
            read = _safetensors if each.suffix == ".safetensors" else look_into_file
            files.append(read(each))
            content[each.name] = files[-1].content
        elif each.is_file() and not each.name.startswith(".") and each.suffix != ".distcp":
            content[each.name] = _other(each)
    if HEADER in content:
        content = rebuilt(
            content[HEADER],
            lambda value, _: (
                shards[value["__tensor__"]]
                if isinstance(value, dict) and value.get("__tensor__") in shards
                else value
            ),
        )
    return content, files


def _other(path: Path) -> Any:
    """Return what a file says, if it is JSON; else what tells whether it is the same."""
    size = path.stat().st_size
    if path.suffix == ".json" and size <= _JSON:
        try:
            return json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            pass
    with path.open("rb") as file:
        return f"{size:,} bytes, crc32 {crc_of(file, 0, size):08x}"


_DTYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BF16": "bfloat16",
    "BOOL": "bool",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}


def _safetensors(path: Path) -> Reading:
    """Read tensors by name: a length of 8 bytes, a table in JSON, and the values."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise ValueError("it is cut off")
            table = json.loads(file.read(length))
            values = torch.frombuffer(bytearray(file.read()) or bytearray(1), dtype=torch.uint8)
        found = {}
        for name, entry in table.items():
            if name != "__metadata__":
                start, stop = entry["data_offsets"]
                if not 0 <= start <= stop <= size - 8 - length:
                    raise ValueError("it is cut off")
                found[name] = _typed(values[start:stop].clone(), entry["dtype"], entry["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, RecursionError) as error:
        raise CorruptCheckpointError(
            f"{path} is damaged, or no file of safetensors: {error}. Take an older copy."
        ) from error
    return Reading(found, None, Integrity(path, size, 0, verified=False))


def _typed(raw: Tensor, name: str, shape: list[int]) -> Any:
    """View bytes as a dtype; one that this torch has not is shown by its name."""
    dtype = getattr(torch, _DTYPES.get(name, ""), None)
    if dtype is None:  # of fewer bits than a byte, or newer
        return opaque(f"{name} {tuple(map(int, shape))}", raw)
    return raw.view(dtype).reshape(shape)


# The folders of torch.distributed.checkpoint


def _sharded(folder: Path) -> tuple[dict[Any, Any], list[Reading]]:
    """Put the pieces of each value together, each of which has checksums of its own."""
    shards = _Shards(folder)
    content: dict[Any, Any] = {}
    try:
        for key in shards.about.state_dict_metadata:
            place = (shards.about.planner_data or {}).get(key, (key,))
            inner = content
            for part in place[:-1]:
                inner = inner.setdefault(part, {})
            inner[place[-1]] = shards.value(key)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CorruptCheckpointError(
            f"{folder} is damaged: its .metadata does not fit its files ({error!r}). Take an older copy."
        ) from error
    return {key: _tidied(value) for key, value in content.items()}, shards.files()


class _Shards:
    """Reads the values of a folder, and counts their pieces by the file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.about = folder, read_metadata(folder)
        self.pieces: dict[str, int] = {".metadata": 0}
        self.refused: dict[str, None] = {}

    def files(self) -> list[Reading]:
        found = []
        for name, count in self.pieces.items():
            path, refused = self.folder / name, "" if count else "\n".join(self.refused)
            integrity = Integrity(path, path.stat().st_size, count, verified=count > 0)
            found.append(Reading(None, None, integrity, refused))
        return found

    def value(self, key: str) -> Any:
        """Read one value: an object, or a tensor from its pieces."""
        from torch.distributed.checkpoint.metadata import MetadataIndex, TensorStorageMetadata

        entry, stored = self.about.state_dict_metadata[key], self.about.storage_data
        if not isinstance(entry, TensorStorageMetadata):
            return self._piece(stored[MetadataIndex(key)])
        value = torch.empty(entry.size, dtype=entry.properties.dtype, device="cpu")
        for chunk in entry.chunks:
            place = zip(chunk.offsets, chunk.sizes, strict=True)
            ranges = tuple(slice(start, start + size) for start, size in place)
            value[ranges] = self._piece(stored[MetadataIndex(key, chunk.offsets)])
        return value

    def _piece(self, info: Any) -> Any:
        name = str(info.relative_path)
        path = self.folder / name
        if name != path.name or getattr(info, "transform_descriptors", None):
            raise CheckpointError(f"{path} is in a form that only its own reader knows.")
        with path.open("rb") as file:
            file.seek(info.offset)
            piece = io.BytesIO(file.read(info.length))
        try:
            integrity_of(path, piece, survey(piece))
        except LayoutError as error:
            raise CorruptCheckpointError(f"{path} is {error}. Take an older copy.") from error
        content, refused = look(path, piece)
        self.pieces[name] = self.pieces.get(name, 0) + 1
        if refused:
            self.refused[refused] = None
        return to_show(content)


def _tidied(value: Any) -> Any:
    """Bring an optimizer into torch's form: lists of groups, and names in place of long keys."""
    if type(value) is not dict:
        return value
    found = {key: _tidied(each) for key, each in value.items()}
    groups = found.get("param_groups")
    if isinstance(groups, dict):
        groups = list(groups.values())
    if isinstance(groups, list):
        state = found.get("state")
        by_place = {"state": _by_place(state, groups)} if isinstance(state, dict) else {}
        return {**found, "param_groups": groups, **by_place}
    heads = {str(key).partition(".")[0] for key in found if "." in str(key)}
    if not heads or not heads <= {"state", "param_groups"} or not heads.isdisjoint(found):
        return found
    parts: dict[str, dict[str, dict[str, Any]]] = {"state": {}, "param_groups": {}}
    for key, each in found.items():
        head, _, rest = str(key).partition(".")
        name, _, what = rest.rpartition(".")
        parts.setdefault(head, {}).setdefault(name, {})[what] = each
    return {"state": parts["state"], "param_groups": list(_grouped(parts["param_groups"]))}


def _by_place(state: dict[Any, Any], groups: list[Any]) -> dict[Any, Any]:
    """Make places numbers again, in the keys of state: as the groups have them."""
    held = (group.get("params") for group in groups if isinstance(group, dict))
    places = {str(place): place for each in held if isinstance(each, list) for place in each}
    return {places.get(key, key): each for key, each in state.items()}


def _grouped(options: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Put parameters with equal options into a group."""
    left = dict(options)
    while left:
        first = next(iter(left.values()))
        names = [name for name, each in left.items() if equal(each, first)]
        left = {name: each for name, each in left.items() if name not in names}
        yield {"params": names, **first}


def read_metadata(folder: Path) -> Any:
    """Read the ``.metadata`` of torch.distributed.checkpoint, and run nothing of it."""
    from torch.distributed.checkpoint.metadata import Metadata  # slow to import

    path = folder / ".metadata"
    try:
        with path.open("rb") as file:
            found = _Unpickler(file).load()
    except UnsafeCheckpointError as error:
        raise UnsafeCheckpointError(
            f"{path} would call {error}. Nothing of it was run. Save the directory again."
        ) from None
    except OSError:
        raise
    except Exception as error:
        raise CorruptCheckpointError(f"{path} is damaged: {error}. Take an older copy.") from error
    if not isinstance(found, Metadata):
        raise CorruptCheckpointError(f"{path} is damaged: it holds no metadata.")
    return found


# What a .metadata is made of: torch/distributed/checkpoint/{metadata,filesystem}.py, 2.15.
_METADATA = (
    *("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties", "_MEM_FORMAT_ENCODING"),
    *("TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
)
_ALLOWED = {
    *(("torch.distributed.checkpoint.metadata", name) for name in _METADATA),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("collections", "OrderedDict"),
}


class _Unpickler(pickle.Unpickler):
    """Builds what a ``.metadata`` is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "TensorProperties" and (module, name) in _ALLOWED:
            return _properties_of_any_torch()
        if module.partition(".")[0] == "pathlib" and name in ("PosixPath", "WindowsPath"):
            return PurePath
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_dtype or (module, name) in _ALLOWED:
            return super().find_class(module, name)
        raise UnsafeCheckpointError(f"{module}.{name}")


def _properties_of_any_torch() -> type:
    """Return a class that takes what a newer torch has written of it, without what it knows not."""
    from torch.distributed.checkpoint.metadata import TensorProperties

    class Properties(TensorProperties):
        def __setstate__(self, state: tuple[Any, ...]) -> None:
            # torch/distributed/checkpoint/metadata.py: torch 2.15 has strides after the others.
            known = len(fields(TensorProperties))
            super().__setstate__(state[:known])  # type: ignore[no-untyped-call]

    return Properties
