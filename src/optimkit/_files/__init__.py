"""Bytes on disk: whole or not at all, verified before they are used, never unpickled freely."""

from .folders import HEADER, look_into, read_metadata
from .opaque import holds_opaque
from .progress import show_progress
from .reading import (
    Integrity,
    MapLocation,
    Reading,
    allow_weights_only,
    opened,
    read,
    verify,
)
from .unread import Placeholder, Unread, filled, placeholders_in, rebuilt
from .writing import RunLock, live_runs, make_folder, sync_folder, write

__all__ = [
    "HEADER",
    "Integrity",
    "MapLocation",
    "Placeholder",
    "Reading",
    "RunLock",
    "Unread",
    "allow_weights_only",
    "filled",
    "holds_opaque",
    "live_runs",
    "look_into",
    "make_folder",
    "opened",
    "placeholders_in",
    "read",
    "read_metadata",
    "rebuilt",
    "show_progress",
    "sync_folder",
    "verify",
    "write",
]
