"""Run a script again when what it shows could change: it, the package, torch, or the figures' style.

sphinx-gallery looks at the script alone. Taking away its checksum makes it look again.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from sphinx.application import Sphinx

__all__ = ["forget_stale", "remember_fresh"]

ROOT = Path(__file__).parents[3]
RECORD = "fingerprints.json"


def digest(paths: list[Path]) -> str:
    """Return one checksum of the contents of some files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def fingerprints() -> dict[str, str]:
    """Return, for each script, a fingerprint of all that it depends on but its own text."""
    shared = f"{version('torch')} {version('matplotlib')} {digest([*Path(__file__).parent.glob('*.py')])}"
    package = digest([*(ROOT / "src").rglob("*.py")])
    return {
        script.name: f"{shared} {package}" if "optimkit" in script.read_text("utf-8") else shared
        for script in (ROOT / "examples").glob("plot_*.py")
    }


def forget_stale(app: Sphinx) -> None:
    """Take away the checksums of scripts that something else has made stale, and pages of none."""
    target = Path(app.srcdir) / "auto_examples"
    scripts = fingerprints()
    record = target / RECORD
    known = json.loads(record.read_text("utf-8")) if record.exists() else {}
    for script, fingerprint in scripts.items():
        if known.get(script) != fingerprint:
            (target / f"{script}.md5").unlink(missing_ok=True)
    for gone in {path.name for path in target.glob("plot_*.py")} - set(scripts):
        for made in target.glob(f"{Path(gone).stem}.*"):
            made.unlink()


def remember_fresh(app: Sphinx) -> None:
    """Note what the scripts depended on, now that the gallery has run them."""
    target = Path(app.srcdir) / "auto_examples"
    (target / RECORD).write_text(json.dumps(fingerprints(), indent=1), "utf-8")
