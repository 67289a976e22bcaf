"""What a checkpoint says of itself, under one key: who wrote it, the class of each object, names."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .._errors import CheckpointError
from .._optimizer_view import FORMAT
from .._torch_schedulers import configuration_in_groups, members_of
from .._values import dtype_name, plain
from .._version import __version__
from .._wrappers import stored
from ._names import names_of

KEY = "__optimkit__"  # of the header in a file

_KINDS: dict[type, str] = {
    nn.Module: "module",
    Optimizer: "optimizer",
    LRScheduler: "scheduler",
    GradScaler: "scaler",
}


def kind_of(value: object) -> str:
    """Return what a value is to a checkpoint."""
    has_state = hasattr(value, "state_dict") and hasattr(value, "load_state_dict")
    if not has_state or isinstance(value, type):
        return "value"
    inner = stored(value)
    return next((kind for base, kind in _KINDS.items() if isinstance(inner, base)), "stateful")


_WORDS = {
    "module": "a model",
    "optimizer": "an optimizer",
    "scheduler": "a scheduler",
    "scaler": "a gradient scaler",
    "stateful": "an object with a state dict of its own",
}


def in_words(kind: str) -> str:
    return _WORDS.get(kind, "a plain value")


def is_group(value: object) -> bool:
    """Return whether a value is a mapping of objects, each of which is saved by itself."""
    return (
        isinstance(value, Mapping)
        and kind_of(value) == "value"
        and any(kind_of(each) != "value" for each in value.values())
    )


def parts_of(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Name each object; one in a mapping has the names of both: ``optimizers.adam``."""
    parts: dict[str, Any] = {}
    for name, value in objects.items():
        if is_group(value):
            parts.update({f"{name}.{key}": each for key, each in value.items()})
        else:
            parts[name] = value
    return parts


def parts_in(content: Mapping[Any, Any], known: Container[str]) -> dict[Any, Any]:
    """Name what is in a checkpoint in the same way, by the known names of objects."""
    parts: dict[Any, Any] = {}
    for name, value in content.items():
        inner = value.items() if isinstance(value, Mapping) else ()
        group = {f"{name}.{key}": each for key, each in inner if f"{name}.{key}" in known}
        parts.update(group if group and name not in known else {name: value})
    return parts


def describe(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the objects of a checkpoint as plain data: kinds, classes, names, shapes."""
    parts = parts_of(objects)
    models = models_in(parts)
    return {
        "format": FORMAT,
        "optimkit": __version__,
        "torch": str(torch.__version__),
        "objects": {
            name: _describe(value, models)
            for name, value in parts.items()
            if kind_of(value) != "value"
        },
    }


def models_in(stateful: Mapping[str, object]) -> dict[str, nn.Module]:
    """Pick the models, which give an optimizer beside them its names."""
    return {name: value for name, value in stateful.items() if isinstance(value, nn.Module)}


def checked_header(path: Path, header: Any) -> Mapping[str, Any] | None:
    """Refuse a header of another version: what it means is not known."""
    if header is None:
        return None
    found = header.get("format") if isinstance(header, Mapping) else header
    if not isinstance(header, Mapping) or type(found) is not int or found != FORMAT:
        remedy = "Update optimkit."
        if type(found) is int and found < FORMAT:
            remedy = "Read it with torch.load(path, weights_only=True), and load each state dict."
        raise CheckpointError(
            f"{path} is in format {found!r}; this version reads {FORMAT}. {remedy}"
        )
    lacking = [key for key in ("objects", "metadata") if not isinstance(header.get(key), Mapping)]
    if lacking:
        raise CheckpointError(
            f"{path} has a header without {' and '.join(lacking)}, which optimkit did not write. "
            f"Take {KEY!r} out of it."
        )
    return header


def _describe(value: Any, models: Mapping[str, nn.Module]) -> dict[str, Any]:
    value = stored(value)
    about: dict[str, Any] = {"kind": kind_of(value), "class": class_of(value)}
    if isinstance(value, Optimizer):
        params = [param for group in value.param_groups for param in group["params"]]
        names = names_of(value, models)
        about["names"] = names and names.params
        about["model"] = names and names.model
        about["aliases"] = names.aliases if names else {}
        about["shapes"] = [list(param.shape) for param in params]
        about["dtypes"] = [dtype_name(param.dtype) for param in params]
        about["frozen"] = [at for at, param in enumerate(params) if not param.requires_grad]
        held = [bool(value.state.get(param)) for param in params]
        about["stateless"] = [place for place, has in enumerate(held) if not has]
    elif isinstance(value, LRScheduler):
        about["config"] = config_of(value)
    elif isinstance(value, GradScaler):
        about["enabled"] = value.is_enabled()
    return about


def config_of(scheduler: LRScheduler) -> list[dict[str, Any]]:
    """Describe a scheduler, then all that it steps: the class, and what it writes into groups."""
    groups = scheduler.optimizer.param_groups
    return [
        {
            "class": class_of(each),
            "in_groups": {
                key: [plain(group.get(key)) for group in groups]
                for key in configuration_in_groups(each)
            },
        }
        for each in members_of(scheduler)
    ]


def class_of(value: object) -> str:
    """Name the class of an object, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def short(name: str) -> str:
    """Leave the module out of a class's name."""
    return name.rpartition(".")[2]


def same_class(one: str, other: str) -> bool:
    """Return whether two names mean one class."""
    if one == other:
        return True
    of_torch = one.startswith("torch.") and other.startswith("torch.")
    of_a_script = "__main__" in (one.partition(".")[0], other.partition(".")[0])
    return (of_torch or of_a_script) and short(one) == short(other)
