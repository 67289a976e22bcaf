"""Parameter groups by rule: what ``torch.optim`` takes, with names and without surprises.

Rules apply from left to right, and the later one wins, option by option, as in CSS. What has
equal options in the end is one group, since an optimizer's cost grows with its groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import compress, repeat
from operator import attrgetter
from typing import Any

from torch import nn
from torch.optim import Optimizer

from .._errors import GroupError
from .._parameters import Walk
from .._walking import walk
from .naming import name_groups
from .options import identity, own_options
from .problems import (
    Frozen,
    Named,
    Unused,
    check_arguments,
    not_in_one_part,
    without_shape,
    wrong_groups,
    wrong_options,
    wrong_parameters,
)
from .rules import Rule
from .selectors import Select, ask_predicates, select_by


def param_groups(
    model: nn.Module | Mapping[str, nn.Module],
    *rules: Rule,
    optimizer: Callable[..., Optimizer] | None = None,
    frozen: Frozen = "skip",
    unused: Unused = "error",
    **base: Any,
) -> list[dict[str, Any]]:
    """Build the parameter groups of a model, by rule.

    Parameters
    ----------
    model : torch.nn.Module or mapping of str to torch.nn.Module
        A model, or several by name; each parameter's name then begins with its key. Names are
        the model's own, whether or not it is wrapped or compiled.
    *rules : Rule
        What :func:`~optimkit.when` and :func:`~optimkit.layer_decay` give. They apply from left to right, and a
        later one wins, option by option.
    optimizer : type, optional
        The class that will take the groups, or a ``functools.partial`` of it. Each option is
        then checked against it.
    frozen : {"skip", "keep", "error"}, optional
        What to do with parameters that don't require a gradient.
    unused : {"error", "warn", "ignore"}, optional
        What to do with a name in a rule that no parameter has. A rule by kind, such as
        `is_norm` or a module type, may select nothing: one recipe serves all models.
    **base
        Options of every parameter, before the rules.

    Returns
    -------
    list of dict
        One dict a group, in the order in which their parameters come: ``params`` holds pairs
        of a name and a parameter, ``name`` is unique, the rest are options. Any class in
        ``torch.optim`` takes the list as it is.

    Raises
    ------
    GroupError
        If a name in a rule is no parameter's, nothing can be trained, the optimizer has no
        such option, a value is out of range, a learning rate is scaled that nobody gave, or a
        function in a rule fails.
    TypeError
        If an argument is of a wrong type.

    Notes
    -----
    Parameters whose options are equal share a group, unless a name was asked for: an optimizer
    with a group for every tensor takes far longer to build. A tied parameter comes once. A
    learning rate that is a tensor is cloned, one for each group.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import is_bias, is_norm, when
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    >>> groups = param_groups(
    ...     model,
    ...     when(is_bias | is_norm, weight_decay=0.0),
    ...     when("2.*", name="head", lr=1e-2),
    ...     optimizer=torch.optim.AdamW,
    ...     lr=1e-3,
    ...     weight_decay=0.1,
    ... )
    >>> for group in groups:
    ...     print(group["name"], group["lr"], [name for name, _ in group["params"]])
    default 0.001 ['0.weight']
    weight_decay=0 0.001 ['0.bias', '1.weight', '1.bias']
    head 0.01 ['2.weight']
    head, weight_decay=0 0.01 ['2.bias']
    >>> optimizer = torch.optim.AdamW(groups)
    >>> optimizer.param_groups[0]["param_names"]
    ['0.weight']
    """
    check_arguments(rules, optimizer, frozen, unused)
    found = walk(model)
    problems = wrong_options(rules, base, optimizer)
    if found.lazy:  # a rule may look at shapes
        problems.append(without_shape(found))
        raise GroupError(*problems)
    trainable = _trainable(found)
    problems += wrong_parameters(found, trainable, frozen)
    ask_predicates(found, (each for rule in rules for each in rule.selectors()))
    misses = [] if unused == "ignore" else [text for rule in rules for text in rule.misses(found)]
    if problems or (misses and unused == "error"):
        raise GroupError(*problems, *misses)
    for text in misses:
        warnings.warn(text, stacklevel=2)
    groups = _sort(found, rules, base, trainable if frozen == "skip" else b"")
    problems = wrong_groups(groups.options, groups.members, optimizer)
    if problems:
        raise GroupError(*problems)
    names = name_groups(groups.options, base)
    return [
        {"params": pairs, **own_options(options), "name": name}
        for pairs, options, name in zip(groups.members, groups.options, names, strict=True)
    ]


def partition(
    model: nn.Module | Mapping[str, nn.Module], **selectors: Select
) -> dict[str, list[Named]]:
    """Split the trainable parameters of a model into named parts, none left, none twice.

    Parameters
    ----------
    model : torch.nn.Module or mapping of str to torch.nn.Module
        A model, or several by name, as in :func:`~optimkit.param_groups`.
    **selectors : str, re.Pattern, type, torch.nn.Module, callable or Selector
        What belongs to each part, as in :func:`~optimkit.when`. A part may turn out to be empty.

    Returns
    -------
    dict of str to list
        For each part, pairs of a name and a parameter: any optimizer takes such a list.

    Raises
    ------
    GroupError
        If a trainable parameter is in no part, or in several.
    TypeError
        If an argument is of a wrong type.

    Notes
    -----
    ``torch.optim.Muon`` takes matrices of exactly two dimensions. In a model with convolutions,
    narrow its part: ``flat = is_matrix & (lambda info: info.param.ndim == 2)``, and split by
    ``muon=flat, adamw=~flat``.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from optimkit import is_matrix, partition
    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    >>> parts = partition(model, muon=is_matrix, adamw=~is_matrix)
    >>> {part: [name for name, _ in pairs] for part, pairs in parts.items()}
    {'muon': ['1.weight'], 'adamw': ['0.weight', '1.bias', '2.weight', '2.bias']}
    """
    chosen = {part: select_by(select) for part, select in selectors.items()}
    found = walk(model)
    if found.lazy:
        raise GroupError(without_shape(found))
    trainable = _trainable(found)
    problems = wrong_parameters(found, trainable, None)
    if problems:
        raise GroupError(*problems)
    pairs = list(compress(zip(found.names, found.params, strict=True), trainable))
    ask_predicates(found, chosen.values())
    answers = {
        part: list(compress(found.first_of(selector.over(found)), trainable))
        for part, selector in chosen.items()
    }
    problems = not_in_one_part([name for name, _ in pairs], answers)
    if problems:
        raise GroupError(*problems)
    return {part: list(compress(pairs, answer)) for part, answer in answers.items()}


def _trainable(found: Walk) -> bytes:
    """Tell, for each parameter, whether it requires a gradient."""
    return bytes(map(attrgetter("requires_grad"), found.params))


class _Groups(dict[tuple[Any, ...], list[Named]]):
    """The list that a parameter belongs to, by its entries in the rules' columns."""

    def __init__(self, rules: Sequence[Rule], base: Mapping[str, Any]) -> None:
        super().__init__()
        self.rules = rules
        self.base = base
        self.options: list[dict[str, Any]] = []
        self.members: list[list[Named]] = []
        self._with: dict[Hashable, list[Named]] = {}

    def __missing__(self, key: tuple[Any, ...]) -> list[Named]:
        """Resolve the options of a new kind of parameter, and find or open its group."""
        options = dict(self.base)
        for rule, entry in zip(self.rules, key, strict=True):
            if entry:
                rule.apply(entry, options)
        same = identity(options)
        if same not in self._with:
            self._with[same] = []
            self.options.append(options)
            self.members.append(self._with[same])
        self[key] = members = self._with[same]
        return members


def _sort(found: Walk, rules: Sequence[Rule], base: Mapping[str, Any], wanted: bytes) -> _Groups:
    """Put each wanted parameter into its group, in one pass."""
    columns = [found.first_of(rule.column(found)) for rule in rules]
    pairs: Iterable[Named] = zip(found.names, found.params, strict=True)
    keys: Iterable[tuple[Any, ...]] = zip(*columns, strict=True) if columns else repeat(())
    if 0 in wanted:
        pairs, keys = compress(pairs, wanted), compress(keys, wanted)
    groups = _Groups(rules, base)
    for members, pair in zip(map(groups.__getitem__, keys), pairs, strict=False):
        members.append(pair)
    return groups
