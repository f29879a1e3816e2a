"""The course: what the notebooks need, and `import minddpm` does not load.

`contents` lists the chapters; each has a room of its own, `chNN_slug/`. They share
`kit/`: how exercises are judged, panels and canvas of the explorers, plots, the doctor.
`checks` and `explorers` find what the rooms hold. `grading/` marks notebooks.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "plots":
        from minddpm.course.kit import plots

        return plots
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
