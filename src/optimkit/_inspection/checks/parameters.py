"""Which parameters an optimizer has: once or twice, in a model or not, and under which name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..._errors import first_few
from ..._optimizer_view import OptimizerView, entries
from ..._tables import counted, in_few
from ..._values import local
from . import AuditContext, Found, error, names_where, note, warning


@error(
    "{label} has {count} more than once, and each step updates {them} more than once: {twice}.",
    "Pass each once, as model.parameters() lists a tied one.",
    rows="S19",
)
def duplicate(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    places: dict[Any, list[int]] = {}
    for place, key in enumerate(view.ids):
        places.setdefault(key, []).append(place)
    found = [_all_names(context, view, each) for each in places.values() if len(each) > 1]
    words = {
        "count": counted(len(found), "parameter"),
        "them": "them" if len(found) > 1 else "it",
        "twice": first_few(map(" = ".join, found)),
    }
    yield [name for names in found for name in names], words


@error(
    "{who} both have {names}: each updates what the other has updated.",
    "Leave each parameter to one optimizer.",
    rows="S20",
)
def shared(context: AuditContext) -> Iterator[Found]:
    if len(context.optimizers) < 2:
        return
    holders: dict[int, dict[str, str]] = {}  # parameter -> the optimizers, and its name in each
    for label, view in context.optimizers.items():
        for each in view.held:
            if each.param is not None:
                holders.setdefault(id(each.param), {}).setdefault(label, each.name)
    several = [owners for owners in holders.values() if len(owners) > 1]
    if several:
        names = [next(iter(owners.values())) for owners in several]
        yield names, {"who": " and ".join(several[0])}


@error(
    "{label} has two parameters called {names}: loaded by name, one of them gets the state of the "
    "other.",
    "Begin each model's names with a prefix of its own, as param_groups does for a mapping of "
    "models.",
    rows="S21",
)
def duplicate_name(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    owners: dict[str, int] = {}
    named = _own_names(view)
    yield {n: None for n, param in named if owners.setdefault(n, id(param)) != id(param)}, {}


@error(
    "{label} calls {pairs}: a state dict was loaded by position, and the state belongs to the "
    "parameter of that name.",
    "Load the state by name, as optimkit.load_optimizer does, or build the groups in the order in "
    "which they were saved.",
    rows="S1 S2 S3",
)
def wrong_names(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    all_names = {name for name, _ in context.named}
    wrong = [
        (min(own), name)
        for name, param in _own_names(view)
        if (own := context.names.get(id(param)))
        and name not in own
        and any(
            known in all_names
            and known not in own
            and not any(_nested(each, known) for each in own)
            for known in (name, _unwrapped(name))
        )
    ]
    pairs = first_few((f"{right} by the name of {name}" for right, name in wrong), 3)
    yield [right for right, _ in wrong], {"pairs": pairs}


@error(
    "{label} has {count} that {are} in none of the models: {names}. Their updates reach no model.",
    "Build the optimizer from model.parameters() once the model's parameters are final (after a "
    "new head, assign=True, weight_norm, a copy), or pass the model, or the "
    "loss, that has these too.",
    rows="S22",
)
def stale(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    if not context.indexes:
        return
    known = context.names.keys() | {id(leaf) for leaf in _leaves(context.losses)}
    foreign = [
        (each.name, each.param)
        for each in view.held
        if isinstance(each.param, Tensor) and id(each.param) not in known
    ]
    addresses = {_address(param) for _, param in context.named if foreign} - {None}
    names = [
        name
        for name, param in foreign
        if isinstance(param, nn.Parameter) or _cut_off_address(param) in addresses
    ]
    are = "are" if len(names) > 1 else "is"
    yield names, {"count": counted(len(names), "parameter"), "are": are}


@warning(
    "No optimizer has {names}: trainable, and never updated.",
    "Add them to a group, or set requires_grad=False.",
    rows="S22",
)
def unmanaged(context: AuditContext) -> Iterator[Found]:
    yield [each.name for each in context.left_out if each.param.requires_grad], {}


@warning(
    "The loss depends on {names}, and no optimizer or model has it: a gradient comes, and no update.",
    "Pass it to an optimizer, or set requires_grad=False.",
)
def loss_unmanaged(context: AuditContext) -> Iterator[Found]:
    known = {id(param) for view in context.optimizers.values() for param in view.params}
    found = [
        f"a parameter of shape {tuple(leaf.shape)}"
        for leaf in _leaves(context.losses)
        if isinstance(leaf, nn.Parameter) and id(leaf) not in known | context.names.keys()
    ]  # `unmanaged` names those of the models
    yield found, {}


@warning(
    "The loss does not reach {patterns} of {label}: its layer was not called, or the graph is cut "
    "behind it. It gets no gradient.",
    "Call the layer in forward; take detach(), .data, .item(), torch.no_grad() or argmax out of the "
    "way; pass all losses of the step; or set requires_grad=False.",
)
def unreached(context: AuditContext, view: OptimizerView) -> Iterator[Found]:
    reached = {id(leaf) for leaf in _leaves(context.losses)}
    # What a sharded parameter, or a segment that is computed again, leads to is not in the graph.
    if reached and all(local(param) is param for param in view.params):
        names = names_where(view, lambda param: param.requires_grad and id(param) not in reached)
        yield names, {"patterns": first_few(pattern for pattern, _ in in_few(names))}


@warning(
    "No optimizer clears the gradient of {names}: it adds up, and counts when all gradients are "
    "clipped together.",
    "Set .grad = None, and clear with model.zero_grad().",
    rows="S28",
)
def stale_grad(context: AuditContext) -> Iterator[Found]:
    yield [each.name for each in context.left_out if each.param.grad is not None], {}


@warning(
    "{label} still updates {names}: frozen, but with a gradient; one of zeros is enough for momentum "
    "and weight decay.",
    "Set .grad = None, as optimkit.freeze does.",
    rows="S24",
)
def frozen_with_grad(_: AuditContext, view: OptimizerView) -> Iterator[Found]:
    yield names_where(view, lambda param: not param.requires_grad and param.grad is not None), {}


@note(
    "{names}: the parameters are frozen, and the running statistics still follow every batch.",
    "Call .eval() on these after each model.train().",
    rows="S27",
)
def frozen_batchnorm(context: AuditContext) -> Iterator[Found]:
    names: dict[int, str] = {}
    for name, module in context.modules():
        if isinstance(module, _NormBase) and _changes_frozen(module):
            names.setdefault(id(module), name or type(module).__name__)
    yield names.values(), {}


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
