"""Whether the state of a parameter fits it: a wrong shape is read past its end by a fused step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..known import FLAT, KEPT, shape_of

if TYPE_CHECKING:
    from .optimizers import Saved

Shape = tuple[int, ...]


class Judge:
    """Compares state with the parameters of today.

    Parameters
    ----------
    kind : str or None
        The class of torch whose state it is; None if nobody knows what the class keeps.
    shapes : sequence of tuple of int
        Those of the parameters.
    saved : Saved
        What was saved.
    pairs : sequence of int or None
        For each parameter its place in what was saved.
    """

    def __init__(
        self,
        kind: str | None,
        shapes: Sequence[Shape],
        saved: Saved,
        pairs: Sequence[int | None],
    ) -> None:
        self.kind, self.shapes, self.saved = kind, shapes, saved
        self.total = sum(map(prod, shapes))
        self.alike = frozenset(KEPT[kind].alike) if kind else frozenset()

    def misfits(
        self, index: int, place: int, state: Mapping[str, Any]
    ) -> Iterator[tuple[str, Shape, Shape]]:
        """Give what does not fit: the key, the saved shape, the one expected."""
        shape = self.shapes[index]
        before = self.saved.shapes
        if before is not None and before[place] != shape:
            yield "shape", before[place], shape
            return
        for key, value in state.items():
            if not isinstance(value, Tensor):
                continue
            found = value.shape
            if found == shape and (key in self.alike or self.kind is None):
                continue
            expected = self._expected(key, tuple(found), shape, before is not None)
            if expected is not None and expected != found:
                yield key, tuple(found), expected

    def _expected(self, key: str, found: Shape, shape: Shape, sure: bool) -> Shape | None:
        """Say which shape a piece of state should have; None if nobody knows."""
        if self.kind == "LBFGS":
            return (self.total,) if key in FLAT else None
        if self.kind is not None:
            known = shape_of(self.kind, key, shape)
            return found if known == () and prod(found) == 1 else known
        if sure or prod(found) == 1 or len(found) != len(shape):
            return None  # the parameter is as it was, or the class keeps what it likes
        fits = all(one in (1, other) for one, other in zip(found, shape, strict=True))
        return None if fits else shape
