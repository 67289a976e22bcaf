#!/usr/bin/env bash
# Good guess: torch.empty_like of a tensor on the meta device asks for memory, no more, as torch.empty and
# torch.empty_strided of its shape do.
# Wrong: for meta tensors it is written in Python (torch._refs), whose first call imports sympy: it takes longer
# than the import of many a package. Who makes room for a checkpoint read with map_location="meta" waits for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy
cd "$folder"
"$folder/env/bin/python" - << 'EOF'
import sys
import time

import torch

print("torch", torch.__version__)
form = torch.empty(2, 3, device="meta")


def seconds(make):
    start = time.perf_counter()
    assert make().shape == (2, 3)
    return time.perf_counter() - start


strided = seconds(lambda: torch.empty_strided(form.shape, form.stride()))
assert "sympy" not in sys.modules
like = seconds(lambda: torch.empty_like(form, device="cpu"))
print(f"empty_strided {strided:.6f} s, the first empty_like {like:.6f} s; sympy is imported:", "sympy" in sys.modules)
assert "sympy" in sys.modules
assert like > 100 * strided
EOF
