"""What came out of a checkpoint, and how it fitted: records that print themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .._tables import Shown, Table, jsonable

Match = Literal["name", "position"]
PARTS = {
    "missing": "Missing in the file",
    "unexpected": "In the file only",
    "mismatched": "Of another shape or kind",
    "cast": "Cast to the current type",
    "options_changed": "Options",
}
_LINES = 40  # so many rows of a table are shown; the fields have all


class LoadRow(NamedTuple):
    """One thing in which the file and the object differ.

    Parameters
    ----------
    name : str
        The parameter or buffer; of options the group's name.
    key : str
        The state's key, ``shape``, or the option.
    saved, current : Any
        What the file has, and what the object has; None if nothing.

    Examples
    --------
    >>> LoadRow("head.weight", "exp_avg", (10, 4), (5, 4)).name
    'head.weight'
    """

    name: str
    key: str
    saved: Any
    current: Any


@dataclass(frozen=True, repr=False)
class LoadReport(Shown):
    """How the file and one object fit; see :func:`optimkit.load_optimizer`.

    Parameters
    ----------
    name : str
        The object.
    match : {"name", "position"} or None
        How an optimizer's parameters were matched.
    missing : tuple of LoadRow
        What the object has and the file does not: left as it was.
    unexpected : tuple of LoadRow
        What the file has and the object does not: left out.
    mismatched : tuple of LoadRow
        What is of another shape or kind: left out.
    cast : tuple of LoadRow
        What was cast to the dtype of the current parameter.
    options_changed : tuple of LoadRow
        Where the options differ, whichever were taken.
    notes : tuple of str
        What else is worth knowing.
    problems : tuple of str
        Why it can't be loaded.

    Examples
    --------
    >>> LoadReport("model", missing=(LoadRow("head.bias", "shape", None, (2,)),))
    model: 1 missing
    Missing in the file
    name       key    saved  current
    ---------  -----  -----  -------
    head.bias  shape         (2)
    """

    name: str
    match: Match | None = None
    missing: tuple[LoadRow, ...] = ()
    unexpected: tuple[LoadRow, ...] = ()
    mismatched: tuple[LoadRow, ...] = ()
    cast: tuple[LoadRow, ...] = ()
    options_changed: tuple[LoadRow, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[LoadRow, ...]:
        """All records."""
        return tuple(row for rows in self._parts().values() for row in rows)

    @property
    def complete(self) -> bool:
        """Whether nothing was left out, on either side."""
        return not (self.missing or self.unexpected or self.mismatched)

    def _blocks(self) -> list[Table | str]:
        line = [f"matched by {self.match}"] if self.match else []
        tables = []
        for part, rows in self._parts().items():
            if not rows:
                continue
            words = part.replace("_", " ")
            one = words.replace("options", "option")
            line.append(f"{len(rows)} {one if len(rows) == 1 else words}")
            more = f", the first {_LINES} of {len(rows)}" if len(rows) > _LINES else ""
            tables.append(Table(rows[:_LINES], LoadRow._fields, PARTS[part] + more))
        return [f"{self.name}: {', '.join(line) or 'everything fits'}", *self.notes, *tables]

    def _parts(self) -> dict[str, tuple[LoadRow, ...]]:
        return {part: getattr(self, part) for part in PARTS}


@dataclass(frozen=True, eq=False, repr=False)
class Loaded(Shown, Mapping[str, Any]):
    """What came out of a checkpoint: a mapping of the plain values in it.

    The objects that were given have been loaded; what that changed is in the reports.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    plain : mapping of str to Any
        The plain values.
    metadata : mapping
        What was given to ``save(metadata=...)``.
    reports : mapping of str to LoadReport
        For each object, what was not as it was saved.
    verified : bool
        Whether the bytes are known to be those that were written. False for a file without
        checksums, and with ``verify=False``.
    step : int or None
        The step, of a checkpoint of a :class:`CheckpointDir`.

    Examples
    --------
    >>> import optimkit
    >>> path = optimkit.save("last.pt", epoch=3)
    >>> optimkit.load(path)["epoch"]
    3
    """

    path: Path
    plain: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reports: Mapping[str, LoadReport] = field(default_factory=dict)
    verified: bool = False
    step: int | None = None

    def __getitem__(self, name: str) -> Any:
        return self.plain[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain)

    def __len__(self) -> int:
        return len(self.plain)

    def __bool__(self) -> bool:
        """Return True, even without plain values: ``if loaded:`` asks whether there was a file."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return all but the plain values, of which only the names, as data for ``json``."""
        fields = {**vars(self), "values": list(self.plain)}
        del fields["plain"]
        data: dict[str, Any] = jsonable(fields)
        return data

    def _blocks(self) -> list[Table | str]:
        step = "" if self.step is None else f" of step {self.step}"
        holds = ", ".join(map(str, [*self.reports, *self.plain])) or "nothing"
        reports = (block for report in self.reports.values() for block in report._blocks())
        return [f"Loaded{step} from {self.path}: {holds}", *reports]
