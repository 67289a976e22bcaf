"""What an audit looks at, gathered once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, view_of
from .._parameters import Walk
from .models import Models, Schedulers, list_schedulers, names_by_id, walk_models


@dataclass(frozen=True)
class Scene:
    """The optimizers, models and schedulers of a run."""

    holdings: list[OptimizerView]
    walks: list[Walk]
    schedulers: list[Any]

    @cached_property
    def managed(self) -> dict[int, tuple[int, int]]:
        """The ``id`` of each held parameter -> its optimizer, and its place there."""
        return {
            id(param): (index, place)
            for index, held in enumerate(self.holdings)
            for place, param in enumerate(held.params)
        }

    @cached_property
    def modelled(self) -> set[int]:
        """The ``id`` of each parameter of a model."""
        return {id(param) for found in self.walks for param in found.tensors}

    @cached_property
    def addresses(self) -> set[int | None]:
        """Where the values of the models' parameters are."""
        return {address_of(param) for found in self.walks for param in found.tensors}

    def called(self, index: int) -> str:
        """Name an optimizer: by its class, and its place if there are several."""
        kind = self.holdings[index].kind
        return kind if len(self.holdings) == 1 else f"{kind} (optimizer {index})"

    def each(self) -> Iterator[tuple[str, OptimizerView]]:
        """Give each optimizer with its name."""
        for index, held in enumerate(self.holdings):
            yield self.called(index), held

    def driven_by(self, scheduler: Any) -> int | None:
        """Find the optimizer that a scheduler drives."""
        driven = getattr(scheduler, "optimizer", None)
        return next(
            (index for index, held in enumerate(self.holdings) if held.optimizer is driven), None
        )


def gather(optimizers: Iterable[object], models: Models, schedulers: Schedulers) -> Scene:
    """Check what was given, and look at it once."""
    given = list(optimizers)
    if not given:
        raise TypeError("audit needs at least one optimizer: audit(optimizer, models=model)")
    for optimizer in given:
        if isinstance(optimizer, nn.Module):
            raise TypeError(
                f"audit takes optimizers, not {type(optimizer).__name__}: give a model as models="
            )
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"audit takes torch.optim.Optimizer objects, not {type(optimizer).__name__}"
            )
    walks = walk_models(models)
    names = names_by_id(walks)
    return Scene(
        [view_of(optimizer, names) for optimizer in given if isinstance(optimizer, Optimizer)],
        walks,
        list_schedulers(schedulers),
    )


def address_of(tensor: Tensor) -> int | None:
    """Return where the values of a tensor are, as two tensors that share them tell."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided:
        return None
    return tensor.data_ptr() or None
