"""Docstrings are English, and a gettext catalog holds their Chinese: all of it, or the build fails."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.builders.gettext import MessageCatalogBuilder
from sphinx.transforms import SphinxTransform
from sphinx.transforms.i18n import Locale
from sphinx.util.nodes import extract_messages

from . import reports
from .languages import CHINESE, ENGLISH, by_sphinx, detect
from .pairing import leaves, mark, other, words_of

__all__ = ["CheckDocstrings", "TranslateDocstrings"]


def docstring_texts(document: nodes.document) -> list[nodes.TextElement]:
    """Return what the catalog translates: running text inside the description of an object."""
    return [
        node
        for node, _ in extract_messages(document)
        if in_docstring(node) and isinstance(node, nodes.TextElement)
    ]


def in_docstring(node: nodes.Node | None) -> bool:
    """Return whether a node is part of the description of an object."""
    while node is not None and not isinstance(node, addnodes.desc):
        node = node.parent
    return node is not None


class TranslateDocstrings(SphinxTransform):
    """Put a hidden copy of each docstring paragraph beside it, in the other language.

    Of the two, gettext translates the one that is to be Chinese.
    """

    default_priority = Locale.default_priority - 1

    def apply(self, **kwargs: Any) -> None:
        found = docstring_texts(self.document)
        if issubclass(self.env._builder_cls, MessageCatalogBuilder):
            keep_out_of_catalog(self.document, found)
            return
        own = by_sphinx(self.config.language)
        for node in found:
            if isinstance(node, nodes.paragraph) and not list(node.findall(nodes.footnote_reference)):
                twin = node.deepcopy()
                mark(twin, other(own))
                node.parent.insert(node.parent.index(node) + 1, twin)
                (node if own is ENGLISH else twin)["translatable"] = False
            elif own is ENGLISH:
                node["translatable"] = False
        if own is ENGLISH:
            self.config.language = CHINESE.sphinx
            try:
                Locale(self.document).apply()
            finally:
                self.config.language = own.sphinx


class CheckDocstrings(SphinxTransform):
    """Warn about each docstring sentence that has no Chinese."""

    default_priority = Locale.default_priority + 6

    def apply(self, **kwargs: Any) -> None:
        if by_sphinx(self.config.language) is not CHINESE:
            return
        for node in docstring_texts(self.document):
            if not node.get("translated") and detect(words_of(node)) is ENGLISH:
                reports.warn(
                    f"no Chinese for {reports.quote(node)}: "
                    "run 'nox -s catalog', then write it into docs/locale/zh_CN/LC_MESSAGES/",
                    node,
                    "catalog",
                )


def keep_out_of_catalog(document: nodes.document, found: list[nodes.TextElement]) -> None:
    """Leave to the catalog only docstrings: pages carry both languages themselves."""
    for node, _ in extract_messages(document):
        if node not in found:
            node["translatable"] = False
    for leaf in leaves(document):
        leaf["translatable"] = False
