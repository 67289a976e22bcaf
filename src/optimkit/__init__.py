"""Parameter groups, printers and checkpoints for ``torch.optim``."""

from .inspection.describe import describe
from .inspection.report import GroupRow, ParameterRow, Report

__version__ = "0.1.0.dev0"

__all__ = ["GroupRow", "ParameterRow", "Report", "describe"]
