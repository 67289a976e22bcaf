"""Which parameters an optimizer has: once or twice, in a model or not, and under which name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.swa_utils import AveragedModel

from ..._errors import first_few
from ..._optimizer_view import OptimizerView, entries
from ..._tables import counted
from ..._values import local
from ..patterns import in_few
from . import AuditContext, Found, check, names_where


@check("duplicate", "error", "S19", "Pass each once, as model.parameters() lists a tied one.")
def duplicate(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        places: dict[Any, list[int]] = {}
        for place, key in enumerate(view.ids):
            places.setdefault(key, []).append(place)
        twice = [_all_names(context, view, each) for each in places.values() if len(each) > 1]
        them = "them" if len(twice) > 1 else "it"
        yield (
            [name for names in twice for name in names],
            f"{label} has {counted(len(twice), 'parameter')} more than once, and each step "
            f"updates {them} more than once: {first_few(' = '.join(names) for names in twice)}.",
        )


@check("shared", "error", "S20", "Leave each parameter to one optimizer.")
def shared(context: AuditContext) -> Iterator[Found]:
    holders: dict[int, dict[str, str]] = {}  # parameter -> the optimizers, and its name in each
    for label, view in context.optimizers.items():
        for name, param in zip(view.names, view.params, strict=True):
            if param is not None:
                holders.setdefault(id(param), {}).setdefault(label, name)
    several = [owners for owners in holders.values() if len(owners) > 1]
    if several:
        names = [next(iter(owners.values())) for owners in several]
        who = " and ".join(several[0])
        yield names, f"{who} both have {first_few(names)}: each updates what the other has updated."


@check(
    "duplicate-name",
    "error",
    "S21",
    "Begin each model's names with a prefix of its own, as param_groups does for a mapping of "
    "models.",
)
def duplicate_name(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        owners: dict[str, int] = {}
        named = list(_own_names(view))
        twice = dict.fromkeys(
            name for name, param in named if owners.setdefault(name, id(param)) != id(param)
        )
        yield (
            twice,
            f"{label} has two parameters called {first_few(twice)}: loaded by name, one of them "
            "gets the state of the other.",
        )


@check(
    "wrong-names",
    "error",
    "S1 S2 S3",
    "Load the state by name, as optimkit.load_optimizer does, or build the groups in the order in "
    "which they were saved.",
)
def wrong_names(context: AuditContext) -> Iterator[Found]:
    owners: dict[str, set[int]] = {}
    real: dict[int, set[str]] = {}
    for name, param in context.named:
        owners.setdefault(name, set()).add(id(param))
        real.setdefault(id(param), set()).add(name)
    for label, view in context.optimizers.items():
        wrong = [
            (min(own), name)
            for name, param in _own_names(view)
            if (own := real.get(id(param)))
            and any(
                known in owners
                and id(param) not in owners[known]
                and not any(_nested(each, known) for each in own)
                for known in (name, _unwrapped(name))
            )
        ]
        pairs = first_few((f"{right} by the name of {name}" for right, name in wrong), 3)
        yield (
            [right for right, _ in wrong],
            f"{label} calls {pairs}: a state dict was loaded by position, and the state belongs to "
            "the parameter of that name.",
        )


@check(
    "stale",
    "error",
    "S22",
    "Build the optimizer from model.parameters() once the model's parameters are final (after a "
    "new head, assign=True, weight_norm, a copy), or pass the model that has these too.",
)
def stale(context: AuditContext) -> Iterator[Found]:
    if not context.indexes:
        return
    modelled = {id(param) for _, param in context.named}
    addresses = {_address(param) for _, param in context.named} - {None}
    for label, view in context.optimizers.items():
        names = names_where(
            view,
            lambda param: (
                id(param) not in modelled
                and (isinstance(param, nn.Parameter) or _cut_off_address(param) in addresses)
            ),
        )
        are = "are" if len(names) > 1 else "is"
        yield (
            names,
            f"{label} has {counted(len(names), 'parameter')} that {are} in none of the models: "
            f"{first_few(names)}. Their updates reach no model.",
        )


@check("unmanaged", "warning", "S22", "Add them to a group, or set requires_grad=False.")
def unmanaged(context: AuditContext) -> Iterator[Found]:
    names = [name for name, param in _left_out(context) if param.requires_grad]
    yield names, f"No optimizer has {first_few(names)}: trainable, and never updated."


@check("loss-unmanaged", "warning", "", "Pass it to an optimizer, or set requires_grad=False.")
def loss_unmanaged(context: AuditContext) -> Iterator[Found]:
    known = {id(param) for view in context.optimizers.values() for param in view.params}
    known.update(id(param) for _, param in context.named)  # `unmanaged` names these
    found = [
        f"a parameter of shape {tuple(leaf.shape)}"
        for leaf in _leaves(context.losses)
        if isinstance(leaf, nn.Parameter) and id(leaf) not in known
    ]
    yield (
        found,
        f"The loss depends on {first_few(found)}, and no optimizer or model has it: a gradient comes, "
        "and no update.",
    )


@check(
    "unreached",
    "warning",
    "",
    "Call the layer in forward; take detach(), .data, .item(), torch.no_grad() or argmax out of the "
    "way; pass all losses of the step; or set requires_grad=False.",
)
def unreached(context: AuditContext) -> Iterator[Found]:
    reached = {id(leaf) for leaf in _leaves(context.losses)}
    for label, view in context.optimizers.items():
        # What a sharded parameter, or a segment that is computed again, leads to is not in the graph.
        if not reached or any(local(param) is not param for param in view.params):
            continue
        names = names_where(view, lambda param: param.requires_grad and id(param) not in reached)
        yield (
            names,
            f"The loss does not reach {first_few(pattern for pattern, _ in in_few(names))} of "
            f"{label}: its layer was not called, or the graph is cut behind it. It gets no gradient.",
        )


@check("stale-grad", "warning", "S28", "Set .grad = None, and clear with model.zero_grad().")
def stale_grad(context: AuditContext) -> Iterator[Found]:
    names = [name for name, param in _left_out(context) if param.grad is not None]
    yield (
        names,
        f"No optimizer clears the gradient of {first_few(names)}: it adds up, and counts when all "
        "gradients are clipped together.",
    )


@check("frozen-with-grad", "warning", "S24", "Set .grad = None, as optimkit.freeze does.")
def frozen_with_grad(context: AuditContext) -> Iterator[Found]:
    for label, view in context.optimizers.items():
        names = names_where(view, lambda param: not param.requires_grad and param.grad is not None)
        yield (
            names,
            f"{label} still updates {first_few(names)}: frozen, but with a gradient; one of zeros "
            "is enough for momentum and weight decay.",
        )


@check("frozen-batchnorm", "note", "S27", "Call .eval() on these after each model.train().")
def frozen_batchnorm(context: AuditContext) -> Iterator[Found]:
    names: dict[int, str] = {}
    for name, module in context.modules():
        if isinstance(module, _NormBase) and _changes_frozen(module):
            names.setdefault(id(module), name or type(module).__name__)
    yield (
        names.values(),
        f"{first_few(names.values())}: the parameters are frozen, and the running statistics still "
        "follow every batch.",
    )


def _leaves(losses: list[Tensor]) -> list[Any]:
    """List what the graphs of losses end in; nothing where a part is computed again in backward."""
    leaves: list[Any] = []
    seen: set[Any] = set()
    waiting: list[Any] = [loss.grad_fn for loss in losses]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        # torch/utils/checkpoint.py, 2.15: CheckpointFunction, of use_reentrant=True
        if "CheckpointFunction" in node.name():
            return []
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        waiting += (each for each, _ in node.next_functions)
    return leaves


def _changes_frozen(module: Any) -> bool:
    own = [param for param in module._parameters.values() if param is not None]
    return (
        module.training
        and module.running_mean is not None
        and module.momentum != 0
        and bool(own)
        and not any(param.requires_grad for param in own)
    )


def _left_out(context: AuditContext) -> Iterator[tuple[str, Any]]:
    """Yield the parameters of the models that are in no optimizer; not those of an average."""
    seen = {id(param) for view in context.optimizers.values() for param in view.params}
    for _, module in context.modules():
        if isinstance(module, AveragedModel):
            seen.update(map(id, module.parameters()))
    for name, param in context.named:
        if id(param) not in seen:
            seen.add(id(param))
            yield name, param


def _own_names(view: OptimizerView) -> Iterator[tuple[str, Any]]:
    for group in view.groups:
        if group.get("param_names"):
            names, params = entries(group["param_names"]), entries(group.get("params"))
            yield from zip(names, params, strict=False)


def _all_names(context: AuditContext, view: OptimizerView, places: list[int]) -> list[str]:
    """Return every name of a parameter, or its name once for each time it is there."""
    param = view.params[places[0]]
    named = [*context.named, *_own_names(view)]
    names = list(dict.fromkeys(name for name, each in named if each is param))
    return names if len(names) > 1 else [view.names[place] for place in places]


def _cut_off_address(tensor: Any) -> int | None:
    """Return the address of a tensor without gradient: a state dict's are those of parameters."""
    return _address(tensor) if type(tensor) is Tensor and not tensor.requires_grad else None


def _address(tensor: Any) -> int | None:
    """Return where the values of a tensor are; None for one that is no ordinary tensor."""
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided:
        return None
    return tensor.data_ptr() or None


def _nested(one: str, other: str) -> bool:
    """Return whether a name is the other with the name of a module before it."""
    return one.endswith(f".{other}") or other.endswith(f".{one}")


def _unwrapped(name: str) -> str:
    for prefix in ("module.", "_orig_mod.", "module."):
        name = name.removeprefix(prefix)
    return name
