"""The names of parameters: the model's own, whatever wraps it and however it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from .._optimizer_view import OptimizerView, view_of
from .._parameters import ParameterIndex, held_as
from .._torch_optimizers import is_state_dict

_COMPILED = "_orig_mod."  # no one's own name
_WRAPPED = "module."


class ParamName(NamedTuple):
    """The key of the model that a parameter is in, and its names there.

    Without a key, it is the optimizer that was given the name.
    """

    model: str | None
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """The names of an optimizer's parameters, and of what is frozen in the models beside it."""

    params: Sequence[ParamName]
    frozen: Sequence[ParamName] = ()

    @property
    def model(self) -> str | None:
        """The key of the only model that the parameters are in; None if there are several."""
        keys = {each.model for each in self.params}
        return keys.pop() if len(keys) == 1 else None

    def written(self, with_model: bool = False) -> list[str]:
        """Return the names as text: with the model's key if asked for, or to tell several apart."""
        full = with_model or self.model is None
        return [_text(each.model if full else None, each.name) for each in self.params]

    def aliases(self, with_model: bool = False) -> dict[str, list[str]]:
        full = with_model or self.model is None
        tied = ((each.model if full else None, each) for each in self.params if each.aliases)
        return {
            _text(key, each.name): [_text(key, other) for other in each.aliases]
            for key, each in tied
        }

    def written_frozen(self, with_model: bool = False) -> set[str]:
        if with_model or self.model is None:
            return {_text(each.model, each.name) for each in self.frozen}
        return {each.name for each in self.frozen if each.model == self.model}


def _text(model: str | None, name: str) -> str:
    return name if model is None else f"{model}.{name}"


def names_of(optimizer: Optimizer, models: Mapping[Any, nn.Module]) -> Names | None:
    """Name an optimizer's parameters: as in the models beside it, or by its own names."""
    view = view_of(optimizer)
    places = [(key, each) for key, model in models.items() for each in ParameterIndex(model)]
    known: dict[int, ParamName] = {}
    for key, each in places:  # the first model that has a parameter counts
        known.setdefault(id(each.param), ParamName(key, each.name, each.aliases))
    found = [known[id(param)] for param in view.params if id(param) in known]
    if len(found) < len(view.params):
        return Names([ParamName(None, name) for name in view.names]) if view.named else None
    held = set(map(id, view.params))
    frozen = [
        ParamName(key, name)
        for key, each in places
        if not each.param.requires_grad and id(each.param) not in held
        for name in (each.name, *each.aliases)
    ]
    names = Names(found, frozen)
    return names if found and len(set(names.written())) == len(found) else None


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
    """Look each name up; a tied parameter may go by another of its names."""
    was_long, now_long = _with_models(saved, names)
    written, aliases = names.written(now_long), names.aliases(now_long)
    prefix = f"{saved.model}." if was_long else ""
    before, now = align([prefix + name for name in saved.names], written)
    places = {name: place for place, name in enumerate(before)}
    for name, others in saved.aliases.items():
        for other in others if prefix + name in places else ():
            places.setdefault(prefix + other, places[prefix + name])
    pairs = [
        next((places[each] for each in (name, *aliases.get(full, ())) if each in places), None)
        for name, full in zip(now, written, strict=True)
    ]
    return Pairing(pairs, before, now, names.written_frozen(now_long))


def _with_models(saved: OptimizerView, names: Names) -> tuple[bool, bool]:
    """Return for each side whether the key of its only model has to stand before its names."""
    was, now = saved.model, names.model
    if was == now:
        return False, False
    if was is not None and now is not None:
        return True, True
    if was is not None:  # the other side has several models, or names of its own
        return any(name.startswith(f"{was}.") for name in names.written()), False
    apart = set(names.written()).isdisjoint(saved.names)
    return False, apart and any(name.startswith(f"{now}.") for name in saved.names)
