"""Docstrings are English, and a gettext catalog holds their Chinese: all of it, or the build fails."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.gettext import MessageCatalogBuilder
from sphinx.config import Config
from sphinx.ext.autosummary import autosummary_table
from sphinx.transforms import SphinxTransform
from sphinx.transforms.i18n import Locale
from sphinx.util.i18n import CatalogInfo, CatalogRepository, docname_to_domain
from sphinx.util.nodes import extract_messages

from .blocks import ancestors, leaves, words_of
from .languages import CHINESE, ENGLISH, Language, by_sphinx, detect
from .pairing import mark, other
from .reports import quote, warn

FROM_DOCSTRINGS = (addnodes.desc, autosummary_table)


def docstring_texts(document: nodes.document) -> list[nodes.TextElement]:
    """Return what the catalog translates: running text that describes an object, or a list of them."""
    return [
        node
        for node, _ in extract_messages(document)
        if any(isinstance(above, FROM_DOCSTRINGS) for above in ancestors(node))
        and isinstance(node, nodes.TextElement)
        # In a list, an object is called before it is described.
        and not (isinstance(node[0], addnodes.pending_xref) and node[0]["reftype"] == "obj")
    ]


def can_double(node: nodes.TextElement) -> bool:
    """Return whether a text can stand on a page twice: a footnote is called once."""
    sentence = isinstance(node, nodes.paragraph) or (
        isinstance(node, nodes.inline) and bool(words_of(node)) and len(words_of(node).split()) > 2
    )
    return sentence and not list(node.findall(nodes.footnote_reference))


class TranslateDocstrings(SphinxTransform):
    """Put a hidden copy of each docstring paragraph beside it, in the other language.

    Of the two, gettext translates the one that is to be Chinese. A sentence of which the
    catalog has no Chinese is a warning.
    """

    default_priority = Locale.default_priority - 1

    def apply(self, **kwargs: Any) -> None:
        if issubclass(self.env._builder_cls, MessageCatalogBuilder):
            keep_out_of_catalog(self.document, docstring_texts(self.document))
            return
        if not any(isinstance(node, FROM_DOCSTRINGS) for node in self.document.findall()):
            return  # Sphinx takes long to look for messages where there are none
        found = docstring_texts(self.document)
        domain = docname_to_domain(self.env.docname, self.config.gettext_compact)
        for catalog in chinese_catalogs(self.env.srcdir, self.config):
            if found and catalog.domain == domain:
                self.env.note_dependency(catalog.mo_path)
        own = by_sphinx(self.config.language)
        twins = {node: self.add_twin(node, other(own)) for node in found if can_double(node)}
        self.translate(list(twins.values()) if own is ENGLISH else found)
        for node, twin in twins.items():
            if isinstance(node, nodes.inline):
                # Sphinx dissolves the text of a field into its paragraph, with what is in it.
                del twin["translatable"]
                twin.parent.remove(twin)
                node += twin

    def add_twin(self, node: nodes.TextElement, language: Language) -> nodes.TextElement:
        twin = node.deepcopy()
        mark(twin, language)
        node.parent.insert(node.parent.index(node) + 1, twin)
        return twin

    def translate(self, chinese: list[nodes.TextElement]) -> None:
        """Let gettext translate some texts, and nothing else of the document."""
        for node, _ in extract_messages(self.document):
            node["translatable"] = node in chinese
        language, source = self.config.language, self.document["source"]
        # Docstrings are reStructuredText, whatever the page that shows them is written in.
        self.document["source"] = str(Path(source).with_suffix(".rst"))
        self.config.language = CHINESE.sphinx
        try:
            Locale(self.document).apply()
        finally:
            self.config.language, self.document["source"] = language, source
        for node in chinese:
            node["translatable"] = False
            if not node.get("translated") and detect(words_of(node)) is ENGLISH:
                domain = docname_to_domain(self.env.docname, self.config.gettext_compact)
                file = f"{self.config.locale_dirs[0]}/{CHINESE.sphinx}/LC_MESSAGES/{domain}.po"
                said = (
                    f"no Chinese for {quote(node)}: run 'nox -s catalog', then write it into {file}"
                )
                warn(said, node, "catalog")


JOINTS = {
    ", or ": " 或 ",
    " or ": " 或 ",
    ", ": "、",
    " of ": "：",
    " to ": " 到 ",
    " and ": " 和 ",
}
"""What stands between the types of a parameter: a mapping of str to int is a mapping：str 到 int."""
ALONE = {"optional": "可选", "these": "以上任一"}


class TranslateTypes(SphinxTransform):
    """Write parameters without stars, and in Chinese what joins their types."""

    default_priority = 31  # before glossary terms are linked

    def apply(self, **kwargs: Any) -> None:
        for name in list(self.document.findall(addnodes.literal_strong)):
            name[0] = nodes.Text(name.astext().lstrip("*"))
            rest = range(name.parent.index(name) + 1, len(name.parent))
            for number in rest if by_sphinx(self.config.language) is CHINESE else ():
                node, said = name.parent[number], name.parent[number].astext()
                if said == " -- ":
                    break
                if isinstance(node, nodes.Text):
                    said = re.sub("|".join(JOINTS), lambda joint: JOINTS[joint[0]], said)
                if isinstance(node, nodes.Text) or said in ALONE:
                    name.parent[number] = nodes.Text(ALONE.get(said, said))


def compile_catalogs(app: Sphinx) -> None:
    """Compile the Chinese catalogs for the English site too: it shows both languages."""
    for catalog in chinese_catalogs(app.srcdir, app.config):
        if catalog.is_outdated():
            catalog.write_mo(CHINESE.sphinx)


def chinese_catalogs(folder: Path, config: Config) -> list[CatalogInfo]:
    found = CatalogRepository(folder, config.locale_dirs, CHINESE.sphinx, config.source_encoding)
    return list(found.catalogs)


def keep_out_of_catalog(document: nodes.document, found: list[nodes.TextElement]) -> None:
    """Leave to the catalog only docstrings: pages carry both languages themselves."""
    for node, _ in extract_messages(document):
        if node not in found:
            node["translatable"] = False
    for leaf in leaves(document):
        leaf["translatable"] = False
