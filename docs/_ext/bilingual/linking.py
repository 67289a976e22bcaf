"""Words that become links where they stand, so that a writer, and a notebook, need no markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from docutils import nodes
from sphinx.addnodes import pending_xref

__all__ = ["link_words", "reference", "running_texts"]


def running_texts(document: nodes.Element) -> Iterator[nodes.Text]:
    """Yield the words of the paragraphs that are not links, literals or cards already."""
    for paragraph in list(document.findall(nodes.paragraph)):
        if any(isinstance(above, nodes.container) for above in ancestors(paragraph)):
            continue
        for text in list(paragraph.findall(nodes.Text)):
            inline = (nodes.reference, pending_xref, nodes.literal, nodes.math, nodes.raw)
            if not any(isinstance(above, inline) for above in ancestors(text)):
                yield text


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yield what a node is in, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def link_words(
    text: nodes.Text, pattern: re.Pattern[str], link: Callable[[re.Match[str]], nodes.Node | None]
) -> None:
    """Put links in the place of the words that a pattern finds and `link` has one for."""
    said, done, pieces = text.astext(), 0, []
    for match in pattern.finditer(said):
        made = link(match)
        if made is None:
            continue
        pieces += [nodes.Text(said[done : match.start()]), made]
        done = match.end()
    if pieces:
        pieces.append(nodes.Text(said[done:]))
        text.parent.replace(text, [piece for piece in pieces if piece.astext()])


def reference(domain: str, kind: str, target: str, child: nodes.Node, docname: str) -> pending_xref:
    """Return a link that Sphinx resolves, or warns about; it shows `child`."""
    node = pending_xref(
        refdomain=domain, reftype=kind, reftarget=target, refexplicit=True, refwarn=True
    )
    node["refdoc"] = docname
    if isinstance(child, nodes.Text):
        child = nodes.inline("", child, classes=[f"{kind}-link"])
    node += child
    return node
