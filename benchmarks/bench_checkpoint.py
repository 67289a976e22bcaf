"""What it costs to save and load safely: medians of ratios, each taken in one run.

    python benchmarks/bench_checkpoint.py [FOLDER]

Budgets: a durable save takes at most 1.1 times as long as writing the same bytes and syncing them;
one that does not wait for the disk at most 1.1 times as long as torch.save; a verified load into a
model and its optimizer at most half as long as torch.load and load_state_dict, in memory that is
new to the process, as when it resumes, and in memory left over from the load before. There torch
copies each byte of the file once, and those of the model once more, while a verified load in place
reads them all twice: 0.5 is out of its reach where no page of that memory is new, so the bench
tells beside it what reading the file twice takes. Saving takes at most 5 % of the bytes in memory.
For many small tensors the time to compare them all is told, without a budget.

A save in the background blocks at most 1.3 copies in memory, and 0.3 of what DCP's does: DCP copies
into memory that is new at each save, unless the allocator has kept what the last one freed ("again",
one copy too). A step beside it takes at most 15 % longer, where the machine's cores do not slow each
other: the bench tells what one costs beside checksums alone. A CheckpointDir looks for NaN: it takes at most 5 % more, with the
threads that torch takes by itself. All else is measured with one. 4 GB need 20 GB of memory.

Each call begins with nothing left to write by the one before.
"""

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict_saver import async_save
from zlib_ng.zlib_ng import crc32

import optimkit

SIZES = {"100 MB": 100, "1 GB": 1000}
LOADS = {"100 MB": 100, "768 MB": 768, "4 GB": 4000}
PARTS = 40  # tensors

MEMORY = """
import resource, sys, torch, optimkit
state = {str(i): torch.ones(int(sys.argv[2]) * 250_000 // 40) for i in range(40)}
optimkit.save(sys.argv[1], small=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
optimkit.save(sys.argv[1], durable=False, state=state)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024 / int(sys.argv[2]) * 100)
"""


def settle(*, fresh: bool) -> None:
    """Write what is to be written; for a fresh start, give back the memory that is free."""
    os.sync()
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if fresh and release is not None:
        release(0)


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratios(
    one: Callable[[], object], other: Callable[[], object], times: int, *, fresh: bool = True
) -> list[float]:
    """Return the ratios of two times, taken in turn; in every other round the other goes first."""
    for _ in range(2):  # a new file and the old one take turns: let the disk know both
        one(), other()
    found = []
    for round_ in range(times):
        took = {}
        for call in (one, other) if round_ % 2 else (other, one):
            settle(fresh=fresh)
            took[call] = seconds(call)
        found.append(took[one] / took[other])
    return found


def show(what: str, found: list[float], budget: float) -> None:
    """Print a line."""
    median = statistics.median(found)
    print(
        f"  {what:42s} {median:5.2f}  (budget {budget}; {min(found):.2f} to {max(found):.2f} in "
        f"{len(found)} rounds){'' if median <= budget else '  OVER'}",
        flush=True,
    )


def measure(folder: Path, megabytes: int) -> None:
    """Take all ratios for a size."""
    state = {str(index): torch.randn(megabytes * 250_000 // PARTS) for index in range(PARTS)}
    ours, theirs, plain = folder / "ours.pt", folder / "theirs.pt", folder / "plain"
    optimkit.save(ours, durable=False, state=state)
    content = ours.read_bytes()
    times = 21 if megabytes <= 100 else 7

    def raw() -> None:
        with plain.open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())

    show(
        "save / write and fsync",
        ratios(lambda: optimkit.save(ours, state=state), raw, times),
        1.1,
    )
    plain.unlink()
    content = b""
    show(
        "save(durable=False) / torch.save",
        ratios(
            lambda: optimkit.save(ours, durable=False, state=state),
            lambda: torch.save({"state": state}, theirs),
            times,
        ),
        1.1,
    )
    command = [sys.executable, "-c", MEMORY, str(ours), str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"  {'peak memory of a save, % of the bytes':42s} {float(done.stdout):5.2f}  (budget 5)")


def measure_loading(folder: Path, megabytes: int) -> None:
    """Load a model and its AdamW, in tensors of 16 MB or less."""
    ours, theirs, times = folder / "ours.pt", folder / "theirs.pt", 3 if megabytes > 1000 else 11
    count = max(13, megabytes // 48)  # three tensors for each
    model = nn.ParameterList(torch.randn(megabytes * 250_000 // count // 3) for _ in range(count))
    optimizer = torch.optim.AdamW(model.named_parameters())
    for param in model:
        param.grad = torch.ones_like(param)
    optimizer.step()
    optimizer.zero_grad()
    objects = {"model": model, "optimizer": optimizer}
    optimkit.save(ours, objects)
    torch.save({name: each.state_dict() for name, each in objects.items()}, theirs)

    def load_as_torch() -> None:
        found = torch.load(theirs, weights_only=True)
        for name, each in objects.items():
            each.load_state_dict(found[name])

    for title, fresh in {"first": True, "again": False}.items():
        show(
            f"load / torch.load, load_state_dict, {title}",
            ratios(lambda: optimkit.load(ours, objects), load_as_torch, times, fresh=fresh),
            0.5,
        )
    show(
        "load / reading the file twice",
        ratios(lambda: optimkit.load(ours, objects), lambda: read_twice(ours), times, fresh=False),
        1.5,
    )
    if megabytes <= 1000:
        checkpoints = optimkit.CheckpointDir(folder / "run", keep=optimkit.Last(1))
        numbers = iter(range(1000))
        torch.set_num_threads(os.cpu_count() or 1)
        show(
            "save of CheckpointDir, which looks for NaN / save",
            ratios(
                lambda: checkpoints.save(next(numbers), objects=objects),
                lambda: optimkit.save(ours, objects),
                times,
            ),
            1.05,
        )
        torch.set_num_threads(1)


def read_twice(path: Path) -> None:
    """Read a file as a load must: to verify it, and to copy it."""
    room = bytearray(1 << 20)
    for _ in range(2):
        with path.open("rb", buffering=0) as file:
            while file.readinto(room):
                pass


def measure_background(folder: Path, megabytes: int, rounds: int = 7) -> None:
    """Time what training waits for, and a step beside the writing."""
    state = {str(index): torch.randn(megabytes * 250_000 // PARTS) for index in range(PARTS)}
    model = nn.ParameterDict(state)
    copies = [each.clone() for each in state.values()]
    checkpoints = optimkit.CheckpointDir(folder / "beside", optimkit.Last(1), background=True)
    weight = torch.randn(700, 700)

    def copy() -> None:
        for one, other in zip(copies, state.values(), strict=True):
            one.copy_(other)

    def save() -> optimkit.Saving:
        return optimkit.save(folder / "beside.pt", state=state, background=True)

    def step() -> None:
        weight @ weight

    def save_by_dcp() -> Future:
        return async_save({"state": state}, checkpoint_id=folder / "dcp")

    def sum_up() -> None:
        for each in copies * 3:
            crc32(each.numpy())

    def steps_until(done: Callable[[], bool]) -> float:
        beside = [seconds(step)]
        while not done():
            beside.append(seconds(step))
        return statistics.median(beside)

    waits, steps, limits, of_dir = [], [], [], []
    of_dcp: dict[bool, list[float]] = {True: [], False: []}
    save().wait()
    save_by_dcp().result()
    for _ in range(rounds):
        os.sync()
        alone = statistics.median(seconds(step) for _ in range(30))
        once = seconds(copy)
        start = time.perf_counter()
        saving = save()
        blocked = time.perf_counter() - start
        waits.append(blocked / once)
        steps.append(steps_until(saving.done) / alone)
        with ThreadPoolExecutor() as pool:
            limits.append(steps_until(pool.submit(sum_up).done) / alone)
        for fresh, found in of_dcp.items():
            settle(fresh=fresh)
            start = time.perf_counter()
            future = save_by_dcp()
            found.append(blocked / (time.perf_counter() - start))
            future.result()
        os.sync()
        once = seconds(copy)
        start = time.perf_counter()
        saving = checkpoints.save(0, model=model)
        of_dir.append((time.perf_counter() - start) / once)
        saving.wait()
    show("save(background=True), blocked / one copy in memory", waits, 1.3)
    show("the same of CheckpointDir, which looks for NaN", of_dir, 1.3)
    show("the first / DCP's async_save, first", of_dcp[True], 0.3)
    show("the first / DCP's async_save, again", of_dcp[False], 1)
    show("a step beside the writing / alone", steps, 1.15)
    print(f"    beside another thread's checksums it is {statistics.median(limits):.2f} here")


def measure_matching(layers: int = 750) -> None:
    """Time a load of many small tensors: what is compared before anything is touched."""
    model = nn.ModuleList(nn.Linear(4, 4) for _ in range(layers))
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(named)
    for param in model.parameters():
        param.grad = torch.ones_like(param)
    optimizer.step()
    saved = optimizer.state_dict()
    moved = torch.optim.AdamW([{"params": named[::-2]}, {"params": named[-2::-2]}])
    for title, target in (("in order", optimizer), ("moved and regrouped", moved)):
        ours = [seconds(lambda: optimkit.load_optimizer(target, saved)) for _ in range(51)]  # noqa: B023
        theirs = [seconds(lambda: optimizer.load_state_dict(saved)) for _ in range(51)]
        ratio = statistics.median(ours) / statistics.median(theirs)
        print(f"  {f'load_optimizer / load_state_dict, {title}':52s} {ratio:5.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of DCP, that there is one process
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    measure_matching()
    where = sys.argv[1] if len(sys.argv) > 1 else None
    for title, size in SIZES.items():
        print(title)
        with tempfile.TemporaryDirectory(dir=where) as name:
            measure(Path(name), size)
            measure_background(Path(name), size)
    for title, size in LOADS.items():
        print(title, "of a model and its AdamW")
        with tempfile.TemporaryDirectory(dir=where) as name:
            measure_loading(Path(name), size)
    dist.destroy_process_group()
