# /// script
# dependencies = ["pytorch-ignite", "numpy"]
# ///
"""Ignite: the optimizer is yours; ``Checkpoint`` keeps it under the key that you give."""

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver, LRScheduler

import optimkit
from check import Run, check
from example import Net, loader, loss_of


def recipe(folder, steps, checkpoint):
    model, batches = Net(), loader()

    def train_step(engine, batch):
        words, target = batch
        optimizer.zero_grad()
        loss_of(model(words), target).backward()
        optimizer.step()
        if engine.state.iteration == steps:
            engine.terminate()

    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    trainer = Engine(train_step)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: schedule.step())
    kept = {"model": model, "optimizer": optimizer, "schedule": schedule, "trainer": trainer}
    keep = Checkpoint(kept, DiskSaver(folder), filename_pattern="last.pt")
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=5), keep)
    if checkpoint:
        Checkpoint.load_objects(kept, checkpoint)
    trainer.run(batches, max_epochs=1)
    # recipe end
    file = folder / "last.pt"
    return Run(model, optimizer, [schedule], file, file, ("optimizer",))


def facts(half):
    """What the page says of Ignite."""
    assert set(torch.load(half.file, weights_only=True)) == {
        *("model", "optimizer", "schedule", "trainer")
    }
    optimizer = torch.optim.SGD(half.model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    trainer = Engine(lambda engine, batch: optimizer.step())
    trainer.add_event_handler(Events.ITERATION_COMPLETED, LRScheduler(schedule))
    trainer.run(range(5))
    assert (schedule.get_last_lr(), optimizer.param_groups[0]["lr"]) == ([1.0], 0.1**2)

    seen = []
    trainer = Engine(lambda engine, batch: seen.append((engine.state.iteration, batch)))
    trainer.load_state_dict({"iteration": 5, "max_epochs": 1, "epoch_length": 10})
    trainer.run(range(10))
    assert seen == [(6, 0), (7, 1), (8, 2), (9, 3), (10, 4)]


if __name__ == "__main__":
    facts(check("pytorch-ignite", recipe))
