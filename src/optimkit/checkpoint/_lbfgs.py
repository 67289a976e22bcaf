"""LBFGS, which keeps under its first parameter what it knows of all of them, end to end."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor

from .._torch_optimizers import FLAT, FLAT_LISTS, flat_dtype, flat_size
from .._values import copied, tensors_in
from ._optimizers import OptimizerLoader, Shape


class LBFGSLoader(OptimizerLoader):
    """Loads LBFGS: its flat state is brought into the current order, dtype and history size."""

    def lost(self, index: int, place: int) -> bool:
        """Return False: all parameters but one have no state."""
        return False

    def expected_shape(
        self, key: str, found: Shape, shape: Shape, ranks: Container[Any]
    ) -> Shape | None:
        """Return the length of all parameters, for what is as long as that."""
        return (flat_size(self.params),) if key in FLAT else None

    def find_casts(self) -> Iterator[tuple[int, str, torch.dtype, torch.dtype]]:
        """Yield what is to be cast, if the parameters have another dtype in common now."""
        if 0 not in self.pairs:
            return
        index, now = self.pairs.index(0), flat_dtype(self.params)
        state = self.was.states[0]
        for key in (*FLAT, *FLAT_LISTS):
            was = next((value.dtype for value in tensors_in(state.get(key))), now)
            if was != now:
                yield index, key, was, now

    def state_for(self, index: int) -> dict[str, Any] | None:
        """Copy the flat state for the first parameter; without all of them, keep the current one."""
        if self.skipped or None in self.pairs or 0 not in self.pairs:
            return dict(self.live.state.get(self.params[index], {})) or None
        if index or not (saved := self.was.states[0]):
            return None
        state = _permuted(saved, [flat_size([param]) for param in self.params], self.pairs)
        for (_, key), dtype in self.casts.items():
            state[key] = _each(state[key], methodcaller("to", dtype))
        return _remembered(state, self._options(0)["history_size"])


def _remembered(state: dict[str, Any], history_size: int) -> dict[str, Any]:
    """Keep no more of the past than LBFGS remembers now, and room for as much as that."""
    for key in (*FLAT_LISTS, "ro"):
        if isinstance(state.get(key), list):
            state[key] = state[key][-history_size:]
    if isinstance(state.get("al"), list):  # torch/optim/lbfgs.py, 2.15: overwritten in each step
        state["al"] = [*state["al"], *[None] * history_size][:history_size]
    return state


def _permuted(
    state: Mapping[str, Any], sizes: Sequence[int], pairs: Sequence[int | None]
) -> dict[str, Any]:
    """Copy what LBFGS keeps into the current order."""
    order = [(place, index) for index, place in enumerate(pairs) if place is not None]
    if order == sorted(order):
        return dict(copied(state))
    end, starts = 0, {}
    for _, index in sorted(order):
        starts[index] = end
        end += sizes[index]

    def permute(value: Tensor) -> Tensor:
        if value.ndim != 1 or value.numel() != end:
            return value.detach().clone()
        return torch.cat([value[starts[i] : starts[i] + size] for i, size in enumerate(sizes)])

    return {key: _each(value, permute) for key, value in state.items()}


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change a tensor, or each one of a list; leave the rest."""
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return change(value) if isinstance(value, Tensor) else value
