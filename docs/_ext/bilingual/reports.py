"""Warnings, each with the file and line that a writer has to open.

The build runs with warnings as errors, so each of these fails it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

__all__ = ["half_alt", "half_heading", "unpaired", "warn"]

logger = logging.getLogger(__name__)

SCRIPTS = Path(__file__).parents[3] / "examples"
"""Where the pages that the gallery generates are really written."""


def warn(message: str, node: nodes.Node, subtype: str) -> None:
    """Warn about a node, at the line of the file in which its author wrote it."""
    logger.warning(message, location=place(node), type="bilingual", subtype=subtype)


def half_heading(title: nodes.title) -> None:
    """Warn about a heading in one language."""
    warn(
        f"half heading {quote(title)}: write both halves, 'English | 中文', "
        "or put a name that both languages share between double backticks",
        title,
        "heading",
    )


def half_alt(image: nodes.image) -> None:
    """Warn about an alternative text in one language."""
    warn(
        f"half alternative text '{image['alt'][:50]}' of {image['uri']}: "
        "write both halves, 'English | 中文' (of a figure: fig.set_label)",
        image,
        "alt",
    )


def unpaired(english: Sequence[nodes.Element], chinese: Sequence[nodes.Element]) -> None:
    """Warn about blocks of one language whose twins in the other are missing or of another kind."""
    kinds = [type(node) for node in chinese]
    for node in english:
        if type(node) in kinds:
            kinds.remove(type(node))
        else:
            missing(node, "Chinese", "after")
    kinds = [type(node) for node in english]
    for node in chinese:
        if type(node) in kinds:
            kinds.remove(type(node))
        else:
            missing(node, "English", "before")
    if sorted(map(str, map(type, english))) == sorted(map(str, map(type, chinese))):
        found = ", ".join(node.tagname for node in english)
        wanted = ", ".join(node.tagname for node in chinese)
        warn(
            f"blocks in another order: English has {found}; Chinese has {wanted}",
            english[0],
            "pair",
        )


def missing(node: nodes.Element, language: str, where: str) -> None:
    """Warn about one block that has no twin."""
    warn(
        f"unpaired {node.tagname} {quote(node)}: "
        f"expected its {language} twin, a {node.tagname}, right {where} it",
        node,
        "pair",
    )


def quote(node: nodes.Node) -> str:
    """Return the first words of a node."""
    text = " ".join(node.astext().split())
    return f"'{text[:50]}…'" if len(text) > 50 else f"'{text}'"


def place(node: nodes.Node) -> str | nodes.Node:
    """Return the place of a node: of a generated page, the line of the script."""
    source = node.document.current_source if node.document else None
    source = source or (node.document and node.document.get("source"))
    script = SCRIPTS / Path(str(source)).with_suffix(".py").name
    if Path(str(source)).parent.name != "auto_examples" or not script.exists():
        return node
    words = next((line for line in node.astext().splitlines() if line.strip()), "")[:24]
    lines = script.read_text(encoding="utf-8").splitlines()
    number = next((i for i, line in enumerate(lines, 1) if words and words in plain(line)), 1)
    return f"{script}:{number}"


def plain(line: str) -> str:
    """Return a line of a script as its reader sees it."""
    return line.lstrip("# ").replace("``", "").replace("**", "")
