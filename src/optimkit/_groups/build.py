"""Parameter groups by rule: what ``torch.optim`` takes, with names and without surprises."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from .._errors import GroupError, first_few
from .._parameters import Model, ParameterIndex
from .options import bad_options, identity, name_groups, own_options
from .rules import NO_LR, Change, Rule
from .selectors import Select, select_by

Frozen = Literal["skip", "keep", "error"]
Unused = Literal["error", "warn", "ignore"]
Named = tuple[str, nn.Parameter]


def param_groups(
    model: Model,
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
        What :func:`~optimkit.when` and :func:`~optimkit.layer_decay` return. They apply from left
        to right, and a later one wins, option by option.
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
        such option, a value is out of range, a rule scales a learning rate that is not set, or a
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
    >>> groups = param_groups(model, when(is_bias | is_norm, weight_decay=0.0), weight_decay=0.1)
    >>> for group in groups:
    ...     print(group["name"], [name for name, _ in group["params"]])
    default ['0.weight', '2.weight']
    weight_decay=0 ['0.bias', '1.weight', '1.bias', '2.bias']
    >>> optimizer = torch.optim.AdamW(groups, lr=1e-3)
    """
    _check_arguments(rules, optimizer, frozen, unused)
    index = ParameterIndex(model)
    problems = [f"param_groups(...): {text}" for text in bad_options(base, optimizer)]
    if "name" in base:
        problems.append(
            "param_groups(...): 'name' is for one group; pass when(select, name=...) instead."
        )
    problems += [text for rule in rules for text in rule._wrong_options(optimizer)]
    problems += _wrong_parameters(index, frozen)
    misses = [] if unused == "ignore" else [text for rule in rules for text in rule._misses(index)]
    if problems or (misses and unused == "error"):
        raise GroupError(*problems, *misses)
    for text in misses:
        warnings.warn(text, stacklevel=2)
    groups = _sort(index, rules, base, with_frozen=frozen == "keep")
    unscaled = [
        name for group in groups if group.options.get("lr") is NO_LR for name, _ in group.members
    ]
    if unscaled:
        raise GroupError(
            f"layer_decay has no lr to scale for {first_few(unscaled)}. "
            "Pass param_groups(..., lr=...)."
        )
    names = name_groups([group.options for group in groups], base)
    return [
        {"params": group.members, **own_options(group.options), "name": name}
        for group, name in zip(groups, names, strict=True)
    ]


def partition(model: Model, **selectors: Select) -> dict[str, list[Named]]:
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
    index = ParameterIndex(model)
    if problems := _wrong_parameters(index, None):
        raise GroupError(*problems)
    parts: dict[str, list[Named]] = {part: [] for part in chosen}
    left, several = [], []
    for record in index:
        if not record.param.requires_grad:
            continue
        inside = [
            part for part, selector in chosen.items() if record._position in selector._chosen(index)
        ]
        for part in inside:
            parts[part].append((record.name, record.param))
        if not inside:
            left.append(record.name)
        elif len(inside) > 1:
            several.append(f"{record.name} ({' and '.join(inside)})")
    problems = []
    if left:
        problems.append(
            f"these parameters are in no part: {first_few(left)}. "
            "Widen a selector, add a part, or freeze them."
        )
    if several:
        problems.append(
            f"these parameters are in several parts: {first_few(several)}. "
            "Narrow a selector, for instance with & ~."
        )
    if problems:
        raise GroupError(*problems)
    return parts


@dataclass
class _Group:
    """The parameters that have the same options."""

    options: dict[str, Any]
    members: list[Named] = field(default_factory=list)


def _sort(
    index: ParameterIndex, rules: Sequence[Rule], base: Mapping[str, Any], *, with_frozen: bool
) -> list[_Group]:
    """Put each parameter into the group that has its options."""
    changes: list[list[Change]] = [[] for _ in index]
    for rule in rules:
        for position, change in rule._changes(index):
            changes[position].append(change)
    groups: dict[Hashable, _Group] = {}
    groups_by_changes: dict[tuple[Change, ...], _Group] = {}  # options are merged once for each
    for record in index:
        if not (with_frozen or record.param.requires_grad):
            continue
        own = tuple(changes[record._position])
        group = groups_by_changes.get(own)
        if group is None:
            options = dict(base)
            for change in own:
                change(options)
            group = groups.setdefault(identity(options), _Group(options))
            groups_by_changes[own] = group
        group.members.append((record.name, record.param))
    return list(groups.values())


def _check_arguments(rules: Iterable[object], optimizer: object, frozen: str, unused: str) -> None:
    for rule in rules:
        if not isinstance(rule, Rule):
            raise TypeError(
                f"a rule comes from when(...) or layer_decay(...), not {type(rule).__name__}"
            )
    if isinstance(optimizer, Optimizer) or not (optimizer is None or callable(optimizer)):
        raise TypeError(
            f"optimizer must be the class that will take the groups, not {type(optimizer).__name__}"
        )
    words = (("frozen", frozen, get_args(Frozen)), ("unused", unused, get_args(Unused)))
    problems = [
        f"{option}={value!r}: choose one of {', '.join(map(repr, choices))}."
        for option, value, choices in words
        if value not in choices
    ]
    if problems:
        raise GroupError(*problems)


def _wrong_parameters(index: ParameterIndex, frozen: Frozen | None) -> list[str]:
    """Return why these parameters can't be optimized."""
    if not len(index):
        return ["the model has no parameters: there is nothing to optimize."]
    if lazy := [record.name for record in index if is_lazy(record.param)]:
        return [
            f"these parameters have no shape before the first batch: {first_few(lazy)}. "
            "Run the model on a batch, then build the groups."
        ]
    names = [record.name for record in index if not record.param.requires_grad]
    if frozen == "keep" or not names:
        return []
    if len(names) == len(index):
        advice = "Unfreeze some." if frozen is None else 'Unfreeze some, or pass frozen="keep".'
        return [
            "the model has no trainable parameter: requires_grad is False for all "
            f"{len(names)}. {advice}"
        ]
    if frozen == "error":
        return [
            f"these parameters are frozen: {first_few(names)}. "
            'Unfreeze them, or pass frozen="skip" or "keep".'
        ]
    return []
