"""Figures: one axes each, returned, legible on light and dark."""

import matplotlib as mpl
import pytest
import torch
from torch import nn

from optimkit import describe, lr_curve, plot_layers, plot_lr, plot_memory, state_memory

mpl.use("agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def setup():
    """Return a model, an optimizer of two groups, and a scheduler."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(
        [
            {"params": model[0].parameters(), "lr": 0.1, "name": "body"},
            {"params": model[1].parameters(), "lr": 0.2, "name": "head"},
        ]
    )
    yield model, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2)
    plt.close("all")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_each_draws_one_axes(setup, style):
    """Each returns its axes, in a new figure or in the one given, in any style."""
    model, optimizer, scheduler = setup
    with plt.style.context(style):
        for draw in (
            lambda ax=None: plot_lr(lr_curve(scheduler, 5), ax),
            lambda ax=None: plot_layers(describe(optimizer, model), "lr", ax),
            lambda ax=None: plot_layers(describe(optimizer, model), "weight_decay", ax),
            lambda ax=None: plot_memory(state_memory(optimizer, predict=True), ax),
        ):
            ax = draw()
            assert ax.figure.axes == [ax]
            assert ax.get_title()
            other = plt.subplots()[1]
            assert draw(other) is other
            ax.figure.canvas.draw()


def test_what_is_drawn(setup):
    """Lines are labelled by group, layers are in order, bars have their bytes."""
    model, optimizer, scheduler = setup
    ax = plot_lr(lr_curve(scheduler, 3))
    assert [line.get_label() for line in ax.lines] == ["body", "head"]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert [text.get_text() for text in ax.texts] == ["body", "head"]
    ax = plot_layers(describe(optimizer, model))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1"]
    assert list(ax.lines[0].get_xdata()) == [0.1, 0.2]
    ax = plot_memory(state_memory(optimizer, predict=True))
    assert [bar.get_width() for bar in ax.patches] == [16, 104, 104]


def test_an_unknown_option(setup):
    """Only two options have a figure."""
    model, optimizer, _ = setup
    with pytest.raises(ValueError, match=r"^option must be lr or weight_decay, not 'eps'$"):
        plot_layers(describe(optimizer, model), "eps")


def test_lines_that_end_together_have_a_legend():
    """Groups that end at the same lr are told apart in a legend, others at the end of their lines."""
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": [params[0]], "lr": 1.0}, {"params": [params[1]], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups)
    together = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    ax = plot_lr(lr_curve(together, 10))
    assert len(ax.get_legend().get_texts()) == 2
    assert not ax.texts
    ax = plot_lr(lr_curve(together, 5))
    assert ax.get_legend() is None
    assert len(ax.texts) == 2
