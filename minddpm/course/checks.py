"""Checks of the exercises: `check_<what>(your_function)` gives a `Report`.

They are made of what the chapters' rooms declare (`exercises.py`); `kit/exercise.py`
says how they judge.
"""

import inspect
from collections.abc import Callable
from typing import Any

from minddpm.course.contents import all_exercises
from minddpm.course.kit.exercise import Exercise
from minddpm.course.kit.report import Report


def _as_function(exercise: Exercise) -> Callable[..., Report]:
    def check(answer: Any, *, seed: int = 0) -> Report:
        return exercise.check(answer, seed=seed)

    asked = exercise.name
    if callable(exercise.reference):
        asked += str(inspect.signature(exercise.reference))
    says = inspect.getdoc(exercise.reference) if callable(exercise.reference) else ""
    check.__name__ = check.__qualname__ = f"check_{exercise.name}"
    check.__doc__ = f"Check `{asked}` · {exercise.title}.\n\n{says}"
    return check


_CHECKS = {
    f"check_{name}": _as_function(each) for name, each in all_exercises().items()
}
globals().update(_CHECKS)
__all__ = ["Report", *sorted(_CHECKS)]


def __getattr__(name: str) -> Any:
    raise AttributeError(f"no {name!r} here; there are {', '.join(__all__)}")
