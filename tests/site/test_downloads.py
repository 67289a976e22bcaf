"""What a reader downloads is whole, and runs on a computer that has never seen this repository."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urljoin

import pytest

LANGUAGES = ("en", "zh")
WARNING = re.compile(r"^.*Warning: .*$", re.M)
RST = re.compile(r"^ *\.\. \S.*$|^.*::\s*$|^.*``.*$|^.*:[a-z]+:`.*$", re.M)
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
"""Code in Markdown: a run of backticks, up to a run as long. Two of them are as good as one."""


def linked(site, page, ending):
    """Return the addresses, below the site, of the downloads that a page links."""
    found = re.findall(rf'href="([^"]*_downloads/[^"]*\.{ending})"', site.text(page))
    return sorted({urljoin(page, one) for one in found})


def download(site, address):
    """Return a file as a reader gets it."""
    status, body = site.fetch(address)
    assert status == 200, address
    return body


@pytest.fixture
def files(site, tutorial):
    """The script and the notebook of a tutorial, downloaded from its English page."""
    page = f"en/auto_examples/{tutorial}.html"
    found = {}
    for ending in ("py", "ipynb"):
        (address,) = linked(site, page, ending)
        assert Path(address).name == f"{tutorial}.{ending}"
        found[ending] = download(site, address)
    return found


@pytest.fixture
def notebook(files):
    """The notebook of a tutorial."""
    return json.loads(files["ipynb"])


def source(cell):
    """Return the text of a cell."""
    return "".join(cell["source"])


def run(folder, code):
    """Run Python code as a script in an empty folder, with no way back into the repository."""
    folder.mkdir()
    script = folder.parent / "downloaded.py"
    script.write_text(code, "utf-8")
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DISPLAY")
    }
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env=environment | {"MPLBACKEND": "Agg", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert WARNING.findall(done.stderr) == []
    assert list(folder.iterdir()) == []
    return done.stdout


def test_script_runs(files, tmp_path):
    """A downloaded script runs without an error or a warning, and leaves no file behind."""
    assert run(tmp_path / "empty", files["py"].decode())


def test_notebook_is_valid(notebook):
    """A notebook has the shape that Jupyter asks for, and carries no output."""
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["language"] == "python"
    for cell in notebook["cells"]:
        assert {"cell_type", "metadata", "source"} <= set(cell)
        assert cell["cell_type"] in ("code", "markdown")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_notebook_says_what_to_install(notebook):
    """The first cell of a notebook installs all that its code imports."""
    install = source(notebook["cells"][0]).splitlines()[-1]
    assert install.startswith("%pip install ")
    code = "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code")
    imported = set(re.findall(r"^(?:import|from) (\w+)", code, re.M)) - sys.stdlib_module_names
    assert imported - set(re.findall(r"(?<![\w-])[a-z]+", install)) == set()


def test_notebook_has_no_raw_markup(notebook):
    """The text of a notebook is Markdown, of which a reader sees no leftover of another markup."""
    texts = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    assert texts
    assert [line for text in texts for line in RST.findall(CODE.sub("", text))] == []


def test_download_is_bilingual(files):
    """Script and notebook carry both languages, whichever page they come from."""
    for body in files.values():
        text = (
            json.dumps(json.loads(body), ensure_ascii=False) if body[:1] == b"{" else body.decode()
        )
        assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 200
        assert len(re.findall(r"\b(?:the|of|and|is)\b", text)) > 20


def test_both_languages_offer_the_same_files(site, tutorial):
    """The Chinese page links the files that the English page links."""
    for ending in ("py", "ipynb", "zip"):
        contents = []
        for language in LANGUAGES:
            (address,) = linked(site, f"{language}/auto_examples/{tutorial}.html", ending)
            contents.append(
                (
                    Path(address).name,
                    members(site, address) if ending == "zip" else download(site, address),
                )
            )
        assert contents[0] == contents[1]


def members(site, address):
    """Return the files in a zip, by name."""
    with zipfile.ZipFile(io.BytesIO(download(site, address))) as archive:
        return {Path(name).name: archive.read(name) for name in archive.namelist()}


def test_zip_of_a_tutorial(site, files, tutorial):
    """The zip of a tutorial holds its script and its notebook, the same as alone."""
    (address,) = linked(site, f"en/auto_examples/{tutorial}.html", "zip")
    held = members(site, address)
    assert held == {f"{tutorial}.{ending}": body for ending, body in files.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_zips_of_all(site, language):
    """The list of tutorials offers every script in one zip, and every notebook in another."""
    held = {}
    for address in linked(site, f"{language}/auto_examples/index.html", "zip"):
        held |= members(site, address)
    pages = [path.stem for path in site.root.glob(f"{language}/auto_examples/plot_*.html")]
    assert sorted(held) == sorted(
        f"{page}.{ending}" for page in pages for ending in ("py", "ipynb")
    )
    for page in pages:
        for ending in ("py", "ipynb"):
            (address,) = linked(site, f"{language}/auto_examples/{page}.html", ending)
            assert held[f"{page}.{ending}"] == download(site, address)


@pytest.mark.parametrize("language", LANGUAGES)
def test_wheel_is_offered(site, tutorial, language):
    """A tutorial links the wheel of the package that it was made with, of the version installed here."""
    page = f"{language}/auto_examples/{tutorial}.html"
    (address,) = {urljoin(page, one) for one in re.findall(r'href="([^"]*\.whl)"', site.text(page))}
    assert Path(address).name == f"optimkit-{version('optimkit')}-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(download(site, address))) as wheel:
        assert wheel.testzip() is None
        assert "optimkit/__init__.py" in wheel.namelist()
