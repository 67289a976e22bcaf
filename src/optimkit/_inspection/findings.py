"""The records of :func:`optimkit.audit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from .._errors import AuditError
from .._tables import Shown, Table, counted

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the worst to the mildest."""


class Finding(NamedTuple):
    """One thing that an audit found.

    Parameters
    ----------
    code : str
        What kind of thing; stable, for a program to read.
    severity : {"error", "warning", "note"}
        This run is wrong; it will surprise you; know this.
    names : tuple of str
        The parameters, groups or modules it is about.
    message : str
        What was found, and what it leads to.
    remedy : str
        What to do.

    Examples
    --------
    >>> import torch
    >>> from optimkit import audit
    >>> [found] = audit(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.0))
    >>> found.code, found.severity, found.names
    ('zero-lr', 'note', ('group 0',))
    """

    code: str
    severity: Severity
    names: tuple[str, ...]
    message: str
    remedy: str


@dataclass(frozen=True, repr=False)
class Findings(Shown):
    """What an audit found, the worst first; see :func:`optimkit.audit`.

    It is false when there is nothing to say, it can be iterated, and it has a length.

    Parameters
    ----------
    rows : tuple of Finding
        The findings.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import audit
    >>> model = nn.Linear(2, 1)
    >>> found = audit(torch.optim.SGD([model.weight], lr=0.1), model)
    >>> found.codes, found.rows[0].names
    (('unmanaged',), ('bias',))
    """

    rows: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        """Yield the findings."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows)

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of each finding."""
        return tuple(row.code for row in self.rows)

    def at_least(self, severity: Severity) -> Findings:
        """Return the findings of a severity or worse.

        Parameters
        ----------
        severity : {"error", "warning", "note"}
            The mildest to keep.

        Returns
        -------
        Findings
            Some of these.
        """
        if severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}, not {severity!r}")
        kept = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return Findings(tuple(row for row in self.rows if row.severity in kept))

    def raise_if(self, severity: Severity = "error") -> None:
        """Raise if there is a finding of a severity or worse.

        Parameters
        ----------
        severity : {"error", "warning", "note"}, optional
            The mildest to raise for.

        Raises
        ------
        AuditError
            With a sentence or two for each such finding.
        """
        problems = [f"{row.code}: {row.message} {row.remedy}" for row in self.at_least(severity)]
        if problems:
            raise AuditError(*problems)

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as data that ``json`` can write.

        Returns
        -------
        dict
            ``rows``, each with its ``code``, ``severity``, ``names``, ``message``, ``remedy``.
        """
        return {"rows": [{**row._asdict(), "names": list(row.names)} for row in self.rows]}

    def _blocks(self) -> list[str]:
        """Return each finding in a paragraph."""
        if not self.rows:
            return ["Nothing found."]
        blocks = [self._caption]
        for row in self.rows:
            blocks += [f"{row.severity}: {row.code}: {row.message}", f"  -> {row.remedy}"]
        return blocks

    def _html_blocks(self) -> list[Table]:
        """Return a table of the findings."""
        table = Table(
            self.rows,
            columns=("severity", "code", "message", "remedy"),
            caption=self._caption,
            headers={"message": "finding", "remedy": "what to do"},
        )
        return [table]

    @property
    def _caption(self) -> str:
        counts = [
            counted(number, severity)
            for severity in SEVERITIES
            if (number := sum(row.severity == severity for row in self.rows))
        ]
        return f"Audit: {', '.join(counts) or 'nothing found'}"
