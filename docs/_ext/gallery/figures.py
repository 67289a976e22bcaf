"""Save each matplotlib figure for every reader: light and dark, English and Chinese.

A script draws a figure once, in black on white, with texts such as ``Loss | 损失``. Sphinx itself
picks ``name.zh_CN.png`` over ``name.png`` on the Chinese site, and the theme hides ``only-dark``.
"""

import atexit
import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import matplotlib as mpl
import mplfonts
import numpy as np
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.animation import Animation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from sphinx.errors import ExtensionError

from bilingual.languages import ENGLISH, LANGUAGES, Language, choose, halves

atexit.register(gc.unfreeze)  # some libraries tell of objects that are left at the end
LIGHT_INK, DARK_PAPER = np.array([(232, 234, 237), (20, 24, 30)]) / 255
"""What black and white become on a dark page."""

FIGURE = """
.. figure:: /auto_examples/images/{name}
   :alt: {says}
   :class: figure {role}

   {says}
"""
DARK = """
.. image:: /auto_examples/images/{name}
   :alt: {says}
   :class: figure only-dark
"""
"""The picture for a dark page, which the caption below the light one serves as well."""


def reset_style(gallery_conf: dict[str, Any], script: str) -> None:
    """Give every script the same fresh style; sphinx-gallery calls it before each."""
    gc.collect()
    gc.freeze()  # it looks for garbage before each, too: among what torch has imported only once
    mpl.rcdefaults()
    mpl.use("agg")
    font = Path(mplfonts.__file__).parent / "fonts" / "NotoSansCJKsc-Regular.otf"
    if "Noto Sans CJK SC" not in font_manager.fontManager.get_font_names():
        font_manager.fontManager.addfont(font)
        # It has one weight: of bold text, which is drawn in it, matplotlib would tell each time.
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    plt.style.use(Path(__file__).with_suffix(".mplstyle"))
    mpl.rcParams["animation.ffmpeg_path"] = imageio_ffmpeg.get_ffmpeg_exe()


def scrape(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save the open figures, and return the reStructuredText that shows them."""
    known = block_vars["example_globals"].values()
    animations = {a._fig: a for a in known if isinstance(a, Animation)}
    shown = []
    for number, name in zip(plt.get_fignums(), block_vars["image_path_iterator"], strict=False):
        figure, path = plt.figure(number), Path(name)
        says = " ".join(figure.get_label().split())
        if not says:
            # Not a warning: the next build would not run the script, and not say it again.
            raise ExtensionError(
                f"{block_vars['src_file']}: a figure without an alternative text: "
                "write fig.set_label('What it shows | 图里有什么')"
            )
        # Of an animation too: it is the picture on the tutorial's card.
        save_figure(figure, path)
        if figure in animations:
            path, role = save_animation(animations[figure], path.with_suffix(".mp4")), "controls"
        else:
            shown.append(DARK.format(name=dark(path).name, says=says))
            role = f"only-light {figure.get_gid() or ''}".strip()  # see _static/figures/show.js
        shown.append(FIGURE.format(name=path.name, role=role, says=says))
    plt.close("all")
    return "".join(shown)


def variants(figure: Figure, path: Path) -> Iterator[Path]:
    """Yield where to save a figure for each language, while it is in that language."""
    changed: list[Text] = []
    for language in LANGUAGES:
        mark = "" if language is ENGLISH else f".{language.sphinx}"
        if mark and not changed:
            # An older version of the script may have had texts with halves.
            for old in path.parent.glob(f"{path.stem}*{mark}{path.suffix}"):
                old.unlink()
            continue
        with in_language(figure, language) as changed:
            yield path.with_name(f"{path.stem}{mark}{path.suffix}")


def dark(path: Path) -> Path:
    """Return where the picture for a dark page is, beside the one for a light page."""
    stem, mark = path.name.split(".", 1)
    return path.with_name(f"{stem}_dark.{mark}")


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as pictures, for each language and theme."""
    figure.dpi = mpl.rcParams["savefig.dpi"]  # savefig would draw each twice, to lay it out
    for part in (figure, *figure.findobj(Axes)):
        part.patch.set(facecolor="none", edgecolor="none")
    for variant in variants(figure, path):
        with figure.canvas.callbacks.blocked(signal="draw_event"):  # it starts animations
            figure.canvas.print_png(variant)
        plt.imsave(dark(variant), darken(np.array(figure.canvas.buffer_rgba())))


def darken(picture: np.ndarray) -> np.ndarray:
    """Return a picture, rows of pixels of red, green, blue and alpha, with black and white turned over.

    Colours stay as they are; the greyer a pixel is, the more it turns.
    """
    seen = picture[..., 3] > 0  # a tenth of a figure
    colours = picture[seen, :3] / 255
    grey = np.clip(1 - 4 * np.ptp(np.ascontiguousarray(colours.T), axis=0), 0, 1)[:, None]
    turned = LIGHT_INK + (DARK_PAPER - LIGHT_INK) * colours
    made = picture.copy()
    made[seen, :3] = 255 * (grey * turned + (1 - grey) * colours)
    return made


def save_animation(animation: Animation, path: Path) -> Path:
    """Save an animation as a video for each language; on a dark page the stylesheet turns it over."""
    for variant in variants(animation._fig, path):
        animation.save(
            variant,
            writer="ffmpeg",
            dpi=110,
            savefig_kwargs={"facecolor": "#ffffff"},  # a video has no transparency
            extra_args=["-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p"],
        )
    return path


@contextmanager
def in_language(figure: Figure, language: Language) -> Iterator[list[Text]]:
    """Show one half of each text of a figure; yield the texts that had halves, as they are met.

    That holds for texts that matplotlib writes while it draws, too: labels of ticks, a step's number
    in an animation.
    """
    met: list[Text] = []
    whole = {text: text.get_text() for text in figure.findobj(Text)}
    write = Text.set_text

    def write_half(self: Text, said: object) -> None:
        if isinstance(said, str) and halves(said):
            met.append(self)
            said = choose(said, language)
        write(self, said)

    Text.set_text = write_half
    try:
        for text, said in whole.items():
            text.set_text(said)
        yield met
    finally:
        Text.set_text = write
        for text, said in whole.items():
            text.set_text(said)
