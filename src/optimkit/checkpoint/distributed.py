"""One checkpoint of many processes: a directory, written by all, read by as many as there are.

The tensors go through ``torch.distributed.checkpoint``, which brings them from any number of
processes to any other, from ``DistributedDataParallel`` to FSDP2. Names, classes, groups and
schedules are compared as for one file, and the same errors are raised, in every process.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter

from .. import _files as files
from .._errors import CheckpointError, CorruptCheckpointError
from .._files import RunLock, live_runs, sync_folder
from . import _contents as contents
from ._arguments import checked_metadata, gather, refuse_mixed, refuse_values
from ._capture import states_of
from ._folder import HEADER, aside, find
from ._header import KEY, checked_header, describe
from ._matching.base import Options
from ._matching.plan import plain_values, plan
from ._results import Loaded, Match
from ._shards import SafeReader, check, checksum, join, quiet, split
from ._team import Team

_PART = ".part"


def save(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    durable: bool = True,
    **stateful: Any,
) -> Path:
    """Save into a directory, all processes together.

    It is built aside and renamed in: to :func:`load`, there is the old directory or the new
    one, whole, at every moment.

    Parameters
    ----------
    path : str or os.PathLike
        The directory, which all processes can reach.
    objects : mapping of str to Any, optional
        The same as the keywords, for names that can't be keywords.
    metadata : mapping, optional
        Plain values about the checkpoint.
    durable : bool, optional
        Whether to return only when the bytes are on the disk.
    **stateful : Any
        What to save, by name, as for :func:`optimkit.save`. What is not a sharded tensor is
        saved as the first process has it, a random state too.

    Returns
    -------
    pathlib.Path
        The directory.

    Raises
    ------
    UnsafeCheckpointError
        If a value could not be loaded again.
    OSError
        If the disk is full, or the folder can't be written.
    TypeError
        If a keyword is an argument of :func:`save` or :func:`load`, or a name is given twice or
        is no string.

    Examples
    --------
    >>> import tempfile, optimkit
    >>> from optimkit.checkpoint import distributed
    >>> model = torch.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = distributed.save(Path(folder, "last"), model=model, epoch=3)
    ...     distributed.load(path, model=model)["epoch"]
    3
    """
    team, target = Team(), Path(os.path.realpath(path))
    found = gather("save", objects, stateful)
    refuse_mixed(found)
    about = checked_metadata(metadata)
    tensors: dict[str, Tensor] = {}
    skeleton = team.do(lambda: _skeleton(found, about, tensors))
    alive: list[RunLock] = []  # shows others that the folder is somebody's work
    work = team.first(lambda: _make_room(target, alive))
    try:
        if any(team.all(bool(tensors))):
            writer = FileSystemWriter(work, sync_files=durable, overwrite=True)
            # Else each tensor is of whatever rank has the least to write: half a BatchNorm of each.
            planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
            _together(
                lambda: state_dict_saver.save(tensors, storage_writer=writer, planner=planner)
            )
        written = team.do(lambda: _checksums(work, team.rank))
        noted = {name: list(each) for found in team.all(written) for name, each in found.items()}
        team.first(lambda: _complete(work, target, skeleton, about, found, noted, durable))
    finally:
        alive.clear()
        if team.rank == 0:
            shutil.rmtree(work, ignore_errors=True)
    return Path(path)


def _skeleton(
    stateful: Mapping[str, Any], about: Mapping[str, Any], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    """Take the tensors out of what is saved, and look whether the rest can be loaded again."""
    content = states_of(stateful)
    skeleton = {name: split(value, tensors, (name,)) for name, value in content.items()}
    contents.check({**skeleton, "metadata": about})
    return skeleton


def _make_room(target: Path, mine: list[RunLock]) -> Path:
    """Bring an interrupted install to its end, remove the litter of the dead, make a folder."""
    parent, old = target.parent, aside(target)
    alive = live_runs(parent)
    for each in parent.glob(f".optimkit-*{_PART}"):
        if each.name.removeprefix(".optimkit-").removesuffix(_PART) not in alive:
            shutil.rmtree(each, ignore_errors=True)
    if old.exists():
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"{target} is a file; a directory is written. Choose another name.")
    mine.append(RunLock(parent))
    work = parent / f".optimkit-{mine[0].name}{_PART}"
    work.mkdir()
    return work


def _together(work: Any) -> None:
    """Let torch work, and unwrap what it raises."""
    try:
        with quiet():
            work()
    except CheckpointException as error:
        causes = [failure[0] for _, failure in sorted(error.failures.items())]
        known = [each for each in causes if isinstance(each, (OSError, CheckpointError))]
        if known:
            raise known[0] from error
        raise CheckpointError(
            *(f"rank {rank}: {each[0]!r}" for rank, each in sorted(error.failures.items()))
        ) from error


def _checksums(work: Path, rank: int) -> dict[str, tuple[int, int]]:
    """Note what this process wrote; the first one notes the metadata too."""
    found = sorted(work.glob(f"__{rank}_*"))
    if rank == 0:
        found += work.glob(".metadata")
    return {each.name: checksum(each) for each in found}


def _complete(
    work: Path,
    target: Path,
    skeleton: Mapping[str, Any],
    about: Mapping[str, Any],
    stateful: Mapping[str, Any],
    noted: Mapping[str, Any],
    durable: bool,
) -> None:
    """Write what makes the directory complete, and give it its name."""
    header = {**describe(stateful), "metadata": dict(about), "files": dict(noted)}
    files.write(work / HEADER, {**skeleton, KEY: header}, durable=durable)
    if durable:
        sync_folder(work)
    old = aside(target)
    if target.exists():
        target.rename(old)  # from here to the next line, load takes it from aside
    work.rename(target)
    if durable:
        sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def load(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    match: Match = "name",
    map_location: files.MapLocation = "cpu",
    strict: bool = True,
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
    objects : mapping of str to Any, optional
        The same as the keywords, for names that can't be keywords.
    match : {"name", "position"}, optional
        How optimizer state finds its parameters, as in :func:`optimkit.load`.
    map_location : optional
        Where plain tensors go first.
    strict : bool, optional
        Whether all has to fit.
    options : {"saved", "current"}, optional
        Whose options.
    verify : bool, optional
        Whether to compare the checksums; each process compares a part of the files.
    **stateful : Any
        The objects, by the names they were saved under.

    Returns
    -------
    Loaded
        The plain values, with the metadata and a report for each object.

    Raises
    ------
    MismatchError
        If the directory does not fit the objects.
    CorruptCheckpointError
        If the bytes are not what was written.
    UnsafeCheckpointError
        If a file in it would run something. Nothing of it has run.
    FileNotFoundError
        If there is no such directory.
    TypeError
        If one of the objects can't be loaded into.

    Examples
    --------
    >>> import tempfile, optimkit
    >>> from optimkit.checkpoint import distributed
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = distributed.save(Path(folder, "last"), model=model, optimizer=optimizer)
    ...     optimizer = torch.optim.AdamW(model.parameters(), lr=0.5)
    ...     _ = distributed.load(path, model=model, optimizer=optimizer)
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """
    team = Team()
    given = gather("load", objects, stateful)
    refuse_values(given)
    folder = team.first(lambda: find(Path(path)))
    content, verified = team.do(lambda: _read(folder, map_location, verify, team))
    header = checked_header(folder, content.pop(KEY, None)) or {"objects": {}, "metadata": {}}
    choices: dict[str, Any] = {
        "strict": strict,
        "options": options,
        "where": str(path),
        "match": match,
    }
    keys: dict[int, str] = {}

    def sketched(key: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Stand for a tensor that has not been read: shape and dtype will do for a plan."""
        found = torch.empty(shape, dtype=dtype, device="meta")
        keys[id(found)] = key
        return found

    sketch = {name: join(value, sketched) for name, value in content.items()}
    planned = team.do(lambda: plan(sketch, header, given, **choices))
    plain = plain_values(content, header, given)

    def make_places() -> dict[str, Tensor]:
        found = {
            keys[id(saved)]: _room(saved, like)
            for saved, like in planned.wanted()
            if id(saved) in keys
        }
        for name in plain:
            join(
                content[name],
                lambda key, *kind: found.setdefault(key, torch.empty(*kind[:1], dtype=kind[1])),
            )
        return found

    places = team.do(make_places)  # without room in one process, the others must not wait for it
    if any(team.all(bool(places))):
        reader = SafeReader(folder)
        team.do(reader.read_metadata)  # torch would wrap what is wrong with it
        _together(lambda: state_dict_loader.load(places, storage_reader=reader))
    whole = {
        name: join(value, lambda key, *kind: places[key] if key in places else sketched(key, *kind))
        for name, value in content.items()
    }
    final = team.do(lambda: plan(whole, header, given, **choices))
    final.load(team.do)
    return Loaded(
        path=Path(path),
        plain={name: whole[name] for name in plain},
        metadata=header["metadata"],
        reports=final.reports,
        verified=verified,
    )


def _read(
    folder: Path, map_location: files.MapLocation, verify: bool, team: Team
) -> tuple[dict[str, Any], bool]:
    """Read what is no large tensor, and compare a part of the checksums."""
    reading = files.read(folder / HEADER, map_location=map_location, verify=verify)
    content = dict(reading.keep(reading.content))
    noted = content.get(KEY, {}).get("files", {})
    if verify:
        mine = sorted(noted)[team.rank :: team.size]
        check(folder, mine, noted, shown=team.rank == 0)
    elif any(not (folder / name).exists() for name in noted):
        raise CorruptCheckpointError(f"{folder} lacks a part of it. Take an older copy.")
    return content, reading.integrity.verified


def _room(saved: Tensor, like: Tensor | None) -> Tensor:
    """Make room for a tensor: laid out as the one of today that it goes with."""
    if not isinstance(like, Tensor) or like.shape != saved.shape:
        return torch.empty(saved.shape, dtype=saved.dtype)
    return torch.empty_like(like.detach(), dtype=saved.dtype)
