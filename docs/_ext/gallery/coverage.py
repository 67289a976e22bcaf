"""What of the original note each tutorial answers: from its markers to a page, item by item.

The block of a script that says ``# sphinx_gallery_covers = "S8 C18"`` answers these of note.toml.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bilingual.blocks import reference
from bilingual.languages import halves

from .scripts import Tutorial, tutorials

NOTE = Path(__file__).parents[2] / "note.toml"
HEADING_OR_MARKER = re.compile(
    r'^# (.+)\n# ([-~^"])\2{3,}$|^# sphinx_gallery_covers = "([^"]*)"$', re.M
)
VERDICTS = {
    "right": ("right", "正确"),
    "incomplete": ("true, but not all of it", "不完整"),
    "stale": ("no longer", "已过时"),
    "wrong": ("not so", "有误"),
    "style": ("spelling", "写法"),
    "missing": ("left open", "留白"),
}

logger = logging.getLogger(__name__)


def items(path: Path = NOTE) -> list[dict[str, Any]]:
    """Read the snippets and claims of the note, in its order."""
    tables = tomllib.loads(path.read_text("utf-8"))
    return [*tables["snippet"], *tables["claim"]]


def answers(scripts: list[Tutorial]) -> dict[str, list[tuple[Tutorial, str]]]:
    """Return where each item is answered: a tutorial, and the heading or the title that it is under."""
    found: dict[str, dict[tuple[Tutorial, str], None]] = {}
    for tutorial in scripts:
        for heading, ids in markers(tutorial):
            for one in ids:
                found.setdefault(one, {})[tutorial, heading] = None  # once, in their order
    return {one: list(places) for one, places in found.items()}


def markers(tutorial: Tutorial) -> Iterator[tuple[str, list[str]]]:
    """Yield the markers of a script, each with the heading that it is under."""
    heading = tutorial.title
    for found in HEADING_OR_MARKER.finditer(tutorial.source):
        if found[1]:
            heading = found[1].strip()
        else:
            yield heading, found[3].split()


class Coverage(SphinxDirective):
    """List the snippets or the claims of the note: what it says, what holds, where that is shown."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        scripts = tutorials()
        for file in (NOTE, *(tutorial.path for tutorial in scripts)):
            self.env.note_dependency(str(file))
        where = answers(scripts)
        chosen = [item for item in items() if item["id"].startswith(self.arguments[0])]
        shown = nodes.definition_list("", classes=["terms", "note"])
        shown += [self.item(item, where.get(item["id"], [])) for item in chosen]
        verdicts = Counter(item["verdict"] for item in chosen if "verdict" in item)
        counted = [
            " · ".join(f"{VERDICTS[one][half]} {verdicts[one]}" for one in VERDICTS)
            for half in range(2)
        ]
        summary = nodes.paragraph("", " | ".join(counted), classes=["verdicts"])
        return [summary, shown] if verdicts else [shown]

    def item(
        self, item: dict[str, Any], where: list[tuple[Tutorial, str]]
    ) -> nodes.definition_list_item:
        """Return one item: its place in the note, what it says, what holds, where that is shown."""
        place = "{id}, line {line} | {id}，第 {line} 行"
        if verdict := item.get("verdict"):
            place = "{id}, line {line}: {0} | {id}，第 {line} 行：{1}"
        body = nodes.definition()
        for pair in (item.get("about") or item["says"], item["found"]):
            body += self.parse_text_to_nodes("\n\n".join(pair))
        if not where and "page" not in item:
            logger.warning("no tutorial covers %s: mark the block that does", item["id"])
        for language, separator in enumerate(("; ", "；")):
            links = [self.link(*one, language) for one in where]
            if "page" in item:
                words = nodes.Text(("This site", "本站")[language])
                page = f"/{item['page']}"
                links.append(reference("std", "doc", page, words, self.env.docname))
            separated = [piece for link in links for piece in (nodes.Text(separator), link)]
            body += nodes.paragraph("", "", *separated[1:], classes=["uses"])
        said = place.format(*VERDICTS.get(verdict, ()), **item)
        term = nodes.term(
            "", said, ids=[item["id"].lower()], classes=[f"verdict-{verdict}"] if verdict else []
        )
        return nodes.definition_list_item("", term, body)

    def link(self, tutorial: Tutorial, heading: str, language: int) -> nodes.Element:
        name = (halves(heading.replace("``", "")) or (heading, heading))[language]
        label = (f"Tutorial {tutorial.number}: {name}", f"教程 {tutorial.number}：{name}")[language]
        target = f"auto_examples/{tutorial.name}.html#{nodes.make_id(heading)}"
        return nodes.reference("", label, refuri=target, internal=True)
