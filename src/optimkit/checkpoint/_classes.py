"""Classes by name: of what was saved, the name is all there is."""

from __future__ import annotations


def class_of(value: object) -> str:
    """Name the class of an object, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def short(name: str) -> str:
    """Leave the module out of a class's name."""
    return name.rpartition(".")[2]


def same_class(one: str, other: str) -> bool:
    """Tell whether two names mean one class."""
    if one == other:
        return True
    pair = (one.rpartition("."), other.rpartition("."))
    loose = all(name.startswith("torch.") for name in (one, other))
    loose |= "__main__" in (one.partition(".")[0], other.partition(".")[0])
    return loose and pair[0][2] == pair[1][2]
