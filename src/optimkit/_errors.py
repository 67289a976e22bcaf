"""What optimkit raises.

.. code-block:: text

    OptimkitError(Exception)
    ├── GroupError(ValueError)          the groups can't be built or changed as asked
    ├── AuditError                      raised by Findings.raise_if
    └── CheckpointError                 a file holds not what was asked for
        ├── CorruptCheckpointError      the bytes are not what was written
        ├── UnsafeCheckpointError       holds what weights_only refuses
        └── MismatchError               intact, but does not fit these objects

An argument of a wrong type is a plain :class:`TypeError`.
"""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .checkpoint._results import LoadReport


class OptimkitError(Exception):
    """The base of every error that optimkit raises; it lists all that is wrong at once.

    Parameters
    ----------
    *problems : str
        One or two sentences each: where, what was found, what to do.

    Examples
    --------
    >>> print(OptimkitError("the lr is negative.", "the name is taken."))
    2 problems:
      1. the lr is negative.
      2. the name is taken.
    """

    @property
    def problems(self) -> tuple[str, ...]:
        """The same sentences, for a program to read."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        """Return the problem, or all of them as a numbered list."""
        if len(self.problems) < 2:
            return "".join(self.problems)
        lines = (f"  {number}. {text}" for number, text in enumerate(self.problems, 1))
        return "\n".join([f"{len(self.problems)} problems:", *lines])


class GroupError(OptimkitError, ValueError):
    """The parameter groups can't be built or changed as asked; nothing has been changed.

    It is a :class:`ValueError` too, as ``torch.optim`` raises one in such a case.

    Examples
    --------
    >>> import torch
    >>> from optimkit import param_groups
    >>> try:
    ...     param_groups(torch.nn.Linear(2, 2), lr=-0.1)
    ... except ValueError as error:
    ...     print(error)
    param_groups(...): lr=-0.1 is negative; it must be 0 or more.
    """


class AuditError(OptimkitError):
    """An audit found something severe enough; see ``Findings.raise_if``.

    Examples
    --------
    >>> str(AuditError("empty-group: group 1 holds nothing. Leave it out."))
    'empty-group: group 1 holds nothing. Leave it out.'
    """


class CheckpointError(OptimkitError):
    """A file does not hold what was asked for.

    Examples
    --------
    >>> issubclass(CorruptCheckpointError, CheckpointError)
    True
    """


class CorruptCheckpointError(CheckpointError):
    """The bytes of a checkpoint are not what was written.

    Examples
    --------
    >>> str(CorruptCheckpointError("last.pt is empty."))
    'last.pt is empty.'
    """


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint holds what ``torch.load(weights_only=True)`` refuses. None of it has run.

    Examples
    --------
    >>> str(UnsafeCheckpointError("last.pt would call os.system."))
    'last.pt would call os.system.'
    """


class MismatchError(CheckpointError):
    """A checkpoint is intact, but does not fit these objects. None of them has been touched.

    Parameters
    ----------
    *problems : str
        One for each thing that does not fit: which object, what was saved, what is there now.
    reports : mapping of str to LoadReport, optional
        For each object, every record of what does not fit; an attribute, too.

    Examples
    --------
    >>> error = MismatchError("model: the file lacks head.bias.")
    >>> str(error), error.reports
    ('model: the file lacks head.bias.', {})
    """

    def __init__(self, *problems: str, reports: Mapping[str, LoadReport] | None = None) -> None:
        super().__init__(*problems)
        self.reports: Mapping[str, LoadReport] = dict(reports or {})

    @property
    def report(self) -> LoadReport | None:
        """The report of the only object, or of the first that does not fit."""
        found = list(self.reports.values())
        return next((each for each in found if each.problems), found[0] if found else None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process whole."""
        return type(self), self.args, {"reports": self.reports}


def raised_by_handler(error: BaseException | None) -> BaseException | None:
    """Return what the handler of a signal raised, if that led to an error."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    made = [getattr(each, "func", each) for each in handlers if callable(each)]  # a partial
    codes = {
        getattr(each, "__code__", getattr(type(each).__call__, "__code__", 0)) for each in made
    }
    while error is not None:
        if any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__)):
            return error
        error = error.__cause__ or error.__context__
    return None


def let_through(error: Exception) -> None:
    """Raise again what the handler of a signal raised; any other error is the caller's."""
    if raised_by_handler(error):
        raise error


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise what the handler of a signal raises as it is, and leave gradients on or off as they were.

    A signal may cut torch's own no_grad short.
    """
    before = torch.is_grad_enabled()
    try:
        yield
    except OptimkitError as error:
        if (raised := raised_by_handler(error)) is not None:
            raise raised from None
        raise
    finally:
        torch._C._set_grad_enabled(before)


def broken(what: str, kind: str, error: Exception) -> str:
    """Say that something which is asked of a class raises."""
    return (
        f"{what} raises {type(error).__name__}: {error}. Ask the authors of {kind}, or give what it "
        "wraps."
    )


def written(value: object, how: Callable[[object], str] = str) -> str:
    """Write a value; of one that can't be printed, the class."""
    try:
        return how(value)
    except Exception:
        return f"<{type(value).__name__}, which can't be printed>"


def first_few(items: Iterable[object], limit: int = 5) -> str:
    """Write the first few items, and how many more there are."""
    texts = [written(item) for item in items]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
