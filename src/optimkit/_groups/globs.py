"""Names that match a glob or an expression, many at a time, and the glob that was perhaps meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from fnmatch import translate
from glob import escape
from operator import truth

from .._parameters import Walk

_MANY = 2_000  # names to compare a misspelt one with; comparing is slow


def matching_glob(pattern: str) -> Callable[[list[str]], bytes]:
    """Compile a glob; its usual forms are faster without a regular expression."""
    if "?" not in pattern and "[" not in pattern:
        match pattern.split("*"):
            case [whole]:
                return lambda names: bytes([name == whole for name in names])
            case ["", tail]:
                return lambda names: bytes([tail in name and name.endswith(tail) for name in names])
            case [head, ""]:
                return lambda names: bytes(
                    [head in name and name.startswith(head) for name in names]
                )
            case ["", part, ""]:
                return lambda names: bytes([part in name for name in names])
    # Not the part before the first star: many names begin alike.
    literal = max(re.split(r"[*?]", pattern.partition("[")[0])[1:], key=len, default="")
    match = re.compile(translate(pattern)).match
    return lambda names: bytes([literal in name and bool(match(name)) for name in names])


def matching(match: Callable[[str], object]) -> Callable[[list[str]], bytes]:
    """Make the test of a name the test of a column of names."""
    return lambda names: bytes(map(truth, map(match, names)))


def nearest(pattern: str, found: Walk) -> str | None:
    """Find the glob that was perhaps meant."""
    if pattern.removesuffix(".") in found.module_names:
        return f"{pattern.removesuffix('.')}.*"
    if "[" in pattern and pattern in found.places:
        return escape(pattern)
    if len(found.places) > _MANY:
        return None
    if "*" not in pattern:
        known = set(found.places)
    else:
        leaves = set(found.leaves)
        known = {f"{name}.*" for name in found.module_names if name}
        known |= {f"*.{leaf}" for leaf in leaves} | {f"*{leaf}" for leaf in leaves}
    return next(iter(get_close_matches(pattern, sorted(known), 1, 0.8)), None)
