"""What a writer can get wrong without noticing: dead markup, and terms translated two ways."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError

from . import reports
from .languages import HAN

__all__ = ["Term", "check_glossary", "check_markup", "check_terms", "glossary_path"]

MARKUP = re.compile(
    r"`|\*\*|~~|\]_(?!\w)"  # marks that no running text holds
    rf"|(?<![\w*])\*\w|[*_]+(?={HAN.pattern})|(?<={HAN.pattern})[*_]"  # those that touch a word
    r"|:[a-z:]+:\Z"  # a role before what became a citation
)


@dataclass(frozen=True)
class Term:
    """A term of the glossary, its one translation, and the translations it must not have."""

    en: str
    zh: str
    also: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    strict: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the term in an English text."""
        return re.compile(rf"\b{re.escape(self.en)}s?\b", re.IGNORECASE)


def glossary_path(project: Sphinx | BuildEnvironment) -> Path | None:
    """Return where the glossary of a project is, None if it has none."""
    name = project.config.bilingual_glossary
    return Path(project.srcdir) / name if name else None


def glossary(project: Sphinx | BuildEnvironment) -> tuple[Term, ...]:
    """Return the terms of a project."""
    path = glossary_path(project)
    return read_glossary(path, path.stat().st_mtime_ns) if path else ()


@lru_cache
def read_glossary(path: Path, changed: int) -> tuple[Term, ...]:
    """Read a glossary, again when the file has changed."""
    rows = tomllib.loads(path.read_text("utf-8"))["term"]
    return tuple(
        Term(**{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()})
        for row in rows
    )


def check_glossary(app: Sphinx, config: Config) -> None:
    """Refuse a glossary that cannot be read, and warn about one that defines a term twice."""
    path = glossary_path(app)
    try:
        terms = glossary(app)
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: not a glossary: {error}; "
            "expected [[term]] tables with en, zh, and if need be also, never, strict"
        ) from error
    lines = lines_of_terms(path) if path else []
    for number, term in enumerate(terms):
        first = next(i for i, other in enumerate(terms) if other.en.lower() == term.en.lower())
        if first < number:
            reports.defined_twice(term.en, f"{path}:{lines[number]}", lines[first])


def lines_of_terms(path: Path) -> list[int]:
    """Return the line on which each term of a glossary begins."""
    lines = path.read_text("utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if line.strip() == "[[term]]"]


def check_markup(leaves: Iterable[nodes.TextElement]) -> None:
    """Warn about markup that is printed as it was typed, as it is where it touches Chinese."""
    for leaf in leaves:
        for text in leaf.findall(nodes.Text):
            if isinstance(text.parent, (nodes.literal, nodes.math, nodes.raw)):
                continue
            found = MARKUP.search(text.astext())
            if found and HAN.search(leaf.astext()):
                at = text.astext()[max(0, found.start() - 12) : found.end() + 12]
                reports.warn(
                    f"unrendered markup in '{at}': put a space between it and Chinese characters",
                    leaf,
                    "markup",
                )


def check_terms(english: nodes.Element, chinese: nodes.Element, at: nodes.Element) -> None:
    """Warn where a Chinese block calls a term of its English twin by another name."""
    said, translated = " ".join(english.astext().split()), chinese.astext()
    for term in glossary(at.document.settings.env):
        for wrong in term.never:
            if wrong in translated:
                reports.warn(
                    f"'{wrong}': the glossary says '{term.zh}' for '{term.en}'", at, "term"
                )
        right = (term.zh, *term.also, term.en)
        if term.strict and term.pattern.search(said) and not any(r in translated for r in right):
            reports.warn(
                f"'{term.en}' of the English twin is not '{term.zh}' here: {reports.quote(chinese)}",
                at,
                "term",
            )
