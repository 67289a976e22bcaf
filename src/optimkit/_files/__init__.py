"""Bytes on disk: whole or not at all, verified before they are used, never unpickled freely."""
