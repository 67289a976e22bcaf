# /// script
# dependencies = ["mosaicml>=0.32", "torch==2.6.*", "numpy"]
# ///
"""Composer: the optimizer and the schedule are passed ready-made."""

import torch
from composer import Trainer
from composer.models import ComposerModel

import optimkit
from check import Run, check
from example import Net, loader, loss_of


class Task(ComposerModel):
    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, batch):
        return self.net(batch[0])

    def loss(self, outputs, batch):
        return loss_of(outputs, batch[1])


QUIET = {"device": "cpu", "progress_bar": False, "save_interval": "5ba"}


def recipe(folder, steps, checkpoint):
    model, batches = Task(), loader()
    # recipe
    no_decay = optimkit.when(optimkit.is_bias | optimkit.is_norm, weight_decay=0.0)
    groups = optimkit.param_groups(model, no_decay)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    trainer = Trainer(
        model=model,
        train_dataloader=batches,
        max_duration=f"{steps}ba",
        optimizers=optimizer,
        schedulers=torch.optim.lr_scheduler.StepLR(optimizer, 2),
        step_schedulers_every_batch=True,
        save_folder=str(folder),
        load_path=checkpoint and str(checkpoint),
        # recipe end
        **QUIET,
    )
    trainer.fit()
    [file] = folder.glob(f"*ba{steps}-rank0.pt")
    state = trainer.state
    return Run(model, optimizer, state.schedulers, file, file, ("state", "optimizers", "AdamW"))


def facts(half):
    """What the page says of Composer."""
    saved = torch.load(half.file, weights_only=False)
    assert set(saved) == {"state", "rng"}
    assert set(saved["state"]["schedulers"]) == {"StepLR"}
    state = saved["state"]["optimizers"]["AdamW"]["state"]
    assert set(state) == {name for name, _ in half.model.named_parameters()}


if __name__ == "__main__":
    facts(check("mosaicml", recipe))
