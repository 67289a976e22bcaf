"""Links that a script need not write: other tutorials, the kit's functions, and back from those."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from bilingual.blocks import link_words, reference, running_texts
from bilingual.glossary import glossary
from bilingual.languages import by_sphinx
from bilingual.pairing import split_leaf
from bilingual.reports import warn

from .scripts import tutorials

NAMED = re.compile(
    r"(?:tutorial |教程 ?)(\d\d)(?!\d)|checked\s+line\s+by\s+line|逐条核对", re.IGNORECASE
)
KIT = re.compile(r"optimkit(\.\w+)+")


class ListUses(SphinxTransform):
    """Say below each function of the kit, and each term but those of every page, which tutorials use it."""

    default_priority = 40

    def apply(self, **kwargs: Any) -> None:
        scripts, users = tutorials(), {}
        for described in self.document.findall(addnodes.desc):
            name = described[0].get("fullname", "")
            if described[0].get("module") == "optimkit" and "." not in name:
                users[described[-1]] = [one for one in scripts if name in one.uses]
        terms = {term.anchor: term.pattern for term in glossary(self.env)}
        for title in self.document.findall(nodes.term):
            if pattern := terms.get("".join(title["ids"])):
                found = [one for one in scripts if pattern.search(one.source)]
                users[title.parent[-1]] = found if len(found) <= 12 else []
        for tutorial in scripts if users else ():
            self.env.note_dependency(str(tutorial.path))
        for content, found in users.items():
            english = ", ".join(f"tutorial {one.number}" for one in found)
            chinese = "、".join(f"教程 {one.number}" for one in found)
            if found:
                said = f"Used in {english}. | 用在{chinese}。"
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
