"""The shape of the house: what CONTRIBUTING draws is what stands here, and no room outgrows its plan."""

import ast
import re
from pathlib import Path
from pkgutil import walk_packages

import pytest

import optimkit

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "optimkit"
FILES = sorted(PACKAGE.rglob("*.py"))
PUBLIC_MODULES = {"optimkit.__main__", "optimkit.checkpoint", "optimkit.checkpoint.distributed"}
LONGEST = 45


def drawn() -> list[str]:
    """Read the tree in CONTRIBUTING: a folder ends in a slash, its files are indented below it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    tree = re.search(r"```text\nsrc/optimkit/\n(.*?)```", text, re.DOTALL)[1]
    folders, found = [PACKAGE], []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        if name.endswith("/"):
            folders[depth + 1 :] = [folders[depth] / name]
        else:
            found.append(folders[depth] / name)
    return sorted(found)


def test_the_tree_in_contributing_is_the_tree():
    """Each file of the package has its line, and each line its file."""
    assert drawn() == [
        path for path in FILES if path.name != "__init__.py" or path.parent == PACKAGE
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_fit_a_screen(path):
    """No function has more than 45 lines, its docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node, clean=False)
            first = node.body[0]
            words = first.end_lineno - first.lineno + 1 if text is not None else 0
            assert node.end_lineno - node.lineno + 1 - words <= LONGEST, node.name


def test_modules_are_private_by_name():
    """What a user can import is what is documented; to move any other file breaks no one."""
    modules = {module.name for module in walk_packages(optimkit.__path__, "optimkit.")}
    public = {name for name in modules if not any(part.startswith("_") for part in name.split("."))}
    assert public | {"optimkit.__main__"} == PUBLIC_MODULES


@pytest.mark.parametrize("name", optimkit.__all__)
def test_names_say_where_they_are_imported_from(name):
    """A traceback, a pickle and ``help`` name ``optimkit``, not the file."""
    found = getattr(optimkit, name)
    if not isinstance(found, optimkit.Selector):
        assert found.__module__ == "optimkit"
