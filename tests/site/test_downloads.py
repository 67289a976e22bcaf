"""What a reader downloads is whole, and runs on a computer that has never seen this repository."""

import ast
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
TUTORIALS_RUN = ("plot_05_step", "plot_12_resume", "plot_22_several_devices")
"""Plain, with files, with processes of its own."""
WARNING = re.compile(r"^.*Warning: .*$", re.M)
RST = re.compile(r"^ *\.\. \S.*$|^.*::\s*$|^.*``.*$|^.*:[a-z]+:`.*$", re.M)
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
"""Code in Markdown: a run of backticks, up to a run as long. Two of them are as good as one."""


def linked(site, page, ending):
    """Return the addresses, below the site, of the downloads that a page links, in its order."""
    found = re.findall(rf'href="([^"]*_downloads/[^"]*\.{ending})"', site.text(page))
    return list(dict.fromkeys(urljoin(page, one) for one in found))


def download(site, address):
    """Return a file as a reader gets it."""
    status, body = site.fetch(address)
    assert status == 200, address
    return body


@pytest.fixture(params=["en", "zh"])
def language(request):
    """A language of the site."""
    return request.param


@pytest.fixture
def files(site, tutorial, language):
    """The script and the notebook of a tutorial in the language of the page that links them."""
    page = f"{language}/auto_examples/{tutorial}.html"
    found = {}
    for ending in ("py", "ipynb"):
        addresses = linked(site, page, ending)
        assert [Path(address).name for address in addresses] == [f"{tutorial}.{ending}"] * 2
        found[ending], found[f"both {ending}"] = (download(site, one) for one in addresses)
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


@pytest.mark.parametrize("name", TUTORIALS_RUN)
def test_script_runs(site, tmp_path, name):
    """A downloaded script runs without an error or a warning, and leaves no file behind.

    ``nox -s notebooks`` runs the same code in English, for every tutorial.
    """
    script = download(site, linked(site, f"zh/auto_examples/{name}.html", "py")[0])
    assert run(tmp_path / "empty", script.decode())


class Words(ast.NodeTransformer):
    """Takes the words out of code, and leaves what runs."""

    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        parts = [self.visit(part) for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.JoinedStr(sorted(parts, key=ast.dump))


def test_script_is_the_same_in_both_languages(site, tutorial):
    """The scripts of the two languages differ in words alone: what runs in one runs in the other."""
    scripts = [
        download(site, linked(site, f"{language}/auto_examples/{tutorial}.html", "py")[0])
        for language in LANGUAGES
    ]
    english, chinese = (ast.dump(Words().visit(ast.parse(script))) for script in scripts)
    assert english == chinese


def test_notebook_is_valid(notebook):
    """A notebook has the shape of format 4.5, and carries what each cell printed and drew."""
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["language"] == "python"
    kinds = set()
    for cell in notebook["cells"]:
        assert {"id", "cell_type", "metadata", "source"} <= set(cell)
        assert cell["cell_type"] in ("code", "markdown")
        kinds |= {kind for output in cell.get("outputs", ()) for kind in output.get("data", ())}
        kinds |= {output["output_type"] for output in cell.get("outputs", ())}
    assert {"stream", "image/png"} <= kinds
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert any(cell["source"].startswith("<details>") for cell in notebook["cells"])


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


def test_download_is_in_one_language(files, language):
    """Script and notebook speak the language of their page; those in both languages speak both."""
    for name, body in files.items():
        text = body.decode()
        prose = "\n".join(line for line in text.splitlines() if line.startswith("#"))
        if name.endswith("ipynb"):
            cells = json.loads(text)["cells"][1:]
            text = "\n".join(source(cell) for cell in cells)
            prose = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
        chinese = len(re.findall(r"[\u4e00-\u9fff]", text))
        english = len(re.findall(r"\b(?:the|of|and|is)\b", prose))
        if name.startswith("both"):
            assert chinese > 200
            assert english > 20
        elif language == "en":
            assert chinese <= len(re.findall("CJK", text))
            assert english > 20
        else:
            assert chinese > 200
            assert english < 20


def members(site, address):
    """Return the files in a zip, by name."""
    with zipfile.ZipFile(io.BytesIO(download(site, address))) as archive:
        return {Path(name).name: archive.read(name) for name in archive.namelist() if "." in name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_zips_of_all(site, language):
    """The list of tutorials offers all files of its language in one zip, those of both in another."""
    page = f"{language}/auto_examples/index.html"
    held = {Path(one).name: members(site, one) for one in linked(site, page, "zip")}
    assert set(held) == {f"tutorials.{language}.zip", "tutorials.both.zip"}
    pages = [path.stem for path in site.root.glob(f"{language}/auto_examples/plot_*.html")]
    for files in held.values():
        assert sorted(files) == sorted(f"{page}.{end}" for page in pages for end in ("py", "ipynb"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_wheel_is_offered(site, tutorial, language):
    """A tutorial links the wheel of the package that it was made with, of the version installed here."""
    page = f"{language}/auto_examples/{tutorial}.html"
    (address,) = {urljoin(page, one) for one in re.findall(r'href="([^"]*\.whl)"', site.text(page))}
    assert Path(address).name == f"optimkit-{version('optimkit')}-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(download(site, address))) as wheel:
        assert wheel.testzip() is None
        assert "optimkit/__init__.py" in wheel.namelist()
