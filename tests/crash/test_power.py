"""The power fails after any call of a save: what the disk then holds is the old one or the new one.

See power.py for what a disk may hold.
"""

import shutil
import subprocess

import pytest
from power import ALL, WAYS, record, replay, waits

KIT = ("optimkit", "optimkit, background", "CheckpointDir", "distributed")


@pytest.fixture(scope="module")
def strace():
    """Skip where calls can't be recorded."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (apt-get install strace)")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode:
        pytest.skip("needs the right to trace a process, which this machine does not give")


@pytest.fixture(scope="module")
def recorded(strace, tmp_path_factory):
    """Return the folder in which all was saved, and the calls."""
    folder = tmp_path_factory.mktemp("power").resolve()
    return folder, record(folder, KIT)


@pytest.mark.parametrize("name", KIT)
def test_a_power_cut_loses_nothing(recorded, full, name):
    """Whatever the disk holds, the old one or the new one is loaded, and at last the new one."""
    folder, lines = recorded
    found, _ = replay(lines, folder / name, WAYS[name], most=ALL if full else 500)
    assert (found.lost, found.silent) == (0, 0)
    assert found.times > 400
    assert found.errors <= {"FileNotFoundError", "CheckpointError"}  # while there was none


def test_a_power_cut_of_two_processes_loses_nothing(strace, tmp_path, full):
    """The same of a checkpoint that two processes write together."""
    if not full:
        pytest.skip("takes a minute: nox -s crash")
    folder = tmp_path.resolve()
    lines = record(folder, ["distributed"], ranks=2)
    found, _ = replay(lines, folder / "distributed", WAYS["distributed"], most=3000)
    assert (found.lost, found.silent) == (0, 0)


@pytest.mark.parametrize("name", ["optimkit", "CheckpointDir", "distributed"])
def test_each_wait_for_the_disk_is_needed(recorded, full, name):
    """The model is not too kind, and no fsync too many: without any one of them, there are losses."""
    if name != "optimkit" and not full:
        pytest.skip("takes a minute: nox -s crash")
    folder, lines = recorded
    for at in waits(lines, folder / name):
        without = lines[:at] + lines[at + 1 :]
        found, _ = replay(without, folder / name, WAYS[name], most=200)
        assert found.lost + found.silent > 0, lines[at]
