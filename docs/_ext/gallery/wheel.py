"""The package as a file of the site: what a downloaded tutorial needs, at the version it was run with."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[3]
WHEEL = f"wheels/optimkit-{version('optimkit')}-py3-none-any.whl"
"""Where the wheel is on the site, for both languages."""


def build_wheel(site: Path) -> None:
    """Put the wheel of the package as it is now into a site."""
    folder = (site / WHEEL).parent
    for old in folder.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if not (site / WHEEL).exists():
        raise RuntimeError(
            f"no {WHEEL}: it could not be built, or the installed package has another version:\n"
            f"{done.stdout}{done.stderr}"
        )


def install_cell(address: str) -> str:
    """Return the first cell of a notebook, for a site at `address`, or for one that has none yet."""
    name = Path(WHEEL).name
    if address:
        return f"%pip install -q torch matplotlib {address.rstrip('/')}/{WHEEL}"
    return (
        f"# Save {name} beside this notebook first: it is linked at the top of the page.\n"
        f"# 请先把 {name} 保存到本笔记本所在的文件夹，下载链接在网页顶部。\n"
        f"%pip install -q torch matplotlib ./{name}"
    )


def substitutions() -> dict[str, str]:
    """Return what a page writes as ``{{ wheel }}`` and ``{{ install }}``: a link, a command."""
    name = Path(WHEEL).name
    return {
        "wheel": f'<a href="../{WHEEL}"><code>{name}</code></a>',
        "install": f"```console\npip install torch matplotlib ./{name}\n```",
    }
