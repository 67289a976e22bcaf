"""Bytes on disk: whole or not at all, verified before they are used, never unpickled freely."""

from .freeing import freed_aside
from .reading import Reading, one_mind, read, read_once
from .soundness import Integrity, verify
from .temporary import Presence, present
from .writing import install, make_folder, write

__all__ = [
    "Integrity",
    "Presence",
    "Reading",
    "freed_aside",
    "install",
    "make_folder",
    "one_mind",
    "present",
    "read",
    "read_once",
    "verify",
    "write",
]
