"""The ``gallery-video`` directive: an html5 video that Sphinx treats as it does a picture.

Being an image node, it is copied to the output, and swapped for ``name.zh_CN.mp4`` where there is one.
"""

from __future__ import annotations

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

__all__ = ["GalleryVideo", "video", "visit_video"]


class video(nodes.image):  # noqa: N801 (docutils nodes are lower case)
    """A video."""


class GalleryVideo(SphinxDirective):
    """Show a video, with controls, not before the reader asks."""

    required_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged, "class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        node = video(uri=self.arguments[0], alt=self.options.get("alt", ""))
        node["classes"] += self.options.get("class", [])
        self.set_source_info(node)
        return [node]


def visit_video(self: HTML5Translator, node: video) -> None:
    name = self.builder.images.get(node["uri"], node["uri"])
    attributes = {
        "src": f"{self.builder.imgpath}/{name}",
        "aria-label": node["alt"],
        "controls": "",
        "loop": "",
        "muted": "",
        "playsinline": "",
        "preload": "metadata",
    }
    self.body.append(self.starttag(node, "video", "", **attributes) + "</video>")
    raise nodes.SkipNode
