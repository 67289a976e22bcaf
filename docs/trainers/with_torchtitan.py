# /// script
# dependencies = ["torchtitan", "numpy"]
# ///
"""Torchtitan: its container sorts parameters by patterns of their names; groups become patterns."""

import re

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torchtitan.components.optimizer import (
    LRSchedulersContainer,
    OptimizersContainer,
    ParamGroupConfig,
)

import optimkit
from check import Run, check
from example import Net, loader, loss_of


def recipe(folder, steps, checkpoint):
    model, batches = Net(), loader()

    # recipe
    def config_of(params, name, **options):
        names = "|".join(re.escape(name) for name, _ in params)
        kind = {"optimizer_name": "AdamW", "optimizer_kwargs": options}
        return ParamGroupConfig(pattern=f"^({names})$", **kind)

    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay, lr=0.01, weight_decay=0.1)
    configs = [config_of(**group) for group in groups]
    config = OptimizersContainer.Config(param_groups=configs, implementation="for-loop")
    optimizers = config.build(model_parts=[model])
    # recipe end
    schedules = LRSchedulersContainer(optimizers, lambda step: 0.5 ** (step // 2))
    state = {"model": model, "optimizer": optimizers, "lr_scheduler": schedules}
    if checkpoint:
        dcp.load(state, checkpoint_id=checkpoint)
    for words, target in list(batches)[5 if checkpoint else 0 : steps]:
        optimizers.zero_grad()
        loss_of(model(words), target).backward()
        optimizers.step()
        schedules.step()
    dcp.save(state, checkpoint_id=folder / "last")
    [optimizer], [schedule] = optimizers, schedules
    return Run(model, optimizer, [schedule], folder / "last", folder / "last")


def flat(folder):
    """Return what a folder of torch.distributed.checkpoint holds, by key."""
    file = folder.parent / "flat.pt"
    dcp_to_torch_save(folder, file)
    return torch.load(file, weights_only=True)


def names_in(half):
    """Whether the keys of the state are the parameters' names."""
    keys = {key for key in flat(half.file)["optimizer"] if key.endswith(".exp_avg")}
    return keys == {f"state.{name}.exp_avg" for name, _ in half.model.named_parameters()}


def one_group(half):
    """Make a container of one group, and load what was saved."""
    config = ParamGroupConfig(pattern=".*", optimizer_name="AdamW", optimizer_kwargs={"lr": 0.1})
    config = OptimizersContainer.Config(param_groups=[config], implementation="for-loop")
    [optimizer] = container = config.build(model_parts=[half.model])
    container.load_state_dict(flat(half.file)["optimizer"])
    return optimizer


def loads_by_name(half):
    """Whether each state finds its parameter where all are in one group."""
    assert "exp_avg" not in one_group(half).state[half.model.head.weight]  # there are gradients
    half.model.zero_grad()
    fresh = one_group(half)
    return all(
        torch.equal(fresh.state[parameter]["exp_avg"], half.optimizer.state[parameter]["exp_avg"])
        for parameter in half.model.parameters()
    )


def facts(half):
    """What the page says of torchtitan."""
    saved = flat(half.file)
    assert saved["optimizer"]["param_groups.norm.weight.weight_decay"] == 0.0
    assert saved["optimizer"]["param_groups.head.weight.weight_decay"] == 0.1
    assert saved["lr_scheduler"] == {"last_epoch": 5}


if __name__ == "__main__":
    facts(check("torchtitan", recipe, names_in, loads_by_name))
