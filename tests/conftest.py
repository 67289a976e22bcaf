"""Golden outputs, compared with a file and written only when asked; and the crash tests' length."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser):
    """Add the flags."""
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden outputs anew, then look"
    )
    parser.addoption(
        "--full", action="store_true", help="crash tests: 200 kills at 50 MB, as nox -s crash does"
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
