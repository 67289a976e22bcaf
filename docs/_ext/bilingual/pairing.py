"""The transform: pair each English block with its Chinese twin, show one, keep the other hidden.

It runs after gettext has translated the docstrings (priority 20) and before Sphinx collects
titles, the table of contents and labels, so all of these come out in one language.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from . import checks, reports
from .languages import ENGLISH, HAN, LANGUAGES, PUNCTUATION, SEPARATOR, Language, by_sphinx, detect

__all__ = ["OTHER", "PairBlocks", "other_half"]

OTHER = "bi-other"
"""The class of everything that is in the language of the other site."""

HIDDEN_HALF = "bilingual_other_half"

WORDLESS = (nodes.literal, nodes.math, nodes.raw, nodes.Invisible, nodes.image)
NEUTRAL = (
    addnodes.desc,
    addnodes.index,
    nodes.docinfo,
    nodes.field_list,
    nodes.FixedTextElement,
    nodes.Invisible,
    nodes.image,
    nodes.math_block,
    nodes.system_message,
    nodes.transition,
)
TABULAR = (nodes.row, nodes.thead, nodes.tbody, nodes.tgroup)
"""Parts of a table: two cells of a row are never each other's translation."""
OURS = {"sphx-glr-footer", "sphx-glr-timing", "sphx-glr-download-link-note", "no-pair"}
"""Classes of blocks that are written in one language at a time, by the extension itself."""


class PairBlocks(SphinxTransform):
    """Leave one language visible in a document, and the other beside it, hidden."""

    default_priority = 30

    def apply(self, **kwargs: Any) -> None:
        own = by_sphinx(self.config.language)
        for toctree in self.document.findall(addnodes.toctree):
            translate_toctree(toctree, own)
        for image in self.document.findall(nodes.image):
            translate_alt(image, own)
        pair_children(self.document, own)
        for leaf in leaves(self.document):
            join_lines(leaf)
        checks.check_markup(leaves(self.document))


def pair_children(parent: nodes.Element, own: Language) -> None:
    """Pair the blocks below `parent`, and below whatever in it holds both languages."""
    english: list[nodes.Element] = []
    chinese: list[nodes.Element] = []

    def flush() -> None:
        if english or chinese:
            pair_run(parent, english, chinese, own)
            english.clear()
            chinese.clear()

    for child in list(parent.children):
        if not isinstance(child, nodes.Element) or isinstance(child, nodes.Invisible):
            continue
        if is_leaf(child) and split_leaf(child, own):
            flush()
            continue
        found = {language for leaf in leaves(child) for language in languages_of(leaf)}
        if found and isinstance(child, nodes.title) and isinstance(parent, nodes.section):
            reports.half_heading(child)
            continue
        if len(found) == 1 and not isinstance(parent, TABULAR):
            (language,) = found
            if language is ENGLISH and chinese:
                flush()
            (english if language is ENGLISH else chinese).append(child)
            continue
        flush()
        if found:
            pair_children(child, own)
    flush()


def pair_run(
    parent: nodes.Element,
    english: list[nodes.Element],
    chinese: list[nodes.Element],
    own: Language,
) -> None:
    """Pair English blocks with the Chinese blocks that follow them, kind by kind."""
    if [type(node) for node in english] != [type(node) for node in chinese]:
        reports.unpaired(english, chinese)
        return
    start = parent.index(english[0])
    for node in (*english, *chinese):
        parent.remove(node)
    for offset, pair in enumerate(zip(english, chinese, strict=True)):
        checks.check_terms(*pair)
        shown, hidden = pair if own is ENGLISH else pair[::-1]
        mark(hidden, other(own))
        parent.insert(start + 2 * offset, [shown, hidden])


def mark(node: nodes.Element, language: Language) -> None:
    """Give `node` a language, and hide it until a reader asks for both."""
    node["classes"] += [f"language-{language.tag}", OTHER]


def other(own: Language) -> Language:
    """Return the language of the other site."""
    return next(language for language in LANGUAGES if language is not own)


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
    """Return the text that holds the bar between two halves, None if there is none."""
    found = [
        child
        for child in leaf.children
        if isinstance(child, nodes.Text)
        for _ in SEPARATOR.finditer(child.astext())
    ]
    if len(found) != 1:
        return None
    after = leaf.children[leaf.children.index(found[0]) + 1 :]
    right = SEPARATOR.split(found[0].astext())[1] + "".join(map(words_of, after))
    return found[0] if HAN.search(right) else None


def split_leaf(leaf: nodes.TextElement, own: Language) -> bool:
    """Keep one half of ``English | 中文`` in a leaf, and hide the other; False if it has no halves."""
    text = find_separator(leaf)
    if text is None:
        return False
    at = leaf.children.index(text)
    left, right = SEPARATOR.split(text.astext())
    english = [*leaf.children[:at], nodes.Text(left.rstrip())]
    chinese = [nodes.Text(right.lstrip()), *leaf.children[at + 1 :]]
    checks.check_terms(nodes.inline("", "", *copies(english)), nodes.inline("", "", *copies(chinese)))
    shown, hidden = (english, chinese) if own is ENGLISH else (chinese, english)
    half = nodes.inline("", "", *hidden)
    mark(half, other(own))
    leaf.clear()
    leaf.extend(shown)
    join_lines(half)
    if isinstance(leaf, nodes.title):
        # Sphinx collects titles for the navigation: the hidden half comes back after that.
        leaf[HIDDEN_HALF] = half
    else:
        leaf += half
    return True


def copies(children: list[nodes.Node]) -> list[nodes.Node]:
    """Return deep copies, so that a check can hold them without moving them."""
    return [child.deepcopy() for child in children]


def other_half(title: nodes.title) -> nodes.inline | None:
    """Return the hidden half of a title, None if it has none."""
    return title.get(HIDDEN_HALF)


def translate_toctree(toctree: addnodes.toctree, own: Language) -> None:
    """Keep one half of a toctree's caption and of the titles written into it."""

    def choose(text: str | None) -> str | None:
        parts = SEPARATOR.split(text) if text else ()
        return parts[own is not ENGLISH] if len(parts) == 2 else text

    if toctree.get("caption"):
        toctree["caption"] = choose(toctree["caption"])
    toctree["entries"] = [(choose(title), ref) for title, ref in toctree["entries"]]


def translate_alt(image: nodes.image, own: Language) -> None:
    """Keep one half of an image's alternative text."""
    parts = SEPARATOR.split(image.get("alt", ""))
    if len(parts) == 2:
        image["alt"] = parts[own is not ENGLISH].strip()
    elif image.get("alt") and detect(image["alt"]) is not None:
        reports.half_alt(image)


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
    han = bool(HAN.match(last)) and bool(HAN.match(first))
    return han or bool(PUNCTUATION.match(last)) or bool(PUNCTUATION.match(first))
