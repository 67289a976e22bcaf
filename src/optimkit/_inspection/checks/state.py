"""Whether the state is one that the optimizer can have made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..._errors import first_few
from ..._optimizer_view import OptimizerView
from ..._torch_optimizers import (
    FLAT,
    flat_size,
    keys_of,
    layouts_of,
    required_keys,
    shape_of,
)
from ..findings import Finding, finding
from ..scene import Scene

_Check = Callable[[str, Any, Mapping[str, Any], Mapping[str, Any]], str | None]
_NARROW = (torch.bfloat16, torch.float16)


def orphan_state(scene: Scene) -> Iterator[Finding]:
    """Find state that belongs to no parameter of any group (S6, S23)."""
    for called, held in scene.each():
        ours = held.torch_class is not None
        keys = [
            f"a tensor of shape {tuple(key.shape)}" if isinstance(key, Tensor) else repr(key)
            for key, _ in held.orphans
            if isinstance(key, (Tensor, int)) or ours
        ]
        if keys:
            yield finding(
                "orphan-state",
                keys,
                f"{called} has state for {first_few(keys)}, in none of its groups: state_dict() "
                "fails on a tensor, and keeps a number for ever.",
                "Put back the parameter that was replaced, or delete this state; load state "
                "dicts that fit.",
            )


def state_shape(scene: Scene) -> Iterator[Finding]:
    """Find state of another shape than its parameter's (S4, S5)."""
    for called, held in scene.each():
        wrong = list(_each(held, _misshapen))
        if wrong:
            yield finding(
                "state-shape",
                [name for name, _ in wrong],
                f"{called}: {first_few((text for _, text in wrong), 3)}. step() fails half way "
                "through, or with fused=True writes beyond the end of the memory.",
                "Load the state of a model with the same shapes, or delete it: "
                "optimizer.state.pop(param).",
            )


def state_keys(scene: Scene) -> Iterator[Finding]:
    """Find the state, or the options, of another class (S7, S8)."""
    for called, held in scene.each():
        wrong = list(_each(held, _mistaken))
        texts = [text for _, text in wrong]
        names = [name for name, _ in wrong]
        for group in _decoupled(held):
            names.append(group)
            texts.append(f"{group} decays weights as the other of Adam and AdamW does")
        if texts:
            yield finding(
                "state-keys",
                names,
                f"{called} has what another class kept: {first_few(dict.fromkeys(texts), 3)}. "
                "step() fails, or trains another way than the name says.",
                "Load the state dict into the class that saved it.",
            )


def state_dtype(scene: Scene) -> Iterator[Finding]:
    """Find state in a type too narrow for what it counts (S9)."""
    for called, held in scene.each():
        wrong = list(_each(held, _narrowed))
        if wrong:
            yield finding(
                "state-dtype",
                [name for name, _ in wrong],
                f"{called}: {first_few((text for _, text in wrong), 3)}. Small steps are lost in "
                "it, and a count stops at 256.",
                "load_state_dict casts state to the parameter's type: put back the tensors that "
                "were saved, after it.",
            )


def _each(held: OptimizerView, check: _Check) -> Iterator[tuple[str, str]]:
    """Run a check on every parameter that has state: give its name, and what is wrong."""
    kind = held.torch_class or ""
    for name, param, group, state in zip(
        held.names, held.params, held.group_of, held.states, strict=True
    ):
        if state and isinstance(param, Tensor):
            text = check(kind, param, held.options[group], state)
            if text:
                yield name, f"{name} {text}"
    if check is _misshapen and kind == "LBFGS":
        yield from _flat(held)


def _misshapen(kind: str, param: Any, _: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
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


def _flat(held: OptimizerView) -> Iterator[tuple[str, str]]:
    """Find flat state of LBFGS that is not as long as all parameters together."""
    total = flat_size(p for p in held.params if isinstance(p, Tensor))
    for name, state in zip(held.names, held.states, strict=True):
        for key in FLAT:
            value = state.get(key)
            if isinstance(value, Tensor) and value.numel() != total:
                yield name, f"{key} has {value.numel()} numbers, the parameters {total}"


def _mistaken(
    kind: str, param: Any, options: Mapping[str, Any], state: Mapping[str, Any]
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


def _decoupled(held: OptimizerView) -> Iterator[str]:
    """Give the groups that make an Adam an AdamW, or the other way round."""
    kind = held.torch_class
    if kind not in ("Adam", "AdamW"):
        return
    normal = kind == "AdamW" or bool(held.defaults.get("decoupled_weight_decay"))
    found = [
        label
        for label, group in zip(held.labels, held.options, strict=True)
        if bool(group.get("decoupled_weight_decay", normal)) != normal
    ]
    if kind == "AdamW" or len(found) == len(held.options):
        yield from found


def _narrowed(kind: str, param: Any, _: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
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
