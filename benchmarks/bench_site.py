"""The site's budgets: both languages built, cold and after an edit, against the scripts alone.

python benchmarks/bench_site.py [ROUNDS]
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
ALONE = """
import glob, runpy, sys, warnings
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
warnings.simplefilter("ignore")
for script in sys.argv[1:] or sorted(glob.glob("examples/plot_*.py")):
    runpy.run_path(script, run_name="__main__")
    plt.close("all")
"""
BUILD = [sys.executable, "docs/_ext/publish.py"]
SCRIPTS = [sys.executable, "-c", ALONE]
EDITED = "examples/plot_08_one_network.py"


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Return how many seconds a command takes, and how many of processors: other work adds to the first."""
    start, before = time.perf_counter(), os.times()
    # One thread, as the build gives the scripts: small tensors wait for a second one.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
    after = os.times()
    used = after.children_user + after.children_system
    return time.perf_counter() - start, used - before.children_user - before.children_system


def first_load(site: Path, page: str) -> int:
    """Return the bytes of a page and all it loads at first, compressed, without its figures."""
    folder = (site / page).parent
    text = (site / page).read_text("utf-8")
    loaded = set(re.findall(r'<(?:script|link)[^>]*?(?:src|href)="([^"?]+\.(?:js|css))', text))
    files = [site / page, *(Path(os.path.normpath(folder / name)) for name in loaded)]
    return sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)


def main() -> None:
    """Measure in a copy, so that nothing built before is used or lost."""
    leave_out = shutil.ignore_patterns(".git", ".nox", "_build", "auto_examples", ".hypothesis")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        with TemporaryDirectory() as temporary:
            copy = Path(temporary) / "optimkit"
            shutil.copytree(ROOT, copy, ignore=leave_out)
            # The build comes first: whatever only a first run pays for, it pays.
            for name, command in (
                ("cold build", BUILD),
                ("nothing new", BUILD),
                ("scripts alone", SCRIPTS),
                ("one edited", BUILD),
                ("one alone", [*SCRIPTS, EDITED]),
            ):
                if name == "one edited":
                    text = (copy / EDITED).read_text("utf-8")
                    edited = text.replace("import torch\n", "import torch  # edited\n", 1)
                    (copy / EDITED).write_text(edited, "utf-8")
                taken.setdefault(name, []).append(timed(command, copy))
            site = copy / "docs" / "_build" / "site"
            pages = sorted((site / "zh" / "auto_examples").glob("plot_*.html"))
            heaviest = max(first_load(site, page.relative_to(site).as_posix()) for page in pages)
    for name, times in taken.items():
        wall, used = (median(one) for one in zip(*times, strict=True))
        print(f"{name:14}{wall:7.1f} s, of processors {used:6.1f} s")
    for built, alone, budget in (
        ("cold build", "scripts alone", 1.6),
        ("one edited", "one alone", 4),
    ):
        ratio = median(b / a for (b, _), (a, _) in zip(taken[built], taken[alone], strict=True))
        print(f"{built} / {alone}: {ratio:.2f} (budget {budget})")
    print(f"nothing new: {median(wall for wall, _ in taken['nothing new']):.1f} s (budget 5)")
    print(f"first load, heaviest tutorial, without figures: {heaviest / 1000:.0f} kB (budget 110)")


if __name__ == "__main__":
    main()
