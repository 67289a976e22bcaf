"""The names of parameters: the model's own, whatever wraps it and however it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer

from .._walking import walk
from .._wrappers import held_as

_COMPILED = "_orig_mod."  # no one's own name
_WRAPPED = "module."


class ParamName(NamedTuple):
    """The key of the model that a parameter is in, and its names there.

    Without a key, the optimizer itself was given the name.
    """

    model: str | None
    name: str
    aliases: tuple[str, ...] = ()

    def written(self, with_model: bool) -> str:
        """Return the name as text."""
        return _join(self.model, self.name) if with_model else self.name

    def others(self, with_model: bool) -> list[str]:
        """Return the other names of a tied parameter as text."""
        return [_join(self.model, each) if with_model else each for each in self.aliases]


def _join(model: str | None, name: str) -> str:
    return name if model is None else f"{model}.{name}"


@dataclass(frozen=True)
class Names:
    """The names of an optimizer's parameters, and of what is frozen beside them."""

    params: Sequence[ParamName]
    frozen: Sequence[ParamName] = ()

    @property
    def model(self) -> str | None:
        """The key of the only model that the parameters are in, if there is only one."""
        keys = {each.model for each in self.params}
        return keys.pop() if len(keys) == 1 else None

    @property
    def several(self) -> bool:
        """Whether the parameters are in several models, so that their keys tell them apart."""
        return len({each.model for each in self.params}) > 1

    def written(self, with_model: bool = False) -> list[str]:
        """Return all names as text, with the model's key if asked for, or if there are several."""
        with_model = with_model or self.several
        return [each.written(with_model) for each in self.params]

    def aliases(self, with_model: bool = False) -> dict[str, list[str]]:
        """Return the other names of each tied parameter, by its first one."""
        with_model = with_model or self.several
        return {
            each.written(with_model): each.others(with_model)
            for each in self.params
            if each.aliases
        }

    def written_frozen(self, with_model: bool = False) -> set[str]:
        """Return the names of what is frozen, as they would be written beside the others."""
        if with_model or self.several:
            return {each.written(True) for each in self.frozen}
        return {each.name for each in self.frozen if each.model == self.model}


def names_of(optimizer: Optimizer, models: Mapping[Any, nn.Module]) -> Names | None:
    """Name an optimizer's parameters, by the models beside it or by its own names."""
    params = [param for group in optimizer.param_groups for param in group["params"]]
    own = _own_names(optimizer)
    known = _names_in(models)
    found = [known[id(param)] for param in params if id(param) in known]
    if not params:
        return None
    if len(found) < len(params):
        return None if own is None else Names([ParamName(None, name) for name in own])
    held = set(map(id, params))
    names = Names(found, _frozen_in(models, held))
    if names.several and own is not None and all(map(_is_prefixed, own, found)):
        kept = [
            ParamName(None, name, tuple(each.others(True)))
            for name, each in zip(own, found, strict=True)
        ]
        names = Names(kept, names.frozen)
    return names if len(set(names.written())) == len(params) else None


def saved_names(groups: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Read the names that torch itself keeps in a state dict."""
    names: list[str] = []
    for group in groups:
        own = group.get("param_names")
        if own is None and all(isinstance(key, str) for key in group["params"]):
            own = group["params"]  # as torch.distributed.checkpoint has it
        if own is None or len(own) != len(group["params"]):
            return None
        names += map(str, own)
    return names if names and len(set(names)) == len(names) else None


def by_group(values: Iterable[Any], groups: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Part what there is of each parameter by the groups that the parameters are in."""
    rest = iter(values)
    return [list(islice(rest, len(group["params"]))) for group in groups]


def own_name(model: nn.Module) -> Callable[[str], str]:
    """Return what cuts the wrappers out of a name in a model's state dict."""
    cuts: list[tuple[str, int]] = []
    for path, module in model.named_modules(remove_duplicate=False):
        kind: Any = type(module)
        attribute = held_as(kind)
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


def _own_names(optimizer: Optimizer) -> list[str] | None:
    """Read the names that the optimizer was given."""
    groups = [
        {"params": group["params"], "param_names": group.get("param_names", ())}
        for group in optimizer.param_groups
    ]
    return saved_names(groups)


def _names_in(models: Mapping[Any, nn.Module]) -> dict[int, ParamName]:
    """Name the parameters of models, by id; the first model that has one counts."""
    found: dict[int, ParamName] = {}
    for key, model in models.items():
        for info in walk(model):
            found.setdefault(id(info.param), ParamName(key, info.name, info.aliases))
    return found


def _frozen_in(models: Mapping[Any, nn.Module], held: set[int]) -> list[ParamName]:
    """Name what the models have, frozen, and the optimizer does not."""
    return [
        ParamName(key, name)
        for key, model in models.items()
        for info in walk(model)
        if not info.param.requires_grad and id(info.param) not in held
        for name in (info.name, *info.aliases)
    ]


def _is_prefixed(own: str, found: ParamName) -> bool:
    """Return whether an optimizer's own name is that of the model, but for the prefix."""
    return any(own == each or own.endswith(f".{each}") for each in (found.name, *found.aliases))
