# /// script
# dependencies = ["mmengine", "numpy"]
# ///
"""MMEngine: ``OptimWrapper`` takes an optimizer of torch."""

import os
import pickle

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

import optimkit
from check import Run, check
from example import Net, loader, loss_of

# its own resume needs this since torch 2.6, as its files hold more than weights
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"


class Task(BaseModel):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, words, target, mode):
        return {"loss": loss_of(self.net(words), target)}


class Interrupt(Hook):
    """Stop after so many steps; the schedule still ends where the run was to end."""

    priority = "LOWEST"

    def __init__(self, steps):
        self.steps = steps

    def after_train_iter(self, runner, **_):
        runner.train_loop.stop_training = runner.iter + 1 == self.steps


def recipe(folder, steps, checkpoint):
    model, batches = Task(), loader()
    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    runner = Runner(
        model,
        folder,
        train_dataloader=batches,
        train_cfg={"by_epoch": False, "max_iters": 10},
        optim_wrapper=OptimWrapper(optimizer),
        param_scheduler={"type": "StepLR", "step_size": 2, "by_epoch": False},
        # recipe end
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 5, "by_epoch": False}},
        custom_hooks=[Interrupt(steps)],
        load_from=checkpoint and str(checkpoint),
        resume=bool(checkpoint),
        log_level="ERROR",
    )
    runner.train()
    file = folder / f"iter_{steps}.pth"
    return Run(model, optimizer, runner.param_schedulers, file, file, ("optimizer",))


def facts(half):
    """What the page says of MMEngine."""
    own = {
        "optimizer": {"type": "AdamW", "lr": 0.01, "weight_decay": 0.1},
        "paramwise_cfg": {"norm_decay_mult": 0.0},
    }
    optimizer = longer(half, own).build_optim_wrapper(own).optimizer
    assert {len(group["params"]) for group in optimizer.param_groups} == {1}
    assert "param_names" not in optimizer.param_groups[0]

    runner = longer(half, OptimWrapper(half.optimizer))
    runner.train()
    assert runner.iter == 20
    assert runner.param_schedulers[0].last_step == 9  # the run was to end at 10

    del os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"]
    try:
        longer(half, OptimWrapper(half.optimizer)).train()
    except pickle.UnpicklingError:
        return
    raise AssertionError("torch took the file")


def longer(half, optimizer):
    """Resume, to go on for twice as long."""
    return Runner(
        *(half.model, half.checkpoint.parent / "longer", loader()),
        train_cfg={"by_epoch": False, "max_iters": 20},
        optim_wrapper=optimizer,
        param_scheduler={"type": "StepLR", "step_size": 2, "by_epoch": False},
        load_from=str(half.file),
        resume=True,
        log_level="ERROR",
    )


if __name__ == "__main__":
    facts(check("mmengine", recipe))
