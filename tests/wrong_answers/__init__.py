"""Right and wrong answers to the exercises: the checks are tested against them.

A module for each notebook, c00, c01, …, with a list EXERCISES.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minddpm.course.checks import Report


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        check: the check, `minddpm.course.checks.check_…`.
        right: answers that it must accept: functions, in several styles, or numbers.
        wrong: answers that it must reject, each with the name of the mistake that the
            report must give; None where any name, or none, will do.
    """

    check: Callable[..., Report]
    right: list[Any]
    wrong: dict[str, tuple[Any, str | None]]
