"""Findings as SARIF 2.1.0, which editors and code hosts read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._codes import explained, summary, terminal_language, url_of
from .._version import __version__


def sarif(found: Sequence[Mapping[str, Any]], exit_code: int, failure: str = "") -> dict[str, Any]:
    """Write findings, each with its ``file``, as the log of one run; `failure` is why there was none."""
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
