"""One optimizer, from a state dict or from a file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from .. import _files as files
from .._errors import CheckpointError, first_few
from .._torch_optimizers import is_state_dict, optimizers_in
from ._header import KEY, checked_header
from ._matching.base import Options
from ._matching.plan import plan
from ._reports import LoadReport, Match

Models = nn.Module | Mapping[str, nn.Module] | Iterable[nn.Module]


def load_optimizer(
    optimizer: Optimizer,
    state_dict_or_path: Mapping[str, Any] | str | os.PathLike[str],
    *,
    models: Models = (),
    match: Match = "name",
    strict: bool = True,
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
        What ``optimizer.state_dict()`` returned, or a file that holds one optimizer. Nothing of
        it is shared with the optimizer.
    models : torch.nn.Module, mapping of str to torch.nn.Module, or iterable, optional
        The model that gives the parameters their names, if the optimizer was built without; of
        several, each by the name it was saved under.
    match : {"name", "position"}, optional
        How state finds its parameter.
    strict : bool, optional
        Whether all must fit. If not, parameters that are missing, or of another shape, are
        skipped and reported.
    options : {"saved", "current"}, optional
        Whose options count: the learning rate and all else that a group has.

    Returns
    -------
    LoadReport
        What was missing, left out, cast, and which options differed.

    Raises
    ------
    TypeError
        If `optimizer` is none.
    CheckpointError
        If the file holds no optimizer, or several.
    MismatchError
        If it does not fit. The optimizer is as it was.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import load_optimizer
    >>> model = nn.Linear(2, 1)
    >>> saved = torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
    >>> model.weight.grad = torch.ones(1, 2)
    >>> saved.step()
    >>> named = dict(model.named_parameters())
    >>> again = torch.optim.SGD([(name, named[name]) for name in ("bias", "weight")], lr=0.5)
    >>> print(load_optimizer(again, saved.state_dict()))
    SGD: matched by name, 2 options changed
    Options
    name     key       saved  current
    -------  --------  -----  -------
    group 0  lr          0.1      0.5
    group 0  momentum    0.9        0
    >>> again.state[model.weight]["momentum_buffer"]
    tensor([[1., 1.]])
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"load_optimizer takes a torch.optim.Optimizer, not {type(optimizer).__name__}"
        )
    named = _named(models)
    name = type(optimizer).__name__
    where, saved, about = "the state dict", state_dict_or_path, None
    if isinstance(saved, (str, os.PathLike)):
        where, (saved, about) = str(saved), _read(Path(saved))
    found = plan(
        {name: saved},
        {"objects": {} if about is None else {name: about}},
        {name: optimizer},
        where=where,
        strict=strict,
        options=options,
        match=match,
        models=named,
    )
    found.load()
    report = found.reports[name]
    if match == "name":
        for note in report.notes:
            warnings.warn(note, stacklevel=2)
    return report


def _named(models: Models) -> Mapping[Any, nn.Module]:
    """Return the models by the keys that stand before their names; a single one has none."""
    if isinstance(models, nn.Module):
        return {None: models}
    if isinstance(models, Mapping):
        return models
    listed = list(models)
    if len(listed) > 1:
        raise TypeError(
            "load_optimizer: several models are given by the names they were saved under, as in "
            'models={"generator": ..., "critic": ...}'
        )
    return {None: listed[0]} if listed else {}


def _read(path: Path) -> tuple[Mapping[str, Any], Any]:
    """Read the only optimizer of a file, and what the header says of it."""
    content = files.read_once(path).content
    if is_state_dict(content):
        return content, None
    header = checked_header(path, content.get(KEY)) if isinstance(content, Mapping) else None
    found = optimizers_in(content)
    if len(found) != 1:
        holds = f"several optimizers: {first_few(found)}" if found else "no optimizer"
        raise CheckpointError(
            f"{path} holds {holds}. Load objects by their names with optimkit.load."
        )
    [(key, saved)] = found.items()
    return saved, (header or {}).get("objects", {}).get(key)
