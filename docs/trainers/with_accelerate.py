# /// script
# dependencies = ["accelerate", "numpy"]
# ///
"""Accelerate: groups first, then ``prepare``."""

from dataclasses import replace

import torch
from accelerate import Accelerator

import optimkit
from check import Run, check, steps_of
from example import Net, loader, loss_of


def recipe(folder, steps, checkpoint):
    accelerator, model, batches = Accelerator(cpu=True), Net(), loader()
    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    model, optimizer, schedule, batches = accelerator.prepare(model, optimizer, schedule, batches)
    if checkpoint:
        accelerator.load_state(checkpoint)
    # recipe end
    done = 5 if checkpoint else 0
    for words, target in accelerator.skip_first_batches(batches, done):
        accelerator.backward(loss_of(model(words), target))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        done += 1
        if done == steps:
            break
    saved = folder / "last"
    accelerator.save_state(saved)
    return Run(model, optimizer, [schedule], saved, saved / "optimizer.bin")


def facts(half):
    """What the page says of Accelerate."""
    assert half.schedulers[0].scheduler.last_epoch == 5
    assert {path.name for path in half.checkpoint.iterdir()} == {
        *("model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl")
    }
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    optimizer = torch.optim.AdamW(half.model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    model, optimizer, schedule = accelerator.prepare(half.model, optimizer, schedule)
    for words, target in list(loader())[:8]:
        with accelerator.accumulate(model):
            accelerator.backward(loss_of(model(words), target))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    assert steps_of(replace(half, optimizer=optimizer)) == {schedule.scheduler.last_epoch} == {4}


if __name__ == "__main__":
    facts(check("accelerate", recipe))
