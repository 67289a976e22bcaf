"""What of a document is running text, block by block, and which languages a block is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from docutils import nodes
from sphinx import addnodes

from .languages import HAN, LANGUAGES, SEPARATOR, Language, detect

__all__ = [
    "UNSEEN",
    "find_separator",
    "is_leaf",
    "is_neutral",
    "languages_of",
    "leaves",
    "texts",
    "words_of",
]

WORDLESS = (nodes.literal, nodes.math, nodes.raw, nodes.Invisible, nodes.image)
NEUTRAL = (
    addnodes.desc,
    addnodes.index,
    nodes.docinfo,
    nodes.field_name,
    nodes.FixedTextElement,
    nodes.Invisible,
    nodes.image,
    nodes.math_block,
    nodes.system_message,
    nodes.transition,
)
UNSEEN = (nodes.Invisible, nodes.system_message)
"""What stands between blocks without being seen: docutils leaves a note where a role is first used."""
OURS = {"sphx-glr-footer", "sphx-glr-timing", "sphx-glr-download-link-note", "no-pair"}
"""Classes of blocks that are written in one language at a time, by the extension itself."""


def is_neutral(node: nodes.Node) -> bool:
    """Return whether a block belongs to both languages as it is."""
    if isinstance(node, NEUTRAL):
        return True
    return isinstance(node, nodes.Element) and bool(OURS.intersection(node.get("classes", ())))


def is_leaf(node: nodes.Node) -> bool:
    """Return whether a node is a block that holds running text."""
    return (
        isinstance(node, nodes.TextElement)
        and not isinstance(node, (nodes.Inline, nodes.FixedTextElement, nodes.Invisible))
        and not isinstance(node, nodes.math_block)
    )


def leaves(node: nodes.Node) -> Iterator[nodes.TextElement]:
    """Yield the blocks of running text at and below `node`."""
    if is_neutral(node):
        return
    if is_leaf(node):
        yield node
        return
    for child in node.children:
        yield from leaves(child)


def texts(node: nodes.Node) -> Iterator[nodes.Text]:
    """Yield the words of a leaf: no literals, no maths."""
    if isinstance(node, WORDLESS):
        return
    if isinstance(node, nodes.Text):
        yield node
        return
    for child in node.children:
        yield from texts(child)


def words_of(node: nodes.Node) -> str:
    """Return the text of a leaf without its literals and maths."""
    return "".join(text.astext() for text in texts(node))


def languages_of(leaf: nodes.TextElement) -> Iterable[Language]:
    """Return the languages that a leaf is written in: none, one, or both as two halves."""
    if find_separator(leaf) is not None:
        return LANGUAGES
    language = detect(words_of(leaf))
    return () if language is None else (language,)


def find_separator(leaf: nodes.TextElement) -> nodes.Text | None:
    """Return the text that holds the bar between two halves, None if there is none.

    What counts as a bar is what :func:`halves` says, but literals and maths have none.
    """
    found = [
        child
        for child in leaf.children
        if isinstance(child, nodes.Text)
        for _ in SEPARATOR.finditer(child.astext())
    ]
    if len(found) != 1:
        return None
    return found[0] if "｜" in found[0].astext() or HAN.search(words_of(leaf)) else None
