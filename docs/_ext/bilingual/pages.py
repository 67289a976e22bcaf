"""What each HTML page says about its languages: the switch, alternates, hidden title halves."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from .languages import ENGLISH, LANGUAGES, by_sphinx
from .pairing import other_half

__all__ = ["add_context", "show_title_halves", "tag_html"]


def show_title_halves(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the hidden half back into each heading, now that navigation has its own."""
    if app.builder.format != "html":
        return
    for title in doctree.findall(nodes.title):
        half = other_half(title)
        if half is not None:
            title += half.deepcopy()


def tag_html(app: Sphinx) -> None:
    """Write the language into ``<html lang>`` as browsers know it."""
    own = by_sphinx(app.config.language)
    # Pagefind searches: Sphinx's own index would be built, and loaded, for nothing.
    app.builder.search = False
    app.config.html_context["reading_language"] = own
    app.config.html_context["reading_languages"] = LANGUAGES


def add_context(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Give templates the same page in each language, and its absolute address if there is one."""
    base = app.config.bilingual_base_url
    context["bilingual_pages"] = [
        {
            "language": language,
            "href": f"{context['content_root']}../{language.path}/{pagename}.html",
            "address": f"{base.rstrip('/')}/{language.path}/{pagename}.html" if base else None,
            "current": language.sphinx == by_sphinx(app.config.language).sphinx,
            "default": language is ENGLISH,
        }
        for language in LANGUAGES
    ]
