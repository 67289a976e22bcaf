"""Classes and dtypes by name: of what was saved, the name is all there is."""

from __future__ import annotations

import torch


def class_of(value: object) -> str:
    """Name the class of an object, with its module.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        As ``torch.optim.adamw.AdamW``.

    Examples
    --------
    >>> import torch
    >>> class_of(torch.nn.ReLU())
    'torch.nn.modules.activation.ReLU'
    """
    return f"{type(value).__module__}.{type(value).__qualname__}"


def short(name: str) -> str:
    """Leave the module out of a class's name.

    Parameters
    ----------
    name : str
        The name.

    Returns
    -------
    str
        Its last part.
    """
    return name.rpartition(".")[2]


def same_class(one: str, other: str) -> bool:
    """Tell whether two names mean one class.

    Parameters
    ----------
    one, other : str
        Classes with their modules. Where in torch a class lives is torch's own affair; a
        script run as ``__main__`` may be imported by its name another time.

    Returns
    -------
    bool
        Whether they do.

    Examples
    --------
    >>> same_class("torch.optim.adam.Adam", "torch.optim.Adam")
    True
    >>> same_class("torch.optim.adam.Adam", "torch.optim.adamw.AdamW")
    False
    """
    if one == other:
        return True
    pair = (one.rpartition("."), other.rpartition("."))
    loose = all(name.startswith("torch.") for name in (one, other))
    loose |= "__main__" in (one.partition(".")[0], other.partition(".")[0])
    return loose and pair[0][2] == pair[1][2]


def dtype_name(dtype: torch.dtype) -> str:
    """Write a dtype without its ``torch.``.

    Parameters
    ----------
    dtype : torch.dtype
        The dtype.

    Returns
    -------
    str
        As ``float32``.
    """
    return str(dtype).removeprefix("torch.")
