"""Bytes on disk: whole or not at all, verified before they are used, never unpickled freely."""

from .progress import show_progress
from .reading import Integrity, MapLocation, Reading, allow_weights_only, read, verify
from .temporary import RunLock, live_runs
from .writing import make_folder, sync_folder, write

__all__ = [
    "Integrity",
    "MapLocation",
    "Reading",
    "RunLock",
    "allow_weights_only",
    "live_runs",
    "make_folder",
    "read",
    "show_progress",
    "sync_folder",
    "verify",
    "write",
]
