"""The table: its looks, and what is in them."""

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from optimkit._tables import WIDTH, Shown, Table, jsonable, text


class Row(NamedTuple):
    """A record with names."""

    name: str
    bytes: int


def golden() -> Table:
    """Return a table with both scripts, a sum and a missing entry."""
    return Table(
        [
            {"name": "encoder.权重", "bytes": 320, "note": "两份"},
            {"name": "encoder.bias", "bytes": 16},
        ],
        caption="State of the optimizer | 优化器的状态",
        summed="bytes",
    )


def test_plain_text_lines_up_across_scripts():
    """Columns line up when a Chinese character takes two columns of the terminal."""
    lines = str(golden()).split("\n")
    assert lines == [
        "State of the optimizer | 优化器的状态",
        "name          bytes  note",
        "------------  -----  ----",
        "encoder.权重    320  两份",
        "encoder.bias     16",
        "------------  -----  ----",
        "total           336",
    ]


def test_rows_of_any_kind():
    """Mappings, named tuples and a chosen order of columns show the same records."""
    rows = [Row("a", 1), Row("b", 2)]
    assert str(Table(rows)) == str(Table([row._asdict() for row in rows]))
    assert Table(rows).rows == tuple(rows)
    assert Table(rows, columns=("bytes", "name")).to_dict()["columns"] == ["bytes", "name"]


def test_headers_and_formats():
    """A column can have another header and another way to write its values."""
    table = Table(
        [Row("a", 2048)],
        headers={"bytes": "size"},
        formats={"bytes": lambda n: f"{n / 1024:g} KiB"},
        summed="bytes",
    )
    assert str(table) == ("name    size\n-----  -----\na      2 KiB\n-----  -----\ntotal  2 KiB")
    assert table.total == 2048


def test_long_cells_are_broken_not_cut():
    """A name that is too long goes on in the next line: no letter is lost."""
    name = "encoder." * 30 + "weight"
    lines = str(Table([{"name": name, "shape": (3, 4)}])).split("\n")
    assert max(map(cell_len, lines)) == WIDTH
    assert "".join(line[: WIDTH - len("  (3, 4)")].strip() for line in lines[2:]) == name


def test_words_and_numbers_are_kept_whole():
    """Where there is room for each word, cells are broken between words, never in a number."""
    row = {
        "name": "encoder.layers.[0-11].self_attention.output_projection.weight",
        "state": "exp_avg, exp_avg_sq, max_exp_avg_sq",
        "norms": "exp_avg=0.00905, exp_avg_sq=2.53e-07",
        "bytes": 1179696,
    }
    lines = str(Table([row])).split("\n")
    assert max(map(cell_len, lines)) <= WIDTH
    words = {word for line in lines[2:] for word in line.split()}
    assert words >= {"exp_avg=0.00905,", "exp_avg_sq=2.53e-07", "exp_avg_sq,", "max_exp_avg_sq"}


def test_names_are_broken_after_dots():
    """A name that has to be broken is broken after a dot, if it has one in time."""
    name = ".".join(["encoder", "layers", "self_attention"] * 4)
    lines = str(Table([{"name": name, "note": "x" * 40}])).split("\n")[2:]
    assert [line[:58].rstrip() for line in lines] == [
        "encoder.layers.self_attention.encoder.layers.",
        "self_attention.encoder.layers.self_attention.encoder.",
        "layers.self_attention",
    ]


def test_too_many_columns_are_stacked():
    """Records with more columns than a terminal has room for are written one below another."""
    row = {f"column_{index}": index for index in range(40)}
    lines = str(Table([row, row])).split("\n")
    assert lines[:2] == ["column_0: 0", "column_1: 1"]
    assert len(lines) == 81


def test_nothing_to_show():
    """A table without records says so, and stays a table in HTML."""
    assert str(Table([])) == "(nothing)"
    assert str(Table([], caption="Findings")) == "Findings\n(nothing)"
    assert str(Table([], columns=("a", "b"))) == "a  b\n-  -"
    assert Table([]).to_dict() == {"caption": "", "columns": [], "rows": []}
    assert "<table" in Table([])._repr_html_()


def test_control_characters_are_written_out():
    """A name can neither colour the terminal nor break the table."""
    shown = str(Table([{"name": "a\x1b[31m\n\tb"}]))
    assert shown.split("\n")[2] == r"a\x1b[31m\n\tb"


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=30), st.one_of(st.text(), st.integers(), st.floats())),
        max_size=5,
    ),
    st.text(),
)
def test_plain_text_keeps_to_its_width(rows, caption):
    """Whatever the records hold, no line is wider than WIDTH, and to_dict is strict JSON."""
    table = Table(rows, caption=caption)
    assert all(cell_len(line) <= WIDTH for line in str(table).split("\n"))
    json.dumps(table.to_dict(), allow_nan=False)
    table._repr_html_()


class Reader(HTMLParser):
    """Collect the tags, and check that they close."""

    def __init__(self):
        super().__init__()
        self.open, self.found, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(markup: str) -> Reader:
    """Parse HTML."""
    reader = Reader()
    reader.feed(markup)
    assert not reader.open
    return reader


def test_html_is_accessible():
    """The HTML table has a caption, headers with a scope, a box that the keyboard can reach."""
    reader = read(golden()._repr_html_())
    tags = [tag for tag, _ in reader.found]
    assert tags.count("caption") == 1
    scopes = [attrs["scope"] for tag, attrs in reader.found if tag == "th"]
    assert scopes == ["col"] * 3 + ["row"] * 3
    [box] = [attrs for tag, attrs in reader.found if tag == "div"]
    assert box["tabindex"] == "0"
    assert box["aria-label"] == "State of the optimizer | 优化器的状态"


def test_html_brings_no_script_and_no_colour():
    """The HTML table is markup and classes: nothing runs, nothing is coloured, nothing loads."""
    markup = golden()._repr_html_()
    assert all("style" not in attrs for _, attrs in read(markup).found)
    for word in ("<script", "http", "color", "#", "rgb"):
        assert word not in markup


class Told(Shown):
    """A result of a sentence and two tables."""

    def _blocks(self):
        return ["between <b>", golden()]

    def _html_blocks(self):
        return [*self._blocks(), golden()]


def test_a_page_of_tables_has_one_style():
    """However many tables a result has in HTML, the style is written once, before them."""
    reader = read(Told()._repr_html_())
    assert [tag for tag, _ in reader.found if tag in ("style", "table", "p")] == [
        "style",
        "p",
        "table",
        "table",
    ]
    assert "between <b>" in reader.texts


def test_all_looks_show_the_same_blocks():
    """Text, repr and rich show the same; HTML may have more room."""
    assert str(Told()) == repr(Told()) == f"between <b>\n{golden()}"
    out = io.StringIO()
    Console(file=out, width=WIDTH, color_system=None).print(Told())
    assert [line.rstrip() for line in out.getvalue().splitlines()] == str(Told()).split("\n")


def test_sentences_are_broken_between_words():
    """A long sentence goes on below, indented; after an arrow, below its first word."""

    class Long(Shown):
        def _blocks(self):
            return ["word " * 30 + "字" * 60, "  -> " + "word " * 30]

    lines = str(Long()).split("\n")
    assert all(cell_len(line) <= WIDTH for line in lines)
    indents = [len(line) - len(line.lstrip()) for line in lines]
    assert indents == [0, 2, 2, 2, 2, 5]
    assert "".join(lines).count("word") == 60
    assert "".join(lines).count("字") == 60


@pytest.mark.parametrize("environment", [{"FORCE_COLOR": "1"}, {"COLUMNS": "30"}, {"TERM": "dumb"}])
def test_text_is_the_same_in_every_terminal(monkeypatch, environment):
    """Plain text has no colours and one width, whatever the environment asks for."""
    before = str(Told())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(Told()) == before
    assert "\x1b" not in before


def test_a_long_caption_does_not_widen_its_table():
    """A caption that is longer than its table stands above it in whole lines."""
    lines = str(Table([Row("a", 1)], caption="a word and another " * 8)).split("\n")
    assert lines[0].startswith("a word and another a word")
    assert lines[-3:] == ["name  bytes", "----  -----", "a         1"]


def test_html_escapes_what_it_shows():
    """A name with markup in it is shown, not obeyed."""
    evil = '<script>alert("1")</script>'
    reader = read(Table([{evil: evil}], caption=evil)._repr_html_())
    assert "script" not in [tag for tag, _ in reader.found]
    assert reader.texts.count(evil) == 3


def test_rich_shows_the_same():
    """Rich prints every cell, and takes no markup from the values."""
    table = Table([{"name": "[bold]w", "bytes": 3}], caption="[red]c", summed="bytes")
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(table)
    shown = out.getvalue()
    for part in ("[bold]w", "[red]c", "total", "3"):
        assert part in shown


@pytest.mark.parametrize("width", [20, 40, 100])
def test_rich_keeps_to_the_width_of_the_terminal(width):
    """A terminal that is narrower gets narrower columns, or stacked records: no number is broken."""
    table = Table(
        [{"name": "encoder.layers.weight", "state": "exp_avg, exp_avg_sq", "n": 12345678}]
    )
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    lines = out.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "12345678" in out.getvalue()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (True, "True"),
        (3, "3"),
        (1e-05, "1e-05"),
        (0.30000000000000004, "0.3"),
        ((0.9, 0.999), "(0.9, 0.999)"),
        ({"a": (1, 2), "b": None}, "a=(1, 2), b="),
        ("名字", "名字"),
    ],
)
def test_values_are_written_short(value, expected):
    """Values are written as a reader wants them, floats with six digits."""
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), "nan"),
        ((1, 2.5, None), [1, 2.5, None]),
        ({1: {"a"}}, {"1": ["a"]}),
        (Path("a") / "b", "a/b"),
        (Row("a", 1), {"name": "a", "bytes": 1}),
        (Row, str(Row)),
        (golden().rows[1], {"name": "encoder.bias", "bytes": 16}),
    ],
)
def test_jsonable(value, expected):
    """Every value has a form in strict JSON."""
    assert jsonable(value) == expected
