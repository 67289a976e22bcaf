"""What is wrong with the groups or the parts that were asked for, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.optim import LBFGS, Optimizer

from .._errors import GroupError, first_few
from .._parameters import Walk
from .options import bad_options, class_of
from .rules import NOTHING, Rule

Frozen = Literal["skip", "keep", "error"]
Unused = Literal["error", "warn", "ignore"]
Named = tuple[str, nn.Parameter]


def check_arguments(rules: Iterable[object], optimizer: object, frozen: str, unused: str) -> None:
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


def wrong_options(
    rules: Iterable[Rule], base: Mapping[str, Any], optimizer: Callable[..., Optimizer] | None
) -> list[str]:
    """Say which options, of all parameters or of a rule, can't be."""
    wrong = [f"param_groups(...): {text}" for text in bad_options(base, optimizer)]
    if "name" in base:
        wrong.append(
            "param_groups(...): 'name' is for one group; pass when(select, name=...) instead."
        )
    return wrong + [text for rule in rules for text in rule.wrong_options(optimizer)]


def without_shape(found: Walk) -> str:
    """Say which parameters wait for the first batch."""
    return (
        f"these parameters have no shape before the first batch: {first_few(found.lazy)}. "
        "Run the model on a batch, then build the groups."
    )


def wrong_parameters(found: Walk, trainable: bytes, frozen: Frozen | None) -> list[str]:
    """Say why these parameters can't be optimized."""
    if not found.places:
        return ["the model has no parameters: there is nothing to optimize."]
    if frozen == "keep":
        return []
    if 1 not in trainable:
        advice = "Unfreeze some." if frozen is None else 'Unfreeze some, or pass frozen="keep".'
        return [
            f"the model has no trainable parameter: requires_grad is False for all "
            f"{len(trainable)}. {advice}"
        ]
    if frozen == "error" and 0 in trainable:
        names = [name for name, free in zip(found.names, trainable, strict=True) if not free]
        return [
            f"these parameters are frozen: {first_few(names)}. "
            'Unfreeze them, or pass frozen="skip" or "keep".'
        ]
    return []


def wrong_groups(
    options: Sequence[Mapping[str, Any]],
    members: Sequence[Sequence[Named]],
    optimizer: Callable[..., Optimizer] | None,
) -> list[str]:
    """Say which lr is scaled that nobody gave, and whether there are too many groups."""
    problems = []
    unscaled = [
        name
        for each, pairs in zip(options, members, strict=True)
        if each.get("lr") is NOTHING
        for name, _ in pairs
    ]
    if unscaled:
        problems.append(
            f"layer_decay has no lr to scale for {first_few(unscaled)}. "
            "Pass param_groups(..., lr=...)."
        )
    kind = class_of(optimizer)
    muon = getattr(torch.optim, "Muon", None)
    if muon and isinstance(kind, type) and issubclass(kind, muon):
        wrong = [
            f"{name} {tuple(param.shape)}"
            for pairs in members
            for name, param in pairs
            if param.dim() != 2
        ]
        if wrong:
            problems.append(
                f"Muon takes parameters of two dimensions only, not {first_few(wrong)}. "
                "Give these to another optimizer; partition splits a model."
            )
    if len(members) > 1 and isinstance(kind, type) and issubclass(kind, LBFGS):
        problems.append(
            f"LBFGS takes one group, and the rules make {len(members)}. "
            "Leave the rules out, or take another optimizer."
        )
    return problems


def not_in_one_part(names: Sequence[str], answers: Mapping[str, Sequence[int]]) -> list[str]:
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
