"""One file, or one optimizer: load everything, or leave everything as it was."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn
from torch.optim import Optimizer

from .._errors import (
    CheckpointError,
    CorruptCheckpointError,
    MismatchError,
    UnsafeCheckpointError,
    first_few,
    interruptible,
)
from .._files.folders import look_into
from .._files.opaque import holds_opaque
from .._files.reading import MapLocation, Reading, opened
from .._files.unread import Unread
from .._files.writing import write
from .._optimizer_view import choose, names_that_fit, view_of_saved
from .._parameters import ParameterIndex
from .._torch_optimizers import is_state_dict, optimizers_in, part_at
from .._values import listed
from .._wrappers import unwrapped
from . import _contents as contents
from ._arguments import checked_mapping, objects_to_load, objects_to_save, places_of
from ._header import KEY, checked_header, describe, in_words
from ._loaders import Choices, Options
from ._names import bare_kind
from ._plan import Plan, refuse_what_no_load_takes
from ._results import Loaded, LoadReport, Match
from ._staging import Saving, compact, settle, settle_and_raise, write_beside

Models = nn.Module | Mapping[str, nn.Module] | Iterable[nn.Module]
Key = str | Mapping[str, str] | None


@overload
def save(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    durable: bool = True,
    background: Literal[False] = False,
    **stateful: Any,
) -> Path: ...


@overload
def save(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    durable: bool = True,
    background: Literal[True],
    **stateful: Any,
) -> Saving: ...


def save(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    durable: bool = True,
    background: bool = False,
    **stateful: Any,
) -> Path | Saving:
    """Save models, optimizers, schedulers and plain values into one file.

    The file is an ordinary ``torch.save`` file, with a state dict for each object. There is
    the old file or the new one, whole, at every moment: a kill, a full disk or an exception
    leaves the old one.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    objects : mapping of str to Any, optional
        The same as the keywords, for names that can't be keywords.
    metadata : mapping, optional
        Plain values about the checkpoint, to find in ``Loaded.metadata``.
    durable : bool, optional
        Whether to return only when the bytes are on the disk. Without it, they survive the
        death of the process, and maybe not that of the machine.
    background : bool, optional
        Whether to return when the state has been copied, and write the copy while training goes
        on. It takes memory for one copy, which the next such save uses again.
    **stateful : Any
        What to save, by name: objects with ``state_dict`` and ``load_state_dict``, mappings of
        such objects, and values that ``torch.load(weights_only=True)`` can read.

    Returns
    -------
    pathlib.Path or Saving
        The file; with `background`, what waits for it.

    Raises
    ------
    UnsafeCheckpointError
        If a value could not be loaded again; it lists all of them, and what to write instead.
    OSError
        If the disk is full, or the folder can't be written.

    Examples
    --------
    >>> import torch, optimkit
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.AdamW(model.parameters())
    >>> path = optimkit.save("last.pt", model=model, optimizer=optimizer, epoch=3)
    >>> list(torch.load(path, weights_only=True)["model"])
    ['weight', 'bias']
    """
    found = objects_to_save(objects, stateful)
    start = os.getcwd() if background else ""  # a run may change its folder meanwhile

    def finish(content: Any, size: int | None = None) -> tuple[Path, str]:
        write(os.path.join(start, path), content, durable=durable, size=size)
        return Path(path), ""

    return save_with(path, found, {}, finish, metadata=metadata, background=background)


def save_with(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any],
    extra: Mapping[str, Any],
    finish: Callable[..., tuple[Path, str]],
    *,
    metadata: Mapping[str, Any] | None,
    background: bool,
) -> Path | Saving:
    """Save, with more in the header than :func:`save` puts there.

    ``finish`` writes the content, shows how far of a size, and returns the path and what to warn of.
    """
    settle_and_raise()
    about = checked_mapping("metadata", metadata)
    with interruptible():
        content = contents.states_of(objects)
        header = {**describe(objects), **extra}
        refuse_what_no_load_takes(objects, content, header)
        size = contents.check({**content, KEY: header}, about)
    header["metadata"] = about
    content = compact({**content, KEY: header})
    if background:
        return write_beside(Path(path), content, finish)
    found, note = finish(content, size)
    if note:
        warnings.warn(note, stacklevel=3)
    return found


def load(
    path: str | os.PathLike[str],
    objects: Mapping[str, Any] | None = None,
    *,
    key: Key = None,
    match: Match = "name",
    map_location: MapLocation = "cpu",
    strict: bool = True,
    grown: bool = False,
    options: Options = "saved",
    verify: bool = True,
    **stateful: Any,
) -> Loaded:
    """Load a checkpoint into the objects that are given: all of them, or none.

    Everything is looked at (checksums, names, shapes, classes, the schedulers' configuration)
    before the first object is touched. Optimizer state finds its parameters by name.

    Parameters
    ----------
    path : str or os.PathLike
        A file of :func:`save`, or of ``torch.save``; it may be one state dict, of the only object.
        Names of a model may begin with ``module.`` or ``_orig_mod.``, or not.
    objects : mapping of str to Any, optional
        The same as the keywords, for names that can't be keywords.
    key : str or mapping of str to str, optional
        Where in a file of another tool the only optimizer is, as ``show`` calls it, for example
        ``"optimizer_states.0"``; or for each object by its name where that is. Nothing else in
        the file is looked at, so that it may hold more than tensors and plain data.
    match : {"name", "position"}, optional
        How optimizer state finds its parameters: by the names in the file, if it has some.
    map_location : optional
        Where the tensors go first, as ``torch.load`` takes it.
    strict : bool, optional
        Whether all has to fit. Without it, what is missing, unexpected or of another shape is
        skipped, parameter by parameter, and reported.
    grown : bool, optional
        Whether a parameter that has more rows now, as the table of a vocabulary that was enlarged,
        takes those that were saved. The others stay as they are, with state that begins with zeros.
    options : {"saved", "current"}, optional
        Whose options (lr, weight decay, the schedule): those of the file, or those of the
        objects as they are; then only progress is loaded.
    verify : bool, optional
        Whether to compare the checksums.
    **stateful : Any
        The objects, by the names they were saved under. A part of them will do. A mapping of
        objects is loaded under its name and theirs, and reported so: ``optimizers.adam``.

    Returns
    -------
    Loaded
        The plain values, with the metadata and a report for each object.

    Raises
    ------
    MismatchError
        If the file does not fit the objects; it lists every reason.
    CorruptCheckpointError
        If the bytes are not what was written.
    UnsafeCheckpointError
        If the file holds more than tensors and plain data. None of it has run.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import torch, optimkit
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> path = optimkit.save("last.pt", model=model, optimizer=optimizer)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> loaded = optimkit.load(path, model=model, optimizer=optimizer)
    >>> optimizer.param_groups[0]["lr"]
    0.1
    """
    found = objects_to_load(objects, stateful)
    settle()
    choices = Choices(match, strict, options, grown)
    return load_from(Path(path), found, choices, map_location, verify, key=key)


def load_from(
    path: Path,
    objects: Mapping[str, Any],
    choices: Choices,
    map_location: MapLocation,
    verify: bool,
    *,
    has_checksums: bool = False,
    key: Key = None,
) -> Loaded:
    """Load, from a file that is damaged if it lacks the checksums that it was written with."""
    if objects and str(map_location).startswith("meta"):
        raise ValueError(
            f"load: map_location={map_location!r} reads no values, and {first_few(objects)} needs "
            "them. Leave it out."
        )
    with (
        interruptible(),
        _reading(path, map_location, verify, of_part=key is not None) as reading,
    ):
        if has_checksums and verify and not reading.integrity.verified:
            raise CorruptCheckpointError(f"{reading.integrity}.")
        content, header = _content(path, reading, key, objects)
        found = Plan(content, header, objects, choices, where=str(path))
        found.load(reading.unread)
    for text in found.warnings:
        warnings.warn(text, stacklevel=3)
    about, verified = header or {}, reading.integrity.verified
    metadata, step = about.get("metadata", {}), about.get("step")
    return Loaded(path, found.plain, metadata, found.reports, verified, step)


def _content(
    path: Path, reading: Reading, key: Key, objects: Mapping[str, Any]
) -> tuple[Mapping[Any, Any], Mapping[str, Any] | None]:
    """Return what is in a file by the names of the objects, and its header."""
    content, header = _split(path, reading)
    if key is not None and isinstance(content, (list, tuple)):
        content = {str(place): each for place, each in enumerate(content)}
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, where objects by name were "
            "expected. Read it with torch.load(path, weights_only=True)."
        )
    bare = bare_kind(content) if header is None else ""
    places = places_of(key, objects, bare)
    if not places:
        if bare and objects:
            raise MismatchError(
                f"{path} is by its form the state dict of {in_words(bare)}, and holds no objects by "
                "name. Load it by itself, into such an object, or give another file."
            )
        return content, header
    if lacking := [place for place in places.values() if part_at(content, place) is None]:
        raise CheckpointError(
            f"{path} has nothing at {first_few(map(repr, lacking))}; it has "
            f"{first_few(map(repr, content)) or 'nothing'}, and optimizers at "
            f"{first_few(map(repr, optimizers_in(content))) or 'no place'}."
        )
    rest = {
        name: value
        for name, value in content.items()
        if "" not in places.values() and (name in objects or isinstance(value, (int, float, str)))
    }
    return _placed(reading, content, header, places, rest)


def _split(path: Path, reading: Reading) -> tuple[Any, Mapping[str, Any] | None]:
    """Take the header out of what a file holds."""
    content = reading.content
    if not isinstance(content, Mapping) or KEY not in content:
        return content, None
    header = checked_header(path, content[KEY])
    return {name: value for name, value in content.items() if name != KEY}, header


def _placed(
    reading: Reading,
    content: Any,
    header: Mapping[str, Any] | None,
    places: Mapping[str, str],
    rest: Mapping[Any, Any],
) -> tuple[dict[Any, Any], Mapping[str, Any] | None]:
    """Put what is at these places under the names of their objects."""
    found = {**rest, **{name: part_at(content, place) for name, place in places.items()}}
    if reading.refused and holds_opaque(found):
        raise UnsafeCheckpointError(reading.refused)
    if header is not None:
        about = header["objects"]
        moved = {name: about[place] for name, place in places.items() if place in about}
        header = {**header, "objects": {**about, **moved}}
    return found, header


def load_optimizer(
    optimizer: Optimizer,
    state_dict_or_path: Mapping[str, Any] | str | os.PathLike[str],
    *,
    key: str | None = None,
    models: Models = (),
    names: nn.Module | Iterable[str] | None = None,
    match: Match = "name",
    strict: bool = True,
    grown: bool = False,
    options: Options = "saved",
) -> LoadReport:
    """Load the state dict of an optimizer: by name, all or nothing, checked before.

    ``optimizer.load_state_dict`` goes by position, and checks no shape. Here state finds its
    parameter by name, in whatever order and group it is, if both sides were built from named
    parameters or have a model beside them; without names it goes by position, warns, and says so.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer to load into.
    state_dict_or_path : mapping, str or os.PathLike
        What ``optimizer.state_dict()`` returned, or a file that holds one optimizer, or the folder
        of such a file. Nothing of it is shared with the optimizer.
    key : str, optional
        Which optimizer of a file that holds several, as for :func:`describe`.
    models : torch.nn.Module, mapping of str to torch.nn.Module, or iterable, optional
        The model that gives the parameters their names, if the optimizer was built without; of
        several, each by the name it was saved under.
    names : iterable of str, or torch.nn.Module, optional
        The names of the saved parameters, in their order, where the state dict has none: or the
        model that the saved optimizer was built from, by ``model.parameters()`` or by what the
        Trainer of transformers, timm or Ultralytics makes of it: groups with and without decay.
    match, strict, grown, options : optional
        As for :func:`optimkit.load`.

    Returns
    -------
    LoadReport
        What was missing, left out, cast, and which options differed.

    Raises
    ------
    CheckpointError
        If the file holds no optimizer, or several; if `names` are not one for each parameter.
    MismatchError
        If it does not fit. The optimizer is as it was.

    Examples
    --------
    >>> import torch
    >>> from optimkit import load_optimizer
    >>> model = torch.nn.Linear(2, 1)
    >>> saved = torch.optim.SGD(model.named_parameters(), lr=0.1)
    >>> other_order = reversed(list(model.named_parameters()))
    >>> load_optimizer(torch.optim.SGD(other_order, lr=0.5), saved.state_dict())
    SGD: matched by name, 1 option changed
    Options
    name     key  saved  current
    -------  ---  -----  -------
    group 0  lr     0.1      0.5
    """
    optimizer = unwrapped(optimizer)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"load_optimizer takes a torch.optim.Optimizer, not {type(optimizer).__name__}"
        )
    if isinstance(names, nn.Module):
        models = models or names
    named, name = _named(models), type(optimizer).__name__
    choices = Choices(match, strict, options, grown)
    with (
        interruptible(),
        _optimizer_in(state_dict_or_path, key, name) as (where, content, header, unread),
    ):
        if names is not None and is_state_dict(saved := content[name]):
            about = (header or {}).get("objects", {}).get(name, {"kind": "optimizer"})
            about = {**about, "names": _checked(names, saved, where)}
            header = {"objects": {name: about}}
        found = Plan(content, header, {name: optimizer}, choices, where=where, models=named)
        found.load(unread)
    report = found.reports[name]
    for text in found.warnings:
        warnings.warn(text, stacklevel=2)
    return report


def _named(models: Models) -> Mapping[Any, nn.Module]:
    """Return the models by the keys that stand before their names; a single one has none."""
    if isinstance(models, Mapping):
        return models
    listed = [models] if isinstance(models, nn.Module) else list(models)
    if len(listed) > 1:
        raise TypeError(
            "load_optimizer: several models are given by the names they were saved under, as in "
            'models={"generator": ..., "critic": ...}'
        )
    return dict.fromkeys([None], listed[0]) if listed else {}


def _checked(names: nn.Module | Iterable[str], saved: Any, where: str) -> list[str]:
    """Refuse names that are not one for each parameter of a state dict."""
    if isinstance(names, nn.Module):
        fitting = names_that_fit(view_of_saved(saved), ParameterIndex(names))
        names = fitting[1] if fitting else [each for each, _ in names.named_parameters()]
    found = listed(names)
    strange = [each for each in found if isinstance(names, str) or not isinstance(each, str)]
    if strange:  # pairs of a name and a tensor are long to print
        raise TypeError(
            "load_optimizer: names must be a list of strings, or a model; found "
            f"{type(strange[0]).__name__}"
        )
    count = sum(len(group.get("params", ())) for group in saved["param_groups"])
    if len(found) != count or len(set(found)) != count:
        twice = "" if len(set(found)) == len(found) else ", not all of them different"
        raise CheckpointError(
            f"load_optimizer: names gives {len(found)} names{twice}; {where} has {count} "
            "parameters. Give the names in the order in which they were saved."
        )
    return found


@contextlib.contextmanager
def _optimizer_in(
    source: Any, key: str | None, name: str
) -> Iterator[tuple[str, dict[Any, Any], Mapping[str, Any] | None, Unread | None]]:
    """Yield in words where a state dict is from, it under a name, the header, what is unread."""
    if not isinstance(source, (str, os.PathLike)):
        where = "the state dict" if key is None else "the mapping"
        place = "" if key is None else choose(optimizers_in(source), key, where, source)
        yield where, {name: part_at(source, place)}, None, None
        return
    path = Path(source)
    settle()
    with _reading(path, of_part=True) as reading:
        content, header = _split(path, reading)
        place = choose(optimizers_in(content), key, str(path), content)
        found, header = _placed(reading, content, header, {name: place}, {})
        yield str(path), found, header, reading.unread


@contextlib.contextmanager
def _reading(
    path: Path,
    map_location: MapLocation = "cpu",
    verify: bool = True,
    *,
    of_part: bool,
) -> Iterator[Reading]:
    """Open a file; beside a part that is asked for, there may be what can't be loaded."""
    if of_part and path.is_dir():
        yield look_into(path)
        return
    with opened(path, map_location=map_location, verify=verify, opaque=of_part) as reading:
        yield reading
