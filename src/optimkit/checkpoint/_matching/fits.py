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
    """One object, ready to be loaded if it has no problems.

    Parameters
    ----------
    name : str
        The object.
    where : str
        What it is loaded from, for people to read.
    load : callable
        Loads it.
    keep : callable, optional
        Notes its state, and returns what brings it back. What has none can't fail to load.
    wanted : callable
        Gives each saved tensor that will be loaded, and the one of today it is laid out as.
    foreign : bool
        Whether loading it runs code of others, which may raise.
    match : {"name", "position"} or None
        How an optimizer's parameters were matched. This and what follows is for the report.
    """

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
    """Tell whether two options are equal; a list equals a tuple, a tensor its number.

    Parameters
    ----------
    one, other : Any
        Options, or what a scheduler keeps.

    Returns
    -------
    bool
        Whether they are.

    Examples
    --------
    >>> same((0.9, 0.99), [0.9, 0.99]), same(torch.tensor(0.5), 0.5), same(True, 1)
    (True, True, False)
    """
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
    """Give the tensors in a value.

    Parameters
    ----------
    value : Any
        Tensors, and containers of them.

    Yields
    ------
    torch.Tensor
        Each.
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(item)


def plain(value: Any) -> Any:
    """Take a number out of a tensor, for a record.

    Parameters
    ----------
    value : Any
        An option.

    Returns
    -------
    Any
        A Python number for a tensor with one element.
    """
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def like(now: Any, value: Any) -> Any:
    """Give an option in the form that it has today: an lr may be a tensor.

    Parameters
    ----------
    now : Any
        Today's option.
    value : Any
        The saved one.

    Returns
    -------
    Any
        The saved one, its own copy.
    """
    if isinstance(now, Tensor) and isinstance(value, (int, float, Tensor)):
        return torch.as_tensor(value, dtype=now.dtype).to(now.device).detach().clone()
    if isinstance(now, (int, float)) and isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    return copied(value)
