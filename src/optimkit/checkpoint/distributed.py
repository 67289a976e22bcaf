"""One checkpoint of many processes: a directory, through ``torch.distributed.checkpoint``.

Names, classes, groups and schedules are compared as for one file, in every process.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import metadata, state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter

from .._errors import CheckpointError, first_few, interruptible, raised_by_handler
from .._files.folders import HEADER, read_metadata
from .._files.reading import MapLocation
from .._files.unread import Placeholder, placeholders_in
from .._files.writing import RunLock, live_runs, naming, sync, sync_folder, write
from . import _contents as contents
from . import _shards as shards
from ._arguments import checked_mapping, objects_to_load, objects_to_save
from ._header import KEY, checked_header, describe, is_group, kind_of, models_in, parts_of
from ._loaders import Choices, Options
from ._plan import Plan, refuse_what_no_load_takes
from ._ranks import Ranks
from ._results import Loaded, Match
from ._staging import Saving, compact, settle, settle_and_raise, write_beside

__all__ = ["load", "save"]

_PREFIX, _PART = ".optimkit-", ".part"
_WITH_NORMS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def save(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    durable: bool = True,
    background: bool = False,
    **stateful: Any,
) -> Path | Saving:
    """Save into a directory, all processes together.

    It is built aside and renamed in: to :func:`load`, there is the old directory or the new
    one, whole, at every moment.

    Parameters
    ----------
    path : str or os.PathLike
        The directory, which all processes can reach.
    objects, metadata, durable : optional
        As for :func:`optimkit.save`, and so are the errors.
    background : bool, optional
        As for :func:`optimkit.save`. The threads that write use a process group of their own
        (gloo). Wait for them before ``destroy_process_group``.
    **stateful : Any
        What to save, by name, as for :func:`optimkit.save`. What is not a sharded tensor is
        saved as the first process has it, a random state too; it warns of parameters that have
        other values elsewhere.

    Returns
    -------
    pathlib.Path or Saving
        The directory; with `background`, what waits for it.

    Raises
    ------
    CheckpointError
        If the models or optimizers are not made of the same tensors in all processes.
    UnsafeCheckpointError
        If of one of them each process has a part that can't be put together: of a model of
        FSDP1, and of ZeroRedundancyOptimizer.

    Examples
    --------
    >>> import torch
    >>> from optimkit.checkpoint import distributed
    >>> model = torch.nn.Linear(2, 1)
    >>> path = distributed.save("last", model=model, epoch=3)
    >>> distributed.load(path, model=model)["epoch"]
    3
    """
    ranks, target = Ranks(), Path(os.path.realpath(path))
    found, about = ranks.run(
        lambda: (objects_to_save(objects, stateful), checked_mapping("metadata", metadata))
    )
    ranks.run(settle_and_raise)
    _refuse_other_ways(background, ranks)
    content: tuple[dict[str, Any], dict[str, Tensor]]
    content = ranks.run(lambda: compact(_split(found, about, ranks.rank)))
    _refuse_other_forms(found, content[0], ranks)
    if others := _other_weights(found, ranks):
        warnings.warn(
            f"rank 0's values of {first_few(others)} are saved, and other ranks have other ones. If "
            "each process trains a part of its own, save that into a file of its own with "
            "optimkit.save.",
            stacklevel=2,
        )
    if not background:
        with naming(path):
            _write(target, *content, durable, ranks)
        return Path(path)
    beside = ranks.beside()

    def write(copy: tuple[dict[str, Any], dict[str, Tensor]]) -> tuple[Path, str]:
        try:
            with naming(path):
                _write(target, *copy, durable, beside)
            return Path(path), ""
        except Exception as error:
            if beside.together and not dist.is_initialized():
                raise CheckpointError(
                    f"{path} was not written: the process group was destroyed meanwhile. Call "
                    "wait() before destroy_process_group()."
                ) from error
            raise

    return write_beside(Path(path), content, write, ranks.run)


def _write(
    target: Path,
    skeleton: dict[str, Any],
    tensors: dict[str, Tensor],
    durable: bool,
    ranks: Ranks,
) -> None:
    lock = ranks.run(lambda: _make_room(target) if ranks.rank == 0 else None)
    work = _work_folder(target, ranks.gather("" if lock is None else lock.name)[0])
    try:
        if any(ranks.gather(bool(tensors))):
            writer = _Writer(work, sync_files=False, overwrite=True)
            # Else each tensor is of whatever rank has the least to write.
            planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
            # Not save, which warns of a single process: it can't be silenced in a thread.
            with _unwrapped():
                state_dict_saver._save_state_dict(
                    tensors, writer, ranks.group, no_dist=not ranks.together, planner=planner
                )
        written = ranks.gather(ranks.run(lambda: _checksums(work, ranks.rank, durable)))
        skeleton[KEY]["files"] = {
            name: list(each) for part in written for name, each in part.items()
        }
        ranks.run_on_first(lambda: _install(work, target, skeleton, durable))
    finally:
        if lock is not None:
            lock.release()  # first: the next save removes what an interrupt leaves
            shutil.rmtree(work, ignore_errors=True)


def _split(
    objects: Mapping[str, Any], about: Mapping[str, Any], rank: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what goes into the first file, and the tensors that this process writes."""
    with interruptible():
        skeleton, tensors = shards.split(contents.states_of(objects))
        header = describe(objects)
        refuse_what_no_load_takes(objects, shards.with_placeholders(skeleton), header)
        contents.check({**skeleton, KEY: header}, about)
    if rank:
        tensors = {key: each for key, each in tensors.items() if type(each) is not Tensor}
    return {**skeleton, KEY: {**header, "metadata": about}}, tensors


def _refuse_other_ways(background: bool, ranks: Ranks) -> None:
    """Refuse to save beside training in some processes alone: they would wait for each other."""
    if len({*ranks.gather(background)}) > 1:
        raise CheckpointError(
            "distributed.save: some processes have background=True, and others have not. Give the "
            "same in all."
        )


def _refuse_other_forms(objects: Mapping[str, Any], skeleton: Any, ranks: Ranks) -> None:
    """Refuse models and optimizers that are not made of the same tensors in all processes."""
    kinds = ("module", "optimizer")
    mine = {
        name: skeleton[name]
        for name, value in objects.items()
        if is_group(value) or kind_of(value) in kinds
    }
    forms = shards.forms(mine)
    if len(set(ranks.gather(zlib.crc32(repr(forms).encode())))) == 1:
        return
    first, *others = ranks.gather(forms)
    for rank, other in enumerate(others, 1):
        lists = [
            first_few(f"{name} {shape}" for name, shape in one.items() if two.get(name) != shape)
            for one, two in ((first, other), (other, first))
        ]
        if any(lists):
            raise CheckpointError(
                f"rank 0 has {lists[0] or 'nothing more'}, where rank {rank} has "
                f"{lists[1] or 'nothing'}, and a directory holds what all processes have. Save what "
                "each has of its own into a file of its own, with optimkit.save."
            )


def _other_weights(objects: Mapping[str, Any], ranks: Ranks) -> list[str]:
    """Name the parameters that are whole in each process, and have other values there."""
    if ranks.size == 1:
        return []
    params = {
        f"{name}.{each}": param.detach()
        for name, model in models_in(parts_of(objects)).items()
        for each, param in model.named_parameters()
        if type(param.detach()) is Tensor and param.dtype in _WITH_NORMS and not param.is_meta
    }
    norms = torch._foreach_norm(list(params.values())) if params else ()
    # One transfer from the device, not one for each.
    mine = torch.stack([each.to(norms[0]) for each in norms]).tolist() if norms else []
    if len(set(ranks.gather(zlib.crc32(repr(mine).encode())))) == 1:
        return []
    first, *others = ranks.gather(mine)
    return [
        name
        for name, one, *more in zip(params, first, *others, strict=True)
        if not all(math.isclose(one, each, rel_tol=1e-4) for each in more)
    ]


def _make_room(target: Path) -> RunLock:
    """End an interrupted overwrite, remove the litter of the dead, make a folder to work in."""
    parent, backup = target.parent, shards.backup_path(target)
    alive = live_runs(parent)
    for each in parent.glob(f"{_PREFIX}*{_PART}"):
        if each.name.removeprefix(_PREFIX).removesuffix(_PART) not in alive:
            shutil.rmtree(each, ignore_errors=True)
    if backup.exists():
        if target.exists():
            shutil.rmtree(backup, ignore_errors=True)
        else:
            backup.rename(target)
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"{target} is a file; a directory is written. Choose another name.")
    lock = RunLock(parent)
    _work_folder(target, lock.name).mkdir()
    return lock


def _work_folder(target: Path, run: str) -> Path:
    return target.parent / f"{_PREFIX}{run}{_PART}"


def _checksums(work: Path, rank: int, durable: bool) -> dict[str, tuple[int, int]]:
    """Note what this process wrote; the first one notes the metadata too."""
    found = sorted(work.glob(f"__{rank}_*"))
    if rank == 0:
        found += work.glob(".metadata")
    if durable:
        # torch up to 2.13 itself syncs a file before its buffer is in it (checkpoint/filesystem.py).
        for each in found:
            with each.open("r+b") as file:
                sync(file.fileno())
    return {each.name: shards.checksum(each) for each in found}


def _install(work: Path, target: Path, content: Mapping[str, Any], durable: bool) -> None:
    """Write what makes the directory complete, and give it its name."""
    write(work / HEADER, content, durable=durable)  # and all names in the folder
    backup = shards.backup_path(target)
    if target.exists():
        target.rename(backup)  # from here to the next line, load takes the backup
    work.rename(target)
    if durable:
        sync_folder(target.parent)
    shutil.rmtree(backup, ignore_errors=True)


def load(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    match: Match = "name",
    map_location: MapLocation = "cpu",
    strict: bool = True,
    grown: bool = False,
    options: Options = "saved",
    verify: bool = True,
    **stateful: Any,
) -> Loaded:
    """Load a directory of :func:`save` into the objects that are given, all processes together.

    There may be more processes, or fewer, than saved it, and the model may be wrapped or sharded
    in another way. Everything is looked at before the first object is touched.

    Parameters
    ----------
    path : str or os.PathLike
        The directory.
    objects, match, map_location, strict, grown, options, verify, **stateful : optional
        As for :func:`optimkit.load`, and so are the errors. Each process compares the checksums
        of a part of the files.

    Returns
    -------
    Loaded
        The plain values, with the metadata and a report for each object.

    Examples
    --------
    >>> from optimkit.checkpoint import distributed
    >>> path = distributed.save("last", epoch=3)
    >>> distributed.load(path)["epoch"]
    3
    """
    ranks = Ranks()
    given = ranks.run(lambda: objects_to_load(objects, stateful))
    settle()
    with interruptible():
        folder = ranks.run_on_first(lambda: shards.find(Path(path)))
        reading = ranks.run(
            lambda: shards.read_folder(
                folder, map_location=map_location, verify=verify, rank=ranks.rank, ranks=ranks.size
            )
        )
        content = shards.with_placeholders(reading.content)
        header = checked_header(folder, content.pop(KEY, None)) or {"objects": {}, "metadata": {}}
        choices = Choices(match, strict, options, grown)
        found = ranks.run(lambda: Plan(content, header, given, choices, where=str(path)))
        # Without room in one process, the others must not wait for it.
        tensors = ranks.run(lambda: _room(found))
        if any(ranks.gather(bool(tensors))):
            reader = _SafeReader(folder)
            reader.found = ranks.run(reader.read_metadata)
            with _unwrapped():
                state_dict_loader.load(tensors, storage_reader=reader)
        found.fill(tensors)
        found.load(together=ranks.run)
    for text in found.warnings if ranks.rank == 0 else ():
        warnings.warn(text, stacklevel=2)
    verified = reading.integrity.verified
    return Loaded(Path(path), found.plain, header["metadata"], found.reports, verified)


def _room(found: Plan) -> dict[Any, Tensor]:
    """Make room for each tensor to read, by its key: laid out as the current one it goes into."""
    tensors = {}
    plain = ((each, None) for each in placeholders_in(found.plain))
    for saved, current in (*plain, *found.wanted()):
        if isinstance(saved, Placeholder):
            if isinstance(current, Tensor) and current.shape == saved.shape:
                room = torch.empty_like(current.detach(), dtype=saved.dtype)
            else:
                room = torch.empty(saved.shape, dtype=saved.dtype, device="cpu")
            tensors[saved.key] = room
    return tensors


class _Writer(FileSystemWriter):
    """Says that the disk is full; torch says so only in the context of an error of its own."""

    def write_data(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().write_data(*args, **kwargs)
        except Exception as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


class _SafeReader(FileSystemReader):
    """Reads a directory of torch.distributed.checkpoint, and runs nothing of it."""

    # Read before torch asks, which would go on without what can't be read, or was interrupted.
    found: metadata.Metadata | None = None

    def read_metadata(self, *args: Any, **kwargs: Any) -> metadata.Metadata:
        found: metadata.Metadata = self.found or read_metadata(Path(self.path))
        found.storage_meta = metadata.StorageMeta(load_id=self.load_id)
        return found


@contextlib.contextmanager
def _unwrapped() -> Iterator[None]:
    """Let torch work, and raise what it wraps."""
    try:
        if threading.get_ident() != threading.main_thread().ident:
            yield  # what is done to warnings is done to those of all threads
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a single process, and of its own deprecations
            yield
    except CheckpointException as error:
        causes = [failure[0] for _, failure in sorted(error.failures.items())]
        for each in causes:
            if isinstance(each, (OSError, CheckpointError)) or raised_by_handler(each):
                raise each from error
        raise CheckpointError(
            *(f"rank {rank}: {each[0]!r}" for rank, each in sorted(error.failures.items()))
        ) from error
