"""Lines that a writer has broken, joined as Chinese wants it: without a space between characters."""

from __future__ import annotations

from docutils import nodes

from .blocks import texts, words_of
from .languages import HAN, PUNCTUATION, SHARED

__all__ = ["join_lines"]


def join_lines(leaf: nodes.Element) -> None:
    """Join lines: nothing between Chinese characters, a space elsewhere."""
    found = list(texts(leaf))
    if not any("\n" in text.astext() for text in found) or not HAN.search(words_of(leaf)):
        return
    pieces = list(leaf.findall(nodes.Text))
    for number, text in enumerate(pieces):
        if "\n" not in text.astext() or text not in found:
            continue
        before = pieces[number - 1].astext()[-1:] if number else ""
        after = pieces[number + 1].astext()[:1] if number + 1 < len(pieces) else ""
        joined = join_text(before, text.astext(), after)
        text.parent.replace(text, nodes.Text(joined))


def join_text(before: str, text: str, after: str) -> str:
    """Join the lines of one text between two characters."""
    lines = text.split("\n")
    joined = lines[0]
    for line in lines[1:]:
        line = line.lstrip()
        last = joined.rstrip()[-1:] or before
        first = line[:1] or after
        joined = joined.rstrip() + ("" if glued(last, first) else " ") + line
    return joined


def glued(last: str, first: str) -> bool:
    """Return whether two characters meet without a space between them."""
    if PUNCTUATION.match(last) or PUNCTUATION.match(first):
        return True
    return all(HAN.match(one) or SHARED.match(one) for one in (last, first))
