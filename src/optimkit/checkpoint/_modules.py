"""Models: every name and shape is compared before the first layer is touched."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .._errors import first_few
from .._files.unread import Placeholder
from .._values import copied, dtype_name, tensors_in
from ._loaders import Loader, in_sentence, or_grown, with_rows
from ._names import align, own_name
from ._results import LoadRow

_LAZY = (nn.UninitializedParameter, nn.UninitializedBuffer)
_EXTRA = "_extra_state"  # how torch calls what a module adds of its own


def own_state(model: nn.Module) -> dict[str, Any]:
    """Return a model's state dict under the model's own names, whatever wraps it."""
    state, cut = model.state_dict(), own_name(model)
    if cut is str:
        return state
    found = OrderedDict((cut(key), value) for key, value in state.items())
    _give_versions(found, state, lambda path: cut(f"{path}.")[:-1])
    return found


def _give_versions(found: Any, state: Any, rename: Callable[[str], str]) -> None:
    """Give the versions of modules that a state dict has to another one, which names them anew."""
    # torch/nn/modules/module.py, 2.15: state_dict() keeps the version of each module there.
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        found._metadata = OrderedDict((rename(path), each) for path, each in versions.items())


class ModuleLoader(Loader):
    """Loads a model: what fits, under the names that its wrappers give it."""

    live: nn.Module
    saved_keys: dict[str, str]  # of what fits, by the name in the current state dict

    def compare(self) -> None:
        current = self.live.state_dict()
        tensors = [each for each in current.values() if isinstance(each, Tensor)]
        # Others, as sparse ones, may refuse a copy, and do not share with detach() what it replaces.
        strided = all(_layout(each) in ("strided", "sharded") for each in tensors)
        self.safe = strided and all(map(_loads_plainly, self.live.modules()))
        self.turn = 4 if self.safe else 0  # last, if it can't fail: no copy of it has to be kept
        where, saved = self.source.where, self.saved
        if not isinstance(saved, Mapping) or not all(isinstance(key, str) for key in saved):
            self.add_problem(
                f"{where} holds a {type(saved).__name__} under this name, not the state dict of "
                "a model."
            )
            return
        if isinstance(self.live, AveragedModel) and "n_averaged" not in saved:
            self.missing.append(LoadRow("n_averaged", "shape", None, ()))
            self.add_problem(
                f"{where} has no n_averaged, so the next update would throw the average away: "
                "only ema.module was saved. Save the AveragedModel whole."
            )
            return
        self.saved_keys = {}
        # A type of its own has a way of its own to copy: what it is given must have been read.
        self.in_place = self.safe and all(type(each) is Tensor for each in current.values())
        cut = own_name(self.live)
        before, now = align(saved, map(cut, current))
        keys = dict(zip(before, saved, strict=True))
        for full, name in zip(current, now, strict=True):
            if name not in keys:
                self.missing.append(LoadRow(name, "shape", None, _shape(current[full])))
            elif self._fits(name, saved[keys[name]], current[full]):
                self.saved_keys[full] = keys[name]
                self.in_place = self.in_place and not self.grown
        known = set(now)
        self.unexpected += [
            LoadRow(name, "shape", _shape(saved[key]), None)
            for name, key in keys.items()
            if name not in known
        ]
        if self.choices.strict:
            self._refuse_differences()
        self._refuse_unwritable(current)

    def _fits(self, name: str, saved: Any, now: Any) -> bool:
        if not isinstance(now, Tensor) or name.rpartition(".")[2] == _EXTRA:
            return True  # extra state: only the module knows
        if not isinstance(saved, Tensor):
            self.mismatched.append(LoadRow(name, "type", type(saved).__name__, "Tensor"))
            return False
        if type(now) in _LAZY:
            return True
        if saved.shape != now.shape and not self.takes_rows(name, saved.shape, now.shape):
            self.mismatched.append(LoadRow(name, "shape", tuple(saved.shape), tuple(now.shape)))
            return False
        # What many processes saved will be laid out as the current tensor.
        unread = _layout(now) == "sharded" and isinstance(saved, Placeholder) and saved.anywhere
        if not unread and _layout(saved) != _layout(now):
            self.mismatched.append(LoadRow(name, "layout", _layout(saved), _layout(now)))
            return False
        if saved.dtype != now.dtype:
            row = LoadRow(name, "dtype", dtype_name(saved.dtype), dtype_name(now.dtype))
            if not torch.can_cast(saved.dtype, now.dtype):
                self.mismatched.append(row)
                return False
            self.cast.append(row)
        return True

    def _refuse_differences(self) -> None:
        where = self.source.where
        if self.missing:
            self.add_problem(
                f"{where} lacks {first_few(row.name for row in self.missing)}. Rename what was "
                "renamed, or pass strict=False to leave them as they are."
            )
        if self.unexpected:
            self.add_problem(
                f"{where} has {first_few(row.name for row in self.unexpected)}, which the current "
                "model does not have. Pass strict=False to leave them out."
            )
        if self.mismatched:
            self.add_problem(
                f"{where} does not fit {in_sentence(self.mismatched)}. Make the layers as they were, or pass "
                f"strict=False to leave them as they are{or_grown(self.mismatched)}."
            )

    def _refuse_unwritable(self, current: Mapping[str, Any]) -> None:
        """Refuse what torch would find out only when the layers before it are loaded."""
        tensors = {name: each for name, each in current.items() if isinstance(each, Tensor)}
        meta = [name for name, value in tensors.items() if value.is_meta]
        if meta:
            self.add_problem(
                f"the current model has no memory for {first_few(meta)}: it is on the meta device. "
                'Call model.to_empty(device="cpu") before the optimizer is made, then load.'
            )
        locked = [name for name, value in tensors.items() if _locked(value)]
        if locked:
            self.add_problem(
                f"{first_few(locked)} of the current model can't be written to (expanded, or made "
                "in inference mode). Make the model of clones."
            )

    def load(self) -> None:
        if self.in_place:  # its tensors are there, and read into when all else is loaded
            return
        if not self.safe:
            self.former = copied(
                {k: v for k, v in self.live.state_dict().items() if type(v) not in _LAZY}
            )
        fitting = OrderedDict((name, self.saved[key]) for name, key in self.saved_keys.items())
        current = self.live.state_dict() if self.grown else {}
        for name, saved in fitting.items():
            if name in current and isinstance(saved, Tensor) and saved.shape != current[name].shape:
                fitting[name] = with_rows(saved, current[name], current[name])
        if not self.safe:  # code of a module's own may keep what it is given, a part of the file
            fitting = copied(fitting)
        cut, now = own_name(self.live), getattr(self.live.state_dict(), "_metadata", ())
        full = {cut(f"{path}.")[:-1]: path for path in now}
        _give_versions(fitting, self.saved, lambda path: full.get(path, path))
        self.live.load_state_dict(fitting, strict=False)

    def undo(self) -> None:
        self.live.load_state_dict(self.former, strict=False)

    def wanted(self) -> Iterator[tuple[Tensor, Any]]:
        current = self.live.state_dict()
        for name, key in self.saved_keys.items():
            saved = self.saved[key]
            like = current[name] if isinstance(saved, Tensor) else None
            for value in tensors_in(saved):  # extra state may be a dict of them
                yield value, like


def _shape(value: Any) -> Any:
    if type(value) in _LAZY:
        return None
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _layout(value: Tensor) -> str:
    """Name the layout of a tensor: torch does not copy from one to another."""
    if hasattr(value, "_local_tensor"):  # torch/distributed/tensor/_api.py, 2.15: a DTensor
        return "sharded"
    return "quantized" if value.is_quantized else str(value.layout)[6:]


def _locked(value: Tensor) -> bool:
    if type(value) in _LAZY:
        return False
    if value.is_inference() and not torch.is_inference_mode_enabled():
        return True
    if value.layout != torch.strided or value.is_contiguous():
        return False
    return any(n > 1 and not step for n, step in zip(value.shape, value.stride(), strict=True))


def _loads_plainly(module: nn.Module) -> bool:
    # torch/nn/modules/module.py, 2.15: _load_from_state_dict is called for each module, between
    # the two kinds of hooks.
    if module._load_state_dict_pre_hooks or getattr(module, "_load_state_dict_post_hooks", None):
        return False
    return all(
        getattr(getattr(type(module), name), "__module__", "").startswith("torch.nn.")
        for name in ("load_state_dict", "_load_from_state_dict", "set_extra_state")
    )
