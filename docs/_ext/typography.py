"""Check Chinese typography with autocorrect: spaces beside Latin, full-width punctuation.

python docs/_ext/typography.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import autocorrect_py

ROOT = Path(__file__).parents[2]
KINDS = {".md": "markdown", ".py": "python", ".rst": "rst", ".po": "gettext", ".html": "html"}


def findings(path: Path) -> list[str]:
    """Return what autocorrect would change in a file, a line each."""
    result = autocorrect_py.lint_for(path.read_text("utf-8"), KINDS[path.suffix])
    return [
        f"{path.relative_to(ROOT)}:{line.line}: {line.old!r} -> {line.new!r}"
        for line in result.lines
    ]


def main() -> int:
    """Look through all files of the repository that can hold Chinese."""
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "README.zh-CN.md", "docs", "examples"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = [ROOT / name for name in tracked if Path(name).suffix in KINDS]
    found = [row for path in paths if path.exists() for row in findings(path)]
    print("\n".join(found) or f"{len(paths)} files, nothing to correct")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
