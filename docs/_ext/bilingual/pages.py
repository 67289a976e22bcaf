"""What each HTML page says about its languages: the switch, alternates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from .languages import ENGLISH, LANGUAGES, by_sphinx

__all__ = ["add_context", "remove_pages", "tag_html"]


def tag_html(app: Sphinx) -> None:
    """Write the language into ``<html lang>`` as browsers know it."""
    own = by_sphinx(app.config.language)
    # Pagefind searches: Sphinx's own index would be built, and loaded, for nothing.
    app.builder.search = False
    app.config.html_context["reading_language"] = own
    app.config.html_context["reading_languages"] = LANGUAGES


def remove_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Remove the pages of documents that are gone: a search would still find them."""
    for name in removed:
        Path(app.outdir, f"{name}.html").unlink(missing_ok=True)
    return []


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
