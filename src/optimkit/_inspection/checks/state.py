"""Whether the state is one that the optimizer can have made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..._errors import first_few
from ..._optimizer_view import OptimizerView
from ..._torch_optimizers import FLAT, flat_size, keys_of, layouts_of, required_keys, shape_of
from . import AuditContext, Found, check

# Of a parameter: the class of torch, the options, the state -> what is wrong.
_Judge = Callable[[str, Tensor, Mapping[str, Any], Mapping[str, Any]], str | None]
_NARROW = (torch.bfloat16, torch.float16)


@check("orphan-state", "error", "S6 S23", "Put the replaced parameter back, or delete this state.")
def orphan_state(context: AuditContext) -> Iterator[Found]:
    """Find state that belongs to no parameter of any group."""
    for label, view in context.optimizers():
        keys = [
            f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)
            for key, _ in view.orphans
            if isinstance(key, (Tensor, int)) or view.torch_class is not None
        ]
        if keys:
            yield (
                keys,
                f"{label} has state for {first_few(keys)}, which is in none of its groups: "
                "state_dict() fails on a tensor, and goes on saving a number.",
            )


@check(
    "state-shape", "error", "S4 S5", "Load state of the same shapes, or optimizer.state.pop(param)."
)
def state_shape(context: AuditContext) -> Iterator[Found]:
    """Find state of another shape than its parameter's."""
    for label, view in context.optimizers():
        wrong = [*_judged(view, _other_shape), *_other_length(view)]
        if wrong:
            yield (
                [name for name, _ in wrong],
                f"{label}: {first_few((text for _, text in wrong), 3)}. step() fails half way "
                "through, or, in one of torch's fast paths, ends in a memory error and no exception.",
            )


@check("state-keys", "error", "S7 S8", "Load the state dict into the class that saved it.")
def state_keys(context: AuditContext) -> Iterator[Found]:
    """Find the state, or the options, of another class."""
    for label, view in context.optimizers():
        wrong = [*_judged(view, _other_class), *_other_decay(view)]
        if wrong:
            texts = dict.fromkeys(text for _, text in wrong)
            yield (
                [name for name, _ in wrong],
                f"{label} has what another class keeps: {first_few(texts, 3)}. step() fails, or "
                "trains in another way than the class says.",
            )


@check(
    "state-dtype",
    "warning",
    "S9",
    "Load by optimkit.load_optimizer: load_state_dict casts state to the parameter's dtype.",
)
def state_dtype(context: AuditContext) -> Iterator[Found]:
    """Find state in a type too narrow for what it counts."""
    for label, view in context.optimizers():
        wrong = list(_judged(view, _narrowed))
        if wrong:
            yield (
                [name for name, _ in wrong],
                f"{label}: {first_few((text for _, text in wrong), 3)}. Small steps are lost in "
                "it, and a count stands still at 256 in bfloat16.",
            )


def _judged(view: OptimizerView, judge: _Judge) -> Iterator[tuple[str, str]]:
    """Yield the name of each parameter whose state is wrong, and in what."""
    kind = view.torch_class or ""
    for name, param, group, state in zip(
        view.names, view.params, view.group_of, view.states, strict=True
    ):
        if state and isinstance(param, Tensor):
            text = judge(kind, param, view.options[group], state)
            if text:
                yield name, f"{name} {text}"


def _other_shape(
    kind: str, param: Tensor, _: Mapping[str, Any], state: Mapping[str, Any]
) -> str | None:
    """Say which state has not the shape that the class makes."""
    if not kind or isinstance(param, torch.nn.UninitializedParameter):
        return None
    shape = param.shape
    for key, value in state.items():
        if type(value) is not Tensor or value.shape == shape:
            continue
        expected = shape_of(kind, key, tuple(shape))
        if expected in (None, tuple(value.shape)) or (expected == () and value.numel() == 1):
            continue
        return f"{tuple(shape)} has {key} {tuple(value.shape)}"
    return None


def _other_length(view: OptimizerView) -> Iterator[tuple[str, str]]:
    """Find flat state of LBFGS that is not as long as all parameters together."""
    if view.torch_class != "LBFGS":
        return
    total = flat_size(param for param in view.params if isinstance(param, Tensor))
    for name, state in zip(view.names, view.states, strict=True):
        for key in FLAT:
            value = state.get(key)
            if isinstance(value, Tensor) and value.numel() != total:
                yield name, f"{key} has {value.numel()} elements, the parameters {total}"


def _other_class(
    kind: str, param: Tensor, options: Mapping[str, Any], state: Mapping[str, Any]
) -> str | None:
    """Say which keys are another class's, or lacking."""
    if not kind:
        return None
    keys, own = state.keys(), keys_of(kind)
    needed = required_keys(kind, len(param.shape) > 1, options)
    if needed <= keys <= own:
        return None
    foreign = [key for key in keys if key not in own and layouts_of(key)]
    lacking = sorted(needed - keys)
    if foreign:
        return f"has {first_few(foreign)}"
    return f"lacks {first_few(lacking)}" if lacking else None


def _other_decay(view: OptimizerView) -> Iterator[tuple[str, str]]:
    """Find the groups that make an Adam an AdamW, or the other way round."""
    kind = view.torch_class
    if kind not in ("Adam", "AdamW"):
        return
    normal = kind == "AdamW" or bool(view.defaults.get("decoupled_weight_decay"))
    found = [
        label
        for label, group in zip(view.labels, view.options, strict=True)
        if bool(group.get("decoupled_weight_decay", normal)) != normal
    ]
    if kind == "AdamW" or len(found) == len(view.options):
        for label in found:
            yield label, f"{label} decays weights as {'Adam' if normal else 'AdamW'} does"


def _narrowed(
    kind: str, param: Tensor, _: Mapping[str, Any], state: Mapping[str, Any]
) -> str | None:
    """Say which state is in a narrower type than it was made in."""
    for key, value in state.items():
        if type(value) is not Tensor or value.dtype not in _NARROW:
            continue
        if "scalar" in layouts_of(key) or (value.ndim == 0 and param.ndim > 0):
            return f"has {key} in {_dtype(value)}"
        if kind and layouts_of(key) and param.dtype not in _NARROW:
            return f"in {_dtype(param)} has {key} in {_dtype(value)}"
    return None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
