"""The processes of a group: what one has or fails in, all learn."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from .._errors import CheckpointError, MismatchError

T = TypeVar("T")
_beside: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()  # by the default group


class Ranks:
    """The processes that save or load together: the default process group, or this one alone."""

    def __init__(self, group: Any = None) -> None:
        self.together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if self.together else 0
        self.size = dist.get_world_size() if self.together else 1
        self.group = group

    def beside(self) -> Ranks:
        """Return the same ones, for a thread: what they tell each other must not meet training's."""
        if not self.together:
            return self
        if dist.group.WORLD not in _beside:
            _beside[dist.group.WORLD] = dist.new_group(backend="gloo")
        return Ranks(_beside[dist.group.WORLD])

    def gather(self, value: T) -> list[T]:
        """Return what each process has, in all of them."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def run(self, work: Callable[[], T]) -> T:
        """Do something in every process: if it fails in one, it fails in all."""
        result, failure = None, None
        try:
            result = work()
        except Exception as error:
            failure = error
        failures = self.gather(_portable(failure))
        if failure is not None:
            raise failure
        for rank, other in enumerate(failures):
            if other is not None:
                if hasattr(other, "add_note"):  # Python 3.11
                    other.add_note(f"(on rank {rank})")
                raise other
        return result  # type: ignore[return-value]

    def run_on_first(self, work: Callable[[], T]) -> T:
        """Do something in the first process only, and return its result in all."""
        return self.gather(self.run(lambda: work() if self.rank == 0 else None))[0]  # type: ignore[return-value]


def _portable(error: Exception | None) -> Exception | None:
    """Bring an error to a form that crosses processes: its words, if not itself."""
    if error is None or isinstance(error, OSError):
        return error
    if isinstance(error, MismatchError):
        return MismatchError(*error.problems)
    if isinstance(error, CheckpointError):
        return error
    return CheckpointError(f"{type(error).__name__}: {error}")
