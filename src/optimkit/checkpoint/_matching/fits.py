"""How one object and what was saved of it fit: found out first, loaded later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..._values import copied
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


def same(one: Any, other: Any) -> bool:
    """Tell whether two options are equal; a list equals a tuple, a tensor its number."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return _same_tensors(one, other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    try:
        return bool(one == other) or bool(one != one and other != other)
    except Exception:  # a foreign object that can't be compared is another one
        return one is other


def _same_tensors(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        # A float32 lr and a float64 one differ only by how they were written down.
        return one.shape == other.shape and torch.equal(
            one.detach().cpu().double(), other.detach().cpu().double()
        )
    tensor, number = (one, other) if isinstance(one, Tensor) else (other, one)
    if tensor.numel() != 1 or not isinstance(number, (int, float)):
        return False
    return bool(tensor.item() == tensor.new_tensor(number).item())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Give the tensors in a value."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(item)


def plain(value: Any) -> Any:
    """Take a number out of a tensor, for a record."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def like(now: Any, value: Any) -> Any:
    """Give an option in the form that it has today: an lr may be a tensor."""
    if isinstance(now, Tensor) and isinstance(value, (int, float, Tensor)):
        return torch.as_tensor(value, dtype=now.dtype).to(now.device).detach().clone()
    if isinstance(now, (int, float)) and isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return copied(value)
