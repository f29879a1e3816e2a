"""The exercises of all chapters, tested against right and wrong answers.

    python tests/course/test_checks.py [02 …]

prints which check names which wrong answer how. The answers are the faces that an
exercise declares, and those in answers.py of the chapter's tests.
"""

import functools
import inspect
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":  # pytest does so by its settings
    sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pytest
import torch
from torch import Tensor

from minddpm.course import checks, contents
from minddpm.course.kit.exercise import Exercise, Mistake
from minddpm.course.kit.report import Report
from rooms import answers

SEEDS, FEW_SEEDS = range(20), range(4)


class Case(NamedTuple):
    """An exercise, and the answers to it that it does not declare itself."""

    exercise: Exercise
    right: list[Any] = []  # noqa: RUF012
    wrong: dict[str, tuple[Any, str | None]] = {}  # noqa: RUF012

    @property
    def faces(self) -> Iterator[tuple[str, Any, str]]:
        """Yield a label, a face, and the name of its mistake."""
        for k, (name, face) in enumerate(self.exercise.faces()):
            yield f"face {k} of {name}", face, name


def cases() -> Iterator[tuple[str, Case]]:
    for chapter in contents.CHAPTERS:
        if room := chapter.module("exercises"):
            found = answers(chapter)
            for e in room.EXERCISES:
                case = Case(e, found.RIGHT.get(e.name, []), found.WRONG.get(e.name, {}))
                yield f"{chapter.number}-{e.name}", case


CASES = dict(cases())
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


# --- what is said of an answer --------------------------------------------------------


def shows(report: Report) -> str | None:
    """Return what is wrong with how a report shows itself, in terminal and notebook."""
    verdict = "✓ passed" if report.passed else "✗" if report.attempted else "○"
    for text in (str(report), report._repr_html_()):
        if verdict not in text or report.title.split(":")[0] not in text:
            return "verdict or title is missing"
        if len(text) > 3000:
            return "too long"
    return None


def accepted(exercise: Exercise, answer: Any, seeds: Iterable[int]) -> str | None:
    """Return why a right answer is not accepted under all seeds."""
    for seed in seeds:
        report = exercise.check(answer, seed=seed)
        if not (report.passed and report.attempted and report.mistake is None):
            return f"seed {seed}: {report}"
    return shows(report)


def rejected(
    exercise: Exercise, answer: Any, name: str | None, seeds: Iterable[int]
) -> str | None:
    """Return why a wrong answer is not rejected, named and explained every time."""
    for seed in seeds:
        report = exercise.check(answer, seed=seed)
        facts = report._parts()[2]
        fine = report.attempted and not report.passed
        fine &= name in (None, report.mistake)
        fine &= bool(report.hint) or name not in {m.name for m in exercise.mistakes}
        fine &= {"measured", "expected"} <= set(facts)
        if not fine or facts["measured"] == facts["expected"]:
            return f"seed {seed}, due {name}: {report}"
    return shows(report)


def seeds_of(k: int) -> tuple[int]:
    """Return the seed for face k: one of five, in turn.

    To name one answer, a check asks all faces: under five seeds each it would take as
    long as all other tests together.
    """
    return (k % 5,)


def faults(judged: Iterator[tuple[str, str | None]]) -> str:
    """Return all that is wrong, a line each."""
    return "\n".join(f"{label}: {fault}" for label, fault in judged if fault)


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
    right = exercise.reference
    return hostile_functions(right) if callable(right) else HOSTILE_NUMBERS


# --- the tests ------------------------------------------------------------------------


@each
def test_right_answers_pass_under_every_seed(case):
    judged = [("reference", accepted(case.exercise, case.exercise.reference, SEEDS))]
    judged += [
        (f"right {k}", accepted(case.exercise, a, FEW_SEEDS))
        for k, a in enumerate(case.right)
    ]
    assert not (text := faults(judged)), text


@each
def test_each_face_is_named_as_its_own_mistake(case):
    judged = (
        (label, rejected(case.exercise, face, name, seeds_of(k)))
        for k, (label, face, name) in enumerate(case.faces)
    )
    assert not (text := faults(judged)), text


@each
def test_other_wrong_answers_are_rejected_and_named(case):
    judged = (
        (label, rejected(case.exercise, answer, name, FEW_SEEDS))
        for label, (answer, name) in case.wrong.items()
    )
    assert not (text := faults(judged)), text


@each
def test_hostile_answers_get_a_sentence_each(case):
    for label, (answer, name) in hostile(case.exercise).items():
        report = case.exercise.check(answer)
        assert report.attempted, f"{label}:\n{report}"
        assert not report.passed, f"{label}:\n{report}"
        # None in place of several results is the wrong number of them as well
        names = {name, "wrong_type"} if name == "returns_nothing" else {name}
        assert report.mistake in names, f"{label}:\n{report}"
        assert not shows(report)


@each
def test_an_answer_that_changes_its_input_is_told_so(case):
    right = case.exercise.reference
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
        report = case.exercise.check(functools.wraps(right)(answer))
    if not found:
        pytest.skip("the exercise has no tensor for input")
    assert (report.passed, report.mistake) == (False, "changes_its_input")


@each
def test_what_was_handed_out_is_not_attempted(case):
    def stub(*args, **kwargs):
        raise NotImplementedError

    for answer in [..., stub] if callable(case.exercise.reference) else [...]:
        report = case.exercise.check(answer)
        assert (report.attempted, report.passed) == (False, False)
        assert report.hint
        assert not shows(report)


@each
def test_the_students_random_state_is_left_alone(case):
    def state() -> list[bytes]:
        numpy = np.random.get_state()[1].tobytes()  # noqa: NPY002
        return [torch.get_rng_state().numpy().tobytes(), numpy, random.getstate()]

    before = state()
    for answer in (case.exercise.reference, *case.right):
        case.exercise.check(answer)
    wrong = next(iter(case.wrong.values()))
    for answer, _ in [wrong, *hostile(case.exercise).values()]:
        case.exercise.check(answer)
    assert state() == before


@each
def test_a_report_does_not_depend_on_what_was_drawn_before(case):
    _, face, _ = next(case.faces)
    reports = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        reports.append(str(case.exercise.check(face)))
    assert reports[0] == reports[1]


@each
def test_there_are_other_answers_and_one_for_each_mistake(case):
    assert case.right
    assert case.wrong
    named = {name for _, name in case.wrong.values()}
    named |= {name for name, _ in case.exercise.faces()}
    assert not [m.name for m in case.exercise.mistakes if m.name not in named]
    assert all(m.hint for m in case.exercise.mistakes)


def test_there_is_a_check_for_each_exercise_and_no_other():
    names = [case.exercise.name for case in CASES.values()]
    assert len(set(names)) == len(names)
    found = {name for name in checks.__all__ if name.startswith("check_")}
    assert found == {f"check_{name}" for name in names}
    for case in CASES.values():
        check = getattr(checks, f"check_{case.exercise.name}")
        assert str(check(...)) == str(case.exercise.check(...))
        assert case.exercise.title in check.__doc__
        if callable(case.exercise.reference):
            assert inspect.getdoc(case.exercise.reference) in check.__doc__
    for chapter in contents.CHAPTERS:  # and no answers to what is no exercise
        if room := chapter.module("exercises"):
            own = {e.name for e in room.EXERCISES}
            assert own == set(answers(chapter).RIGHT) == set(answers(chapter).WRONG)


def test_the_harness_rejects_an_exercise_that_accepts_everything():
    def same(x):
        """Return x."""
        return x

    lax = Exercise(
        "Exercise 9.9: lax",
        same,
        lambda: [{"x": torch.ones(2)}],
        [Mistake("nothing", "h", [lambda x: 0 * x]), Mistake("never", "h")],
        judge=lambda exercise, answer: (answer(torch.ones(2)), Report())[1],
    )
    case = Case(lax, [same], {"zero": (lambda x: 0 * x, None)})
    test_right_answers_pass_under_every_seed(case)
    with pytest.raises(AssertionError, match="✓ passed"):
        test_each_face_is_named_as_its_own_mistake(case)
    with pytest.raises(AssertionError, match="✓ passed"):
        test_other_wrong_answers_are_rejected_and_named(case)
    with pytest.raises(AssertionError, match="takes nothing"):
        test_hostile_answers_get_a_sentence_each(case)
    with pytest.raises(AssertionError):
        test_an_answer_that_changes_its_input_is_told_so(case)
    with pytest.raises(AssertionError, match="never"):
        test_there_are_other_answers_and_one_for_each_mistake(case)


# --- the table ------------------------------------------------------------------------


def main(numbers: list[str]) -> None:
    """Print the table; the last column says what the tests would object to."""
    counts = {"right": 0, "wrong": 0, "named": 0, "objections": 0}
    print(f"{'check':30} {'answer':34} {'named as':20} {'apart':>8} {'ms':>6}")
    for key, case in CASES.items():
        if numbers and key[:2] not in numbers:
            continue
        right = [case.exercise.reference, *case.right]
        rows = [(f"right {k}", a, None, True) for k, a in enumerate(right)]
        rows += [(*face, False) for face in case.faces]
        rows += [(label, *pair, False) for label, pair in case.wrong.items()]
        for label, answer, name, is_right in rows:
            start = time.perf_counter()
            report = case.exercise.check(answer)
            ms = 1e3 * (time.perf_counter() - start)
            how = (case.exercise, answer)
            fault = (
                accepted(*how, SEEDS) if is_right else rejected(*how, name, FEW_SEEDS)
            )
            verdict = "✓" if report.passed else report.mistake or "(no name)"
            z = report.standard_errors
            apart = "" if z is None else f"{z:.3g}"
            line = f"{key:30.30} {label:34.34} {verdict:20.20} {apart:>8} {ms:6.1f}"
            print(line + ("  ← WRONG" if fault else ""))
            counts["right" if is_right else "wrong"] += 1
            counts["named"] += report.mistake is not None
            counts["objections"] += fault is not None
    print(", ".join(f"{count} {what}" for what, count in counts.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
