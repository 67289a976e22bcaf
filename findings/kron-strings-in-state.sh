#!/usr/bin/env bash
# Good guess: what an optimizer keeps for a parameter is tensors and numbers, which may be moved, cast, summed up or averaged.
# Wrong: Kron keeps the einsum expressions of its preconditioners there, as strings, and load_state_dict lets them through.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy setuptools kron-torch==0.3.3
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import os

os.environ["TORCHDYNAMO_DISABLE"] = "1"
from importlib.metadata import version

import torch
from kron_torch import Kron

print("kron-torch", version("kron-torch"))
weight = torch.nn.Parameter(torch.ones(4, 3))
optimizer = Kron([weight], lr=0.1)
weight.grad = torch.ones(4, 3)
optimizer.step()


def words(value):
    if isinstance(value, (list, tuple)):
        return [word for item in value for word in words(item)]
    return [value] if isinstance(value, str) else []


found = {key: words(value) for key, value in optimizer.state[weight].items() if words(value)}
print("strings in the state of a parameter:", found)
assert found and all("->" in word for each in found.values() for word in each)
EOF
