"""One optimizer, from a state dict in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from torch.optim import Optimizer

from ._matching.base import Options
from ._matching.plan import plan
from ._reports import LoadReport


def load_optimizer(
    optimizer: Optimizer,
    state_dict: Mapping[str, Any],
    *,
    match: Literal["name", "position"] = "name",
    strict: bool = True,
    options: Options = "saved",
) -> LoadReport:
    """Load the state dict of an optimizer: by name, all or nothing, checked before.

    ``optimizer.load_state_dict`` goes by position, and checks no shape. Here state finds its
    parameter by name, in whatever order and group it is, if both sides were built from named
    parameters; without names it goes by position, warns, and says so.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The optimizer to load into.
    state_dict : mapping
        What ``optimizer.state_dict()`` returned. Nothing of it is shared with the optimizer.
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
    name = type(optimizer).__name__
    found = plan(
        {name: state_dict},
        {},
        {name: optimizer},
        strict=strict,
        options=options,
        match=match,
        where="the state dict",
    )
    found.load()
    report = found.reports[name]
    if match == "name":
        for note in report.notes:
            warnings.warn(note, stacklevel=2)
    return report
