"""The built site, served under a sub-path of this machine, and a real browser that reads it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

SUB_PATH = "/anything/"
# The shell is the same engine without a window around it: a page opens in a third of the time.
CHROMIUM_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NO_CHROMIUM = (
    "These tests read the site in Chromium, and there is none on PATH. Install it with "
    "'apt-get install chromium-headless-shell fonts-noto-cjk' (or chromium), or set OPTIMKIT_CHROMIUM to where it is."
)
SAMPLE = (
    *("/index.html", "plot_05_step.html", "reference/inspection.html", "glossary.html"),
    "coverage.html",
)
TUTORIAL_SAMPLE = ["plot_01_gradient_descent", "plot_06_add_param_group", "plot_12_resume"]
NOTHING = "nothing-is-built"
"""Stands for the pages of a site that is missing, so that its tests fail and do not vanish."""

AXE = {"resultTypes": ["violations"], "preload": False}
"""Without preload axe asks for no file: it would look for imported style sheets in the wrong folder."""
BUT_COLOURS = AXE | {"rules": {"color-contrast": {"enabled": False}}}
COLOURS = AXE | {"runOnly": ["color-contrast"]}

# Texts in tags of the same kinds share their colours. Axe looks up what lies behind each of them, which
# takes nearly all of its time: each kind is looked at once, on the first page that has it.
FIND_KINDS = """() => {
  window.kinds = new Map();
  for (const one of document.querySelectorAll("body *")) {
    const words = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!words && one.localName !== "input" || !one.checkVisibility()) continue;
    let kind = document.documentElement.dataset.theme;
    for (let up = one; up; up = up.parentElement) {
      kind += ` ${up.localName}.${up.className.baseVal ?? up.className}${up.style.cssText}`;
    }
    if (!kinds.has(kind)) kinds.set(kind, one);
  }
  return [...kinds.keys()];
}"""
RUN_AXE = """([kinds, options]) => axe
  .run(kinds ? kinds.map((kind) => window.kinds.get(kind)) : document, options)
  .then((all) => all.violations)"""

# All is loaded, nothing is in motion, and what the last event has asked for is drawn.
AT_REST = """() => document.readyState === "complete"
  && document.getAnimations().every((one) => one.playState !== "running")"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

# A machine with more to do than it has cores takes seconds for what it mostly does in milliseconds.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

OPEN_FOLDS = "document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"


Visit = Callable[..., Page]


@dataclass(frozen=True)
class Site:
    """The site on disk, and where it is served."""

    root: Path
    url: str

    def fetch(self, address: str) -> tuple[int, bytes]:
        """Return the status and the body of an address below the sub-path."""
        return fetch(self.url + address.partition("#")[0])

    def text(self, address: str) -> str:
        """Return the HTML of a page, which has to be there."""
        status, body = self.fetch(address)
        assert status == HTTPStatus.OK, f"{address}: {status}"
        return body.decode()

    def ids(self, address: str) -> set[str]:
        """Return the anchors of a page."""
        return set(re.findall(r'\sid="([^"]+)"', self.text(address)))


@lru_cache(maxsize=1024)
def fetch(url: str) -> tuple[int, bytes]:
    """Ask for a URL once, and remember the answer."""
    try:
        with urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder below the sub-path, and nothing above it, as a host of static pages does."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        below = path.removeprefix(SUB_PATH)
        return super().translate_path("/nowhere/at/all" if below == path else f"/{below}")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        page = Path(self.directory, "404.html")
        body = page.read_bytes() if code == HTTPStatus.NOT_FOUND and page.exists() else b""
        self.send_response(code, message)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing: a test that fails says what was wrong."""


class Server(ThreadingHTTPServer):
    """A server that takes it calmly when a browser leaves in the middle of a picture."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the browser has closed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    default = Path(__file__).parents[2] / "docs" / "_build" / "site"
    parser.addoption("--site", type=Path, default=default, help="the built site to read")
    parser.addoption(
        "--renew-pictures", action="store_true", help="keep the pictures that are seen now"
    )


def site_root(config: pytest.Config) -> Path:
    """Return the folder of the built site."""
    root: Path | None = config.getoption("--site", default=None)
    if root is None:
        raise pytest.UsageError("run these tests by themselves: pytest tests/site")
    return root.resolve()


def names(root: Path, pattern: str) -> list[str]:
    """Return what a pattern finds in the site, `NOTHING` where there is no site."""
    found = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
    return found or [NOTHING]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test each page (`address`), each page of text (`article`), each `tutorial`.

    What is the same on all pages is tested on one of each kind in both languages (`sample`,
    `tutorial_sample`), or in one of them (`kind_of_page`) if the words do not matter.
    """
    root = site_root(metafunc.config)
    pages = [name for name in names(root, "??/**/*.html") if "/_static/" not in name]
    listings = ("genindex.html", "search.html")
    sample = [name for name in pages if name.endswith(SAMPLE)]
    kinds = sorted(name.partition("/")[2] for name in sample if name.startswith("en/"))
    wanted = {
        "address": pages,
        "article": [name for name in pages if not name.endswith(listings)],
        "tutorial": [Path(name).stem for name in names(root, "en/auto_examples/plot_*.html")],
        "sample": sample,
        "kind_of_page": [f"{('en', 'zh')[n % 2]}/{name}" for n, name in enumerate(kinds)],
        "tutorial_sample": TUTORIAL_SAMPLE,
    }
    for name, values in wanted.items():
        if name in metafunc.fixturenames:
            # The scope has pytest put the tests of a page beside each other: it is opened once.
            metafunc.parametrize(name, values, scope="session")


@pytest.fixture(scope="session", autouse=True)
def chromium(request: pytest.FixtureRequest) -> str:
    """Where the browser is; without it, or without a site, every test fails and says so."""
    if not (site_root(request.config) / "index.html").exists():
        pytest.fail(f"No site in {site_root(request.config)}: run nox -s docs first", pytrace=False)
    found = os.environ.get("OPTIMKIT_CHROMIUM") or next(
        filter(None, map(shutil.which, CHROMIUM_NAMES)), ""
    )
    if not shutil.which(found):
        pytest.fail(NO_CHROMIUM, pytrace=False)
    return found


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The site, served under a sub-path."""
    root = site_root(request.config)

    def handler(*args: Any) -> Handler:
        return Handler(*args, directory=str(root))

    with Server(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Site(root, f"http://127.0.0.1:{server.server_port}{SUB_PATH}")
        server.shutdown()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests of a process."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def still(browser: Browser, site: Site) -> Iterator[Visit]:
    """Open an address in the one page that all tests share which only look, without scripts."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()

        def still(address: str) -> Page:
            if page.url != site.url + address:
                # Not "domcontentloaded": without scripts that does not wait for style sheets.
                page.goto(site.url + address, wait_until="load")
            return page

        yield still


@pytest.fixture
def troubles() -> list[str]:
    """What went wrong in the pages that a test visited."""
    return []


def record(context: BrowserContext, home: str, troubles: list[str]) -> None:
    """Note errors, failed requests, and requests that leave the site."""

    def asked(request: Request) -> None:
        if not request.url.startswith((home, "data:", "blob:")):
            troubles.append(f"left the site: {request.url}")

    def failed(request: Request) -> None:
        # A browser stops loading what it leaves, and loads no script when told so.
        if request.failure not in ("net::ERR_ABORTED", "csp"):
            troubles.append(f"failed: {request.url} {request.failure}")

    def said(message: ConsoleMessage) -> None:
        where = message.location["url"]
        # Once in its life a browser asks the host, not the site, for an icon.
        if message.type == "error" and not where.endswith("/favicon.ico"):
            troubles.append(f"console: {message.text} {where}")

    context.on("request", asked)
    context.on("requestfailed", failed)
    context.on(
        "response", lambda r: r.ok or r.status == 304 or troubles.append(f"{r.status}: {r.url}")
    )
    context.on("console", said)
    context.on("weberror", lambda e: troubles.append(f"script: {e.error}"))


@pytest.fixture
def visit(browser: Browser, site: Site, troubles: list[str]) -> Iterator[Visit]:
    """Open an address of the site as a new reader, who has been nowhere; nothing may go wrong."""
    contexts: list[BrowserContext] = []

    def visit(address: str, home: str = site.url, **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"} | options
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        record(context, home, troubles)
        page = context.new_page()
        page.goto(home + address, wait_until="load")
        return page

    yield visit
    seen = list(troubles)
    for context in contexts:
        context.close()
    assert not seen, "\n".join(seen)


def rest(page: Page) -> None:
    """Wait until a page has come to rest: before that, what is measured is on its way."""
    page.wait_for_function(AT_REST)
    page.evaluate(TWO_FRAMES)


@pytest.fixture
def at_rest() -> Callable[[Page], None]:
    """A wait until a page has come to rest, before it is measured."""
    return rest


def find_violations(page: Page, seen: set[str]) -> list[str]:
    """Return what axe's default rules (WCAG A and AA, best practice) find, a line for each element."""
    page.evaluate(OPEN_FOLDS)
    rest(page)
    # Axe().run sends its script each time, and brings back what is right with every element, too.
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"{Axe().axe_script}; null")
    found = page.evaluate(RUN_AXE, [None, BUT_COLOURS])
    if kinds := [kind for kind in page.evaluate(FIND_KINDS) if kind not in seen]:
        colours = page.evaluate(RUN_AXE, [kinds, COLOURS])
        if not colours:
            seen.update(kinds)
        found += colours
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], list[str]]:
    """The rules of accessibility that a page breaks."""
    seen: set[str] = set()
    return lambda page: find_violations(page, seen)
