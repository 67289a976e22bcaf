"""The package as a file of the site: what a downloaded tutorial needs, at the version it was run with."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

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


class Install(SphinxDirective):
    """Show the command that installs what a downloaded tutorial needs, and link the wheel."""

    def run(self) -> list[nodes.Node]:
        address = self.config.bilingual_base_url.rstrip("/")
        name = f"{address}/{WHEEL}" if address else f"./{Path(WHEEL).name}"
        command = f"pip install torch matplotlib {name}"
        block = nodes.literal_block(command, command, language="console")
        if address:
            return [block]
        said = ("Save ", " in the folder you work in:"), ("先把 ", " 存到你的工作文件夹：")
        return [*(self.step(*words) for words in said), block]

    def step(self, before: str, after: str) -> nodes.paragraph:
        """Return a sentence with a link to the wheel in it."""
        up = "../" * (self.env.docname.count("/") + 1)
        name = Path(WHEEL).name
        link = nodes.reference("", "", nodes.literal("", name), refuri=up + WHEEL)
        return nodes.paragraph("", "", nodes.Text(before), link, nodes.Text(after))
