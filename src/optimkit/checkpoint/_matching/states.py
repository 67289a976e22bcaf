"""Whether the state of a parameter fits it: a wrong shape is read past its end by a fused step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..._torch_optimizers import FLAT, flat_size, keys_of, required_keys, shape_of

if TYPE_CHECKING:
    from .saved import Saved

Shape = tuple[int, ...]


class Judge:
    """Compares state with the parameters of today."""

    def __init__(
        self,
        kind: str | None,
        params: Sequence[Tensor],
        group_of: Sequence[int],
        options: Sequence[Mapping[str, Any]],
        saved: Saved,
    ) -> None:
        self.kind, self.params, self.group_of, self.saved = kind, params, group_of, saved
        self.required = [
            [required_keys(kind, matrix, each) if kind else frozenset() for matrix in (False, True)]
            for each in options
        ]
        self.tables: dict[Shape, dict[str, Shape]] = {}  # what a parameter of a shape should keep
        # What has been approved: for each group, by the shape of the parameter.
        self.models: list[dict[Shape, dict[str, Shape]]] = [{} for _ in options]

    def doubtful(
        self, pairs: Sequence[int | None]
    ) -> Iterator[tuple[int, int, Mapping[str, Any] | None]]:
        """Give what needs a look: a parameter, its saved place, its state, if there is any."""
        ids, states, before = self.saved.ids, self.saved.state, self.saved.shapes
        models = self.models
        for index, place in enumerate(pairs):
            if place is None:
                continue
            state, shape = states.get(ids[place]), self.params[index].shape
            model = models[self.group_of[index]].get(shape)
            if model and state and len(state) == len(model):
                for key, value in state.items():
                    if not isinstance(value, Tensor) or value.shape != model.get(key):
                        break
                else:
                    if before is None or tuple(before[place]) == shape:
                        continue
            yield index, place, state

    def approve(self, index: int, state: Mapping[str, Any]) -> None:
        """Take a state that fits for a model of those of its kind."""
        if all(isinstance(value, Tensor) for value in state.values()):
            model = {key: value.shape for key, value in state.items()}
            self.models[self.group_of[index]][self.params[index].shape] = model

    def shape(self, index: int) -> Shape:
        """Return the shape of a parameter."""
        return tuple(self.params[index].shape)

    def lacking(self, index: int, state: Mapping[str, Any]) -> list[str]:
        """List the keys that a step would miss."""
        keys = self.required[self.group_of[index]][self.params[index].ndim > 1]
        return sorted(key for key in keys if state.get(key) is None)

    def misfits(
        self, index: int, place: int, state: Mapping[str, Any]
    ) -> list[tuple[str, Any, Shape]]:
        """Give what does not fit: the key, the saved shape (or what is no tensor), the one expected."""
        shape, before = self.shape(index), self.saved.shapes
        if before is not None and tuple(before[place]) != shape:
            return [("shape", tuple(before[place]), shape)]
        if shape not in self.tables:
            self.tables[shape] = self._table(shape)
        return list(self._explain(state, shape, before is not None))

    def _explain(
        self, state: Mapping[str, Any], shape: Shape, sure: bool
    ) -> Iterator[tuple[str, Any, Shape]]:
        for key, value in state.items():
            if not isinstance(value, Tensor):
                # A count may be a number, and what is made later may be None so far.
                if value is not None and (expected := self.tables[shape].get(key)):
                    yield key, type(value).__name__, expected
                continue
            found = tuple(value.shape)
            expected = self._expected(key, found, shape, sure)
            if expected is not None and expected != found:
                yield key, found, expected

    def _table(self, shape: Shape) -> dict[str, Shape]:
        """Look up what most parameters of a shape keep."""
        if self.kind in (None, "LBFGS"):
            return {}
        known = ((key, shape_of(self.kind, key, shape)) for key in keys_of(self.kind))
        return {key: expected for key, expected in known if expected is not None}

    def _expected(self, key: str, found: Shape, shape: Shape, sure: bool) -> Shape | None:
        """Say which shape a piece of state should have; None if nobody knows."""
        if self.kind == "LBFGS":
            return (flat_size(self.params),) if key in FLAT else None
        if self.kind is not None:
            known = shape_of(self.kind, key, shape)
            return found if known == () and prod(found) == 1 else known
        if sure or prod(found) == 1 or len(found) != len(shape):
            return None  # the parameter is as it was, or the class keeps what it likes
        fits = all(one in (1, other) for one, other in zip(found, shape, strict=True))
        return None if fits else shape
