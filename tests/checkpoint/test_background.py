"""Saving beside training: what is written is the state at the call, and nothing is lost."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import optimkit
from optimkit import Best, CheckpointDir, Last

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def parts(request):
    """Return a model and an optimizer that has stepped, on each device that is there."""
    torch.manual_seed(0)
    model = nn.Linear(300, 200, device=request.param)
    optimizer = torch.optim.AdamW(model.named_parameters(), lr=0.1)
    train(model, optimizer)
    return {"model": model, "optimizer": optimizer}


def train(model, optimizer, steps=1):
    """Step with random gradients."""
    for _ in range(steps):
        for param in model.parameters():
            param.grad = torch.randn_like(param)
        optimizer.step()


def test_the_state_at_the_call(tmp_path, parts):
    """However training goes on, the file is the one that a plain save would have written."""
    options = {"layers": [1, {"bytes": bytearray(b"ab")}], "ids": {1, 2}}
    plain = optimkit.save(tmp_path / "plain.pt", **parts, config=options)
    saving = optimkit.save(tmp_path / "a.pt", **parts, config=options, background=True)
    train(**parts, steps=3)
    parts["optimizer"].param_groups[0]["lr"] = 7.0
    options["layers"][1]["bytes"] += b"c"
    options["ids"].add(3)
    assert saving.wait() == tmp_path / "a.pt"
    assert optimkit.diff(plain, saving.path).rows == ()
    assert optimkit.load(saving.path)["config"] == {"layers": [1, {"bytes": b"ab"}], "ids": {1, 2}}


def test_the_handle(tmp_path, parts):
    """It says how far it is, and may be waited for twice."""
    saving = optimkit.save(tmp_path / "a.pt", **parts, background=True)
    assert saving.wait() == saving.wait() == saving.path == tmp_path / "a.pt"
    assert saving.done()
    assert repr(saving) == f"<Saving {str(saving.path)!r}: done>"


def test_one_at_a_time_in_order(tmp_path, parts):
    """The file of the last call is there at the end, in the background or not."""
    path = tmp_path / "a.pt"
    for epoch in range(6):
        optimkit.save(path, **parts, epoch=epoch, background=epoch != 5)
    assert optimkit.load(path, **parts)["epoch"] == 5
    first = optimkit.save(path, **parts, epoch=6, background=True)
    optimkit.save(path, **parts, epoch=7, background=True)
    assert first.done()
    assert optimkit.load(path)["epoch"] == 7  # a load waits
    optimkit.save(tmp_path / "b.pt", adam=parts["optimizer"], background=True)
    assert optimkit.load_optimizer(parts["optimizer"], tmp_path / "b.pt").complete  # this one too


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the niceness of a thread")
def test_training_comes_first(tmp_path):
    """The thread that writes waits for a core that training wants; training itself is as before."""
    tasks, before = Path("/proc/self/task"), os.getpriority(os.PRIO_PROCESS, 0)
    others = set(os.listdir(tasks))
    saving = optimkit.save(tmp_path / "a.pt", weight=torch.ones(20_000_000), background=True)
    found = set()
    while not saving.done():
        for each in {*os.listdir(tasks)} - others:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                found.add(os.getpriority(os.PRIO_PROCESS, int(each)))
    assert min(19, before + 10) in found
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_another_set_of_tensors(tmp_path, parts):
    """The memory of the save before serves, whatever is saved next."""
    path = tmp_path / "a.pt"
    optimkit.save(path, **parts, background=True)
    other = {"big": torch.randn(500_000), "half": torch.randn(300, 200).half()}
    optimkit.save(path, **other, background=True)
    loaded = optimkit.load(path)
    assert all(torch.equal(loaded[name], other[name]) for name in other)
    optimkit.save(path, nothing=3, background=True)
    assert optimkit.load(path)["nothing"] == 3


def test_what_is_tied_stays_tied(tmp_path):
    """Tensors that share memory share it in the copy."""
    weight = torch.randn(30, 40)
    optimkit.save(tmp_path / "a.pt", one=weight, two=weight.T, row=weight[3], background=True)
    loaded = optimkit.load(tmp_path / "a.pt")
    loaded["one"].zero_()
    assert not loaded["two"].any()
    assert not loaded["row"].any()


def test_parameters_as_plain_values(tmp_path):
    """They are tied as they were; a loss with a graph is saved; the default device is another."""
    weight = nn.Parameter(torch.ones(40))
    weight.note = "own"
    plain = {"twice": [weight, weight], "data": weight.data[:30], "loss": (weight * 2).sum()}
    with torch.device("meta"):
        saving = optimkit.save(tmp_path / "a.pt", plain=plain, background=True)
    with torch.no_grad():
        weight += 1
    found = torch.load(saving.wait(), weights_only=True)["plain"]
    first, second = found["twice"]
    assert first.data_ptr() == second.data_ptr() == found["data"].data_ptr()
    assert type(first) is nn.Parameter
    assert (first.note, first.sum(), found["data"].sum()) == ("own", 40, 30)
    assert found["loss"].requires_grad
    assert found["loss"] == 80


def test_an_error_is_raised_where_it_can_be_seen(tmp_path, parts):
    """At wait(); else at the next save, once, before that one begins."""
    path = tmp_path / "gone" / "a.pt"
    saving = optimkit.save(path, **parts, background=True)
    with pytest.raises(FileNotFoundError) as caught:
        saving.wait()
    assert str(caught.value) == f"[Errno 2] No such file or directory: {str(path)!r}"
    assert saving.done()
    assert repr(saving) == f"<Saving {str(path)!r}: failed>"
    optimkit.save(tmp_path / "a.pt", epoch=1)
    optimkit.save(path, **parts, background=True)
    with pytest.raises(FileNotFoundError, match="gone"):
        optimkit.save(tmp_path / "a.pt", epoch=2)
    assert optimkit.load(tmp_path / "a.pt")["epoch"] == 1
    optimkit.save(tmp_path / "a.pt", epoch=3)
    assert optimkit.load(tmp_path / "a.pt")["epoch"] == 3


def test_what_can_not_be_saved_is_refused_at_once(tmp_path):
    """The checks come first, and nothing is begun."""
    with pytest.raises(optimkit.UnsafeCheckpointError, match="folder: torch"):
        optimkit.save(tmp_path / "a.pt", folder=Path("x"), background=True)
    assert not list(tmp_path.iterdir())


ENDS = """
import sys, torch, optimkit
saving = optimkit.save(sys.argv[1], weight=torch.ones(3_000_000), background=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [("", 0, ""), ("raise ValueError('no')", 1, "ValueError: no"), ("sys.exit(3)", 3, "")],
)
def test_the_end_of_the_process_waits(tmp_path, end, code, said):
    """A script that ends, or fails, has saved."""
    command = [sys.executable, "-c", ENDS.format(end=end), str(tmp_path / "a.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert (said in done.stderr) if said else not done.stderr
    assert optimkit.load(tmp_path / "a.pt")["weight"].sum() == 3_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_an_error_at_the_end_is_shown(tmp_path):
    """No error is lost with the process."""
    command = [sys.executable, "-c", ENDS.format(end=""), str(tmp_path / "gone" / "a.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "No such file or directory" in done.stderr


def end_with_a_save(path):
    optimkit.save(path, weight=torch.ones(3_000_000), background=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_end_of_a_process_of_multiprocessing_waits(tmp_path):
    """It ends without atexit if it was forked."""
    process = multiprocessing.get_context("fork").Process(
        target=end_with_a_save, args=(tmp_path / "a.pt",)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert optimkit.load(tmp_path / "a.pt")["weight"].sum() == 3_000_000


def test_a_directory(tmp_path, parts):
    """The policies hold, the older are deleted after the newer are there, restore waits."""
    checkpoints = CheckpointDir(tmp_path, (Last(1), Best(1, "loss", "min")), background=True)
    assert repr(checkpoints).endswith(", background=True)")
    for step, loss in enumerate([0.5, 0.2, 0.3, 0.4]):
        saving = checkpoints.save(step, {"loss": loss}, **parts)
        assert len(checkpoints.paths) == (1 if step in (0, 1) else 2)
        assert saving.done()
        train(**parts)
    saving = checkpoints.save(4, {"loss": 0.5}, **parts)
    assert checkpoints.restore(**parts).step == 4
    assert saving.done()
    assert checkpoints.restore("best", **parts).step == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_saves_too(tmp_path):
    """A child that is forked while its parent saves waits for nothing, and saves by itself."""
    optimkit.save(tmp_path / "parent.pt", weight=torch.ones(3_000_000), background=True)
    child = os.fork()
    if not child:
        code = 1
        try:
            optimkit.save(tmp_path / "child.pt", weight=torch.ones(3), background=True).wait()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert optimkit.load(tmp_path / "child.pt")["weight"].sum() == 3
    assert optimkit.load(tmp_path / "parent.pt")["weight"].sum() == 3_000_000


def test_many_threads_save(tmp_path):
    """Each thread's file is its own state."""

    def work(number):
        for _ in range(5):
            optimkit.save(
                tmp_path / f"{number}.pt", weight=torch.full((50_000,), number), background=True
            )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for number in range(4):
        assert optimkit.load(tmp_path / f"{number}.pt")["weight"].eq(number).all()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_the_handler_of_a_signal_saves(tmp_path):
    """In the middle of another save, whenever that is: both files are whole."""

    def handler(*_):
        optimkit.save(tmp_path / "signal.pt", weight=torch.full((40_000,), 2.0), background=True)

    former = signal.signal(signal.SIGALRM, handler)
    try:
        for microseconds in range(100, 3000, 150):
            signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
            weight = torch.full((400_000,), float(microseconds))
            optimkit.save(tmp_path / "a.pt", weight=weight, background=True)
            time.sleep(0.004)
            assert optimkit.load(tmp_path / "a.pt")["weight"].eq(microseconds).all()
            assert optimkit.load(tmp_path / "signal.pt")["weight"].eq(2).all()
    finally:
        signal.signal(signal.SIGALRM, former)


class Alarm(BaseException):
    """What the handler of a signal raises, as KeyboardInterrupt."""


@contextlib.contextmanager
def alarms(handler):
    """Let a handler have SIGALRM."""
    former = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def ring(*_):
    """Raise."""
    raise Alarm


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_the_handler_of_a_signal_raises(tmp_path):
    """In the middle of a save, whenever that is: no later one writes into what is being written."""
    path = optimkit.save(tmp_path / "a.pt", weight=torch.zeros(400_000))
    with alarms(ring):
        for microseconds in range(100, 3000, 100):
            with contextlib.suppress(Alarm):
                signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
                weight = torch.full((400_000,), float(microseconds))
                optimkit.save(path, weight=weight, background=True)
                time.sleep(0.004)
            found = optimkit.load(path)["weight"]
            assert found.min() == found.max()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_a_wait_is_interrupted(tmp_path):
    """Who waits again waits until the file is complete."""
    with alarms(ring):
        saving = optimkit.save(tmp_path / "a.pt", weight=torch.ones(20_000_000), background=True)
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        with contextlib.suppress(Alarm):
            saving.wait()
            time.sleep(10)
        assert optimkit.load(saving.wait())["weight"].sum() == 20_000_000


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_handlers_and_threads_save_at_once(tmp_path):
    """None waits for another for ever, and each file is whole."""

    def work(name, times):
        for number in range(times):
            weight = torch.full((20_000,), float(number))
            optimkit.save(tmp_path / name, weight=weight, background=True)

    def handler(*_):
        work("signal.pt", 1)
        signal.setitimer(signal.ITIMER_REAL, 0.002)

    with alarms(handler):
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        thread = threading.Thread(target=work, args=("thread.pt", 30))
        thread.start()
        work("main.pt", 30)
        thread.join()
    for name in ("signal.pt", "thread.pt", "main.pt"):
        found = optimkit.load(tmp_path / name)["weight"]
        assert found.min() == found.max()


LATE = [
    "import atexit, sys, torch",
    "def late(): optimkit.save(sys.argv[1], weight=torch.ones(1_000_000), background=True)",
]


@pytest.mark.parametrize("order", [1, -1])
def test_a_save_at_the_end_of_the_process(tmp_path, order):
    """Whoever registered first, what is saved at exit is there."""
    lines = [*LATE, *["import optimkit", "atexit.register(late)"][::order]]
    command = [sys.executable, "-c", "\n".join(lines), str(tmp_path / "a.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert optimkit.load(tmp_path / "a.pt")["weight"].sum() == 1_000_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_does_not_wait_for_its_parent(tmp_path):
    """The handle of the parent says in the child who writes."""
    path = tmp_path / "a.pt"
    saving = optimkit.save(path, weight=torch.ones(20_000_000), background=True)
    child = os.fork()
    if not child:
        code = 1
        try:
            saving.wait()
        except optimkit.CheckpointError as error:
            said = f"{path} is written by the process that this one is a fork of. Wait there."
            code = 0 if str(error) == said else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert saving.wait() == path


def test_no_more_than_is_shown_is_written(tmp_path):
    """Of a view, its values are written, not all the memory behind it."""
    table = torch.randn(1000, 1000)
    row = optimkit.save(tmp_path / "row.pt", row=table[3])
    columns = optimkit.save(tmp_path / "columns.pt", columns=table[:, :3])
    rows = optimkit.save(tmp_path / "rows.pt", one=table[3:5], other=table[4])
    for path, count in {row: 1000, columns: 3000, rows: 2000}.items():
        assert 4 * count < path.stat().st_size < 4 * count + 3000
    assert torch.equal(optimkit.load(row)["row"], table[3])
    assert torch.equal(optimkit.load(columns)["columns"], table[:, :3])
    loaded = optimkit.load(rows)
    assert torch.equal(loaded["one"], table[3:5])
    loaded["one"][1].zero_()
    assert not loaded["other"].any()


def values_of(tensor):
    """Return the values of any of these as a plain tensor."""
    plain = tensor.detach()
    return plain.dequantize() if plain.is_quantized else plain.to_dense()


OF_A_LARGE_ONE = {
    "one value": lambda large: large[5],
    "a parameter": lambda large: nn.Parameter(large[:9]),
    "with gradients": lambda large: large[:9].detach().requires_grad_(),
    "computed with gradients": lambda large: (large.clone().requires_grad_() * 2)[:9],
    "conjugate": lambda large: torch.view_as_complex(large.view(-1, 2))[:9].conj(),
    "quantized": lambda large: torch.quantize_per_tensor(large, 0.1, 0, torch.qint8)[:9],
    "sparse": lambda large: torch.sparse_coo_tensor(torch.arange(9)[None], large[:9], (9,)),
    "far apart": lambda large: [large[:9], large[-9:]],
    "a parameter and its view": lambda large: [nn.Parameter(large[:9]), large[:5]],
}


@pytest.mark.filterwarnings("ignore")  # of torch, that quantized ones are old, and sparse ones new
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("kind", OF_A_LARGE_ONE)
def test_no_kind_of_tensor_takes_the_memory_behind_it(tmp_path, kind, background):
    """It comes back with its type and its values, and ties stay ties."""
    given = OF_A_LARGE_ONE[kind](torch.randn(10_000))
    given = given if isinstance(given, list) else [given]
    optimkit.save(tmp_path / "a.pt", given=given, background=background)
    found = optimkit.load(tmp_path / "a.pt")["given"]
    assert (tmp_path / "a.pt").stat().st_size < 4000
    for one, other in zip(found, given, strict=True):
        assert (type(one), one.requires_grad) == (type(other), other.requires_grad)
        assert torch.equal(*map(values_of, (one, other)))
    if kind == "a parameter and its view":
        found[0].detach().zero_()
        assert not found[1].any()


@pytest.mark.filterwarnings("ignore")  # of torch, that they are new
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc, torch.sparse_coo])
def test_a_sparse_tensor(tmp_path, layout):
    """It is copied as others are."""
    table = torch.eye(3).to_sparse(layout=layout)
    saving = optimkit.save(tmp_path / "a.pt", table=table, background=True)
    table.zero_()
    found = optimkit.load(saving.wait())["table"]
    assert found.layout == layout
    assert torch.equal(found.to_dense(), torch.eye(3))


class Copies(TorchDispatchMode):
    """Notes the copies that are made, and in which stream."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Do as without it."""
        if func is torch.ops.aten.copy_.default:
            self.made.append((*args[:2], torch.cpu.current_stream()))
        return func(*args, **(kwargs or {}))


def test_the_copies(tmp_path):
    """Each memory is copied once, in a stream of its own, to where it was copied last time.

    The streams of the CPU are those of a GPU, but do nothing.
    """
    table, training = torch.randn(1000), torch.cpu.current_stream()
    state = {"row": table[:400], "rest": table[400:], "all": table, "tied": [torch.ones(3)] * 2}
    places = set()
    for number in range(2):
        table += number
        with Copies() as copies:
            saving = optimkit.save(tmp_path / "a.pt", state=state, background=True)
        targets, sources, streams = zip(*copies.made, strict=True)
        assert [each.nbytes for each in sources] == [4000, 12]
        assert sources[0].data_ptr() == table.data_ptr()
        [own] = set(streams)
        assert own is not training
        assert torch.cpu.current_stream() is training
        places.add(tuple(each.data_ptr() for each in targets))
        assert torch.equal(optimkit.load(saving.wait())["state"]["rest"], table[400:])
    assert len(places) == 1


MEMORY = """
import gc, sys, torch, optimkit
state = {str(i): torch.ones(2_000_000) for i in range(8)}
optimkit.save(sys.argv[1], small=torch.ones(10), background=True).wait()

def status(key):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(key))

before = status("VmRSS")
gc.disable()
for size in (2_000_000, 2_000_000, 1_000_000, 2_000_000, 2_000_000):
    cut = {key: value[:size] for key, value in state.items()}
    optimkit.save(sys.argv[1], state=cut, background=True)
print((status("VmHWM") - before) / 64e6)
"""


@pytest.mark.since("save_lets_memory_go")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says what is used")
def test_one_copy(tmp_path):
    """However many saves there are, and of whatever size, they take the memory of one copy."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.pt")]
    exact = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back at once
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=exact)
    assert 0.9 < float(done.stdout) < 1.1
