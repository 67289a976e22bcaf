"""Draw the READMEs' pictures of what ``describe`` and ``audit`` print: python docs/pictures.py."""

import io
import re
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from optimkit import audit, describe, is_bias, is_norm, param_groups, when

FOLDER = Path(__file__).with_name("_readme")
WIDTH = 88


def draw(name: str, code: str, result: Any) -> str:
    """Return the SVG of a terminal in which a line of code printed a result."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True)
    console.print(f">>> {code}", style="bold", highlight=False)
    console.print(result)
    svg = console.export_svg(title="optimkit", unique_id=name)
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.S)  # nobody fetches a font for it


def pictures() -> dict[str, str]:
    """Return the pictures by their names, of the example that the READMEs begin with."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    groups = param_groups(
        model,
        when(is_bias | is_norm, weight_decay=0.0),
        when("2.*", lr=1e-2, name="head"),
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        weight_decay=0.01,
    )
    optimizer = torch.optim.AdamW(groups)
    described = draw(
        "describe", "describe(optimizer, models=model)", describe(optimizer, models=model)
    )
    model[2] = nn.Linear(4, 3)
    findings = audit(optimizer, models=model).at_least("warning")
    return {
        "describe": described,
        "audit": draw("audit", "audit(optimizer, models=model)", findings),
    }


if __name__ == "__main__":
    for name, svg in pictures().items():
        (FOLDER / f"{name}.svg").write_text(svg, "utf-8")
