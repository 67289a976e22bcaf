"""Do to a checkpoint what happens to checkpoints, and count what is left of them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peers import Peer, State, make, whole


@dataclass
class Tally:
    """How often what happened."""

    times: int = 0
    lost: int = 0  # it can't be loaded any more
    silent: int = 0  # it is loaded, and is not what was saved
    litter: int = 0  # files that stay behind after the next save
    errors: frozenset[str] = frozenset()

    def count(self, outcome: object) -> None:
        """Count one time."""
        self.times += 1
        if isinstance(outcome, BaseException):
            self.lost += 1
            self.errors |= {type(outcome).__name__}
        elif not outcome:
            self.silent += 1


def kill(peer: Peer, folder: Path, megabytes: float, times: int, seed: int = 0) -> Tally:
    """Kill -9 a process at a random moment while it overwrites its checkpoint, again and again."""
    path, generator, tally = folder / "last.pt", random.Random(seed), Tally()
    like = make(0, megabytes)
    start = time.perf_counter()
    peer.save(path, like)
    peer.save(path, like)
    once = (time.perf_counter() - start) / 2
    mine = {path, *peer.files(path)}
    with nursery(peer, path, megabytes) as bear:
        for _ in range(times):
            child, wait = bear(tally.times * 1000 + 1)
            time.sleep(generator.uniform(0, 3) * once)
            os.kill(child, signal.SIGKILL)
            wait()
            outcome = attempt(peer, path, like, whole)
            tally.count(outcome)
            if outcome is not True:
                peer.save(path, like)
    peer.save(path, like)
    peer.load(path, like)  # waits for a save in the background
    tally.litter = len({each for each in folder.rglob("*") if each not in mine})
    return tally


def full_disk(peer: Peer, folder: Path, megabytes: float, times: int) -> Tally:
    """Let the disk end at a random byte of an overwrite; what counts is the checkpoint before."""
    import resource

    path, generator, tally = folder / "last.pt", random.Random(0), Tally()
    like = make(1, megabytes)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(times):
        peer.write(path, like)
        resource.setrlimit(resource.RLIMIT_FSIZE, (generator.randrange(int(megabytes * 1e6)), hard))
        with contextlib.suppress(BaseException):
            peer.write(path, make(2, megabytes))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        tally.count(attempt(peer, path, like, whole))
    return tally


def attempt(peer: Peer, path: Path, like: State, right: Callable[[State], bool]) -> object:
    """Load; return the error, or whether what was loaded is right."""
    try:
        return right(peer.load(path, like))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # each library has its own; DCP's is no Exception
        return error


class nursery:  # noqa: N801 (a context manager, used like a function)
    """Start a process that forks the writers."""

    def __init__(self, peer: Peer, path: Path, megabytes: float) -> None:
        script = Path(__file__).with_name("nursery.py")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script), peer.name, str(path), str(megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Callable[[int], tuple[int, Callable[[], object]]]:
        """Wait until torch is imported."""
        assert self._line() == "ready"
        return self._bear

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _bear(self, number: int) -> tuple[int, Callable[[], object]]:
        print(number, file=self._process.stdin, flush=True)
        return int(self._line()), self._line

    def _line(self) -> str:
        return self._process.stdout.readline().strip()


def flip(peer: Peer, folder: Path, megabytes: float, times: int) -> Tally:
    """Flip a random bit, load, flip it back."""
    return _damage(peer, folder, megabytes, times, _flip)


def zero(peer: Peer, folder: Path, megabytes: float, times: int) -> Tally:
    """Zero 64 KiB at a random place: a block that never reached the disk."""
    return _damage(peer, folder, megabytes, times, _zero)


def truncate(peer: Peer, folder: Path, megabytes: float, times: int) -> Tally:
    """Cut the file off at a random place."""
    return _damage(peer, folder, megabytes, times, _cut)


def _flip(whole_: bytes, generator: random.Random, time_: int) -> bytes:
    size = len(whole_)
    near = min(size, 4096)
    # Half of them anywhere, half near the ends, where the structure is.
    place = generator.randrange(size)
    if time_ % 2:
        place = generator.choice([generator.randrange(near), size - 1 - generator.randrange(near)])
    bit = 1 << generator.randrange(8)
    return b"".join((whole_[:place], bytes([whole_[place] ^ bit]), whole_[place + 1 :]))


def _zero(whole_: bytes, generator: random.Random, time_: int) -> bytes:
    place = generator.randrange(max(1, len(whole_) - 65536))
    hole = bytes(min(65536, len(whole_)))
    return b"".join((whole_[:place], hole, whole_[place + len(hole) :]))


def _cut(whole_: bytes, generator: random.Random, time_: int) -> bytes:
    return whole_[: generator.randrange(len(whole_))]


def _damage(
    peer: Peer,
    folder: Path,
    megabytes: float,
    times: int,
    damage: Callable[[bytes, random.Random, int], bytes],
) -> Tally:
    """Damage one file of a checkpoint, larger ones more often; load; mend it."""
    path, generator, tally = folder / "last.pt", random.Random(0), Tally()
    state = {name: tensor + 1 for name, tensor in make(6, megabytes).items()}
    peer.write(path, state)
    contents = {each: each.read_bytes() for each in peer.files(path)}
    sizes = [len(content) for content in contents.values()]

    def right(loaded: State) -> bool:
        return loaded.keys() == state.keys() and all(
            loaded[name].equal(state[name]) for name in state
        )

    for time_ in range(times):
        [victim] = generator.choices(list(contents), sizes)
        damaged = damage(contents[victim], generator, time_)
        if damaged == contents[victim]:
            continue
        victim.write_bytes(damaged)
        tally.count(attempt(peer, path, state, right))
        victim.write_bytes(contents[victim])
    return tally
