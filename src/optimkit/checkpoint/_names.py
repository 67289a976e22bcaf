"""The names of parameters: the model's own, whatever wraps it and however it was given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, view_of
from .._parameters import ParameterIndex, ParamInfo, held_as
from .._torch_optimizers import is_state_dict

_COMPILED = "_orig_mod."  # no one's own name
_WRAPPED = "module."


@dataclass(frozen=True)
class Names:
    """The names of an optimizer's parameters, and of what is frozen in the models beside it."""

    model: str | None  # the key of the only model that they are in, which is left out
    params: list[str]  # of several models, each with its key
    aliases: dict[str, list[str]] = field(default_factory=dict)
    frozen: Collection[str] = ()


def names_of(optimizer: Optimizer, models: Mapping[Any, nn.Module]) -> Names | None:
    """Name an optimizer's parameters: as in the models beside it, or by its own names."""
    view = view_of(optimizer)
    known: dict[int, list[tuple[Any, ParamInfo]]] = {}
    for key, model in models.items():
        for each in ParameterIndex(model):
            known.setdefault(id(each.param), []).append((key, each))
    held = dict.fromkeys(map(id, view.params))
    if not known.keys() >= held.keys():
        return Names(None, view.names) if view.named else None
    only = _shared({known[each][0][0] for each in held})
    prefix = f"{only}." if only else ""

    def texts(places: list[tuple[Any, ParamInfo]]) -> list[str]:
        """Return all names of a parameter: of several models that have it, the first counts."""
        return [
            name if key is None else f"{key}.{name}".removeprefix(prefix)
            for key, each in places
            for name in (each.name, *each.aliases)
        ]

    mine = [texts(known[each]) for each in held]
    frozen = {
        name
        for param, places in known.items()
        if param not in held and not places[0][1].param.requires_grad
        for name in texts(places)
    }
    params = [name for name, *_ in mine]
    aliases = {name: others for name, *others in mine if others}
    return (
        Names(only, params, aliases, frozen) if len(set(params)) == len(view.params) > 0 else None
    )


def _shared(keys: Collection[Any]) -> str | None:
    """Return the key of the only model, or that of the only mapping that the models are in."""
    for outer in (keys, {str(key).rpartition(".")[0] for key in keys if key is not None}):
        if len(outer) == 1:
            return next(iter(outer)) or None
    return None


def own_name(model: nn.Module) -> Callable[[str], str]:
    """Return what cuts the wrappers out of a name in a model's state dict."""
    cuts: list[tuple[str, int]] = []
    for path, module in model.named_modules(remove_duplicate=False):
        attribute = held_as(module)
        if attribute is not None:
            cuts.append((f"{path}.{attribute}." if path else f"{attribute}.", len(attribute) + 1))
    if not cuts:
        return str
    cuts.reverse()  # the innermost first: the outer prefixes still stand

    def cut(name: str) -> str:
        for prefix, size in cuts:
            if name.startswith(prefix):
                name = prefix[:-size] + name[len(prefix) :]
        return name

    return cut


def bare_kind(content: Mapping[Any, Any]) -> str:
    """Return the kind of the object, if a content is by its form the state dict of one; else nothing."""
    if is_state_dict(content):
        return "optimizer"
    if content and all(isinstance(each, Tensor) for each in content.values()):
        return "module"
    return "scheduler" if {"last_epoch", "_last_lr"} <= content.keys() else ""


def align(saved: Iterable[str], live: Iterable[str]) -> tuple[list[str], list[str]]:
    """Cut from two lists of names what wrappers left in them, where only one side has it."""
    sides = [list(saved), list(live)]
    if set(sides[0]) == set(sides[1]):
        return sides[0], sides[1]
    sides = [_if_unique([name.replace(_COMPILED, "") for name in side], side) for side in sides]
    wrapped = [bool(side) and all(name.startswith(_WRAPPED) for name in side) for side in sides]
    if wrapped[0] != wrapped[1]:
        at = wrapped.index(True)
        other = set(sides[1 - at])
        cut = [name[len(_WRAPPED) :] for name in sides[at]]
        if not other.isdisjoint(cut):
            sides[at] = cut
    return sides[0], sides[1]


def _if_unique(names: list[str], otherwise: list[str]) -> list[str]:
    return names if len(set(names)) == len(names) else otherwise


class Pairing(NamedTuple):
    """What names say: the pairs, and the names of both sides as they were compared."""

    pairs: list[int | None]  # for each current parameter its place in what was saved
    before: list[str]
    now: list[str]
    frozen: set[str]


def pair_by_name(saved: OptimizerView, names: Names) -> Pairing:
    """Look each name up, without the keys of the models or with them: as more of them are found."""
    full = tuple(f"{key}." if key else "" for key in (saved.model, names.model))
    others = "" not in full and saved.model != names.model
    forms = [full] if others else dict.fromkeys([("", ""), full])
    found = [_pairing(saved, names, *form) for form in forms]
    return max(found, key=lambda each: len(each.pairs) - each.pairs.count(None))


def _pairing(saved: OptimizerView, names: Names, was: str, now: str) -> Pairing:
    """Look each name up, behind a prefix on each side; a tied parameter may go by another name."""
    before, current = align(
        [was + name for name in saved.names], [now + name for name in names.params]
    )
    places = {name: place for place, name in enumerate(before)}
    for name, others in saved.aliases.items():
        for other in others if was + name in places else ():
            places.setdefault(was + other, places[was + name])
    pairs = []
    for name, own in zip(current, names.params, strict=True):
        known = (name, *(now + other for other in names.aliases.get(own, ())))
        pairs.append(next((places[each] for each in known if each in places), None))
    return Pairing(pairs, before, current, {*names.frozen, *(now + name for name in names.frozen)})
