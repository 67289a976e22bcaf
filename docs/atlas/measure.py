"""Put the questions of ``probes.py`` to the optimizers of other packages; write ``docs/atlas.csv``.

    python docs/atlas/measure.py [PACKAGE[.CLASS] ...]

Only these, if some are named; the other rows stay. Each class runs in processes of its own, so that
what raises, hangs or crashes is an entry of its row. Ends with an error where a class is no longer
as the record says: what the page tells of it may not be so any more.
"""

# /// script
# dependencies = [
#     "torch==2.15.0",
#     "numpy==2.4.6",
#     "einops==0.8.2",  # for DeMo
#     "setuptools==84.2.1",  # bitsandbytes and torchium import it without saying so
#     "adabelief-pytorch==0.2.1",
#     "adafactor8bit==0.4.6",
#     "adan-pytorch==0.1.0",
#     "apollo-torch==1.0.3",
#     "bitsandbytes==0.50.2",
#     "came-pytorch==0.1.3",
#     "dadaptation==3.2",
#     "flashoptim==0.1.4",
#     "galore-torch==1.0",
#     "heavyball==3.2.1",
#     "kron-torch==0.3.3",
#     "lion-pytorch==0.2.5",
#     "madgrad==1.3",
#     "muonium==0.2.0",
#     "prodigyopt==1.1.2",
#     "pytorch-optimizer==4.1.0",
#     "pytorch-ranger==0.1.1",
#     "schedulefree==1.4.1",
#     "timm==1.0.31",
#     "torch-optimi==0.3.3",
#     "torch-optimizer==0.3.0",
#     "torchao==0.18.0",
#     "torchium==0.1.5",
#     "transformers==5.24.0",
# ]
# ///

from __future__ import annotations

import os

os.environ["TORCHDYNAMO_DISABLE"] = os.environ["TORCH_COMPILE_DISABLE"] = "1"

import csv
import datetime
import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

import optimkit  # noqa: F401  (once, for all forks)
from probes import NO, NONE, PARTS, YES, answers_of, start
from recipes import PACKAGES, RECIPES
from subject import Subject, names_in

RECORD = Path(__file__).parents[1] / "atlas.csv"
SECONDS = 40  # of processor time, for each part
Facts = dict[str, str]
HEADERS = {
    "package": "package | 软件包",
    "class": "class | 类",
    "state": "state | 状态",
    "bytes": "bytes per parameter | 每个参数的字节数",
    "decay": "weight decay | 权重衰减",
    "torch": "resumed by ``torch`` | 用 ``torch`` 恢复",
    "optimkit": "resumed by ``optimkit`` | 用 ``optimkit`` 恢复",
    "new group": "new group | 新增参数组",
    "lr 0": "``lr=0``",
    "schedule": "scheduler | 调度器",
    "weights_only": "``weights_only``",
    "copy": "``deepcopy``",
    "audit": "``audit``",
    "looked at": "looked at | 查看后",
    "predicted": "bytes foreseen | 预测字节数",
    "run": "run | 运行日期",
}


def in_fork(do: Callable[[], None]) -> str:
    """Call in a process of its own; say how that ended, if not well."""
    process = os.fork()
    if not process:
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
            do()
        finally:
            os._exit(0)
    end = time.monotonic() + 20 * SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
        time.sleep(0.03)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "no end"


def look_at(package: str, name: str) -> Facts:
    """Put all questions to one class."""
    reason = RECIPES.get(f"{package}.{name}", {}).get("skip")
    if reason:
        return {"ended": reason}
    subject = Subject(package, name)
    with tempfile.TemporaryDirectory() as temp:
        folder, file = Path(temp), Path(temp, "answers.jsonl")
        found: Facts = {}
        for part in (start, *PARTS):

            def do(part: Callable = part) -> None:
                with file.open("a") as stream:
                    for answer in answers_of(part, subject, folder):
                        print(json.dumps(answer), file=stream, flush=True)

            how = in_fork(do)
            found = dict(map(json.loads, file.read_text().splitlines())) if file.exists() else {}
            if how:
                found[f"{part.__name__} ended"] = how
            if part is start:
                if "start ended" in found:
                    return {"ended": found["start ended"]}
                subject.drive = found["drive"] or subject.drive
    return found


def row_of(package: str, name: str, found: Facts) -> Facts:
    """Return the row of a class, as the page shows it."""
    facts = dict.fromkeys(HEADERS, NONE) | found
    if "ended" in found:
        facts["state"] = found["ended"]
    elif found["save"] != YES:
        facts["optimkit"] = "refused" if found["save"] == "UnsafeCheckpointError" else found["save"]
    if facts["torch"] == "FileNotFoundError":  # there was nothing to save
        facts["torch"] = facts["weights_only"]
    alarms = " ".join(
        dict.fromkeys(f"{found.get('alarms', '')} {found.get('audit loaded', '')}".split())
    )
    ended = [text for key, text in found.items() if key.endswith(" ended")]
    facts |= {
        "package": f"{package} {version(package)}",
        "class": name,
        "audit": (NONE if "ended" in found else alarms or YES),
        "run": f"{datetime.date.today()}",
    }
    if "look ended" in found:
        facts["looked at"] = found["look ended"]
    print(package, name, *ended, flush=True)
    symbols = {YES, NO, NONE, "?"}
    shown = {header: facts[key] or NONE for key, header in HEADERS.items()}
    return {header: text if text in symbols else f"``{text}``" for header, text in shown.items()}


def main() -> None:
    """Measure; put the rows of each package into the record, in the places of the last ones."""
    wanted = sys.argv[1:]
    torch.set_num_threads(1)
    torch.optim.SGD([torch.ones(1)])  # imports the compiler, which would take seconds in each fork
    changes: list[str] = []
    for package in PACKAGES:
        if not wanted or any(one.partition(".")[0] == package for one in wanted):
            names = [
                name
                for name in names_in(package)
                if not wanted or {package, f"{package}.{name}"} & set(wanted)
            ]
            changes += write([row_of(package, name, look_at(package, name)) for name in names])
    if changes:
        raise SystemExit("\n".join(["No longer as they were:", *changes]))


def write(new: list[Facts]) -> list[str]:
    """Put rows into the record, in the places of the last ones; return what has changed."""
    old = list(csv.DictReader(RECORD.read_text("utf-8").splitlines())) if RECORD.exists() else []
    was = {key_of(row): row for row in old}
    rows = was | {key_of(row): row for row in new}
    order = list(PACKAGES)
    ordered = sorted(rows, key=lambda key: (order.index(key[0]), key[1].lower()))
    with RECORD.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(HEADERS.values()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in ordered)
    return [
        f"{'.'.join(key)}, {header}: {before[header]} was, {rows[key][header]} is"
        for key, before in was.items()
        for header in HEADERS.values()
        if header != HEADERS["run"] and before[header] != rows[key][header]
    ]


def key_of(row: Facts) -> tuple[str, str]:
    """Return the package, without its version, and the class of a row."""
    package, name = (row[HEADERS[key]].strip("`") for key in ("package", "class"))
    return package.split()[0], name


if __name__ == "__main__":
    main()
