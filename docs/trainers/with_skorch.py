# /// script
# dependencies = ["skorch", "numpy"]
# ///
"""Skorch makes the optimizer itself: a subclass of the net gives it the groups."""

import torch
from skorch import NeuralNet
from skorch.callbacks import Checkpoint, LoadInitState, LRScheduler

import example
import optimkit
from check import Run, check
from example import Net, Words

QUIET = {"train_split": None, "verbose": 0}


# recipe
class Grouped(NeuralNet):
    def initialize_optimizer(self):
        no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
        groups = optimkit.param_groups(self.module_, no_decay)
        self.optimizer_ = torch.optim.AdamW(groups, lr=self.lr, weight_decay=0.1)
        return self

    # recipe end


def net_of(folder, epochs, checkpoint, *callbacks):
    keep = Checkpoint(dirname=folder, monitor=None)
    load = [LoadInitState(Checkpoint(dirname=checkpoint))] if checkpoint else []
    return Grouped(
        *(Net, torch.nn.CrossEntropyLoss),
        max_epochs=epochs,
        batch_size=8,
        callbacks=[*load, *callbacks, ("keep", keep)],
        iterator_train__shuffle=example.chance,
        **QUIET,
    )


def recipe(folder, steps, checkpoint):
    """Five batches are an epoch here: skorch saves and resumes at its end."""
    net = net_of(folder, steps // 5 - bool(checkpoint), checkpoint).fit(Words(), None)
    return Run(net.module_, net.optimizer_, [], folder, folder / "optimizer.pt")


def facts(half):
    """What the page says of skorch."""
    assert {path.name for path in half.checkpoint.iterdir()} == {
        *("params.pt", "optimizer.pt", "criterion.pt", "history.json")
    }
    own = NeuralNet(Net, torch.nn.CrossEntropyLoss, optimizer=torch.optim.AdamW).initialize()
    [group] = own.optimizer_.param_groups
    assert "param_names" not in group

    assert lrs_of(half.checkpoint / "whole", 4) == [0.01, 0.01, 0.005, 0.005]
    assert lrs_of(half.checkpoint / "half", 2) == [0.01, 0.01]
    rest = lrs_of(half.checkpoint / "rest", 2, half.checkpoint / "half")
    assert rest == [0.01, 0.01, 0.0025, 0.0025]


def lrs_of(folder, epochs, checkpoint=None):
    """Train with a schedule that halves the learning rate every two epochs."""
    schedule = LRScheduler("StepLR", step_size=2, gamma=0.5)
    net = net_of(folder, epochs, checkpoint, ("schedule", schedule)).fit(Words(), None)
    return net.history[:, "event_lr"]


if __name__ == "__main__":
    facts(check("skorch", recipe))
