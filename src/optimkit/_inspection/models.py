"""The models and schedulers that describe and audit are given: one, or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .._parameters import ParameterIndex
from .._torch_schedulers import outermost
from .._wrappers import unwrapped

Model = nn.Module | Mapping[str, nn.Module]
Models = Model | Iterable[Model]
Schedulers = LRScheduler | Iterable[LRScheduler]


def index_models(models: Models) -> list[ParameterIndex]:
    """Index one model or several, so that no two parameters have the same name."""
    given: list[Any] = [models] if isinstance(models, (nn.Module, Mapping)) else _listed(models)
    indexes = [ParameterIndex(model) for model in given]
    if len(indexes) == 1:
        return indexes
    named = {(each.name, id(each.param)) for index in indexes for each in index.occurrences}
    if len(named) == len({name for name, _ in named}):
        return indexes
    kinds = [type(model).__name__ for model in given]
    prefixes = [
        kind if kinds.count(kind) == 1 and kind != "dict" else f"models[{index}]"
        for index, kind in enumerate(kinds)
    ]
    return [
        ParameterIndex({prefix: model})
        if isinstance(model, nn.Module)
        else ParameterIndex({f"{prefix}.{key}": each for key, each in model.items()})
        for prefix, model in zip(prefixes, given, strict=True)
    ]


def names_by_id(indexes: Iterable[ParameterIndex]) -> dict[int, str]:
    return {id(each.param): each.name for index in [*indexes][::-1] for each in index}


def list_schedulers(schedulers: Schedulers) -> list[Any]:
    """List one scheduler or several, without those that another one of them holds."""
    one = hasattr(unwrapped(schedulers), "step")
    given = list(map(unwrapped, [schedulers] if one else _listed(schedulers)))
    for scheduler in given:
        if not hasattr(scheduler, "step") or isinstance(scheduler, Optimizer):
            raise TypeError(
                f"schedulers must be learning rate schedulers, not {type(scheduler).__name__}"
            )
    return outermost(given)


def _listed(given: object) -> list[Any]:
    """List what is iterable; take all else for one, which will be refused by its type."""
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
