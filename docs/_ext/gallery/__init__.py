"""What sphinx-gallery leaves to do: figures for every reader, stale outputs, its English words.

running     what it calls when it runs a script
figures     light and dark, English and Chinese
background  a second process, to save them in
turns       the languages' builds share one gallery
video       the animation
freshness   which scripts to run again
cards       the list of tutorials
coverage    what of the note they answer
links       to other tutorials and the reference, and back
wheel       the package that the downloads need
words       the sentences that sphinx-gallery writes in English only
"""

from __future__ import annotations

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from . import background, cards, coverage, freshness, links, turns, video, wheel, words

__all__ = ["setup"]

BEFORE_GALLERY, AFTER_GALLERY = 100, 900


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_directive("tutorials", cards.Tutorials)
    app.add_directive("gallery-video", video.GalleryVideo)
    app.add_directive("install", wheel.Install)
    app.add_node(video.video, html=(video.visit_video, None))
    app.connect("builder-inited", turns.wait, priority=BEFORE_GALLERY - 1)
    app.connect("builder-inited", freshness.forget_stale, priority=BEFORE_GALLERY)
    app.connect("builder-inited", background.wait, priority=AFTER_GALLERY - 1)
    app.connect("builder-inited", freshness.remember_fresh, priority=AFTER_GALLERY)
    app.connect("builder-inited", turns.announce, priority=AFTER_GALLERY + 1)
    app.add_directive("note-coverage", coverage.Coverage)
    app.connect("env-check-consistency", coverage.check_places)
    app.add_transform(links.ListUses)
    app.add_transform(links.LinkNames)
    app.connect("source-read", words.rewrite)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
