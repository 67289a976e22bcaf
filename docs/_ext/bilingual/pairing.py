"""The transform: pair each English block with its Chinese twin, show one, keep the other hidden.

It runs after gettext has translated the docstrings (priority 20) and before Sphinx collects
titles, the table of contents and labels, so all of these come out in one language.
"""

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

from .blocks import UNSEEN, find_separator, is_leaf, join_lines, languages_of, leaves, words_of
from .glossary import check_terms
from .languages import (
    CHINESE,
    ENGLISH,
    LANGUAGES,
    SEPARATOR,
    Language,
    by_sphinx,
    choose,
    detect,
    halves,
    in_order,
)
from .reports import quote, unpaired, warn

OTHER = "bi-other"
"""The class of everything that is in the language of the other site."""

HIDDEN_HALF = "bilingual_other_half"

SHARED_BLOCKS = (
    nodes.entry,
    nodes.field,
    nodes.field_body,
    nodes.row,
    nodes.section,
    nodes.tbody,
    nodes.tgroup,
    nodes.thead,
)
"""Blocks that hold both languages, and are never each other's translation: two cells of a row."""
TITLES = (nodes.title, nodes.caption)
"""Leaves that Sphinx collects for the navigation and for references: their hidden half comes later."""


class PairBlocks(SphinxTransform):
    """Leave one language visible in a document, and the other beside it, hidden."""

    default_priority = 30

    def apply(self, **kwargs: Any) -> None:
        own = by_sphinx(self.config.language)
        self.env.note_dependency("glossary.toml")
        for leaf in leaves(self.document):
            join_lines(leaf)
        for toctree in self.document.findall(addnodes.toctree):
            translate_toctree(toctree, own)
        for image in self.document.findall(nodes.image):
            translate_alt(image, own)
        for items in list(self.document.findall(nodes.bullet_list)):
            split_list(items)
        pair_children(self.document, own)


def split_list(items: nodes.bullet_list) -> None:
    """Part an English list from the Chinese one behind it: with one kind of bullet, they are one."""
    found = [
        {language for leaf in leaves(item) for language in languages_of(leaf)}
        for item in items.children
    ]
    half = len(found) // 2
    if found and found == [{ENGLISH}] * half + [{CHINESE}] * half:
        chinese = items.copy()
        chinese.extend(items.children[half:])
        del items.children[half:]
        items.parent.insert(items.parent.index(items) + 1, chinese)


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
        if not isinstance(child, nodes.Element) or isinstance(child, UNSEEN):
            continue
        if is_leaf(child) and split_leaf(child, own):
            flush()
            continue
        found = {language for leaf in leaves(child) for language in languages_of(leaf)}
        if found and isinstance(child, nodes.title) and isinstance(parent, nodes.section):
            warn(
                f"half heading {quote(child)}: write both halves, 'English | 中文', "
                "or put a name that both languages share between double backticks",
                child,
                "heading",
            )
            continue
        if len(found) == 1 and not isinstance(child, SHARED_BLOCKS):
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
        unpaired(english, chinese)
        return
    for pair in zip(english, chinese, strict=True):
        check_terms(*pair, at=pair[1])
    start = parent.index(english[0])
    for node in (*english, *chinese):
        parent.remove(node)
    for offset, pair in enumerate(zip(english, chinese, strict=True)):
        shown, hidden = pair if own is ENGLISH else pair[::-1]
        mark(hidden, other(own))
        parent.insert(start + 2 * offset, [shown, hidden])


def mark(node: nodes.Element, language: Language) -> None:
    """Give `node` a language, and hide it until a reader asks for both."""
    if isinstance(node, nodes.definition_list_item):
        # HTML has no element for it: its term and its definitions are side by side.
        for child in node.children:
            mark(child, language)
    else:
        node["classes"] += [f"language-{language.tag}", OTHER]


def other(own: Language) -> Language:
    """Return the language of the other site."""
    return next(language for language in LANGUAGES if language is not own)


def split_leaf(leaf: nodes.TextElement, own: Language) -> bool:
    """Keep one half of ``English | 中文`` in a leaf, and hide the other; False if it has no halves."""
    text = find_separator(leaf)
    if text is None:
        return False
    at = leaf.children.index(text)
    left, right = SEPARATOR.split(text.astext())
    english = [*leaf.children[:at], nodes.Text(left.rstrip())]
    chinese = [nodes.Text(right.lstrip()), *leaf.children[at + 1 :]]
    check_halves(leaf, copy(english), copy(chinese))
    shown, hidden = (english, chinese) if own is ENGLISH else (chinese, english)
    half = nodes.inline("", "", *hidden)
    mark(half, other(own))
    leaf.clear()
    leaf.extend(shown)
    if isinstance(leaf, TITLES):
        leaf[HIDDEN_HALF] = half
    else:
        leaf += half
    return True


def check_halves(leaf: nodes.TextElement, english: nodes.inline, chinese: nodes.inline) -> None:
    """Warn where the halves of a leaf are not in their languages, or disagree on a term."""
    if in_order(words_of(english), words_of(chinese)):
        check_terms(english, chinese, at=leaf)
    else:
        warn(
            f"halves in other languages {quote(leaf)}: write English first, 'English | 中文'; "
            "a bar that separates no halves goes between double backticks",
            leaf,
            "half",
        )


def copy(children: list[nodes.Node]) -> nodes.inline:
    """Return deep copies, so that a check can hold them without moving them."""
    return nodes.inline("", "", *(child.deepcopy() for child in children))


class ShowTitleHalves(SphinxPostTransform):
    """Put the hidden half back into each title, now that navigation and references have their own.

    It comes before references are resolved, so those in the hidden half are too.
    """

    default_priority = 1
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for title in self.document.findall(lambda node: isinstance(node, TITLES)):
            half = title.get(HIDDEN_HALF)
            if half is not None:
                title += half.deepcopy()


def translate_toctree(toctree: addnodes.toctree, own: Language) -> None:
    """Keep one half of a toctree's caption and of the titles written into it."""
    written = [toctree.get("caption"), *(title for title, _ in toctree["entries"])]
    for text in filter(None, written):
        if not has_both(text):
            said = f"half toctree entry '{text[:50]}': write both halves, 'English | 中文'"
            warn(said, toctree, "heading")
    if toctree.get("caption"):
        toctree["caption"] = choose(toctree["caption"], own)
    toctree["entries"] = [(title and choose(title, own), ref) for title, ref in toctree["entries"]]


def translate_alt(image: nodes.image, own: Language) -> None:
    """Keep one half of an image's alternative text."""
    if "alt" not in image:
        return
    if not has_both(image["alt"]):
        warn(
            f"half alternative text '{image['alt'][:50]}' of {image['uri']}: "
            "write both halves, 'English | 中文' (of a figure: fig.set_label)",
            image,
            "alt",
        )
    image["alt"] = choose(image["alt"], own)


def has_both(text: str) -> bool:
    """Return whether a text says the same in both languages, or has no words at all."""
    parts = halves(text)
    return in_order(*parts) if parts else detect(text) is None
