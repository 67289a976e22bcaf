"""One walk over a model: it notes where each parameter is.

The names are the model's own. A wrapper such as ``DistributedDataParallel`` or
``torch.compile`` adds a ``module.`` or an ``_orig_mod.`` that no checkpoint wants; it is
known here by its class, so an attribute of yours that is called ``module`` keeps its name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

from ._errors import GroupError, first_few
from ._parameters import Walk
from ._wrappers import held_as


def walk(model: nn.Module | Mapping[str, nn.Module]) -> Walk:
    """Walk a model once, and note where each parameter is."""
    roots = _roots(model)
    found = Walk()
    _visit(found, roots)
    _find_ties(found)
    if (found.wrapped or len(roots) > 1) and len(set(found.places)) < len(found.places):
        raise GroupError(_name_clash(found.places))
    return found


def _visit(found: Walk, roots: Mapping[str, nn.Module]) -> None:
    """Note each module's own parameters, then its children's, as torch orders them."""
    places, leaves, tensors, owners = found.places, found.leaves, found.tensors, found.owners
    modules, prefixes, spans = found.modules, found.prefixes, found.spans
    open_modules: set[int] = set()  # a module may hold its own parent: torch lets it

    def visit(children: Mapping[str, Any], nameless: str | None, outside: str) -> None:
        for key, module in children.items():
            if module is None:
                continue
            inside, own = module._modules, module._parameters
            if not (inside or own) or (inside and id(module) in open_modules):
                continue
            prefix = outside if key == nameless else f"{outside}{key}."
            start, number = len(places), len(spans)
            for leaf, param in own.items():
                if param is not None:
                    places.append(prefix + leaf)
                    leaves.append(leaf)
                    tensors.append(param)
                    owners.append(number)
            stop = len(places)
            modules.append(module)
            prefixes.append(prefix)
            spans.append((start, stop, stop))
            if inside:
                kind: Any = type(module)
                attribute = held_as(kind)
                found.wrapped = found.wrapped or attribute is not None
                open_modules.add(id(module))
                visit(inside, attribute, prefix)
                open_modules.remove(id(module))
                spans[number] = (start, stop, len(places))

    visit(roots, "", "")


def _find_ties(found: Walk) -> None:
    """Find the parameters that have more than one place."""
    if len(set(map(id, found.tensors))) == len(found.tensors):
        return
    places: dict[int, list[int]] = defaultdict(list)
    for place, param in enumerate(found.tensors):
        places[id(param)].append(place)
    found.ties = [tie for tie in places.values() if len(tie) > 1]
    found.firsts = bytearray(len(found.tensors))
    for tie in places.values():
        found.firsts[tie[0]] = 1


def _roots(model: object) -> Mapping[str, nn.Module]:
    """Bring both forms of a model to a mapping, or say what was given instead."""
    if isinstance(model, nn.Module):
        return {"": model}
    if not isinstance(model, Mapping):
        raise TypeError(
            f"model must be a torch.nn.Module, or a mapping of names to modules, not {_what(model)}"
        )
    wrong = [
        f"{key!r} is {_what(value)}"
        for key, value in model.items()
        if not (isinstance(key, str) and isinstance(value, nn.Module))
    ]
    if wrong:
        raise TypeError(f"model must map names to torch.nn.Module: {first_few(wrong)}")
    return model


def _what(value: object) -> str:
    """Name a value's type, and a string's content."""
    return f"the string {value!r}" if isinstance(value, str) else type(value).__name__


def _name_clash(names: list[str]) -> str:
    """Say which names two places share."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    return (
        f"two parameters would be called the same: {first_few(twice)}. "
        "Rename one, or give each model a key that no name of another begins with."
    )
