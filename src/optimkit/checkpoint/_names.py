"""The names of parameters: the model's own, whatever wraps it and however it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, repeat
from typing import Any

from torch import nn
from torch.optim import Optimizer

from .._parameters import Walk
from .._walking import walk
from .._wrappers import held_as

_COMPILED = "_orig_mod."  # nobody's own name
_WRAPPED = "module."

Origin = tuple[str, str]  # the key of the model that a parameter is in, and its name there


@dataclass(frozen=True)
class Names:
    """The names of an optimizer's parameters."""

    groups: list[list[str]]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    model: str | None = None
    beside: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def under(self, key: str) -> Names:
        """Put the key of the only model before each name, as if it were one of several."""
        return Names(
            [[f"{key}.{name}" for name in group] for group in self.groups],
            {
                f"{key}.{n}": tuple(f"{key}.{o}" for o in others)
                for n, others in self.aliases.items()
            },
            frozenset(f"{k}.{name}" for k, each in self.beside.items() for name in each),
        )

    @cached_property
    def flat(self) -> list[str]:
        """All of them, group by group."""
        return list(chain.from_iterable(self.groups))


def names_of(optimizer: Optimizer, models: Mapping[str, nn.Module]) -> Names | None:
    """Name an optimizer's parameters, by the models beside it or by its own names."""
    groups = [list(group["params"]) for group in optimizer.param_groups]
    held = list(map(id, chain.from_iterable(groups)))
    own = _own_names(optimizer)
    walks = {key: walk(model) for key, model in models.items()}
    given = list(map(_by_identity(walks).get, held))
    aliases: dict[str, tuple[str, ...]] = {}
    frozen: frozenset[str] = frozenset()
    only: str | None = None
    beside: dict[str, frozenset[str]] = {}
    origins = [origin for origin in given if origin is not None]
    if held and len(origins) == len(held):
        within = {key: walks[key] for key in {key for key, _ in origins}}
        ties = {(key, name): tie for key in within for name, tie in _ties(walks[key]).items()}
        prefixed = len(within) > 1
        if prefixed and own is not None and _honest(own, origins, ties):
            names = own
        else:
            names = [f"{key}.{name}" if prefixed else name for key, name in origins]
        if ties:
            aliases = {
                name: tuple(f"{origin[0]}.{other}" if prefixed else other for other in ties[origin])
                for name, origin in zip(names, origins, strict=True)
                if origin in ties
            }
        mine = set(held)
        if prefixed:
            frozen = _frozen(within, prefixed, mine)
        else:
            [only] = within
            beside = {key: _frozen({key: each}, prefixed, mine) for key, each in walks.items()}
            frozen = beside[only]
    else:
        names = own or []
    if not held or len(set(names)) != len(held):
        return None
    return Names(_split(names, map(len, groups)), aliases, frozen, only, beside)


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


def _by_identity(walks: dict[str, Walk]) -> dict[int, Origin]:
    """Find the parameters in the models, by id; the first model that has one counts."""
    found: dict[int, Origin] = {}
    for key, walked in reversed(walks.items()):
        found.update(zip(map(id, walked.params), zip(repeat(key), walked.names), strict=False))
    return found


def _ties(walked: Walk) -> dict[str, tuple[str, ...]]:
    places = walked.places
    return {places[tie[0]]: tuple(places[place] for place in tie[1:]) for tie in walked.ties}


def _honest(own: list[str], origins: list[Origin], ties: Mapping[Origin, tuple[str, ...]]) -> bool:
    """Tell whether an optimizer's own names are those of the models, by other prefixes."""
    return all(
        any(
            name == each or name.endswith(f".{each}") for each in (origin[1], *ties.get(origin, ()))
        )
        for name, origin in zip(own, origins, strict=True)
    )


def _frozen(walks: Mapping[str, Walk], prefixed: bool, held: set[int]) -> frozenset[str]:
    """Name what the models have, frozen, and the optimizer has not."""
    return frozenset(
        f"{key}.{name}" if prefixed else name
        for key, walked in walks.items()
        if not held.issuperset(map(id, walked.tensors))
        for name, param in zip(walked.places, walked.tensors, strict=True)
        if not param.requires_grad and id(param) not in held
    )


def _split(names: list[str], sizes: Iterable[int]) -> list[list[str]]:
    rest = iter(names)
    return [list(islice(rest, size)) for size in sizes]
