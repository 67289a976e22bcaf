"""Golden outputs: compared with a file, and written only when asked."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    """Add the flag."""
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden outputs anew, then look"
    )


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
