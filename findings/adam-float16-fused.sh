#!/usr/bin/env bash
# Good guess: fused=True is the same Adam, only faster; on weights of one dtype it gives what the loop gives.
# Wrong: in float16 the loop and foreach compute in float16, where the default eps of 1e-8 is 0. An entry whose
# gradient is zero becomes NaN, 0 / 0, and one whose square is too small for float16 becomes infinite. The fused
# step computes in float32: both are fine. Whoever turns fused off, or is on a device without it, loses the weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import torch

print("torch", torch.__version__)
found = {}
for how in ({"foreach": False}, {"foreach": True}, {"fused": True}):
    weight = torch.ones(3, dtype=torch.float16, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=1e-3, **how)
    weight.grad = torch.tensor([0.0, 1e-4, 1.0], dtype=torch.float16)
    optimizer.step()
    found[str(how)] = weight.detach()
    print(how, weight.detach().tolist())
loop, foreach, fused = found.values()
for each in (loop, foreach):
    assert each[0].isnan() and each[1].isinf() and each[2].isfinite()
assert fused.isfinite().all()
EOF
