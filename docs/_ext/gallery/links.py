"""Links that a script need not write: other tutorials, the kit's functions, and back from those."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from bilingual.blocks import link_words, reference, running_texts
from bilingual.languages import by_sphinx
from bilingual.pairing import split_leaf
from bilingual.reports import warn

from .scripts import tutorials

NAMED = re.compile(
    r"(?:tutorial |教程 ?)(\d\d)(?!\d)|checked\s+line\s+by\s+line|逐条核对", re.IGNORECASE
)
KIT = re.compile(r"optimkit(\.\w+)+")


class ListUses(SphinxTransform):
    """Say below each function of the kit which tutorials use it."""

    default_priority = 40

    def apply(self, **kwargs: Any) -> None:
        scripts = tutorials()
        for described in self.document.findall(addnodes.desc):
            signature, content = described[0], described[-1]
            name = signature.get("fullname", "")
            if signature.get("module") != "optimkit" or "." in name:
                continue
            for tutorial in scripts:
                self.env.note_dependency(str(tutorial.path))
            users = [one.number for one in scripts if name in one.uses]
            if not users:
                continue
            english = ", ".join(f"tutorial {number}" for number in users)
            chinese = "、".join(f"教程 {number}" for number in users)
            said = f"Used in {english}. | 用在 {chinese}。"
            content += nodes.paragraph("", said, classes=["uses"])
            split_leaf(content[-1], by_sphinx(self.config.language))


class LinkNames(SphinxTransform):
    """Link ``tutorial 07``, ``optimkit.describe``, and the note that is "checked line by line"."""

    default_priority = ListUses.default_priority + 1

    def apply(self, **kwargs: Any) -> None:
        pages: dict[str | None, str] = {None: "/coverage"}
        pages |= {one.number: f"/auto_examples/{one.name}" for one in tutorials()}

        def link(match: re.Match[str]) -> nodes.Node | None:
            if match[1] not in pages:
                warn(f"'{match[0]}': there is no examples/plot_{match[1]}_*.py", text, "link")
                return None
            return reference("std", "doc", pages[match[1]], nodes.Text(match[0]), self.env.docname)

        for text in running_texts(self.document):
            link_words(text, NAMED, link)
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext()
            if KIT.fullmatch(name) and isinstance(literal.parent, (nodes.paragraph, nodes.inline)):
                literal.replace_self(
                    reference("py", "obj", name, literal.deepcopy(), self.env.docname)
                )
