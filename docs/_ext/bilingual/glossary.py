"""The glossary: one file says what each term is called and means; the page, links and checks follow."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from .blocks import ancestors, link_words, reference, running_texts
from .languages import CHINESE, ENGLISH, Language, by_sphinx, detect
from .reports import quote, warn


@dataclass(frozen=True)
class Term:
    """A term of the glossary, its one translation, and the translations it must not have."""

    en: str
    zh: str
    also: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    strict: bool = False
    topic: str = ""
    tutorial: str = ""
    means: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """Where it is on the glossary's page, the same in both languages."""
        return "term-" + re.sub(r"\W+", "-", self.en.lower())

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the term in an English text."""
        return re.compile(rf"\b{re.escape(self.en)}s?\b", re.IGNORECASE)


def glossary(project: Sphinx | BuildEnvironment) -> tuple[Term, ...]:
    path = Path(project.srcdir, "glossary.toml")
    return read_glossary(path, path.stat().st_mtime_ns) if path.exists() else ()


@lru_cache
def read_glossary(path: Path, changed: int) -> tuple[Term, ...]:
    """Read a glossary, again when the file has changed."""
    try:
        return tuple(
            Term(en, **{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()})
            for en, row in tomllib.loads(path.read_text("utf-8")).items()
        )
    except (AttributeError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: not a glossary: {error}; expected a table for each term, by its English "
            "name, with zh, and if need be also, never, strict, topic, tutorial, means"
        ) from error


def check_terms(english: nodes.Element, chinese: nodes.Element, at: nodes.Element) -> None:
    """Warn where a Chinese block calls a term of its English twin by another name."""
    said, translated = " ".join(english.astext().split()), chinese.astext()
    for term in glossary(at.document.settings.env):
        for wrong in term.never:
            if wrong in translated:
                warn(f"'{wrong}': the glossary says '{term.zh}' for '{term.en}'", at, "term")
        right = (term.zh, *term.also, term.en)
        if term.strict and term.pattern.search(said) and not any(r in translated for r in right):
            heard = f"'{term.en}' of the English twin is not '{term.zh}' here: {quote(chinese)}"
            warn(heard, at, "term")


class GlossaryTerms(SphinxDirective):
    """List the terms of one topic, each in both languages, with what it means."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
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

    default_priority = 32  # after PairBlocks and FoldSolutions

    def apply(self, **kwargs: Any) -> None:
        terms = [term for term in glossary(self.env) if term.means]
        lists = self.document.findall(nodes.definition_list)
        if not terms or any("terms" in one["classes"] for one in lists):
            return  # this is the glossary
        words = {
            ENGLISH: {term.en.lower() + end: term for term in terms for end in ("", "s")},
            CHINESE: {term.zh.lower(): term for term in terms},
        }
        found = {ENGLISH: rf"(?<![\w-])(?:{any_of(words[ENGLISH])})(?![\w-])"}
        found[CHINESE] = any_of(words[CHINESE])
        seen: set[tuple[Language, Term]] = set()

        def link(match: re.Match[str]) -> nodes.Node | None:
            term = words[language][match[0].lower()]
            if (language, term) in seen:
                return None
            seen.add((language, term))
            return reference("std", "term", term.en, nodes.Text(match[0]), self.env.docname)

        for text in running_texts(self.document):
            around = next(one for one in ancestors(text) if isinstance(one, nodes.paragraph))
            if language := detect(around.astext()):
                link_words(text, re.compile(found[language], re.IGNORECASE), link)


def any_of(words: Iterable[str]) -> str:
    """Return what finds any of some words, the longest first."""
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
