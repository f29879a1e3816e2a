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
RIGHT_SEEDS, WRONG_SEEDS = range(20), range(5)


def title(check: Callable) -> str:
    return check.__name__.removeprefix("check_")


EXERCISES: dict[str, Exercise] = {
    f"{page}-{title(exercise.check)}": exercise
    for page in PAGES
    for exercise in importlib.import_module(f"wrong_answers.{page}").EXERCISES
}


# --- answers that are wrong whatever the exercise is ----------------------------------


def changed(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Apply a change to a result, or to each of several."""
    if isinstance(value, tuple | list):
        return tuple(changed(part, change) for part in value)
    return change(torch.as_tensor(value))


def hostile_functions(right: Callable) -> dict[str, tuple[Any, str]]:
    """Return answers that are wrong in every exercise, and the names to give them."""

    def spoilt(change: Callable[[Tensor], Any]) -> Callable:
        @functools.wraps(right)  # for its signature
        def answer(*args, **kwargs):
            return changed(right(*args, **kwargs), change)

        return answer

    def throws(error: BaseException) -> Callable:
        @functools.wraps(right)
        def answer(*args, **kwargs):
            raise error

        return answer

    def instead(value: Any) -> Callable:
        return functools.wraps(right)(lambda *args, **kwargs: value)

    return {
        "None for a function": (None, "not_a_function"),
        "its result for the function": (torch.zeros(3), "not_a_function"),
        "text for a function": ("x0 + eps", "not_a_function"),
        "takes nothing": (lambda: None, "wrong_arguments"),
        "returns nothing": (instead(None), "returns_nothing"),
        "returns text": (instead("done"), "wrong_type"),
        "returns itself": (instead(right), "wrong_type"),
        "returns a list": (spoilt(lambda x: [x.tolist()]), "wrong_type"),
        "one dimension more": (spoilt(lambda x: x[None]), "wrong_shape"),
        "NaN": (spoilt(lambda x: x * torch.nan), "not_finite"),
        "infinite": (spoilt(lambda x: x + torch.inf), "not_finite"),
        "raises": (throws(ValueError("a bad value")), "raises"),
        "raises without a word": (throws(RuntimeError()), "raises"),
        "exits": (throws(SystemExit(1)), "exits"),
    }


HOSTILE_NUMBERS = {
    "None": (None, "returns_nothing"),
    "text": ("0.5", "wrong_type"),
    "a list": ([0.5], "wrong_type"),
    "a function": (lambda: 0.5, "wrong_type"),
    "a vector": (torch.zeros(3), "wrong_shape"),
    "NaN": (float("nan"), "not_finite"),
    "infinite": (float("inf"), "not_finite"),
}


def hostile(exercise: Exercise) -> dict[str, tuple[Any, str]]:
    first = exercise.right[0]
    return hostile_functions(first) if callable(first) else HOSTILE_NUMBERS


# --- the tests ------------------------------------------------------------------------

each_exercise = pytest.mark.parametrize(
    "exercise", EXERCISES.values(), ids=list(EXERCISES)
)
each_wrong = pytest.mark.parametrize(
    ("check", "answer", "name"),
    [
        pytest.param(exercise.check, answer, name, id=f"{page}-{label}")
        for page, exercise in EXERCISES.items()
        for label, (answer, name) in exercise.wrong.items()
    ],
)


def assert_shows_itself(report: Report) -> None:
    """A report is readable in a terminal and in a notebook, and not endless."""
    assert isinstance(report, Report)
    verdict = "✓ passed" if report.passed else "✗" if report.attempted else "○"
    for text in (str(report), report._repr_html_()):
        assert verdict in text
        assert report.title.split(":")[0] in text
        assert len(text) < 3000


@each_exercise
def test_right_answers_pass_under_every_seed(exercise):
    for answer in exercise.right:
        for seed in RIGHT_SEEDS:
            report = exercise.check(answer, seed=seed)
            assert report.passed, f"{answer}, seed {seed}:\n{report}"
            assert report.attempted
            assert report.mistake is None
        assert_shows_itself(report)


@each_wrong
def test_wrong_answers_are_rejected_and_named(check, answer, name):
    for seed in WRONG_SEEDS:
        report = check(answer, seed=seed)
        assert not report.passed, f"seed {seed}:\n{report}"
        assert report.attempted
        if name is not None:
            assert report.mistake == name, f"seed {seed}:\n{report}"
            assert report.hint, "a mistake that has a name has a hint"
        assert report.measured is not None
        assert report.expected is not None
    assert_shows_itself(report)


@each_exercise
def test_hostile_answers_get_a_sentence_each(exercise):
    for label, (answer, name) in hostile(exercise).items():
        report = exercise.check(answer)
        assert report.attempted, f"{label}:\n{report}"
        assert not report.passed, f"{label}:\n{report}"
        # None in place of several results is the wrong number of them as well
        names = {name, "wrong_type"} if name == "returns_nothing" else {name}
        assert report.mistake in names, f"{label}:\n{report}"
        assert_shows_itself(report)


@each_exercise
def test_an_answer_that_changes_its_input_is_told_so(exercise):
    right = exercise.right[0]
    found = []

    def answer(*args, **kwargs):
        result = right(*args, **kwargs)
        result = changed(result, torch.clone)
        for value in (*args, *kwargs.values()):
            if isinstance(value, Tensor):
                found.append(value)
                value.add_(1)
        return result

    if callable(right):
        report = exercise.check(functools.wraps(right)(answer))
    if not found:
        pytest.skip("the exercise has no tensor for input")
    assert (report.passed, report.mistake) == (False, "changes_its_input")


@each_exercise
def test_what_was_handed_out_is_not_attempted(exercise):
    def stub(*args, **kwargs):
        raise NotImplementedError

    for answer in [..., stub] if callable(exercise.right[0]) else [...]:
        report = exercise.check(answer)
        assert (report.attempted, report.passed) == (False, False)
        assert report.hint
        assert_shows_itself(report)


@each_exercise
def test_the_students_random_state_is_left_alone(exercise):
    def state() -> list[bytes]:
        numpy = np.random.get_state()[1].tobytes()  # noqa: NPY002
        return [torch.get_rng_state().numpy().tobytes(), numpy, random.getstate()]

    before = state()
    for answer in exercise.right:
        exercise.check(answer)
    for answer, _ in [*exercise.wrong.values(), *hostile(exercise).values()]:
        exercise.check(answer)
    assert state() == before


@each_exercise
def test_a_report_does_not_depend_on_what_was_drawn_before(exercise):
    answer, _ = next(iter(exercise.wrong.values()))
    reports = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        reports.append(str(exercise.check(answer)))
    assert reports[0] == reports[1]


def test_every_check_is_tested():
    exported = {name for name in checks.__all__ if name.startswith("check_")}
    tested = {exercise.check.__name__ for exercise in EXERCISES.values()}
    assert exported == tested
    defined = {
        name
        for path in Path(checks.__file__).parent.glob("c[0-9]*.py")
        for name in vars(importlib.import_module(f"{checks.__name__}.{path.stem}"))
        if name.startswith("check_")
    }
    assert exported == defined


def test_the_harness_itself_rejects_a_check_that_accepts_everything():
    @checks.report.check("Exercise 9.9: lax")
    def check_lax(function):
        function(torch.zeros(2))
        return Report()

    exercise = Exercise(check_lax, [lambda x: x], {"zero": (lambda x: 0 * x, None)})
    test_right_answers_pass_under_every_seed(exercise)
    with pytest.raises(AssertionError, match="✓ passed"):
        test_wrong_answers_are_rejected_and_named(check_lax, *exercise.wrong["zero"])
    with pytest.raises(AssertionError, match="takes nothing"):
        test_hostile_answers_get_a_sentence_each(exercise)
    with pytest.raises(AssertionError):
        test_an_answer_that_changes_its_input_is_told_so(exercise)


# --- the table ------------------------------------------------------------------------


def main(pages: list[str]) -> None:
    """Print the table; the last column says what the tests would object to."""
    unknown = set(pages) - set(PAGES)
    if unknown:
        raise SystemExit(f"no {', '.join(unknown)}; there are {', '.join(PAGES)}")
    counts = {"right": 0, "wrong": 0, "named": 0, "objections": 0}
    print(f"{'check':34} {'answer':34} {'named as':20} {'apart':>8} {'ms':>6}")
    for key, exercise in EXERCISES.items():
        if pages and key.split("-")[0] not in pages:
            continue
        answers = [(f"right {k}", a, "") for k, a in enumerate(exercise.right, 1)]
        answers += [(label, *pair) for label, pair in exercise.wrong.items()]
        for label, answer, name in answers:
            start = time.perf_counter()
            report = exercise.check(answer)
            milliseconds = 1e3 * (time.perf_counter() - start)
            seeds = RIGHT_SEEDS if name == "" else WRONG_SEEDS
            reports = [exercise.check(answer, seed=seed) for seed in seeds]
            fine = all(
                r.passed if name == "" else not r.passed and name in (None, r.mistake)
                for r in reports
            )
            verdict = "✓" if report.passed else report.mistake or "(no name)"
            apart = report.standard_errors
            print(
                f"{key:34.34} {label:34.34} {verdict:20.20} "
                f"{'' if apart is None else f'{apart:.3g}':>8} {milliseconds:6.1f}"
                + ("" if fine else "  ← WRONG")
            )
            counts["right" if name == "" else "wrong"] += 1
            counts["named"] += bool(name)
            counts["objections"] += not fine
    print(", ".join(f"{count} {what}" for what, count in counts.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
