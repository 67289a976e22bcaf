"""One bilingual source, two sites: English and Chinese blocks alternate, each site shows its own.

languages   which language a text is in
blocks      what is running text, and in which languages
lines       broken lines, joined as Chinese wants it
pairing     the transform that pairs blocks, shows one and hides the other
checks      dead markup, terms translated two ways
glossary    the terms, from one file
terms       the glossary's page, and links to it
linking     words that become links
docstrings  the catalog that translates docstrings is whole
folding     folded solutions
pages       the switch, alternates, both languages at once
reports     warnings with file and line
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from . import docstrings, folding, glossary, pages, pairing, terms

__all__ = ["setup"]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_config_value("bilingual_base_url", "", "html", types=(str,))
    app.add_config_value("bilingual_glossary", "glossary.toml", "env", types=(str,))
    app.add_transform(pairing.PairBlocks)
    app.add_transform(folding.FoldSolutions)
    app.add_transform(terms.LinkTerms)
    app.add_transform(docstrings.TranslateDocstrings)
    app.add_post_transform(pairing.ShowTitleHalves)
    app.add_directive("glossary-terms", terms.GlossaryTerms)
    app.add_node(folding.fold, html=(folding.visit_fold, folding.depart_fold))
    app.add_node(folding.fold_summary, html=(folding.visit_summary, folding.depart_summary))
    app.connect("config-inited", glossary.check_glossary)
    app.connect("builder-inited", docstrings.compile_catalogs)
    app.connect("builder-inited", pages.tag_html)
    app.connect("env-get-outdated", pages.remove_pages)
    app.connect("build-finished", terms.write_dictionary)
    app.connect("html-page-context", pages.add_context)
    # Raise env_version with any change of the transforms: it is what makes old doctrees stale.
    return {
        "version": "1",
        "env_version": 3,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
