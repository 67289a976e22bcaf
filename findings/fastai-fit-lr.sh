#!/usr/bin/env bash
# Good guess: Learner.fit() without lr trains each group at the lr that the optimizer was made with.
# Wrong: it writes the Learner's one lr into all groups; Learner's own default where none was given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy fastai==2.8.12
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import torch
from fastai.learner import DataLoaders, Learner
from fastai.optimizer import OptimWrapper
import fastai

print("fastai", fastai.__version__)
body, head = torch.nn.Linear(1, 2), torch.nn.Linear(2, 1)


def two_rates(parameters, lr):
    groups = [
        {"params": list(body.parameters()), "lr": 1e-4},
        {"params": list(head.parameters()), "lr": 1e-2},
    ]
    return OptimWrapper(opt=torch.optim.SGD(groups))


data = [(torch.ones(1, 1), torch.ones(1, 1))]
learner = Learner(
    DataLoaders(data, data), torch.nn.Sequential(body, head), torch.nn.MSELoss(), two_rates
)
learner.create_opt()
made = [group["lr"] for group in learner.opt.opt.param_groups]
learner.fit(0)
found = [group["lr"] for group in learner.opt.opt.param_groups]
print("made with", made, "trains with", found)
assert made == [1e-4, 1e-2]
assert found == [1e-3, 1e-3]
EOF
