"""Rules: options for the parameters that are selected, and learning rates by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, TypeAlias

from torch.optim import Optimizer

from .._errors import GroupError, first_few
from .._parameters import ParameterIndex
from .options import bad_options
from .selectors import Select, Selector, failed_for, select_by

NO_LR = object()  # stands for an lr that a rule scales, and that no one has set

# Changes the options of a parameter; where it is the same object, it makes the same change.
Change: TypeAlias = Callable[[dict[str, Any]], None]


class Rule:
    """One rule of :func:`~optimkit.param_groups`, made by :func:`~optimkit.when` or :func:`~optimkit.layer_decay`.

    Rules are kept in a list, put together and passed on like any other value; each can serve
    for any number of models.

    Examples
    --------
    >>> from optimkit import Rule, is_bias, is_norm, when
    >>> def recipe(head: str) -> list[Rule]:
    ...     return [when(is_bias | is_norm, weight_decay=0.0), when(head, name="head", lr=1e-2)]
    >>> recipe("1.*")
    [when(is_bias | is_norm, weight_decay=0.0), when('1.*', name='head', lr=0.01)]
    """

    def _changes(self, index: ParameterIndex) -> Iterable[tuple[int, Change]]:
        """Yield the positions of the parameters that this rule is about, each with its change."""
        raise NotImplementedError

    def _wrong_options(self, optimizer: Callable[..., Optimizer] | None) -> list[str]:
        """Return a problem for each option that can't be."""
        return []

    def _misses(self, index: ParameterIndex) -> list[str]:
        """Return a problem for each name that no parameter has."""
        return []


class _When(Rule):
    def __init__(self, selector: Selector, options: Mapping[str, Any]) -> None:
        self._selector = selector
        self._options = options

    def _changes(self, index: ParameterIndex) -> Iterable[tuple[int, Change]]:
        def change(options: dict[str, Any]) -> None:
            options.update(self._options)

        return ((position, change) for position in self._selector._chosen(index))

    def _wrong_options(self, optimizer: Callable[..., Optimizer] | None) -> list[str]:
        return [f"{self}: {text}" for text in bad_options(self._options, optimizer)]

    def _misses(self, index: ParameterIndex) -> list[str]:
        return [
            f'{self}: {text}. Correct the rule, or pass unused="ignore".'
            for text in self._selector._misses(index)
        ]

    def __repr__(self) -> str:
        options = "".join(f", {key}={value!r}" for key, value in self._options.items())
        return f"when({self._selector}{options})"


class _LayerDecay(Rule):
    def __init__(self, decay: float, layer_of: Callable[[str], int], min_scale: float) -> None:
        self._decay = decay
        self._layer_of = layer_of
        self._min_scale = min_scale

    def _changes(self, index: ParameterIndex) -> Iterable[tuple[int, Change]]:
        layers: list[Any] = []
        for each in index:  # at its first name: an alias is in no list of layers
            try:
                layers.append(self._layer_of(each.name))
            except Exception as error:
                raise failed_for(each.name, f"{self}: layer_of", error) from error
        wrong = [
            f"{each.name} -> {layer!r}"
            for each, layer in zip(index, layers, strict=True)
            if not isinstance(layer, (int, Integral))  # the abstract class is slow: last
        ]
        if wrong:
            raise GroupError(
                f"{self}: layer_of must return an int for each name, the number of its layer, "
                f"but returned {first_few(wrong)}."
            )
        numbers = list(map(int, layers))  # one of numpy's may overflow
        deepest = max(numbers, default=0)
        scales = {number: partial(self._scale, above=deepest - number) for number in set(numbers)}
        return enumerate(scales[number] for number in numbers)

    def _scale(self, options: dict[str, Any], above: int) -> None:
        """Scale the lr of a parameter with so many layers above its own."""
        try:
            factor = max(self._min_scale, self._decay**above)
        except OverflowError as error:
            raise GroupError(
                f"{self}: {self._decay} ** {above} is too large a factor. Check that "
                "layer_of returns the number of a layer, and that decay is at most 1."
            ) from error
        lr = options.get("lr", NO_LR)
        options["lr"] = lr if lr is NO_LR else lr * factor

    def __repr__(self) -> str:
        layer_of = getattr(self._layer_of, "__name__", type(self._layer_of).__name__)
        least = f", min_scale={self._min_scale}" if self._min_scale else ""
        return f"layer_decay({self._decay}, {layer_of}{least})"


def when(select: Select, *, name: str | None = None, **options: Any) -> Rule:
    """Set options for the parameters that are selected.

    Parameters
    ----------
    select : str, re.Pattern, type, torch.nn.Module, callable or Selector
        Which parameters: a glob for the whole name, where ``*`` crosses dots; a compiled
        regular expression, searched for in the name; a module, a module type, or types joined
        by ``|``, for all that is inside; a predicate, which is called with a
        :class:`~optimkit.ParamInfo`, as in ``lambda info: "attn" in info.name``; or these
        combined with ``&``, ``|`` and ``~``, beginning with a selector such as `is_bias`.
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
        If `select` is none of these, or `name` is not a string.

    Notes
    -----
    A tied parameter has several names and owners. It is selected if one of them is.

    Examples
    --------
    >>> when("head.*", name="head", lr=1e-2)
    when('head.*', name='head', lr=0.01)
    """
    if name is not None:
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {type(name).__name__}")
        options = {"name": name, **options}
    return _When(select_by(select), options)


def layer_decay(decay: float, layer_of: Callable[[str], int], min_scale: float = 0.0) -> Rule:
    """Lower the learning rate from layer to layer, from the last to the first.

    A parameter's ``lr``, as it is where the rule stands, is multiplied by
    ``decay ** (deepest layer - its layer)``. A real ``lr`` comes out, which every optimizer
    and every scheduler understands.

    Parameters
    ----------
    decay : float
        The factor from a layer to the one before it.
    layer_of : callable
        Returns the number of its layer for the name of a parameter. The deepest layer is the
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
        If `layer_of` is not callable, or a number is not one.

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
