"""What a writer can get wrong without noticing: dead markup, and terms translated two ways."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from docutils import nodes

from . import reports
from .languages import HAN

__all__ = ["Term", "check_markup", "check_terms", "glossary"]

GLOSSARY = Path(__file__).parents[2] / "glossary.toml"
MARKUP = re.compile(r"``|\*\*|(?<![\w*])\*\w|:[a-z]+:`|`_+(?!\w)")


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


@cache
def glossary(path: Path = GLOSSARY) -> tuple[Term, ...]:
    """Read the glossary, and refuse one that gives a term two translations."""
    with path.open("rb") as file:
        rows = tomllib.load(file)["term"]
    terms = tuple(
        Term(**{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()})
        for row in rows
    )
    names = [term.en.lower() for term in terms]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: defined twice: {', '.join(twice)}; keep one translation each")
    return terms


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


def check_terms(english: nodes.Element, chinese: nodes.Element) -> None:
    """Warn where a Chinese block calls a term of its English twin by another name."""
    said, translated = english.astext(), chinese.astext()
    for term in glossary():
        for wrong in term.never:
            if wrong in translated:
                reports.warn(
                    f"'{wrong}': the glossary says '{term.zh}' for '{term.en}'", chinese, "term"
                )
        right = (term.zh, *term.also, term.en)
        if term.strict and term.pattern.search(said) and not any(r in translated for r in right):
            reports.warn(
                f"'{term.en}' of the English twin is not '{term.zh}' here: {reports.quote(chinese)}",
                chinese,
                "term",
            )
