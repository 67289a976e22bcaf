"""Copies of options and state, which share nothing with what goes on changing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

PLAIN = frozenset({float, int, str, bool, type(None)})
"""Types of what needs no look inside: most is of these, and a tensor is slow to tell."""


def copied(value: Any, device: torch.device | None = None) -> Any:
    """Copy tensors, in lists and mappings too: what they hold now, whatever happens to them."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, (dict, Mapping)):  # dict first: an abstract class is slow to tell, too
        items = {
            key: item if type(item) in PLAIN else copied(item, device)
            for key, item in value.items()
        }
        return OrderedDict(items) if isinstance(value, OrderedDict) else items
    if isinstance(value, list):
        return [copied(item, device) for item in value]
    if type(value) is tuple:
        return tuple([copied(item, device) for item in value])
    if isinstance(value, tuple) and hasattr(value, "_make"):  # one with names
        return value._make(copied(item, device) for item in value)
    if isinstance(value, Tensor):
        found = value.detach()
        return found.clone() if device in (None, found.device) else found.to(device)
    return value
