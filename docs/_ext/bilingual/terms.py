"""The glossary's page, a link to it from the first place on a page that uses a term, and a search box that knows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from .folding import FoldSolutions
from .glossary import Term, glossary, glossary_path
from .languages import CHINESE, ENGLISH, by_sphinx, detect
from .linking import link_words, reference, running_texts

__all__ = ["GlossaryTerms", "LinkTerms", "write_dictionary"]


class GlossaryTerms(SphinxDirective):
    """List the terms of one topic, each in both languages, with what it means."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(glossary_path(self.env)))
        terms = [term for term in glossary(self.env) if term.topic == self.arguments[0]]
        if not terms:
            raise self.error(f"the glossary has no term of the topic {self.arguments[0]!r}")
        return [nodes.definition_list("", *map(self.item, terms), classes=["terms"])]

    def item(self, term: Term) -> nodes.definition_list_item:
        """Return one term: its names, which both languages show, and a sentence in each."""
        names = {ENGLISH: term.en, CHINESE: term.zh}
        own = by_sphinx(self.config.language)
        title = nodes.term("", names.pop(own), classes=["no-pair"], ids=[term.anchor])
        for language, name in names.items():
            title += nodes.Text(" ")
            title += nodes.inline("", name, classes=[f"language-{language.tag}", "translation"])
        domain = self.env.domains["std"]
        assert isinstance(domain, StandardDomain)
        domain.note_object("term", term.en, term.anchor, location=title)
        english, translated = term.means
        if term.tutorial:
            english += f" See tutorial {term.tutorial}."
            translated += f"见教程 {term.tutorial}。"
        definition = nodes.definition("", *self.parse_text_to_nodes(f"{english}\n\n{translated}"))
        return nodes.definition_list_item("", title, definition)


class LinkTerms(SphinxTransform):
    """Link the first use of each term in each language to what it means."""

    default_priority = FoldSolutions.default_priority + 1

    def apply(self, **kwargs: Any) -> None:
        terms = [term for term in glossary(self.env) if term.means]
        if not terms or any(self.document.findall(has_terms)):
            return
        spelt = {
            ENGLISH: {form: term for term in terms for form in (term.en, term.en + "s")},
            CHINESE: {term.zh: term for term in terms},
        }
        linked = {ENGLISH: set[Term](), CHINESE: set[Term]()}
        for text in running_texts(self.document):
            paragraph = text
            while not isinstance(paragraph, nodes.paragraph):
                paragraph = paragraph.parent
            language = detect(paragraph.astext())
            if language is None:
                continue
            words = spelt[language]
            link = self.link_first(words, linked[language])
            link_words(text, any_of(list(words), word=language is ENGLISH), link)

    def link_first(
        self, words: dict[str, Term], seen: set[Term]
    ) -> Callable[..., nodes.Node | None]:
        """Return what links a word to its term, unless the term is among those seen."""

        def link(match: re.Match[str]) -> nodes.Node | None:
            term = words[match[0].lower()]
            if term in seen:
                return None
            seen.add(term)
            return reference("std", "term", term.en, nodes.Text(match[0]), self.env.docname)

        return link


def write_dictionary(app: Sphinx, error: Exception | None) -> None:
    """Tell the search box what a term is called here: of the other language, or by another name."""
    if error is None and app.builder.format == "html":
        own = by_sphinx(app.config.language)
        names = {
            name: term.zh if own is CHINESE else term.en
            for term in glossary(app)
            for name in (term.en, term.zh, *term.also)
            if name != (term.zh if own is CHINESE else term.en)
        }
        path = Path(app.outdir, "_static", "terms.json")
        path.write_text(json.dumps(names, ensure_ascii=False), "utf-8")


def has_terms(node: nodes.Node) -> bool:
    """Return whether a node is the glossary itself."""
    return isinstance(node, nodes.definition_list) and "terms" in node["classes"]


def any_of(words: list[str], word: bool) -> re.Pattern[str]:
    """Return what finds any of some words, the longest first."""
    longest = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.compile(rf"(?<![\w-])(?:{longest})(?![\w-])" if word else longest, re.IGNORECASE)
