"""Build the site: both languages aside, then put in place of the last one.

python docs/_ext/publish.py            build docs/_build/site/
python docs/_ext/publish.py --serve    the same, serve it, build again when a file changes
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from html import unescape
from importlib.metadata import distributions
from pathlib import Path
from string import Template

from bilingual.languages import LANGUAGES
from gallery.downloads import build_wheel
from gallery.scripts import digest

DOCS = Path(__file__).parents[1]
BUILD = DOCS / "_build"
SITE = BUILD / "site"
NEXT = BUILD / "next"
WATCHED = ("docs", "examples", "src")
UNUSED = (
    *("*.map", "webpack-macros.html", "theme.css"),  # what the theme is made from
    *("fontawesome*",),  # our icons are in optimkit.css
    *("searchtools.js", "language_data.js", "*-stemmer.js"),  # Sphinx's own search
    *("sg_gallery*", "binder_*", "jupyterlite_*", "broken_*", "no_image.png"),  # the gallery's look
    *("_sources", ".buildinfo*", ".doctrees"),
)
"""What the tools write and no page asks for."""
RULE = re.compile(r"([^{}]+)\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
"""A rule of a stylesheet, or a group of rules."""
CLASS = re.compile(r"[.#](-?[A-Za-z_][\w-]*)")
OPTIONAL = re.compile(r":(?:not|is|where)\([^()]*\)")


def build_languages() -> int:
    """Build each language in a process of its own, since Sphinx keeps some words of the one before.

    They share the scripts. Return an exit code that is not zero, if there is one.
    """
    builds: dict[tuple[Path, Path], subprocess.Popen[bytes]] = {}
    for one in LANGUAGES:
        trees, pages = made = BUILD / "doctrees" / one.path, NEXT / one.path
        command = [sys.executable, "-m", "sphinx", "-W", "-q", "-d", trees, DOCS, pages]
        builds[made] = subprocess.Popen(command, env=os.environ | {"OPTIMKIT_LANGUAGE": one.sphinx})
    codes = [build.wait() for build in builds.values()]
    for code, made in zip(codes, builds, strict=True):
        if code:
            # Sphinx would hold what it has read to be up to date, and would not warn again.
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)
    return next(filter(None, codes), 0)


def write_root() -> None:
    """Write what is above both languages: the door, the page for a wrong address, what robots read."""
    base = os.environ.get("OPTIMKIT_BASE_URL", "").rstrip("/")
    pages = titles()
    words = {
        "base": base,
        "pages": json.dumps(pages, ensure_ascii=False),
        "urls": "\n".join(f"<url><loc>{base}/{page}</loc></url>" for page in pages),
        "list": "\n".join(f"- [{title}]({base or '.'}/{page})" for page, title in pages.items()),
        "links": "\n".join(
            f'<a lang="{one.tag}" hreflang="{one.tag}" href="{one.path}/index.html">{one.name}</a>'
            for one in LANGUAGES
        ),
    }
    for page in (DOCS / "_root").iterdir():
        text = page.read_text("utf-8")
        (NEXT / page.name).unlink(missing_ok=True)
        if base or "$base" not in text:
            (NEXT / page.name).write_text(Template(text).safe_substitute(words), "utf-8")
    (NEXT / ".nojekyll").touch()


def titles() -> dict[str, str]:
    """Return the title of each page of text, by its address."""
    found = {}
    for page in sorted(path for one in LANGUAGES for path in (NEXT / one.path).rglob("*.html")):
        title = re.search(r"<title>(.*?) &#8212;", page.read_text("utf-8"))
        if title and page.stem not in ("genindex", "search"):
            found[page.relative_to(NEXT).as_posix()] = unescape(title[1]).split(" · ")[0]
    return found


def swap() -> None:
    """Put the new site in the place of the last one; the last one stays until the new one is there."""
    fresh, old = BUILD / "fresh", BUILD / "old"
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(NEXT, fresh, ignore=shutil.ignore_patterns(*UNUSED))
    texts = [path.read_text("utf-8") for end in ("html", "js") for path in fresh.rglob(f"*.{end}")]
    names = {name for text in texts for name in re.findall(r"[\w-]+", text)}
    for path in (*fresh.glob("*/_static/styles/*.css"), *fresh.glob("*/_static/basic.css")):
        path.write_text(cut(path.read_text("utf-8"), names), "utf-8")
    if SITE.exists():
        SITE.rename(old)
    fresh.rename(SITE)
    shutil.rmtree(old, ignore_errors=True)


def cut(css: str, names: set[str]) -> str:
    """Return the rules of which a selector has no class and no id but some of `names`."""
    left = []
    for head, body in RULE.findall(re.sub(r"/\*[^!].*?\*/", "", css, flags=re.S)):
        kept = head.strip()
        if kept.startswith(("@media", "@supports", "@container")):
            body = cut(body, names)
        elif kept.startswith("@font-face"):
            body = ""
        elif not kept.startswith("@"):
            selectors = re.split(r",(?![^(]*\))", kept)
            kept = ",".join(
                one for one in selectors if names.issuperset(CLASS.findall(OPTIONAL.sub("", one)))
            )
        if kept and body:
            left.append(f"{kept}{{{body}}}")
    return "".join(left)


def inputs() -> str:
    """Return a checksum of all that the site is made from: files, tools, its address."""
    generated = (BUILD, DOCS / "auto_examples")
    paths = [
        path
        for folder in WATCHED
        for path in (DOCS.parent / folder).rglob("*")
        if path.is_file() and path.suffix not in {".mo", ".pyc"}
        if not any(path.is_relative_to(one) for one in generated)
    ]
    tools = sorted(f"{tool.name} {tool.version}" for tool in distributions())
    return " ".join([digest(paths), *tools, os.environ.get("OPTIMKIT_BASE_URL", "")])


def build() -> int:
    """Build both languages and publish them, or leave the last site alone."""
    started = time.perf_counter()
    made_from, record = inputs(), BUILD / "made_from.txt"
    if SITE.exists() and record.exists() and record.read_text("utf-8") == made_from:
        print(f"Nothing has changed since it was built: {SITE / 'index.html'}")
        return 0
    NEXT.mkdir(parents=True, exist_ok=True)
    # One thread: the tutorials' tensors are small, and their numbers are then the same everywhere.
    os.environ["OMP_NUM_THREADS"] = "1"
    if code := build_languages():
        print(f"\nThe build failed; {SITE} is what it was.", file=sys.stderr)
        return code
    build_wheel(NEXT)
    write_root()
    swap()
    record.write_text(made_from, "utf-8")
    print(f"\nBuilt in {time.perf_counter() - started:.0f} s: {SITE / 'index.html'}")
    print("To read it with search and all: nox -s serve")
    return 0


def serve(port: int) -> int:
    """Serve the site on this machine only, and build it again in a process of its own on each change."""
    from watchfiles import DefaultFilter, watch

    rebuild = partial(subprocess.run, [sys.executable, __file__], check=False)
    rebuild()
    address = ["--bind", "127.0.0.1", "--directory", SITE, str(port)]
    with subprocess.Popen([sys.executable, "-u", "-m", "http.server", *address]):
        ours = DefaultFilter(ignore_paths=(str(BUILD), str(DOCS / "auto_examples")))
        for _ in watch(*(DOCS.parent / name for name in WATCHED), watch_filter=ours):
            rebuild()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="serve the site and follow changes")
    parser.add_argument("--port", type=int, default=8000, help="port of 127.0.0.1 (0: any)")
    arguments = parser.parse_args()
    return serve(arguments.port) if arguments.serve else build()


if __name__ == "__main__":
    sys.exit(main())
