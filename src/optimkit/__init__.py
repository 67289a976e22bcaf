"""Parameter groups, printers and checkpoints for ``torch.optim``."""

__version__ = "0.1.0.dev0"
