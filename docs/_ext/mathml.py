"""Maths as MathML, made at build time by docutils' own converter: no script, no font, works offline."""

from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def convert(node: nodes.math | nodes.math_block) -> str:
    """Return the MathML of a formula, with its LaTeX as what a screen reader can fall back on."""
    try:
        return tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    except (MathError, AttributeError, IndexError) as error:  # it says '^2' by the latter
        logger.warning(
            "maths that docutils cannot convert: %s: %s", node.astext(), error, location=node
        )
        return f"<code>{escape(node.astext())}</code>"


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(convert(node))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math") + convert(node) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
