"""Parameter groups, printers and checkpoints for ``torch.optim``."""

from .checkpoint.directory import CheckpointDir
from .checkpoint.loaded import Loaded
from .checkpoint.optimizer import load_optimizer
from .checkpoint.policies import Best, Last
from .checkpoint.reports import LoadReport, LoadRow
from .checkpoint.rng import rng_state, set_rng_state
from .checkpoint.single import load, save
from .errors import (
    AuditError,
    CheckpointError,
    CorruptCheckpointError,
    GroupError,
    MismatchError,
    OptimkitError,
    UnsafeCheckpointError,
)
from .groups.build import param_groups, partition
from .groups.change import add_param_group
from .groups.freezing import freeze, unfreeze
from .groups.kinds import is_bias, is_embedding, is_matrix, is_norm
from .groups.rules import layer_decay, when
from .inspection.audit import audit
from .inspection.compare import diff
from .inspection.describe import describe
from .inspection.difference import Diff, DiffRow
from .inspection.findings import Finding, Findings
from .inspection.memory import MemoryRow, state_memory
from .inspection.records import GroupRow, ParameterRow
from .inspection.report import Report
from .inspection.schedule import LrCurve, LrRow, lr_curve
from .inspection.snapshot import Snapshot, SnapshotRow, snapshot
from .version import __version__ as __version__

__all__ = [
    "AuditError",
    "Best",
    "CheckpointDir",
    "CheckpointError",
    "CorruptCheckpointError",
    "Diff",
    "DiffRow",
    "Finding",
    "Findings",
    "GroupError",
    "GroupRow",
    "Last",
    "LoadReport",
    "LoadRow",
    "Loaded",
    "LrCurve",
    "LrRow",
    "MemoryRow",
    "MismatchError",
    "OptimkitError",
    "ParameterRow",
    "Report",
    "Snapshot",
    "SnapshotRow",
    "UnsafeCheckpointError",
    "add_param_group",
    "audit",
    "describe",
    "diff",
    "freeze",
    "is_bias",
    "is_embedding",
    "is_matrix",
    "is_norm",
    "layer_decay",
    "load",
    "load_optimizer",
    "lr_curve",
    "param_groups",
    "partition",
    "rng_state",
    "save",
    "set_rng_state",
    "snapshot",
    "state_memory",
    "unfreeze",
    "when",
]
