"""What a page of the gallery shows: cards, and its own words where the gallery has English ones."""

import re
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bilingual.languages import ENGLISH, SEPARATOR, by_sphinx

from .downloads import WHEEL
from .scripts import Tutorial, tutorials

NOTE = re.compile(
    r"\.\. only:: html\n\n +\.\. note::\n +:class: sphx-glr-download-link-note.*?\n(?=\.\. rst-class)",
    re.S,
)
CARDS = re.compile(r"\.\. thumbnail-parent-div-open.*\.\. thumbnail-parent-div-close\n", re.S)
TIMING = re.compile(r"\.\. rst-class:: sphx-glr-timing\n\n.*\((\d+) minutes ([\d.]+) seconds\)\n")
FOOTER = re.compile(r"\.\. only:: html\n\n +\.\. container:: sphx-glr-footer.*", re.S)
TOP = (
    "Tutorial {number} · ran on torch {torch} in {seconds} s, {date} · "
    ":download:`Script <en/{name}.py>` · :download:`Notebook <en/{name}.ipynb>` · in both languages: "
    ":download:`script <both/{name}.py>`, :download:`notebook <both/{name}.ipynb>` · "
    "`optimkit <{wheel}>`__",
    "教程 {number} · {date} 在 torch {torch} 上运行，用时 {seconds} 秒 · "
    ":download:`脚本 <zh/{name}.py>` · :download:`笔记本 <zh/{name}.ipynb>` · 双语 · "
    ":download:`脚本 <both/{name}.py>` · :download:`笔记本 <both/{name}.ipynb>` · "
    "`optimkit <{wheel}>`__",
)
ALL = (
    "All of them, zipped: :download:`in English <tutorials.en.zip>`, "
    ":download:`in both languages <tutorials.both.zip>`",
    "全部教程打包 · :download:`中文 <tutorials.zh.zip>` · :download:`双语 <tutorials.both.zip>`",
)
LINE = ".. container:: sphx-glr-download-link-note\n\n   {}\n\n"
CARD = """\
.. image:: /auto_examples/images/sphx_glr_{name}_{thumbnail:03}.png
   :class: only-light
   :alt: {title}

.. image:: /auto_examples/images/sphx_glr_{name}_{thumbnail:03}_dark.png
   :class: only-dark
   :alt: {title}

{titles}

{lead[0]}

{lead[1]}

{needs[0]} | {needs[1]}
"""


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
        halves = SEPARATOR.split(tutorial.title)
        titles = [f":doc:`{half} </auto_examples/{tutorial.name}>`" for half in halves]
        said = vars(tutorial) | {"name": tutorial.name, "titles": "\n\n".join(titles)}
        lines = CARD.format(**said).splitlines()
        card = nodes.container(classes=["tutorial-card"])
        card += nodes.inline("", tutorial.number, classes=["tutorial-number"])
        self.state.nested_parse(StringList(lines, str(tutorial.path)), 0, card)
        return card


def rewrite(app: Sphinx, docname: str, content: list[str]) -> None:
    """Say on top when a tutorial ran, and what one can take home, instead of what the gallery says."""
    if not docname.startswith("auto_examples/"):
        return
    chinese = by_sphinx(app.config.language) is not ENGLISH
    text = CARDS.sub("", content[0])
    if took := TIMING.search(text):
        written = Path(app.srcdir, f"{docname}.py.md5")  # by the gallery, after a run
        line = TOP[chinese].format(
            name=PurePosixPath(docname).name,
            number=docname.split("_")[2],
            wheel=f"../../{WHEEL}",
            torch=version("torch").split("+")[0],
            seconds=max(1, round(60 * int(took[1]) + float(took[2]))),
            date=datetime.fromtimestamp(written.stat().st_mtime).date(),
        )
        text = NOTE.sub(LINE.format(line), TIMING.sub("", text))
    content[0] = FOOTER.sub("" if took else LINE.format(ALL[chinese]), text)
