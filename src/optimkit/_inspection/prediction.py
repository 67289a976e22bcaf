"""What state an optimizer will make, found without a real step.

A copy of the optimizer steps parameters on the meta device: shapes and types without values.
The live optimizer gives its options, and nothing else.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from .._optimizer_view import OptimizerView
from .._torch_optimizers import flat_dtype, flat_size
from .._values import local

State = Mapping[str, Any]

# A meta tensor has no values to fuse, capture or differentiate; what is kept is the same.
_PLAIN = {"fused": False, "capturable": False, "differentiable": False, "foreach": False}


def predicted(held: OptimizerView) -> tuple[list[State], str]:
    """Return the state that each parameter has, or will have after its first step."""
    optimizer = held.optimizer
    assert optimizer is not None
    missing = [
        place
        for place, (param, state) in enumerate(zip(held.params, held.states, strict=True))
        if not state and isinstance(param, Tensor) and param.requires_grad
    ]
    states = list(held.states)
    if not missing:
        return states, ""
    if isinstance(optimizer, LBFGS):
        if not any(held.states):
            states[0] = _lbfgs(held)
        return states, ", with a full history"
    params = [held.params[place] for place in missing]
    groups = [held.group_of[place] for place in missing]
    lazy = [p for p in params if isinstance(p, torch.nn.UninitializedParameter)]
    if lazy:
        raise NotImplementedError(
            f"{len(lazy)} lazy parameters have no shape yet: run the model once before predict=True"
        )
    try:
        found, how = _stepped(optimizer, [_on_meta(p) for p in params], groups), ""
    except Exception:  # whatever a class can't do on meta, it may on real numbers
        found, how = _tiny(optimizer, params, groups), ", foreseen by a step of tiny copies"
    for place, state in zip(missing, found, strict=True):
        states[place] = state
    return states, how


def _on_meta(param: Tensor) -> Tensor:
    """Make a stand-in with a gradient, and without values."""
    stand_in = torch.empty_like(local(param), device="meta", requires_grad=True)
    stand_in.grad = torch.empty_like(stand_in, requires_grad=False)
    return stand_in


def _stepped(optimizer: Optimizer, stand_ins: list[Tensor], groups: list[int]) -> list[State]:
    """Step a copy of the optimizer that holds stand-ins, and return their states."""
    copy = _copy(optimizer, stand_ins, groups)
    step = inspect.unwrap(type(optimizer).step)  # without the hooks, which are the user's
    with torch.no_grad():
        step(copy)
    states: list[State] = []
    for param, group in zip(stand_ins, groups, strict=True):
        state = dict(copy.state.get(param, {}))
        if optimizer.param_groups[group].get("fused") and "step" in state:
            state["step"] = state["step"].float()  # as fused kernels want it, whatever the default
        states.append(state)
    return states


def _copy(optimizer: Optimizer, stand_ins: list[Tensor], groups: list[int]) -> Optimizer:
    """Copy an optimizer: its attributes, its options, no state, no hooks."""
    copy: Any = object.__new__(type(optimizer))
    copy.__dict__.update(
        (key, OrderedDict() if key.endswith("_hooks") else value)
        for key, value in vars(optimizer).items()
        if key != "step"
    )
    copy.state = defaultdict(dict)
    copy.defaults = dict(optimizer.defaults)
    copy.param_groups = []
    for index, group in enumerate(optimizer.param_groups):
        mine = {key: _PLAIN.get(key, value) for key, value in group.items()}
        mine["params"] = [p for p, where in zip(stand_ins, groups, strict=True) if where == index]
        if isinstance(mine.get("lr"), Tensor):
            mine["lr"] = 1e-3
        copy.param_groups.append(mine)
    if "_need_device_dtype_check_for_fused" in vars(copy):
        copy._need_device_dtype_check_for_fused = False
    return copy  # type: ignore[no-any-return]


def _tiny(optimizer: Optimizer, params: list[Tensor], groups: list[int]) -> list[State]:
    """Step tiny real copies, and give the tensors that have their shape the real one."""
    stand_ins = []
    for param in params:
        size = tuple(range(2, 2 + param.ndim))  # no two sides alike
        tiny = torch.zeros(size, dtype=param.dtype, requires_grad=True)
        tiny.grad = torch.ones(size, dtype=param.dtype)
        stand_ins.append(tiny)
    try:
        states = _stepped(optimizer, stand_ins, groups)
    except Exception:
        for tiny in stand_ins:
            assert tiny.grad is not None
            tiny.grad = tiny.grad.to_sparse()
        try:
            states = _stepped(optimizer, stand_ins, groups)
        except Exception as error:
            raise NotImplementedError(
                f"the state of {type(optimizer).__name__} can't be predicted: {error}. "
                "Take a step, then call state_memory without predict=True."
            ) from error
    return [
        {key: _grown(value, tiny, param, optimizer, key) for key, value in state.items()}
        for state, tiny, param in zip(states, stand_ins, params, strict=True)
    ]


def _grown(value: Any, tiny: Tensor, param: Tensor, optimizer: Optimizer, key: str) -> Any:
    """Turn the state of a tiny copy into that of the parameter."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == tiny.shape:
        return torch.empty_like(local(param), dtype=value.dtype, device="meta")
    if value.numel() == 1:
        return value
    if value.ndim == tiny.ndim and all(
        side in (1, whole) for side, whole in zip(value.shape, tiny.shape, strict=True)
    ):  # factored, as in Adafactor
        shape = [
            1 if side == 1 else full for side, full in zip(value.shape, param.shape, strict=False)
        ]
        return torch.empty(shape, dtype=value.dtype, device="meta")
    raise NotImplementedError(
        f"the state of {type(optimizer).__name__} can't be predicted: {key} is of no shape that "
        "follows from its parameter's. Take a step, then call state_memory."
    )


def _lbfgs(held: OptimizerView) -> State:
    """Write out what LBFGS keeps, flat, for all parameters at once, when its history is full."""
    group = held.options[0]
    total, dtype = flat_size(held.params), flat_dtype(held.params)
    history = int(group["history_size"])

    def flat() -> Tensor:
        return torch.empty(total, dtype=dtype, device="meta")

    def number() -> Tensor:
        return torch.empty((), dtype=dtype, device="meta")

    return {
        "d": flat(),
        "prev_flat_grad": flat(),
        "old_dirs": [flat() for _ in range(history)],
        "old_stps": [flat() for _ in range(history)],
        "ro": [number() for _ in range(history)],
        "al": [number() for _ in range(history)],
        "H_diag": number(),
    }
