#!/usr/bin/env bash
# Good guess: to train on for longer, resume with a larger max_iters, and the schedule goes on.
# Wrong: "end", which the runner fills in from max_iters, is saved with each scheduler; beyond it the lr stays as it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy mmengine==0.10.7
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import os

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # without it, MMEngine can't resume since torch 2.6
import mmengine
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

print("mmengine", mmengine.__version__)


class Task(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, batch, mode):
        return {"loss": self.layer(batch).sum()}


loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(40, 1)))


def last_lr(steps, checkpoint=None):
    runner = Runner(
        *(Task(), "out", loader),
        train_cfg={"by_epoch": False, "max_iters": steps},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 1.0}},
        param_scheduler={"type": "StepLR", "step_size": 2, "gamma": 0.5, "by_epoch": False},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 5, "by_epoch": False}},
        **{"load_from": checkpoint, "resume": bool(checkpoint), "log_level": "ERROR"},
    )
    runner.train()
    return runner.optim_wrapper.param_groups[0]["lr"]


whole = last_lr(10)
half = last_lr(5)
resumed = last_lr(10, "out/iter_5.pth")
print("lr at the end, in one go:", whole, "after half:", half, "resumed to twice the length:", resumed)
assert resumed == half == 0.25
assert whole < 0.1
EOF
