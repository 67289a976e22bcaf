"""sphinx-gallery writes its own sentences in English: rewrite them in the language of the page."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from sphinx.application import Sphinx

from bilingual.languages import ENGLISH, by_sphinx

from .wheel import WHEEL

__all__ = ["rewrite"]

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
TOP = (
    "Tutorial {number} · Download: :download:`Python script <{name}.py>` · "
    ":download:`Jupyter notebook <{name}.ipynb>` · `optimkit <{wheel}>`__",
    "教程 {number} · 下载： :download:`Python 脚本 <{name}.py>` · "
    ":download:`Jupyter 笔记本 <{name}.ipynb>` · `optimkit <{wheel}>`__",
)


def rewrite(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put the downloads on top, the cards of both languages into the list, and translate the rest."""
    if not docname.startswith("auto_examples/"):
        return
    chinese = by_sphinx(app.config.language) is not ENGLISH
    text = NOTE.sub(lambda _: top(PurePosixPath(docname).name, chinese), content[0])
    text = CARDS.sub("", text)
    for words, translated in WORDS.items():
        text = text.replace(words, translated[chinese])
    content[0] = text


def top(name: str, chinese: bool) -> str:
    """Return the line above a tutorial: its number, and what a reader can take home."""
    line = TOP[chinese].format(name=name, number=name.split("_")[1], wheel=f"../../{WHEEL}")
    return f".. container:: sphx-glr-download-link-note\n\n   {line}\n\n"
