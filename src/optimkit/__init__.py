"""Parameter groups, printers and checkpoints for ``torch.optim``."""

from .errors import GroupError, OptimkitError
from .groups.build import param_groups, partition
from .groups.change import add_param_group, freeze, unfreeze
from .groups.kinds import is_bias, is_embedding, is_matrix, is_norm
from .groups.rules import layer_decay, when

__version__ = "0.1.0.dev0"

__all__ = [
    "GroupError",
    "OptimkitError",
    "add_param_group",
    "freeze",
    "is_bias",
    "is_embedding",
    "is_matrix",
    "is_norm",
    "layer_decay",
    "param_groups",
    "partition",
    "unfreeze",
    "when",
]
