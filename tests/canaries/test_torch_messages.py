"""Every message that torch.optim raises or warns has an entry on the site, or a reason why it has none.

Each page of docs/errors but the index consists of entries. The title of an entry is the message. A block
of code with a block of text behind it prints that text; any other block of code is a remedy, and prints
nothing. A line of names says which classes have the message, and which torch.
"""

from __future__ import annotations

import ast
import inspect
import re
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import torch
from sections import BLOCK, ROOT, Section, sections
from torch.optim import Optimizer, lr_scheduler, swa_utils

ERRORS = ROOT / "docs" / "errors"
SOURCE = Path(torch.optim.__file__).parent
TORCH = tuple(map(int, torch.__version__.split(".")[:2]))
NEWEST = (2, 15)
BASES = {Optimizer, lr_scheduler.LRScheduler}
PUBLIC = [
    getattr(module, name)
    for module in (torch.optim, lr_scheduler, swa_utils)
    for name in module.__all__
    if inspect.isclass(getattr(module, name))
]
NAMES = re.compile(r"^`[^`\n]+`(?: · `[^`\n]+`)*$", re.MULTILINE)
RANGE = re.compile(r"`torch([<>])(\d+)\.(\d+)`")
EXCUSE = re.compile(r"^\| `(.+?)` \| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Message:
    """A line of torch's source that raises or warns: what it prints, with … where a value stands."""

    file: str
    line: int
    within: str
    text: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the message in what is printed; a class may put its own name into it."""
        own = self.within.split(".")[0]
        text = re.sub(rf"\b{own}\b", r"\\w+", re.escape(self.text))
        return re.compile(text.replace("…", ".*"), re.DOTALL)

    @property
    def classes(self) -> set[str]:
        """The public classes that have it; none if every optimizer has it, or every scheduler."""
        module = import_module("torch.optim." + self.file.removesuffix(".py"))
        within = getattr(module, self.within.split(".")[0])
        known = [within] if inspect.isclass(within) else vars(module).values()
        owners = [one for one in known if inspect.isclass(one) and one not in BASES]
        if within not in owners:
            owners = [one for one in owners if issubclass(one, Optimizer)]
        return {one.__name__ for one in PUBLIC if issubclass(one, tuple(owners))}


class Entry(Section):
    """How to meet a message, and how to mend it."""

    @property
    def printed(self) -> list[str]:
        """What its blocks of code print."""
        return [text.rstrip() for kind, text in BLOCK.findall(self.body) if kind == "text"]

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds its title in what it prints."""
        title = re.escape(re.sub(r"^(`+) ?(.*?) ?\1$", r"\2", self.title))
        return re.compile(rf"(\w+: )?[\"']?{title}[\"']?".replace("…", ".*"), re.DOTALL)

    @property
    def names(self) -> set[str]:
        """The classes that it names."""
        line = NAMES.search(BLOCK.sub("", self.body))
        return set(re.findall(r"`(\w+)`", line[0])) if line else set()

    @property
    def is_of_this_torch(self) -> bool:
        """Whether the torch that runs has the message; of those between the two nothing is said."""
        if (2, 6) < TORCH < NEWEST and RANGE.search(self.body):
            return False
        for sign, *numbers in RANGE.findall(self.body):
            limit = tuple(map(int, numbers))
            if limit == TORCH or (limit < TORCH) != (sign == ">"):
                return False
        return True


def messages() -> list[Message]:
    """Read what torch.optim raises and warns in its own source."""
    found: list[Message] = []
    for path in sorted(SOURCE.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        constants = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if isinstance(node.value, ast.Constant | ast.JoinedStr)
        }
        for node, within in walk(tree, ""):
            if text := printed(node, constants):
                found.append(Message(path.name, node.lineno, within, text))
    return found


def walk(node: ast.AST, within: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield all nodes, each with the class and the function that it is in."""
    for child in ast.iter_child_nodes(node):
        inner = within
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            inner = f"{within}.{child.name}".lstrip(".")
        yield child, inner
        yield from walk(child, inner)


def printed(node: ast.AST, constants: dict[str, ast.expr]) -> str:
    """Return what a statement prints if it raises or warns, or asserts with a message; else nothing."""
    if isinstance(node, ast.Assert) and node.msg:
        return "AssertionError: " + template(node.msg, constants)
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
        return node.exc.id
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        text = template(node.exc.args[0], constants)
        name = ast.unparse(node.exc.func)
        return f"{name}: {text!r}" if name == "KeyError" else f"{name}: {text}"
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
        category = ast.unparse(node.args[1]) if len(node.args) > 1 else "UserWarning"
        return f"{category}: {template(node.args[0], constants)}"
    return ""


def template(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    """Return the text of an expression, with … for each value that it depends on."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(value, constants) for value in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left, constants) + template(node.right, constants)
    if isinstance(node, ast.Name) and node.id in constants:
        return template(constants[node.id], constants)
    return "…"


def excuses() -> dict[str, str]:
    """Return the messages that the index says nobody meets, each with its reason."""
    return dict(EXCUSE.findall((ERRORS / "index.md").read_text("utf-8")))


def beginning() -> str:
    """Return what every block of code begins with: the block of the index."""
    return BLOCK.search((ERRORS / "index.md").read_text("utf-8"))[2]


def run(code: str) -> str:
    """Run a block of code; return what it warns, and the last line of its traceback."""
    space: dict[str, object] = {}
    exec(beginning(), space)
    said = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exec(code, space)
        except Exception as error:
            said = traceback.format_exception_only(error)
    texts = [f"{one.category.__name__}: {one.message}" for one in warned]
    return re.sub("0x[0-9a-f]+", "0x…", "\n".join([*texts, *said])).rstrip()


MESSAGES, ENTRIES = messages(), sections(ERRORS, Entry)
torch.sparse.check_sparse_tensor_invariants.disable()  # torch warns, once, if nobody has chosen


def test_every_message_of_torch_has_an_entry_or_a_reason():
    """A new torch with a new message fails here, by name, with what to write."""
    texts = [text for entry in ENTRIES for text in entry.printed]
    missing = [
        f"torch/optim/{message.file}:{message.line} ({message.within}) has {message.text!r}: "
        f"write an entry into docs/errors, or its reason into the table of docs/errors/index.md"
        for message in MESSAGES
        if not any(map(message.pattern.fullmatch, texts)) and message.text not in excuses()
    ]
    assert not missing, "\n".join(missing)


def test_every_reason_is_about_a_message_without_an_entry():
    """A message that has found its entry is no longer excused, and neither is one that is gone."""
    texts = [text for entry in ENTRIES for text in entry.printed]
    excused = {one.text: one.pattern for one in MESSAGES if one.text in excuses()}
    assert not [text for text, one in excused.items() if any(map(one.fullmatch, texts))]
    gone = [text for text, why in excuses().items() if text not in excused and "2.6" not in why]
    assert not gone or TORCH != NEWEST


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.place)
def test_an_entry_prints_what_it_says(entry, request):
    """The message is met as the page says, and the remedy is silent."""
    if not entry.is_of_this_torch or "CUDA" in entry.names:
        pytest.skip("another torch prints it, or another device")
    blocks = BLOCK.findall(entry.body)
    assert blocks[0][0] == "python"
    for (kind, code), (after, text) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "python":
            said = run(code)
            if request.config.getoption("--update-golden") and after == "text":
                entry.rewrite((code, text, f"{said}\n"))
            elif TORCH == NEWEST or not text:
                assert said == (text.rstrip() if after == "text" else "")
            else:
                assert entry.pattern.fullmatch(said)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.page.stem}: {entry.title}")
def test_an_entry_says_which_classes_have_it(entry):
    """The names below a message are those of the classes whose source has it."""
    if not entry.is_of_this_torch:
        pytest.skip("another torch prints it")
    lines = [one.classes for one in MESSAGES if any(map(one.pattern.fullmatch, entry.printed))]
    found = set().union(*lines) if all(lines) else set()
    assert found <= entry.names
    if TORCH == NEWEST and found:
        assert entry.names == found


def test_an_entry_is_short_and_its_title_is_its_message():
    """Six lines are enough to meet a message, and no two have one title."""
    titles = [entry.title for entry in ENTRIES]
    assert len(set(titles)) == len(titles)
    for entry in ENTRIES:
        assert [text for text in entry.printed if not entry.pattern.fullmatch(text)] == []
    meet = re.compile(r"^```python\n((?:(?!```).*\n)*)```\n\n```text", re.MULTILINE)
    codes = [code for entry in ENTRIES for code in meet.findall(entry.body)]
    assert [code for code in codes if len(code.splitlines()) > 6] == []
