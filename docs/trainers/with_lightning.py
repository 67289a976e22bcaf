# /// script
# dependencies = ["lightning", "numpy"]
# ///
"""Lightning: the groups go into ``configure_optimizers``."""

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

import optimkit
from check import Run, check
from example import Net, loader, loss_of

QUIET = {
    **dict.fromkeys(["logger", "enable_progress_bar", "enable_model_summary"], False),
    "accelerator": "cpu",
}


# recipe
class Task(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def configure_optimizers(self):
        no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
        groups = optimkit.param_groups(self, no_decay)
        optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    # recipe end
    def training_step(self, batch, index):
        words, target = batch
        return loss_of(self.model(words), target)


def recipe(folder, steps, checkpoint):
    task, file = Task(Net()), folder / "last.ckpt"
    keep = ModelCheckpoint(folder, filename="last", every_n_train_steps=5)
    trainer = lightning.Trainer(max_steps=steps, callbacks=[keep], **QUIET)
    trainer.fit(task, loader(), ckpt_path=checkpoint)
    return Run(task, task.optimizers(), [task.lr_schedulers()], file, file, ("optimizer_states", 0))


class EpochTask(Task):
    def configure_optimizers(self):
        [optimizer], [schedule] = super().configure_optimizers()
        return [optimizer], [schedule["scheduler"]]


def facts(half):
    """What the page says of Lightning."""
    saved = torch.load(half.file, weights_only=True)
    assert len(saved["optimizer_states"]) == len(saved["lr_schedulers"]) == 1
    assert set(saved["lr_schedulers"][0]) == set(half.schedulers[0].state_dict())
    assert not any("rng" in key or "random" in key for key in saved)
    assert half.schedulers[0].last_epoch == 5
    task = EpochTask(Net())
    lightning.Trainer(max_epochs=2, enable_checkpointing=False, **QUIET).fit(task, loader())
    assert task.lr_schedulers().last_epoch == 2  # after 20 steps


class Watched(Task):
    def training_step(self, batch, index):
        SEEN.append((index, batch[0][0].tolist()))
        return super().training_step(batch, index)


SEEN = []


def data_begins_anew(half):
    """Resumed from the middle of an epoch, the index of the batch goes on, the data start from the beginning."""
    for checkpoint in (None, half.file):
        task = Watched(Net())
        trainer = lightning.Trainer(max_steps=10, enable_checkpointing=False, **QUIET)
        trainer.fit(task, loader(), ckpt_path=checkpoint)
    assert [index for index, _ in SEEN] == [*range(10), *range(5, 10)]
    assert [words for _, words in SEEN[10:]] == [words for _, words in SEEN[:5]]


if __name__ == "__main__":
    half = check("lightning", recipe)
    facts(half)
    data_begins_anew(half)
