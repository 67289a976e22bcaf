#!/usr/bin/env bash
# Good guess: FileSystemWriter(sync_files=True), the default of torch.distributed.checkpoint, has a checkpoint on
# the disk when save returns: it calls fsync on each file that it writes.
# Wrong up to torch 2.13: it calls fsync while the last bytes are still in Python's buffer, and closes the file
# afterwards. Of .metadata, without which nothing can be read, nothing at all is synced: a power cut soon after the
# save leaves a directory that does not load. (torch 2.15 flushes first.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --no-compile torch==2.13.0 numpy
cd "$folder"
"$folder/env/bin/python" -W ignore - << 'EOF'
import os
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

print("torch", torch.__version__)
synced, fsync = {}, os.fsync


def seen(descriptor):
    synced[Path(os.readlink(f"/proc/self/fd/{descriptor}")).name] = os.fstat(descriptor).st_size
    fsync(descriptor)


os.fsync = seen
dcp.save({"weight": torch.ones(1000)}, storage_writer=dcp.FileSystemWriter("last", sync_files=True))
for name, size in synced.items():
    print(f"{name}: {size} bytes when it was synced, {Path('last', name.removesuffix('.tmp')).stat().st_size} in the end")
assert synced[".metadata.tmp"] == 0 < Path("last", ".metadata").stat().st_size
EOF
