"""Check Chinese typography with autocorrect: spaces beside Latin, full-width punctuation.

python docs/_ext/typography.py
"""

import subprocess
import sys
from pathlib import Path

import autocorrect_py

ROOT = Path(__file__).parents[2]
KINDS = {".md": "markdown", ".py": "python", ".rst": "rst", ".po": "gettext", ".html": "html"}


def main() -> int:
    """Look through all files of the repository that can hold Chinese; print what should change."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "docs", "examples", "README*"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [
        f"{path.relative_to(ROOT)}:{line.line}: {line.old!r} -> {line.new!r}"
        for path in map(ROOT.joinpath, names.splitlines())
        if path.suffix in KINDS and path.exists()
        for line in autocorrect_py.lint_for(path.read_text("utf-8"), KINDS[path.suffix]).lines
    ]
    print("\n".join(found) or "nothing to correct")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
