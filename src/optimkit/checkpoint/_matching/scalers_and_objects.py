"""Gradient scalers, and objects with a ``load_state_dict`` of their own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from ..._values import copied, same, tensors_in
from .._results import LoadRow
from .base import Loader

_PROGRESS = ("scale", "_growth_tracker")


class ScalerLoader(Loader):
    """Loads a gradient scaler: its scale, and with it or without it how that grows."""

    turn = 3
    live: GradScaler
    skipped = False  # enabled on one side only
    changed: tuple[str, ...] = ()

    def compare(self) -> None:
        """Compare whether both are enabled, then the options."""
        where, saved, live = self.source.where, self.saved, self.live
        if not isinstance(saved, Mapping):
            self.add_problem(f"{where} holds a {type(saved).__name__} under this name, no scaler.")
            return
        enabled = bool((self.about or {}).get("enabled", saved))
        if enabled != live.is_enabled():
            self.skipped = True
            was, now = ("enabled" if each else "disabled" for each in (enabled, live.is_enabled()))
            row = LoadRow(self.name, "enabled", enabled, live.is_enabled())
            self.options_changed.append(row)
            self.notes.append(
                f"{self.name} was {was} when it was saved, and is {now} now: its scale was left "
                "as it is."
            )
            return
        current = live.state_dict()
        lacking = [key for key in current if key not in saved] if enabled else []
        if lacking:
            self.add_problem(
                f"{where} holds no scaler under this name: it lacks {', '.join(lacking)}."
            )
            return
        self.changed = tuple(
            key for key in current if key not in _PROGRESS and not same(saved[key], current[key])
        )
        self.options_changed += [
            LoadRow(self.name, key, saved[key], current[key]) for key in self.changed
        ]

    def load(self) -> None:
        """Load the scale, and with it the saved options or the current ones."""
        if self.skipped or not self.live.is_enabled():
            return
        # torch/amp/grad_scaler.py, 2.15: _per_optimizer_states is a note of the step at hand.
        self.former = {
            key: copied(value)
            for key, value in vars(self.live).items()
            if not key.startswith("_per")
        }
        state = dict(self.saved)
        if self.source.options == "current":
            current = self.live.state_dict()
            state |= {key: current[key] for key in self.changed}
        self.live.load_state_dict(copied(state))

    def restore(self) -> None:
        """Put back the attributes of the scaler."""
        vars(self.live).update(self.former)


class ObjectLoader(Loader):
    """Loads an object that only itself can check: it may raise, and is undone if it does."""

    def load(self) -> None:
        """Load, through the object's own ``load_state_dict``."""
        self.former = copy.deepcopy(self.live.state_dict())
        self.live.load_state_dict(copied(self.saved))

    def restore(self) -> None:
        """Load the former state."""
        self.live.load_state_dict(self.former)

    def wanted(self) -> Iterator[tuple[Tensor, None]]:
        """Yield every saved tensor."""
        for value in tensors_in(self.saved):
            yield value, None
