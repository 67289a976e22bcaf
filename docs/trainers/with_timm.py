# /// script
# dependencies = ["timm", "numpy"]
# ///
"""Timm's parts of a training script: optimizer, schedule, saver."""

import torch
from timm.models import create_model, resume_checkpoint
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import CheckpointSaver

import optimkit
from check import Run, check
from example import Net, loader, loss_of


def recipe(folder, steps, checkpoint):
    """Five batches are an epoch here: timm's script resumes at its end."""
    model, batches, begin = Net(), loader(8), 0
    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)

    def groups(model):
        return optimkit.param_groups(model, no_decay)

    optimizer = create_optimizer_v2(
        model, "adamw", lr=0.01, weight_decay=0.1, param_group_fn=groups
    )
    schedule, _ = create_scheduler_v2(optimizer, sched="step", decay_epochs=1)
    saver = CheckpointSaver(model, optimizer, checkpoint_dir=folder)
    if checkpoint:
        begin = resume_checkpoint(model, checkpoint, optimizer)
        schedule.step(begin)
    # recipe end
    for epoch in range(begin, steps // 5):
        for words, target in batches:
            optimizer.zero_grad()
            loss_of(model(words), target).backward()
            optimizer.step()
        schedule.step(epoch + 1)
        saver.save_checkpoint(epoch)
    file = folder / "last.pth.tar"
    return Run(model, optimizer, [schedule], file, file, ("optimizer",))


def facts(half):
    """What the page says of timm."""
    assert "schedule" not in torch.load(half.file, weights_only=True)
    optimizer = create_optimizer_v2(half.model, "adamw", lr=0.01, weight_decay=0.1)
    first, second = optimizer.param_groups
    assert (first["weight_decay"], second["weight_decay"]) == (0.0, 0.1)
    assert {parameter.ndim for parameter in first["params"]} == {1}
    assert "param_names" not in first
    names = {parameter: name for name, parameter in half.model.named_parameters()}
    order = [names[parameter] for parameter in first["params"] + second["params"]]
    found = optimkit.describe(optimizer.state_dict(), half.model)
    assert [row.name for row in found.rows] == order

    optimizer = create_optimizer_v2(create_model("test_vit"), "adamw", lr=0.01, layer_decay=0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
    assert min(group["lr_scale"] for group in optimizer.param_groups) < 1
    create_scheduler_v2(optimizer, sched="step", decay_epochs=1)
    assert len({group["lr"] for group in optimizer.param_groups}) > 1


if __name__ == "__main__":
    facts(check("timm", recipe))
