"""Which parameters? Globs, expressions, modules, predicates, and what combines them.

A selector is asked of all parameters at once. Its answer is a column: a byte for each place
of the walk, 1 for yes. So the parts of a combination are joined by three operations on
bytes, whatever the number of parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import chain
from operator import or_, truth
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from torch import nn

from .._parameters import ParamInfo, Walk
from .._walking import walk
from .._wrappers import held_as
from .columns import collect, inside, same_for_ties, visits_by_type
from .globs import matching, matching_glob, nearest

# The walk whose parameters a predicate is being asked about: it may ask selectors in turn.
_WALKS: ContextVar[Walk | None] = ContextVar("_WALKS", default=None)
_FLIP = bytes([1, 0]) + bytes(254)


@dataclass(frozen=True, eq=False, repr=False)
class Selector:
    """A question about a parameter, to be combined with ``&``, ``|`` and ``~``.

    `is_bias`, `is_norm`, `is_embedding` and `is_matrix` are selectors. Whatever :func:`~optimkit.when`
    takes can stand on the other side of ``&`` and ``|``. It may also be called, with one
    :class:`~optimkit.ParamInfo`.

    Parameters
    ----------
    text : str
        How it is written in messages.
    ask : callable
        Gives, for a walk, a byte for each place: 1 where the answer is yes.
    unmatched : callable, optional
        For a selector by name: says what is wrong if the answer is no everywhere.
    parts : tuple of Selector, optional
        What a combination is made of.
    predicate : callable, optional
        The user's question about one parameter, if this is one.

    Examples
    --------
    >>> from torch import nn
    >>> from optimkit import is_bias, is_norm, partition
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    >>> parts = partition(model, plain=is_bias | is_norm, decayed=~(is_bias | is_norm))
    >>> [name for name, _ in parts["decayed"]]
    ['0.weight', '2.weight']
    >>> is_bias & "2.*"
    is_bias & '2.*'
    """

    text: str
    ask: Callable[[Walk], bytes]
    unmatched: Callable[[Walk], str] | None = None
    parts: tuple[Selector, ...] = ()
    predicate: Callable[[ParamInfo], object] | None = None

    def over(self, found: Walk) -> bytes:
        """Ask about every place of a walk.

        Parameters
        ----------
        found : Walk
            The walk over a model.

        Returns
        -------
        bytes
            A byte for each place; the places of a tied parameter have the same.
        """
        if self not in found.answers:
            answer = self.ask(found)
            found.answers[self] = answer if self.parts else same_for_ties(answer, found)
        return found.answers[self]

    def misses(self, found: Walk) -> list[str]:
        """Say which names, in this selector or its parts, no parameter has.

        Parameters
        ----------
        found : Walk
            The walk over a model.

        Returns
        -------
        list of str
            What is wrong; empty when every name is found.
        """
        if not self.names_something:
            return []
        wrong = [text for part in self.parts for text in part.misses(found)]
        if not wrong and self.by_name and 1 not in self.over(found):
            wrong.append(self.unmatched(found) if self.unmatched else f"{self} is empty")
        return wrong

    @cached_property
    def by_name(self) -> bool:
        """Whether this names something of this model, rather than a kind of parameter."""
        if self.parts:
            return all(part.by_name for part in self.parts)
        return self.unmatched is not None

    @cached_property
    def names_something(self) -> bool:
        """Whether this, or a part of it, is by name."""
        return any(leaf.unmatched for leaf in self.leaves)

    @cached_property
    def leaves(self) -> tuple[Selector, ...]:
        """What this is combined of: each that is no combination."""
        return tuple(leaf for part in self.parts for leaf in part.leaves) or (self,)

    def __call__(self, info: ParamInfo) -> bool:
        """Ask about one parameter; of the model as a whole, when a rule's predicate asks."""
        asked = _WALKS.get()
        if asked is not None and info.name in asked.index:
            place = asked.index[info.name]
            if asked.tensors[place] is info.param:
                return bool(self.over(asked)[place])
        found = walk({info.module_name: info.module})
        here = [tensor is info.param for tensor in found.tensors].index(True)
        return bool(self.over(found)[here])

    def __and__(self, other: Select) -> Selector:
        return _combine(self, "&", select_by(other))

    def __rand__(self, other: Select) -> Selector:
        return _combine(select_by(other), "&", self)

    def __or__(self, other: Select) -> Selector:
        return _combine(self, "|", select_by(other))

    def __ror__(self, other: Select) -> Selector:
        return _combine(select_by(other), "|", self)

    def __invert__(self) -> Selector:
        return Selector(
            f"~{_bracketed(self)}", lambda found: self.over(found).translate(_FLIP), parts=(self,)
        )

    def __repr__(self) -> str:
        return self.text


Select: TypeAlias = (
    str
    | re.Pattern[str]
    | type[nn.Module]
    | UnionType
    | nn.Module
    | Callable[[ParamInfo], object]
    | Selector
)
"""What selects parameters: see :func:`optimkit.when`."""


def select_by(select: Select) -> Selector:
    """Turn whatever selects parameters into a selector."""
    if isinstance(select, Selector):
        return select
    if isinstance(select, str):
        return _glob(select)
    if isinstance(select, re.Pattern) and isinstance(select.pattern, str):
        return _expression(select)
    if isinstance(select, type) and issubclass(select, nn.Module):
        return _module_type(select)
    if get_origin(select) in (Union, UnionType):
        return reduce(or_, map(select_by, get_args(select)))
    if isinstance(select, nn.Module):
        return _instance(select)
    if callable(select) and not isinstance(select, type):
        return _predicate(select)
    what = select.__name__ if isinstance(select, type) else type(select).__name__
    raise TypeError(
        "select must be a glob, a compiled regular expression, a module, a module type, "
        f"a predicate or a combination of these, not {what}"
    )


def ask_predicates(found: Walk, selectors: Iterable[Selector]) -> None:
    """Ask all predicates of the same records: to make a ParamInfo costs more than to ask."""
    predicates = dict.fromkeys(
        leaf for selector in selectors for leaf in selector.leaves if leaf.predicate
    )
    if not predicates:
        return
    infos: Iterable[ParamInfo] = found.infos()
    if len(predicates) > 1:
        infos = list(infos)
    for leaf in predicates:
        found.answers[leaf] = same_for_ties(_ask(leaf, infos, found), found)


def _combine(left: Selector, sign: str, right: Selector) -> Selector:
    """Join two selectors with ``&`` or ``|``."""

    def ask(found: Walk) -> bytes:
        one = int.from_bytes(left.over(found), "big")
        other = int.from_bytes(right.over(found), "big")
        joined = one & other if sign == "&" else one | other
        return joined.to_bytes(len(found.places), "big")

    return Selector(f"{_bracketed(left)} {sign} {_bracketed(right)}", ask, parts=(left, right))


def _bracketed(selector: Selector) -> str:
    """Write a selector as a part of a larger one."""
    return f"({selector})" if " & " in selector.text or " | " in selector.text else selector.text


def _glob(pattern: str) -> Selector:
    """Select by the whole name, ``*`` standing for anything, dots too."""

    def unmatched(found: Walk) -> str:
        near = nearest(pattern, found)
        return f"no parameter is called {pattern!r}" + (f" (is it {near!r}?)" if near else "")

    among = matching_glob(pattern)
    return Selector(repr(pattern), lambda found: among(found.places), unmatched)


def _expression(pattern: re.Pattern[str]) -> Selector:
    """Select by a regular expression found anywhere in the name."""
    among = matching(pattern.search)
    return Selector(
        f"re.compile({pattern.pattern!r})",
        lambda found: among(found.places),
        lambda found: f"{pattern.pattern!r} is found in no parameter's name",
    )


def _module_type(kind: type[nn.Module]) -> Selector:
    """Select all that is inside modules of a type."""

    def ask(found: Walk) -> bytes:
        visits = (each for type_, each in visits_by_type(found).items() if issubclass(type_, kind))
        return inside(chain.from_iterable(visits), found)

    return Selector(kind.__name__, ask)


def _instance(module: nn.Module) -> Selector:
    """Select all that is inside one module, wrapped or not."""
    kind: Any = type(module)
    while attribute := held_as(kind):
        module = getattr(module, attribute)
        kind = type(module)

    def ask(found: Walk) -> bytes:
        visits = (visit for visit, each in enumerate(found.modules) if each is module)
        return inside(visits, found)

    def unmatched(found: Walk) -> str:
        if next(module.parameters(), None) is None:
            return f"this {type(module).__name__} has no parameters"
        return f"this {type(module).__name__} is not in the model (a copy, or replaced?)"

    return Selector(f"<{type(module).__name__}>", ask, unmatched)


def _predicate(predicate: Callable[[ParamInfo], object]) -> Selector:
    """Select by a question of the user's."""
    selector = Selector(
        getattr(predicate, "__name__", type(predicate).__name__),
        lambda found: _ask(selector, found.infos(), found),
        predicate=predicate,
    )
    return selector


def _ask(selector: Selector, infos: Iterable[ParamInfo], found: Walk) -> bytes:
    """Ask a predicate about every place."""
    predicate: Any = selector.predicate
    answers = map(truth, map(predicate, infos))
    token = _WALKS.set(found)
    try:
        return bytes(collect(answers, found.places, f"the predicate {selector}"))
    finally:
        _WALKS.reset(token)
