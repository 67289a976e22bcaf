"""One of the processes of torchrun that save together, in the background: ``ranks.py FOLDER SECONDS``.

It goes on from the checkpoint that there is, and says on stdout which one it began with, and which
are complete. After so many seconds of saving it kills itself, if its rank is among those that follow.
"""

import os
import signal
import sys
import threading
import warnings
from itertools import count
from pathlib import Path

import torch
import torch.distributed as dist
from peers import make, whole
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

from optimkit.checkpoint import distributed


def main(folder: str, seconds: str, *ranks: str) -> None:
    """Save without end."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path, rank = Path(folder, "last"), os.environ["RANK"]
    mesh = init_device_mesh("cpu", (int(os.environ["WORLD_SIZE"]),))
    tensors = {
        name: distribute_tensor(each, mesh, [Shard(0)]) if name != "layer.0" else each
        for name, each in make(0, 4).items()
    }
    start = 0
    if path.exists():
        loaded = distributed.load(path)
        start = loaded["number"]
        assert whole(loaded["tensors"] | {"number": torch.tensor(float(start))})
    if rank == "0":
        print("from", start, flush=True)
    for number in count(start + 1):
        for each in tensors.values():
            each.fill_(number)
        # The one before is complete when this one has begun.
        saving = distributed.save(path, tensors=tensors, number=number, background=True)
        for each in tensors.values():
            each.fill_(-1)
        if number == start + 1:
            saving.wait()
            dist.barrier()
            if rank in ranks:
                threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif rank == "0":
            print("saved", number - 1, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
