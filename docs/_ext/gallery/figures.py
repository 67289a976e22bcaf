"""Save each matplotlib figure for every reader: light and dark, English and Chinese.

A script draws a figure once, in black on white, with texts such as ``Loss | 损失``. Sphinx itself
picks ``name.zh_CN.png`` over ``name.png`` on the Chinese site, and the theme hides ``only-dark``.
"""

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import matplotlib as mpl
import mplfonts
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.animation import Animation
from matplotlib.artist import Artist
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from sphinx.errors import ExtensionError

from bilingual.languages import ENGLISH, LANGUAGES, Language, choose, halves

INK = {"#000000": "#e8eaed", "#ffffff": "#14181e", "#262626": "#e8eaed", "#b0b0b0": "#555b63"}
"""Neutral colours of a light page, and what they become on a dark one."""

THEMES = ("light", "dark")
COLOURS = ("color", "facecolor", "edgecolor", "markeredgecolor", "markerfacecolor")


def reset_style(gallery_conf: dict[str, Any], script: str) -> None:
    """Give every script the same fresh style; sphinx-gallery calls it before each."""
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
        # Of an animation too: it is the picture on the tutorial's card.
        save_figure(figure, path)
        video = animations.get(figure)
        saved = save_animation(video, path) if video else pictures(path)
        for theme, (directive, name) in zip(THEMES, saved, strict=True):
            shown.append(show(directive, name, theme, figure))
        if not figure.get_label():
            # Not a warning: the next build would not run the script, and not say it again.
            raise ExtensionError(
                f"{block_vars['src_file']}: a figure without an alternative text: "
                "write fig.set_label('What it shows | 图里有什么')"
            )
    plt.close("all")
    return "".join(shown)


def show(directive: str, name: str, theme: str, figure: Figure) -> str:
    """Return the directive that shows one file of a figure to the readers of one theme."""
    return f"""
.. {directive}:: /auto_examples/images/{name}
   :alt: {" ".join(figure.get_label().split())}
   :class: only-{theme} figure
"""


def variants(figure: Figure, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield where to save each variant of a figure, and its theme, while the figure is like that."""
    changed: list[Text] = []
    for language in LANGUAGES:
        mark = "" if language is ENGLISH else f".{language.sphinx}"
        light, dark = (
            path.with_name(f"{path.stem}{theme}{mark}{path.suffix}") for theme in ("", "_dark")
        )
        if language is not ENGLISH and not changed:
            # An older version of the script may have had texts with halves.
            light.unlink(missing_ok=True)
            dark.unlink(missing_ok=True)
            continue
        with in_language(figure, language) as changed:
            yield light, "light"
            with in_the_dark(figure):
                yield dark, "dark"


def pictures(path: Path) -> list[tuple[str, str]]:
    """Return the directive and the name of a figure's pictures, for each theme."""
    return [("image", path.name), ("image", f"{path.stem}_dark.png")]


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as pictures: all of its variants."""
    for variant, _ in variants(figure, path):
        figure.savefig(variant, transparent=True)


def save_animation(animation: Animation, path: Path) -> list[tuple[str, str]]:
    """Save an animation as videos; return the directive and the name for each theme."""
    light = path
    for variant, theme in variants(animation._fig, path.with_suffix(".mp4")):
        if theme == "dark":
            darken_video(light, variant)
            continue
        light = variant
        with undrawn(animation._fig):
            animation.save(
                light,
                writer="ffmpeg",
                dpi=110,
                savefig_kwargs={"facecolor": "#ffffff"},  # a video has no transparency
                extra_args=["-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p"],
            )
    return [("gallery-video", f"{path.stem}.mp4"), ("gallery-video", f"{path.stem}_dark.mp4")]


@contextmanager
def undrawn(figure: Figure) -> Iterator[None]:
    """Draw a figure only when it is saved: an animation draws each frame before that, for a screen."""
    canvas = figure.canvas
    FigureCanvasBase(figure)
    try:
        yield
    finally:
        figure.set_canvas(canvas)


def darken_video(light: Path, dark: Path) -> None:
    """Turn light into dark, each colour keeping its hue: to draw every frame again takes seconds."""
    ink, paper = (bytes.fromhex(INK[colour][1:]) for colour in ("#000000", "#ffffff"))
    channels = zip("rgb", paper, ink, strict=True)
    curves = ":".join(f"{name}={low}+val*{high - low}/255" for name, low, high in channels)
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", light]
        + ["-vf", f"negate,hue=h=180,format=gbrp,lutrgb={curves},format=yuv420p"]
        + ["-preset", "veryfast", "-crf", "26", dark],
        check=True,
    )


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


@contextmanager
def in_the_dark(figure: Figure) -> Iterator[None]:
    """Turn the neutral colours of a figure, and of what is drawn anew, into those of a dark page."""
    # Colours move nothing: to lay the figure out again would take longer than to draw it.
    engine = figure.get_layout_engine()
    figure.set_layout_engine("none")
    before: list[tuple[Artist, str, Any]] = []
    arrows = [note.arrow_patch for note in figure.findobj(Annotation) if note.arrow_patch]
    for artist in (*figure.findobj(), *arrows):  # of a note's arrow matplotlib does not tell
        for name in COLOURS:
            value = getattr(artist, f"get_{name}", lambda: None)()
            dark = darken(value)
            if dark is not None:
                before.append((artist, name, value))
                getattr(artist, f"set_{name}")(dark)
    style = {name: dark for name, value in mpl.rcParams.items() if (dark := darken(value))}
    try:
        with mpl.rc_context(style):
            yield
    finally:
        for artist, name, value in reversed(before):
            getattr(artist, f"set_{name}")(value)
        figure.set_layout_engine(engine)


def darken(value: Any) -> Any:
    """Return the colour of a dark page for a neutral one, None for any other."""
    try:
        if len(value) == 1 and not isinstance(value, str):
            value = value[0]
        *_, alpha = to_rgba(value)
        dark = INK.get(to_hex(value))
    except (TypeError, ValueError):
        return None
    return to_rgba(dark, alpha) if dark and alpha else None
