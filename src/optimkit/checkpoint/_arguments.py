"""What save and load may be given: objects by name, as keywords, in a mapping, in groups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .._errors import first_few
from .._torch_optimizers import is_state_dict
from .._wrappers import stored, unwrapped
from ._header import KEY, in_words, is_group, kind_of, parts_of

# What can't be a keyword for an object, since save or load means something by it.
_KEYWORDS = {"path", "objects", "metadata", "durable", "background"}
_KEYWORDS |= {"key", "grown", "match", "map_location", "strict", "options", "verify"}


def objects_to_save(
    objects: Any, keywords: Mapping[str, Any], reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Put the mapping and the keywords together; refuse what would not come back."""
    found = _gather("save", objects, keywords, reserved)
    for name, value in found.items():
        for key, each in value.items() if is_group(value) else ():
            if kind_of(each) == "value":
                raise TypeError(
                    f"save: {name} holds objects, and {key}, which is of {type(each).__name__} and "
                    "has no state_dict. Save plain values under names of their own."
                )
    _warn_of_strangers("save", found)
    return found


def _warn_of_strangers(verb: str, objects: Mapping[str, Any]) -> None:
    """Warn if a scheduler is saved, or loaded, beside optimizers of which it drives none."""
    done = {"save": "saved", "load": "loaded"}[verb]
    parts = {name: stored(each) for name, each in parts_of(objects).items()}
    optimizers = {name: each for name, each in parts.items() if isinstance(each, Optimizer)}
    for name, each in parts.items():
        driven = unwrapped(each.optimizer) if isinstance(each, LRScheduler) else None
        if (
            optimizers
            and driven is not None
            and not any(driven is one for one in optimizers.values())
        ):
            warnings.warn(
                f"{verb}: {name} drives an optimizer that is not {done} with it: "
                f"{first_few(optimizers)} is another object, and does not follow it. "
                f"{verb.capitalize()} the optimizer that it drives.",
                stacklevel=4,
            )


def objects_to_load(objects: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Put the mapping and the keywords together; refuse what nothing can be loaded into."""
    found = _gather("load", objects, keywords)
    for name, value in parts_of(found).items():
        if kind_of(value) == "value":
            back = f': a plain value comes back, as load(...)["{name}"]' if name in found else ""
            raise TypeError(
                f"load: {name} is of {type(value).__name__}, which has no load_state_dict. Leave "
                f"it out{back}."
            )
    _warn_of_strangers("load", found)
    return found


def places_of(key: Any, objects: Mapping[str, Any], bare: str) -> dict[str, str]:
    """Say where in a file the objects are that are not under their own names there."""
    kinds = {name: kind_of(value) for name, value in parts_of(objects).items()}
    if isinstance(key, Mapping):
        if strange := [name for name in key if name not in kinds]:
            raise TypeError(
                f"load: key names {first_few(map(repr, strange))}, no object of this load."
            )
        if all(isinstance(place, str) for place in key.values()):
            return dict(key)
    if key is None:
        fits = bare and list(map(in_words, kinds.values())) == [in_words(bare)]
        return dict.fromkeys(kinds, "") if fits else {}
    of_optimizer = [name for name, kind in kinds.items() if kind == "optimizer"]
    chosen = list(kinds) if len(kinds) == 1 else of_optimizer
    if not isinstance(key, str) or len(chosen) != 1:
        raise TypeError(
            "load: key must be the place of the only optimizer, or say of each object by its name "
            'where it is, as in key={"optimizer": "optimizer_states.0"}.'
        )
    return {chosen[0]: key}


def checked_mapping(name: str, value: Any) -> dict[str, Any]:
    """Refuse metadata or metrics that are no mapping."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"save: {name} must be a mapping, not {type(value).__name__}")
    return dict(value or {})


def _gather(
    function: str, objects: Any, keywords: Mapping[str, Any], reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    if objects is not None:
        _check_mapping(function, objects)
    given: Mapping[str, Any] = objects or {}
    taken = [name for name in keywords if name in _KEYWORDS or name in reserved]
    if taken:
        raise TypeError(
            f"{function}: {first_few(taken)} can't be a keyword for an object: save or load has an "
            f'argument of this name. Pass it in a mapping: {{"{taken[0]}": ...}}.'
        )
    twice = [name for name in keywords if name in given]
    if twice:
        raise TypeError(
            f"{function}: {first_few(twice)} is given twice, in the mapping and as a keyword. "
            "Leave one out."
        )
    found = {**given, **keywords}
    if KEY in found:
        raise TypeError(
            f"{function}: {KEY} can't be the name of an object: the header of the file has it. "
            "Call it something else."
        )
    groups = {name: value for name, value in found.items() if is_group(value)}
    inner = [(name, key) for name, group in groups.items() for key in group]
    if wrong := [key for key in (*found, *(key for _, key in inner)) if not isinstance(key, str)]:
        raise TypeError(f"{function}: names must be strings, not {first_few(map(repr, wrong))}.")
    dotted = {".".join(names) for names in inner}
    if clashes := [name for name in found if name in dotted]:
        raise TypeError(
            f"{function}: {first_few(clashes)} is the name of an object, and of one in a mapping. "
            "Call one of them something else."
        )
    return found


def _check_mapping(function: str, objects: Any) -> None:
    # torch/nn/modules/module.py, 2.15: state_dict() has the versions of the modules there.
    if hasattr(objects, "_metadata") or is_state_dict(objects):
        raise TypeError(
            f"{function}: this is one state dict, where objects by name were expected. Give it a "
            'name, as in {"model": ...}.'
        )
    if not isinstance(objects, Mapping) or kind_of(objects) != "value":
        raise TypeError(
            f"{function}: objects must be a mapping, not {type(objects).__name__}. Give it a name, "
            'as in {"model": model} or model=model.'
        )
