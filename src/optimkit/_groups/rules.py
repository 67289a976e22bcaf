"""Rules: options for the parameters that are selected, and learning rates by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from torch.optim import Optimizer

from .._errors import GroupError, first_few
from .._parameters import Walk
from .columns import collect
from .options import bad_options
from .selectors import Select, Selector, select_by

NOTHING = object()
"""Stands for an ``lr`` that a rule scales, and nobody gave."""


class Rule:
    """One rule of :func:`~optimkit.param_groups`; made by :func:`~optimkit.when` and :func:`~optimkit.layer_decay`.

    Examples
    --------
    >>> from optimkit import is_bias, when
    >>> when(is_bias, weight_decay=0.0)
    when(is_bias, weight_decay=0.0)
    """

    def column(self, found: Walk) -> Sequence[Any]:
        """Give, for each place, what :meth:`apply` needs to know of it; 0 if nothing changes."""
        raise NotImplementedError

    def apply(self, entry: Any, options: dict[str, Any]) -> None:
        """Change the options of a parameter that has this entry in the column."""
        raise NotImplementedError

    def wrong_options(self, optimizer: Callable[..., Optimizer] | None) -> list[str]:
        """Say which options can't be."""
        return []

    def misses(self, found: Walk) -> list[str]:
        """Say which names no parameter has."""
        return []

    def selectors(self) -> tuple[Selector, ...]:
        """Give the selectors that will be asked."""
        return ()


@dataclass(frozen=True, eq=False, repr=False)
class _When(Rule):
    selector: Selector
    options: Mapping[str, Any]

    def column(self, found: Walk) -> bytes:
        return self.selector.over(found)

    def apply(self, entry: int, options: dict[str, Any]) -> None:
        options.update(self.options)

    def wrong_options(self, optimizer: Callable[..., Optimizer] | None) -> list[str]:
        return [f"{self}: {text}" for text in bad_options(self.options, optimizer)]

    def misses(self, found: Walk) -> list[str]:
        return [
            f'{self}: {text}. Mend the rule, or pass unused="ignore".'
            for text in self.selector.misses(found)
        ]

    def selectors(self) -> tuple[Selector, ...]:
        return (self.selector,)

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self.options.items())
        return f"when({self.selector}{options})"


@dataclass(frozen=True, eq=False, repr=False)
class _LayerDecay(Rule):
    decay: float
    layer_of: Callable[[str], int]
    min_scale: float

    def column(self, found: Walk) -> list[int]:
        places = found.names  # an alias is no parameter's name
        layers = collect(map(self.layer_of, places), places, f"{self}: layer_of")
        if not all(issubclass(kind, Integral) for kind in set(map(type, layers))):
            wrong = [
                f"{name} -> {layer!r}"
                for name, layer in zip(places, layers, strict=True)
                if not isinstance(layer, Integral)
            ]
            raise GroupError(
                f"{self}: layer_of must give each name an int, the number of its layer, "
                f"but gave {first_few(wrong)}."
            )
        numbers = list(map(int, layers))  # an int of numpy's may overflow
        above = max(numbers, default=0) + 1
        entries = [above - number for number in numbers]
        if found.firsts is None:
            return entries
        first = iter(entries)
        return [next(first) if is_first else 0 for is_first in found.firsts]

    def apply(self, entry: int, options: dict[str, Any]) -> None:
        lr = options.get("lr", NOTHING)
        try:
            scale = max(self.min_scale, self.decay ** (entry - 1))
        except OverflowError as error:
            raise GroupError(
                f"{self}: {self.decay} ** {entry - 1} is too large a factor. Check that layer_of "
                "gives the number of a layer, and that decay is at most 1."
            ) from error
        options["lr"] = lr if lr is NOTHING else lr * scale

    def __repr__(self) -> str:
        least = f", min_scale={self.min_scale}" if self.min_scale else ""
        return f"layer_decay({self.decay}, {_called(self.layer_of)}{least})"


def when(select: Select, *, name: str | None = None, **options: Any) -> Rule:
    """Give options to the parameters that are selected.

    Parameters
    ----------
    select : str, re.Pattern, type, torch.nn.Module, callable or Selector
        Which parameters: a glob for the whole name, where ``*`` crosses dots; a compiled
        regular expression, searched for in the name; a module, a module type, or types joined
        by ``|``, for all that is inside; a predicate, which is asked of a
        :class:`~optimkit.ParamInfo`, as in ``lambda info: "attn" in info.name``; or these combined with ``&``, ``|`` and ``~``,
        beginning with a selector such as `is_bias`.
    name : str, optional
        What to call their group. With a name, they get a group of their own.
    **options
        What the optimizer takes: ``lr``, ``weight_decay``, ``betas``, …

    Returns
    -------
    Rule
        A rule for :func:`~optimkit.param_groups`.

    Raises
    ------
    TypeError
        If `select` is none of these, or `name` is no string.

    Notes
    -----
    A tied parameter has several names and owners. It is selected if one of them is.

    Examples
    --------
    >>> from optimkit import is_bias, is_norm
    >>> when("head.*", name="head", lr=1e-2)
    when('head.*', name='head', lr=0.01)
    >>> when(is_bias | is_norm, weight_decay=0.0)
    when(is_bias | is_norm, weight_decay=0.0)
    """
    if name is not None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {type(name).__name__}")
        options = {"name": name, **options}
    return _When(select_by(select), options)


def layer_decay(decay: float, layer_of: Callable[[str], int], min_scale: float = 0.0) -> Rule:
    """Let the learning rate fall from the last layer to the first.

    A parameter's ``lr``, as it is where the rule stands, is multiplied by
    ``decay ** (deepest layer - its layer)``. A real ``lr`` comes out, which every optimizer
    and every scheduler understands.

    Parameters
    ----------
    decay : float
        The factor from a layer to the one before it.
    layer_of : callable
        Gives, for a parameter's name, the number of its layer. The deepest layer is the
        highest number that any parameter of the model has, frozen ones included.
    min_scale : float, optional
        The factor is never below this.

    Returns
    -------
    Rule
        A rule for :func:`~optimkit.param_groups`.

    Raises
    ------
    GroupError
        If `decay` is not above 0, or `min_scale` is below 0.
    TypeError
        If `layer_of` can't be called.

    References
    ----------
    Clark et al., "ELECTRA", 2020, appendix A, fine-tunes this way; Bao et al., "BEiT", 2021,
    made it common for vision transformers.

    Examples
    --------
    >>> from torch import nn
    >>> from optimkit import param_groups
    >>> model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(3)))
    >>> depth = layer_decay(0.5, lambda name: int(name.split(".")[0]))
    >>> [group["lr"] for group in param_groups(model, depth, lr=0.1)]
    [0.025, 0.05, 0.1]
    """
    if not callable(layer_of):
        raise TypeError(f"layer_of must be callable, not {type(layer_of).__name__}")
    for argument, value in (("decay", decay), ("min_scale", min_scale)):
        if not isinstance(value, Real):
            raise TypeError(f"{argument} must be a number, not {type(value).__name__}")
    problems = []
    if not 0 < decay < math.inf:
        problems.append(f"decay={decay!r}: the factor between two layers must be above 0.")
    if not 0 <= min_scale < math.inf:
        problems.append(f"min_scale={min_scale!r}: the least factor must be 0 or more.")
    if problems:
        raise GroupError(*problems)
    return _LayerDecay(decay, layer_of, min_scale)


def _called(function: Callable[..., object]) -> str:
    """Name a function."""
    return getattr(function, "__name__", type(function).__name__)
