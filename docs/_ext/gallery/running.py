"""What sphinx-gallery calls when it runs a script: a build that runs none imports no matplotlib."""

from __future__ import annotations

from typing import Any

__all__ = ["reset_style", "scrape"]


def reset_style(gallery_conf: dict[str, Any], script: str) -> None:
    """Give every script the same fresh style."""
    from . import figures

    figures.reset_style(gallery_conf, script)


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the open figures, and return the reStructuredText that shows them."""
    from . import figures

    return figures.scrape(block, block_vars, gallery_conf)
