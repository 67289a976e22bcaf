"""What search looks through: each section, function and term of each page, in the page's language.

The browser cuts these texts, and what a reader types, into words by one rule: see search.js.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from .blocks import ancestors, is_leaf
from .glossary import glossary
from .languages import CHINESE, by_sphinx
from .pages import fold
from .pairing import OTHER

logger = logging.getLogger(__name__)

TITLES = (nodes.title, nodes.term)
LEFT_OUT = {OTHER, "tutorial-card", "sphx-glr-download-link-note", "uses", "sortable", "unread"}
LEFT_OUT |= {"where-to-go-next", "exercise"}  # sections: titles of other pages, and tasks
NO_PROSE = (fold, nodes.field_list, nodes.rubric)  # the lists of a docstring: parameters, errors
UNREAD = (nodes.raw, nodes.math, nodes.math_block, nodes.Invisible, nodes.image)


class CollectSections(SphinxTransform):
    """Note of each part of a document that a link can lead to: its title, its prose, its code."""

    default_priority = 900

    def apply(self, **kwargs: Any) -> None:
        found: dict[str, tuple[str, list[str], list[str]]] = {}
        for block in self.document.findall(nodes.TextElement):
            is_code = isinstance(block, (nodes.literal_block, nodes.doctest_block))
            above = [block, *ancestors(block)]
            if not (is_code or is_leaf(block)) or any(map(is_left_out, above)):
                continue
            anchor, title = next(filter(None, map(place, above)), ("", ""))
            _, prose, code = found.setdefault(anchor, (title, [], []))
            if is_code:
                code.append(block.astext())
            elif not isinstance(block, TITLES):
                prose.append(visible(block))
        self.env.metadata[self.env.docname]["sections"] = {
            anchor: (title, "\n".join(prose), code)
            for anchor, (title, prose, code) in found.items()
        }


def place(node: nodes.Node) -> tuple[str, str] | None:
    """Return the anchor and the title of what a link can lead to; the top of a page has no anchor."""
    if isinstance(node, nodes.section):
        is_top = isinstance(node.parent, nodes.document)
        return "" if is_top else node["ids"][0], visible(node[0])
    if isinstance(node, nodes.definition_list_item) and node[0]["ids"]:
        return node[0]["ids"][0], visible(node[0][0])  # a term, without its translation
    if isinstance(node, addnodes.desc) and node[0].get("ids"):
        return node[0]["ids"][0], node[0].get("fullname") or node[0]["ids"][0]
    return None


def is_left_out(node: nodes.Node) -> bool:
    """Return whether a block is of the other language, said elsewhere, an answer, or a list of parameters."""
    marks = node.get("classes", []) + node.get("ids", []) if isinstance(node, nodes.Element) else ()
    return isinstance(node, NO_PROSE) or not LEFT_OUT.isdisjoint(marks)


def visible(node: nodes.Node) -> str:
    """Return the words of a node that its readers see."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, UNREAD) or is_left_out(node):
        return ""
    return " ".join("".join(map(visible, node.children)).split())


def questions(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what readers ask, by the page or the part of a page that answers it."""
    file = folder / "questions.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}


def check_questions(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn about questions that no page answers: it has been renamed."""
    for target in questions(app.srcdir).keys() - {"words"}:
        page, _, anchor = target.partition("#")
        if anchor not in env.metadata.get(page, {}).get("sections", {}):
            logger.warning("questions.toml: there is no %s to answer its questions", target)


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Write what the browser searches, as a script: a page that is opened from a file can read it too."""
    if error is not None or app.builder.format != "html":
        return
    own, env, asked = by_sphinx(app.config.language), app.env, questions(app.srcdir)
    pages: list[list[str]] = []
    sections: list[list[Any]] = []
    for docname in sorted(env.found_docs):
        metadata = env.metadata.get(docname, {})
        parts = metadata.get("sections", {})
        if "nosearch" in metadata:  # all its words stand elsewhere, too
            if docname not in asked:
                continue
            parts = {"": parts[""]}
        for anchor, (title, prose, _) in parts.items():
            target = f"{docname}#{anchor}" if anchor else docname
            typed = asked.get(target, {}).get(own.path, [])
            sections.append([len(pages), anchor, title, prose, typed])
        pages.append([app.builder.get_target_uri(docname), visible(env.titles[docname])])
    # A term of the other language, or by another name, is looked for by what it is called here.
    names = {
        name.lower(): (term.zh if own is CHINESE else term.en).lower()
        for term in glossary(app)
        for name in (term.en, term.zh, *term.also)
    } | asked.get("words", {}).get(own.path, {})
    index = {"pages": pages, "sections": sections, "names": names}
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    # What is written with traditional characters is found by the simplified ones, and the other way round.
    both = "".join(Path(__file__).with_name("traditional.txt").read_text("utf-8").split())
    index["folds"] = "".join(both[i : i + 2] for i in range(0, len(both), 2) if both[i + 1] in text)
    script = f"window.searchIndex={json.dumps(index, ensure_ascii=False, separators=(',', ':'))};"
    Path(app.outdir, "_static", "search-index.js").write_text(script, "utf-8")
