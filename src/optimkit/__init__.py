"""Parameter groups, printers and checkpoints for ``torch.optim``."""

from .inspection.audit import audit
from .inspection.describe import describe
from .inspection.findings import Finding, Findings
from .inspection.report import GroupRow, ParameterRow, Report

__version__ = "0.1.0.dev0"

__all__ = ["Finding", "Findings", "GroupRow", "ParameterRow", "Report", "audit", "describe"]
