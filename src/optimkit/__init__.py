"""Parameter groups, printers and checkpoints for ``torch.optim``."""

from types import FunctionType

from ._errors import (
    AuditError,
    CheckpointError,
    CorruptCheckpointError,
    GroupError,
    MismatchError,
    OptimkitError,
    UnsafeCheckpointError,
)
from ._files.reading import Integrity
from ._groups.build import param_groups, partition
from ._groups.change import add_param_group, freeze, unfreeze
from ._groups.rules import Rule, layer_decay, when
from ._groups.selectors import Selector, is_bias, is_embedding, is_matrix, is_norm
from ._inspection.audit import audit
from ._inspection.describe import describe
from ._inspection.diff import Diff, DiffRow, diff
from ._inspection.findings import Finding, Findings
from ._inspection.memory import MemoryRow, MemoryTable, state_memory
from ._inspection.report import GroupRow, ParameterRow, Report
from ._inspection.schedule import LrCurve, LrRow, lr_curve, plot_lr
from ._inspection.snapshot import Snapshot, SnapshotRow, snapshot
from ._parameters import ParamInfo
from ._tables import Table
from ._version import __version__ as __version__
from .checkpoint._directory import Best, CheckpointDir, Last
from .checkpoint._results import Loaded, LoadReport, LoadRow
from .checkpoint._rng import get_rng_state, set_rng_state
from .checkpoint._single import load, load_optimizer, save
from .checkpoint._staging import Saving

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
    "Integrity",
    "Last",
    "LoadReport",
    "LoadRow",
    "Loaded",
    "LrCurve",
    "LrRow",
    "MemoryRow",
    "MemoryTable",
    "MismatchError",
    "OptimkitError",
    "ParamInfo",
    "ParameterRow",
    "Report",
    "Rule",
    "Saving",
    "Selector",
    "Snapshot",
    "SnapshotRow",
    "Table",
    "UnsafeCheckpointError",
    "add_param_group",
    "audit",
    "describe",
    "diff",
    "freeze",
    "get_rng_state",
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
    "plot_lr",
    "save",
    "set_rng_state",
    "snapshot",
    "state_memory",
    "unfreeze",
    "when",
]

# Users meet these names in tracebacks and in pickles: the module in which one is written is ours to move.
for _name in __all__:
    if isinstance(globals()[_name], (type, FunctionType)):
        globals()[_name].__module__ = __name__
del _name
