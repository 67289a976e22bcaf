"""A directory of checkpoints: which are kept, and which one to go on from.

"Latest" means saved last, not of the highest step: a run may have gone back to an earlier step.
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import re
import threading
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .. import _files as files
from .._errors import CheckpointError, CorruptCheckpointError, first_few
from . import _contents as contents
from ._arguments import gather, refuse_values
from ._header import KEY
from ._matching.loaders import Options
from ._results import Loaded, Match
from ._single import load_read, save_with
from ._staging import Saving, settle

_NAME = re.compile(r"step-(\d{9,})\.(\d{6,})-([0-9a-f]{8})(\.nonfinite)?\.pt")
_naming = threading.RLock()  # of all directories; the handler of a signal may save meanwhile


@dataclass(frozen=True, slots=True)
class _Record:
    """A checkpoint of a directory."""

    path: Path
    step: int
    number: int
    run: str
    finite: bool = True


_Metrics = Mapping[_Record, Mapping[str, float]]


@dataclass(frozen=True)
class Last:
    """Keep the checkpoints that were saved last.

    Parameters
    ----------
    n : int
        How many, 1 or more.

    Examples
    --------
    >>> from optimkit import Last
    >>> Last(3)
    Last(n=3)
    """

    n: int

    def __post_init__(self) -> None:
        _check_number("Last", self.n)

    def wanted(self, records: Sequence[_Record], metrics: _Metrics) -> list[_Record]:
        """Return those to keep; the latest come first."""
        return [record for record in records if record.finite][: self.n]


@dataclass(frozen=True)
class Best:
    """Keep the checkpoints with the best value of a metric. NaN is never best.

    When a run goes back to an earlier step, or starts again, the best of what it leaves behind
    stays as well.

    Parameters
    ----------
    n : int
        How many, 1 or more.
    metric : str
        Which: a key of ``save(step, metrics=...)``.
    mode : {"min", "max"}
        Whether less is better, or more.

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
        _check_number("Best", self.n)
        if self.mode not in ("min", "max"):
            raise ValueError(f"Best: mode must be 'min' or 'max', not {self.mode!r}")

    def ranked(self, records: Sequence[_Record], metrics: _Metrics) -> list[_Record]:
        """Return those whose metric is a number, the best first; among equals, the latest first."""
        values = {record: metrics[record].get(self.metric, math.nan) for record in records}
        ranked = [each for each in records if each.finite and not math.isnan(values[each])]
        sign = 1 if self.mode == "min" else -1
        return sorted(ranked, key=lambda record: sign * values[record])

    def wanted(self, records: Sequence[_Record], metrics: _Metrics) -> list[_Record]:
        """Return those to keep; the latest come first."""
        return self.ranked(records, metrics)[: self.n]


def _timeline(records: Sequence[_Record]) -> list[_Record]:
    """Leave out the steps from which a later save went back; the latest come first."""
    kept: list[_Record] = []
    for record in records:
        if not kept or record.step < kept[-1].step:
            kept.append(record)
    return kept


def _check_number(name: str, n: int) -> None:
    if not isinstance(n, int):
        raise TypeError(f"{name}: n must be an int, not {type(n).__name__}")
    if n < 1:
        raise ValueError(f"{name}: n must be 1 or more, not {n!r}")


class CheckpointDir:
    """A directory of checkpoints of a run, of which policies say what to keep.

    A checkpoint is kept if any policy wants it; the latest always is. Nothing is deleted
    before its successor is on the disk, and nothing of another run that is still alive.

    Parameters
    ----------
    path : str or os.PathLike
        The directory; the first save makes it.
    keep : iterable of Last and Best, optional
        The policies.
    background : bool, optional
        Whether saves are written while training goes on, as with :func:`optimkit.save`.

    Examples
    --------
    >>> import torch
    >>> from optimkit import Best, CheckpointDir, Last
    >>> model = torch.nn.Linear(2, 1)
    >>> checkpoints = CheckpointDir("runs", keep=(Last(1), Best(1, "loss", "min")))
    >>> for step, loss in enumerate([0.5, 0.2, 0.3, 0.4]):
    ...     path = checkpoints.save(step, {"loss": loss}, model=model)
    >>> len(checkpoints.paths), checkpoints.restore("best", model=model).step
    (2, 1)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        keep: Iterable[Last | Best] = (Last(3),),
        *,
        background: bool = False,
    ) -> None:
        self.path = Path(path).absolute()  # a run that changes its folder must not lose it
        self.keep = tuple(keep) if isinstance(keep, Iterable) else (keep,)
        for policy in self.keep:
            if not isinstance(policy, (Last, Best)):
                raise TypeError(f"keep takes Last and Best, not {policy!r}")
        self.background = background
        self._run: files.RunLock | None = None
        self._number = 0  # of its last save
        self._metrics: dict[_Record, Mapping[str, float]] = {}

    def __repr__(self) -> str:
        more = ", background=True" if self.background else ""
        return f"CheckpointDir({str(self.path)!r}, keep={self.keep!r}{more})"

    @property
    def paths(self) -> list[Path]:
        """The checkpoints that there are, the latest first."""
        return [record.path for record in self._records()]

    def save(
        self,
        step: int,
        metrics: Mapping[str, Any] | None = None,
        objects: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        **stateful: Any,
    ) -> Path | Saving:
        """Save a checkpoint, durably, then delete those that no policy wants.

        Parameters
        ----------
        step : int
            Where the run is.
        metrics : mapping of str to float, optional
            What :class:`optimkit.Best` asks for; it is an error if that is missing.
        objects, metadata, **stateful : optional
            As for :func:`optimkit.save`, and so are the errors.
        """
        step = operator.index(step)
        if step < 0:
            raise ValueError(f"step must be 0 or more, not {step}")
        found = gather("save", objects, stateful, ("which", "finite"))
        numbers = _numbers_of(metrics)
        self._check_metrics(step, numbers)
        files.make_folder(self.path)
        bad = contents.non_finite(found)
        record = self._next(step, finite=not bad)
        if bad:
            warnings.warn(
                f"{record.path} holds NaN or infinity: {first_few(bad)}. It is not counted among "
                "those to keep, and restore passes over it.",
                stacklevel=2,
            )
        extra = {"step": step, "metrics": numbers}

        def then() -> None:
            self._metrics[record] = numbers
            self._delete(record)

        return save_with(
            extra,
            record.path,
            found,
            metadata=metadata,
            background=self.background,
            then=then,
        )

    def restore(
        self,
        which: Literal["latest", "best"] = "latest",
        objects: Mapping[str, Any] | None = None,
        *,
        match: Match = "name",
        map_location: files.MapLocation = "cpu",
        strict: bool = True,
        options: Options = "saved",
        verify: bool = True,
        finite: bool = True,
        **stateful: Any,
    ) -> Loaded | None:
        """Load the latest intact checkpoint, or the best one.

        One that is damaged, or holds NaN or infinity, is passed over, with a warning that names it. One that does not fit
        the objects is an error.

        Parameters
        ----------
        which : {"latest", "best"}
            Which. Best is by the first :class:`optimkit.Best` among the policies.
        finite : bool, optional
            Whether to pass over checkpoints that hold NaN or infinity, if there is another.
        objects, match, map_location, strict, options, verify, **stateful : optional
            As for :func:`optimkit.load`.

        Returns
        -------
        Loaded or None
            What was loaded, with its ``step`` and ``path``; None if there is no checkpoint yet.

        Raises
        ------
        CorruptCheckpointError
            If there are checkpoints, and all of them are damaged.
        CheckpointError
            If no policy says which the best is; else as for :func:`optimkit.load`.
        """
        found = gather("load", objects, stateful)
        refuse_values(found)
        settle()
        problems: dict[_Record, tuple[str, ...]] = {}
        while (record := self._first(which, problems, finite=finite)) is not None:
            try:
                with _opened_intact(record.path, map_location, verify) as reading:
                    loaded = load_read(
                        record.path, reading, found, strict=strict, options=options, match=match
                    )
            except FileNotFoundError:  # deleted just now, so that there is a later one: look again
                if record.path.is_symlink():
                    problems[record] = (f"{record.path} leads nowhere.",)
                continue
            except CorruptCheckpointError as error:
                problems[record] = error.problems
                continue
            told = [text for texts in problems.values() for text in texts]
            if finite and which == "latest":
                told += self._passed_over(record)
            if told:
                warnings.warn(f"{' '.join(told)} {record.path} is taken instead.", stacklevel=2)
            return replace(loaded, step=record.step)
        if problems:
            raise CorruptCheckpointError(*(text for texts in problems.values() for text in texts))
        return None

    def verify(self) -> list[files.Integrity | CheckpointError]:
        """Return for each checkpoint what its checksums say or what is wrong, the latest first."""
        found: list[files.Integrity | CheckpointError] = []
        for path in self.paths:
            try:
                found.append(files.verify(path))
            except CheckpointError as error:
                found.append(error)
        return found

    def _passed_over(self, taken: _Record) -> list[str]:
        """Say which later checkpoints hold what is not finite."""
        later = [each for each in self._records() if not each.finite and each.number > taken.number]
        return [f"{each.path} holds NaN or infinity (finite=False loads it)." for each in later]

    def _next(self, step: int, *, finite: bool) -> _Record:
        """Name a checkpoint as no other: of a fork, or of a save that has not ended yet."""
        with _naming:
            if self._run is None or self._run.forked:
                self._run = files.RunLock(self.path)
            numbers = [record.number for record in self._records()]
            number = self._number = max(self._number, *numbers, 0) + 1
            run = self._run.name
        name = f"step-{step:09d}.{number:06d}-{run}{'' if finite else '.nonfinite'}.pt"
        return _Record(self.path / name, step, number, run, finite)

    def _records(self) -> list[_Record]:
        """List the checkpoints, the latest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):  # what can't be looked into is not empty
            for name in os.listdir(self.path):
                if match := _NAME.fullmatch(name):
                    step, number, run, bad = match.groups()
                    found.append(_Record(self.path / name, int(step), int(number), run, not bad))
        return sorted(found, key=lambda record: (record.number, record.run), reverse=True)

    def _first(self, which: str, passed: Container[_Record], *, finite: bool) -> _Record | None:
        """Find the first choice that has not been passed over."""
        found = [each for each in self._candidates(which) if each not in passed]
        if finite:  # stable: among finite ones the order stays
            found.sort(key=lambda each: not each.finite)
        return next(iter(found), None)

    def _candidates(self, which: str) -> list[_Record]:
        """List what may be restored, the first choice first."""
        if which not in ("latest", "best"):
            raise ValueError(f"which must be 'latest' or 'best', not {which!r}")
        records = _timeline(self._records())
        if which == "latest":
            return records
        policy = next((policy for policy in self.keep if isinstance(policy, Best)), None)
        if policy is None:
            raise CheckpointError(
                f"{self.path}: nothing says which checkpoint is the best. Make the CheckpointDir "
                'with a policy that does: keep=(Last(3), Best(1, "loss", "min")).'
            )
        ranked = policy.ranked(records, self._metrics_of(records))
        if records and not ranked:
            raise CheckpointError(
                f"{self.path}: none of {len(records)} checkpoints has a {policy.metric!r} that is "
                'a number. Restore the latest: restore("latest").'
            )
        return ranked

    def _metrics_of(self, records: Sequence[_Record]) -> _Metrics:
        """Look up the metrics of checkpoints; a damaged one has none."""
        for record in records:
            if record not in self._metrics:
                with contextlib.suppress(OSError, MemoryError):
                    self._metrics[record] = _metrics_in(record.path)
        return {record: self._metrics.get(record, {}) for record in records}

    def _check_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Check that no metric is missing that a policy asks for."""
        asked = {policy.metric: policy for policy in self.keep if isinstance(policy, Best)}
        missing = [policy for name, policy in asked.items() if name not in metrics]
        if missing:
            raise CheckpointError(
                *(
                    f"save({step}, ...): {policy} needs metrics={{{policy.metric!r}: ...}}, found "
                    f"{first_few(map(repr, metrics)) or 'none'}. Pass it, float('nan') if it is "
                    "not known."
                    for policy in missing
                )
            )

    def _delete(self, latest: _Record) -> None:
        """Delete what no policy wants, unless its run is alive."""
        records = self._records()
        wanted = {latest}
        for policy in self.keep:
            metrics = {} if isinstance(policy, Last) else self._metrics_of(records)
            wanted.update(policy.wanted(records, metrics))
            if isinstance(policy, Best):  # a run that goes back has a best of its own
                wanted.update(policy.wanted(_timeline(records), metrics))
            # No one could look into these. Asked one by one: another thread may be saving, too.
            wanted.update(record for record in metrics if record not in self._metrics)
        others = files.live_runs(self.path) - {latest.run}
        for record in records:
            if record not in wanted and record.run not in others:
                # What can't be deleted, the next save tries again.
                with contextlib.suppress(OSError):
                    record.path.unlink()
                self._metrics.pop(record, None)


@contextlib.contextmanager
def _opened_intact(
    path: Path, map_location: files.MapLocation, verify: bool
) -> Iterator[files.Reading]:
    """Read a checkpoint; here, one without checksums is damaged, since all are saved with them."""
    with files.opened(path, map_location=map_location, verify=verify) as reading:
        if verify and not reading.integrity.verified:
            raise CorruptCheckpointError(f"{reading.integrity}.")
        yield reading


def _numbers_of(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """Return metrics as floats, or say which is no number."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"save: metrics must be a mapping, not {type(metrics).__name__}")
    found = {}
    for name, value in (metrics or {}).items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise TypeError(
                f"save: metrics[{name!r}] must be a number, not {value!r}. Pass float('nan') if it "
                "is not known."
            ) from None
    return found


def _metrics_in(path: Path) -> Mapping[str, float]:
    """Read the metrics of a checkpoint; one that is damaged, or gone, or of others has none."""
    content: Any = None
    with contextlib.suppress(CheckpointError, FileNotFoundError), files.opened(path) as reading:
        content = reading.content
    header = content.get(KEY) if isinstance(content, Mapping) else None
    found = header.get("metrics") if isinstance(header, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, float)}
