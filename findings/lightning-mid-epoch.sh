#!/usr/bin/env bash
# Good guess: a run resumed from a checkpoint of the middle of an epoch goes on with the next batch.
# Wrong: batch_idx goes on, the data begin anew: the first batches are seen twice, the rest never (there is a warning).
# Good guess: one saved by trainer.save_checkpoint() after fit has ended at max_steps does no worse.
# Wrong: the epoch counts as over, the rest of its batches is never seen, and batch_idx goes on in the next one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy lightning==2.6.6
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import warnings

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

warnings.simplefilter("ignore")
print("lightning", lightning.__version__)
seen = []


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        seen.append((self.current_epoch, batch_idx, int(batch)))
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(steps, checkpoint=None, **options):
    seen.clear()
    quiet = dict.fromkeys(["logger", "enable_progress_bar", "enable_model_summary"], False)
    trainer = lightning.Trainer(accelerator="cpu", max_steps=steps, **quiet, **options)
    data = torch.utils.data.DataLoader(torch.arange(10.0).view(10, 1))  # ten batches, in order
    trainer.fit(Task(), data, ckpt_path=checkpoint)
    return trainer


fit(5, callbacks=[ModelCheckpoint(".", filename="middle", every_n_train_steps=5)])
fit(10, "middle.ckpt", enable_checkpointing=False)
print("(epoch, batch_idx, batch), saved by ModelCheckpoint:", seen)
assert seen == [(0, 5, 0), (0, 6, 1), (0, 7, 2), (0, 8, 3), (0, 9, 4)]
fit(5, enable_checkpointing=False).save_checkpoint("end.ckpt")
fit(10, "end.ckpt", enable_checkpointing=False)
print("saved after fit:", seen)
assert seen == [(1, 5, 0), (1, 6, 1), (1, 7, 2), (1, 8, 3), (1, 9, 4)]
EOF
