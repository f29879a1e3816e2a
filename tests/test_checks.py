"""The checks of the exercises, tested against right and wrong answers.

    python tests/test_checks.py [c00 …]

prints which check names which wrong answer how. The answers are in wrong_answers/.
"""

import functools
import importlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from wrong_answers import Exercise

from minddpm.course import checks
from minddpm.course.checks import Report

PAGES = sorted(p.stem for p in Path(__file__).parent.glob("wrong_answers/c*.py"))
RIGHT_SEEDS, WRONG_SEEDS = 20, 5


def exercises(page: str) -> list[Exercise]:
    """Return the exercises of a notebook."""
    return importlib.import_module(f"wrong_answers.{page}").EXERCISES


def title(check: Callable) -> str:
    return check.__name__.removeprefix("check_")


EXERCISES = {
    f"{page}-{title(exercise.check)}": exercise
    for page in PAGES
    for exercise in exercises(page)
}


# --- answers that are wrong whatever the exercise is ----------------------------------


def changed(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Apply a change to a result, or to all results in a tuple."""
    if isinstance(value, tuple | list):
        return tuple(changed(part, change) for part in value)
    return change(torch.as_tensor(value))


def hostile(right: Callable) -> dict[str, tuple[Any, str]]:
    """Return answers that no exercise accepts, with the names of their mistakes."""

    def spoilt(change: Callable[[Tensor], Any]) -> Callable:
        @functools.wraps(right)  # the check reads the signature
        def answer(*args, **kwargs):
            return changed(right(*args, **kwargs), change)

        return answer

    def instead(body: Callable[[], Any]) -> Callable:
        return functools.wraps(right)(lambda *args, **kwargs: body())

    def throwing(error: BaseException) -> Callable:
        def body():
            raise error

        return instead(body)

    return {
        "no function: None": (None, "not_a_function"),
        "no function: a result": (torch.zeros(3), "not_a_function"),
        "no function: text": ("x0 + eps", "not_a_function"),
        "takes nothing": (lambda: None, "wrong_arguments"),
        "returns nothing": (instead(lambda: None), "returns_nothing"),
        "returns text": (instead(lambda: "done"), "wrong_type"),
        "returns a list": (spoilt(Tensor.tolist_), "wrong_type"),
        "one dimension more": (spoilt(lambda x: x[None]), "wrong_shape"),
        "NaN": (spoilt(lambda x: x * torch.nan), "not_finite"),
        "infinite": (spoilt(lambda x: x + torch.inf), "not_finite"),
        "raises": (throwing(ValueError("bad value")), "raises"),
        "raises without a word": (throwing(RuntimeError()), "raises"),
        "exits": (throwing(SystemExit(1)), "exits"),
    }
