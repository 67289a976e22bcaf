#!/usr/bin/env bash
# Good guess: Trainer keeps weight decay off normalization layers, and puts it on the weights of linear ones.
# Wrong: it keeps it off LayerNorm by type and off the rest by name: the weight of a BatchNorm or GroupNorm called bn or
# gn decays, and that of a Linear called norm does not. Nor does a weight whose name has "bias" in it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy transformers==5.24.0 accelerate==1.15.0
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import transformers
from torch import nn
from transformers import Trainer, TrainingArguments

print("transformers", transformers.__version__)
model = nn.Module()
model.bn, model.gn, model.ln = nn.BatchNorm1d(2), nn.GroupNorm(1, 2), nn.LayerNorm(2)
model.linear, model.norm, model.debias = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(2, 3)
arguments = TrainingArguments("out", weight_decay=0.1, use_cpu=True, report_to="none")
groups = Trainer(model, arguments).create_optimizer().param_groups
names = {parameter: name for name, parameter in model.named_parameters()}
decayed = {names[p] for group in groups if group["weight_decay"] for p in group["params"]}
print("decayed:", sorted(decayed))
assert decayed == {"bn.weight", "gn.weight", "linear.weight"}
EOF
