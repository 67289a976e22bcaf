"""Models: every name and shape is compared before the first layer is touched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..._errors import first_few
from ..._values import copied
from .._names import align, own_name
from .._reports import LoadRow
from .fits import Fit, Undo

_LAZY = (nn.UninitializedParameter, nn.UninitializedBuffer)
_EXTRA = "_extra_state"  # how torch calls what a module adds of its own


def own_state(model: nn.Module) -> dict[str, Any]:
    """Return a model's state dict under the model's own names, whatever wraps it."""
    state, cut = model.state_dict(), own_name(model)
    if cut is str:
        return state
    found: OrderedDict[str, Any] = OrderedDict((cut(key), value) for key, value in state.items())
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        found._metadata = OrderedDict(  # type: ignore[attr-defined]
            (cut(f"{path}.")[:-1], each) for path, each in versions.items()
        )
    return found


def fit_module(fit: Fit, saved: Any, live: nn.Module, *, strict: bool) -> Fit:
    """Find out whether the state dict of a model fits."""
    if not isinstance(saved, Mapping) or not all(isinstance(key, str) for key in saved):
        fit.refuse(
            f"{fit.where} holds a {type(saved).__name__} under this name, not the state dict of "
            "a model."
        )
        return fit
    if isinstance(live, AveragedModel) and "n_averaged" not in saved:
        fit.missing.append(LoadRow("n_averaged", "shape", None, ()))
        fit.refuse(
            f"{fit.where} has no n_averaged, so the next update would throw the average away: "
            "only ema.module was saved. Save the AveragedModel whole."
        )
        return fit
    now = live.state_dict()
    cut = own_name(live)
    before, own = _aligned(live, list(saved), list(map(cut, now)))
    there = dict(zip(before, saved, strict=True))
    fitting: OrderedDict[str, Any] = OrderedDict()
    for raw, name in zip(now, own, strict=True):
        if name not in there:
            fit.missing.append(LoadRow(name, "shape", None, _shape(now[raw])))
        elif _fits(fit, name, saved[there[name]], now[raw]):
            fitting[raw] = saved[there[name]]
    known = set(own)
    fit.unexpected += [
        LoadRow(name, "shape", _shape(saved[there[name]]), None)
        for name in before
        if name not in known
    ]
    if strict:
        _refuse(fit)
    _refuse_meta(fit, now)
    _refuse_unwritable(fit, now)
    versions = getattr(saved, "_metadata", None)
    if versions is not None:
        back = {cut(f"{path}.")[:-1]: path for path in getattr(now, "_metadata", ())}
        fitting._metadata = OrderedDict(  # type: ignore[attr-defined]
            (back.get(path, path), each) for path, each in versions.items()
        )
    fit.load = lambda: _load(live, fitting)
    fit.wanted = lambda: [
        (value, now[raw]) for raw, value in fitting.items() if isinstance(value, Tensor)
    ]
    if not loads_plainly(live):
        fit.foreign = True
        fit.keep = lambda: _kept(live)
    return fit


def _aligned(live: nn.Module, saved: list[str], now: list[str]) -> list[list[str]]:
    """Cut what wrappers left in names; in an average they are one level further in."""
    if not isinstance(live, AveragedModel):
        return list(align(saved, now))
    prefix, sides = "module.", (saved, now)
    inner = ([name[len(prefix) :] for name in side if name.startswith(prefix)] for side in sides)
    return [
        [prefix + next(rest) if name.startswith(prefix) else name for name in side]
        for side, rest in zip(sides, map(iter, align(*inner)), strict=True)
    ]


def _shape(value: Any) -> Any:
    if type(value) in _LAZY:
        return None
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _fits(fit: Fit, name: str, saved: Any, now: Any) -> bool:
    """Compare one tensor with its place."""
    if not isinstance(now, Tensor) or name.rpartition(".")[2] == _EXTRA:
        return True  # extra state: only the module knows
    if not isinstance(saved, Tensor):
        fit.mismatched.append(LoadRow(name, "type", type(saved).__name__, "Tensor"))
        return False
    if type(now) in _LAZY:
        return True
    if saved.shape != now.shape:
        fit.mismatched.append(LoadRow(name, "shape", tuple(saved.shape), tuple(now.shape)))
        return False
    if not saved.is_meta and _layout(saved) != _layout(now):  # meta: of a directory, to be read
        fit.mismatched.append(LoadRow(name, "layout", _layout(saved), _layout(now)))
        return False
    if saved.dtype != now.dtype:
        row = LoadRow(name, "dtype", str(saved.dtype)[6:], str(now.dtype)[6:])
        if not torch.can_cast(saved.dtype, now.dtype):
            fit.mismatched.append(row)
            return False
        fit.cast.append(row)
    return True


def _layout(value: Tensor) -> str:
    """Say how a tensor lies: between two ways of it, torch does not copy."""
    if hasattr(value, "_local_tensor"):
        return "sharded"
    return "quantized" if value.is_quantized else str(value.layout)[6:]


def _refuse(fit: Fit) -> None:
    """Say what does not fit, each kind in a sentence."""
    if fit.missing:
        fit.refuse(
            f"{fit.where} lacks {first_few(row.name for row in fit.missing)}. Rename what was "
            "renamed, or pass strict=False to leave them as they are."
        )
    if fit.unexpected:
        fit.refuse(
            f"{fit.where} has {first_few(row.name for row in fit.unexpected)}, which today's "
            "model has not. Pass strict=False to leave them out."
        )
    if fit.mismatched:
        rows = (
            f"{row.name} ({row.key}: saved {row.saved}, today {row.current})"
            for row in fit.mismatched
        )
        fit.refuse(
            f"{fit.where} does not fit {first_few(rows)}. Make the layers as they were, or pass "
            "strict=False to leave them as they are."
        )


def _refuse_meta(fit: Fit, now: Mapping[str, Any]) -> None:
    meta = [name for name, value in now.items() if isinstance(value, Tensor) and value.is_meta]
    if meta:
        fit.refuse(
            f"today's model has no memory for {first_few(meta)}: it is on the meta device. Call "
            'model.to_empty(device="cpu") before the optimizer is made, then load.'
        )


def _refuse_unwritable(fit: Fit, now: Mapping[str, Any]) -> None:
    """Refuse what torch would find out only when the layers before it are loaded."""
    found = [name for name, value in now.items() if isinstance(value, Tensor) and _locked(value)]
    if found:
        fit.refuse(
            f"{first_few(found)} of today's model can't be written to (expanded, or made in "
            "inference mode). Make the model of clones."
        )


def _locked(value: Tensor) -> bool:
    if type(value) in _LAZY:
        return False
    if value.is_inference() and not torch.is_inference_mode_enabled():
        return True
    if value.layout != torch.strided or value.is_contiguous():
        return False
    return any(n > 1 and not step for n, step in zip(value.shape, value.stride(), strict=True))


def loads_plainly(model: nn.Module) -> bool:
    """Tell whether loading a model runs no code but torch's, so that it can't fail halfway."""
    for module in model.modules():
        kind = type(module)
        if kind.__module__.startswith("torch.nn.") and not _has_hooks(module):
            continue
        foreign = any(
            getattr(kind, name) is not getattr(nn.Module, name)
            for name in ("load_state_dict", "_load_from_state_dict", "set_extra_state")
        )
        if foreign or _has_hooks(module):
            return False
    return True


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._load_state_dict_pre_hooks or getattr(module, "_load_state_dict_post_hooks", None)
    )


def _load(live: nn.Module, fitting: Mapping[str, Any]) -> None:
    live.load_state_dict(fitting, strict=False)


def _kept(live: nn.Module) -> Undo:
    state = copied({k: v for k, v in live.state_dict().items() if type(v) not in _LAZY})

    def undo() -> None:
        live.load_state_dict(state, strict=False)

    return undo
