"""Whether the state is one that the optimizer can have made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ..._errors import first_few
from ..._optimizer_view import Held, OptimizerView, orphan_label
from ..._torch_optimizers import FLAT, flat_size, keys_of, layouts_of, required_keys, shape_of
from ..._values import dtype_name
from ..norms import non_finite as non_finite_in
from . import AuditContext, Found, error, groups_where, warning

_NARROW = (torch.bfloat16, torch.float16)


@error(
    "{label} has NaN or infinite values: {values}.",
    "Go back to a checkpoint from before it: each step spreads it. Then lower the lr, or clip the "
    "gradients. Gradients that a GradScaler has scaled may overflow: it leaves their step out.",
)
def non_finite(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    bad = non_finite_in(view)
    yield dict.fromkeys(name for name, _ in bad), {"values": first_few(what for _, what in bad)}


@error(
    "{label} has state for {names}, which is in none of its groups: state_dict() fails on a tensor, "
    "and goes on saving a number.",
    "Put the replaced parameter back into its group, or delete its state by "
    "optimizer.state.pop(key); load a state dict that fits.",
    rows="S6 S23",
)
def orphan_state(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    keys = [
        orphan_label(key)
        for key, _ in view.orphans
        if isinstance(key, (Tensor, int)) or (view.torch_class is not None and not view.around)
    ]
    yield keys, {}


@error(
    "{label}: {texts}. step() fails half way through, or, in one of torch's fast paths, ends in a "
    "memory error and no exception.",
    "Load state of the same shapes, or optimizer.state.pop(param).",
    rows="S4 S5",
)
def state_shape(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    yield _listed([*_judged(view, _other_shape), *_other_length(view)])


@error(
    "{label} has what another class keeps: {texts}. step() fails, or trains in another way than the "
    "class says.",
    "Load the state dict into the class that saved it.",
    rows="S7 S8",
)
def state_keys(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    yield _listed([*_judged(view, _other_class), *_other_decay(view)])


@warning(
    "{label}: {texts}. Small steps are lost in it, and a count stands still at 256 in bfloat16.",
    "Load by optimkit.load_optimizer: load_state_dict casts state to the parameter's dtype.",
    rows="S9",
)
def state_dtype(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    yield _listed([*_judged(view, _narrowed)])


def _listed(wrong: list[tuple[str, str]]) -> Found:
    texts = dict.fromkeys(text for _, text in wrong)
    return [name for name, _ in wrong], {"texts": first_few(texts, 3)}


def _judged(
    view: OptimizerView, judge: Callable[[str, Held], str | None]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each parameter whose state is wrong, and what `judge` says of it."""
    kind = view.torch_class or ""
    texts = {
        place: text
        for places in view.alike
        if (text := judge(kind, view.held[places[0]]))
        for place in places
    }
    for place, text in sorted(texts.items()):
        yield view.names[place], f"{view.names[place]} {text}"


def _other_shape(kind: str, held: Held) -> str | None:
    if not kind or is_lazy(held.param):
        return None
    shape = held.param.shape
    for key, value in held.state.items():
        if type(value) is not Tensor or value.shape == shape:
            continue
        expected = shape_of(kind, key, tuple(shape))
        if expected in (None, tuple(value.shape)) or (expected == () and value.numel() == 1):
            continue
        return f"{tuple(shape)} has {key} {tuple(value.shape)}"
    return None


def _other_length(view: OptimizerView) -> Iterator[tuple[str, str]]:
    """Find flat state of LBFGS that is not as long as all parameters together."""
    params = [param for param in view.params if isinstance(param, Tensor)]
    if view.torch_class != "LBFGS" or any(map(is_lazy, params)):
        return
    total = flat_size(params)
    for held in view.held:
        for key in FLAT:
            value = held.state.get(key)
            if isinstance(value, Tensor) and value.numel() != total:
                yield held.name, f"{key} has {value.numel()} elements, the parameters {total}"


def _other_class(kind: str, held: Held) -> str | None:
    if not kind:
        return None
    keys = held.state.keys()
    foreign = [key for key in keys - keys_of(kind) if layouts_of(key)]
    if foreign:
        return f"has {first_few(key for key in keys if key in foreign)}"
    lacking = required_keys(kind, held.param.ndim > 1, held.options) - keys
    return f"lacks {first_few(sorted(lacking))}" if lacking else None


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


def _narrowed(kind: str, held: Held) -> str | None:
    for key, value in held.state.items():
        if type(value) is not Tensor or value.dtype not in _NARROW:
            continue
        dtype, own = dtype_name(value.dtype), held.param.dtype
        if "scalar" in layouts_of(key) or (value.ndim == 0 and held.param.ndim > 0):
            return f"has {key} in {dtype}"
        if kind and layouts_of(key) and own not in _NARROW:
            return f"in {dtype_name(own)} has {key} in {dtype}"
    return None
