"""Which checkpoints of a directory are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Record:
    """A checkpoint of a directory."""

    path: Path
    step: int
    number: int
    run: str


Metrics = Mapping[Record, Mapping[str, float]]


@dataclass(frozen=True)
class Last:
    """Keep the checkpoints that were saved last.

    Parameters
    ----------
    n : int
        How many.

    Raises
    ------
    ValueError
        If it is less than 1.

    Examples
    --------
    >>> from optimkit import Last
    >>> Last(3)
    Last(n=3)
    """

    n: int

    def __post_init__(self) -> None:
        """Validate n."""
        _check_number("Last", self.n)

    def wanted(self, records: Sequence[Record], metrics: Metrics) -> list[Record]:
        """Return those to keep; the latest come first."""
        return list(records[: self.n])


@dataclass(frozen=True)
class Best:
    """Keep the checkpoints with the best value of a metric. NaN is never best.

    When a run goes back to an earlier step, or starts again, the best of what it leaves behind
    stays as well.

    Parameters
    ----------
    n : int
        How many.
    metric : str
        Which: a key of ``save(step, metrics=...)``.
    mode : {"min", "max"}
        Whether less is better, or more.

    Raises
    ------
    ValueError
        If `n` is less than 1, or `mode` is neither.

    Examples
    --------
    >>> from optimkit import Best
    >>> Best(1, "accuracy", "max")
    Best(n=1, metric='accuracy', mode='max')
    """

    n: int
    metric: str
    mode: Literal["min", "max"]

    def __post_init__(self) -> None:
        """Validate n and mode."""
        _check_number("Best", self.n)
        if self.mode not in ("min", "max"):
            raise ValueError(f"Best: mode must be 'min' or 'max', not {self.mode!r}")

    def ranked(self, records: Sequence[Record], metrics: Metrics) -> list[Record]:
        """Return those whose metric is a number, the best first; among equals, the latest first."""
        values = {record: metrics[record].get(self.metric, math.nan) for record in records}
        ranked = [record for record in records if not math.isnan(values[record])]
        sign = 1 if self.mode == "min" else -1
        return sorted(ranked, key=lambda record: sign * values[record])

    def wanted(self, records: Sequence[Record], metrics: Metrics) -> list[Record]:
        """Return those to keep; the latest come first."""
        return self.ranked(records, metrics)[: self.n]


def timeline(records: Sequence[Record]) -> list[Record]:
    """Leave out the steps from which a later save went back; the latest come first."""
    kept: list[Record] = []
    for record in records:
        if not kept or record.step < kept[-1].step:
            kept.append(record)
    return kept


def _check_number(name: str, n: int) -> None:
    if not isinstance(n, int):
        raise TypeError(f"{name}: n must be an int, not {type(n).__name__}")
    if n < 1:
        raise ValueError(f"{name}: n must be 1 or more, not {n!r}")
