"""The gallery's figures, videos, cards, words, and which scripts run again."""

import ast
import base64
import builtins
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("matplotlib", reason="the docs group is not installed")
pytest.importorskip("mplfonts", reason="the docs group is not installed")
pytest.importorskip("imageio_ffmpeg", reason="the docs group is not installed")

import matplotlib as mpl
import numpy as np
from filelock import FileLock, Timeout
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.text import Text
from sphinx.errors import ExtensionError
from sphinx_gallery.py_source_parser import (
    remove_config_comments,
    remove_ignore_blocks,
    split_code_and_text_blocks,
)

from bilingual.languages import CHINESE, ENGLISH
from gallery import downloads, figures, scripts


@pytest.fixture(autouse=True)
def style():
    """Start from the style that each script gets, and leave no figure."""
    figures.reset_style({}, "")
    yield
    plt.close("all")
    mpl.rcdefaults()


@pytest.fixture
def figure():
    """Return a figure with every kind of ink."""
    figure, axes = plt.subplots(figsize=(3, 2), dpi=50)
    axes.plot([0, 1], [0, 1], "o-", color="C0")
    axes.plot([0], [1], "s", markerfacecolor="none", markeredgecolor="k")
    axes.bar([0], [1], facecolor="none", edgecolor="black")
    axes.axhline(0.5, color=(0, 0, 0, 0.25))
    axes.scatter([1], [0], facecolors="none", edgecolors="k")
    axes.annotate("here", (0, 0), (0.5, 0.5), arrowprops={"arrowstyle": "->"})
    axes.set(title="Loss", xlabel="p(y | x)")
    return figure


def saved(folder):
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def words(figure):
    """Return the texts that a figure shows, once it is drawn."""
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text)}


def test_variants_only_where_they_differ(figure, tmp_path):
    """A figure is saved in light and dark, and in Chinese too if a text of it has halves."""
    figures.save_figure(figure, tmp_path / "a_001.png")
    assert saved(tmp_path) == ["a_001.png", "a_001_dark.png"]
    light, dark = ((tmp_path / name).read_bytes() for name in saved(tmp_path))
    assert light != dark
    figure.axes[0].set_title("Loss | 损失")
    figures.save_figure(figure, tmp_path / "a_001.png")
    assert saved(tmp_path) == [
        "a_001.png",
        "a_001.zh_CN.png",
        "a_001_dark.png",
        "a_001_dark.zh_CN.png",
    ]
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 4
    figure.axes[0].set_title("Loss")
    figures.save_figure(figure, tmp_path / "a_001.png")
    assert saved(tmp_path) == ["a_001.png", "a_001_dark.png"]


def test_texts_have_one_half(figure):
    """Every text shows one half, labels of ticks and new texts too, and gets the other back."""
    axes = figure.axes[0]
    axes.set_title("Loss | 损失")
    axes.set_xticks([0, 1], ["start | 开始", "end | 结束"])
    before = words(figure)
    assert {"Loss | 损失", "start | 开始"} <= before
    for language, own in ((ENGLISH, {"Loss", "start", "end"}), (CHINESE, {"损失", "开始", "结束"})):
        with figures.in_language(figure, language) as changed:
            assert changed
            new = axes.text(0, 0, "new | 新")
            shown = words(figure)
            assert own | {"p(y | x)", {"en": "new", "zh": "新"}[language.path]} <= shown
            assert not any("|" in text for text in shown - {"p(y | x)"})
            new.remove()
        assert words(figure) == before


def test_neutral_ink_turns_dark():
    """On a dark page black and white swap, colours stay, and so does what shines through."""
    inks = ["#000000", "#ffffff", "#0077bb", "#d55e00", "#00000040", "#ffffff00"]
    picture = np.array([[mpl.colors.to_rgba(ink) for ink in inks]]) * 255
    (turned,) = figures.darken(picture.round().astype(np.uint8))
    assert [mpl.colors.to_hex(ink, keep_alpha=True) for ink in turned / 255] == [
        "#e8eaedff",
        "#14181eff",
        "#0077bbff",
        "#d55e00ff",
        "#e8eaed40",
        "#ffffff00",  # nobody sees it
    ]
    (grey,) = figures.darken(np.full((1, 1, 4), 128, np.uint8))
    assert 0.4 < grey[0, :3].mean() / 255 < 0.6


def test_an_error_leaves_the_figure_as_it_was(figure):
    """Texts come back when saving fails half-way."""
    figure.axes[0].set_title("Loss | 损失")
    said = words(figure)
    with pytest.raises(OSError, match="full"), figures.in_language(figure, CHINESE):
        raise OSError("disk full")
    assert words(figure) == said
    assert figure.text(0, 0, "a | 甲").get_text() == "a | 甲"


def test_scrape(figure, tmp_path):
    """Each figure becomes two pictures, of the right theme whatever the name of its script."""
    figure.set_label("What it\nshows | 图里有什么")
    figure.set_gid("moves-valley")
    paths = iter([str(tmp_path / "plot_09_dark_001.png")])
    block = {"example_globals": {}, "image_path_iterator": paths}
    text = figures.scrape(None, block, {})
    assert re.findall(r".. (\w+):: .*/(.*)|:class: (.*)", text) == [
        ("image", "plot_09_dark_001_dark.png", ""),
        ("", "", "figure only-dark"),
        ("figure", "plot_09_dark_001.png", ""),
        ("", "", "figure only-light moves-valley"),
    ]
    says = "What it shows | 图里有什么"
    assert text.count(f"   :alt: {says}\n") == 2
    assert text.count(f"\n\n   {says}\n") == 1
    assert plt.get_fignums() == []
    assert saved(tmp_path) == ["plot_09_dark_001.png", "plot_09_dark_001_dark.png"]


def test_a_figure_without_an_alternative_text(figure, tmp_path):
    """A figure that does not say what it shows stops the build, each time."""
    block = {
        "example_globals": {},
        "image_path_iterator": iter([str(tmp_path / "plot_09_a_001.png")]),
        "src_file": "plot_09_a.py",
    }
    with pytest.raises(
        ExtensionError, match=r"plot_09_a\.py: a figure without an alternative text"
    ):
        figures.scrape(None, block, {})


def test_animation(tmp_path):
    """An animation is saved as a video for each language, also where its steps write the texts."""
    figure, axes = plt.subplots(figsize=(2, 1), dpi=40)
    seen = []

    def draw(number):
        axes.set_title(f"Step {number} | 第 {number} 步")
        seen.append(axes.get_title(loc="left"))

    draw(0)
    animation = FuncAnimation(figure, draw, frames=2, init_func=lambda: None)
    assert figures.save_animation(animation, tmp_path / "a_001.mp4") == tmp_path / "a_001.mp4"
    assert saved(tmp_path) == ["a_001.mp4", "a_001.zh_CN.mp4"]
    assert {"Step 1", "第 1 步"} <= set(seen[1:])
    assert not any("|" in text for text in seen[1:])


@pytest.mark.parametrize(("language", "name"), [("en", "a.mp4"), ("zh_CN", "a.zh_CN.mp4")])
def test_video(build, tmp_path, language, name):
    """A video is copied into the site, in the variant of its language, with controls and a caption."""
    folder = tmp_path / "auto_examples" / "images"
    folder.mkdir(parents=True)
    for video in ("a.mp4", "a.zh_CN.mp4"):
        (folder / video).write_bytes(video.encode())
    shown = figures.FIGURE.format(name="a.mp4", role="controls", says="A walk | 一段路")
    site = build({"index.rst": f"Page | 页\n=========\n{shown}"}, language)
    assert site.warnings == []
    (video,) = site.body().all("video")
    assert video.attributes["src"] == f"_images/{name}"
    assert (Path(site.app.outdir) / "_images" / name).read_bytes() == name.encode()
    says, other = {"en": ("A walk", "一段路"), "zh_CN": ("一段路", "A walk")}[language]
    assert video.attributes["title"] == says
    assert "controls" in video.attributes
    assert "autoplay" not in video.attributes
    (caption,) = site.body().all("figcaption")
    assert (caption.text(hidden=False), caption.text(hidden=True)) == (says, other)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with two scripts that has been built."""
    monkeypatch.setattr(scripts, "ROOT", tmp_path)
    monkeypatch.setattr(scripts, "SCRIPTS", tmp_path / "examples")
    monkeypatch.setattr(
        scripts, "digest", lambda paths: repr([p.read_bytes() for p in sorted(paths)])
    )
    for name, text in {
        "src/optimkit/steps.py": "a = 1",
        "examples/plot_01_plain.py": "import torch",
        "examples/plot_02_kit.py": "import optimkit",
        "docs/auto_examples/plot_01_plain.py": "",
        "docs/auto_examples/plot_02_kit.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    app = SimpleNamespace(srcdir=tmp_path / "docs")
    scripts.forget_stale(app)
    for name in ("plot_01_plain", "plot_02_kit"):
        (tmp_path / "docs" / "auto_examples" / f"{name}.py.md5").write_text("0")
    return app


def stale(app):
    """Return the scripts that the next build runs again."""
    folder = app.srcdir / "auto_examples"
    before = {path.name for path in folder.glob("*.md5")}
    scripts.forget_stale(app)
    return sorted(before - {path.name for path in folder.glob("*.md5")})


def test_nothing_changed(project):
    """Without a change nothing is stale."""
    assert stale(project) == []


@pytest.mark.parametrize("name", ["steps.py", "new.py"])
def test_the_package_changed(project, name):
    """A change in the package, or a new module, makes all scripts stale."""
    (project.srcdir.parent / "src" / "optimkit" / name).write_text("a = 2")
    assert stale(project) == ["plot_01_plain.py.md5", "plot_02_kit.py.md5"]


def test_one_build_at_a_time_lists_the_scripts(project, monkeypatch):
    """From the last script to the downloads no other build can take the lock; then it can."""
    monkeypatch.setattr(scripts, "tutorials", list)
    monkeypatch.setattr(downloads, "tutorials", list)
    project.config = SimpleNamespace(sphinx_gallery_conf={})
    other = FileLock(project.srcdir / "auto_examples" / "gallery.lock", blocking=False)
    scripts.share(project)
    with pytest.raises(Timeout):
        other.acquire()
    downloads.write_downloads(project)
    other.acquire()


def test_torch_changed(project, monkeypatch):
    """Another version of torch makes all scripts stale."""
    monkeypatch.setattr(scripts, "version", lambda name: "99" if name == "torch" else "1")
    assert stale(project) == ["plot_01_plain.py.md5", "plot_02_kit.py.md5"]


def test_a_record_that_is_lost(project):
    """Without a record of the last build all scripts are stale."""
    (project.srcdir / "auto_examples" / scripts.RECORD).unlink()
    assert stale(project) == ["plot_01_plain.py.md5", "plot_02_kit.py.md5"]


def test_pages_of_scripts_that_are_gone(project):
    """What was made from a script that is gone is removed, and nothing else."""
    folder = project.srcdir / "auto_examples"
    (folder / "plot_01_plain.rst").write_text("")
    (project.srcdir.parent / "examples" / "plot_01_plain.py").unlink()
    stale(project)
    assert saved(folder) == [
        *("gallery.lock", scripts.RECORD, "plot_02_kit.py", "plot_02_kit.py.md5")
    ]


def test_cards_read_scripts(tmp_path):
    """A card has the title, both leads and the chosen picture of its script; a script without is refused."""
    needs = (
        "- Level: beginner. Time: 5 minutes. Needs: nothing.\n\n"
        "- 难度：入门。用时：5 分钟。预备：无。\n"
    )
    text = f'"""\nTitle | 题\n==========\n\nLead\nwords.\n\n导语。\n\n{needs}"""\n'
    (tmp_path / "plot_01_a.py").write_text(
        text + "# sphinx_gallery_thumbnail_number = 2\n", "utf-8"
    )
    (card,) = scripts.tutorials(tmp_path)
    assert (card.name, card.title, card.thumbnail) == ("plot_01_a", "Title | 题", 2)
    assert card.lead == ("Lead\nwords.", "导语。")
    assert card.needs == (
        "Level: beginner. Time: 5 minutes. Needs: nothing.",
        "难度：入门。用时：5 分钟。预备：无。",
    )
    (tmp_path / "plot_01_a.py").write_text(text.replace("5 分钟", "6 分钟"), "utf-8")
    with pytest.raises(ValueError, match=r"plot_01_a\.py: expected, at the end of both lists"):
        scripts.tutorials(tmp_path)
    (tmp_path / "plot_01_a.py").unlink()
    (tmp_path / "plot_02_b.py").write_text('"""Title"""\n')
    with pytest.raises(ValueError, match=r"plot_02_b\.py:1: expected a docstring with a title"):
        scripts.tutorials(tmp_path)


TUTORIAL = '''"""
Title | 题
==========

Lead with ``code``.

导语。

- Level: beginner. Time: 5 minutes. Needs: tutorial 02.

- 难度：入门。用时：5 分钟。预备：教程 02。
"""

# sphinx_gallery_covers = "S1"
step = 1
name = "Loss " "now | 当前" "损失"
# sphinx_gallery_start_ignore
assert step == 1
# sphinx_gallery_end_ignore
print(name, f"step {step} | 第 {step} 步", "a | b")

# %%
# Answers | 答案
# --------------
# Words.
#
# 文字。

step
'''
PAGE = """
.. GENERATED FROM PYTHON SOURCE LINES 12-20

.. figure:: /auto_examples/images/a.png
   :alt: a

.. rst-class:: sphx-glr-script-out

 .. code-block:: none

    Loss now 当前损失

      step 1

.. GENERATED FROM PYTHON SOURCE LINES 28-29

.. raw:: html

    <b>1</b>
"""


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """Return what reads a file that a reader can take home."""
    (tmp_path / "plot_01_a.py").write_text(TUTORIAL, "utf-8")
    (tmp_path / "plot_02_b.py").write_text(TUTORIAL, "utf-8")
    found = scripts.tutorials(tmp_path)
    monkeypatch.setattr(downloads, "tutorials", lambda: found)
    (tmp_path / "auto_examples" / "images").mkdir(parents=True)
    for mark in ("", ".zh_CN"):
        (tmp_path / "auto_examples" / "images" / f"a{mark}.png").write_bytes(mark.encode())
    lines = [line for _, _, line in split_code_and_text_blocks(tmp_path / "plot_01_a.py")[1]]
    page = PAGE.replace("LINES 12", f"LINES {lines[1]}").replace("LINES 28", f"LINES {lines[3]}")
    for one in found:
        (tmp_path / "auto_examples" / f"{one.name}.rst").write_text(page, "utf-8")
    config = {"language": "en", "bilingual_base_url": "", "sphinx_gallery_conf": {}}
    downloads.write_downloads(SimpleNamespace(srcdir=tmp_path, config=SimpleNamespace(**config)))
    return lambda name: (tmp_path / "auto_examples" / name).read_text("utf-8")


def test_a_script_in_one_language(downloaded):
    """A script has the words of one language, all of its code, and nothing that is for the gallery."""
    english, chinese = (downloaded(f"{language}/plot_01_a.py") for language in ("en", "zh"))
    assert 'name = "Loss now"\nassert step == 1\n' in english
    assert 'name = "当前损失"\nassert step == 1\n' in chinese
    assert """print(name, f'step {step}', "a | b")""" in english.replace(
        'f"step {step}"', "f'step {step}'"
    )
    assert "第 {step} 步" in chinese
    assert english.startswith('"""\nTitle\n')
    assert "# %%\n# 答案\n# --------------\n#\n# 文字。\n" in chinese
    assert not re.search("[\u4e00-\u9fff]", english)
    assert "Lead" not in chinese
    assert "sphinx_gallery" not in english + chinese + downloaded("both/plot_01_a.py")
    both = downloaded("both/plot_01_a.py")
    assert "Lead" in both
    assert "导语" in both
    for code in (english, chinese, both):
        compile(code, "a.py", "exec")


def test_a_notebook_in_one_language(downloaded):
    """A notebook has its outputs, an id in each cell, links to the others, and folded answers."""
    for language, picture in (("en", ""), ("zh", ".zh_CN"), ("both", "")):
        made = json.loads(downloaded(f"{language}/plot_01_a.ipynb"))
        assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
        install, title, code, answers, last = made["cells"]
        assert len({cell["id"] for cell in made["cells"]}) == 5
        assert install["source"].splitlines()[-1].startswith("%pip install")
        assert "](plot_02_b.ipynb)" in title["source"]
        image, printed = code["outputs"]
        assert base64.b64decode(image["data"]["image/png"]).decode() == picture
        assert printed["text"] == "Loss now 当前损失\n\n  step 1\n"
        assert answers["source"].startswith("<details><summary>")
        assert last["metadata"] == {"jupyter": {"source_hidden": True}}
        assert last["outputs"][0]["data"] == {"text/html": "<b>1</b>"}


def shown(script):
    """Return the code of each block of a script that its page shows."""
    _, blocks = split_code_and_text_blocks(script)
    codes = [code for kind, code, _ in blocks if kind == "code"]
    return [remove_config_comments(remove_ignore_blocks(code)).strip() for code in codes]


@pytest.mark.parametrize("tutorial", scripts.tutorials(), ids=lambda tutorial: tutorial.name)
def test_what_a_page_shows_needs_nothing_that_it_hides(tutorial):
    """Copied from top to bottom a page runs: each name is one that the page defines. No block is long, none empty."""
    blocks = shown(tutorial.path)
    nodes = list(ast.walk(ast.parse("\n".join(blocks))))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    known = {name.id for name in names if isinstance(name.ctx, ast.Store)} | set(dir(builtins))
    known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    known |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    known |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler)}
    known |= {
        (node.asname or node.name).split(".")[0] for node in nodes if isinstance(node, ast.alias)
    }
    assert {name.id for name in names} <= known
    lines = [sum(bool(line.strip()) for line in block.splitlines()) for block in blocks]
    assert min(lines) > 0
    assert max(lines) <= 20
