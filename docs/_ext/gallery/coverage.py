"""What of the original note each tutorial answers: from its markers to a page, item by item.

A script says ``# sphinx_gallery_covers = "S8 C18"`` in the block that answers snippet 8 and claim
18 of the note; ``docs/note.toml`` says what these are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bilingual.blocks import reference
from bilingual.languages import halves

from .scripts import Tutorial, tutorials

NOTE = Path(__file__).parents[2] / "note.toml"
MARKER = re.compile(r'^# sphinx_gallery_covers = "([^"]*)"$')
HEADING = re.compile(r"^# ([-~^\"])\1{3,}$")
VERDICTS = {
    "right": ("right", "正确"),
    "incomplete": ("true, but not all of it", "不完整"),
    "stale": ("no longer", "已过时"),
    "wrong": ("not so", "有误"),
    "style": ("spelling", "写法"),
    "missing": ("left open", "留白"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """A snippet or a claim of the note, in both languages, and what there is to say of it."""

    id: str
    line: int
    says: tuple[str, str]
    found: tuple[str, str]
    verdict: str | None = None
    page: str | None = None


@dataclass(frozen=True)
class Answer:
    """The heading under which a tutorial answers an item, None for its beginning."""

    tutorial: Tutorial
    heading: str | None

    @property
    def anchor(self) -> str:
        """The id of the heading on the page."""
        return nodes.make_id(self.heading or self.tutorial.title)


def items(path: Path = NOTE) -> list[Item]:
    """Read what the note says, in its order."""
    tables = tomllib.loads(path.read_text("utf-8"))
    rows = [*tables["snippet"], *tables["claim"]]
    for row in rows:
        row["says"] = tuple(row.pop("about", None) or row["says"])
    return [Item(**row) for row in rows]


def answers(scripts: list[Tutorial]) -> dict[str, list[Answer]]:
    """Find where each item is answered."""
    found: dict[str, list[Answer]] = {}
    for tutorial in scripts:
        for heading, ids in markers(tutorial.path):
            for one in ids:
                places = found.setdefault(one, [])
                if (answer := Answer(tutorial, heading)) not in places:
                    places.append(answer)
    return found


def markers(script: Path) -> Iterator[tuple[str | None, list[str]]]:
    """Yield the markers of a script, each with the heading that it is under."""
    lines = script.read_text("utf-8").splitlines()
    heading = None
    for before, line in zip(["", *lines], lines, strict=False):
        if HEADING.match(line) and before.startswith("# "):
            heading = before.removeprefix("# ").strip()
        elif match := MARKER.match(line):
            yield heading, match[1].split()


class Coverage(SphinxDirective):
    """List the snippets or the claims of the note: what it says, what holds, where that is shown."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        scripts = tutorials()
        for file in (NOTE, *(tutorial.path for tutorial in scripts)):
            self.env.note_dependency(str(file))
        where = answers(scripts)
        chosen = [item for item in items() if item.id.startswith(self.arguments[0])]
        shown = nodes.definition_list("", classes=["terms", "note"])
        shown += [self.item(item, where.get(item.id, [])) for item in chosen]
        return [shown]

    def item(self, item: Item, where: list[Answer]) -> nodes.definition_list_item:
        """Return one item: its place in the note, what it says, what holds, where that is shown."""
        line = f"{item.id}, line {item.line}", f"{item.id}，第 {item.line} 行"
        if item.verdict:
            english, chinese = VERDICTS[item.verdict]
            line = f"{line[0]}: {english}", "：".join((line[1], chinese))
        title = nodes.term("", " | ".join(line), ids=[item.id.lower()])
        body = nodes.definition()
        for english, chinese in (item.says, item.found):
            body += self.parse_text_to_nodes(f"{english}\n\n{chinese}")
        if not where and not item.page:
            logger.warning("no tutorial covers %s: mark the block that does", item.id)
        body += [self.places(where, item, language) for language in (0, 1)]
        return nodes.definition_list_item("", title, body)

    def places(self, where: list[Answer], item: Item, language: int) -> nodes.paragraph:
        """Return links to where an item is answered, in one language."""
        links: list[nodes.Node] = []
        for answer in where:
            number, title = answer.tutorial.number, answer.heading or answer.tutorial.title
            name = (halves(title.replace("``", "")) or (title, title))[language]
            label = (f"Tutorial {number}: {name}", f"教程 {number}：{name}")[language]
            target = f"auto_examples/{answer.tutorial.name}.html#{answer.anchor}"
            links.append(nodes.reference("", label, refuri=target, internal=True))
        if item.page:
            child = nodes.Text(("This site", "本站")[language])
            links.append(reference("std", "doc", f"/{item.page}", child, self.env.docname))
        separator = ("; ", "；")[language]
        separated = [piece for link in links for piece in (nodes.Text(separator), link)]
        return nodes.paragraph("", "", *separated[1:], classes=["uses"])
