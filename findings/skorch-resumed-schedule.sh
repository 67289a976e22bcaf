#!/usr/bin/env bash
# Good guess: LoadInitState, which brings back weights, optimizer and history, brings back the schedule, or begins it anew.
# Wrong: made anew on the optimizer that was loaded, with the epochs of the history, it decays once more at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy skorch==1.4.0
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import skorch
import torch
from skorch import NeuralNet
from skorch.callbacks import Checkpoint, LoadInitState, LRScheduler

print("skorch", skorch.__version__)
data = torch.utils.data.TensorDataset(torch.ones(4, 1), torch.ones(4, 1))


def lrs(folder, epochs, load=()):
    callbacks = [
        *load,
        ("schedule", LRScheduler("StepLR", step_size=2, gamma=0.5)),
        ("keep", Checkpoint(dirname=folder, monitor=None)),
    ]
    net = NeuralNet(
        *(torch.nn.Linear, torch.nn.MSELoss),
        module__in_features=1,
        module__out_features=1,
        **{"max_epochs": epochs, "callbacks": callbacks, "train_split": None, "verbose": 0},
    )
    return net.fit(data, None).history[:, "event_lr"]


whole = lrs("whole", 4)
lrs("half", 2)
resumed = lrs("rest", 2, [LoadInitState(Checkpoint(dirname="half"))])
print("in one go:", whole, "in two halves:", resumed)
assert whole == [0.01, 0.01, 0.005, 0.005]
assert resumed == [0.01, 0.01, 0.0025, 0.0025]
EOF
