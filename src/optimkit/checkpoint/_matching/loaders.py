"""What loads one object: all are checked before the first is loaded, and each can be undone.

Models, optimizers and schedulers have files of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ..._errors import first_few
from ..._files import Unread
from ..._torch_schedulers import Copies
from ..._values import copied, same, tensors_in
from ..._wrappers import stored
from .._header import in_words, kind_of
from .._results import PARTS, LoadReport, LoadRow, Match

Options = Literal["saved", "current"]

ABSENT: Any = object()
"""Stands for what there is not: nothing saved under a name, nothing noted to undo."""


@dataclass(frozen=True)
class Source:
    """What all objects of a call are loaded from, and how."""

    where: str  # how an error calls it
    names: Sequence[str]  # what there is in it
    models: Mapping[Any, nn.Module]  # beside the optimizers, which they give their names
    bare: str = ""  # if it is the state dict of one object: of which kind
    others: Sequence[Any] = ()  # what is in it and not asked for
    strict: bool = True
    options: Options = "saved"
    match: Match = "name"
    copies: Copies = field(default_factory=Copies)  # of the schedulers that are replayed


class Loader:
    """Checks one object against what was saved of it; loads it; takes that back."""

    # Lower ones load first: what may raise code of the user's, then those that others set right.
    turn = 0
    # Whether values may be read straight into the object's tensors, once all else is loaded.
    in_place = False

    def __init__(
        self, name: str, live: Any, saved: Any, about: Mapping[str, Any] | None, source: Source
    ) -> None:
        self.name, self.live, self.saved = name, stored(live), saved
        self.wrapper = live  # the same object, if nothing wraps it
        self.about, self.source = about, source
        self.former: Any = ABSENT  # the state before load()
        self.match: Match | None = None
        self.missing: list[LoadRow] = []
        self.unexpected: list[LoadRow] = []
        self.mismatched: list[LoadRow] = []
        self.cast: list[LoadRow] = []
        self.options_changed: list[LoadRow] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []  # notes on what a load would hide
        self.problems: list[str] = []
        self.report = LoadReport(name)

    @property
    def safe(self) -> bool:
        """Whether loading runs no code but torch's, so that it can't fail once all is checked."""
        return False

    def check(self) -> None:
        """Compare the object with what was saved, and touch nothing."""
        where, kind = self.source.where, in_words(kind_of(self.live))
        try:
            was = in_words(self.about["kind"]) if self.about else kind
            if self.saved is ABSENT:
                names = first_few(map(repr, self.source.names)) or "nothing"
                self.add_problem(
                    f"{where} is by its form the state dict of {in_words(self.source.bare)}, and holds "
                    f"no objects by name. {self._remedy_for_bare(kind)}"
                    if self.source.bare
                    else f"{where} has nothing under this name; it has {names}."
                )
            elif was != kind:
                self.add_problem(f"{where} has {was} under this name, not {kind}.")
            else:
                self.compare()
        except Exception as error:  # a file may hold anything, in any form
            self.add_problem(
                f"it can't be compared with what {where} has under this name "
                f"({type(error).__name__}: {error})."
            )
        self.write_report()

    def _remedy_for_bare(self, kind: str) -> str:
        if in_words(self.source.bare) == kind:
            return f"Load it by itself, as {self.name}."
        return f"Give the file of {kind}."

    def write_report(self) -> None:
        parts = {part: tuple(getattr(self, part)) for part in (*PARTS, "problems")}
        notes = (*self.notes, *self.warnings)
        self.report = LoadReport(self.name, self.match, notes=notes, **parts)

    def compare(self) -> None:
        """Note what differs, and what of it is a problem."""

    def load(self) -> None:
        """Load the object; note in ``former`` before what undo() needs."""
        raise NotImplementedError

    def undo(self) -> None:
        """Restore the former state of the object, if load() has begun to change it."""
        if self.former is not ABSENT:
            self.restore()

    def restore(self) -> None:
        raise NotImplementedError

    def wanted(self) -> Iterable[tuple[Tensor, Tensor | None]]:
        """Yield each saved tensor that load() needs, and the current one it is laid out as."""
        return ()

    def rooms(self, unread: Unread | None) -> Iterable[tuple[Tensor, Tensor]]:
        """Yield each saved tensor whose values go, in place, into another one; that one too."""
        return ()

    def bind(self, saved: Any) -> None:
        """Take what was saved again, now that its tensors have been read."""
        self.saved = saved

    def add_problem(self, text: str) -> None:
        self.problems.append(f"{self.name}: {text}")

    def warn(self, text: str) -> None:
        self.warnings.append(f"{self.name}: {text}")

    def fail(self, text: str) -> str:
        """Put into the report what went wrong after all had been checked."""
        problem = f"{self.name}: {text}"
        self.report = replace(self.report, problems=(*self.report.problems, problem))
        return problem


_SCALER_PROGRESS = ("scale", "_growth_tracker")


def in_sentence(rows: Iterable[LoadRow]) -> str:
    return first_few(
        f"{row.name} ({row.key}: saved {row.saved}, current {row.current})" for row in rows
    )


class ScalerLoader(Loader):
    """Loads a gradient scaler: its scale, and with it or without it how that grows."""

    turn = 3
    live: GradScaler
    skipped = False  # enabled on one side only
    changed: tuple[str, ...] = ()

    def compare(self) -> None:
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
            key
            for key in current
            if key not in _SCALER_PROGRESS and not same(saved[key], current[key])
        )
        self.options_changed += [
            LoadRow(self.name, key, saved[key], current[key]) for key in self.changed
        ]

    def load(self) -> None:
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
        vars(self.live).update(self.former)


class ObjectLoader(Loader):
    """Loads an object that only itself can check: it may raise, and is undone if it does."""

    def load(self) -> None:
        self.former = copy.deepcopy(self.live.state_dict())
        self.live.load_state_dict(copied(self.saved))

    def restore(self) -> None:
        self.live.load_state_dict(self.former)

    def wanted(self) -> Iterator[tuple[Tensor, None]]:
        for value in tensors_in(self.saved):
            yield value, None
