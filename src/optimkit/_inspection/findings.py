"""The records of :func:`optimkit.audit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from .._codes import entries, url_of
from .._errors import AuditError
from .._tables import Shown, Table, counted

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # from the worst to the mildest


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
    message, remedy : str
        What was found, and what it leads to; what to do.

    Examples
    --------
    >>> Finding("zero-lr", "note", ("group 0",), "lr is 0 in group 0.", "Set it.").names
    ('group 0',)
    """

    code: str
    severity: Severity
    names: tuple[str, ...]
    message: str
    remedy: str

    @property
    def url(self) -> str | None:
        """The page of the code; None while the site has no address."""
        return url_of(self.code)


@dataclass(frozen=True, repr=False)
class Findings(Shown):
    """What an audit found, the worst first: a sequence, false when there is nothing to say.

    Parameters
    ----------
    rows : tuple of Finding
        The findings.

    Examples
    --------
    >>> import optimkit, torch
    >>> model = torch.nn.Linear(2, 1)
    >>> found = optimkit.audit(torch.optim.SGD([model.weight], lr=0.1), model)
    >>> found.codes, found.rows[0].names
    (('unmanaged',), ('bias',))
    """

    rows: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def codes(self) -> tuple[str, ...]:
        """The code of each finding."""
        return tuple(row.code for row in self.rows)

    def at_least(self, severity: Severity) -> Findings:
        """Return the findings of a severity or worse."""
        if severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}, not {severity!r}")
        kept = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return Findings(tuple(row for row in self.rows if row.severity in kept))

    def raise_if(self, severity: Severity = "error") -> None:
        """Raise an AuditError that names each finding of a severity or worse, with its remedy."""
        problems = [f"{row.code}: {row.message} {row.remedy}" for row in self.at_least(severity)]
        if problems:
            raise AuditError(*problems)

    def _blocks(self) -> list[str]:
        if not self.rows:
            return ["Nothing found."]
        blocks = [self._caption]
        for row in self.rows:
            blocks += [f"{row.severity}: {row.code}: {row.message}", f"  -> {row.remedy}"]
        return [*blocks, *self._more]

    def _html_blocks(self) -> list[Table | str]:
        headers = {"message": "finding", "remedy": "what to do"}
        columns = ("severity", "code", "message", "remedy")
        return [Table(self.rows, columns, self._caption, headers), *self._more]

    @property
    def _more(self) -> list[str]:
        codes = [code for code in dict.fromkeys(self.codes) if code in entries()]
        urls = dict.fromkeys(str(row.url) for row in self.rows if row.url)
        return [f"More: optimkit explain {' '.join(codes)}", *urls] if codes else []

    @property
    def _caption(self) -> str:
        counts = Counter(row.severity for row in self.rows)
        found = [counted(counts[each], each) for each in SEVERITIES if counts[each]]
        return f"Audit: {', '.join(found) or 'nothing found'}"
