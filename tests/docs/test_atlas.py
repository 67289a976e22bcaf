"""The atlas: what the page says of the classes is what the record says; nox -s atlas measures them."""

import csv
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "atlas.md").read_text("utf-8")
ROWS = [
    {key.split(" | ")[0].replace("`", ""): cell.strip("`") for key, cell in row.items()}
    for row in csv.DictReader((DOCS / "atlas.csv").read_text("utf-8").splitlines())
]
RAN = [row for row in ROWS if row["looked at"] != "–"]
HEADS = (DOCS / "atlas.csv").read_text("utf-8").partition("\n")[0].replace("`", "").split(",")
CHINESE = {head.split(" | ")[0]: head.split(" | ")[-1] for head in HEADS}


def count(column, value):
    """Count the classes with a value in a column."""
    return sum(row[column] == value for row in RAN)


def test_surprises_are_counted():
    """Each names a column and a value, and says in both languages how many classes have it."""
    lines = re.findall(
        r"^- `(.+?)`, `(.+?)`: (\d+) class.* \| `(.+?)`，`(.+?)`(?:（.+?）)?：(\d+) 个类",
        PAGE,
        re.M,
    )
    section = PAGE.partition("## Surprises")[2].partition("\n## ")[0]
    assert len(lines) == section.count("\n- ")
    for column, value, english, *chinese in lines:
        number = str(count(column, value))
        assert english == number
        assert chinese == [CHINESE[column], value, number]


def test_title_counts_classes():
    """The number in the title is that of the classes that ran; a class in another form is no other."""
    classes = {(row["package"], row["class"].partition("@")[0]) for row in RAN}
    assert PAGE.startswith(
        f"# {len(classes)} optimizers, looked at | 实测 {len(classes)} 个优化器\n"
    )


def test_looks_change_nothing_and_find_nothing():
    """Runs end as if nobody had looked; all are healthy, but one that turns to NaN by itself."""
    assert {row["looked at"] for row in RAN} == {"✓"}
    found = {f"{row['package']} {row['class']}": row["audit"] for row in RAN if row["audit"] != "✓"}
    assert found == {"torchium 0.1.5 Yogi": "non-finite"}


def test_the_kit_resumes_what_torch_resumes():
    """Where torch's own way is exact, ours is, or the save has refused."""
    worse = [
        row["class"]
        for row in RAN
        if row["resumed by torch"] == "✓" and row["resumed by optimkit"] not in ("✓", "refused")
    ]
    assert worse == []


def test_bytes_are_foreseen_or_said_to_be_unknown():
    """No number is wrong."""
    assert {row["bytes foreseen"] for row in RAN} == {"✓", "?"}
