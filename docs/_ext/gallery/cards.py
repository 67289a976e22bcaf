"""The ``tutorials`` directive: a card for each script, in both languages, from the script itself."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from bilingual.languages import SEPARATOR

__all__ = ["Tutorial", "Tutorials", "tutorials"]

SCRIPTS = Path(__file__).parents[3] / "examples"
NEEDS = (
    r"[*-] Level: (?P<level>\w+)\. Time: (?P<minutes>\d+) minutes\. Needs: \S",
    r"[*-] 难度：(?P<level>\w+)。用时：(?P<minutes>\d+) 分钟。预备：\S",
)
"""How a script says whom it is for, at the end of what its reader will learn."""


@dataclass(frozen=True)
class Tutorial:
    """What a card says of a script."""

    path: Path
    title: str
    lead: tuple[str, str]
    level: tuple[str, str]
    minutes: int
    thumbnail: int

    @property
    def name(self) -> str:
        """The name of its page."""
        return self.path.stem

    @property
    def number(self) -> str:
        """Its place on the path, as other tutorials call it."""
        return self.name.split("_")[1]


def tutorials(folder: Path = SCRIPTS) -> list[Tutorial]:
    """Read the scripts of a folder, in their order."""
    return [read(path, path.read_text("utf-8")) for path in sorted(folder.glob("plot_*.py"))]


@lru_cache
def read(path: Path, source: str) -> Tutorial:
    """Read the title and the two lead paragraphs of a script, once while it stays as it is."""
    blocks = re.split(r"\n\s*\n", (ast.get_docstring(ast.parse(source)) or "").strip())
    if len(blocks) < 3:
        raise ValueError(
            f"{path}:1: expected a docstring with a title, an English lead and its Chinese twin, "
            f"found {len(blocks)} blocks"
        )
    english, chinese = (re.search(pattern, source) for pattern in NEEDS)
    if not english or not chinese or english["minutes"] != chinese["minutes"]:
        raise ValueError(
            f"{path}: expected, at the end of both lists of what you will learn, "
            "'Level: beginner. Time: 15 minutes. Needs: tutorial 01.' and "
            "'难度：入门。用时：15 分钟。预备：教程 01。'"
        )
    number = re.search(r"sphinx_gallery_thumbnail_number = (\d+)", source)
    return Tutorial(
        path=path,
        title=blocks[0].splitlines()[0],
        lead=(blocks[1], blocks[2]),
        level=(english["level"], chinese["level"]),
        minutes=int(english["minutes"]),
        thumbnail=int(number[1]) if number else 1,
    )


class Tutorials(SphinxDirective):
    """Show a card for each tutorial, or for those between two numbers: ``01-05``."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        first, _, last = (self.arguments or ["00-99"])[0].partition("-")
        grid = nodes.container(classes=["tutorial-cards"])
        for tutorial in tutorials():
            self.env.note_dependency(tutorial.path)
            if first <= tutorial.number <= last:
                grid += self.card(tutorial)
        return [grid]

    def card(self, tutorial: Tutorial) -> nodes.container:
        """Return the picture, the title and the leads of a tutorial."""
        card = nodes.container(classes=["tutorial-card"])
        stem = f"/auto_examples/images/sphx_glr_{tutorial.name}_{tutorial.thumbnail:03}"
        lines = [
            f".. image:: {stem}.png",
            "   :class: only-light",
            "   :alt:",
            "",
            f".. image:: {stem}_dark.png",
            "   :class: only-dark",
            "   :alt:",
            "",
            *(
                line
                for half in SEPARATOR.split(tutorial.title)
                for line in (f":doc:`{half} </auto_examples/{tutorial.name}>`", "")
            ),
            *tutorial.lead[0].splitlines(),
            "",
            *tutorial.lead[1].splitlines(),
            "",
            f"{tutorial.level[0]}, {tutorial.minutes} minutes | "
            f"{tutorial.level[1]}，{tutorial.minutes} 分钟",
        ]
        card += nodes.inline("", tutorial.number, classes=["tutorial-number"])
        self.state.nested_parse(StringList(lines, str(tutorial.path)), 0, card)
        return card
