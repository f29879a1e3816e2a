"""The framework of exercises: what is asked, and how a mistake gets its name."""

import math

import pytest
import torch

from minddpm.course.kit.exercise import Exercise, Mistake, results
from minddpm.course.kit.report import Report, call, show


def scale(x, a):
    """Return a x."""
    return a * x


def cases():
    for a in (2.0, 3.0):
        yield {"x": torch.randn(7) + 0.3, "a": a}


SCALE = Exercise(
    "Exercise 9.9: scale",
    scale,
    cases,
    [
        Mistake("sum", "Multiply.", [lambda x, a: x + a]),
        Mistake("power", "No power.", [lambda x, a: [a**2 * x, a**3 * x]]),
        Mistake("deaf", "Use a.", [lambda x, a: 2.0 * x]),
        Mistake("half", "Once.", sign=lambda got, right, x, a: bool((got == 0).any())),
    ],
    hint="Look at one entry.",
    praise="Yes.",
)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda x, a: x + a, "sum"),
        (lambda x, a: a * a * x, "power"),
        (lambda x, a: a * a * a * x, "power"),
        (lambda x, a: 2 * x, "deaf"),  # right in the first case, and wrong in the next
        (lambda x, a: a * x * (torch.rand(7) < 0.5), "half"),
        (lambda x, a: a**4 * x, None),
        # one face in one case and another in the next: neither explains it all
        (lambda x, a: x + a if a == 2 else a**2 * x, None),
        (lambda x, a: a * x[:3], "wrong_shape"),
        (lambda x, a: a * x + 1e-3, None),
    ],
)
def test_a_mistake_is_named_that_explains_all_that_was_given(answer, name):
    for seed in range(5):
        report = SCALE.check(answer, seed=seed)
        assert (report.passed, report.mistake) == (False, name)
        facts = report._parts()[2]
        assert facts["measured"] != facts["expected"]
        assert report.hint


def test_each_face_of_a_list_is_an_answer_of_its_own():
    faces = [*SCALE.faces()]
    assert [name for name, _ in faces] == ["sum", "power", "power", "deaf"]
    x = torch.ones(2)
    assert [float(face(x, 3.0)[0]) for _, face in faces] == [4, 9, 27, 2]
    before = torch.get_rng_state()
    assert len([*SCALE.faces()]) == 4
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_after_a_wrong_result_does_not_hide_it():
    def answer(x, a):
        if a == 3:
            raise ValueError(a)
        return x + a

    assert SCALE.check(answer).mistake == "sum"
    assert SCALE.check(lambda x, a: answer(x, a) - a + x).mistake == "raises"


def test_a_right_answer_that_changes_its_mind_is_none():
    asked = []

    def answer(x, a):
        asked.append(a)
        return a * x if len(asked) < 3 else x

    report = SCALE.check(answer)
    assert not report.passed
    assert "another result" in report.measured


def test_a_right_answer_is_praised_and_told_what_it_gave():
    report = SCALE.check(lambda x, a: x * a)
    assert (report.passed, report.hint) == (True, "Yes.")
    assert show(report.measured) == show(report.expected)


def test_results_that_look_alike_are_told_apart_to_the_digit():
    near = Exercise("E: near", lambda: 1.0, tolerance=1e-9, name="near")
    report = near.check(lambda: 1.0 + 1e-7)
    assert not report.passed
    assert report.measured == "entry 0: 1.0000001"
    assert report.expected == "entry 0: 1"


def test_numbers_have_faces_too():
    guess = Exercise(
        "E: guess",
        0.8,
        name="guess",
        tolerance=0.05,
        mistakes=[Mistake("b", "h", [2.0])],
    )
    assert guess.check(0.78).passed
    assert guess.check(2).mistake == "b"
    assert guess.check(5).mistake is None


def test_several_results_are_compared_each():
    def both(x):
        return x, x.mean()

    exercise = Exercise("E: both", both, lambda: [{"x": torch.randn(4)}])
    assert exercise.check(both).passed
    assert not exercise.check(lambda x: (x, x.sum())).passed
    assert exercise.check(lambda x: x).mistake == "wrong_type"


def test_a_judge_of_its_own_measures_and_asks_the_faces():
    def draws(n):
        """Return n draws of N(0, 4)."""
        return 2 * torch.randn(n)

    def judge(exercise, answer):
        n = 4000

        def std(function):
            return float(call(function, (n,), n=n).std())

        measured = std(answer)
        apart = abs(measured / 2 - 1) * math.sqrt(2 * n)
        if apart < 5:
            return Report(measured=measured, expected=2.0, standard_errors=apart)

        def distance(face):
            return abs(measured / std(face) - 1) * math.sqrt(2 * n) / 7

        raise exercise.wrong(exercise.explain(distance), measured, 2.0, apart)

    exercise = Exercise(
        "E: draws",
        draws,
        lambda: [{"n": 4000}],
        [
            Mistake("variance", "h", [lambda n: 4 * torch.randn(n)]),
            Mistake("one", "h", [torch.randn]),
        ],
        judge=judge,
    )
    for seed in range(20):
        assert exercise.check(draws, seed=seed).passed
        assert exercise.check(torch.randn, seed=seed).mistake == "one"
        assert (
            exercise.check(lambda n: 4 * torch.randn(n), seed=seed).mistake
            == "variance"
        )
        assert exercise.check(lambda n: 3 * torch.randn(n), seed=seed).mistake is None


def test_a_mistake_that_was_not_declared_cannot_be_named():
    with pytest.raises(KeyError):
        SCALE.wrong("unknown", 1, 2)


def test_results_are_float64_tensors():
    (x,) = results(scale, {"x": torch.ones(2), "a": 2.0})
    assert x.dtype == torch.float64
    assert [float(part) for part in results((1, 2.5), {})] == [1, 2.5]
