"""Reports, and how an answer is asked: a check never raises, whatever it is given."""

import dataclasses
import html
import math
import re

import numpy as np
import pytest
import torch

from minddpm.course.kit.exercise import Exercise, Mistake
from minddpm.course.kit.report import Report, Wrong, call, z_score

X = torch.arange(6.0).reshape(3, 2)


def double(x):
    """Return 2 x."""
    return 2 * x


DOUBLE = Exercise(
    "Exercise 9.9: double <it>",
    double,
    lambda: [{"x": X}],
    [
        Mistake("squared", "Add x to x.", [lambda x: x**2]),
        Mistake("halved", "Add x to x.", [lambda x: x / 2]),
    ],
    hint="Add x to x.",
    praise="Well done & on.",
)
check_double = DOUBLE.check
check_guess = Exercise("Exercise 9.8: guess", 0.78, name="guess", tolerance=0.1).check


# --- what a report says ---------------------------------------------------------------

REPORTS = [
    check_double(lambda x: 2 * x),
    check_double(lambda x: x**2),
    check_double(lambda x: 3 * x),
    check_double(...),
    Report("T", True, False, "variance_or_std", 0.36, torch.tensor(1.0), 12.345, "h"),
    Report("T", measured=torch.ones(9), expected=(3, None)),
]


@pytest.mark.parametrize("report", REPORTS)
def test_html_says_what_text_says(report):
    text = str(report)
    assert repr(report) == text
    shown = html.unescape(re.sub(r"<[^>]*>", " ", report._repr_html_()))
    assert sorted(shown.split()) == sorted(text.replace("·", " ").split())


def test_report_as_text():
    assert str(REPORTS[4]) == (
        "✗ not right yet · T\n"
        "  mistake   variance or std\n"
        "  measured  0.36\n"
        "  expected  1\n"
        "  apart     12.3 standard errors\n"
        "  hint      h"
    )
    assert "[1, 1, 1, 1, 1, 1, …]" in str(REPORTS[5])
    assert "(3, any)" in str(REPORTS[5])


def test_html_is_escaped_and_told_apart_without_colour():
    page = REPORTS[0]._repr_html_()
    assert "double &lt;it&gt;" in page
    assert "Well done &amp; on." in page
    for report, sign in zip(REPORTS, "✓✗✗○", strict=False):
        assert sign in str(report)
        assert sign in report._repr_html_()


def test_html_is_legible_in_every_theme():
    """Text has the theme's colour, or white on a background of at least 4.5 : 1."""
    for report in REPORTS:
        page = report._repr_html_()
        assert re.findall(r"(?<![\w-])color: (\w+)", page) == ["white"]
        (background,) = re.findall(r"background: #(\w{6})", page)
        channels = [int(background[k : k + 2], 16) / 255 for k in (0, 2, 4)]
        r, g, b = (((c + 0.055) / 1.055) ** 2.4 for c in channels)
        assert 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05) > 4.5


def test_report_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        REPORTS[0].passed = False


# --- a check never raises -------------------------------------------------------------


def unsolved(x):
    """Return 2 x."""
    raise NotImplementedError


def unsolved_with_words(x):
    raise NotImplementedError("your code here")


def calls_unsolved(x):
    return unsolved(x)


def fails(x):
    y = x + 1
    return y[7]


def recurses(x):
    return recurses(x)


def yields(x):
    yield x


class Spiteful:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


class SpitefulError(Exception):
    def __str__(self):
        raise RuntimeError("no str")


def raises(error):
    def function(x):
        raise error

    return function


WRONG = {  # answer: the mistake that is named
    "none": (None, "not_a_function"),
    "number": (3, "not_a_function"),
    "result": (X, "not_a_function"),
    "error": (fails, "raises"),
    "own error": (raises(SpitefulError()), "raises"),
    "base error": (raises(BaseException("base")), "raises"),
    "generator exit": (raises(GeneratorExit()), "raises"),
    "exit": (raises(SystemExit(1)), "exits"),
    "recursion": (recurses, "raises"),
    "no argument": (lambda: X, "wrong_arguments"),
    "too many arguments": (lambda x, y: X, "wrong_arguments"),
    "builtin": (print, "returns_nothing"),
    "class": (Spiteful, "wrong_arguments"),
    "nothing": (lambda x: None, "returns_nothing"),
    "text": (lambda x: "2 x", "wrong_type"),
    "tuple": (lambda x: (x, x), "wrong_type"),
    "list": (lambda x: [x, x], "wrong_type"),
    "dict": (lambda x: {"x": x}, "wrong_type"),
    "generator": (yields, "wrong_type"),
    "complex": (lambda x: x * 1j, "wrong_type"),
    "spiteful": (lambda x: Spiteful(), "raises"),
    "objects": (lambda x: np.array([None]), "raises"),
    "one number": (lambda x: 2.0, "wrong_shape"),
    "transposed": (lambda x: 2 * x.T, "wrong_shape"),
    "broadcast": (lambda x: x[:, None] + x[None], "wrong_shape"),
    "empty": (lambda x: x[:0], "wrong_shape"),
    "NaN": (lambda x: x * math.nan, "not_finite"),
    "infinite": (lambda x: x / 0, "not_finite"),
    "in place": (lambda x: x.mul_(2), "changes_its_input"),
    "resized": (lambda x: 2 * x.clone() + 0 * len(x.resize_(1)), "changes_its_input"),
    "squared": (lambda x: x**2, "squared"),
    "halved": (lambda x: x / 2, "halved"),
    "unknown": (lambda x: 7 * x, None),
}


@pytest.mark.parametrize(("answer", "mistake"), WRONG.values(), ids=WRONG)
def test_wrong_answer_gets_a_report(answer, mistake):
    report = check_double(answer)
    assert not report.passed
    assert report.mistake == mistake
    assert report.title in str(report)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x + x,
        lambda *, x: 2 * x,
        lambda anything: 2 * anything,
        lambda x, scale=2: scale * x,
        lambda *args: 2 * args[0],
        lambda x: 2 * x.double(),
        lambda x: (2 * x).long(),
        lambda x: 2 * x.numpy(),
        lambda x: (2 * x).requires_grad_(),
    ],
)
def test_right_answer_passes_however_it_is_written(answer):
    report = check_double(answer)
    assert report.passed, report
    assert report.attempted
    assert report.mistake is None


def test_module_is_a_function():
    linear = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(2 * torch.eye(2))
    assert check_double(linear).passed


@pytest.mark.parametrize("stub", [unsolved, unsolved_with_words, calls_unsolved, ...])
def test_stub_is_not_attempted(stub):
    report = check_double(stub)
    assert not report.attempted
    assert not report.passed
    assert report.mistake is None
    assert str(report).startswith("○ not attempted yet · Exercise 9.9")


def test_error_inside_torch_is_an_attempt():
    """PyTorch has errors of the same class, raised in C: those are no stubs."""

    def function(x):
        return x.to("meta").cpu()  # nothing there to copy

    with pytest.raises(NotImplementedError):
        function(X)
    report = check_double(function)
    assert report.attempted
    assert report.mistake == "raises"


def test_error_is_placed_in_the_students_code():
    line = fails.__code__.co_firstlineno + 2
    assert check_double(fails).measured == (
        "IndexError: index 7 is out of bounds for dimension 0 with size 3, "
        f"at line {line} in fails: return y[7]"
    )


def test_error_without_a_line_of_the_student():
    assert check_double(torch.cat).measured.startswith("TypeError: cat()")


def test_wrong_arguments_are_named():
    report = check_double(lambda y, z: y)
    assert report.measured == "your function takes (y, z)"
    assert report.expected == "it takes (x)"


def test_interrupt_goes_through():
    with pytest.raises(KeyboardInterrupt):
        check_double(raises(KeyboardInterrupt()))


def test_fault_of_the_check_itself_becomes_a_report():
    broken = Exercise(
        "Exercise 9.7: broken", double, judge=lambda exercise, answer: 1 / 0
    )
    assert broken.check(double).mistake == "raises"


def test_random_state_is_the_students():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for answer in (lambda x: 2 * x, lambda x: torch.manual_seed(0), fails, None):
        check_double(answer)
        assert torch.equal(torch.get_rng_state(), before)


def test_same_answer_same_report_and_seed_matters():
    draw = Exercise("", double, judge=lambda _, f: Report(measured=call(f, (2,)))).check
    torch.manual_seed(1)
    first = draw(lambda: torch.randn(2)).measured
    assert torch.equal(draw(lambda: torch.randn(2)).measured, first)
    assert not torch.equal(draw(lambda: torch.randn(2), seed=1).measured, first)


def test_students_output_is_shown(capsys):
    def talks(x):
        print("hello")
        return 2 * x

    assert check_double(talks).passed
    assert set(capsys.readouterr().out.splitlines()) == {"hello"}


@pytest.mark.parametrize("guess", [0.8, np.float64(0.8), torch.tensor(0.8)])
def test_number_is_right(guess):
    assert check_guess(guess).passed


@pytest.mark.parametrize(
    ("guess", "mistake"),
    [
        (0.1, None),
        (2, None),
        (None, "returns_nothing"),
        ("0.8", "wrong_type"),
        (unsolved, "wrong_type"),
        (torch.ones(2), "wrong_shape"),
        (math.nan, "not_finite"),
        (10**400, "raises"),
    ],
)
def test_number_is_wrong(guess, mistake):
    report = check_guess(guess)
    assert report.attempted
    assert not report.passed
    assert report.mistake == mistake


def test_number_not_attempted():
    assert not check_guess(...).attempted


# --- its tools ------------------------------------------------------------------------


def test_call_gives_float64_without_gradient():
    x = call(lambda x: x.requires_grad_() * 2, (3, 2), x=X)
    assert x.dtype == torch.float64
    assert not x.requires_grad
    assert call(lambda: 3, ()).item() == 3
    assert call(lambda: True, None).item() == 1


def test_call_leaves_what_is_no_tensor_alone():
    model = torch.nn.Linear(1, 1)
    assert call(lambda m: m is model, (), m=model).item() == 1


def test_call_takes_several_results():
    mean, variance = call(lambda x: (x, 0.5), [(3, 2), ()], x=X)
    assert mean.shape == (3, 2)
    assert variance.item() == 0.5
    for wrong in (lambda x: x, lambda x: (x,), lambda x: (x, x, x)):
        with pytest.raises(Wrong, match="wrong_type"):
            call(wrong, [(3, 2), ()], x=X)
    with pytest.raises(Wrong, match="wrong_shape"):
        call(lambda x: (x, x), [(3, 2), ()], x=X)


def test_call_any_size():
    assert call(lambda: torch.ones(4, 2), (None, 2)).shape == (4, 2)
    with pytest.raises(Wrong, match="wrong_shape"):
        call(lambda: torch.ones(4, 3), (None, 2))


def test_z_score():
    assert z_score(1.25, 1.0, 0.125) == 2
    assert z_score(torch.tensor([1.0, 2.0]), 1.0, torch.tensor([1.0, 0.5])) == 2
    assert z_score(1.0, 1.0, 0.0) == 0
    assert z_score(1.0, 2.0, 0.0) == math.inf
    assert z_score(math.nan, 2.0, 1.0) == math.inf
