"""What came out of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._tables import Shown, Table, jsonable
from ._reports import LoadReport


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
    sound : bool
        Whether the bytes are known to be those that were written. False for a file without
        checksums, and with ``verify=False``.
    step : int or None
        The step, of a checkpoint of a :class:`CheckpointDir`.

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, torch, optimkit
    >>> model = torch.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = optimkit.save(Path(folder, "last.pt"), model=model, epoch=3)
    ...     loaded = optimkit.load(path, model=model)
    >>> loaded["epoch"], dict(loaded), loaded.sound
    (3, {'epoch': 3}, True)
    """

    path: Path
    plain: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reports: Mapping[str, LoadReport] = field(default_factory=dict)
    sound: bool = False
    step: int | None = None

    def __getitem__(self, name: str) -> Any:
        """Return a plain value."""
        return self.plain[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the plain values."""
        return iter(self.plain)

    def __len__(self) -> int:
        """Count the plain values."""
        return len(self.plain)

    def __bool__(self) -> bool:
        """Return True, even without plain values: ``if loaded:`` asks whether there was a file."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """Return the same as data that ``json`` can write.

        Returns
        -------
        dict
            ``path``, ``step``, ``sound``, ``values`` (their names), ``metadata``, ``reports``.
        """
        return {
            "path": str(self.path),
            "step": self.step,
            "sound": self.sound,
            "values": list(self.plain),
            "metadata": jsonable(self.metadata),
            "reports": {name: report.to_dict() for name, report in self.reports.items()},
        }

    def _blocks(self) -> list[Table | str]:
        """Return what there is in a line, then each report."""
        step = "" if self.step is None else f" of step {self.step}"
        holds = ", ".join(map(str, [*self.reports, *self.plain])) or "nothing"
        reports = (block for report in self.reports.values() for block in report._blocks())
        return [f"Loaded{step} from {self.path}: {holds}", *reports]
