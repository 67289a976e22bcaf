"""The tutorials' scripts: what each says of itself, which to run again, and which build runs it.

sphinx-gallery looks at the script alone. Taking away its checksum makes it look again when the
package, torch, or the figures' style has changed.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout
from sphinx.application import Sphinx
from sphinx_gallery.gen_rst import generate_file_rst

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "examples"
RECORD = "made_with.txt"
NEEDS = (
    r"[*-] (Level: \w+\. Time: (?P<minutes>\d+) minutes\. Needs: \S.*(?:\n +\S.*)*)",
    r"[*-] (难度：\w+。用时：(?P<minutes>\d+) 分钟。预备：\S.*(?:\n +\S.*)*)",
)
"""How a script says whom it is for, at the end of what its reader will learn."""


@dataclass(frozen=True)
class Tutorial:
    """What a card says of a script."""

    path: Path
    source: str
    title: str
    lead: tuple[str, str]
    needs: tuple[str, str]
    thumbnail: int
    uses: frozenset[str]
    """The names of the kit that it uses."""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        """Its place on the path, as other tutorials call it."""
        return self.name.split("_")[1]


def tutorials(folder: Path = SCRIPTS) -> list[Tutorial]:
    """Read the scripts of a folder, in their order."""
    return [read(path, path.read_text("utf-8")) for path in sorted(folder.glob("plot_*.py"))]


@lru_cache
def read(path: Path, source: str) -> Tutorial:
    """Read the title and the two lead paragraphs of a script, once while it stays as it is."""
    tree = ast.parse(source)
    blocks = re.split(r"\n\s*\n", (ast.get_docstring(tree) or "").strip())
    if len(blocks) < 3:
        raise ValueError(
            f"{path}:1: expected a docstring with a title, an English lead and its Chinese twin, "
            f"found {len(blocks)} blocks"
        )
    english, chinese = (re.search(pattern, source) for pattern in NEEDS)
    if not english or not chinese or english["minutes"] != chinese["minutes"]:
        raise ValueError(
            f"{path}: expected, at the end of both lists of what you will learn, "
            "'Level: beginner. Time: 15 minutes. Needs: tutorial 01.' and "
            "'难度：入门。用时：15 分钟。预备：教程 01。'"
        )
    number = re.search(r"sphinx_gallery_thumbnail_number = (\d+)", source)
    return Tutorial(
        path=path,
        source=source,
        title=blocks[0].splitlines()[0],
        lead=(blocks[1], blocks[2]),
        needs=(" ".join(english[1].split()), " ".join(chinese[1].split())),
        thumbnail=int(number[1]) if number else 1,
        uses=frozenset(names_used(tree)),
    )


def names_used(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a script imports from the kit, or takes from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "optimkit":
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("optimkit."):
            yield node.attr


def digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


def fingerprint() -> str:
    """Return what all scripts depend on but their own text: the package, torch, the figures' style."""
    sources = [*(ROOT / "src").rglob("*.py"), *Path(__file__).parent.glob("figures.*")]
    return f"{version('torch')} {version('matplotlib')} {digest(sources)}"


def forget_stale(app: Sphinx) -> None:
    """Take away the checksums of scripts that something else has made stale, and pages of none."""
    target, made_with = Path(app.srcdir, "auto_examples"), fingerprint()
    record = target / RECORD
    with alone(app.srcdir):
        if not record.exists() or record.read_text("utf-8") != made_with:
            for checksum in target.glob("*.md5"):
                checksum.unlink()
            record.write_text(made_with, "utf-8")
        for page in target.glob("plot_*.py"):
            if not (SCRIPTS / page.name).exists():
                for made in target.glob(f"{page.stem}.*"):
                    made.unlink()


@lru_cache  # a lock that nobody keeps is let go of
def alone(source: Path, what: str = "gallery") -> FileLock:
    """Return a lock: of the builds of both languages, one holds it at a time, until it ends at the latest."""
    return FileLock(Path(source, "auto_examples", f"{what}.lock"))


def share(app: Sphinx) -> None:
    """Run each script that the build of the other language has not begun; wait until it has run the rest.

    What the gallery writes of all of them, it then writes alone.
    """
    folder, conf = Path(app.srcdir, "auto_examples"), app.config.sphinx_gallery_conf
    found, elsewhere = tutorials(), []
    for tutorial in found[7:] + found[:7]:  # the short ones last: the wait is short, too
        try:
            with alone(app.srcdir, tutorial.name).acquire(blocking=False):
                generate_file_rst(tutorial.path.name, folder, SCRIPTS, conf)
        except Timeout:
            elsewhere.append(tutorial)
    for tutorial in elsewhere:
        with alone(app.srcdir, tutorial.name):
            if not (folder / f"{tutorial.path.name}.md5").exists():
                raise SystemExit(f"{tutorial.path} failed in the build of the other language")
    alone(app.srcdir).acquire()
