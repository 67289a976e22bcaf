"""One bilingual source, two sites: English and Chinese blocks alternate, each site shows its own."""

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from . import docstrings, glossary, pages, pairing, search


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("bilingual_base_url", "", "html", types=(str,))
    app.add_transform(pairing.PairBlocks)
    app.add_transform(pages.FoldSolutions)
    app.add_transform(glossary.LinkTerms)
    app.add_transform(docstrings.TranslateDocstrings)
    app.add_transform(docstrings.TranslateTypes)
    app.add_transform(search.CollectSections)
    app.add_post_transform(pairing.ShowTitleHalves)
    app.add_post_transform(pages.SizeImages)
    app.add_directive("glossary-terms", glossary.GlossaryTerms)
    app.add_node(pages.fold, html=pages.element("details", CLASS="solution"))
    app.add_node(pages.fold_summary, html=pages.element("summary"))
    app.add_node(docstrings.autosummary_table, override=True, html=pages.element("div"))
    app.connect("builder-inited", docstrings.compile_catalogs)
    app.connect("builder-inited", pages.leave_search)
    app.connect("env-get-outdated", pages.remove_pages)
    app.connect("env-check-consistency", search.check_questions)
    app.connect("build-finished", search.write_index)
    app.connect("html-page-context", pages.add_context)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
