"""What READMEs and landing page show of the kit is what it prints."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [pytest.param("describe", marks=pytest.mark.since("decoupled_weight_decay")), "audit"],
)
def test_pictures_of_the_readmes(name):
    """Each picture is what the kit prints now; if not, run python docs/pictures.py."""
    made = runpy.run_path(str(ROOT / "docs" / "pictures.py"))["pictures"]()
    picture = ROOT / "docs" / "_readme" / f"{name}.svg"
    assert picture.read_text("utf-8") == made[name]
    assert picture.stat().st_size < 20_000
    assert "url(http" not in made[name].replace('"', "")
    for readme in ("README.md", "README.zh-CN.md"):
        assert f"docs/_readme/{name}.svg" in (ROOT / readme).read_text("utf-8")


def test_landing_page():
    """The landing page shows beside its code what that code prints."""
    page = (ROOT / "docs" / "index.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (output,) = re.findall(r"```text\n(.*?)```", page, re.S)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "index.md", "exec"), {})
    assert printed.getvalue() == output
