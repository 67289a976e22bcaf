"""Bytes on disk: whole or not at all, verified before they are used, never unpickled freely."""

from .optimizers import is_state_dict, optimizers_in
from .reading import Reading, Soundness, read, read_once, verify
from .writing import install, write

__all__ = [
    "Reading",
    "Soundness",
    "install",
    "is_state_dict",
    "optimizers_in",
    "read",
    "read_once",
    "verify",
    "write",
]
