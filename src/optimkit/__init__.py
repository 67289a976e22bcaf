"""Parameter groups, printers and checkpoints for ``torch.optim``."""

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

__version__ = "0.1.0.dev0"

__all__ = [
    "Diff",
    "DiffRow",
    "Finding",
    "Findings",
    "GroupRow",
    "LrCurve",
    "LrRow",
    "MemoryRow",
    "ParameterRow",
    "Report",
    "Snapshot",
    "SnapshotRow",
    "audit",
    "describe",
    "diff",
    "lr_curve",
    "snapshot",
    "state_memory",
]
