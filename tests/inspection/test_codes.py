"""Every code has its entry: a script that gives it, run here, and a fix that takes it away.

``--update-golden`` writes what the scripts print into the entries.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import warnings

import pytest
from sections import BLOCK, ROOT, Section, sections

from optimkit.__main__ import main
from optimkit._codes import entries, explained
from optimkit._inspection.checks import CHECKS

CODES = ROOT / "src" / "optimkit" / "_codes"
OF_FILES = {"damaged-file", "unsafe-file", "no-checksums"}
LEADS = {
    "en": ("If you train on:", "Fix:", "With the kit:"),
    "zh": ("照这样训练：", "改法：", "用工具包："),
}


def printed(code, space):
    """Run a script; return all that it prints, in a terminal without warnings."""
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        exec(code, space)
    return said.getvalue()


def codes_in(text, is_file):
    """Return the codes that an audit has printed, or those of the file that a script has left."""
    if is_file:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            main(["audit", "last.pt", "--json"])
        return {found["code"] for found in json.loads(text.getvalue())["findings"]}
    return set(re.findall(r"^(?:error|warning|note): ([a-z-]+): ", text, re.MULTILINE))


def test_each_code_has_an_entry_and_each_entry_a_code():
    """No code that an audit can give is without its entry, and no entry is stray."""
    assert entries().keys() == CHECKS.keys() | OF_FILES


@pytest.mark.since("Muon")
@pytest.mark.parametrize("entry", sections(CODES, Section), ids=lambda entry: entry.place)
def test_the_script_has_it_and_the_fix_removes_it(entry, tmp_path, monkeypatch, request):
    """The script of an entry gives its code; the fix, run behind it, does not; both print what is there."""
    monkeypatch.chdir(tmp_path)
    code, space = entry.title.strip("`"), {}
    script, shown, fix, mended = entry.blocks("python", "text", "python", "text")
    said = printed(script, space)
    assert code in codes_in(said, code in OF_FILES)
    better = printed(fix, space)
    assert code not in codes_in(better, code in OF_FILES)
    if request.config.getoption("--update-golden"):
        entry.rewrite((script, shown, said), (fix, mended, better))
    else:
        assert (said, better) == (shown, mended)


@pytest.mark.parametrize("language", LEADS)
def test_what_explain_prints(language, capsys):
    """All parts of each entry in one language, without markup, within 100 columns."""
    for code in entries():
        check_explained(code, language, capsys)


def check_explained(code, language, capsys):
    """Check what explain prints of one code."""
    assert main(["explain", code, "--lang", language]) == 0
    text = capsys.readouterr().out
    assert text == explained(code, language) + "\n"
    own, other = LEADS[language], LEADS["en" if language == "zh" else "zh"]
    assert [lead for lead in own if f"\n{lead}" in text] == list(own)
    assert not [lead for lead in other if lead in text]
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    assert not re.search(r"\*\*|```|\]\(", "\n".join(prose))
    assert max(sum(1 + (one > "\u2e7f") for one in line) for line in prose) <= 100
    for script in BLOCK.findall(entries()[code].text):
        assert "\n".join(f"    {line}".rstrip() for line in script[1].splitlines()) in text


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "改法"),
        ({"LANG": "en_US.UTF-8"}, "Fix"),
        ({}, "Fix"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "Fix"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, "改法"),
    ],
)
def test_the_language_of_the_terminal(environment, said, monkeypatch, capsys):
    """LC_ALL is asked first, then LC_MESSAGES and LANG; anything but Chinese is answered in English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    main(["explain", "stale"])
    assert said in capsys.readouterr().out


def test_a_code_that_is_none(capsys):
    """The error names those that are near, or all; several codes are explained at once."""
    assert main(["explain", "stale", "unmangd"]) == 2
    assert capsys.readouterr().err == (
        "There is no code 'unmangd'. Did you mean one of: unmanaged, loss-unmanaged?\n"
    )
    assert main(["explain", "?"]) == 2
    assert capsys.readouterr().err.count(", ") == len(entries()) - 1
    assert main(["explain", "stale", "shared", "--lang", "en"]) == 0
    assert "\n\n\nshared\n" in capsys.readouterr().out


@pytest.mark.parametrize("language", LEADS)
def test_all_codes(language, capsys):
    """Without a code each has a line: its first sentence."""
    assert main(["explain", "--lang", language]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(entries())
    assert all(line.endswith((".", "。")) for line in lines)


def test_a_finding_leads_to_its_entry(tmp_path):
    """Without an address of the site a finding names the command; with one, its page as well."""
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nfrom optimkit import audit\n"
        "found = audit(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.0))\n"
        "print(found.rows[0].url)\nprint(found)\n"
    )
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    lines = said.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("None", "More: optimkit explain zero-lr")
    about = tmp_path / "optimkit-0.dist-info" / "METADATA"
    about.parent.mkdir()
    address = "https://optimkit.example/docs/"
    about.write_text(
        f"Metadata-Version: 2.1\nName: optimkit\nProject-URL: Documentation, {address}"
    )
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{CODES.parents[1]}",
    }
    said = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=environment
    )
    lines = said.stdout.splitlines()
    assert lines[0] == lines[-1] == f"{address}en/audit/options.html#zero-lr"
    assert lines[-2] == "More: optimkit explain zero-lr"


def test_the_site_and_the_wheel_have_them(tmp_path):
    """Each page of entries is a page of the site, and stands in the wheel, which explains by itself."""
    pages = {path.stem for path in CODES.glob("*.md")}
    assert pages == {path.stem for path in (ROOT / "docs" / "audit").glob("*.md")} - {"index"}
    wheels = pytest.importorskip("hatchling.builders.wheel")
    [wheel] = wheels.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    environment = {**os.environ, "PYTHONPATH": wheel, "LC_ALL": "C"}
    command = [sys.executable, "-m", "optimkit", "explain", "stale"]
    said = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == explained("stale", "en") + "\n"


def test_symptoms_and_entries_name_each_other():
    """A symptom that an audit names links to the entry, and the entry to the symptom, in both languages."""
    for page in (ROOT / "docs" / "symptoms").glob("*.md"):
        for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, body = section.split("\n", 1)
            for code, where in re.findall(r"\[`([a-z-]+)`\]\(\.\./audit/(\S+)\)", body):
                assert where == f"{entries()[code].page}.md#{code}"
                for half in title.split(" | "):
                    assert f"[{half}](../symptoms/{page.name}#" in entries()[code].text
            assert not re.search(rf"^`(?:{'|'.join(entries())})`", body, re.MULTILINE)
