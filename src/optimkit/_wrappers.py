"""The modules that wrap a model, and where each holds it."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

# Where a wrapper's class lives, and the attribute that holds the model itself. A class can only
# have instances when its module has been imported, so nothing is imported to look for one.
_WRAPPERS = (
    ("torch.nn.parallel.distributed", "DistributedDataParallel", "module"),
    ("torch.nn.parallel.data_parallel", "DataParallel", "module"),
    (
        "torch.distributed.fsdp.fully_sharded_data_parallel",
        "FullyShardedDataParallel",
        "_fsdp_wrapped_module",
    ),
    ("torch._dynamo.eval_frame", "OptimizedModule", "_orig_mod"),
    (
        "torch.distributed.algorithms._checkpoint.checkpoint_wrapper",
        "ActivationWrapper",
        "_checkpoint_wrapped_module",
    ),
)


@lru_cache(maxsize=1024)  # a class's bases never change
def held_as(kind: Any) -> str | None:
    """Look up where a wrapper holds the model."""
    for module, name, attribute in _WRAPPERS:
        wrapper = getattr(sys.modules.get(module), name, None)
        if wrapper is not None and issubclass(kind, wrapper):
            return attribute
    return None
