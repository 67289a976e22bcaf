"""Find what is wrong with an optimizer, before it shows in a curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .._optimizer_view import FORMAT, OptimizerView, view_of_saved
from .._parameters import Models
from .._torch_optimizers import optimizers_in
from .._torch_schedulers import Schedulers
from .checks import (
    AuditContext,
    Optimizers,
    context_of,
    options,
    parameters,
    run_checks,
    schedulers,
    state,
)
from .findings import Findings

REGISTERED = (parameters, state, options, schedulers)  # to import a module registers its checks


def audit(
    optimizers: Optimizers,
    models: Models = (),
    *,
    schedulers: Schedulers = (),
    loss: Tensor | Iterable[Tensor] | Mapping[str, Tensor] | None = None,
) -> Findings:
    """Find what is wrong with optimizers, models and schedulers, by looking only.

    Torch trains on silently; a healthy set-up gives no error and no warning. Parameters,
    gradients and state are read once, for NaN: a device is waited for.

    Parameters
    ----------
    optimizers : torch.optim.Optimizer or iterable of these
        All optimizers of the run.
    models : torch.nn.Module, mapping of str to torch.nn.Module, or iterable of these, optional
        All models that they train. Without them, what is missing can't be seen.
    schedulers : scheduler or iterable of schedulers, optional
        The schedulers; of one that chains others, the outermost is enough.

    loss : torch.Tensor or iterable of these, optional
        The losses of one step, all of them. Their graphs show which parameters they reach.

    Returns
    -------
    Findings
        The records are its ``rows``, the worst first, in the same run always in the same order;
        it prints itself, and ``raise_if("error")`` stops a script.

    Raises
    ------
    TypeError
        If something is no optimizer, model, scheduler or loss with a graph.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> print(audit(optimizer, model))
    Nothing found.
    >>> optimizer.param_groups[0]["weigth_decay"] = 0.1
    >>> print(audit(optimizer, model))
    Audit: 1 error
    error: unknown-option: SGD ignores weigth_decay, which it does not know: torch takes any key in a
      group. Did you mean weigth_decay -> weight_decay?
      -> Correct its name in optimizer.param_groups, or delete it.
    More: optimkit explain unknown-option
    """
    return run_checks(context_of(optimizers, models, schedulers, loss))


def audit_saved(content: Any) -> Findings:
    """Find what the optimizers in a checkpoint show by themselves: there is no model beside them."""
    header = content.get("__optimkit__") if isinstance(content, dict) else None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        header = {}
    about = header.get("objects", {})
    views = {
        where or "state dict": _filled(view_of_saved(saved, about.get(where), kind=where))
        for where, saved in optimizers_in(content).items()
    }
    return run_checks(AuditContext(views, [], [], []))


def _filled(view: OptimizerView) -> OptimizerView:
    """Fill in what a header says: parameters without values, and the options of the class."""
    if view.torch_class is None or not view.options:
        return view
    taken = getattr(torch.optim, view.torch_class)([nn.Parameter(torch.empty(1, 1))]).defaults
    params = [
        torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for shape, dtype in zip(view.shapes or (), view.dtypes or (), strict=True)
    ]
    options = {key: value for key, value in view.options[0].items() if key in taken}
    return replace(view, params=params or view.params, defaults=options)
