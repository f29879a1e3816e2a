"""The course: what the notebooks need, and `import minddpm` does not load.

`contents` lists the chapters; each has a room of its own, `chNN_slug/`. They share
`kit/`: how exercises are judged, panels and canvas of the explorers, plots, the doctor.
`checks` and `explorers` find what the rooms hold. `grading/` marks notebooks.

In a notebook, PyTorch gets one thread from here on, unless OMP_NUM_THREADS says another
number; `kit/cores.py` has the reason.
"""

from typing import Any

from minddpm.course.kit import cores

cores.share()


def __getattr__(name: str) -> Any:
    if name == "plots":
        from minddpm.course.kit import plots

        return plots
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
