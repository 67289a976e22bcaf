"""A directory of checkpoints: which are kept, and which one to go on from.

"Latest" means saved last, not of the highest step: a run may have gone back to an earlier step.
"""

from __future__ import annotations

import contextlib
import math
import operator
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from .._errors import CheckpointError, CorruptCheckpointError, first_few
from .._files import reading, writing
from . import _contents as contents
from ._arguments import checked_mapping, objects_to_load, objects_to_save
from ._header import KEY
from ._loaders import Choices, Options
from ._ranks import Ranks
from ._results import Loaded, Match
from ._single import load_from, save_with
from ._staging import Saving, beside, settle, settle_and_raise

_NAME = re.compile(r"step-(\d{9,})\.(\d{6,})-([0-9a-f]{8})(\.nonfinite)?\.pt")
_naming = threading.RLock()  # of all directories; the handler of a signal may save meanwhile


class _Record(NamedTuple):
    """A checkpoint of a directory. Its file is named after these, so no two runs write one file."""

    number: int  # how many were saved before it
    run: str
    step: int
    path: Path
    finite: bool


_Metrics = Mapping[_Record, Mapping[str, float] | None]  # None: nobody could look into the file


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
        _check_number(self)

    def wanted(self, records: Sequence[_Record], metrics: _Metrics) -> list[_Record]:
        """Return those to keep, of records that begin with the latest."""
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
        _check_number(self)
        if self.mode not in ("min", "max"):
            raise ValueError(f"Best: mode must be 'min' or 'max', not {self.mode!r}")

    def ranked(self, records: Sequence[_Record], metrics: _Metrics) -> list[_Record]:
        """Return those whose metric is a number, the best first; among equals, the latest first."""
        sign = 1 if self.mode == "min" else -1
        values = {
            record: sign * (metrics[record] or {}).get(self.metric, math.nan) for record in records
        }
        known = (each for each in records if not math.isnan(values[each]))
        return sorted(known, key=values.__getitem__)

    def wanted(self, records: Sequence[_Record], metrics: _Metrics) -> list[_Record]:
        """Return those to keep: a run that went back to an earlier step has a best of its own."""
        records = [record for record in records if record.finite]
        best = [self.ranked(some, metrics)[: self.n] for some in (records, _timeline(records))]
        return [*best[0], *best[1], *(record for record in records if metrics[record] is None)]


def _timeline(records: Sequence[_Record]) -> list[_Record]:
    """Leave out the steps from which a later save went back; the latest come first."""
    kept: list[_Record] = []
    for record in records:
        if not kept or record.step < kept[-1].step:
            kept.append(record)
    return kept


def _check_number(policy: Last | Best) -> None:
    name, n = type(policy).__name__, policy.n
    if not isinstance(n, int):
        raise TypeError(f"{name}: n must be an int, not {type(n).__name__}")
    if n < 1:
        raise ValueError(f"{name}: n must be 1 or more, not {n!r}")


class CheckpointDir:
    """A directory of checkpoints of a run, of which policies say what to keep.

    A checkpoint is kept if any policy wants it; the latest always is. Nothing is deleted
    before its successor is on the disk, and nothing of another run that is still alive.

    One that holds NaN or infinity has ``.nonfinite`` in its name. No policy wants it, and the
    latest finite one stays beside it. Looked at are parameters and running statistics of models,
    and state and lr of optimizers, where these are given as objects.

    Parameters
    ----------
    path : str or os.PathLike
        The directory; the first save makes it.
    keep : Last, Best or iterable of Last and Best, optional
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
        keep: Last | Best | Iterable[Last | Best] = (Last(3),),
        *,
        background: bool = False,
    ) -> None:
        self.path = Path(path).absolute()  # a run that changes its folder must not lose it
        self.keep = tuple(keep) if isinstance(keep, Iterable) else (keep,)
        for policy in self.keep:
            if not isinstance(policy, (Last, Best)):
                raise TypeError(f"keep takes Last and Best, not {policy!r}")
        self.background = background
        self._run: writing.RunLock | None = None
        self._number = 0  # of its last save
        self._metrics: dict[_Record, Mapping[str, float]] = {}

    def __repr__(self) -> str:
        more = ", background=True" if self.background else ""
        return f"CheckpointDir({str(self.path)!r}, keep={self.keep!r}{more})"

    @property
    def paths(self) -> list[Path]:
        """The checkpoints that there are, the latest first; it waits for one that is being written."""
        settle()
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
        try:
            step = operator.index(step)
        except TypeError:
            raise TypeError(f"step must be an int, not {step!r}") from None
        if step < 0:
            raise ValueError(f"step must be 0 or more, not {step}")
        found = objects_to_save(objects, stateful, ("which", "finite"))
        numbers = self._checked_metrics(step, metrics)
        writing.make_folder(self.path)
        planned, watched = self._next(step), contents.watched(found)

        def finish(content: Mapping[str, Any], size: int | None = None) -> tuple[Path, str]:
            record, note = planned, ""
            look = partial(contents.non_finite, content, watched)
            # The other cores are training's if it goes on; another thread has another stream.
            alone = self.background or torch.accelerator.is_available()
            with (
                contextlib.nullcontext(look) if alone else beside(look) as looked,
                writing.written(planned.path, content, size=size) as install,
            ):
                if bad := looked():
                    path = planned.path.with_suffix(".nonfinite.pt")
                    record = planned._replace(finite=False, path=path)
                    note = (
                        f"{path} holds NaN or infinity: {first_few(bad)}. It is not counted among "
                        "those to keep, and restore passes over it."
                    )
                install(record.path)
            self._metrics[record] = numbers
            self._delete(record)
            return record.path, note

        extra = {"step": step, "metrics": numbers}
        return save_with(
            planned.path, found, extra, finish, metadata=metadata, background=self.background
        )

    def restore(
        self,
        which: Literal["latest", "best"] = "latest",
        objects: Mapping[str, Any] | None = None,
        *,
        match: Match = "name",
        map_location: reading.MapLocation = "cpu",
        strict: bool = True,
        grown: bool = False,
        options: Options = "saved",
        verify: bool = True,
        finite: bool = True,
        **stateful: Any,
    ) -> Loaded | None:
        """Load the latest intact checkpoint, or the best one.

        One that is damaged, or holds NaN or infinity, is passed over, with a warning that names
        it. One that does not fit the objects is an error.

        Parameters
        ----------
        which : {"latest", "best"}
            Which. Best is by the first :class:`optimkit.Best` among the policies.
        finite : bool, optional
            Whether to pass over checkpoints that hold NaN or infinity, if there is another.
        objects, match, map_location, strict, grown, options, verify, **stateful : optional
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
        found = objects_to_load(objects, stateful)
        choices = Choices(match, strict, options, grown)
        settle()
        passed: set[_Record] = set()
        problems: list[str] = []
        while left := [each for each in self._candidates(which, finite) if each not in passed]:
            record = left[0]
            try:
                loaded = load_from(
                    record.path, found, choices, map_location, verify, has_checksums=True
                )
            except FileNotFoundError:  # deleted just now, so that there is a later one: look again
                if not record.path.is_symlink():
                    continue
                problems.append(f"{record.path} leads nowhere.")
            except CorruptCheckpointError as error:
                problems += error.problems
            else:
                if finite and record.finite and which == "latest":
                    problems += self._passed_over(record)
                told = [*problems, f"{record.path} is taken instead."] if problems else []
                if finite and not record.finite:
                    told.append(f"{record.path} holds NaN or infinity: no finite one is left.")
                if told:
                    warnings.warn(" ".join(told), stacklevel=2)
                return replace(loaded, step=record.step)
            passed.add(record)
        if problems:
            raise CorruptCheckpointError(*problems)
        return None

    @contextlib.contextmanager
    def on_signal(self, *signals: int) -> Iterator[Callable[..., None]]:
        """Save between two steps when a signal has come, and let the process end by it.

        Clusters send SIGTERM before they take a machine away. This is for the main thread; the
        former handlers are back when the block ends. With a process group, all processes call
        it: a signal to one of them counts for all, in the same step, and the first one saves.

        Parameters
        ----------
        *signals : int
            Which; ``signal.SIGTERM`` if none is given.

        Yields
        ------
        callable
            What to call between two steps, with the arguments of :meth:`save`. It does nothing
            until a signal has come. Then it saves, and the process ends with the signal's own
            exit status.

        Examples
        --------
        >>> import torch, optimkit
        >>> model = torch.nn.Linear(2, 1)
        >>> checkpoints = optimkit.CheckpointDir("runs")
        >>> with checkpoints.on_signal() as safe_point:
        ...     for step in range(3):
        ...         safe_point(step, model=model)  # after the work of the step
        >>> checkpoints.paths
        []
        """
        received: list[int] = []
        former: dict[int, Any] = {}

        def safe_point(step: int, *args: Any, **stateful: Any) -> None:
            def save() -> None:
                self.save(step, *args, **stateful)
                settle_and_raise()

            ranks = Ranks()
            told = [number for each in ranks.gather(received[:1]) for number in each]
            if told:
                try:
                    ranks.run(settle_and_raise)  # what each process writes of its own
                finally:  # though an earlier save has failed
                    ranks.run_on_first(save)
                if self._run is not None:
                    self._run.release()
                _end_by(told[0])

        try:
            for number in _checked_signals(signals) or (signal.SIGTERM,):
                former[number] = signal.signal(number, lambda number, _: received.append(number))
            yield safe_point
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
        if received:  # and no safe point has come
            signal.raise_signal(received[0])

    def verify(self) -> list[reading.Integrity | CheckpointError]:
        """Return for each checkpoint what its checksums say or what is wrong, the latest first."""
        found: list[reading.Integrity | CheckpointError] = []
        for path in self.paths:
            try:
                found.append(reading.verify(path))
            except CheckpointError as error:
                found.append(error)
        return found

    def _passed_over(self, taken: _Record) -> list[str]:
        """Say which later checkpoints hold what is not finite."""
        later = [each for each in self._records() if not each.finite and each.number > taken.number]
        return [f"{each.path} holds NaN or infinity (finite=False loads it)." for each in later]

    def _next(self, step: int) -> _Record:
        """Name a checkpoint as no other: of a fork, or of a save that has not ended yet."""
        with _naming:
            if self._run is None or self._run.forked:
                with writing.naming(self.path):
                    self._run = writing.RunLock(self.path)
            numbers = [record.number for record in self._records()]
            number = self._number = max(self._number, *numbers, 0) + 1
            run = self._run.name
        name = f"step-{step:09d}.{number:06d}-{run}.pt"
        return _Record(number, run, step, self.path / name, finite=True)

    def _records(self) -> list[_Record]:
        """List the checkpoints, the latest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):  # what can't be looked into is not empty
            for name in os.listdir(self.path):
                if match := _NAME.fullmatch(name):
                    step, number, run, bad = match.groups()
                    found.append(_Record(int(number), run, int(step), self.path / name, not bad))
        return sorted(found, reverse=True)

    def _candidates(self, which: str, finite: bool) -> list[_Record]:
        """List what may be restored, the first choice first; what a run went back from is last."""
        if which not in ("latest", "best"):
            raise ValueError(f"which must be 'latest' or 'best', not {which!r}")
        records = self._records()
        usable = [record for record in records if record.finite or not finite]
        current = set(_timeline(usable) or _timeline(records))
        if which == "best":
            records = self._ranked(records, current)
        return sorted(records, key=lambda each: (finite and not each.finite, each not in current))

    def _ranked(self, records: Sequence[_Record], current: Set[_Record]) -> list[_Record]:
        policy = next((policy for policy in self.keep if isinstance(policy, Best)), None)
        if policy is None:
            raise CheckpointError(
                f"{self.path}: nothing says which checkpoint is the best. Make the CheckpointDir "
                'with a policy that does: keep=(Last(3), Best(1, "loss", "min")).'
            )
        ranked = policy.ranked(records, self._metrics_of(records))
        if records and not any(record in current for record in ranked):
            raise CheckpointError(
                f"{self.path}: none of {len(current)} checkpoints has a {policy.metric!r} that is "
                'a number. Restore the latest: restore("latest").'
            )
        return ranked

    def _metrics_of(self, records: Sequence[_Record]) -> _Metrics:
        for record in records:
            if record not in self._metrics:
                with contextlib.suppress(OSError, MemoryError):
                    self._metrics[record] = _metrics_in(record.path)
        return {record: self._metrics.get(record) for record in records}

    def _checked_metrics(self, step: int, metrics: Any) -> dict[str, float]:
        """Return metrics as floats, or say which is no number, and which a policy misses."""
        found = {}
        for name, value in checked_mapping("metrics", metrics).items():
            try:
                found[name] = float(value)
            except (TypeError, ValueError, RuntimeError, OverflowError):
                raise TypeError(
                    f"save: metrics[{name!r}] must be a number, not {value!r}. Pass float('nan') "
                    "if it is not known."
                ) from None
        missing = {
            policy.metric: f"save({step}, ...): {policy} needs metrics={{{policy.metric!r}: ...}}, "
            f"found {first_few(map(repr, found)) or 'none'}. Pass it, float('nan') if it is not "
            "known."
            for policy in self.keep
            if isinstance(policy, Best) and policy.metric not in found
        }
        if missing:
            raise CheckpointError(*missing.values())
        return found

    def _delete(self, latest: _Record) -> None:
        """Delete what no policy wants, unless its run is alive."""
        records = self._records()
        ranked = any(isinstance(policy, Best) for policy in self.keep)
        metrics = self._metrics_of(records) if ranked else {}
        finite = [record for record in records if record.finite][:1]
        wanted = {latest, *finite}.union(*(policy.wanted(records, metrics) for policy in self.keep))
        others = writing.live_runs(self.path) - {latest.run}
        for record in records:
            if record not in wanted and record.run not in others:
                # What can't be deleted, the next save tries again.
                with contextlib.suppress(OSError):
                    record.path.unlink()
                self._metrics.pop(record, None)


def _metrics_in(path: Path) -> Mapping[str, float]:
    """Read the metrics of a checkpoint; one that is damaged, or gone, or of others has none."""
    content: Any = None
    with contextlib.suppress(CheckpointError, FileNotFoundError), reading.opened(path) as opened:
        content = opened.content
    header = content.get(KEY) if isinstance(content, Mapping) else None
    found = header.get("metrics") if isinstance(header, Mapping) else None
    numbers = found.items() if isinstance(found, Mapping) else ()
    return {name: value for name, value in numbers if isinstance(value, float)}


def _checked_signals(signals: Iterable[int]) -> dict[int, None]:
    never = {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")}
    able = [number for number in signal.valid_signals() if number not in never]
    for number in signals:
        if number not in able:
            kind = ValueError if isinstance(number, int) else TypeError
            raise kind(
                f"on_signal: {number!r} is no signal that can be handled. Give one or more, as in "
                "on_signal(signal.SIGTERM, signal.SIGUSR1)."
            )
    return dict.fromkeys(signals)


def _end_by(number: int) -> None:
    """End the process as the signal does when no one handles it."""
    signal.signal(number, signal.SIG_DFL)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it is closed, or no one reads it any more
            stream.flush()
    signal.raise_signal(number)
