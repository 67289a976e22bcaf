"""sphinx-gallery writes its own sentences in English: rewrite them in the language of the page."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from sphinx.application import Sphinx

from bilingual.languages import ENGLISH, by_sphinx

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
    "Download this page: :download:`Python script <{0}.py>` · :download:`Jupyter notebook <{0}.ipynb>`",
    "下载本页： :download:`Python 脚本 <{0}.py>` · :download:`Jupyter 笔记本 <{0}.ipynb>`",
)


def rewrite(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put the downloads on top, the cards of both languages into the list, and translate the rest."""
    if not docname.startswith("auto_examples/"):
        return
    chinese = by_sphinx(app.config.language) is not ENGLISH
    name = PurePosixPath(docname).name
    top = f".. container:: sphx-glr-download-link-note\n\n   {TOP[chinese].format(name)}\n\n"
    text = NOTE.sub(lambda _: top, content[0])
    text = CARDS.sub(".. tutorials::\n", text)
    for words, translated in WORDS.items():
        text = text.replace(words, translated[chinese])
    content[0] = text
