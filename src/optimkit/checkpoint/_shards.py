"""A directory of torch.distributed.checkpoint: its tensors, its checksums, its own reader.

What is not a tensor stays out of it: torch would unpickle it freely.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PosixPath, PurePath, WindowsPath
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import metadata
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from zlib_ng.zlib_ng import crc32

from .._errors import CorruptCheckpointError, UnsafeCheckpointError
from .._files import show_progress

_MARK = {"__tensor__", "shape", "dtype"}
_PIECE = 1 << 20

Found = dict[str, tuple[int, int]]


def split(value: Any, tensors: dict[str, Tensor], path: tuple[Any, ...] = ()) -> Any:
    """Take the tensors out of a value, and leave a mark where each was."""
    if isinstance(value, Tensor):
        plain = value.layout is torch.strided and not (value.is_quantized or value.is_nested)
        if not plain or value.is_meta:
            return value.detach()  # goes whole into the file beside the shards, or is refused
        if value.numel() <= 1 and not hasattr(value, "_local_tensor"):
            return value.detach().cpu().clone()
        key = json.dumps(path)
        tensors[key] = value.detach()
        return {"__tensor__": key, "shape": list(value.shape), "dtype": value.dtype}
    if type(value) in (dict, OrderedDict):
        found = type(value)(
            (key, split(item, tensors, (*path, key))) for key, item in value.items()
        )
        vars(found).update(vars(value)) if hasattr(value, "__dict__") else None
        return found
    if type(value) in (list, tuple):
        return type(value)(split(item, tensors, (*path, i)) for i, item in enumerate(value))
    return value


def join(value: Any, take: Callable[[str, torch.Size, torch.dtype], Tensor]) -> Any:
    """Put tensors where the marks are."""
    if isinstance(value, Mapping) and value.keys() == _MARK:
        return take(value["__tensor__"], torch.Size(value["shape"]), value["dtype"])
    if type(value) in (dict, OrderedDict):
        found = type(value)((key, join(item, take)) for key, item in value.items())
        vars(found).update(vars(value)) if hasattr(value, "__dict__") else None
        return found
    if type(value) in (list, tuple):
        return type(value)(join(item, take) for item in value)
    return value


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what torch says of a single process, and of its own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def checksum(path: Path, seen: Callable[[int], None] | None = None) -> tuple[int, int]:
    """Return the size and the CRC-32 of a file."""
    size = crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            crc = crc32(piece, crc)
            size += len(piece)
            if seen is not None:
                seen(len(piece))
    return size, crc


def check(folder: Path, names: list[str], expected: Found, *, shown: bool = True) -> None:
    """Compare files with what was noted when they were written."""
    total = sum(expected[name][0] for name in names)
    with show_progress(f"Verifying {folder.name}", total) as advance:
        for name in names:
            _check_file(folder / name, *expected[name], advance if shown else None)


def _check_file(path: Path, size: int, crc: int, seen: Callable[[int], None] | None) -> None:
    try:
        found = checksum(path, seen)
    except FileNotFoundError:
        raise CorruptCheckpointError(f"{path} is gone. Take an older copy.") from None
    if found[0] != size:
        raise CorruptCheckpointError(
            f"{path} is damaged: it has {found[0]:,} bytes, {size:,} were written. Take an older "
            "copy."
        )
    if found[1] != crc:
        raise CorruptCheckpointError(
            f"{path} is damaged: it does not fit its checksum. Take an older copy."
        )


_ALLOWED: dict[tuple[str, str], Any] = {
    **{
        (metadata.__name__, name): getattr(metadata, name)
        for name in (
            *("Metadata", "MetadataIndex", "StorageMeta", "TensorProperties"),
            *("TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata"),
            "_MEM_FORMAT_ENCODING",
        )
    },
    (_StorageInfo.__module__, "_StorageInfo"): _StorageInfo,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    ("collections", "OrderedDict"): OrderedDict,
}
_PATHS = {each.__name__: PurePath for each in (PosixPath, WindowsPath)}


class _Unpickler(pickle.Unpickler):
    """Builds what a ``.metadata`` is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None and module == "torch":
            dtype = getattr(torch, name, None)
            found = dtype if isinstance(dtype, torch.dtype) else None
        if found is None and module.partition(".")[0] == "pathlib":
            found = _PATHS.get(name)
        if found is None:
            raise UnsafeCheckpointError(f"{module}.{name}")
        return found


class SafeReader(FileSystemReader):
    """Reads a directory of torch.distributed.checkpoint, and runs nothing of it."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> metadata.Metadata:
        """Read ``.metadata``."""
        path = Path(self.path, ".metadata")
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
            raise CorruptCheckpointError(
                f"{path} is damaged: {error}. Take an older copy."
            ) from error
        if not isinstance(found, metadata.Metadata):
            raise CorruptCheckpointError(f"{path} is damaged: it holds no metadata.")
        found.storage_meta = metadata.StorageMeta(load_id=self.load_id)
        return found
