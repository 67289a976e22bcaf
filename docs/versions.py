"""Run tests, examples and tutorials on the torch that is installed; write its row of versions.csv."""

import csv
import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".csv")
TORCH = "``torch``"
PYTEST = (sys.executable, "-m", "pytest", "-q")
NEEDS = re.compile(r"Needs: .*torch (\d+\.\d+)")


def run(*command: str) -> str:
    """Run a command; return what it prints, and stop where it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    done.check_returncode()
    return done.stdout


def counted(word: str, *printed: str) -> int:
    """Return how many pytest says that passed, or were skipped."""
    found = (re.search(rf"(\d+) {word}", text) for text in printed)
    return sum(int(one[1]) for one in found if one)


def numbers(version: str) -> list[int]:
    """Return a version in numbers."""
    return [int(number) for number in version.split(".")[:2]]


def tutorials() -> int:
    """Run each tutorial that this torch can run; return how many."""
    os.environ["MPLBACKEND"] = "agg"
    count = 0
    for script in sorted(ROOT.glob("examples/plot_*.py")):
        needs = NEEDS.search(script.read_text("utf-8"))
        if not needs or numbers(torch.__version__) >= numbers(needs[1]):
            run(sys.executable, "-W", "ignore", str(script))
            count += 1
    return count


def main() -> None:
    """Run all, and put the row in the place of the last one for the same torch."""
    tests = run(*PYTEST, "-n", "auto", "--dist", "worksteal", "--ignore", "tests/site")
    examples = run(*PYTEST, "--doctest-modules", "src")
    readmes = run(*PYTEST, "--doctest-glob=README*.md", "README.md", "README.zh-CN.md")
    row = {
        TORCH: torch.__version__.split("+")[0],
        "``Python``": platform.python_version(),
        "date | 日期": date.today().isoformat(),
        "tests | 测试": counted("passed", tests),
        "skipped | 跳过": counted("skipped", tests),
        "examples | 示例": counted("passed", examples, readmes),
        "tutorials | 教程": tutorials(),
    }
    rows = list(csv.DictReader(RECORD.read_text("utf-8").splitlines())) if RECORD.exists() else []
    rows = [other for other in rows if numbers(other[TORCH]) != numbers(row[TORCH])]
    with RECORD.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*rows, row], key=lambda one: numbers(one[TORCH])))


if __name__ == "__main__":
    main()
