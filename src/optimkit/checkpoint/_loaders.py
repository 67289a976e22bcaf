"""What loads one object: all are checked before the first is loaded, and each can be undone.

Models, optimizers and schedulers have files of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from .._errors import first_few, let_through
from .._files.unread import Unread
from .._torch_schedulers import Copies
from .._values import copied, same, tensors_in
from .._wrappers import stored
from ._header import in_words, kind_of
from ._results import PARTS, LoadReport, LoadRow, Match

Options = Literal["saved", "current"]

ABSENT: Any = object()
"""Stands for what there is not: nothing saved under a name, nothing noted to undo."""


@dataclass(frozen=True)
class Choices:
    """How what was saved is to fit the objects, as the caller of a load chooses."""

    match: Match
    strict: bool
    options: Options
    grown: bool = False  # whether a parameter with more rows now takes those that were saved

    def __post_init__(self) -> None:
        if self.options not in ("saved", "current"):
            raise ValueError(f'options must be "saved" or "current", not {self.options!r}')
        if self.match not in ("name", "position"):
            raise ValueError(f'match must be "name" or "position", not {self.match!r}')


@dataclass(frozen=True)
class Source:
    """What all objects of a call are loaded from, and how."""

    choices: Choices
    where: str  # how an error calls it
    parts: Mapping[Any, Any]  # what there is in it
    models: Mapping[Any, nn.Module]  # beside the optimizers, which they give their names
    others: Sequence[Any] = ()  # what is in it and not asked for
    copies: Copies = field(default_factory=Copies)  # of the schedulers that are replayed
    taken: set[int] = field(default_factory=set)  # memory that is read into: no one else's


class Loader:
    """Checks one object against what was saved of it; loads it; takes that back."""

    # Lower ones load first: what may raise code of the user's, then those that others set right.
    turn = 0
    # Whether loading runs no code but torch's, so that it can't fail once all is checked.
    safe = False
    # Whether values may be read straight into the object's tensors, once all else is loaded.
    in_place = False

    def __init__(
        self, name: str, live: Any, saved: Any, about: Mapping[str, Any] | None, source: Source
    ) -> None:
        self.name, self.live, self.saved = name, stored(live), saved
        self.wrapper = live  # the same object, if nothing wraps it
        self.about, self.source, self.choices = about, source, source.choices
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
        self.grown: dict[str, int] = {}  # of what has more rows now: how many were saved

    @property
    def report(self) -> LoadReport:
        parts = {part: tuple(getattr(self, part)) for part in (*PARTS, "problems")}
        return LoadReport(self.name, self.match, notes=(*self.notes, *self.warnings), **parts)

    def check(self) -> None:
        """Compare the object with what was saved, and touch nothing."""
        where, kind = self.source.where, in_words(kind_of(self.live))
        try:
            was = in_words(self.about["kind"]) if self.about else kind
            if self.saved is ABSENT:
                names = first_few(map(repr, self.source.parts))
                there = f"{names}. Pass the object under its name there" if names else "nothing"
                self.add_problem(f"{where} has nothing under this name; it has {there}.")
            elif was != kind:
                self.add_problem(f"{where} has {was} under this name, not {kind}.")
            else:
                self.compare()
        except Exception as error:  # a file may hold anything, in any form
            let_through(error)
            self.add_problem(
                f"it can't be compared with what {where} has under this name "
                f"({type(error).__name__}: {error})."
            )

    def compare(self) -> None:
        """Note what differs, and what of it is a problem."""

    def load(self) -> None:
        """Load the object; note in ``former`` before what undo() needs."""
        raise NotImplementedError

    def undo(self) -> None:
        """Give the object its former state back."""
        raise NotImplementedError

    def wanted(self) -> Iterable[tuple[Tensor, Tensor | None]]:
        """Return each saved tensor that load() needs, and the current one it is laid out as."""
        return [(value, None) for value in tensors_in(self.saved)]

    def rooms(self, unread: Unread | None) -> Iterable[tuple[Tensor, Any]]:
        """Yield each saved tensor whose values go, in place, into another one; that one too."""
        return self.wanted()

    def takes_rows(self, name: str, saved: Sequence[int], current: Sequence[int]) -> bool:
        """Return whether the saved rows of what has more now are to be loaded, and note it."""
        if not self.choices.grown or not _grew(saved, current):
            return False
        if name not in self.grown:
            self.grown[name] = saved[0]
            self.notes.append(
                f"{name} has {current[0]} rows, {saved[0]} in {self.source.where}: the others are as "
                "they were, with state that begins with zeros."
            )
        return True

    def add_problem(self, text: str) -> None:
        self.problems.append(f"{self.name}: {text}")

    def warn(self, text: str) -> None:
        self.warnings.append(f"{self.name}: {text}")


def _grew(saved: Sequence[int], current: Sequence[int]) -> bool:
    same_form = bool(saved) and list(saved[1:]) == list(current[1:])
    return same_form and len(current) == len(saved) and 0 < saved[0] < current[0]


def or_grown(rows: Iterable[LoadRow]) -> str:
    """Return the remedy for what has more rows now, if something has."""
    shapes = [(row.saved, row.current) for row in rows]
    grew = any(
        isinstance(was, tuple) and isinstance(now, tuple) and _grew(was, now) for was, now in shapes
    )
    return ", or grown=True to load the rows that were saved" if grew else ""


def with_rows(saved: Tensor, begin: Tensor, like: Any) -> Tensor:
    """Return a tensor that begins with the saved rows, sharded as another is."""
    whole: Any = begin.detach()
    whole = whole.full_tensor() if hasattr(whole, "full_tensor") else whole.clone()
    whole[: len(saved)] = saved.to(whole.device)
    if not hasattr(like, "full_tensor"):
        return cast(Tensor, whole)
    from torch.distributed.tensor import distribute_tensor  # slow to import

    return distribute_tensor(whole, like.device_mesh, like.placements)


def in_sentence(rows: Iterable[LoadRow]) -> str:
    return first_few(
        f"{row.name} ({row.key}: saved {row.saved}, current {row.current})" for row in rows
    )


class ObjectLoader(Loader):
    """Loads an object that only itself can check: it may raise, and is undone if it does."""

    def load(self) -> None:
        self.former = copy.deepcopy(self.live.state_dict())
        self.live.load_state_dict(copied(self.saved))

    def undo(self) -> None:
        self.live.load_state_dict(self.former)


_SCALER_PROGRESS = ("scale", "_growth_tracker")


class ScalerLoader(ObjectLoader):
    """Loads a gradient scaler: its scale, and with it or without it how that grows."""

    turn = 3
    live: GradScaler

    def compare(self) -> None:
        saved, current, now = self.saved, self.live.state_dict(), self.live.is_enabled()
        then = bool((self.about or {}).get("enabled", saved))
        if then != now:
            self.saved = current
            self.options_changed.append(LoadRow(self.name, "enabled", then, now))
            was, is_now = ("enabled" if each else "disabled" for each in (then, now))
            self.notes.append(
                f"{self.name} was {was} when it was saved, and is {is_now} now: its scale was left "
                "as it is."
            )
            return
        options = {key: current[key] for key in current if key not in _SCALER_PROGRESS}
        self.options_changed += [
            LoadRow(self.name, key, saved[key], value)
            for key, value in options.items()
            if not same(saved[key], value)
        ]
        if self.choices.options == "current":
            self.saved = {**saved, **options}
