"""What sphinx-gallery leaves to do: figures for every reader, stale outputs, its English words."""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from . import coverage, downloads, links, page, scripts


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension; sphinx-gallery lists at priority 500 the scripts that have run."""
    app.add_directive("tutorials", page.Tutorials)
    app.add_directive("note-coverage", coverage.Coverage)
    app.add_transform(links.ListUses)
    app.add_transform(links.LinkNames)
    app.connect("builder-inited", scripts.forget_stale, priority=100)
    app.connect("builder-inited", scripts.share, priority=400)
    app.connect("builder-inited", downloads.write_downloads, priority=900)
    app.connect("source-read", page.rewrite)
    # What Sphinx has kept of the pages is stale once it would be made in another way.
    own = int(scripts.digest(list(Path(__file__).parents[1].rglob("*.py")))[:8], 16)
    return {"env_version": own, "parallel_read_safe": True, "parallel_write_safe": True}
