"""What of a document is running text, block by block: its languages, its lines, words that become links."""

import re
from collections.abc import Callable, Iterable, Iterator

from docutils import nodes
from sphinx import addnodes

from .languages import HAN, LANGUAGES, PUNCTUATION, SEPARATOR, SHARED, Language, detect

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
OURS = {"sphx-glr-download-link-note", "no-pair"}
"""Classes of blocks that are written in one language at a time, by the extension itself."""
LINE_END = re.compile(r"[ \t]*\n\s*")
BESIDE = f"(?:{HAN.pattern}|{SHARED.pattern})"
GLUED = re.compile(
    rf"(?<={PUNCTUATION.pattern}){LINE_END.pattern}|{LINE_END.pattern}(?={PUNCTUATION.pattern})"
    rf"|(?<={BESIDE}){LINE_END.pattern}(?={BESIDE})"
)
LINKED = (nodes.reference, addnodes.pending_xref, nodes.literal, nodes.math, nodes.raw)
"""What a link cannot be put into."""


def is_neutral(node: nodes.Node) -> bool:
    """Return whether a block belongs to both languages as it is."""
    ours = isinstance(node, nodes.Element) and OURS.intersection(node.get("classes", ()))
    return isinstance(node, NEUTRAL) or bool(ours)


def is_leaf(node: nodes.Node) -> bool:
    """Return whether a node is a block that holds running text."""
    no_text = (nodes.Inline, nodes.FixedTextElement, nodes.Invisible, nodes.math_block)
    return isinstance(node, nodes.TextElement) and not isinstance(node, no_text)


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


def join_lines(leaf: nodes.Element) -> None:
    """Join the lines that a writer has broken: nothing between Chinese characters, a space elsewhere."""
    if not HAN.search(words_of(leaf)):
        return
    found, pieces = list(texts(leaf)), list(leaf.findall(nodes.Text))
    around = ["", *(text.astext() for text in pieces), ""]
    for text, before, after in zip(pieces, around, around[2:], strict=False):
        if text in found:
            # A line end at its edge is judged by the character beyond it.
            left, right = before.rstrip()[-1:], after.lstrip()[:1]
            joined = LINE_END.sub(" ", GLUED.sub("", left + text.astext() + right))
            joined = joined.removeprefix(left).removesuffix(right)
            text.parent.replace(text, nodes.Text(joined))


def running_texts(document: nodes.Element) -> Iterator[nodes.Text]:
    """Yield the words of the paragraphs that are not links, literals or cards already."""
    for paragraph in list(document.findall(nodes.paragraph)):
        if any(isinstance(above, nodes.container) for above in ancestors(paragraph)):
            continue
        for text in list(paragraph.findall(nodes.Text)):
            if not any(isinstance(above, LINKED) for above in ancestors(text)):
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


def reference(
    domain: str, kind: str, target: str, child: nodes.Node, docname: str
) -> addnodes.pending_xref:
    """Return a link that Sphinx resolves, or warns about; it shows `child`."""
    node = addnodes.pending_xref(
        refdomain=domain, reftype=kind, reftarget=target, refexplicit=True, refwarn=True
    )
    node["refdoc"] = docname
    if isinstance(child, nodes.Text):
        child = nodes.inline("", child, classes=[f"{kind}-link"])
    node += child
    return node
