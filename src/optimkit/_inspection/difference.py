"""The records of :func:`optimkit.diff`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .._tables import Shown, Table, jsonable

if TYPE_CHECKING:
    pass

Kind = Literal["added", "removed", "changed"]
_LINES = 40  # so many rows of a table are shown; `rows` has all


class DiffRow(NamedTuple):
    """One difference.

    Parameters
    ----------
    name : str
        The parameter, or the group; of two files, where in them.
    key : str
        The state's key, or the option; ``group`` if it is the parameter's place;
        ``value`` for what else a file holds.
    kind : {"added", "removed", "changed"}
        What happened from the first to the second.
    before, after : Any
        The option or the number; of a tensor its norm; of one whose shape or type has
        changed, these.
    change : float or None
        For numbers, how far they are apart, relative to the first.

    Examples
    --------
    >>> row = DiffRow("group 0", "lr", "changed", 0.1, 0.05, 0.5)
    >>> row.name, row.change
    ('group 0', 0.5)
    """

    name: str
    key: str
    kind: Kind
    before: Any
    after: Any
    change: float | None = None


@dataclass(frozen=True, repr=False)
class Diff(Shown):
    """What differs; it is false when nothing does. See :func:`optimkit.diff`.

    Parameters
    ----------
    options : tuple of DiffRow
        Differences in the groups' options, and in who is in which group.
    state : tuple of DiffRow
        Differences in state, and of files in all else that they hold: the largest relative
        change first, after what was added or removed.

    Examples
    --------
    >>> Diff((), ()).rows, bool(Diff((), ()))
    ((), False)
    """

    options: tuple[DiffRow, ...]
    state: tuple[DiffRow, ...]

    @property
    def rows(self) -> tuple[DiffRow, ...]:
        """All differences, the options first."""
        return self.options + self.state

    def __len__(self) -> int:
        """Return how many differences there are."""
        return len(self.rows)

    def __iter__(self) -> Iterator[DiffRow]:
        """Give each difference."""
        return iter(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as data that ``json`` can write.

        Returns
        -------
        dict
            ``equal``, ``options`` and ``state``.
        """
        return {
            "equal": not self.rows,
            **{
                part: [
                    {key: jsonable(value) for key, value in row._asdict().items()} for row in rows
                ]
                for part, rows in (("options", self.options), ("state", self.state))
            },
        }

    def _blocks(self) -> Sequence[Table | str]:
        return self._tables() or ["No difference."]

    def _tables(self) -> list[Table]:
        tables = []
        for caption, rows in (("Options", self.options), ("State", self.state)):
            if rows:
                more = f", the first {_LINES} of {len(rows)}" if len(rows) > _LINES else ""
                shown = [key for key in DiffRow._fields if key != "change" or _any_change(rows)]
                tables.append(
                    Table(
                        rows[:_LINES],
                        columns=shown,
                        caption=caption + more,
                        formats={"change": lambda value: "" if value is None else f"{value:.3g}"},
                    )
                )
        return tables


def _any_change(rows: Sequence[DiffRow]) -> bool:
    return any(row.change is not None for row in rows)
