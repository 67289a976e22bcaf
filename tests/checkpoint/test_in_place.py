"""Loading in place: values go from the file into the tensors that are there, all of them or none."""

import contextlib
import copy
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

import optimkit
from optimkit import CheckpointDir, CorruptCheckpointError, MismatchError
from optimkit.checkpoint import distributed


def trained(seed, dtype=torch.float32, make=torch.optim.AdamW):
    """Return a model and an optimizer that has stepped."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(40, 30), nn.Conv2d(3, 8, 5)).to(dtype)
    optimizer = make(model.named_parameters(), lr=0.1)
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def state_of(model, optimizer):
    """Return all that was trained, by name."""
    state = dict(model.state_dict())
    for name, param in model.named_parameters():
        state |= {f"{name}.{key}": value for key, value in optimizer.state.get(param, {}).items()}
    return state


def is_equal(one, other):
    """Return whether two of these are equal, bit for bit, keys in one order."""
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.since("storages_say_where_they_are")
@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.Adagrad, torch.optim.RMSprop])
def test_the_tensors_stay(tmp_path, make):
    """Who holds a weight, or a piece of state, sees what was loaded."""
    saved, live = trained(0, make=make), trained(1, make=make)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1])
    held = {key: value for key, value in state_of(*live).items() if value.ndim}
    optimkit.load(path, model=live[0], optimizer=live[1])
    assert is_equal(state_of(*live), state_of(*saved))
    now = state_of(*live)
    assert all(now[key].data_ptr() == value.data_ptr() for key, value in held.items())


@pytest.mark.since("storages_say_where_they_are")
def test_another_order_in_memory_stays(tmp_path):
    """State in the order of a weight with its channels last, or turned, is read into as well."""
    models = [nn.Conv2d(8, 8, 5).to(memory_format=torch.channels_last) for _ in range(2)]
    optimizers = [torch.optim.AdamW(model.named_parameters()) for model in models]
    for model, optimizer in zip(models, optimizers, strict=True):
        model.turned = nn.Parameter(torch.randn(20, 30).t())
        optimizer.add_param_group({"params": [("turned", model.turned)]})
        model(torch.randn(1, 8, 9, 9)).sum().backward()
        model.turned.grad = torch.randn(20, 30).t()
        optimizer.step()
    path = optimkit.save(tmp_path / "a.pt", model=models[0], optimizer=optimizers[0])
    held = dict(state_of(models[1], optimizers[1]))
    optimkit.load(path, model=models[1], optimizer=optimizers[1])
    assert is_equal(state_of(models[1], optimizers[1]), state_of(models[0], optimizers[0]))
    now = state_of(models[1], optimizers[1])
    assert all(now[key] is value for key, value in held.items() if key.endswith(("avg", "avg_sq")))


def test_a_weight_that_is_conjugate(tmp_path):
    """It has other numbers in memory than it has for values."""
    saved, live = (nn.ParameterList([torch.randn(20, 30, dtype=torch.cfloat)]) for _ in range(2))
    live[0] = nn.Parameter(live[0].detach().conj())
    assert live[0].is_conj()
    optimkit.load(optimkit.save(tmp_path / "a.pt", model=saved), model=live)
    assert torch.equal(live[0], saved[0])


class Own(torch.Tensor):
    """A tensor of a type of its own."""


def test_a_parameter_of_a_type_of_its_own(tmp_path):
    """What such a type copies has been read before."""
    model, other = (nn.Linear(40, 30) for _ in range(2))
    path = optimkit.save(tmp_path / "a.pt", model=model)
    other.weight = nn.Parameter(other.weight.detach().as_subclass(Own))
    optimkit.load(path, model=other)
    assert type(other.weight) is Own
    assert is_equal(other.state_dict(), model.state_dict())


def test_state_that_is_not_there_yet(tmp_path):
    """An optimizer that has not stepped gets the state, in the order of its keys."""
    saved, (model, _) = trained(0), trained(1)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1])
    fresh = torch.optim.AdamW(model.named_parameters())
    optimkit.load(path, model=model, optimizer=fresh)
    assert is_equal(state_of(model, fresh), state_of(*saved))


@pytest.mark.since("storages_say_where_they_are")
def test_state_alone_from_a_file(tmp_path):
    """load_optimizer reads in place too."""
    saved, live = trained(0), trained(1)
    path = optimkit.save(tmp_path / "a.pt", optimizer=saved[1])
    held = live[1].state[live[0][0].weight]["exp_avg"]
    optimkit.load_optimizer(live[1], path)
    assert live[1].state[live[0][0].weight]["exp_avg"] is held
    assert torch.equal(held, saved[1].state[saved[0][0].weight]["exp_avg"])


def test_into_another_dtype(tmp_path):
    """Weights and state are cast on their way."""
    saved, live = trained(0), trained(1, torch.bfloat16)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1])
    report = optimkit.load(path, model=live[0], optimizer=live[1]).reports["optimizer"]
    expected = {
        key: value.to(state_of(*live)[key].dtype) for key, value in state_of(*saved).items()
    }
    assert is_equal(state_of(*live), expected)
    assert {(row.key, row.saved, row.current) for row in report.cast} == {
        ("exp_avg", "float32", "bfloat16"),
        ("exp_avg_sq", "float32", "bfloat16"),
    }


def test_another_order_in_memory(tmp_path):
    """Channels last or first, on either side: the values are the same."""
    saved, live = trained(0), trained(1)
    saved[0].to(memory_format=torch.channels_last)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1])
    optimkit.load(path, model=live[0], optimizer=live[1])
    assert is_equal(state_of(*live), state_of(*saved))
    path = optimkit.save(tmp_path / "b.pt", model=live[0], optimizer=live[1])
    other = trained(2)
    other[0].to(memory_format=torch.channels_last)
    optimkit.load(path, model=other[0], optimizer=other[1])
    assert is_equal(state_of(*other), state_of(*saved))


def test_state_that_is_no_memory_of_its_own(tmp_path):
    """Where two pieces of state, or one and a weight, are one tensor, each gets its own values."""
    saved, (model, optimizer) = trained(0), trained(1)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1])
    state = optimizer.state[model[0].weight]
    state["exp_avg"] = state["exp_avg_sq"] = torch.zeros(30, 40)
    optimizer.state[model[1].weight]["exp_avg"] = model[1].weight.data
    optimkit.load(path, model=model, optimizer=optimizer)
    assert is_equal(state_of(model, optimizer), state_of(*saved))


class Late:
    """An object whose load_state_dict does something first."""

    def __init__(self, work):
        self.work = work

    def state_dict(self):
        """Return a state of some size."""
        return {"values": torch.arange(1000)}

    def load_state_dict(self, state):
        """Check that the values are there, and work."""
        assert torch.equal(state["values"], torch.arange(1000))
        self.work()


def test_none_is_touched_if_one_raises(tmp_path):
    """Code of the user's runs before the first value of the others is read."""
    saved, live = trained(0), trained(1)

    def fail():
        raise ValueError("no")

    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1], late=Late(None))
    before = copy.deepcopy(state_of(*live))
    with pytest.raises(MismatchError, match="late: loading it raised ValueError: no"):
        optimkit.load(path, model=live[0], optimizer=live[1], late=Late(fail))
    assert is_equal(state_of(*live), before)


def test_another_file_takes_the_name(tmp_path):
    """What is loaded is what was verified."""
    saved, live, third = trained(0), trained(1), trained(2)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1], late=Late(None))

    def replace():
        optimkit.save(path, model=third[0])

    optimkit.load(path, model=live[0], optimizer=live[1], late=Late(replace))
    assert is_equal(state_of(*live), state_of(*saved))


@pytest.mark.since("storages_say_where_they_are")
def test_cut_off_after_it_was_verified(tmp_path):
    """The objects are as they were; a directory loads the checkpoint before."""
    saved, older, live = trained(0), trained(1), trained(2)
    checkpoints = CheckpointDir(tmp_path)
    checkpoints.save(1, model=older[0], optimizer=older[1], late=Late(None))
    path = checkpoints.save(2, model=saved[0], optimizer=saved[1], late=Late(None))

    def cut():
        if path.stat().st_size > 4000:
            os.truncate(path, 4000)
            path.touch()

    before = copy.deepcopy(state_of(*live))
    with pytest.raises(CorruptCheckpointError) as caught:
        optimkit.load(path, model=live[0], optimizer=live[1], late=Late(cut))
    assert str(caught.value) == (
        f"{path} was written to while it was read. Load it when that is done, or an older copy."
    )
    assert is_equal(state_of(*live), before)
    with pytest.warns(UserWarning, match="is taken instead"):
        loaded = checkpoints.restore(model=live[0], optimizer=live[1], late=Late(cut))
    assert loaded.step == 1
    assert is_equal(state_of(*live), state_of(*older))


@pytest.mark.since("storages_say_where_they_are")
def test_written_over_after_it_was_verified(tmp_path):
    """Another file's bytes are not mixed in; a new time alone is no damage."""
    saved, other, live = trained(0), trained(1), trained(2)
    path = optimkit.save(tmp_path / "a.pt", model=saved[0], optimizer=saved[1], late=Late(None))
    new = optimkit.save(tmp_path / "b.pt", model=other[0], optimizer=other[1], late=Late(None))
    before = copy.deepcopy(state_of(*live))
    with pytest.raises(CorruptCheckpointError, match="was written to while it was read"):
        optimkit.load(
            path,
            model=live[0],
            optimizer=live[1],
            late=Late(lambda: path.write_bytes(new.read_bytes())),
        )
    assert is_equal(state_of(*live), before)
    optimkit.load(path, model=live[0], optimizer=live[1], late=Late(path.touch))
    assert is_equal(state_of(*live), state_of(*other))


def lets_writers_wait(folder):
    """Return whether a file there can be kept from those who open it to write to it."""
    fcntl = pytest.importorskip("fcntl")
    with (folder / "probe").open("w+") as file, contextlib.suppress(OSError, AttributeError):
        file.flush()
        with (folder / "probe").open() as reader:
            file.close()
            fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            return True
    return False


@pytest.mark.since("storages_say_where_they_are")
@pytest.mark.parametrize("how", ["truncate", "write"])
def test_written_to_while_values_are_read(tmp_path, how):
    """Who opens the file to save over it waits until the objects are whole."""
    if not lets_writers_wait(tmp_path):
        pytest.skip("no leases here")
    saved, live = (
        nn.ParameterList(torch.full((500_000,), n) for _ in range(60)) for n in (1.0, 2.0)
    )
    path = optimkit.save(tmp_path / "a.pt", model=saved)

    def write():
        while all(each[0] == 2 for each in live):  # none has been read
            time.sleep(0)
        if how == "truncate":
            os.truncate(path, 4000)
        else:
            path.write_bytes(b"another")

    writer = threading.Thread(target=write)
    writer.start()
    optimkit.load(path, model=live)
    writer.join()
    assert is_equal(live.state_dict(), saved.state_dict())
    assert path.stat().st_size <= 4000


def test_a_backward_pass_does_not_take_the_new_weights(tmp_path):
    """As after load_state_dict(), autograd sees that they have changed since they were used."""
    model, _ = trained(0)
    path = optimkit.save(tmp_path / "a.pt", model=model)
    loss = model[0](torch.ones(1, 40, requires_grad=True)).sum()
    optimkit.load(path, model=model)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_two_optimizers_with_one_memory(tmp_path):
    """torch's load_state_dict shares state with where it came from; each gets its own again."""
    saved, others, (model, one) = trained(0), trained(1), trained(2)
    two = torch.optim.AdamW(model.named_parameters())
    two.load_state_dict(one.state_dict())
    path = optimkit.save(tmp_path / "a.pt", one=saved[1], two=others[1])
    optimkit.load(path, one=one, two=two)
    for now, expected in ((one, saved[1]), (two, others[1])):
        found, state = (each.state_dict()["state"] for each in (now, expected))
        assert all(is_equal(found[key], state[key]) for key in state)


class Alarm(BaseException):
    """What the handler of a signal raises, as KeyboardInterrupt."""


class TimeIsUpError(Exception):
    """The same, as TimeoutError: what a broad except would take for damage."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file half opened
@pytest.mark.filterwarnings("error:.*is taken instead")
@pytest.mark.parametrize("way", ["load", "restore", "distributed"])
@pytest.mark.parametrize("kind", [Alarm, TimeIsUpError])
def test_a_signal_in_the_middle(tmp_path, way, kind):
    """Whenever it comes, it is raised as it is, and the objects are as they were or as they were saved."""
    saved, live = trained(0), trained(1)
    objects = {"model": saved[0], "optimizer": saved[1]}
    run = CheckpointDir(tmp_path / "run")
    for step in range(2):
        run.save(step, objects=objects)
    path, folder = optimkit.save(tmp_path / "a.pt", objects), tmp_path / "many"
    distributed.save(folder, objects)
    load = {
        "load": lambda **given: optimkit.load(path, **given),
        "restore": lambda **given: run.restore(**given),
        "distributed": lambda **given: distributed.load(folder, **given),
    }[way]
    load(model=trained(2)[0])  # what is imported late is imported now
    ends = [copy.deepcopy(state_of(*live)), state_of(*saved)]
    rung, loaded = [], []

    def ring(*_):
        rung.append(True)
        raise kind

    former = signal.signal(signal.SIGALRM, ring)
    try:
        for microseconds in range(200, 12_000, 200 if way == "load" else 400):
            for name, value in ends[0].items():
                state_of(*live)[name].copy_(value)
            rung.clear()
            with contextlib.suppress(kind):
                signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
                load(model=live[0], optimizer=live[1])
                while not rung:
                    time.sleep(0.001)
            now = state_of(*live)
            assert torch.is_grad_enabled()
            assert is_equal(now, ends[0]) or is_equal(now, ends[1]), microseconds
            loaded.append(is_equal(now, ends[1]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert False in loaded


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
@pytest.mark.parametrize("kind", [Alarm, TimeIsUpError])
def test_signals_in_the_middle_of_one_tensor(tmp_path, kind):
    """However often one tensor is interrupted, it is whole in the end."""
    saved, live = (
        nn.ParameterList(torch.full((10_000_000,), n) for _ in range(2)) for n in (1.0, 2.0)
    )
    path = optimkit.save(tmp_path / "a.pt", model=saved)
    rung = []

    def ring(*_):
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        if len(rung) < 3 and any(each[0] == 1 for each in live):  # one is being read
            rung.append(True)
            raise kind

    former = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        with pytest.raises(kind):
            optimkit.load(path, model=live)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert is_equal(live.state_dict(), saved.state_dict())


class Loud(nn.Parameter):
    """A parameter that is not printed."""

    def __repr__(self):
        raise AssertionError("torch looks at all values of what it prints")


def test_no_parameter_is_printed(tmp_path):
    """The keys of an optimizer's state are parameters."""
    model = nn.Module()
    model.weight = Loud(torch.ones(2))
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model.weight.grad = torch.ones(2)
    optimizer.step()
    path = optimkit.save(tmp_path / "a.pt", optimizer=optimizer)
    assert optimkit.load(path, optimizer=optimizer)


class Interrupted:
    """An option that takes so long to compare, or to copy, that a signal comes."""

    def __eq__(self, other):
        signal.raise_signal(signal.SIGTERM)

    __hash__ = None

    def __deepcopy__(self, memo):
        signal.raise_signal(signal.SIGTERM)


def test_a_timeout_is_no_difference(tmp_path):
    """What a handler raises gets out, where any error of a foreign object would be an answer."""
    saved, optimizer = trained(0)[1], trained(1)[1]
    saved.param_groups[0]["tag"] = 1
    path = optimkit.save(tmp_path / "a.pt", optimizer=saved)
    optimizer.param_groups[0]["tag"] = Interrupted()

    def ring(*_):
        raise TimeIsUpError

    former = signal.signal(signal.SIGTERM, ring)
    try:
        with pytest.raises(TimeIsUpError):
            optimkit.load(path, optimizer=optimizer)
        with pytest.raises(TimeIsUpError):
            optimkit.snapshot(optimizer)
    finally:
        signal.signal(signal.SIGTERM, former)


def test_gradients_stay_on(tmp_path):
    """A signal may come in the middle of torch's no_grad, whose end is then cut off."""
    path = optimkit.save(tmp_path / "a.pt", late=Late(None))
    folder = distributed.save(tmp_path / "many", late=Late(None))

    def cut_short():
        torch.no_grad().__enter__()
        raise Alarm

    for load in (optimkit.load, distributed.load):
        with pytest.raises(Alarm):
            load(path if load is optimkit.load else folder, late=Late(cut_short))
        assert torch.is_grad_enabled()
    with torch.no_grad():
        optimkit.load(path, late=Late(lambda: torch.set_grad_enabled(True)))
        assert not torch.is_grad_enabled()


MEMORY = """
import sys
import torch
from torch import nn
import optimkit

torch.set_num_threads(1)
class Norm(nn.BatchNorm1d):
    pass

model = nn.ParameterList(torch.ones(4_000_000) for _ in range(6))
model.norm = Norm(3)  # loaded by torch's own code
optimizer = torch.optim.AdamW(model.named_parameters())
for param in model.parameters():
    param.grad = torch.ones_like(param)
optimizer.step()
optimizer.zero_grad()
objects = {"model": model, "optimizer": optimizer}
path = optimkit.save(sys.argv[1], objects)
optimkit.load(path, objects)  # imports what is imported late

def status(key):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(key))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # so that the peak is that from here on
before = status("VmRSS")
optimkit.load(path, objects)
print((status("VmHWM") - before) / path.stat().st_size)
"""


@pytest.mark.since("storages_say_where_they_are")
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says what is used")
def test_no_second_copy(tmp_path):
    """A load needs next to no memory beyond what the objects hold."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.05
