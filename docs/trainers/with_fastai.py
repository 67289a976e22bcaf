# /// script
# dependencies = ["fastai", "numpy"]
# ///
"""Fastai: ``OptimWrapper`` takes an optimizer of torch."""

import pickle

import torch
from fastai.callback import schedule  # noqa: F401 (gives Learner its fit_one_cycle)
from fastai.learner import DataLoaders, Learner
from fastai.optimizer import OptimWrapper

import optimkit
from check import Run, check
from example import Net, loader


def recipe(folder, steps, checkpoint):
    """Five batches are an epoch here: fastai saves and resumes at its end."""
    model, batches = Net(), DataLoaders(loader(8), loader(8))

    # recipe
    def adamw(parameters, lr):
        no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
        groups = optimkit.param_groups(model, no_decay)
        return OptimWrapper(opt=torch.optim.AdamW(groups, lr=lr, weight_decay=0.1))

    learner = Learner(batches, model, torch.nn.CrossEntropyLoss(), adamw, lr=0.01, path=folder)
    # recipe end
    if checkpoint:
        learner.load(checkpoint)
    learner.fit(steps // 5 - bool(checkpoint))
    file = learner.save("last")
    return Run(model, learner.opt.opt, [], file.with_suffix(""), file, ("opt",))


def facts(half):
    """What the page says of fastai."""
    batches, loss = DataLoaders(loader(8), loader(8)), torch.nn.CrossEntropyLoss()
    own = Learner(batches, Net(), loss, path=half.checkpoint.parent)
    own.fit(1)
    assert not isinstance(own.opt, torch.optim.Optimizer)
    saved = torch.load(own.save("own"), weights_only=False)["opt"]
    assert isinstance(saved["state"], list)  # one for each parameter, in order

    def two_rates(parameters, lr):
        model = own.model
        groups = optimkit.param_groups(model, optimkit.when("head.*", lr=10 * lr), lr=lr)
        return OptimWrapper(opt=torch.optim.AdamW(groups))

    other = Learner(batches, own.model, loss, two_rates, lr=0.01, path=half.checkpoint.parent)
    other.create_opt()
    assert rates(other) == [0.01, 0.1]
    other.fit(0)
    assert rates(other) == [0.01, 0.01]
    other.fit(0, [0.01, 0.1])
    assert rates(other) == [0.01, 0.1]
    other.fit_one_cycle(1, 0.01)
    assert type(rates(other)[0]) is not float
    try:
        torch.load(other.save("cycle"), weights_only=True)
    except pickle.UnpicklingError:
        return
    raise AssertionError("a learning rate of numpy was not refused")


def rates(learner):
    return [group["lr"] for group in learner.opt.opt.param_groups]


if __name__ == "__main__":
    facts(check("fastai", recipe))
