"""Parameter groups, printers and checkpoints for ``torch.optim``."""

from .errors import GroupError, OptimkitError
from .groups.build import param_groups, partition
from .groups.rules import layer_decay, when
from .groups.selectors import is_bias, is_embedding, is_matrix, is_norm

__version__ = "0.1.0.dev0"

__all__ = [
    "GroupError",
    "OptimkitError",
    "is_bias",
    "is_embedding",
    "is_matrix",
    "is_norm",
    "layer_decay",
    "param_groups",
    "partition",
    "when",
]
