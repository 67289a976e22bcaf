"""The command line: ``optimkit show | diff | verify``; see ``optimkit --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from torch import Tensor

from ._errors import CheckpointError, CorruptCheckpointError, UnsafeCheckpointError
from ._files import Integrity, read
from ._inspection.describe import describe
from ._inspection.diff import diff
from ._tables import Table
from ._torch_optimizers import optimizers_in
from ._values import dtype_name, nbytes, tensors_in
from .checkpoint._directory import CheckpointDir
from .checkpoint._shards import HEADER, backup_path
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
    except (CheckpointError, OSError) as error:
        answer = 2, str(error), {"error": str(error)}
    code, text, data = answer
    if given.json:
        _print(json.dumps(data, allow_nan=False, indent=2), sys.stdout)
    else:
        _print(text, sys.stderr if "error" in data else sys.stdout)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="optimkit",
        description="Look into checkpoints. Nothing in a file is ever run.",
        epilog="exit code: 0 verified, or equal; 1 not; 2 misuse",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show|diff|verify")
    file = "written by optimkit.save or torch.save"
    folder = f"{file}; or the directory of a CheckpointDir, or of checkpoint.distributed"
    for name, answer, text, paths in (
        ("show", _show, "what is in a checkpoint", {"file": file}),
        ("diff", _diff, "what differs between two checkpoints", {"one": file, "other": file}),
        ("verify", _verify, "whether the bytes are those that were written", {"path": folder}),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(answer=answer)
        for path, about in paths.items():
            command.add_argument(path, metavar="FILE", help=about)
        command.add_argument("--json", action="store_true", help="answer with data")
        if name == "show":
            command.add_argument("--key", help="only this optimizer, as show calls it")
    return parser


def _print(text: str, stream: TextIO) -> None:
    """Write the answer; what the terminal has no letters for, as escapes."""
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show(given: argparse.Namespace) -> Answer:
    path, key, reading = given.file, given.key, read(given.file)
    content, integrity = reading.content, reading.integrity
    found = optimizers_in(content)
    if key is not None and key not in found:
        describe(path, key=key)  # raises, and says which there are
    reports = {each: describe(content, key=each) for each in found if key in (None, each)}
    parts = _parts(content)
    texts = [str(integrity), *([str(parts)] if key is None else [])]
    texts += [f"\n{report}" for report in reports.values()]
    data = {
        "file": integrity.to_dict(),
        "parts": parts.to_dict()["rows"],
        "optimizers": {name: report.to_dict() for name, report in reports.items()},
    }
    return 0, "\n".join(texts), data


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
    """Verify a file, which then can be read as well; or a directory, of either kind."""
    target = Path(given.path)
    interrupted = not target.exists() and Path(backup_path(target), HEADER).exists()
    if interrupted or Path(target, HEADER).exists():
        integrity = verify_folder(target)
    elif target.is_dir():
        return _verify_directory(given.path)
    else:
        integrity = read(target).integrity
    return int(not integrity.verified), str(integrity), integrity.to_dict()


def _verify_directory(path: str) -> Answer:
    found = CheckpointDir(path).verify()
    if not found:
        raise CheckpointError(
            f"{path} is a directory without checkpoints of a CheckpointDir: give one file that "
            "torch.save wrote."
        )
    files: list[dict[str, Any]] = [
        each.to_dict() if isinstance(each, Integrity) else {"error": str(each), "verified": False}
        for each in found
    ]
    verified = sum(each["verified"] for each in files)
    count = f"{path}: {verified} of {len(files)} checkpoints are verified"
    data = {"path": path, "verified": verified == len(files), "files": files}
    return int(verified < len(files)), "\n".join([*map(str, found), count]), data


if __name__ == "__main__":
    sys.exit(main())
