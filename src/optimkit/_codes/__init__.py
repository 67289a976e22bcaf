"""What each code means: the Markdown in this folder is on the site, and ``optimkit explain`` prints it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from .._version import __version__

_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARKUP = re.compile(r"\*\*|\[([^]]+)\]\([^)]+\)")  # bold, and links, of which the words stay
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Entry(NamedTuple):
    page: str  # of the site, below audit/
    text: str  # Markdown: each paragraph in English and in Chinese


@cache
def entries() -> dict[str, Entry]:
    """Return the entries by code: each begins with its code as a heading."""
    pages = sorted(files(__name__).iterdir(), key=lambda page: page.name)
    return {
        code: Entry(page.name.removesuffix(".md"), text.strip())
        for page in pages
        if page.name.endswith(".md")
        for code, text in re.findall(
            r"^## `([a-z-]+)`\n(.*?)(?=^## |\Z)", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
    }


def explained(code: str, language: str) -> str:
    """Return the entry of a code as plain text, in "en" or "zh"."""
    shown = [code]
    for index, part in enumerate(_BLOCK.split(entries()[code].text)):
        if index % 2:
            shown.append("\n".join(f"    {line}".rstrip() for line in part.splitlines()))
        else:
            paragraphs = (_MARKUP.sub(r"\1", each) for each in part.strip().split("\n\n"))
            shown += (
                each
                for each in paragraphs
                if each and bool(_CHINESE.search(each)) == (language == "zh")
            )
    return "\n\n".join(shown)


def summary(code: str, language: str) -> str:
    """Return the first sentence of an entry, in "en" or "zh"."""
    first = explained(code, language).split("\n\n")[1]
    if language == "zh":
        return "".join(first.partition("。")[:2]).replace("\n", "")
    return "".join(first.replace("\n", " ").partition(". ")[:2]).strip()


def terminal_language() -> str:
    """Return "zh" where the environment asks for Chinese, else "en"."""
    asked = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "zh" if next(filter(None, asked), "").startswith("zh") else "en"


@cache
def site() -> str:
    """Return the address of the site, Documentation in [project.urls]; "" while there is none."""
    try:
        urls = metadata("optimkit").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from the source
        return ""
    labelled = dict(url.partition(", ")[::2] for url in urls)
    address: str = labelled.get("Documentation", "")
    return address.rstrip("/")


def url_of(code: str) -> str | None:
    """Return where the site explains a code; None while it has no address, or no such entry."""
    entry = entries().get(code)
    if entry is None or not site():
        return None
    return f"{site()}/{terminal_language()}/audit/{entry.page}.html#{code}"


def sarif(found: Sequence[Mapping[str, Any]], exit_code: int, failure: str = "") -> dict[str, Any]:
    """Write findings, each with its ``file``, as a log in SARIF 2.1.0, which editors and code hosts read.

    `failure` is why there was none.
    """
    codes = list(dict.fromkeys(each["code"] for each in found))
    told = [{"level": "error", "message": {"text": failure}}] if failure else []
    run = {
        "tool": {
            "driver": {
                "name": "optimkit",
                "version": __version__,
                "rules": [_rule(code, terminal_language()) for code in codes],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not failure,
                "exitCode": exit_code,
                "toolExecutionNotifications": told,
            }
        ],
        "results": [_result(each, codes.index(each["code"])) for each in found],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return {"$schema": schema, "version": "2.1.0", "runs": [run]}


def _rule(code: str, language: str) -> dict[str, Any]:
    url = url_of(code)
    return {
        "id": code,
        "shortDescription": {"text": summary(code, language)},
        "help": {"text": explained(code, language)},
        **({"helpUri": url} if url else {}),
    }


def _result(found: Mapping[str, Any], index: int) -> dict[str, Any]:
    path = Path(found["file"])
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    location = {
        "physicalLocation": {"artifactLocation": {"uri": uri}},
        "logicalLocations": [{"name": name} for name in found["names"]],
    }
    return {
        "ruleId": found["code"],
        "ruleIndex": index,
        "level": found["severity"],  # SARIF has the same words
        "message": {"text": f"{found['message']} {found['remedy']}".strip()},
        "locations": [location],
    }
