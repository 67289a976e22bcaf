"""Figures of what the other functions return, in matplotlib's own colours: a dark style works."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .report import Report
from .schedule import LrCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .memory import MemoryTable


def plot_lr(curve: LrCurve, ax: Axes | None = None) -> Axes:
    """Draw the learning rate of each group over the steps to come.

    Parameters
    ----------
    curve : LrCurve
        What :func:`optimkit.lr_curve` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it, in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        With a line for each group.

    Examples
    --------
    >>> import matplotlib, optimkit
    >>> matplotlib.use("agg")
    >>> rows = (optimkit.LrRow(0, 0, 0.1), optimkit.LrRow(1, 0, 0.05))
    >>> plot_lr(optimkit.LrCurve("StepLR", ("head",), rows)).get_title()
    'lr by StepLR'
    """
    ax = _axes(ax)
    groups = range(len(curve.names))
    lines = [ax.plot(curve.lrs(group), label=curve.names[group])[0] for group in groups]
    ends = sorted(row.lr for row in curve.rows[-len(lines) :])
    room = 0.045 * max(row.lr for row in curve.rows)
    if len(lines) > 6 or any(high - low < room for low, high in pairwise(ends)):
        ax.legend(fontsize="small", frameon=False)
    elif len(lines) > 1:  # a label at the end of its line is found sooner than in a legend
        for index, line in enumerate(lines):
            end = (len(curve.rows) // len(lines) - 1, curve.rows[index - len(lines)].lr)
            style: Any = {"color": line.get_color(), "va": "center", "fontsize": "small"}
            name = curve.names[index]
            ax.annotate(name, end, (4, 0), textcoords="offset points", **style)
    ax.set(title=f"lr by {curve.scheduler}", xlabel="scheduler.step()", ylabel="lr")
    ax.set_ylim(bottom=0 if all(row.lr >= 0 for row in curve.rows) else None)
    return ax


def plot_layers(report: Report, option: str = "lr", ax: Axes | None = None) -> Axes:
    """Draw the learning rate, or the weight decay, of each layer.

    Parameters
    ----------
    report : Report
        What :func:`optimkit.describe` returned.
    option : {"lr", "weight_decay"}, optional
        What to draw.
    ax : matplotlib.axes.Axes, optional
        As for :func:`optimkit.plot_lr`.

    Returns
    -------
    matplotlib.axes.Axes
        With a dot for each value that a layer has.

    Examples
    --------
    >>> import matplotlib, optimkit, torch
    >>> matplotlib.use("agg")
    >>> report = optimkit.describe(torch.optim.AdamW(torch.nn.Linear(2, 2).parameters()))
    >>> plot_layers(report, "weight_decay").get_title()
    'weight_decay by layer, AdamW'
    """
    if option not in ("lr", "weight_decay"):
        raise ValueError(f"option must be lr or weight_decay, not {option!r}")
    ax = _axes(ax)
    layers: dict[str, dict[float, None]] = {}
    for row in report.rows:
        value = getattr(row, option)
        if isinstance(value, (int, float)):
            layer = row.name.rpartition(".")[0] or "(model)"
            layers.setdefault(layer, {})[float(value)] = None
    dots = [(value, place) for place, values in enumerate(layers.values()) for value in values]
    ax.plot([value for value, _ in dots], [place for _, place in dots], "o")
    every = max(1, -(-len(layers) // 40))  # of a deep model, some names: they would overlap
    ax.set_yticks(range(0, len(layers), every), list(layers)[::every])
    ax.invert_yaxis()  # the first layer on top, as in the code
    ax.set(title=f"{option} by layer, {report.optimizer}", xlabel=option)
    return ax


def plot_memory(table: MemoryTable, ax: Axes | None = None) -> Axes:
    """Draw what each kind of state takes.

    Parameters
    ----------
    table : MemoryTable
        What :func:`optimkit.state_memory` returned.
    ax : matplotlib.axes.Axes, optional
        As for :func:`optimkit.plot_lr`.

    Returns
    -------
    matplotlib.axes.Axes
        With a bar for each row, its size written at its end.

    Examples
    --------
    >>> import matplotlib, optimkit
    >>> matplotlib.use("agg")
    >>> table = optimkit.MemoryTable([optimkit.MemoryRow("exp_avg", 40400, 2)], "State")
    >>> [text.get_text() for text in plot_memory(table).texts]
    [' 39.5 KiB']
    """
    ax = _axes(ax)
    places = range(len(table.rows))
    bars = ax.barh(places, [row.bytes for row in table.rows])
    ax.bar_label(bars, [f" {_size(row.bytes)}" for row in table.rows], fontsize="small")
    ax.set_yticks(places, [row.name for row in table.rows])
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set(title=f"{table.caption}: {_size(table.total)}", xlabel="bytes")
    return ax


def _axes(ax: Axes | None) -> Any:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'optimkit[plots]'") from error
    return pyplot.subplots(layout="constrained")[1]


def _size(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.3g} TiB"
