"""What a writer can get wrong without noticing: dead markup, and terms translated two ways."""

from __future__ import annotations

import re
from collections.abc import Iterable

from docutils import nodes

from . import reports
from .glossary import glossary
from .languages import HAN

__all__ = ["check_markup", "check_terms"]

MARKUP = re.compile(
    r"`|\*\*|~~|\]_(?!\w)"  # marks that no running text holds
    rf"|(?<![\w*])\*\w|[*_]+(?={HAN.pattern})|(?<={HAN.pattern})[*_]"  # those that touch a word
    r"|:[a-z:]+:\Z"  # a role before what became a citation
)


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
