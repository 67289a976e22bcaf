"""What save and load may be given: objects by name, as keywords, in a mapping, in groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import first_few
from ._header import KEY, is_group, kind_of, parts_of

_KEYWORDS = frozenset(
    {
        *("path", "objects", "metadata", "durable", "background"),
        *("match", "map_location", "strict", "options", "verify"),
    }
)


def gather(
    function: str, objects: Any, keywords: Mapping[str, Any], reserved: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Put the mapping and the keywords together, or say why that can't be."""
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
    for name, value in found.items():
        if is_group(value):
            _check_names(f"{function}: {name}", value)
    inner = {f"{name}.{key}" for name, value in found.items() for key in _keys(value)}
    if clashes := [name for name in found if name in inner]:
        raise TypeError(
            f"{function}: {first_few(clashes)} is the name of an object, and of one in a mapping. "
            "Call one of them something else."
        )
    return found


def refuse_mixed(objects: Mapping[str, Any]) -> None:
    """Refuse to save what would not come back: plain values among objects."""
    for name, value in objects.items():
        for key in _keys(value) if is_group(value) else ():
            if kind_of(value[key]) == "value":
                raise TypeError(
                    f"save: {name} holds objects, and {key}, which is of "
                    f"{type(value[key]).__name__} and has no state_dict. Save plain values under "
                    "names of their own."
                )


def refuse_values(objects: Mapping[str, Any]) -> None:
    """Refuse what nothing can be loaded into."""
    for name, value in objects.items():
        if isinstance(value, Mapping) and not value:
            raise TypeError(f"load: {name} is an empty mapping: there is nothing to load into.")
    for name, value in parts_of(objects).items():
        if kind_of(value) == "value":
            back = f': a plain value comes back, as load(...)["{name}"]' if name in objects else ""
            raise TypeError(
                f"load: {name} is of {type(value).__name__}, which has no load_state_dict. Leave "
                f"it out{back}."
            )


def checked_metadata(metadata: Any) -> dict[str, Any]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"save: metadata must be a mapping, not {type(metadata).__name__}")
    return dict(metadata or {})


def _check_mapping(function: str, objects: Any) -> None:
    if not isinstance(objects, Mapping) or kind_of(objects) != "value":
        raise TypeError(
            f"{function}: objects must be a mapping, not {type(objects).__name__}. Give it a name, "
            'as in {"model": model} or model=model.'
        )
    if not objects:
        raise TypeError(f"{function}: the mapping of objects is empty. Leave it out, or fill it.")
    _check_names(function, objects)


def _check_names(where: str, objects: Mapping[Any, Any]) -> None:
    wrong = [key for key in objects if not isinstance(key, str)]
    if wrong:
        raise TypeError(f"{where}: names must be strings, not {first_few(map(repr, wrong))}.")


def _keys(value: object) -> list[Any]:
    return list(value) if isinstance(value, Mapping) else []
