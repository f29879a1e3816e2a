"""Threads of a notebook, and the cores that it shares."""

import importlib
import os
import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from minddpm import course
from minddpm.course.kit import cores


@pytest.fixture
def machine(monkeypatch):
    """A notebook's kernel on a machine of 8 cores; PyTorch has a thread for each."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    it = SimpleNamespace(allowed=8, cores=8, physical=8, threads=8, kernel=object())
    shell = SimpleNamespace(get_ipython=lambda: it)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setattr(cores, "_allowed", lambda: it.allowed)
    monkeypatch.setattr(
        psutil, "cpu_count", lambda logical=True: it.cores if logical else it.physical
    )
    monkeypatch.setattr(torch, "get_num_threads", lambda: it.threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: setattr(it, "threads", n))
    return it


@pytest.mark.parametrize(
    "is_so",
    [
        {},
        {"physical": 4, "threads": 4},  # two threads a core: PyTorch counts cores
        {"physical": None},  # nobody knows
        {"cores": 64, "physical": 32, "threads": 4},  # pinned to 4 of 32
        {"cores": None, "physical": None},
    ],
)
def test_a_notebook_takes_one_thread(machine, is_so):
    vars(machine).update(is_so)
    importlib.reload(course)
    assert machine.threads == 1


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_whoever_set_a_variable_keeps_the_number(machine, monkeypatch, name):
    monkeypatch.setenv(name, "8")
    cores.share()
    assert machine.threads == 8


def test_whoever_chose_a_number_keeps_it(machine):
    machine.threads = 3
    cores.share()
    assert machine.threads == 3


@pytest.mark.parametrize(
    "shell", [None, SimpleNamespace(), SimpleNamespace(kernel=None)]
)
def test_outside_of_a_notebook_nothing_changes(machine, monkeypatch, shell):
    module = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    cores.share()
    assert machine.threads == 8
    monkeypatch.setitem(sys.modules, "IPython", None)
    cores.share()
    assert machine.threads == 8


@pytest.mark.skipif(sys.platform != "linux", reason="others cannot be pinned")
def test_cores_are_those_that_the_system_allows():
    mine = os.sched_getaffinity(0)
    assert cores._allowed() == len(mine)
    assert 0 < cores.usable() <= len(mine)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert cores._allowed() == 1
        assert 0 <= cores.free(0.05) <= 1
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"": "max 100000", "a": "max 100000"}, 8),
        ({"a/b": "150000 100000"}, 1.5),
        ({"": "50000 100000", "a/b": "400000 100000"}, 0.5),
        ({"elsewhere": "50000 100000"}, 8),
        ({}, 8),
    ],
)
def test_quotas_of_control_groups(machine, monkeypatch, tmp_path, limits, expected):
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "cpu.max").write_text(f"{limit}\n")
    (tmp_path / "cgroup").write_text("1:cpu:/old\n0::/a/b\n")
    monkeypatch.setattr(cores, "CGROUP", tmp_path)
    monkeypatch.setattr(cores, "MINE", tmp_path / "cgroup")
    assert cores.usable() == expected
    (tmp_path / "cgroup").unlink()  # not Linux
    assert cores.usable() == 8


def test_free_cores_are_those_that_nobody_uses(machine, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")  # no affinity
    monkeypatch.setattr(
        psutil, "cpu_percent", lambda _, percpu: [100, 100, 70, *[0] * 5]
    )
    assert cores.free() == pytest.approx(5.3)
    monkeypatch.setattr(cores, "_quotas", lambda: [2.0])
    assert cores.free() == 2
