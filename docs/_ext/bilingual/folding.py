"""Solutions and answers are folded: such a section becomes a ``<details>``, and leaves the contents."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

from .pairing import PairBlocks, other_half

__all__ = ["FoldSolutions", "depart_fold", "fold", "visit_fold"]


SOLUTION = re.compile(r"(solution|answers?)( \d+)? ?[|｜]")
"""How the name of a folded section begins: ``Solution | …``, ``Solution 2 | …``, ``Answers | …``."""


class fold(nodes.General, nodes.Element):  # noqa: N801 (docutils nodes are lower case)
    """A block that opens on demand."""


class fold_summary(nodes.General, nodes.TextElement):  # noqa: N801
    """What a reader sees of a closed fold."""


class FoldSolutions(SphinxTransform):
    """Fold each section whose title says that it is a solution, the second of a page too."""

    default_priority = PairBlocks.default_priority + 1

    def apply(self, **kwargs: Any) -> None:
        for section in list(self.document.findall(nodes.section)):
            if not any(map(SOLUTION.match, (*section["names"], *section["dupnames"]))):
                continue
            title, *body = section.children
            summary = fold_summary("", "", *title.children)
            half = other_half(title)
            if half is not None:
                summary += half
            section.replace_self(fold("", summary, *body, ids=section["ids"]))


def visit_fold(self: HTML5Translator, node: fold) -> None:
    self.body.append(self.starttag(node, "details", CLASS="solution"))


def depart_fold(self: HTML5Translator, node: fold) -> None:
    self.body.append("</details>\n")


def visit_summary(self: HTML5Translator, node: fold_summary) -> None:
    self.body.append(self.starttag(node, "summary", ""))


def depart_summary(self: HTML5Translator, node: fold_summary) -> None:
    self.body.append("</summary>\n")
