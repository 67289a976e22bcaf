"""What a reader takes home: each tutorial as a script, and as a notebook with its outputs, by language."""

import ast
import json
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.notebook import jupyter_notebook_skeleton, rst2md
from sphinx_gallery.py_source_parser import remove_config_comments, split_code_and_text_blocks

from bilingual.languages import ENGLISH, LANGUAGES, Language, choose, detect, halves

from .scripts import ROOT, alone, tutorials

WHEEL = f"wheels/optimkit-{version('optimkit')}-py3-none-any.whl"
"""Where the package is on the site, for both languages, at the version that the tutorials ran with."""

PART = re.compile(r"^\.\. GENERATED FROM PYTHON SOURCE LINES (\d+)-\d+$", re.M)
SHOWN = re.compile(
    r"^ \.\. code-block:: none\n\n(?P<text>(?:    .*\n|\n)+)"
    r"|^\.\. raw:: html\n\n(?P<html>(?:    .*\n|\n)+)"
    r"|^\.\. figure:: /(?P<png>\S+)\.png$",
    re.M,
)
BREAK = re.compile(r"\n\s*\n|(?<=----)\n")
WORDLESS = re.compile(r":\w+:`[^`]*`|``.*?``", re.S)
NAMED = re.compile(r"[Tt]utorial (\d\d)|教程 (\d\d)")
ANSWER = re.compile(r"^#+ ((?:Solution|Answers?|参考答案|答案).*)\n+", re.M)

Part = tuple[str, str, str]
"""Code or text, what it says, and what the page shows below it."""


def write_downloads(app: Sphinx) -> None:
    """Write the files of each language, and of both, into folders, once the scripts have run."""
    folder = Path(app.srcdir, "auto_examples")
    found = [(one, split_code_and_text_blocks(one.path)[1]) for one in tutorials()]
    for language in (*LANGUAGES, None):
        own = folder / (language.path if language else "both")
        own.mkdir(exist_ok=True)
        for tutorial, blocks in found:
            # Each part of a page begins with the lines that it is from.
            page = PART.split((folder / f"{tutorial.name}.rst").read_text("utf-8"))
            shown = dict(zip(page[1::2], page[2::2], strict=True))
            parts = [
                (kind, in_language(kind, said, language), shown.get(str(line), ""))
                for kind, said, line in blocks
            ]
            made = json.dumps(notebook(parts, language, app), ensure_ascii=False, indent=1)
            for suffix, text in ((".py", script(parts)), (".ipynb", made)):
                file = own / f"{tutorial.name}{suffix}"
                # Sphinx reads again each page that offers a newer file.
                if not file.exists() or file.read_text("utf-8") != text:
                    file.write_text(text, "utf-8")
        zipped = folder / f"tutorials.{own.name}.zip"
        newest = max((file.stat().st_mtime for file in own.iterdir()), default=0)
        if not zipped.exists() or zipped.stat().st_mtime < newest:
            shutil.make_archive(str(zipped.with_suffix("")), "zip", own)
    alone(app.srcdir).release()


def in_language(kind: str, said: str, language: Language | None) -> str:
    """Return code with one half of each string that has two, or the paragraphs in one language."""
    if kind == "code":
        code = remove_config_comments(said).strip()
        return code_in(code, language) if language else code
    if language is None:
        return said.strip()
    return "\n\n".join(
        "\n".join(choose(line, language) for line in paragraph.splitlines())
        for paragraph in BREAK.split(said.strip())
        if halves(paragraph.partition("\n")[0])
        or detect(WORDLESS.sub("", paragraph)) in (None, language)
    )


def code_in(code: str, language: Language) -> str:
    """Return code with one half of each string that has two; one that is written in pieces is one."""
    changed, found = code, list(ast.walk(ast.parse(code)))
    inside = {part for node in found if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in found:
        said = ast.unparse(node) if isinstance(node, ast.JoinedStr) else ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            said = json.dumps(node.value, ensure_ascii=False)
        if halves(said):
            mark = said[: 2 if said.startswith("f") else 1]
            half = choose(said, language).removeprefix(mark).removesuffix(mark[-1])
            written = ast.get_source_segment(code, node) or ""
            changed = changed.replace(written, f"{mark}{half}{mark[-1]}")
    return changed


def script(parts: list[Part]) -> str:
    (_, title, _), *rest = parts
    cells = [
        said if kind == "code" else "# %%\n" + indent(said, "# ", lambda line: True)
        for kind, said, _ in rest
    ]
    return "\n\n".join([f'"""\n{title}\n"""', *cells]).replace("# \n", "#\n") + "\n"


def notebook(parts: list[Part], language: Language | None, app: Sphinx) -> dict[str, Any]:
    """Return a tutorial as a notebook, which has its outputs, and its answers folded."""
    address = app.config.bilingual_base_url.rstrip("/")
    pages = {
        one.number: f"{address}/{(language or ENGLISH).path}/auto_examples/{one.name}.html"
        if address
        else f"{one.name}.ipynb"
        for one in tutorials()
    }
    levels: dict[Any, int] = defaultdict(count(1).__next__)
    cells: list[dict[str, Any]] = []
    folded = False
    for kind, said, shown in [("code", install_cell(address), ""), *parts]:
        cell: dict[str, Any] = {"id": f"part-{len(cells)}", "metadata": {}, "source": said}
        if kind == "code":
            cell |= {"cell_type": "code", "execution_count": None}
            cell["outputs"] = list(outputs(shown, language, Path(app.srcdir)))
            cell["metadata"] = {"jupyter": {"source_hidden": True}} if folded else {}
        else:
            text = rst2md(said + "\n", app.config.sphinx_gallery_conf, app.srcdir, levels)
            text = NAMED.sub(lambda found: f"[{found[0]}]({pages[found[1] or found[2]]})", text)
            folded = bool(ANSWER.search(text))
            if folded:
                text = ANSWER.sub(r"<details><summary>\1</summary>\n\n", text) + "\n</details>"
            cell |= {"cell_type": "markdown", "source": text}
        cells.append(cell)
    return jupyter_notebook_skeleton() | {"nbformat_minor": 5, "cells": cells}


def outputs(shown: str, language: Language | None, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what a page shows below a block, as a notebook keeps it."""
    for found in SHOWN.finditer(shown):
        if found["text"]:
            text = dedent(found["text"]).strip("\n") + "\n"
            yield {"output_type": "stream", "name": "stdout", "text": text}
            continue
        data = {"text/html": dedent(found["html"] or "").strip()}
        if name := found["png"]:
            own = folder / f"{name}.{(language or ENGLISH).sphinx}.png"
            picture = own if own.exists() else folder / f"{name}.png"
            data = {"image/png": b64encode(picture.read_bytes()).decode()}
        yield {"output_type": "display_data", "data": data, "metadata": {}}


def install_cell(address: str) -> str:
    """Return the first cell of a notebook, for a site at `address`, or for one that has none yet."""
    name = Path(WHEEL).name
    if address:
        return f"%pip install -q torch matplotlib {address}/{WHEEL}"
    return (
        f"# Save {name} beside this notebook first: it is linked at the top of the page.\n"
        f"# 请先把 {name} 保存到本笔记本所在的文件夹，下载链接在网页顶部。\n"
        f"%pip install -q torch matplotlib ./{name}"
    )


def substitutions() -> dict[str, str]:
    """Return what a page writes as ``{{ wheel }}`` and ``{{ install }}``: a link, a command."""
    name = Path(WHEEL).name
    return {
        "wheel": f'<a href="../{WHEEL}"><code>{name}</code></a>',
        "install": f"```console\npip install torch matplotlib ./{name}\n```",
    }


def build_wheel(site: Path) -> None:
    """Put the wheel of the package as it is now into a site."""
    folder = (site / WHEEL).parent
    for old in folder.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    if not (site / WHEEL).exists():
        raise RuntimeError(f"no {WHEEL}: the installed package has another version")
