"""The cores that a notebook shares with others.

PyTorch takes a thread for each core, and each of them waits for the others by spinning.
Two notebooks that train on the same two cores then slow each other many times over; on
one thread each they do not, and one alone is slower by a quarter on 8×8, by six
tenths on 28×28. So `minddpm.course` takes one, in a notebook and nowhere else. Whoever
wants another number sets OMP_NUM_THREADS before Python starts, or calls
`torch.set_num_threads` at any time.
"""

import os
import sys
from pathlib import Path

import psutil
import torch

CGROUP, MINE = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def in_kernel() -> bool:
    """Return whether this is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def share() -> None:
    """Have PyTorch use one thread in a notebook, if nobody chose a number."""
    if not in_kernel() or {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(os.environ):
        return
    # what PyTorch takes by itself: a thread for each core, or for each physical one
    logical, physical = psutil.cpu_count(), psutil.cpu_count(logical=False)
    twins = logical // physical if logical and physical else 1
    if torch.get_num_threads() in (_allowed(), _allowed() // twins):
        torch.set_num_threads(1)


def usable() -> float:
    """Return how many cores this process may use: its affinity and cgroup's quota."""
    return min([_allowed(), *_quotas()])


def free(seconds: float = 0.2) -> float:
    """Return how many of the usable cores nobody else keeps busy.

    Args:
        seconds: to look on; this thread sleeps meanwhile.
    """
    shares = psutil.cpu_percent(seconds, percpu=True)
    if sys.platform == "linux":
        shares = [shares[core] for core in os.sched_getaffinity(0)]
    return min(usable(), sum(1 - share / 100 for share in shares))


def _allowed() -> int:
    """Return how many cores the system lets this process run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas() -> list[float]:
    """Return the limits of the process's control groups (version 2), in cores."""
    try:
        name = MINE.read_text("utf-8").partition("0::/")[2]
    except OSError:
        return []  # not Linux
    group = CGROUP / name.partition("\n")[0]
    found = []
    for folder in (group, *group.parents):
        try:
            quota, period = (folder / "cpu.max").read_text("utf-8").split()
        except OSError:
            continue  # the root has none, or a container hides it
        if quota != "max":
            found.append(int(quota) / int(period))
    return found
