"""Where the optimizers are in what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def optimizers_in(content: object) -> dict[str, Mapping[str, Any]]:
    """Find the optimizer state dicts in what a checkpoint holds.

    Parameters
    ----------
    content : object
        What :func:`read` returned.

    Returns
    -------
    dict of str to mapping
        Where each is, keys joined by dots (``""`` if the content is one itself), and the
        state dict.

    Examples
    --------
    >>> import torch
    >>> optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1)
    >>> list(optimizers_in({"epoch": 1, "optimizers": [optimizer.state_dict()]}))
    ['optimizers.0']
    """
    found: dict[str, Mapping[str, Any]] = {}

    def look(value: object, where: str, depth: int) -> None:
        if is_state_dict(value):
            found[where] = value  # type: ignore[assignment]
        elif depth < 5 and isinstance(value, Mapping):
            for key, item in value.items():
                look(item, f"{where}.{key}" if where else str(key), depth + 1)
        elif depth < 5 and isinstance(value, (list, tuple)) and len(value) < 100:
            for index, item in enumerate(value):
                look(item, f"{where}.{index}" if where else str(index), depth + 1)

    look(content, "", 0)
    return found


def is_state_dict(value: object) -> bool:
    """Tell whether a value is the state dict of an optimizer.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    bool
        True for a mapping with ``state`` and ``param_groups``, the latter a list of mappings.

    Examples
    --------
    >>> is_state_dict({"state": {}, "param_groups": []}), is_state_dict({"weight": 1})
    (True, False)
    """
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(value.get("param_groups"), (list, tuple))
        and all(isinstance(group, Mapping) for group in value["param_groups"])
    )
