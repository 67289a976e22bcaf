"""Stand-ins for an optimizer and its schedulers: to see where a schedule leads, and touch nothing.

A copy of a scheduler drives a stand-in that has the optimizer's options, and neither its
parameters' values nor its state.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from types import MethodType
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def _stepped(self: object) -> None:
    """Stand for ``optimizer.step``, marked as a scheduler would mark it."""


_stepped._wrapped_by_lr_sched = True  # type: ignore[attr-defined]


def copy_optimizer(optimizer: Optimizer, copies: dict[int, Any]) -> Optimizer:
    """Copy an optimizer's options; the copy holds no state, and its step does nothing."""
    stand_in: Any = object.__new__(type(optimizer))
    for key, value in vars(optimizer).items():
        stand_in.__dict__[key] = OrderedDict() if key.endswith("_hooks") else value
    stand_in.step = _stepped.__get__(stand_in)
    stand_in._opt_called = True  # else a scheduler would warn of its order
    stand_in.state = {}
    stand_in.defaults = dict(optimizer.defaults)
    copies[id(optimizer)] = stand_in
    # A method for a lambda leads to its object, which may lead to the model.
    params = [param for group in optimizer.param_groups for param in group.get("params", ())]
    copies.update((id(param), param) for param in params)
    # Groups, and a scheduler, that share one tensor lr go on sharing one.
    stand_in.param_groups = [
        {key: _copy_option(value, copies) for key, value in group.items()}
        for group in optimizer.param_groups
    ]
    return stand_in  # type: ignore[no-any-return]


def _copy_option(value: Any, copies: dict[int, Any]) -> Any:
    """Copy what a scheduler may write into; parameters are left as they are."""
    if isinstance(value, Tensor):
        return copies.setdefault(id(value), value.detach().clone())
    return list(value) if isinstance(value, list) else value


def copy_scheduler(scheduler: Any, copies: dict[int, Any]) -> Any:
    """Copy a scheduler and those inside it, so that they drive the stand-in."""
    if id(scheduler) in copies:
        return copies[id(scheduler)]
    twin = object.__new__(type(scheduler))
    copies[id(scheduler)] = twin
    for key, value in vars(scheduler).items():
        if key == "_schedulers":
            twin.__dict__[key] = [copy_scheduler(each, copies) for each in value]
            continue
        twin.__dict__[key] = own(value, copies)
    return twin


def own(value: Any, copies: dict[int, Any]) -> Any:
    """Copy what a scheduler may change as it steps."""
    try:
        return copy.deepcopy(value, copies)
    except Exception:  # a writer, a lock: what can't be copied is no part of a schedule
        return _copy_shallow(value)


def _copy_shallow(value: Any) -> Any:
    """Copy a list, and what its methods belong to, so that these count for themselves."""
    if isinstance(value, list):
        return list(map(_copy_shallow, value))
    if isinstance(value, MethodType):
        return MethodType(value.__func__, copy.copy(value.__self__))
    return value
