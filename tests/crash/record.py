"""Measure optimkit and its peers in full, and write the tables of docs/promises.md.

    python tests/crash/record.py [TIMES] [MEGABYTES]
    python tests/crash/record.py power

Every number is a count of what went wrong, or of how often it was tried. The second line cuts the
power only, and leaves the other rows as they are.
"""

from __future__ import annotations

import csv
import os
import pickle
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from harness import attempt, flip, full_disk, kill, truncate, zero
from peers import BACKGROUND, DCP, OPTIMKIT, PEERS, SAFETENSORS, Peer, make
from power import ALL, WAYS, record, replay

TABLE = Path(__file__).parents[2] / "docs" / "promises.csv"
IN_THE_BACKGROUND = "``optimkit``, in the background | ``optimkit``，在后台"
POWER = TABLE.with_name("power.csv")
CUT = (
    "power cut after any call of an overwrite: neither the old nor the new one loads, of how many "
    "states of the disk | 覆盖时在任一系统调用之后断电：新旧两份都读不出 / 磁盘可能的状态"
)
SAVED = {  # a way to save, and by how many processes
    ("optimkit", 1): "a file | 单个文件",
    ("optimkit, background", 1): "a file, in the background | 单个文件，在后台保存",
    ("CheckpointDir", 1): "a ``CheckpointDir``, rotated | ``CheckpointDir``，只留最新的一个",
    ("distributed", 1): "a directory of ``checkpoint.distributed``, one process | "
    "``checkpoint.distributed`` 的目录，一个进程",
    ("distributed", 2): "the same, two processes: 3,000 states a call, drawn | "
    "同上，两个进程：每个调用抽取 3,000 种",
}
PACKAGES = {"torch.save": "torch", "safetensors": "safetensors", "DCP": "torch"}

Measure = Callable[[Peer, Path], object]


class Evil:
    """What a malicious file would call."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        """Make a folder when unpickled."""
        return os.mkdir, (self.path,)


def run_code(peer: Peer, folder: Path) -> object:
    """Load a checkpoint whose pickle makes a folder; count the folders."""
    path, evil = folder / "last.pt", folder / "evil"
    if peer is SAFETENSORS:
        return "–"  # it holds no pickle
    peer.write(path, make(0, 1))
    pickled = pickle.dumps(Evil(evil), 2)
    if peer is DCP:
        (path / ".metadata").write_bytes(pickled)
    else:
        import torch

        torch.save({"tensors": Evil(evil)}, path)
    attempt(peer, path, make(0, 1), bool)
    return int(evil.exists())


def change_link(peer: Peer, folder: Path) -> object:
    """Link the old files by other names, save anew, and count the links that changed."""
    path = folder / "last.pt"
    peer.write(path, make(1, 1))
    links = {}
    for file in peer.files(path):
        links[folder / f"best{len(links)}"] = file.read_bytes()
        os.link(file, folder / f"best{len(links) - 1}")
    peer.write(path, make(2, 1))
    return int(any(link.read_bytes() != content for link, content in links.items()))


def cut_power(peer: Peer, folder: Path) -> str:
    """Cut the power after every call; of ours, a save that has returned must be there."""
    lines = record(folder.resolve(), [peer.name])
    ours = peer in (OPTIMKIT, BACKGROUND)
    found, _ = replay(lines, folder.resolve() / peer.name, peer, ALL, strict=ours)
    return f"{found.lost + found.silent} / {found.times}"


def every_state() -> list[list[object]]:
    """Cut the power after every call of ours; count the states of the disk, and those that are lost."""
    rows: list[list[object]] = []
    for (name, ranks), what in SAVED.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary).resolve()
            lines = record(folder, [name], ranks)
            found, _ = replay(lines, folder / name, WAYS[name], ALL if ranks == 1 else 3000)
        rows.append([what, f"{found.times:,}", found.lost + found.silent])
        print(*rows[-1], flush=True)
    return rows


def measure(times: int, megabytes: float) -> list[list[object]]:
    """Return the table, a row for each thing that was done."""
    rows: dict[str, list[object]] = {}
    killed = f"kill -9 while overwriting {megabytes:g} MB | 覆盖 {megabytes:g} MB 时 kill -9"
    counted: list[tuple[str, str, object, Measure]] = [
        (killed, "", times, lambda peer, folder: kill(peer, folder, megabytes, times)),
        (
            "one bit flipped: other values loaded silently | 翻转一位：读出别的数值而不报错",
            "silent",
            times,
            lambda peer, folder: flip(peer, folder, megabytes, times),
        ),
        (
            "64 KiB zeroed: other values loaded silently | 64 KiB 清零：读出别的数值而不报错",
            "silent",
            times // 4,
            lambda peer, folder: zero(peer, folder, megabytes, times // 4),
        ),
        (
            "cut off: other values loaded silently | 文件截断：读出别的数值而不报错",
            "silent",
            times // 4,
            lambda peer, folder: truncate(peer, folder, megabytes, times // 4),
        ),
        (
            "disk full while overwriting: old checkpoint lost | 覆盖时磁盘写满：旧检查点丢失",
            "lost",
            times // 10,
            lambda peer, folder: full_disk(peer, folder, 5, times // 10),
        ),
        (CUT, "", "all | 全部", cut_power),
        (
            "a pickle that calls a function: it was called | pickle 里藏着函数调用：被执行",
            "",
            1,
            run_code,
        ),
        (
            "a hard link to the old file: changed by the next save | 旧文件的硬链接：被下一次保存改掉",
            "",
            1,
            change_link,
        ),
    ]
    for what, field, count, function in counted:
        for peer in PEERS.values():
            with tempfile.TemporaryDirectory() as folder:
                found = function(peer, Path(folder))
            print(what.partition(" | ")[0], peer.name, found, flush=True)
            if what is killed:
                for part, label in (
                    ("lost", "checkpoint lost | 检查点丢失"),
                    ("silent", "a mixture of two saves loaded | 读出两次保存的混合"),
                    ("litter", "files left behind after the next save | 下一次保存后残留的文件"),
                ):
                    rows.setdefault(_join(what, label), [count]).append(getattr(found, part))
            else:
                value = getattr(found, field) if field else found
                rows.setdefault(what, [count]).append(value)
    return [[what, *cells] for what, cells in rows.items()]


def _join(what: str, label: str) -> str:
    """Put two texts together, in each language."""
    (english, chinese), (more, further) = what.split(" | "), label.split(" | ")
    return f"{english}: {more} | {chinese}：{further}"


def main() -> None:
    """Write the tables."""
    states = [["what was saved | 保存的是什么", "states | 状态数", "lost | 丢失"], *every_state()]
    with POWER.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(states)
    titles = [
        f"``{name} {version(PACKAGES[name]).partition('+')[0]}``"
        if name in PACKAGES
        else {"optimkit, background": IN_THE_BACKGROUND}.get(name, f"``{name}``")
        for name in PEERS
    ]
    if sys.argv[1:] == ["power"]:
        rows = list(csv.reader(TABLE.read_text(encoding="utf-8").splitlines()))[1:]
        for row in rows:
            if row[0] == CUT:
                for place, peer in enumerate(PEERS.values(), 2):
                    with tempfile.TemporaryDirectory() as folder:
                        row[place] = cut_power(peer, Path(folder))
    else:
        times = int(sys.argv[1]) if len(sys.argv) > 1 else 200
        rows = measure(times, float(sys.argv[2]) if len(sys.argv) > 2 else 50)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what was done | 做了什么", "times | 次数", *titles])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
