#!/usr/bin/env bash
# Good guess: the optimizer container loads a state dict at any time, or says why it can't.
# Wrong: where a parameter has a gradient and no state yet (after the first backward()), the state is left out, without
# a word.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy torchtitan==0.3.0
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import importlib.metadata

import torch
from torchtitan.components.optimizer import OptimizersContainer, ParamGroupConfig

print("torchtitan", importlib.metadata.version("torchtitan"))
model = torch.nn.Linear(2, 1)


def container():
    group = ParamGroupConfig(pattern=".*", optimizer_name="AdamW", optimizer_kwargs={"lr": 0.1})
    config = OptimizersContainer.Config(param_groups=[group], implementation="for-loop")
    return config.build(model_parts=[model])


def keys(optimizers):
    [optimizer] = optimizers
    return sorted(optimizer.state.get(model.weight, ()))


model(torch.ones(1, 2)).sum().backward()
trained = container()
trained.step()
saved = trained.state_dict()
after = container()
after.load_state_dict(saved)
model.zero_grad()
before = container()
before.load_state_dict(saved)
print("loaded with a gradient:", keys(after), "without:", keys(before))
assert keys(after) == []
assert keys(before) == ["exp_avg", "exp_avg_sq", "step"]
EOF
