"""Parameter groups by rule: what ``torch.optim`` takes, with names and without surprises.

Rules apply from left to right, and the later one wins, option by option, as in CSS. What has
equal options in the end is one group, since an optimizer's cost grows with its groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import compress, repeat
from operator import attrgetter
from typing import Any, Literal, get_args

from torch import nn
from torch.optim import LBFGS, Optimizer

from ..errors import GroupError, first_few
from ..parameters import Walk, walk
from .naming import name_groups
from .options import bad_options, class_of, identity, same_but_own
from .rules import NOTHING, Rule
from .selectors import Select, ask_predicates, select_by

Frozen = Literal["skip", "keep", "error"]
Unused = Literal["error", "warn", "ignore"]
Named = tuple[str, nn.Parameter]


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
        The class that will take the groups. Each option is then checked against it.
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
        such option, a value is out of range, or a learning rate is scaled that nobody gave.
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
    _check_arguments(rules, optimizer, frozen, unused)
    found = walk(model)
    problems = _wrong_options(rules, base, optimizer)
    if found.lazy:  # a rule may look at shapes
        problems.append(_without_shape(found))
        raise GroupError(*problems)
    trainable = _trainable(found)
    problems += _wrong_parameters(found, trainable, frozen)
    ask_predicates(found, (each for rule in rules for each in rule.selectors()))
    misses = [] if unused == "ignore" else [text for rule in rules for text in rule.misses(found)]
    if problems or (misses and unused == "error"):
        raise GroupError(*problems, *misses)
    for text in misses:
        warnings.warn(text, stacklevel=2)
    groups = _sort(found, rules, base, trainable if frozen == "skip" else b"")
    problems = _wrong_groups(groups, optimizer)
    if problems:
        raise GroupError(*problems)
    names = name_groups(groups.options, base)
    return [
        {"params": pairs, **same_but_own(options), "name": name}
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
        raise GroupError(_without_shape(found))
    trainable = _trainable(found)
    problems = _wrong_parameters(found, trainable, "skip")
    if problems:
        raise GroupError(*problems)
    pairs = list(compress(zip(found.names, found.params, strict=True), trainable))
    ask_predicates(found, chosen.values())
    answers = {
        part: list(compress(found.first_of(selector.over(found)), trainable))
        for part, selector in chosen.items()
    }
    problems = _not_in_one_part([name for name, _ in pairs], answers)
    if problems:
        raise GroupError(*problems)
    return {part: list(compress(pairs, answer)) for part, answer in answers.items()}


def _check_arguments(rules: Iterable[object], optimizer: object, frozen: str, unused: str) -> None:
    """Refuse what is of a wrong type, or not one of the words."""
    for rule in rules:
        if not isinstance(rule, Rule):
            raise TypeError(
                f"a rule comes from when(...) or layer_decay(...), not {type(rule).__name__}"
            )
    if isinstance(optimizer, Optimizer) or not (optimizer is None or callable(optimizer)):
        raise TypeError(
            f"optimizer must be the class that will take the groups, not {type(optimizer).__name__}"
        )
    problems = [
        f"{option}={value!r}: choose one of {', '.join(map(repr, choices))}."
        for option, value, choices in (
            ("frozen", frozen, get_args(Frozen)),
            ("unused", unused, get_args(Unused)),
        )
        if value not in choices
    ]
    if problems:
        raise GroupError(*problems)


def _wrong_options(
    rules: Iterable[Rule], base: Mapping[str, Any], optimizer: Callable[..., Optimizer] | None
) -> list[str]:
    """Say which options, of all parameters or of a rule, can't be."""
    wrong = [f"param_groups(...): {text}" for text in bad_options(base, optimizer)]
    if "name" in base:
        wrong.append(
            "param_groups(...): 'name' is for one group; pass when(select, name=...) instead."
        )
    return wrong + [text for rule in rules for text in rule.wrong_options(optimizer)]


def _without_shape(found: Walk) -> str:
    """Say which parameters wait for the first batch."""
    return (
        f"these parameters have no shape before the first batch: {first_few(found.lazy)}. "
        "Run the model on a batch, then build the groups."
    )


def _trainable(found: Walk) -> bytes:
    """Tell, for each parameter, whether it requires a gradient."""
    return bytes(map(attrgetter("requires_grad"), found.params))


def _wrong_parameters(found: Walk, trainable: bytes, frozen: Frozen) -> list[str]:
    """Say why these parameters can't be optimized."""
    if not found.places:
        return ["the model has no parameters: there is nothing to optimize."]
    if frozen == "keep":
        return []
    if 1 not in trainable:
        return [
            f"the model has no trainable parameter: requires_grad is False for all "
            f'{len(trainable)}. Unfreeze some, or pass frozen="keep".'
        ]
    if frozen == "error" and 0 in trainable:
        names = [name for name, free in zip(found.names, trainable, strict=True) if not free]
        return [
            f"these parameters are frozen: {first_few(names)}. "
            'Unfreeze them, or pass frozen="skip" or "keep".'
        ]
    return []


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
        members: list[Named] = []
        self[key] = self._with.setdefault(identity(options), members)
        if self[key] is members:
            self.options.append(options)
            self.members.append(members)
        return self[key]


def _sort(found: Walk, rules: Sequence[Rule], base: Mapping[str, Any], wanted: bytes) -> _Groups:
    """Put each wanted parameter into its group, in one pass."""
    columns = [found.first_of(rule.column(found)) for rule in rules]
    pairs = zip(found.names, found.params, strict=True)
    keys = zip(*columns, strict=True) if columns else repeat(())
    members = zip(keys, pairs, strict=False)
    groups = _Groups(rules, base)
    for key, pair in compress(members, wanted) if 0 in wanted else members:
        groups[key].append(pair)
    return groups


def _wrong_groups(groups: _Groups, optimizer: Callable[..., Optimizer] | None) -> list[str]:
    """Say which lr is scaled that nobody gave, and whether there are too many groups."""
    problems = []
    unscaled = [
        name
        for options, pairs in zip(groups.options, groups.members, strict=True)
        if options.get("lr") is NOTHING
        for name, _ in pairs
    ]
    if unscaled:
        problems.append(
            f"layer_decay has no lr to scale for {first_few(unscaled)}. "
            "Pass param_groups(..., lr=...)."
        )
    kind = class_of(optimizer)
    if len(groups.members) > 1 and isinstance(kind, type) and issubclass(kind, LBFGS):
        problems.append(
            f"LBFGS takes one group, and the rules make {len(groups.members)}. "
            "Leave the rules out, or take another optimizer."
        )
    return problems


def _not_in_one_part(names: Sequence[str], answers: Mapping[str, Sequence[int]]) -> list[str]:
    """Say which parameters are in no part, and which in several."""
    places = {
        name: [part for part, answer in answers.items() if answer[index]]
        for index, name in enumerate(names)
    }
    problems = []
    left = [name for name, parts in places.items() if not parts]
    if left:
        problems.append(
            f"these parameters are in no part: {first_few(left)}. "
            "Widen a selector, add a part, or freeze them."
        )
    twice = [f"{name} ({' and '.join(parts)})" for name, parts in places.items() if len(parts) > 1]
    if twice:
        problems.append(
            f"these parameters are in several parts: {first_few(twice)}. "
            "Narrow a selector, for instance with & ~."
        )
    return problems
