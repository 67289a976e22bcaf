"""Build the site: both languages aside, then searched, then put in place of the last one.

python docs/_ext/publish.py            build docs/_build/site/
python docs/_ext/publish.py --serve    the same, serve it, build again when a file changes
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import distributions
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from string import Template

from bilingual.languages import LANGUAGES, Language
from gallery import turns
from gallery.freshness import digest
from gallery.wheel import build_wheel

DOCS = Path(__file__).parents[1]
BUILD = DOCS / "_build"
SITE = BUILD / "site"
NEXT = BUILD / "next"
FIRST = LANGUAGES[0]
"""The one whose build runs the scripts."""
WATCHED = ("docs", "examples", "src")
UNUSED = (
    *("*.map", "webpack-macros.html"),  # what the theme is made from
    *("searchtools.js", "language_data.js", "*-stemmer.js"),  # Sphinx's own search
    *("sg_gallery*", "binder_*", "jupyterlite_*", "broken_*", "no_image.png"),  # the gallery's look
    *("_sources", ".buildinfo*", ".doctrees", "pagefind-*-ui.*", "pagefind-highlight.js"),
)
"""What the tools write and no page asks for."""


def build_language(language: Language, is_generated: Event) -> None:
    """Build one language aside; exit with Sphinx's code.

    Each has a process of its own: in one, Sphinx keeps some words of the first language. The first
    one speaks; what the others have to say is kept, so that two do not speak at once.
    """
    turns.take(is_generated, is_first=language == FIRST)
    if language != FIRST:
        with said(language).open("w") as kept:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(kept.fileno(), stream.fileno())
    # One thread: the tutorials' tensors are small, and their numbers are then the same everywhere.
    os.environ |= {"OPTIMKIT_LANGUAGE": language.sphinx, "OMP_NUM_THREADS": "1"}
    from sphinx.cmd.build import main

    code = main(
        ["-W", "--keep-going", "-q", "-b", "html"]
        + ["-d", str(BUILD / "doctrees" / language.path), str(DOCS), str(NEXT / language.path)]
    )
    gc.unfreeze()  # some libraries report what is left when Python ends
    sys.exit(code)


def said(language: Language) -> Path:
    """Return where the build of a language keeps what it has to say."""
    return BUILD / f"{language.path}.log"


def build_languages() -> int:
    """Build every language, as far as they go at the same time; return Sphinx's exit code.

    What comes after a language does so while the next one is still at work.
    """
    context = get_context("spawn")
    is_generated = context.Event()
    builds = {
        language: context.Process(target=build_language, args=(language, is_generated))
        for language in LANGUAGES
    }
    for one in builds.values():
        one.start()
    try:
        for language, one in builds.items():
            print(f"\n{language.name}", flush=True)
            one.join()
            if language != FIRST:
                sys.stderr.write(said(language).read_text("utf-8", "replace"))
            if one.exitcode:
                return one.exitcode
            index_search(language)
            if language == FIRST:
                build_wheel(NEXT)
    finally:
        for language, one in builds.items():
            one.terminate()
            one.join()
            if one.exitcode:
                forget(language)
    return 0


def forget(language: Language) -> None:
    """Take away what a failed build has read and written.

    Sphinx would hold it to be up to date, and the next build would not warn again.
    """
    for folder in (BUILD / "doctrees", NEXT):
        shutil.rmtree(folder / language.path, ignore_errors=True)


def index_search(language: Language) -> None:
    """Write the search index of one language, of what its readers see and no more."""
    import asyncio

    from pagefind.index import IndexConfig, PagefindIndex

    async def index() -> None:
        folder = NEXT / language.path
        config = IndexConfig(
            root_selector="article.bd-article",
            exclude_selectors=[".bi-other", ".headerlink", ".prev-next-footer", "nav"],
            output_path=str(folder / "pagefind"),
            force_language=language.path,
        )
        async with PagefindIndex(config=config) as pagefind:
            await pagefind.add_directory(
                str(folder), glob="{index,start,glossary,promises,*/**/*}.html"
            )

    shutil.rmtree(NEXT / language.path / "pagefind", ignore_errors=True)
    asyncio.run(index())


def write_root() -> None:
    """Write the pages above both languages: the door, and the page for a wrong address."""
    links = "\n".join(
        f'<a lang="{one.tag}" hreflang="{one.tag}" href="{one.path}/index.html">{one.name}</a>'
        for one in LANGUAGES
    )
    for page in (DOCS / "_root").iterdir():
        text = page.read_text("utf-8")
        if page.suffix == ".html":
            text = Template(text).safe_substitute(links=links)
        (NEXT / page.name).write_text(text, "utf-8")
    (NEXT / ".nojekyll").touch()


def swap() -> None:
    """Put the new site in the place of the last one; the last one stays until the new one is there."""
    old = BUILD / "old"
    shutil.rmtree(old, ignore_errors=True)
    fresh = BUILD / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(NEXT, fresh, ignore=shutil.ignore_patterns(*UNUSED))
    if SITE.exists():
        SITE.rename(old)
    fresh.rename(SITE)
    shutil.rmtree(old, ignore_errors=True)


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
    if code := build_languages():
        print(f"\nThe build failed; {SITE} is what it was.", file=sys.stderr)
        return code
    write_root()
    swap()
    record.write_text(made_from, "utf-8")
    print(f"\nBuilt in {time.perf_counter() - started:.0f} s: {SITE / 'index.html'}")
    print("To read it with search and all: nox -s serve")
    return 0


def serve(port: int) -> int:
    """Serve the site on this machine only, and build it again in a process of its own on each change."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from watchfiles import DefaultFilter, watch

    generated = (str(BUILD), str(DOCS / "auto_examples"))
    subprocess.run([sys.executable, __file__], check=False)
    handler = partial(SimpleHTTPRequestHandler, directory=str(SITE))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"\nhttp://127.0.0.1:{server.server_port}/  (Ctrl+C stops)", flush=True)
    ours = DefaultFilter(ignore_paths=generated)
    for _ in watch(*(DOCS.parent / name for name in WATCHED), watch_filter=ours):
        subprocess.run([sys.executable, __file__], check=False)
    return 0


def main() -> int:
    """Read the command line, build, and serve if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="serve the site and follow changes")
    parser.add_argument("--port", type=int, default=8000, help="port of 127.0.0.1 (0: any)")
    arguments = parser.parse_args()
    return serve(arguments.port) if arguments.serve else build()


if __name__ == "__main__":
    sys.exit(main())
