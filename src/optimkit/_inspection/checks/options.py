"""Whether the options of the groups are ones that the optimizer knows and can use."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..._errors import first_few, written
from ..._optimizer_view import OptimizerView
from ..._parameters import is_bias_of, is_norm_layer
from ..._tables import in_few
from ..._torch_optimizers import arguments_of, closest_option, is_extra
from ..._torch_schedulers import members_of
from ..._values import plain, same
from ..._wrappers import unwrapped
from ..schedule import ended
from . import AuditContext, Found, error, groups_where, note, warning

_ALIKE = 0.8  # an option this like a known one is probably a misspelt one
_TINY = 1e-12  # where a schedule ends at 0, rounding may leave as much on either side


@error(
    "{label} ignores {keys}, which it does not know: torch takes any key in a group. Did you mean "
    "{hints}?",
    "Correct its name in optimizer.param_groups, or delete it.",
    rows="S29",
)
def unknown_option(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    where = {
        key: labels
        for key, labels in _unread(view).items()
        if _meant(key, view) and not _writes(key, view)
    }
    hints = first_few(f"{key} -> {_meant(key, view)}" for key in where)
    yield _labels(where), {"keys": first_few(where), "hints": hints}


@note(
    "{label} does not read {keys}. It knows {known}.",
    "Leave it, if a script or a trainer reads it. Delete it otherwise.",
    rows="S29",
)
def unread_key(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    where = {
        key: labels
        for key, labels in _unread(view).items()
        if view.torch_class and not any(ask(key, view) for ask in (_meant, _writes, _scales_lr))
    }
    yield _labels(where), {"keys": first_few(where), "known": first_few(view.defaults, 12)}


@error(
    "{label} can't use {reasons}. torch checks the defaults, not the groups.",
    "Set it in optimizer.param_groups to what the class takes.",
    rows="S29",
)
def bad_option(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    wrong = []
    needed = _needed(view)
    over = any(ended(each) for root in context.driving(view) for each in members_of(root))
    for label, options in zip(view.labels, view.options, strict=True):
        group = {**options, "lr": 0.0} if over else options
        lacking = [key for key in view.defaults if key in needed and key not in group]
        reason = f"{first_few(lacking)} missing" if lacking else _refused(view, group)
        if reason:
            wrong.append((label, reason))
    reasons = first_few(map(": ".join, wrong), 3)
    yield [label for label, _ in wrong], {"reasons": reasons}


@warning(
    "{label} has no parameters in {names}: nothing matched, or a generator was used up.",
    "Leave the group out, or pass a list of parameters.",
    rows="S29",
)
def empty_group(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    yield [each for index, each in enumerate(view.labels) if index not in view.group_of], {}


@error(
    "{names} share one tensor as lr: setting one sets them all.",
    "Give each group a tensor of its own: lr=lr.clone().",
    rows="S31",
)
def aliased_lr(context: AuditContext) -> Iterator[Found]:
    owners: dict[int, list[str]] = {}
    for label, view in context.optimizers.items():
        for group_label, group in zip(view.labels, view.groups, strict=True):
            if isinstance(group.get("lr"), Tensor):
                where = group_label if len(context.optimizers) == 1 else f"{label} {group_label}"
                owners.setdefault(id(group["lr"]), []).append(where)
    yield from ((labels, {}) for labels in owners.values() if len(labels) > 1)


@note(
    "{label}: lr is 0 in {names}. The parameters stand still, while momentum goes on building up.",
    "To freeze parameters, set requires_grad=False and .grad = None.",
    rows="S25",
)
def zero_lr(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    yield [] if context.driving(view) else zero_groups(view), {}


def zero_groups(view: OptimizerView) -> list[str]:
    """Return the groups whose lr is 0."""
    return groups_where(view, lambda group: same(group.get("lr"), 0))


@note(
    "{label} adds weight_decay to the gradient in {names}, and divides by what gradients were like: "
    "weights with large gradients hardly decay.",
    "Use AdamW, or decoupled_weight_decay=True, for decay of the weights.",
)
def coupled_decay(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    usual = view.torch_class != "Adam"  # torch 2.6 has the class for it, and no option

    def couples(group: Mapping[str, Any]) -> bool:
        return bool(group.get("weight_decay")) and not group.get("decoupled_weight_decay", usual)

    yield groups_where(view, couples), {}


@note(
    "{label} decays {patterns} as well: biases and the weights of norms, which most recipes leave out.",
    "Give them weight_decay=0, as optimkit.param_groups does with when(is_bias | is_norm, "
    "weight_decay=0); leave it if your recipe decays all.",
)
def decay_on_bias(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    if view.optimizer is None:  # saved: its class is not there to be asked
        return
    usual = _usual(view, "weight_decay")  # which nobody has chosen
    decays = [group.get("weight_decay") for group in view.options]
    chosen = [bool(decay) and not same(decay, usual) for decay in decays]
    if not any(chosen):
        return
    left_out = {
        id(each.param)
        for index in context.indexes
        for each in index.occurrences
        if is_bias_of(each) or is_norm_layer(each.module)
    }
    names = [
        each.name
        for each in view.held
        if chosen[each.group] and id(each.param) in left_out and each.param.requires_grad
    ]
    yield names, {"patterns": first_few(pattern for pattern, _ in in_few(names))}


@note(
    "{label}: eps is 0 in float16 in {names}. Where no gradient has been, the step divides 0 by 0.",
    "Set eps=1e-4 or more, or keep the parameters in float32.",
)
def tiny_eps(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    half = {
        view.labels[each.group]: None
        for each in view.held
        if getattr(each.param, "dtype", None) is torch.float16
        and isinstance(eps := each.options.get("eps"), float)
        and 0 < eps <= 2**-25  # torch.tensor(2**-25, dtype=torch.float16) is 0
    }
    yield half, {}


@note(
    "{label} makes the update of {names} orthogonal: rows that are looked up, or score a class each, "
    "have no use of that.",
    "Leave embeddings and the output layer to AdamW, as Muon's authors do.",
)
def muon_on_table(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    if "muon" not in view.kind.lower():
        return
    modules = [module for _, module in context.modules()]
    tables = [each for each in modules if isinstance(each, (nn.Embedding, nn.EmbeddingBag))]
    sizes = {each.num_embeddings for each in tables}
    heads = [each for each in modules if isinstance(each, nn.Linear) and each.out_features in sizes]
    wide = {id(each.weight) for each in [*tables, *heads]}
    names = [
        each.name
        for each in view.held
        if id(each.param) in wide and each.options.get("use_muon", True)
    ]
    yield names, {}


@note(
    "{label}.defaults is not what the groups have: {texts}. A group that is added later starts from "
    "the defaults.",
    "Pass every option to add_param_group; editing optimizer.defaults changes no group.",
    rows="S30",
)
def differs_from_defaults(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    where: dict[str, list[str]] = {}
    scheduled = any(unwrapped(each.optimizer) is view.optimizer for each in context.schedulers)
    # Not the lr that a scheduler sets, nor how a step is computed.
    skipped = {"foreach", "fused", *(["lr"] if scheduled else [])}
    own = () if view.optimizer is None else arguments_of(view.optimizer)
    # What nobody can give it, a class counts there: k of schedule-free, lookahead_step of timm.
    for key in [key for key in view.defaults if key in own and key not in skipped]:
        differ = [
            (label, group)
            for label, group in zip(view.labels, view.options, strict=True)
            if not _as_default(key, group, view)
        ]
        # Where some have another value, a rule has made them; so it has where they have names.
        values = [group.get(key) for _, group in differ]
        alike = len(differ) == len(view.groups) and all(same(values[0], each) for each in values)
        if key == "lr" or alike:
            names = [label for label, group in differ if not group.get("name")]
            where |= {key: names} if names else {}
    texts = "; ".join(f"{key} in {first_few(names, 3)}" for key, names in where.items())
    yield _labels(where), {"texts": texts}


def _usual(view: OptimizerView, key: str) -> Any:
    """Return what an option is if nobody gives it; None if there is no such."""
    taken = inspect.signature(type(view.optimizer)).parameters.get(key)
    return None if taken is None else taken.default


def _as_default(key: str, group: Mapping[str, Any], view: OptimizerView) -> bool:
    default = view.defaults[key]
    value = group.get(key, default)
    if key == "lr" and not isinstance(default, Tensor):  # a schedule moves one that groups share
        value = plain(group.get("initial_lr", value))
    cycled = key in ("momentum", "betas") and "base_momentum" in group  # a scheduler moves it
    return same(value, plain(default)) or cycled


def _unread(view: OptimizerView) -> dict[str, list[str]]:
    """Return the keys that are no options of the optimizer, and the groups that have them."""
    where: dict[str, list[str]] = {}
    known = {
        *view.defaults,
        *(key for each in view.around for key in getattr(each, "defaults", ())),
    }
    for group_label, group in zip(view.labels, view.options, strict=True):
        for key in group:
            if key not in known and not is_extra(key):
                where.setdefault(key, []).append(group_label)
    return where


def _meant(key: str, view: OptimizerView) -> str | None:
    """Return the option that a key is a misspelling of; lr_scale is a label beside lr, and none."""
    options = [option for option in view.defaults if isinstance(option, str)]
    if any(f"_{option}_" in f"_{key}_" for option in options):
        return None
    return closest_option(key, options, _ALIKE)


def _writes(key: str, view: OptimizerView) -> bool:
    """Return whether a package's own class has this key in quotation marks somewhere in its modules."""
    own = [*view.around, *([] if view.torch_class else [view.optimizer])]
    modules = {kind.__module__ for each in own for kind in type(each).__mro__}
    texts = map(_source_of, modules - {"builtins", "__main__", "torch.optim.optimizer"})
    return any(f"{mark}{key}{mark}" in text for text in texts for mark in "'\"")


def _source_of(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        return ""


def _scales_lr(key: str, view: OptimizerView) -> bool:
    """Return whether a script has multiplied the lr of each group by this key of it, if it has one."""
    pairs: list[Any] = [(group.get("lr"), group.get(key, 1)) for group in view.options]
    if not all(isinstance(each, (int, float)) for pair in pairs for each in pair):
        return False
    lr, scale = max(pairs, key=lambda pair: abs(pair[1]))
    alike = all(math.isclose(lr * other, scale * own, rel_tol=1e-6) for own, other in pairs)
    return alike and len({scale for _, scale in pairs}) > 1


def _needed(view: OptimizerView) -> set[str]:
    """Return the options that every group needs: what only `defaults` has, a class keeps for itself."""
    if view.torch_class:
        taken = set(inspect.signature(getattr(torch.optim, view.torch_class)).parameters)
    else:
        taken = {key for group in view.options for key in group}
    return taken.intersection(view.defaults) - {"differentiable"}


def _labels(where: Mapping[str, list[str]]) -> list[str]:
    return list(dict.fromkeys(label for labels in where.values() for label in labels))


def _refused(view: OptimizerView, group: Mapping[str, Any]) -> str | None:
    """Say why the options can't be used, in the class's own words where it is torch's."""
    for key in ("lr", "weight_decay"):
        value = group.get(key)
        if isinstance(value, Tensor) or key not in group:
            continue
        if view.torch_class is None and value is None and view.defaults.get(key, 0) is None:
            continue  # transformers' Adafactor(lr=None) finds its own
        if not isinstance(value, (int, float)):
            return f"{key}={written(value, repr)} is {type(value).__name__}, not a number"
        if not -_TINY <= value < math.inf and (key != "lr" or math.isfinite(value)):
            return f"{key}={written(value, repr)}"
    kind = view.torch_class
    reason = kind and _try(kind, group)
    if kind is None or not reason or _try(kind, view.defaults):
        return None
    for key, value in group.items():
        if _try(kind, {**view.defaults, key: value}):
            return f"{key}={written(value, repr)}: {reason}"
    return reason  # by how they go together


def _try(kind: str, options: Mapping[str, Any]) -> str | None:
    """Build the class with these options, over one number; return what it objects to."""
    cls = getattr(torch.optim, kind)
    known = inspect.signature(cls).parameters
    given = {key: plain(value) for key, value in options.items() if key in known}
    lr = given.get("lr")
    if isinstance(lr, Tensor) or (isinstance(lr, (int, float)) and not _TINY < abs(lr) < math.inf):
        given["lr"] = 1e-3  # a schedule may end at 0, which SparseAdam would not start from
    try:
        cls([torch.nn.Parameter(torch.empty(1, 1))], **given)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        return str(error).partition("\n")[0]
    return None
