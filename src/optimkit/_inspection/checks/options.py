"""Whether the options of the groups are ones that the optimizer knows and can use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..._errors import first_few
from ..._optimizer_view import OptimizerView
from ..._torch_optimizers import closest_option, is_extra
from ..._values import plain, same
from ..findings import Finding, finding
from ..scene import Scene

_ALIKE = 0.8  # an option this like a known one is probably a misspelt one
_TINY = 1e-12  # where a schedule ends at 0, rounding may leave as much on either side


def unknown_option(scene: Scene) -> Iterator[Finding]:
    """Find options that the optimizer does not know, and ignores (S29)."""
    for called, held in scene.each():
        options = [key for key in held.defaults if isinstance(key, str)]
        strict = held.torch_class is not None
        where: dict[str, list[str]] = {}
        for label, group in zip(held.labels, held.options, strict=True):
            for key in group:
                known = key in held.defaults or is_extra(key)
                if not known and (strict or closest_option(key, options, _ALIKE)):
                    where.setdefault(key, []).append(label)
        if where:
            guesses = {key: closest_option(key, options, _ALIKE) for key in where}
            hints = [f"{key} -> {guess}" for key, guess in guesses.items() if guess]
            yield finding(
                "unknown-option",
                list(dict.fromkeys(label for labels in where.values() for label in labels)),
                f"{called} does not know {first_few(where)}, and ignores it: torch takes any key "
                "in a group.",
                f"Did you mean {first_few(hints)}?"
                if hints
                else f"Leave it out; {called} knows {first_few(options, 12)}.",
            )


def bad_option(scene: Scene) -> Iterator[Finding]:
    """Find options that the class itself would have refused as a default (S29)."""
    for called, held in scene.each():
        wrong: list[tuple[str, str]] = []
        for label, group in zip(held.labels, held.options, strict=True):
            lacking = [key for key in held.defaults if key not in group and key != "differentiable"]
            reason = f"{first_few(lacking)} missing" if lacking else _refused(held, group)
            if reason:
                wrong.append((label, reason))
        if wrong:
            yield finding(
                "bad-option",
                [label for label, _ in wrong],
                f"{called} can't use {first_few((f'{g}: {why}' for g, why in wrong), 3)}. torch "
                "checks the defaults only, not the groups.",
                "Set the option in optimizer.param_groups to what the class takes.",
            )


def empty_group(scene: Scene) -> Iterator[Finding]:
    """Find groups without parameters (S29)."""
    for called, held in scene.each():
        full = set(held.group_of)
        empty = [label for index, label in enumerate(held.labels) if index not in full]
        if empty:
            yield finding(
                "empty-group",
                empty,
                f"{called} has no parameters in {first_few(empty)}: nothing matched, or a "
                "generator had been used up.",
                "Leave the group out, or give it a list.",
            )


def aliased_lr(scene: Scene) -> Iterator[Finding]:
    """Find groups that share one tensor as their lr (S31)."""
    owners: dict[int, list[str]] = {}
    for called, held in scene.each():
        for label, group in zip(held.labels, held.groups, strict=True):
            if isinstance(group.get("lr"), Tensor):
                where = label if len(scene.holdings) == 1 else f"{called} {label}"
                owners.setdefault(id(group["lr"]), []).append(where)
    for labels in owners.values():
        if len(labels) > 1:
            yield finding(
                "aliased-lr",
                labels,
                f"{first_few(labels)} share one tensor as lr: what sets the lr of one sets all.",
                "Give each group its own: lr=lr.clone().",
            )


def zero_lr(scene: Scene) -> Iterator[Finding]:
    """Find groups whose lr is 0 (S25)."""
    for called, held in scene.each():
        zero = [
            label
            for label, group in zip(held.labels, held.options, strict=True)
            if isinstance(group.get("lr"), (int, float)) and group["lr"] == 0
        ]
        if zero:
            yield finding(
                "zero-lr",
                zero,
                f"{called}: lr is 0 in {first_few(zero)}. The parameters stand still while "
                "momentum goes on building up.",
                "To freeze, set requires_grad=False and .grad = None.",
            )


def differs_from_defaults(scene: Scene) -> Iterator[Finding]:
    """Find options that a later add_param_group will not inherit (S30)."""
    for called, held in scene.each():
        where: dict[str, list[str]] = {}
        for label, group in zip(held.labels, held.options, strict=True):
            for key, default in held.defaults.items():
                value = group.get(key, default)
                if key == "lr":
                    value = plain(group.get("initial_lr", value))
                if not same(value, plain(default)) and not _cycled(key, group):
                    where.setdefault(key, []).append(label)
        if where:
            yield finding(
                "differs-from-defaults",
                list(dict.fromkeys(label for labels in where.values() for label in labels)),
                f"{called}.defaults is not what the groups have: "
                f"{'; '.join(f'{key} in {first_few(names, 3)}' for key, names in where.items())}. "
                "A group added later starts from the defaults.",
                "Say each option in add_param_group; editing defaults changes no group.",
            )


def _cycled(key: str, group: Mapping[str, Any]) -> bool:
    """Tell whether a scheduler moves this option up and down."""
    return key in ("momentum", "betas") and "base_momentum" in group


def _refused(held: OptimizerView, group: Mapping[str, Any]) -> str | None:
    """Say why the options can't be used, in the class's own words where it is torch's."""
    for key in ("lr", "weight_decay"):
        value = group.get(key)
        if isinstance(value, Tensor) or key not in group:
            continue
        if not isinstance(value, (int, float)):
            return f"{key}={value!r} is {type(value).__name__}, not a number"
        if not -_TINY <= value < math.inf:
            return f"{key}={value!r}"
    kind = held.torch_class
    if kind is None:
        return None
    reason = _try(kind, group)
    return reason if reason and not _try(kind, held.defaults) else None


def _try(kind: str, options: Mapping[str, Any]) -> str | None:
    """Build the class with these options, over one number; return what it objects to."""
    cls = getattr(torch.optim, kind)
    known = cls.__init__.__code__.co_varnames[: _arguments(cls)]
    given = {key: plain(value) for key, value in options.items() if key in known}
    lr = given.get("lr")
    if isinstance(lr, Tensor) or (isinstance(lr, (int, float)) and abs(lr) <= _TINY):
        given["lr"] = 1e-3  # a schedule may end at 0, which SparseAdam would not start from
    try:
        cls([torch.nn.Parameter(torch.empty(1, 1))], **given)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        return str(error).partition("\n")[0]
    return None


def _arguments(cls: type) -> int:
    code = cls.__init__.__code__  # type: ignore[misc]
    return int(code.co_argcount + code.co_kwonlyargcount)
