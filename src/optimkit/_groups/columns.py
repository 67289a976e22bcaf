"""Columns: a byte, or whatever a function of the user's says, for each place of a walk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from .._errors import GroupError, first_few
from .._parameters import Walk

_T = TypeVar("_T")
YES = b"\1"


def visits_by_type(found: Walk) -> dict[type, list[int]]:
    """Give the visits to modules of each type; a scripted model no longer says which these are."""
    if found.scripted:
        names = [found.module_names[visit] or "the model" for visit in found.scripted]
        raise GroupError(
            f"a scripted module hides what kind it is: {first_few(names)}. Build the groups before "
            "torch.jit.script, or select by name."
        )
    return found.by_type


def inside(visits: Iterable[int], found: Walk) -> bytes:
    """Answer yes for all that is inside these modules."""
    answer = bytearray(len(found.places))
    for visit in visits:
        start, _, stop = found.spans[visit]
        answer[start:stop] = YES * (stop - start)
    return bytes(answer)


def same_for_ties(answer: bytes, found: Walk) -> bytes:
    """Answer yes at every place of a tied parameter if the answer is yes at one."""
    if not found.ties:
        return answer
    spread = bytearray(answer)
    for tie in found.ties:
        if any(spread[place] for place in tie):
            for place in tie:
                spread[place] = 1
    return bytes(spread)


def collect(answers: Iterable[_T], places: Sequence[str], asked: str) -> list[_T]:
    """List what a function of the user's says of each place, or name the one it fails at."""
    collected: list[_T] = []
    try:
        collected.extend(answers)
        if len(collected) < len(places):  # to map, a StopIteration is the end of the places
            raise StopIteration("next() finds nothing")
    except Exception as error:
        raise GroupError(
            f"{asked} fails at {places[len(collected)]}: {type(error).__name__}: {error}. "
            "It must have an answer for every parameter."
        ) from error
    return collected
