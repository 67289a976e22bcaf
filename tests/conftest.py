"""Golden outputs, written only when asked; what a torch lacks is skipped; the crash tests' length."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # what several folders need, such as sections

GOLDEN = Path(__file__).parent / "golden"
CHANGES = tomllib.loads((Path(__file__).parents[1] / "docs" / "versions.toml").read_text("utf-8"))


def pytest_addoption(parser):
    """Add the flags."""
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden outputs anew, then look"
    )
    parser.addoption(
        "--full", action="store_true", help="crash tests: 200 kills at 50 MB, as nox -s crash does"
    )


def pytest_configure(config):
    """Name the marker."""
    config.addinivalue_line(
        "markers", "since(change): skip on a torch that lacks it, by docs/versions.toml"
    )


def pytest_collection_modifyitems(items):
    """Skip what needs a newer torch: a test says so, or a parameter that is named after a change."""
    now = [int(number) for number in torch.__version__.split(".")[:2]]
    for item in items:
        named = [mark.args[0] for mark in item.iter_markers("since")]
        named += CHANGES.keys() & set(re.findall(r"\w+", item.name.partition("[")[2]))
        for change in named:
            since = CHANGES[change]["since"]
            if now < [int(number) for number in since.split(".")]:
                item.add_marker(pytest.mark.skip(reason=f"{change}: since torch {since}"))


@pytest.fixture
def golden(request):
    """Return a function that compares a text with the golden file of a name."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == path.read_text(encoding="utf-8")

    return compare
