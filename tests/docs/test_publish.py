"""One command builds both sites out of scripts that run once, and a failure leaves the last site."""

import os
import re
import shutil
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("sphinx_gallery", reason="the docs group is not installed")
pytest.importorskip("pydata_sphinx_theme", reason="the docs group is not installed")

import publish as publishing

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = '''"""
First page | 第一页
===================

This is the lead.

这是导语。

- Level: beginner. Time: 5 minutes. Needs: nothing.

- 难度：入门。用时：5 分钟。预备：无。
"""

from pathlib import Path

with Path("runs.txt").open("a") as runs:
    runs.write("x")
print("ran")

# %%
# A part | 一节
# -------------
# English words.
#
# 中文文字。

import matplotlib.pyplot as plt

fig, ax = plt.subplots()
fig.set_label("A line | 一条线")
ax.plot([0, 1 + 1])
# sphinx_gallery_start_ignore
assert len(ax.lines) == 1
# sphinx_gallery_end_ignore
'''
INDEX = """# Notes | 笔记

```{toctree}
auto_examples/index
```

```{eval-rst}
.. py:function:: step(rate)

   :param rate: How far.
```
"""
CATALOG = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

msgid "How far."
msgstr "走多远。"
"""


REPOSITORY = "https://example.org/optimkit"
BASE = "https://example.org/notes"


def publish(root: Path) -> subprocess.CompletedProcess:
    """Run the one command, for a site that has an address."""
    command = [sys.executable, str(root / "docs" / "_ext" / "publish.py")]
    environment = os.environ | {"OPTIMKIT_BASE_URL": BASE}
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False, env=environment
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a small copy of the documentation with one script, built."""
    root = tmp_path_factory.mktemp("site")
    unwanted = shutil.ignore_patterns(
        "_build", "auto_examples", "reference", "locale", "*.md", "questions.toml", "__pycache__"
    )
    shutil.copytree(DOCS, root / "docs", ignore=unwanted)
    write(root, "docs/index.md", INDEX)
    write(root, "docs/locale/zh_CN/LC_MESSAGES/index.po", CATALOG)
    write(
        root,
        "examples/GALLERY_HEADER.rst",
        "All | 全部\n==========\n\nRead.\n\n读吧。\n\n.. tutorials::\n",
    )
    write(root, "examples/plot_01_first.py", SCRIPT)
    write(root, "src/optimkit/steps.py", "")
    package = ("src/optimkit/__init__.py", "src/optimkit/_version.py")
    for name in ("pyproject.toml", "README.md", "LICENSE", *package):
        write(root, name, (DOCS.parent / name).read_text("utf-8"))
    with (root / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write(f'\n[project.urls]\nRepository = "{REPOSITORY}/"\n')
    done = publish(root)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def write(root: Path, name: str, text: str) -> None:
    """Write one file of the copy."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def visible(html: str) -> str:
    """Return the words of an article, without code and what is hidden."""
    article = html[html.index("<article") : html.index("</article>")]
    article = re.sub(r"<pre.*?</pre>", "", article, flags=re.S)
    article = re.sub(r"<(p|span|dd|li|ul)[^>]*bi-other.*?</\1>", "", article, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", article).split())


def test_both_sites_from_one_run(root):
    """The scripts run once for both languages, and each site has all of its pages and its door."""
    assert (root / "examples" / "runs.txt").read_text() == "x"
    site = contents(root / "docs" / "_build" / "site")
    pages = {"index.html", "auto_examples/index.html", "auto_examples/plot_01_first.html"}
    assert {"index.html", "404.html"} <= set(site)
    for language in ("en", "zh"):
        assert {f"{language}/{page}" for page in pages} <= set(site)
        assert f"{language}/_static/search-index.js" in site
    assert b'<html lang="en"' in site["en/index.html"]
    assert b'<html lang="zh-CN"' in site["zh/index.html"]


def test_code_between_ignore_marks(root):
    """What stands between ignore marks runs and is not on the page; both downloads have it."""
    site = root / "docs" / "_build" / "site"
    for language in ("en", "zh"):
        page = (site / language / "auto_examples" / "plot_01_first.html").read_text("utf-8")
        assert "ax" in page
        assert "assert" not in page
        assert "_ignore" not in page
        downloads = [*(site / language / "_downloads").glob("*/plot_01_first.*")]
        assert sorted(file.suffix for file in downloads) == [".ipynb"] * 2 + [".py"] * 2
        for file in downloads:
            assert "assert len(ax.lines) == 1" in file.read_text("utf-8")
            assert "_ignore" not in file.read_text("utf-8")


def test_words_of_the_gallery_are_translated(root):
    """The words that Sphinx and its gallery write are in the language of the site."""
    site = root / "docs" / "_build" / "site"
    name = "auto_examples/plot_01_first.html"
    english = visible((site / "en" / name).read_text("utf-8"))
    chinese = visible((site / "zh" / name).read_text("utf-8"))
    assert "Tutorial 01 · ran on torch" in english
    assert "Go to the end" not in english
    assert not re.search("[\u4e00-\u9fff]", english)
    # What is left in Latin letters: names of files and formats.
    names = {"Python", "Jupyter", "optimkit", "plot_01_first", "ipynb", "py", "zip", "torch"}
    assert set(re.findall(r"[A-Za-z_]\w*", chinese)) <= names
    listed = visible((site / "zh" / "auto_examples" / "index.html").read_text("utf-8"))
    assert "第一页" in listed
    assert "这是导语。" in listed
    assert "First" not in listed
    assert "Download" not in listed
    function = visible((site / "zh" / "index.html").read_text("utf-8"))
    assert "参数 : rate – 走多远。" in function
    assert "Parameters" not in function


def test_links_to_the_repository(root):
    """With an address of the repository each page leads to its own source there, and to a report."""
    site = root / "docs" / "_build" / "site"
    for language in ("en", "zh"):
        for page, source in (
            ("index", "docs/index.md"),
            ("auto_examples/index", "examples/GALLERY_HEADER.rst"),
            ("auto_examples/plot_01_first", "examples/plot_01_first.py"),
        ):
            html = (site / language / f"{page}.html").read_text("utf-8")
            assert f'href="{REPOSITORY}/edit/main/{source}"' in html
            assert f'href="{REPOSITORY}/issues/new?title=' in html
            assert f'href="{REPOSITORY}"' in html


def test_what_a_search_engine_reads(root):
    """A page has a title with the subject, its first sentences, a card, one address; the site lists all."""
    site = root / "docs" / "_build" / "site"
    for language, title, said in (
        ("en", "First page · PyTorch optimizer tutorial", "This is the lead."),
        ("zh", "第一页 · PyTorch 优化器教程", "这是导语。"),
    ):
        address = f"{language}/auto_examples/plot_01_first.html"
        html = (site / address).read_text("utf-8")
        assert f"<title>{title} &#8212; optimkit</title>" in html
        assert html.count('name="viewport"') == 1
        assert f'<meta name="description" content="{said}">' in html
        assert f'<meta property="og:description" content="{said}">' in html
        assert f'<link rel="canonical" href="{BASE}/{address}">' in html
        card = f"{language}/_static/card.{language}.png"
        assert f'<meta property="og:image" content="{BASE}/{card}">' in html
        assert (site / card).read_bytes().startswith(b"\x89PNG")
        assert f"<loc>{BASE}/{address}</loc>" in (site / "sitemap.xml").read_text("utf-8")
        named = f"- [{title.partition(' · ')[0]}]({BASE}/{address})"
        assert named in (site / "llms.txt").read_text("utf-8")
    assert f"Sitemap: {BASE}/sitemap.xml" in (site / "robots.txt").read_text("utf-8")


def test_a_tutorial_says_what_it_ran_on(root):
    """The line above a tutorial has the version of torch, the seconds it took, and the day."""
    site = root / "docs" / "_build" / "site"
    today, torch = datetime.now().date(), version("torch").split("+")[0]
    for language, said in (
        ("en", rf"ran on torch {torch} in \d+ s, {today}"),
        ("zh", rf"{today} 在 torch {torch} 上运行，用时 \d+ 秒"),
    ):
        page = site / language / "auto_examples" / "plot_01_first.html"
        assert re.search(said, visible(page.read_text("utf-8")))


@pytest.mark.parametrize(
    ("texts", "said", "times"),
    [
        (
            {"examples/plot_01_first.py": SCRIPT.replace("1 + 1", "1 / 0")},
            ['plot_01_first.py", line 31', "ZeroDivisionError"],
            1,
        ),
        (
            {
                "examples/plot_01_first.py": SCRIPT.replace("# 中文文字。\n", ""),
                "docs/index.md": INDEX + "$\\nosuch$\n",
            },
            [
                "examples/plot_01_first.py:23: WARNING: unpaired paragraph 'English words.'",
                "docs/index.md:12: WARNING: maths that docutils cannot convert",
            ],
            2,
        ),
    ],
    ids=["a script that raises", "an unpaired block and bad maths"],
)
def test_a_failure_leaves_the_last_site(root, texts, said, times):
    """A failed build says where, exits with an error each time it is run, and touches no page."""
    site = root / "docs" / "_build" / "site"
    before = contents(site)
    good = {name: (root / name).read_text("utf-8") for name in texts}
    for name, text in texts.items():
        write(root, name, text)
    try:
        for _ in range(times):
            done = publish(root)
            assert done.returncode != 0
            assert all(words in done.stderr for words in said), done.stderr
            assert f"The build failed; {site} is what it was." in done.stderr
            assert contents(site) == before
    finally:
        for name, text in good.items():
            write(root, name, text)


def test_a_failure_of_the_second_language(root):
    """What only the Chinese build meets is told, fails the whole, and touches no page."""
    site = root / "docs" / "_build" / "site"
    before = contents(site)
    write(root, "docs/index.md", INDEX + "![A line | 一条线](a.svg)\n")
    write(root, "docs/a.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>')
    folder = root / "docs" / "a.zh_CN.svg"  # no picture, though its name says so
    folder.mkdir()
    try:
        done = publish(root)
        assert done.returncode != 0
        assert "a.zh_CN.svg" in done.stderr
        assert f"The build failed; {site} is what it was." in done.stderr
        assert contents(site) == before
    finally:
        folder.rmdir()
        (root / "docs" / "a.svg").unlink()
        write(root, "docs/index.md", INDEX)


def test_what_a_change_makes_anew(root):
    """A script that is deleted takes its page with it; a new one gets one; other code reads all pages again."""
    site = root / "docs" / "_build" / "site"
    first = root / "examples" / "plot_01_first.py"
    write(root, "examples/plot_02_next.py", SCRIPT.replace("First", "Later"))
    first.unlink()
    try:
        done = publish(root)
        assert done.returncode == 0, done.stderr
        for language in ("en", "zh"):
            pages = {path.name for path in (site / language / "auto_examples").glob("*.html")}
            assert pages == {"index.html", "plot_02_next.html"}
        read = root / "docs" / "_build" / "doctrees" / "zh" / "index.doctree"
        before = read.stat().st_mtime_ns
        write(root, "docs/_ext/other.py", "")
        assert publish(root).returncode == 0
        assert read.stat().st_mtime_ns > before
    finally:
        write(root, "examples/plot_01_first.py", SCRIPT)
        (root / "docs" / "_ext" / "other.py").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("css", "left"),
    [
        (".a{x:1}.b{x:2}", ".a{x:1}"),
        (".b,.a,p{x:1}", ".a,p{x:1}"),
        (".a .b{x:1}#a>p:hover{x:2}", "#a>p:hover{x:2}"),
        (".a:not(.b,.c),.b:is(.a){x:1}", ".a:not(.b,.c){x:1}"),
        ("@media (min-width:1px){.b{x:1}.a{x:2}}", "@media (min-width:1px){.a{x:2}}"),
        ("@media print{.b{x:1}}@keyframes k{from{x:1}to{x:2}}", "@keyframes k{from{x:1}to{x:2}}"),
        ("@font-face{src:url(f.woff2)}/* .b */p{x:1}", "p{x:1}"),
        ("@supports (x:1){@media print{.a{x:1}.b{x:1}}}", "@supports (x:1){@media print{.a{x:1}}}"),
    ],
)
def test_rules_that_no_page_can_use_are_cut(css, left):
    """Of a stylesheet those selectors stay that have no class and no id but those in use."""
    assert publishing.cut(css, {"a", "k"}) == left
