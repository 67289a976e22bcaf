"""The command line: ``optimkit show | diff | verify | audit | explain``; see ``optimkit --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO

from torch import Tensor

from ._codes import entries, explained, sarif, summary, terminal_language
from ._errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError
from ._files.folders import HEADER, look_into
from ._files.reading import Integrity, Reading
from ._files.reading import verify as verify_file
from ._inspection.audit import audit_saved
from ._inspection.describe import describe
from ._inspection.diff import diff
from ._inspection.findings import Finding, Findings
from ._tables import Table, jsonable
from ._torch_optimizers import optimizers_in
from ._values import dtype_name, nbytes, tensors_in
from .checkpoint._directory import CheckpointDir
from .checkpoint._shards import backup_path
from .checkpoint._shards import verify as verify_folder

Answer = tuple[int, str, dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command, and return the exit code."""
    given = _parser().parse_args(arguments)
    answer: Answer
    try:
        answer = given.answer(given)
    except (CorruptCheckpointError, UnsafeCheckpointError) as error:
        answer = 1, str(error), {"error": str(error), "verified": False}
        if "path" in given:
            answer[2]["findings"] = _listed(given.path, [_of_error(error)])
    except (CheckpointError, OSError) as error:
        answer = 2, str(error), {"error": str(error)}
    code, text, data = answer
    if given.sarif:
        failure = data.get("error", "") if code == 2 else ""
        data = sarif(data.get("findings", []), code, failure)
    if given.json or given.sarif:
        _print(json.dumps(data, allow_nan=False, indent=2), sys.stdout)
    else:
        _print(text, sys.stderr if "error" in data else sys.stdout)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="optimkit",
        description="Look into checkpoints, nothing of which is ever run; explain what audit finds.",
        epilog="exit code: 0 verified, equal, or nothing but notes found; 1 not; 2 misuse; 3 verified, "
        "and yet refused by load",
    )
    parser.set_defaults(json=False, sarif=False)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="show|diff|verify|audit|explain"
    )
    file = "written by optimkit.save or torch.save; or a trainer's folder, or a sharded one"
    folder = f"{file}, or that of a CheckpointDir"
    for name, answer, text, paths in (
        ("show", _show, "what is in a checkpoint", {"path": file}),
        ("diff", _diff, "what differs between two checkpoints", {"one": file, "other": file}),
        ("verify", _verify, "whether the bytes are those that were written", {"path": folder}),
        ("audit", _audit, "what is wrong with the optimizers in a checkpoint", {"path": file}),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(answer=answer)
        for path, about in paths.items():
            command.add_argument(path, metavar="FILE", help=about)
        forms = command.add_mutually_exclusive_group()
        forms.add_argument("--json", action="store_true", help="answer with data")
        if name != "diff":
            forms.add_argument("--sarif", action="store_true", help="the findings, as SARIF 2.1.0")
        if name == "show":
            command.add_argument("--key", help="only this optimizer, as show calls it")
    text = "what a code of audit means, and what to do; without one, which there are"
    command = commands.add_parser("explain", help=text, description=text)
    command.set_defaults(answer=_explain)
    command.add_argument("codes", metavar="CODE", nargs="*", help="as audit prints it")
    command.add_argument("--lang", choices=("en", "zh"), help="without it, as LC_ALL or LANG says")
    return parser


def _print(text: str, stream: TextIO) -> None:
    """Write the answer; what the terminal has no letters for, as escapes."""
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show(given: argparse.Namespace) -> Answer:
    path, key, reading = given.path, given.key, look_into(given.path)
    content, integrity = reading.content, reading.integrity
    found = optimizers_in(content)
    if key is not None and key not in found:
        describe(path, key=key)  # raises, and says which there are
    reports = {each: describe(content, key=each) for each in found if key in (None, each)}
    parts = _parts(content)
    texts = _lines(reading)
    texts += [str(parts)] if key is None else []
    texts += [f"\n{report}" for report in reports.values()]
    data = {
        "file": integrity.to_dict(),
        "parts": parts.to_dict()["rows"],
        "optimizers": {name: report.to_dict() for name, report in reports.items()},
        "findings": _listed(path, [*_of_file(reading), *audit_saved(content)]),
    }
    return 0, "\n".join(texts), data


def _audit(given: argparse.Namespace) -> Answer:
    reading = look_into(given.path)
    content = reading.content
    places = [f"{place}." for place in optimizers_in(content)]
    without = {  # of a folder, files that hold no optimizer: random states, weights
        each.integrity.path
        for each in reading.files
        for name in [each.integrity.path.name]
        if name in content and not any(place.startswith(f"{name}.") for place in places)
    }
    files = tuple(each for each in reading.files if each.integrity.path not in without)
    about = () if reading.files and not files else _of_file(replace(reading, files=files))
    found = Findings((*about, *audit_saved(content)))
    code = int(bool(found.at_least("warning")))
    return code, str(found), {"findings": _listed(given.path, found)}


def _explain(given: argparse.Namespace) -> Answer:
    language, known = given.lang or terminal_language(), entries()
    for code in given.codes:
        if code not in known:
            near = get_close_matches(code, known, 3) or known
            error = f"There is no code {code!r}. Did you mean one of: {', '.join(near)}?"
            return 2, error, {"error": error}
    if not given.codes:
        return 0, "\n".join(f"{code}: {summary(code, language)}" for code in known), {}
    return 0, "\n\n\n".join(explained(code, language) for code in given.codes), {}


def _lines(reading: Reading) -> list[str]:
    """Say of each file whether its checksums fit, and why a load would refuse it."""
    texts = [(str(each.integrity), each.refused) for each in reading.files or [reading]]
    return [text for texts in texts for text in texts if text]


def _of_file(reading: Reading) -> list[Finding]:
    found = []
    for each in reading.files or [reading]:
        found += _of_bytes(each.integrity)
        if each.refused:
            remedy = "Save it again as tensors, numbers, strings, lists and dicts."
            message = each.refused.removesuffix(f" {remedy}")
            found.append(Finding("unsafe-file", "error", (), message, remedy))
    return found


def _of_bytes(integrity: Integrity) -> list[Finding]:
    if integrity.verified:
        return []
    message = (
        f"{integrity.path} has no checksums: nothing tells whether its bytes are what was written."
    )
    remedy = "Save it again by optimkit.save or torch.save."
    return [Finding("no-checksums", "warning", (), message, remedy)]


def _of_error(error: Exception) -> Finding:
    code = "unsafe-file" if isinstance(error, UnsafeCheckpointError) else "damaged-file"
    return Finding(code, "error", (), str(error), "")  # the message ends in what to do


def _listed(path: str | Path, found: Iterable[Finding]) -> list[dict[str, Any]]:
    return [{"file": str(path), **jsonable(each), "url": each.url} for each in found]


def _parts(content: Any) -> Table:
    items = content.items() if isinstance(content, Mapping) else [("", content)]
    rows = [
        {
            "part": str(key),
            "kind": type(value).__name__,
            "holds": _holds(value),
            "tensors": len(tensors_in(value)),
            "bytes": sum(map(nbytes, tensors_in(value))),
        }
        for key, value in items
    ]
    return Table(rows, caption="Parts", summed="bytes")


def _holds(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {dtype_name(value.dtype)}"
    if isinstance(value, (Mapping, list, tuple)):
        return f"{len(value)} entries"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _diff(given: argparse.Namespace) -> Answer:
    found = diff(given.one, given.other)
    return int(bool(found.rows)), str(found), found.to_dict()


def _verify(given: argparse.Namespace) -> Answer:
    """Verify a file, and say whether a load would take it; or a directory, of either kind."""
    target = Path(given.path)
    interrupted = not target.exists() and Path(backup_path(target), HEADER).exists()
    if interrupted or Path(target, HEADER).exists():
        integrity = verify_folder(target)
    elif target.is_dir() and CheckpointDir(target).paths:
        return _verify_directory(given.path)
    else:
        try:
            reading = look_into(target)
        except UnsafeCheckpointError as error:
            reading = Reading(None, None, verify_file(target), str(error))
        listed = _listed(given.path, _of_file(reading))
        text = "\n".join(_lines(reading))
        code = 1 if not reading.integrity.verified else 3 if reading.refused else 0
        return code, text, reading.integrity.to_dict() | {"findings": listed}
    return 0, str(integrity), integrity.to_dict() | {"findings": []}


def _verify_directory(path: str) -> Answer:
    checkpoints = CheckpointDir(path)
    texts: list[str] = []
    files: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    for each, found in zip(checkpoints.paths, checkpoints.verify(), strict=True):
        texts.append(str(found))
        if isinstance(found, CheckpointError):
            files.append({"error": str(found), "verified": False})
            findings += _listed(each, [_of_error(found)])
        else:
            files.append(found.to_dict())
            findings += _listed(each, _of_bytes(found))
    verified = sum(each["verified"] for each in files)
    texts.append(f"{path}: {verified} of {len(files)} checkpoints are verified")
    data = {"path": path, "verified": verified == len(files), "files": files, "findings": findings}
    return int(verified < len(files)), "\n".join(texts), data


if __name__ == "__main__":
    sys.exit(main())
