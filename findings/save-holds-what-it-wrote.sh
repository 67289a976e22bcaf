#!/usr/bin/env bash
# Good guess: torch.save holds nothing when it returns. A copy of the weights that was made for it is freed as soon
# as the last name for it goes, as everything in CPython that is in no cycle.
# Wrong up to torch 2.9: save defines a pickler class inside itself, a class is always in a cycle, and this one holds
# the storages that were written. They stay until garbage is collected, which a training loop that makes few Python
# objects, or calls gc.disable() or gc.freeze(), puts off for long: each save of a fresh copy adds its size.
# (torch 2.13 deletes the closure, and says why.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.9.1 numpy
cd "$folder"
"$folder/env/bin/python" -W ignore - << 'EOF'
import gc
import sys

import torch

print("torch", torch.__version__)
memory = bytearray(4)
free = sys.getrefcount(memory)
gc.disable()
for saves in range(1, 4):
    torch.save({"weight": torch.frombuffer(memory, dtype=torch.float32)}, "last.pt")
    print(f"{saves} saves: held {sys.getrefcount(memory) - free} times")
held = sys.getrefcount(memory) - free
gc.collect()
print(f"garbage collected: held {sys.getrefcount(memory) - free} times")
assert held == 3
assert sys.getrefcount(memory) == free
EOF
