"""A directory: what is kept, what is restored, and whose it is."""

import contextlib
import errno
import gc
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import optimkit
from optimkit import (
    Best,
    CheckpointDir,
    CheckpointError,
    CorruptCheckpointError,
    Last,
    MismatchError,
)
from optimkit._files import reading
from optimkit.checkpoint import _directory as directory


def steps(checkpoints):
    """List the steps that there are, oldest first."""
    return [int(path.name[5:14]) for path in reversed(checkpoints.paths)]


def damage(path):
    """Flip a bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_nothing_yet(tmp_path):
    """Without a checkpoint, or without the directory, there is None."""
    assert CheckpointDir(tmp_path).restore(model=nn.Linear(1, 1)) is None
    assert CheckpointDir(tmp_path / "a" / "b").restore() is None
    assert CheckpointDir(tmp_path, keep=(Best(1, "loss", "min"),)).restore("best") is None


def test_the_last_are_kept(tmp_path):
    """Last(n) keeps the n that were saved last, and the latest is restored."""
    checkpoints = CheckpointDir(tmp_path / "a" / "b", keep=(Last(2),))
    for step in range(5):
        path = checkpoints.save(step, number=step)
    assert steps(checkpoints) == [3, 4]
    loaded = checkpoints.restore()
    assert (loaded.step, loaded.path, loaded["number"]) == (4, path, 4)


def test_the_best_are_kept(tmp_path):
    """Best(n) keeps the n best, the latest stays whatever it is, NaN and infinity are not best."""
    checkpoints = CheckpointDir(tmp_path, keep=(Best(2, "loss", "min"),))
    for step, loss in enumerate([0.5, math.nan, 0.1, math.inf, 0.3, torch.tensor(0.4)]):
        checkpoints.save(step, {"loss": loss}, number=step)
    assert steps(checkpoints) == [2, 4, 5]
    assert checkpoints.restore("best")["number"] == 2
    assert checkpoints.restore()["number"] == 5


def test_more_may_be_better(tmp_path):
    """With "max" the largest is the best; among equals it is the newer one."""
    checkpoints = CheckpointDir(tmp_path, keep=[Best(1, "accuracy", "max"), Last(1)])
    for step, accuracy in enumerate([0.5, 0.9, 0.9, 0.1]):
        checkpoints.save(step, {"accuracy": accuracy})
    assert steps(checkpoints) == [2, 3]
    assert CheckpointDir(tmp_path, keep=[Best(1, "accuracy", "max")]).restore("best").step == 2


def test_kept_if_any_wants_it(tmp_path):
    """A checkpoint stays as long as one policy wants it; without any, the latest stays."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(2), Best(1, "a", "min"), Best(1, "b", "max")))
    for step, (a, b) in enumerate([(1, 9), (0, 1), (5, 2), (6, 3), (7, 4)]):
        checkpoints.save(step, {"a": a, "b": b})
    assert steps(checkpoints) == [0, 1, 3, 4]
    checkpoints = CheckpointDir(tmp_path, keep=())
    gc.collect()
    checkpoints.save(5)
    assert steps(checkpoints) in ([5], [0, 1, 3, 4, 5])


def test_a_run_changes_its_folder(tmp_path, monkeypatch):
    """A relative path means what it meant when the directory was named."""
    monkeypatch.chdir(tmp_path)
    checkpoints = CheckpointDir("run")
    checkpoints.save(1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    checkpoints.save(2)
    assert checkpoints.restore().step == 2
    assert len(os.listdir(tmp_path / "run")) == 3
    del checkpoints
    assert len(os.listdir(tmp_path / "run")) == 2
    assert os.listdir() == []


@pytest.mark.parametrize("value", [None, "low", torch.ones(2)])
def test_a_metric_that_is_no_number(tmp_path, value):
    """A metric that is no number is named, before anything is done."""
    with pytest.raises(TypeError, match=r"metrics\['loss'\] must be a number, not"):
        CheckpointDir(tmp_path / "run").save(1, {"loss": value})
    with pytest.raises(TypeError, match="metrics must be a mapping, not float"):
        CheckpointDir(tmp_path / "run").save(1, 0.5)
    assert not (tmp_path / "run").exists()


def test_a_missing_metric(tmp_path):
    """A metric that a policy asks for and save is not given is an error, before anything is done."""
    checkpoints = CheckpointDir(tmp_path / "run", keep=(Best(1, "loss", "min"),))
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(3, {"accuracy": 1})
    assert str(caught.value) == (
        "save(3, ...): Best(n=1, metric='loss', mode='min') needs metrics={'loss': ...}, found "
        "'accuracy'. Pass it, float('nan') if it is not known."
    )
    with pytest.raises(CheckpointError, match="found none"):
        checkpoints.save(3)
    assert not (tmp_path / "run").exists()


def test_only_nan(tmp_path):
    """If no metric is a number there is a latest, and the best is asked for in vain."""
    checkpoints = CheckpointDir(tmp_path, keep=(Best(1, "loss", "min"),))
    checkpoints.save(1, {"loss": math.nan})
    assert checkpoints.restore().step == 1
    with pytest.raises(CheckpointError) as caught:
        checkpoints.restore("best")
    assert str(caught.value) == (
        f"{tmp_path}: none of 1 checkpoints has a 'loss' that is a number. "
        'Restore the latest: restore("latest").'
    )


def test_no_policy_says_what_is_best(tmp_path):
    """Then it is an error that shows how to say it."""
    with pytest.raises(CheckpointError) as caught:
        CheckpointDir(tmp_path).restore("best")
    assert str(caught.value) == (
        f"{tmp_path}: nothing says which checkpoint is the best. Make the CheckpointDir with a "
        'policy that does: keep=(Last(3), Best(1, "loss", "min")).'
    )


def test_past_a_damaged_one(tmp_path):
    """A damaged latest is passed over with a warning that names it, at the caller's line."""
    checkpoints = CheckpointDir(tmp_path)
    paths = [checkpoints.save(step, weight=torch.ones(1000)) for step in range(3)]
    damage(paths[2])
    with pytest.warns(UserWarning, match="is damaged") as caught:
        assert checkpoints.restore().step == 1
    assert str(caught[0].message) == (
        f"{paths[2]} is damaged: data/0 does not fit its checksum. Take an older copy. "
        f"{paths[1]} is taken instead."
    )
    assert caught[0].filename == __file__
    damage(paths[1])
    damage(paths[0])
    with pytest.raises(CorruptCheckpointError) as error:
        checkpoints.restore()
    for path, problem in zip(paths[::-1], error.value.problems, strict=True):
        assert problem.startswith(f"{path} is damaged")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04" + b"x" * 99, b"hello"])
def test_past_an_empty_or_foreign_one(tmp_path, content):
    """So is one that is empty, or of another kind."""
    checkpoints = CheckpointDir(tmp_path)
    checkpoints.save(1)
    checkpoints.save(2).write_bytes(content)
    with pytest.warns(UserWarning, match="is taken instead"):
        assert checkpoints.restore().step == 1


def test_past_one_without_checksums(tmp_path):
    """One that can't be verified is not taken either, unless verify=False."""
    checkpoints = CheckpointDir(tmp_path)
    checkpoints.save(1)
    path = checkpoints.save(2)
    content = torch.load(path, weights_only=True)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.warns(UserWarning, match="no checksums"):
        assert checkpoints.restore().step == 1
    assert checkpoints.restore(verify=False).step == 2


def test_past_a_damaged_best(tmp_path):
    """A damaged best gives way to the next best."""
    checkpoints = CheckpointDir(tmp_path, keep=(Best(3, "loss", "min"),))
    paths = [checkpoints.save(step, {"loss": step}, w=torch.ones(999)) for step in range(3)]
    damage(paths[0])
    with pytest.warns(UserWarning, match="is taken instead"):
        assert checkpoints.restore("best").step == 1


def test_a_misfit_is_not_passed_over(tmp_path):
    """An intact latest that does not fit is an error, though an older one would fit."""
    checkpoints = CheckpointDir(tmp_path)
    checkpoints.save(1, model=nn.Linear(2, 2))
    checkpoints.save(2, model=nn.Linear(3, 3))
    with pytest.raises(MismatchError):
        checkpoints.restore(model=nn.Linear(2, 2))


def test_never_the_old_future(tmp_path):
    """A run that goes back to an earlier step is the one to go on from, the best included."""
    first = CheckpointDir(tmp_path, keep=(Last(9), Best(9, "loss", "min")))
    for step in (10, 20, 30):
        first.save(step, {"loss": 1 / step}, run="first")
    second = CheckpointDir(tmp_path, keep=(Last(9), Best(9, "loss", "min")))
    path = second.save(15, {"loss": 5.0}, run="second")
    for checkpoints in (first, second, CheckpointDir(tmp_path, keep=(Best(1, "loss", "min"),))):
        assert checkpoints.restore().step == 15
        assert checkpoints.restore("best").step == 10
    damage(path)
    with pytest.warns(UserWarning, match="is damaged"):
        assert second.restore().step == 10


def test_the_best_outlives_a_run_that_begins_anew(tmp_path):
    """A run that begins anew in the directory has a best of its own; the one before stays."""
    keep = (Last(1), Best(1, "loss", "min"))
    first = CheckpointDir(tmp_path, keep=keep)
    for step, loss in enumerate((0.3, 0.1, 0.4)):
        first.save(100 + step, {"loss": loss})
    del first
    gc.collect()
    second = CheckpointDir(tmp_path, keep=keep)
    for step, loss in enumerate((9.0, 8.0, 8.5)):
        second.save(step, {"loss": loss})
    assert steps(second) == [101, 1, 2]
    assert second.restore("best").step == 1


def test_the_last_are_no_more_after_a_run_went_back(tmp_path):
    """Last counts what was saved last, also when a run goes back to an earlier step."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(2),))
    for step in (10, 20, 30, 15):
        checkpoints.save(step)
    assert steps(checkpoints) == [30, 15]
    wide = CheckpointDir(tmp_path / "wide", keep=(Last(4),))
    for step in (10, 20, 30):
        wide.save(step)
    narrow = CheckpointDir(tmp_path / "wide", keep=(Last(2),))
    del wide
    gc.collect()
    narrow.save(15)
    assert steps(narrow) == [30, 15]


def test_a_link_that_leads_nowhere(tmp_path):
    """A checkpoint that was moved away, and only its link is left, is passed over."""
    checkpoints = CheckpointDir(tmp_path / "run")
    paths = [checkpoints.save(step) for step in range(2)]
    paths[1].rename(tmp_path / "elsewhere.pt")
    paths[1].symlink_to(tmp_path / "elsewhere.pt")
    assert checkpoints.restore().step == 1
    (tmp_path / "elsewhere.pt").unlink()
    with pytest.warns(UserWarning, match="leads nowhere") as caught:
        assert checkpoints.restore().step == 0
    assert str(caught[0].message) == f"{paths[1]} leads nowhere. {paths[0]} is taken instead."


TOO_LITTLE = """
import resource, sys, warnings
import torch, optimkit
warnings.simplefilter("error")
torch.set_num_threads(1)
checkpoints = optimkit.CheckpointDir(sys.argv[1], keep=(optimkit.Last(1), optimkit.Best(1, "loss", "min")))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), resource.RLIM_INFINITY))
try:
    checkpoints.restore()
except MemoryError as error:
    print(error)
checkpoints.save(3, {"loss": 0.5})
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux says what is used")
def test_too_little_memory_is_no_damage(tmp_path):
    """Without enough memory to load the latest, no older one is taken, and the best is not deleted."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(1), Best(1, "loss", "min")))
    big = checkpoints.save(1, {"loss": 0.1}, weight=torch.ones(15_000_000))
    checkpoints.save(2, {"loss": 0.2}, weight=torch.ones(15_000_000))
    latest = checkpoints.paths[0]
    del checkpoints
    gc.collect()
    command = [sys.executable, "-c", TOO_LITTLE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"{latest}: there is not enough memory to load it\n", done.stderr
    assert big.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="where a name may be any bytes")
def test_a_folder_whose_name_is_no_text(tmp_path):
    """torch maps no file of such a name; metrics are found all the same."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    keep = (Last(1), Best(1, "loss", "min"))
    for step, loss in enumerate((0.1, 0.2, 0.3)):
        CheckpointDir(folder, keep=keep).save(step, {"loss": loss})
        gc.collect()
    assert steps(CheckpointDir(folder)) == [0, 2]


def test_two_runs_keep_out_of_each_others_files(tmp_path):
    """Runs that save the same steps into one directory write and delete their own files only."""
    one, other = (CheckpointDir(tmp_path, keep=(Last(1),)) for _ in range(2))
    for step in range(3):
        first, second = one.save(step, run=1), other.save(step, run=2)
        assert (optimkit.load(first)["run"], optimkit.load(second)["run"]) == (1, 2)
        assert len(one.paths) == 2
    del one
    gc.collect()
    other.save(3, run=2)
    assert len(other.paths) == 1


def test_a_fork_is_another_run(tmp_path):
    """A process that was forked keeps out of its parent's files, with the same object too."""
    if not hasattr(os, "fork"):
        pytest.skip("there is no fork on Windows")
    code = f"""
import os, optimkit
checkpoints = optimkit.CheckpointDir({str(tmp_path)!r}, keep=(optimkit.Last(1),))
checkpoints.save(1, who="parent")
child = os.fork()
checkpoints.save(2, who="parent" if child else "child")
if not child:
    checkpoints.save(3, who="child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(*(optimkit.load(path)["who"] for path in checkpoints.paths))
"""
    # Quiet: forking beside torch's threads makes Python warn.
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["child", "parent"]


def test_two_saves_of_a_run_at_once(tmp_path, monkeypatch):
    """A save that begins while another one is being written is the newer one, of one step too."""
    checkpoints, write = CheckpointDir(tmp_path), directory.save_with

    def interrupted(*args, **rest):
        monkeypatch.setattr(directory, "save_with", write)
        checkpoints.save(1, who="second")
        return write(*args, **rest)

    monkeypatch.setattr(directory, "save_with", interrupted)
    checkpoints.save(1, who="first")
    assert [optimkit.load(path)["who"] for path in checkpoints.paths] == ["second", "first"]


def test_the_next_run_goes_on_with_the_directory(tmp_path):
    """What a run that has ended left is kept by the policies, and deleted by them."""
    code = (
        "import sys, optimkit\n"
        "checkpoints = optimkit.CheckpointDir(sys.argv[1], keep=(optimkit.Last(2),))\n"
        "checkpoints.save(1), checkpoints.save(2)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(os.listdir(tmp_path)) == 2  # nothing else is left of the run
    checkpoints = CheckpointDir(tmp_path, keep=(Last(2),))
    checkpoints.save(checkpoints.restore().step + 1)
    assert steps(CheckpointDir(tmp_path)) == [2, 3]
    assert len([name for name in os.listdir(tmp_path) if name.endswith(".pt")]) == 2


def test_nothing_is_deleted_before_its_successor_is_durable(tmp_path, monkeypatch):
    """The old one goes after the new one, and its name, have been synced to the disk."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(1),))
    old = checkpoints.save(1)
    order = []
    sync, unlink, rename = os.fsync, Path.unlink, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), sync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda *a: (order.append("rename"), rename(*a))[1])

    def watched(path, **options):
        if path.suffix == ".pt":
            order.append("delete")
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", watched)
    checkpoints.save(2)
    assert not old.exists()
    assert order == ["sync", "rename", "sync", "delete"]


def test_foreign_files_stay(tmp_path):
    """Files that no CheckpointDir wrote are neither restored nor deleted."""
    for name in ("notes.txt", "step-3.pt", "best.pt"):
        (tmp_path / name).write_text("mine")
    checkpoints = CheckpointDir(tmp_path, keep=())
    checkpoints.save(1)
    checkpoints.save(2)
    assert len(checkpoints.paths) == 1
    assert {"notes.txt", "step-3.pt", "best.pt"} <= set(os.listdir(tmp_path))


def test_a_refused_value_deletes_nothing(tmp_path):
    """A save that is refused leaves the directory as it was."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(1),))
    path = checkpoints.save(1)
    with pytest.raises(optimkit.UnsafeCheckpointError):
        checkpoints.save(2, args=object())
    assert checkpoints.paths == [path]


def test_verify_looks_at_every_file(tmp_path):
    """It says of each, the latest first, what its checksums say."""
    checkpoints = CheckpointDir(tmp_path)
    paths = [checkpoints.save(step, w=torch.ones(999)) for step in range(3)]
    damage(paths[1])
    latest, damaged, oldest = checkpoints.verify()
    assert latest.verified
    assert oldest.verified
    assert str(paths[1]) in str(damaged)


def test_another_run_deletes_meanwhile(tmp_path, monkeypatch):
    """If what was the latest is gone when it is read, there is a newer one, and that is taken."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(1),))
    checkpoints.save(1)
    load_from = directory.load_from

    def late(*arguments, **rest):
        monkeypatch.setattr(directory, "load_from", load_from)
        checkpoints.save(2)
        return load_from(*arguments, **rest)

    monkeypatch.setattr(directory, "load_from", late)
    assert checkpoints.restore().step == 2


def test_past_one_that_the_disk_does_not_give_back(tmp_path, monkeypatch):
    """An input/output error is damage: the one before is taken; no other trouble is passed over."""
    checkpoints = CheckpointDir(tmp_path)
    paths = [checkpoints.save(step, weight=torch.ones(1000)) for step in range(2)]
    trouble = errno.EIO

    crc_of = reading.crc_of

    def failing(file, *place, **options):
        if file.name == str(paths[1]):
            raise OSError(trouble, os.strerror(trouble))
        return crc_of(file, *place, **options)

    monkeypatch.setattr(reading, "crc_of", failing)
    with pytest.warns(UserWarning, match="can't be read") as caught:
        assert checkpoints.restore().step == 0
    assert str(caught[0].message) == (
        f"{paths[1]} can't be read from the disk: {os.strerror(trouble)}. Take an older copy. "
        f"{paths[0]} is taken instead."
    )
    trouble = errno.ENOMEM
    with pytest.raises(OSError, match=os.strerror(trouble)):
        checkpoints.restore()


def test_a_file_of_others_that_is_called_so(tmp_path):
    """A plain file with the name of a checkpoint has no metrics, and does not stop a save."""
    checkpoints = CheckpointDir(tmp_path, keep=(Best(1, "loss", "min"),))
    torch.save([1], tmp_path / "step-000000001.000001-0a1b2c3d.pt")
    checkpoints.save(2, {"loss": 1.0})
    assert steps(checkpoints) == [2]


def test_what_nobody_could_look_into_stays(tmp_path, monkeypatch):
    """A checkpoint whose metrics can't be read just now is kept, as it may be the best."""
    path = CheckpointDir(tmp_path).save(1, {"loss": 0.1})
    gc.collect()
    checkpoints = CheckpointDir(tmp_path, keep=(Best(1, "loss", "min"),))

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(directory, "_metrics_in", refused)
        checkpoints.save(2, {"loss": 0.5})
    assert path.exists()
    checkpoints.save(3, {"loss": 0.4})
    assert checkpoints.restore("best").step == 1


def test_a_file_is_no_empty_directory(tmp_path):
    """Where a file stands in place of the directory, restore does not say that there is nothing."""
    (tmp_path / "run").touch()
    with pytest.raises(NotADirectoryError):
        CheckpointDir(tmp_path / "run").restore()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Last(0), ValueError, "Last: n must be 1 or more, not 0"),
        (lambda: Last(2.5), TypeError, "Last: n must be an int, not float"),
        (lambda: Best(0, "a", "min"), ValueError, "Best: n must be 1 or more, not 0"),
        (lambda: Best(1, "a", "less"), ValueError, "Best: mode must be 'min' or 'max', not 'less'"),
        (lambda: CheckpointDir("a", keep=(3,)), TypeError, "keep takes Last and Best, not 3"),
        (lambda: CheckpointDir("a").save(-1), ValueError, "step must be 0 or more, not -1"),
        (lambda: CheckpointDir("a").save(2.5), TypeError, "step must be an int, not 2.5"),
        (
            lambda: CheckpointDir("a").save(1, which=2),
            TypeError,
            "save: which can't be a keyword for an object: save or load has an argument of this "
            'name. Pass it in a mapping: {"which": ...}.',
        ),
        (
            lambda: CheckpointDir("a").restore("last"),
            ValueError,
            "which must be 'latest' or 'best', not 'last'",
        ),
    ],
)
def test_misuse(tmp_path, monkeypatch, make, error, message):
    """Wrong arguments are refused in words, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def broken(value=math.nan):
    """Return a model of which one weight is not finite."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight[0, 0] = value
    return model


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_evicts_nothing(tmp_path, value):
    """Such a checkpoint is kept apart, said to be so, and passed over by restore."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(2),))
    good = nn.Linear(2, 2)
    for step in (1, 2):
        checkpoints.save(step, model=good)
    for step in (3, 4, 5):
        with pytest.warns(UserWarning, match="holds NaN or infinity") as caught:
            path = checkpoints.save(step, model=broken(value))
        assert str(caught[0].message) == (
            f"{path} holds NaN or infinity: model.weight. It is not counted among those to keep, "
            "and restore passes over it."
        )
    assert steps(checkpoints) == [1, 2, 5]
    model = broken()
    with pytest.warns(UserWarning, match="is taken instead") as caught:
        assert checkpoints.restore(model=model).step == 2
    assert str(caught[0].message) == (
        f"{path} holds NaN or infinity (finite=False loads it). {checkpoints.paths[1]} is taken "
        "instead."
    )
    assert torch.equal(model.weight, good.weight)
    assert checkpoints.restore(finite=False, model=model).step == 5
    checkpoints.save(6, model=good)
    assert steps(checkpoints) == [2, 6]
    assert checkpoints.restore(model=model).step == 6


def test_what_is_not_finite_beside_training(tmp_path):
    """The thread that writes looks; who waits is told, or else the next save, once."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(1),), background=True)
    good, bad = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(broken())
    checkpoints.save(1, model=good)
    saving = checkpoints.save(2, model=bad)
    bad[0].weight.data.zero_()
    with pytest.warns(UserWarning, match="holds NaN or infinity: model.0.weight. It is") as caught:
        path = saving.wait()
    assert [each.filename for each in caught] == [__file__]
    assert path == saving.path == checkpoints.paths[0]
    assert path.name.endswith(".nonfinite.pt")
    assert saving.wait() == path  # and no second warning
    assert steps(checkpoints) == [1, 2]
    checkpoints.save(3, average=broken())
    with pytest.warns(UserWarning, match="holds NaN or infinity: average.weight. It is") as caught:
        checkpoints.save(4, model=good)
    assert [each.filename for each in caught] == [__file__]
    checkpoints.save(5, model=good).wait()
    assert steps(checkpoints) == [5]


def test_nothing_finite_is_there(tmp_path):
    """Then the latest or the best is loaded, and said to be so; there is nothing better."""
    checkpoints = CheckpointDir(tmp_path, keep=Best(1, "loss", "min"))
    with pytest.warns(UserWarning, match="holds NaN"):
        path = checkpoints.save(1, {"loss": 0.1}, model=broken())
    for which in ("latest", "best"):
        with pytest.warns(UserWarning, match="no finite one") as caught:
            assert checkpoints.restore(which).step == 1
        assert str(caught[0].message) == f"{path} holds NaN or infinity: no finite one is left."


@pytest.mark.filterwarnings("ignore:.*holds NaN")
def test_what_is_not_finite_at_an_earlier_step(tmp_path):
    """A run that went back and diverged leaves the finite ones behind to be gone on from."""
    checkpoints = CheckpointDir(tmp_path, keep=(Last(1), Best(1, "loss", "min")))
    for step, loss in ((10, 0.1), (8, 0.3), (9, 0.5)):
        checkpoints.save(step, {"loss": loss}, model=nn.Linear(2, 2))
    checkpoints.save(4, {"loss": 0.4}, model=broken())
    assert steps(checkpoints) == [10, 8, 9, 4]
    assert checkpoints.restore().step == 9
    assert checkpoints.restore("best").step == 8
    assert checkpoints.restore("best", finite=False).step == 4


@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_damaged_one_at_an_earlier_step(tmp_path):
    """The one from which the run went back is better than none."""
    checkpoints = CheckpointDir(tmp_path)
    checkpoints.save(10, number=10)
    damage(checkpoints.save(4, number=4))
    assert checkpoints.restore().step == 10


@pytest.mark.filterwarnings("ignore:.*holds NaN")
def test_what_is_not_finite_is_not_the_latest(tmp_path):
    """Where nothing but the best is asked for, the latest stays that can be gone on from."""
    checkpoints = CheckpointDir(tmp_path, keep=Best(1, "loss", "min"))
    for step, loss in enumerate([0.1, 0.2, math.nan]):
        checkpoints.save(step, {"loss": loss}, model=nn.Linear(2, 2))
    checkpoints.save(3, {"loss": 0.3}, model=broken())
    assert steps(checkpoints) == [0, 2, 3]
    assert checkpoints.restore().step == 2
    checkpoints.save(4, {"loss": 0.3}, model=nn.Linear(2, 2))
    assert steps(checkpoints) == [0, 4]


def test_the_best_is_finite(tmp_path):
    """A good metric of a broken model counts for nothing."""
    checkpoints = CheckpointDir(tmp_path, keep=(Best(1, "loss", "min"),))
    checkpoints.save(1, {"loss": 0.5}, model=nn.Linear(2, 2))
    with pytest.warns(UserWarning, match="holds NaN"):
        checkpoints.save(2, {"loss": 0.1}, model=broken())
    assert checkpoints.restore("best", model=nn.Linear(2, 2)).step == 1


def test_state_that_is_not_finite(tmp_path):
    """It is looked at too; masks and numbers of the user's may be infinite."""
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.full((2, 2), -math.inf))
    optimizer = torch.optim.Adam(model.parameters())
    model.weight.grad = torch.full((2, 2), 1e30)
    checkpoints = CheckpointDir(tmp_path)
    checkpoints.save(
        1, model=model, optimizer=optimizer, best=math.inf, losses=torch.tensor(math.nan)
    )
    optimizer.step()
    with pytest.warns(UserWarning, match="infinity: exp_avg_sq of optimizer. It is not") as caught:
        checkpoints.save(2, model=model, optimizer=optimizer)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda bad: bad.to(torch.float8_e5m2), id="float8"),
        pytest.param(lambda bad: bad.half(), id="half"),
        pytest.param(lambda bad: bad.to_sparse_csr(), id="csr"),
        pytest.param(lambda bad: bad.to_sparse(), id="coo"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*parse")
def test_kinds_of_values_that_are_not_finite(tmp_path, values):
    """Whatever the values are kept as, they are looked at."""
    model = nn.Module()
    for bad, of in ((False, 1.0), (True, math.nan), (True, math.inf)):
        kept = values(torch.tensor([[1.0, 0.0], [0.0, of]]))
        model.weight = nn.Parameter(kept, requires_grad=False)
        with pytest.warns(UserWarning, match="model.weight") if bad else contextlib.nullcontext():
            path = CheckpointDir(tmp_path).save(1, model=model)
        assert path.name.endswith(".nonfinite.pt") == bad


def test_running_statistics_and_lr_are_to_be_finite(tmp_path):
    """A step that a GradScaler leaves out has left its NaN in a batch norm; a schedule makes others."""
    model = nn.BatchNorm1d(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.full((2, 2), torch.inf))
    optimizer.param_groups[0]["lr"] = math.nan
    with pytest.warns(UserWarning, match="running_mean, model.running_var, lr of optimizer. It"):
        CheckpointDir(tmp_path).save(1, model=model, optimizer=optimizer)
