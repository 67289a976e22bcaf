"""Whether the state is one that the optimizer can have made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._errors import first_few
from ..._optimizer_view import OptimizerView
from ..._torch_optimizers import FLAT, flat_size, keys_of, layouts_of, required_keys, shape_of
from ..._values import dtype_name
from ..norms import non_finite
from . import AuditContext, Found, check, groups_where

_layouts = cache(layouts_of)  # asked for each key of each parameter
_NARROW = (torch.bfloat16, torch.float16)


class _Held(NamedTuple):
    kind: str  # the class of torch, or ""
    param: Tensor
    options: Mapping[str, Any]
    state: Mapping[str, Any]


@check(
    "non-finite",
    "error",
    "",
    "Go back to a checkpoint from before it: each step spreads it. Then lower the lr, or clip the "
    "gradients. Gradients that a GradScaler has scaled may overflow: it leaves their step out.",
)
def non_finite_values(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        bad = non_finite(view)
        yield (
            dict.fromkeys(name for name, _ in bad),
            f"{label} has NaN or infinite values: {first_few(what for _, what in bad)}.",
        )


@check(
    "orphan-state",
    "error",
    "S6 S23",
    "Put the replaced parameter back into its group, or delete its state by "
    "optimizer.state.pop(key); load a state dict that fits.",
)
def orphan_state(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        keys = [
            f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)
            for key, _ in view.orphans
            if isinstance(key, (Tensor, int)) or view.torch_class is not None
        ]
        yield (
            keys,
            f"{label} has state for {first_few(keys)}, which is in none of its groups: "
            "state_dict() fails on a tensor, and goes on saving a number.",
        )


@check(
    "state-shape", "error", "S4 S5", "Load state of the same shapes, or optimizer.state.pop(param)."
)
def state_shape(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        wrong = [*_judged(view, _other_shape), *_other_length(view)]
        yield (
            [name for name, _ in wrong],
            f"{label}: {first_few((text for _, text in wrong), 3)}. step() fails half way through, "
            "or, in one of torch's fast paths, ends in a memory error and no exception.",
        )


@check("state-keys", "error", "S7 S8", "Load the state dict into the class that saved it.")
def state_keys(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        wrong = [*_judged(view, _other_class), *_other_decay(view)]
        texts = dict.fromkeys(text for _, text in wrong)
        yield (
            [name for name, _ in wrong],
            f"{label} has what another class keeps: {first_few(texts, 3)}. step() fails, or trains "
            "in another way than the class says.",
        )


@check(
    "state-dtype",
    "warning",
    "S9",
    "Load by optimkit.load_optimizer: load_state_dict casts state to the parameter's dtype.",
)
def state_dtype(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        wrong = list(_judged(view, _narrowed))
        yield (
            [name for name, _ in wrong],
            f"{label}: {first_few((text for _, text in wrong), 3)}. Small steps are lost in it, "
            "and a count stands still at 256 in bfloat16.",
        )


def _judged(view: OptimizerView, judge: Callable[[_Held], str | None]) -> Iterator[tuple[str, str]]:
    """Yield the name of each parameter whose state is wrong, and what `judge` says of it."""
    kind = view.torch_class or ""
    for name, param, group, state in zip(
        view.names, view.params, view.group_of, view.states, strict=True
    ):
        if state and isinstance(param, Tensor):
            text = judge(_Held(kind, param, view.options[group], state))
            if text:
                yield name, f"{name} {text}"


def _other_shape(held: _Held) -> str | None:
    if not held.kind or isinstance(held.param, torch.nn.UninitializedParameter):
        return None
    shape = tuple(held.param.shape)
    for key, value in held.state.items():
        if type(value) is not Tensor or value.shape == shape:
            continue
        expected = shape_of(held.kind, key, shape)
        if expected in (None, tuple(value.shape)) or (expected == () and value.numel() == 1):
            continue
        return f"{shape} has {key} {tuple(value.shape)}"
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


def _other_class(held: _Held) -> str | None:
    if not held.kind:
        return None
    keys, own = held.state.keys(), keys_of(held.kind)
    needed = required_keys(held.kind, len(held.param.shape) > 1, held.options)
    foreign = [key for key in keys if key not in own and _layouts(key)]
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
    found = groups_where(
        view, lambda group: bool(group.get("decoupled_weight_decay", normal)) != normal
    )
    if kind == "AdamW" or len(found) == len(view.options):
        for label in found:
            yield label, f"{label} decays weights as {'Adam' if normal else 'AdamW'} does"


def _narrowed(held: _Held) -> str | None:
    for key, value in held.state.items():
        if type(value) is not Tensor or value.dtype not in _NARROW:
            continue
        dtype, own = dtype_name(value.dtype), held.param.dtype
        if "scalar" in _layouts(key) or (value.ndim == 0 and held.param.ndim > 0):
            return f"has {key} in {dtype}"
        if held.kind and _layouts(key) and own not in _NARROW:
            return f"in {dtype_name(own)} has {key} in {dtype}"
    return None
