"""What every public name owes its reader: a whole docstring, an example, a reference page."""

import inspect
import re
from pathlib import Path
from pkgutil import resolve_name

import numpydoc.validate
import pytest

import optimkit

ROOT = Path(__file__).parents[1]
REFERENCE = "\n".join(
    page.read_text("utf-8") for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
)
CALLS = (ROOT / "tests" / "typing" / "calls.py").read_text("utf-8")
NAMES = sorted(
    {f"optimkit.{name}" for name in optimkit.__all__}
    | set(re.findall(r"auto(?:class|exception|function|data):: (optimkit\.\S+)", REFERENCE))
)
# What numpydoc asks beyond this project's taste: a second summary, cross-references, one style.
NOT_ASKED = {"EX01", "ES01", "SA01", "GL01", "GL08", "SS06", "RT03", "PR02", "PR09"}


def signed(name: str) -> bool:
    """Return whether a name is that of a class or function, so has parameters to document."""
    return inspect.isclass(resolve_name(name)) or inspect.isroutine(resolve_name(name))


@pytest.mark.parametrize("name", list(filter(signed, NAMES)))
def test_docstring_is_whole(name):
    """The docstring has every section that numpydoc expects of it."""
    found = numpydoc.validate.validate(name)["errors"]
    assert [text for code, text in found if code not in NOT_ASKED] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.count(".") == 1])
def test_docstring_has_an_example(name):
    """The docstring shows a use that the doctest session runs; that of Selector, all four."""
    found = resolve_name(name)
    if isinstance(found, optimkit.Selector):
        assert name.removeprefix("optimkit.") in optimkit.Selector.__doc__
        found = optimkit.Selector
    assert ">>> " in (inspect.getdoc(found) or "")


@pytest.mark.parametrize("name", [name for name in NAMES if name.count(".") == 1])
def test_name_has_a_place_in_the_reference(name):
    """A public name is on a page of the reference, by itself or as its class of origin."""
    origin = resolve_name(name)
    known = {name, f"{getattr(origin, '__module__', '')}.{getattr(origin, '__qualname__', '')}"}
    known.add(name.removeprefix("optimkit."))  # after py:currentmodule
    assert any(re.search(rf":: {re.escape(one)}$", REFERENCE, re.MULTILINE) for one in known)


@pytest.mark.parametrize("name", optimkit.__all__)
def test_name_has_a_typed_call(name):
    """A public name is in the file of calls that mypy checks."""
    assert re.search(rf"\boptimkit\.{name}\b", CALLS)
