"""Which parameters are held: by whom, once or twice, and under which name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..._errors import first_few
from ..._optimizer_view import OptimizerView, entries
from ..findings import Finding, finding
from ..scene import Scene, address_of


def duplicate(scene: Scene) -> Iterator[Finding]:
    """Find parameters that one optimizer holds twice (S19)."""
    for called, held in scene.each():
        counts: dict[int, list[int]] = {}
        for place, param in enumerate(held.params):
            counts.setdefault(id(param), []).append(place)
        twice = [places for places in counts.values() if len(places) > 1]
        if twice:
            yield finding(
                "duplicate",
                [name for places in twice for name in _all_names(scene, held, places)],
                f"{called} holds {_them(twice)} more than once: each step moves them more than "
                f"once: {first_few(' = '.join(_all_names(scene, held, p)) for p in twice)}.",
                "Give each parameter once; model.parameters() leaves ties out by itself.",
            )


def shared(scene: Scene) -> Iterator[Finding]:
    """Find parameters that two optimizers hold (S20)."""
    holders: dict[int, list[tuple[int, str]]] = {}
    for index, held in enumerate(scene.holdings):
        for place, param in enumerate(held.params):
            owners = holders.setdefault(id(param), [])
            if all(owner != index for owner, _ in owners):
                owners.append((index, held.names[place]))
    several = [owners for owners in holders.values() if len(owners) > 1]
    if several:
        names = [owners[0][1] for owners in several]
        who = " and ".join(scene.called(index) for index, _ in several[0])
        yield finding(
            "shared",
            names,
            f"{who} both hold {first_few(names)}: each moves what the other has just moved.",
            "Leave each parameter to one optimizer.",
        )


def duplicate_name(scene: Scene) -> Iterator[Finding]:
    """Find two parameters that one optimizer calls the same (S21)."""
    for called, held in scene.each():
        owners: dict[str, int] = {}
        twice: dict[str, None] = {}
        for name, param in _own_names(held):
            if owners.setdefault(name, id(param)) != id(param):
                twice[name] = None
        if twice:
            yield finding(
                "duplicate-name",
                list(twice),
                f"{called} has two parameters called {first_few(twice)}: a checkpoint by name "
                "gives one of them the state of the other.",
                "Put the model's name before those of its parameters, as a mapping of models "
                "does in param_groups.",
            )


def wrong_names(scene: Scene) -> Iterator[Finding]:
    """Find parameters that a group calls by the name of another one (S1, S2, S3)."""
    owners: dict[str, set[int]] = {}
    real: dict[int, set[str]] = {}
    for found in scene.walks:
        for name, param in zip(found.places, found.tensors, strict=True):
            owners.setdefault(name, set()).add(id(param))
            real.setdefault(id(param), set()).add(name)
    for called, held in scene.each():
        wrong = []
        for name, param in _own_names(held):
            own = real.get(id(param))
            for known in (name, _unwrapped(name)):
                if (
                    own
                    and known in owners
                    and id(param) not in owners[known]
                    and not any(_nested(each, known) for each in own)
                ):
                    wrong.append((min(own), name))
                    break
        if wrong:
            yield finding(
                "wrong-names",
                [right for right, _ in wrong],
                f"{called} calls {_pairs(wrong)}: a state dict was loaded by position, and the "
                "state is that of the parameter it names.",
                "Load it by name, or build the groups in the order in which they were saved.",
            )


def stale(scene: Scene) -> Iterator[Finding]:
    """Find parameters that are held, and in no model (S22)."""
    if not scene.walks:
        return
    for called, held in scene.each():
        names = [
            name
            for name, param in zip(held.names, held.params, strict=True)
            if id(param) not in scene.modelled
            and (isinstance(param, nn.Parameter) or _is_cut_off(scene, param))
        ]
        if names:
            yield finding(
                "stale",
                names,
                f"{called} holds {_count(names)} in none of the models: "
                f"{first_few(names)}. Their steps train nothing you see.",
                "Build the optimizer from model.parameters(), after the model has its last ones "
                "(a new head, assign=True, weight_norm, a copy), or give the model they are in.",
            )


def unmanaged(scene: Scene) -> Iterator[Finding]:
    """Find trainable parameters that are in no optimizer (S22)."""
    names = [name for name, param in _left_out(scene) if param.requires_grad]
    if names:
        yield finding(
            "unmanaged",
            names,
            f"No optimizer holds {first_few(names)}: trainable, given gradients, never moved.",
            "Add them to a group, or set requires_grad=False.",
        )


def stale_grad(scene: Scene) -> Iterator[Finding]:
    """Find gradients that no optimizer will ever clear (S28)."""
    names = [name for name, param in _left_out(scene) if param.grad is not None]
    if names:
        yield finding(
            "stale-grad",
            names,
            f"{first_few(names)}: a gradient, and no optimizer that would clear it. It adds up, "
            "and counts when all gradients are clipped together.",
            "Set .grad = None, and clear with model.zero_grad().",
        )


def frozen_with_grad(scene: Scene) -> Iterator[Finding]:
    """Find frozen parameters that the next step still moves (S24)."""
    for called, held in scene.each():
        names = [
            name
            for name, param in zip(held.names, held.params, strict=True)
            if isinstance(param, Tensor) and not param.requires_grad and param.grad is not None
        ]
        if names:
            yield finding(
                "frozen-with-grad",
                names,
                f"{called} still moves {first_few(names)}: frozen, but with a gradient, even one "
                "of zeros.",
                "Set .grad = None after freezing; zero_grad(set_to_none=True) does.",
            )


def frozen_batchnorm(scene: Scene) -> Iterator[Finding]:
    """Find frozen normalisation layers whose running statistics go on moving (S27)."""
    names: dict[int, str] = {}
    for found in scene.walks:
        for module, name in zip(found.modules, found.module_names, strict=True):
            if isinstance(module, nn.modules.batchnorm._NormBase) and _moves_frozen(module):
                names.setdefault(id(module), name or type(module).__name__)
    if names:
        yield finding(
            "frozen-batchnorm",
            list(names.values()),
            f"{first_few(names.values())}: the parameters are frozen, and the running statistics "
            "still follow every batch.",
            "Call .eval() on these layers, after each model.train().",
        )


def _moves_frozen(module: Any) -> bool:
    """Tell whether a layer is frozen, and updates its statistics."""
    own = list(module._parameters.values())
    return (
        module.training
        and module.running_mean is not None
        and module.momentum != 0
        and any(param is not None for param in own)
        and not any(param is not None and param.requires_grad for param in own)
    )


def _left_out(scene: Scene) -> Iterator[tuple[str, Any]]:
    """Give the parameters of the models that are in no optimizer; not those of an average."""
    averages: set[int] = set()
    for found in scene.walks:
        for module, (start, _, stop) in zip(found.modules, found.spans, strict=True):
            if isinstance(module, AveragedModel):
                averages.update(map(id, found.tensors[start:stop]))
    seen: set[int] = set()
    for found in scene.walks:
        for name, param in zip(found.places, found.tensors, strict=True):
            key = id(param)
            if key not in scene.managed and key not in averages and key not in seen:
                seen.add(key)
                yield name, param


def _own_names(held: OptimizerView) -> Iterator[tuple[str, Any]]:
    """Give the names that the optimizer itself has."""
    for group in held.groups:
        if group.get("param_names"):
            names, params = entries(group["param_names"]), entries(group.get("params"))
            yield from zip(names, params, strict=False)


def _all_names(scene: Scene, held: OptimizerView, places: list[int]) -> list[str]:
    """Return every name of a parameter, or its name once for each time it is held."""
    param = held.params[places[0]]
    names = dict.fromkeys(
        name
        for found in scene.walks
        for name, each in zip(found.places, found.tensors, strict=True)
        if each is param
    )
    names.update(dict.fromkeys(name for name, each in _own_names(held) if each is param))
    return list(names) if len(names) > 1 else [held.names[place] for place in places]


def _is_cut_off(scene: Scene, tensor: Any) -> bool:
    """Tell whether a tensor is a parameter's memory without its gradient, as in a state dict."""
    if type(tensor) is not Tensor or tensor.requires_grad:
        return False
    address = address_of(tensor)
    return address is not None and address in scene.addresses


def _nested(one: str, other: str) -> bool:
    """Tell whether a name is the other with the name of a module before it."""
    return one.endswith(f".{other}") or other.endswith(f".{one}")


def _unwrapped(name: str) -> str:
    """Take a wrapper's prefix off."""
    for prefix in ("module.", "_orig_mod.", "module."):
        name = name.removeprefix(prefix)
    return name


def _pairs(wrong: list[tuple[str, str]]) -> str:
    return first_few((f"{right} by the name of {name}" for right, name in wrong), 3)


def _them(items: list[Any]) -> str:
    return f"{len(items)} parameter{'s' if len(items) > 1 else ''}"


def _count(items: list[Any]) -> str:
    return f"{_them(items)} that {'are' if len(items) > 1 else 'is'}"
