"""What goes into a checkpoint: state that can be loaded again without running anything.

``torch.save`` pickles nearly everything, and ``torch.load(weights_only=True)`` refuses most of
it: a file that was written silently can't be read. Here it is refused before it is written.
"""

from __future__ import annotations

import io
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .. import _values
from .._errors import UnsafeCheckpointError, broken, first_few, let_through
from .._files.reading import allow_weights_only
from .._torch_optimizers import is_state_dict
from .._values import items_of, of_python, tensors_in
from .._wrappers import own_state_of, readable, stored
from ._header import class_of, is_group, kind_of, parts_in, parts_of
from ._modules import own_state
from ._names import own_name
from ._schedulers import scheduler_state

_PLAIN = (float, bool, complex, type(None), bytearray, str, torch.dtype, torch.device)
_MAPPINGS = (dict, OrderedDict, Counter)
_SEQUENCES = (list, tuple, set, torch.Size)
_STATISTICS = ("running_mean", "running_var")
_LONGEST = 2000  # bits of an int; weights_only stops at 255 bytes

# An attribute -> what to save of a value that has it; the first counts.
_INSTEAD = {
    "gi_frame": "list(...)",  # a generator, which has a name, too
    "__qualname__": "its name",
    "state_dict": "its state_dict()",
    "isoformat": "its isoformat()",
    "total_seconds": "its total_seconds()",
    "untyped_storage": "a plain torch.Tensor of its values",
    "tolist": "its tolist()",
    "get_state": "its get_state()",
    "getstate": "its getstate()",
    "_value_": "its value",
    "__dataclass_fields__": "dataclasses.asdict(...)",
    "_fields": "tuple(...)",
    "keys": "dict(...)",
    "decode": "None",
    "casefold": "str(...)",
    "as_integer_ratio": "str(...)",
    "__fspath__": "str(...)",
    "__iter__": "list(...)",
}


def states_of(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return what goes into a file: state dicts of objects, and plain values as they are."""
    return {
        name: states_of(value) if is_group(value) else state_of(value)
        for name, value in objects.items()
    }


def state_of(value: Any) -> Any:
    """Return the state dict of an object, as a file can hold it; a plain value as it is."""
    if kind_of(value) == "value":
        return value
    outer, value = value, stored(value)
    _refuse_a_part(value)
    if isinstance(value, nn.Module):
        return own_state(value)
    state = _asked_for(value)
    if own := own_state_of(outer):  # by the place of the parameter, as torch has it
        params = [param for group in value.param_groups for param in group["params"]]
        places = {place: own[param] for place, param in enumerate(params) if param in own}
        state = {**state, "wrapper": places}
    try:
        if isinstance(value, LRScheduler):
            return of_python(scheduler_state(state))
        return of_python(state) if isinstance(value, Optimizer) else state
    except RecursionError:
        raise UnsafeCheckpointError(
            f"state_dict() of {type(value).__name__} holds itself, or is nested too deep to be "
            "pickled. Save what is in it, flat."
        ) from None


def _refuse_a_part(value: Any) -> None:
    """Refuse what has a part of the state in each process, and does not say which."""
    kind = type(value).__name__
    if isinstance(value, Optimizer) and hasattr(type(value), "consolidate_state_dict"):
        raise UnsafeCheckpointError(
            f"{kind} has a part of its state in each process. Call consolidate_state_dict() in all "
            "of them, save with optimkit.save, on the first process, what state_dict() returns, and "
            "give that to load_state_dict() in each."
        )
    if isinstance(value, nn.Module):
        params: Iterable[Any] = value.parameters()
    else:
        groups = readable(value).param_groups if isinstance(value, Optimizer) else ()
        params = [param for group in groups for param in group["params"]]
        if any(map(is_lazy, params)):
            raise UnsafeCheckpointError(
                f"{kind} holds parameters of lazy modules, which have no shape yet. Run the model "
                "once, then save."
            )
    # torch/distributed/fsdp/_common_utils.py, 2.15: FSDP_FLATTENED
    if any(getattr(param, "_fsdp_flattened", False) for param in params):
        raise UnsafeCheckpointError(
            f"{kind} holds parameters flattened by FSDP1 (FullyShardedDataParallel), of which each "
            "process has a part. Shard the model with fully_shard instead, or save with "
            "optimkit.save, on the first process, what get_state_dict of torch.distributed."
            "checkpoint.state_dict returns with full_state_dict=True."
        )


def _asked_for(value: Any) -> Any:
    if not isinstance(value, Optimizer):
        return value.state_dict()
    kind = type(value).__name__
    plainly = type(value).load_state_dict is Optimizer.load_state_dict
    if plainly and isinstance(getattr(type(value), "state", None), property):
        raise UnsafeCheckpointError(
            f"{kind}.state is a property, and load_state_dict() of torch writes past it: what would "
            f"be saved could not be loaded. Give what {kind} wraps, or its class a "
            "load_state_dict() of its own."
        )
    if numbers := [key for key in readable(value).state if isinstance(key, Number)]:
        raise UnsafeCheckpointError(
            f"{kind} keeps state under {first_few(map(repr, numbers))}, and in state_dict() a number "
            "stands for a parameter. Keep it under a word."
        )
    try:
        state = value.state_dict()
    except Exception as error:
        raise UnsafeCheckpointError(broken(f"state_dict() of {kind}", kind, error)) from error
    if not is_state_dict(state) and plainly:
        raise UnsafeCheckpointError(
            f"state_dict() of {kind} returns a {type(state).__name__}, not the dict with 'state' "
            "and 'param_groups' that its load_state_dict() takes. Ask the authors of "
            f"{kind}, or give what it wraps."
        )
    return state


def check(content: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> int:
    """Refuse what could not be loaded again, all of it at once; return the bytes of the tensors."""
    found = _Checker()
    try:
        for name, value in (*content.items(), ("metadata", metadata)):
            found.visit(value, name)
    except RecursionError:
        raise UnsafeCheckpointError(
            f"{name}: nested too deep to be pickled. Save it flat."
        ) from None
    if found.refused:
        raise UnsafeCheckpointError(
            *(
                f"{first_few(paths)}: {reason}. {remedy}"
                for (reason, remedy), paths in found.refused.items()
            )
        )
    return found.bytes


def watched(objects: Mapping[str, Any]) -> dict[str, list[str] | None]:
    """Name what ought to be finite: parameters, running statistics; of optimizers, state and lr.

    Other buffers may be infinite: masks are made of it.
    """
    found: dict[str, list[str] | None] = {}
    for name, value in parts_of(objects).items():
        if isinstance(value, nn.Module):
            names = [each for each, _ in value.named_parameters()]
            names += [each for each, _ in value.named_buffers() if each.endswith(_STATISTICS)]
            found[name] = [*map(own_name(value), names)]
        elif isinstance(value, Optimizer):
            found[name] = None
    return found


def non_finite(content: Mapping[str, Any], watched: Mapping[str, list[str] | None]) -> list[str]:
    """Name what holds NaN or infinity, of what ought not to."""
    held: list[tuple[str, Any]] = []
    for name, value in parts_in(content, watched).items():
        keys = watched.get(name, ())
        if keys is None:
            held += _of_optimizer(name, dict(items_of(value)))
        held += [(f"{name}.{key}", value[key]) for key in keys or () if key in value]
    bad = (held[at][0] for at in _values.non_finite(each for _, each in held))
    return list(dict.fromkeys(bad))


def _of_optimizer(name: str, saved: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in ("state", "wrapper"):
        for _, state in items_of(saved.get(part)):
            for key, each in items_of(state):
                yield from ((f"{key} of {name}", tensor) for tensor in tensors_in(each))
    for _, group in items_of(saved.get("param_groups")):
        lr = dict(items_of(group)).get("lr")
        yield f"lr of {name}", torch.tensor(lr) if isinstance(lr, float) else lr


class _Checker:
    """Looks at everything once, and notes what can't be loaded again, by reason and remedy."""

    def __init__(self) -> None:
        self.refused: dict[tuple[str, str], list[str]] = {}
        self.bytes = 0
        self._kept: dict[int, object] = {}  # containers seen; kept, so that no id is used twice

    def visit(self, value: Any, path: str) -> None:
        kind = type(value)
        if kind in _PLAIN or (kind is int and value.bit_length() < _LONGEST):
            return
        if isinstance(value, Tensor) and value.is_meta:
            self._refuse(
                path,
                "there are no values to save, it is on the meta device",
                'Call to_empty(device="cpu"), fill it, then save.',
            )
        elif isinstance(value, Tensor) and value.is_nested:
            reason = "torch.load(weights_only=True) refuses nested tensors"
            self._refuse(path, reason, "Save list(tensor.unbind()) instead.")
        elif hasattr(value, "_local_tensor"):
            self._refuse(
                path,
                "it is sharded, and this process has a part of it",
                "Save with optimkit.checkpoint.distributed.save, or its full_tensor().",
            )
        elif kind in (Tensor, nn.Parameter) and _ordinary(value):
            self.bytes += value.numel() * value.element_size()
            self._inside(value, _attributes(value, path))
        elif kind in _MAPPINGS and any(isinstance(key, Tensor) for key in value):
            reason = "a tensor is a key in it, and the one that is loaded is another"
            self._refuse(path, reason, "Take the names of the parameters as keys.")
        elif kind in _MAPPINGS:
            self._inside(value, _items(value, path))
        elif kind in _SEQUENCES:
            self._inside(value, ((item, f"{path}[{i}]") for i, item in enumerate(value)))
        elif not (kind is bytes and value) and not _round_trips(value):
            reason = f"torch.load(weights_only=True) refuses {_in_words(value)}"
            self._refuse(path, reason, _remedy(value))

    def _refuse(self, path: str, reason: str, remedy: str) -> None:
        self.refused.setdefault((reason, remedy), []).append(path)

    def _inside(self, value: object, items: Iterable[tuple[Any, str]]) -> None:
        if id(value) not in self._kept:
            self._kept[id(value)] = value
            for item, path in items:
                self.visit(item, path)


def _items(value: Mapping[Any, Any], path: str) -> Iterator[tuple[Any, str]]:
    """List the values of a mapping, its keys, and what a state dict has beside them."""
    for key, item in value.items():
        if type(key) is not str and type(key) is not int:
            yield key, f"{path}, the key {key!r}"
        yield item, f'{path}["{key}"]' if isinstance(key, str) else f"{path}[{key!r}]"
    yield from _attributes(value, path)


def _attributes(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """List attributes, which are pickled too: those of parameters, ``_metadata`` of a state dict."""
    for name, item in getattr(value, "__dict__", {}).items():
        yield item, f"{path}.{name}"


def _ordinary(tensor: Tensor) -> bool:
    """Return whether a tensor is of the common kind, which needs no trial."""
    strided = tensor.layout is torch.strided
    return strided and not tensor.is_quantized and not tensor.is_nested and _stored(tensor.dtype)


@lru_cache
def _stored(dtype: torch.dtype) -> bool:
    """Return whether torch can store a dtype; the smallest integers it can't."""
    return _round_trips(torch.empty(1, dtype=dtype))


def _round_trips(value: object) -> bool:
    """Return whether a value, saved alone, is loaded as what it was."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        with allow_weights_only():
            return type(torch.load(buffer, weights_only=True)) is type(value)
    except Warning:  # made an error by the user: torch warns of sparse tensors, and reads them
        return True
    except Exception as error:  # what a foreign type raises when it is pickled can be anything
        let_through(error)
        return False


def _in_words(value: object) -> str:
    """Describe what is refused: a type, or a value of a type that is fine otherwise."""
    if type(value) is int:
        return f"an int of {value.bit_length():,} bits"
    return "empty bytes" if type(value) is bytes else class_of(value).removeprefix("builtins.")


def _remedy(value: object) -> str:
    held = getattr(value, "__dict__", {}).items()
    inner = [key for key, each in held if isinstance(each, Optimizer)]
    if len(inner) == 1:
        return f"Save its {inner[0]}, and what it counts itself beside that, as plain values."
    for attribute, instead in _INSTEAD.items():
        if hasattr(value, attribute):
            return f"Save {instead} instead."
    return "Save what it holds, as tensors, numbers, strings, lists and dicts."
