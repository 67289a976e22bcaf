"""How one object and what was saved of it fit: found out first, loaded later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor

from .._reports import LoadReport, LoadRow, Match

Undo = Callable[[], None]


def _nothing() -> None:
    """Stand for what there is no need to do."""


@dataclass
class Fit:
    """One object, ready to be loaded if it has no problems."""

    name: str
    where: str
    load: Callable[[], None] = _nothing
    keep: Callable[[], Undo] | None = None
    wanted: Callable[[], Iterable[tuple[Tensor, Tensor | None]]] = tuple
    foreign: bool = False
    match: Match | None = None
    missing: list[LoadRow] = field(default_factory=list)
    unexpected: list[LoadRow] = field(default_factory=list)
    mismatched: list[LoadRow] = field(default_factory=list)
    cast: list[LoadRow] = field(default_factory=list)
    options_changed: list[LoadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def refuse(self, text: str) -> None:
        """Note why it can't be loaded."""
        self.problems.append(f"{self.name}: {text}")

    @property
    def report(self) -> LoadReport:
        """The same as records."""
        return LoadReport(
            self.name,
            self.match,
            tuple(self.missing),
            tuple(self.unexpected),
            tuple(self.mismatched),
            tuple(self.cast),
            tuple(self.options_changed),
            tuple(self.notes),
            tuple(self.problems),
        )
