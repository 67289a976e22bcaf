"""What a page of the gallery shows: cards, downloads, and the gallery's sentences in its language."""

import re
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx_gallery import gen_rst
from sphinx_gallery.notebook import save_notebook
from sphinx_gallery.py_source_parser import remove_config_comments, split_code_and_text_blocks

from bilingual.languages import ENGLISH, SEPARATOR, by_sphinx

from .scripts import Tutorial, tutorials
from .wheel import WHEEL

NOTE = re.compile(
    r"\.\. only:: html\n\n +\.\. note::\n +:class: sphx-glr-download-link-note.*?\n(?=\.\. rst-class)",
    re.S,
)
CARDS = re.compile(r"\.\. thumbnail-parent-div-open.*\.\. thumbnail-parent-div-close\n", re.S)
WORDS = {
    "Download Python source code: ": ("Python script: ", "Python 脚本："),
    "Download Jupyter notebook: ": ("Jupyter notebook: ", "Jupyter 笔记本："),
    "Download zipped: ": ("Both, zipped: ", "两者的压缩包："),
    "Download all examples in Python source code: ": ("All scripts: ", "全部脚本："),
    "Download all examples in Jupyter notebooks: ": ("All notebooks: ", "全部笔记本："),
}
TIMING = re.compile(r"\.\. rst-class:: sphx-glr-timing\n\n.*\((\d+) minutes ([\d.]+) seconds\)\n")
TOP = (
    "Tutorial {number} · ran on torch {torch} in {seconds} s, {date} · Download: "
    ":download:`Python script <{name}.py>` · :download:`Jupyter notebook <{name}.ipynb>` · "
    "`optimkit <{wheel}>`__",
    "教程 {number} · {date} 在 torch {torch} 上运行，用时 {seconds} 秒 · 下载： "
    ":download:`Python 脚本 <{name}.py>` · :download:`Jupyter 笔记本 <{name}.ipynb>` · "
    "`optimkit <{wheel}>`__",
)
CARD = """\
.. image:: /auto_examples/images/sphx_glr_{name}_{thumbnail:03}.png
   :class: only-light
   :alt:

.. image:: /auto_examples/images/sphx_glr_{name}_{thumbnail:03}_dark.png
   :class: only-dark
   :alt:

{titles}

{lead[0]}

{lead[1]}

{level[0]}, {minutes} minutes | {level[1]}，{minutes} 分钟
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
        """Return the picture, the title and the leads of a tutorial."""
        halves = SEPARATOR.split(tutorial.title)
        titles = [f":doc:`{half} </auto_examples/{tutorial.name}>`" for half in halves]
        said = vars(tutorial) | {"name": tutorial.name, "titles": "\n\n".join(titles)}
        lines = CARD.format(**said).splitlines()
        card = nodes.container(classes=["tutorial-card"])
        card += nodes.inline("", tutorial.number, classes=["tutorial-number"])
        self.state.nested_parse(StringList(lines, str(tutorial.path)), 0, card)
        return card


def rewrite(app: Sphinx, docname: str, content: list[str]) -> None:
    """Say on top when a tutorial ran and what one can take home, drop cards, translate the rest."""
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
        text = TIMING.sub("", text)
        text = NOTE.sub(f".. container:: sphx-glr-download-link-note\n\n   {line}\n\n", text)
    for words, translated in WORDS.items():
        text = text.replace(words, translated[chinese])
    content[0] = text


def save_whole_notebook(notebook: dict[str, Any], path: Path) -> None:
    """Save a notebook with the code that the page leaves out, and without the marks around it."""
    _, blocks = split_code_and_text_blocks(path.with_suffix("").with_suffix(".py"))
    # The first cell installs, and is not in the script.
    for cell, (kind, content, _) in zip(notebook["cells"][1:], blocks, strict=True):
        if kind == "code":
            cell["source"] = [remove_config_comments(content).strip()]
    save_notebook(notebook, path)


# When imported: the processes that run the scripts read no conf.py. sphinx_gallery/gen_rst.py, 0.22:
# generate_file_rst() takes the code between "ignore" marks out of page and notebook alike.
gen_rst.save_notebook = save_whole_notebook
