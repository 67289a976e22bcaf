"""Saved state against live objects: everything is validated, then everything is loaded."""
