"""Cut the power after every call of a save, and look at all that the disk may hold then.

    python power.py FOLDER NAME...

saves three times in each way that is named, each in a folder of its own. ``record`` runs that under
strace; ``replay`` goes through the calls on a model of a file system, and loads what is left.

The model promises no more than POSIX does, on a disk that writes whole pages of 4 KiB:

- Until ``fsync`` of a file returns, each of its pages may be on the disk in any form that it has had
  since the last one, or not at all (zeros), whatever became of the others; so may its length.
- Until ``fsync`` of a folder returns, each name that was made, renamed or removed in it may be on the
  disk or not, whatever became of the others. A rename is on the disk as a whole or not at all.
- ``fsync`` of a file says nothing of its name, that of a folder nothing of what is in its files.
- What a file held before it was cut to nothing does not come back once it has new content.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness import Tally, attempt
from peers import PEERS, Peer, State, make, whole

import optimkit
from optimkit.checkpoint import distributed

PAGE = 4096
SAVES = 3
ALL = 10**9  # states of a call: more than there are
MEGABYTES = 0.016  # four pages, and the header
LIKE = make(0, MEGABYTES)
MARK = "/saved "  # a file of this name is asked for when a save has returned


def _directory_save(path: Path, state: dict) -> None:
    run = optimkit.CheckpointDir(path, keep=(optimkit.Last(1),))
    run.save(int(state["layer.0"][0]), tensors=state)


def _directory_load(path: Path, like: dict) -> dict:
    loaded = optimkit.CheckpointDir(path).restore()
    if loaded is None:
        raise FileNotFoundError(path)
    return loaded["tensors"]


WAYS = PEERS | {
    "CheckpointDir": Peer("CheckpointDir", _directory_save, _directory_load),
    "distributed": Peer(
        "distributed",
        lambda path, state: distributed.save(path, tensors=state),
        lambda path, like: distributed.load(path)["tensors"],
    ),
}


# What is recorded

CALLS = (  # not every machine has each
    "open,openat,creat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,"
    "fallocate,copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,"
    "unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,clone,clone3"
)


def record(folder: Path, names: Iterable[str], ranks: int = 1) -> list[str]:
    """Save in some ways in a new process, or in several; return what strace saw, a line a call."""
    for name in names:
        (folder / name).mkdir()
    log = folder / "strace.log"
    command = [
        *("strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "1000000000"),
        *("-e", f"trace=?{CALLS.replace(',', ',?')}", "-o", str(log)),
    ]
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}")
    python = [sys.executable, *(torchrun if ranks > 1 else ()), __file__, str(folder), *names]
    quiet = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, *python], check=True, env={**os.environ, **quiet}, capture_output=True, text=True
    )
    lines, waiting = [], {}
    for line in log.read_text(encoding="ascii").splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            waiting[process] = call.removesuffix("<unfinished ...>")
        elif call.startswith("<... "):
            lines.append(f"{process} {waiting.pop(process)}{call.partition(' resumed>')[2]}")
        else:
            lines.append(f"{process} {call}")
    return lines


def waits(lines: list[str], folder: Path) -> list[int]:
    """Return which calls in a folder wait for the disk."""
    found = []
    for at, line in enumerate(lines):
        call = re.search(r" (?:fsync|fdatasync)\(\d+<([^>]*)>", line)
        if call and f"{_HEX.sub(lambda each: _text(each[0]), call[1])}/".startswith(f"{folder}/"):
            found.append(at)
    return found


def main(folder: str, *names: str) -> None:
    """Save in each way, and say when each save has returned."""
    share, rank = _ranks() if "RANK" in os.environ else (make, 0)
    for name in names:
        path = Path(folder) / name / "last.pt"
        for number in range(1, SAVES + 1):
            WAYS[name].save(path, share(number, MEGABYTES))
            if name == "optimkit, background":
                WAYS[name].load(path, LIKE)  # waits
            if rank == 0:
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{MARK}{name}").read_bytes()


def _ranks() -> tuple[Callable[[int, float], State], int]:
    """Begin as one of the processes of torchrun; return what makes its part of a state."""
    from torch import distributed as dist
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    mesh = init_device_mesh("cpu", (int(os.environ["WORLD_SIZE"]),))

    def share(number: int, megabytes: float) -> State:
        state = make(number, megabytes)
        return {name: distribute_tensor(each, mesh, [Shard(0)]) for name, each in state.items()}

    return share, dist.get_rank()


# The model


@dataclass
class Life:
    """A file since it was made, or cut to nothing: each form of each page, each length."""

    pages: dict[int, list[bytes]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=lambda: [0])


@dataclass(eq=False)
class File:
    """A file; all that it may hold, if the power is cut."""

    lives: list[Life] = field(default_factory=lambda: [Life()])
    known: list[bytes] | None = None

    def write(self, at: int, data: bytes) -> None:
        life = self.lives[-1]
        for page in range(at // PAGE, -(-(at + len(data)) // PAGE)):
            forms = life.pages.setdefault(page, [bytes(PAGE)])
            start, stop = max(at - page * PAGE, 0), min(at + len(data) - page * PAGE, PAGE)
            part = data[page * PAGE + start - at : page * PAGE + stop - at]
            forms.append(forms[-1][:start] + part + forms[-1][stop:])
        life.sizes.append(max(life.sizes[-1], at + len(data)))
        self.known = None

    def cut(self) -> None:
        self.lives.append(Life())
        self.known = None

    def grow(self, size: int) -> None:
        assert size >= self.lives[-1].sizes[-1]
        self.lives[-1].sizes.append(size)
        self.known = None

    def sync(self) -> None:
        last = self.lives[-1]
        pages = {page: forms[-1:] for page, forms in last.pages.items()}
        self.lives, self.known = [Life(pages, last.sizes[-1:])], None

    def held(self, most: int) -> list[bytes]:
        """List what the disk may hold, or so many of it; the last is what was written."""
        if self.known is None:
            self.known = list(
                dict.fromkeys(each for life in self.lives for each in _of(life, most))
            )
        return self.known


def _of(life: Life, most: int) -> Iterator[bytes]:
    count = max(life.pages, default=-1) + 1
    forms = [list(dict.fromkeys(life.pages.get(page, [bytes(PAGE)]))) for page in range(count)]
    for *pages, size in combined([*forms, list(dict.fromkeys(life.sizes))], most):
        yield b"".join(pages)[:size].ljust(size, b"\0")


def combined(choices: list[list], most: int) -> Iterator[tuple]:
    """Combine one of each, in all ways or so many drawn ones; the last is the last of each."""
    if math.prod(map(len, choices)) <= most:
        yield from itertools.product(*choices)
    else:
        chance = random.Random(0)
        yield from (tuple(map(chance.choice, choices)) for _ in range(most - 1))
        yield tuple(each[-1] for each in choices)


class Folder:
    """A folder; what is in it, the disk knows."""


Entry = tuple[Folder, str]
Entries = dict[Entry, "File | Folder | None"]
Tree = dict[str, "File | Folder"]


class Disk:
    """The names that are sure to be there, and the changes to them that are not."""

    def __init__(self) -> None:
        self.root = Folder()
        self.sealed: Entries = {}
        self.pending: list[Entries] = []

    def find(self, path: str) -> File | Folder | None:
        """Return what has a path as of now."""
        found: File | Folder | None = self.root
        now = self._with(self.pending)
        for name in Path(path).parts:
            found = now.get((found, name))
        return found

    def entry(self, path: str) -> Entry:
        folder, name = os.path.split(path)
        found = self.find(folder)
        assert isinstance(found, Folder), path
        return found, name

    def sync(self, folder: Folder) -> None:
        ours = [each for each in self.pending if any(parent is folder for parent, _ in each)]
        for each in ours:
            self.sealed.update(each)
        self.pending = [each for each in self.pending if each not in ours]

    def _with(self, changes: list[Entries]) -> Entries:
        entries = dict(self.sealed)
        for each in changes:
            entries.update(each)
        return entries

    def trees(self) -> list[Tree]:
        """List all that may be found by name, the last with every change."""
        found: dict[object, Tree] = {}
        for size in range(len(self.pending) + 1):
            for changes in itertools.combinations(self.pending, size):
                tree = dict(_listed(self._with(list(changes)), self.root))
                found.pop(frozenset(tree.items()), None)
                found[frozenset(tree.items())] = tree
        return list(found.values())

    def settle(self) -> None:
        """Let time pass, until everything is on the disk."""
        self.sealed, self.pending = self._with(self.pending), []
        for each in self.sealed.values():
            if isinstance(each, File):
                each.sync()


def _listed(
    entries: Entries, folder: Folder, prefix: str = ""
) -> Iterator[tuple[str, File | Folder]]:
    for (parent, name), each in entries.items():
        if parent is folder and each is not None:
            yield prefix + name, each
            if isinstance(each, Folder):
                yield from _listed(entries, each, f"{prefix}{name}/")


# The calls

_CALL = re.compile(r"(\d+) (\w+)\((.*)\) += (-?\d+)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")


class Replay:
    """The calls of one folder, done to the model."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk()
        self._prefix = f"{folder}/"
        self._open: dict[tuple[str, int], list] = {}  # by process and number: file, position
        self._group: dict[str, str] = {}  # of a thread: its process

    def do(self, line: str) -> bool:
        """Do one call; return whether it changed what the disk may hold."""
        found = _CALL.match(line)
        if found is None or int(found[4]) < 0:
            return False
        thread, name, arguments, result = found[1], found[2], found[3], int(found[4])
        process = self._group.get(thread, thread)
        if name in ("clone", "clone3"):
            self._group[str(result)] = process if "CLONE_THREAD" in arguments else str(result)
            return False
        texts = list(map(_text, _STRING.findall(arguments)))
        paths = [self._inside(arguments, each) for each in texts]
        number = re.match(r"\d+", arguments)
        key = process, int(number[0]) if number else -1
        if name in ("open", "openat", "creat"):
            return paths[0] is not None and self._opened(
                (process, result), paths[0], arguments if name != "creat" else "O_CREAT|O_TRUNC"
            )
        if name in ("mkdir", "mkdirat", "unlink", "unlinkat", "rmdir"):
            return bool(paths[0]) and self._named(
                {self.disk.entry(paths[0]): Folder() if name.startswith("mkdir") else None}
            )
        if name.startswith("rename"):
            if not paths[0]:
                return False
            moved = {self.disk.entry(paths[0]): None}
            return self._named({**moved, self.disk.entry(paths[1]): self.disk.find(paths[0])})
        if number is None and any(paths):
            raise NotImplementedError(name)
        return key in self._open and self._to_open(
            name, key, arguments, os.fsencode("".join(texts)), result
        )

    def _inside(self, arguments: str, path: str) -> str | None:
        """Return a path below the folder; None if it is not there."""
        base = re.match(r"(?:AT_FDCWD|\d+)<([^>]*)>", arguments)
        if base and not path.startswith("/"):
            text = _HEX.sub(lambda each: _text(each[0]), base[1])
            path = f"{text}/{path}"
        path = f"{path}/" if f"{path}/" == self._prefix else path
        return path.removeprefix(self._prefix) if path.startswith(self._prefix) else None

    def _opened(self, key: tuple[str, int], path: str, flags: str) -> bool:
        file, changed = self.disk.find(path), False
        if file is None:
            file, changed = File(), self._named({self.disk.entry(path): (made := File())})
            file = made
        elif "O_TRUNC" in flags:
            file.cut()
            changed = True
        self._open[key] = [file, 0]
        return changed

    def _named(self, changes: Entries) -> bool:
        self.disk.pending.append(changes)
        return True

    def _to_open(
        self, name: str, key: tuple[str, int], arguments: str, data: bytes, result: int
    ) -> bool:
        opened = self._open[key]
        file = opened[0]
        if name in ("fsync", "fdatasync"):
            self.disk.sync(file) if isinstance(file, Folder) else file.sync()
        elif name in ("write", "writev"):
            file.write(opened[1], data[:result])
            opened[1] += result
        elif name == "pwrite64":
            file.write(int(arguments.rpartition(", ")[2]), data[:result])
        elif name == "ftruncate":
            file.grow(int(arguments.rpartition(", ")[2]))
        elif name == "lseek":
            opened[1] = result
        elif name.startswith("dup"):
            self._open[key[0], result] = opened
        elif name == "close":
            del self._open[key]
        else:
            raise NotImplementedError(name)
        return name not in ("lseek", "close", "dup", "dup2", "dup3")


# What is left


def replay(
    lines: list[str], folder: Path, peer: Peer, most: int = ALL, *, strict: bool = True
) -> tuple[Tally, int]:
    """Cut the power after each call that changes something, and load each state of the disk.

    Right is the old one or the new one, and once a save has returned the new one alone; before
    there is any, an error that says so. With `strict` false, what a save leaves has got to the
    disk before the next one begins. Return what came of it, and how many states differed.
    """
    run, loads, tally, number = Replay(folder), Loads(peer), Tally(), 1
    for line in lines:
        if line.endswith("ENOENT (No such file or directory)") and _marks(line, folder.name):
            number += 1
            allowed = {number - 1}
            if not strict:
                run.disk.settle()
        elif run.do(line):
            allowed = {number - 1, number}
        else:
            continue
        for state in _states(run.disk, most):
            found = loads.of(state)
            none_yet = 0 in allowed and isinstance(found, Exception)
            tally.count(
                none_yet or (found if isinstance(found, BaseException) else found in allowed)
            )
    assert number == SAVES + 1
    _compare(run.disk, folder)
    return tally, loads.count


def _marks(line: str, name: str) -> bool:
    """Return whether a call says that a save has returned."""
    return [f"{MARK}{name}"] == list(map(_text, _STRING.findall(line)))


def _text(escaped: str) -> str:
    return os.fsdecode(bytes.fromhex(escaped.replace("\\x", "")))


def _states(disk: Disk, most: int) -> Iterator[dict[str, bytes | None]]:
    trees = disk.trees()
    for tree in trees:
        choices = [each.held(most) if isinstance(each, File) else [None] for each in tree.values()]
        for contents in combined(choices, max(most // len(trees), 1)):
            yield dict(zip(tree, contents, strict=True))


class Loads:
    """What a load gives of each state: the number, or the error. Those alike are loaded once."""

    def __init__(self, peer: Peer) -> None:
        self.count = 0
        self._peer = peer
        self._known: dict[frozenset, dict[tuple, dict[tuple, object]]] = {}

    def of(self, state: dict[str, bytes | None]) -> object:
        """Load a state, unless there was one of the same names, alike in all files that were read."""
        known = self._known.setdefault(frozenset(state), {})
        for read, outcomes in known.items():
            contents = tuple(map(state.get, read))
            if contents in outcomes:
                return outcomes[contents]
        read, outcome = self._load(state)
        known.setdefault(read, {})[tuple(map(state.get, read))] = outcome
        return outcome

    def _load(self, state: dict[str, bytes | None]) -> tuple[tuple[str, ...], object]:
        self.count += 1
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for path, content in sorted(state.items()):
                if content is None:
                    Path(folder, path).mkdir()
                else:
                    Path(folder, path).write_bytes(content)
            _opened.clear()
            found = attempt(self._peer, Path(folder, "last.pt"), LIKE, _number)
            opened = {each.removeprefix(f"{folder}/") for each in _opened}
        # Rust opens files without a word to Python.
        read = state.keys() if self._peer.name == "safetensors" else opened & state.keys()
        return tuple(sorted(read)), found


_opened: list[str] = []
sys.addaudithook(lambda event, given: event == "open" and _opened.append(str(given[0])))


def _number(state: State) -> int | None:
    return int(state["layer.0"][0]) if whole(state) else None


def _compare(disk: Disk, folder: Path) -> None:
    """Compare what the model has in the end with what there is."""
    tree = disk.trees()[-1]
    left = {path: each.held(1)[-1] for path, each in tree.items() if isinstance(each, File)}
    there = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert left == there, "the calls that were recorded do not explain what is on the disk"


if __name__ == "__main__":
    main(*sys.argv[1:])
