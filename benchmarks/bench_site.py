"""The site's budgets: a cold build of both languages against its scripts alone, a build of nothing new.

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
import glob, runpy, warnings
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
warnings.simplefilter("ignore")
for script in sorted(glob.glob("examples/plot_*.py")):
    runpy.run_path(script, run_name="__main__")
    plt.close("all")
"""
BUILD = [sys.executable, "docs/_ext/publish.py"]


def timed(command: list[str], folder: Path) -> float:
    """Return how many seconds a command takes."""
    start = time.perf_counter()
    # One thread, as the build gives the scripts: small tensors wait for a second one.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start


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
    cold, alone, nothing_new = [], [], []
    for _ in range(rounds):
        with TemporaryDirectory() as temporary:
            copy = Path(temporary) / "optimkit"
            shutil.copytree(ROOT, copy, ignore=leave_out)
            # The build comes first: whatever only a first run pays for, it pays.
            cold.append(timed(BUILD, copy))
            nothing_new.append(timed(BUILD, copy))
            alone.append(timed([sys.executable, "-c", ALONE], copy))
            site = copy / "docs" / "_build" / "site"
            pages = sorted((site / "zh" / "auto_examples").glob("plot_*.html"))
            heaviest = max(first_load(site, page.relative_to(site).as_posix()) for page in pages)
    ratio = median(c / a for c, a in zip(cold, alone, strict=True))
    print(f"scripts alone      {median(alone):6.1f} s")
    print(f"cold build         {median(cold):6.1f} s   ratio {ratio:.2f}   (budget 2.0)")
    print(f"build, nothing new {median(nothing_new):6.1f} s   (budget 5)")
    print(f"first load, heaviest tutorial, without figures: {heaviest / 1000:.0f} kB (budget 110)")


if __name__ == "__main__":
    main()
