"""Sphinx configuration. ``nox -s docs`` builds both languages from it, see ``_ext/publish.py``."""

import gc
import os
import sys
import tomllib
from importlib.metadata import version as installed
from pathlib import Path

gc.disable()  # a build is short, and to look for garbage among torch's objects takes a fifth of it
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

from bilingual.languages import ENGLISH, by_sphinx  # noqa: E402 (the path comes first)
from gallery.downloads import substitutions  # noqa: E402

about = tomllib.loads(HERE.with_name("pyproject.toml").read_text("utf-8"))["project"]
repository = about.get("urls", {}).get("Repository", "")
project = "optimkit"
author = "The optimkit authors"
version = release = installed("optimkit")
highlight_options = {"pycon": {"stripnl": True}}  # the README's example ends with an empty line
language = os.environ.get("OPTIMKIT_LANGUAGE", ENGLISH.sphinx)
own = by_sphinx(language)
project_copyright = {"en": author, "zh": "optimkit 作者"}[own.path]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "bilingual",
    "gallery",
    "mathml",
]
exclude_patterns = [
    "_build",
    "_ext",
    "_templates",
    "locale",
    "auto_examples/sg_execution_times.rst",
]
nitpicky = True
nitpick_ignore_regex = tomllib.loads((HERE / "nitpick.toml").read_text("utf-8"))["ignore"]
suppress_warnings = ["config.cache"]  # sphinx_gallery_conf holds functions

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_substitutions = substitutions() | {
    "repository_en": "one repository, which has no public address yet",
    "repository_zh": "同一个仓库，它还没有公开的地址",
}
if repository:
    myst_substitutions["repository_en"] = f"[one repository]({repository})"
    myst_substitutions["repository_zh"] = f"[同一个仓库]({repository})"
myst_heading_anchors = 3
myst_heading_slug_func = "docutils.nodes.make_id"  # the anchor that the page has
html_math_renderer = "mathml"

# Sphinx leaves the dashes that it writes itself to this, and leaves it out of Chinese.
smartquotes_excludes = {"builders": ["man", "text"]}
smartquotes_action = {"en": "qDe", "zh": "D"}[own.path]
locale_dirs = ["locale"]
gettext_compact = True
gettext_location = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"  # that None comes back is no news
autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_preprocess_types = True
napoleon_type_aliases = {
    "callable": ":py:class:`~collections.abc.Callable`",
    "iterable": ":py:class:`~collections.abc.Iterable`",
    "mapping": ":py:class:`~collections.abc.Mapping`",
    "sequence": ":py:class:`~collections.abc.Sequence`",
    "Best": ":py:class:`~optimkit.Best`",
    "Last": ":py:class:`~optimkit.Last`",
    "LoadReport": ":py:class:`~optimkit.LoadReport`",
    "Loaded": ":py:class:`~optimkit.Loaded`",
    "LrCurve": ":py:class:`~optimkit.LrCurve`",
    "Report": ":py:class:`~optimkit.Report`",
    "Rule": ":py:class:`~optimkit.Rule`",
    "Saving": ":py:class:`~optimkit.Saving`",
    "Selector": ":py:class:`~optimkit.Selector`",
    "Integrity": ":py:class:`~optimkit.Integrity`",
    "Table": ":py:class:`~optimkit.Table`",
}
copybutton_exclude = ".linenos"
copybutton_prompt_text = r">>> |\.\.\. ?|\$ "
copybutton_prompt_is_regexp = True
copybutton_copy_empty_lines = False  # they are where output stood

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"plot_\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "image_scrapers": ("gallery.figures.scrape",),
    "reset_modules": ("gallery.figures.reset_style",),
    "capture_repr": ("_repr_html_",),
    "remove_config_comments": True,
    "min_reported_time": 0,  # page.py says it at the top
    "show_signature": False,
    "css": [],  # ours are in _static/optimkit.css
    "write_computation_times": False,
    "backreferences_dir": "auto_examples/backreferences",
    "doc_module": ("optimkit",),
    "inspect_global_variables": False,  # looking into every object of a script triggers its warnings
}

templates_path = ["_templates"]
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_title = "optimkit"
html_theme = "pydata_sphinx_theme"
html_css_files = [
    ("basic.css", {"priority": 100}),
    ("styles/pydata-sphinx-theme.css", {"priority": 101}),
    "optimkit.css",
]
html_js_files = [("reading.js", {"defer": "defer"}), ("search.js", {"defer": "defer"})]
html_copy_source = False
toc_object_entries_show_parents = "hide"
html_show_sourcelink = False
html_additional_pages = {"search": "search.html"}
html_sidebars = {
    "**": ["sidebar-nav-bs"],
    **{name: [] for name in ("index", "start", "glossary", "coverage", "search")},
}
bilingual_base_url = os.environ.get("OPTIMKIT_BASE_URL", "")
html_context = {
    "default_mode": "auto",
    "reading_language": own,
    "repository": repository.rstrip("/"),
}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "header_dropdown_text": {"en": "More", "zh": "更多"}[own.path],
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["reading-switch", "search-button"],
    "article_header_start": ["breadcrumbs"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "primary_sidebar_end": [],
    "article_footer_items": ["further", *(["page-source"] if repository else [])],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "show_prev_next": True,
    "back_to_top_button": False,
    "search_bar_text": {"en": "Search", "zh": "搜索"}[own.path],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
