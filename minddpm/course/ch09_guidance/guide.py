"""The checks of exercises 9.1 and 9.2 in notebook 09."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

GUIDE_HINTS = {
    "wrong_sign": "A positive w goes from the answer without a label to the one with "
    "it, and on. Which of the two has the larger factor, and which a negative one?",
    "scale_convention": "That is the other convention, in which 1 is the plain "
    "conditional answer. Here w = 0 is.",
    "swapped": "At w = 0 the label must count fully. Which of the two predictions "
    "knows it?",
    "averaged": "A weighted average lies between the two answers. Guidance goes beyond "
    "the one with the label.",
    "not_guided": "One of the two predictions has no influence here.",
    "not_normalised": "Where both predictions are equal, the label says nothing, and "
    "guidance should change nothing. What do your two factors add up to?",
    "variance_or_std": "There is no root and no square in [CFG eq. 6].",
    "negative_w": "w may be negative: −1 is the unconditional answer.",
    "not_linear": "The guided prediction is a weighted sum of the two, with the same "
    "two factors for every entry. Did you clamp or rescale it?",
    "": "Put w = 0 and w = −1 into the formula, and into your code.",
}
_SCALE_HINTS = {
    "no_conversion": "You return w whatever the library does. One of the two "
    "conventions calls it something else.",
    "always_converts": "You return 1 + w whatever the library does. One of the two "
    "conventions takes w as it is.",
    "swapped": "Both numbers are right, for the other library. What does each of "
    "the conventions give for a scale of 0?",
    "wrong_sign": "Compare the factors of ε(c): w is the smaller of the two numbers.",
    "": "Hand your number to the library, with 1 for eps_c and 0 for eps_u: it should "
    "return the factor of ε(c) in [CFG eq. 6], 1 + w.",
}


def factors(result: Tensor, eps_c: Tensor, eps_u: Tensor) -> tuple[Tensor, float]:
    """Fit a result by a sum of two predictions.

    Args:
        result: the guided prediction, (B, *D) float64.
        eps_c: prediction with the label, of the same shape.
        eps_u: prediction without.

    Returns:
        The two factors, (2,) float64, and the largest entry that they do not explain.
    """
    columns = torch.stack([eps_c.flatten(), eps_u.flatten()], dim=1).double()
    found = torch.linalg.lstsq(columns, result.flatten()[:, None]).solution
    rest = (columns @ found)[:, 0] - result.flatten()
    return found[:, 0], float(rest.abs().max())


def judge_factors(found: Tensor, rest: float, w: float) -> None:
    """Refuse factors that are not those of [CFG eq. 6].

    Args:
        found: the factors of both predictions, (2,).
        rest: what a weighted sum does not explain.
        w: the guidance weight.

    Raises:
        Wrong: if they differ, with the name of the mistake where it has one.
    """
    expected = f"w = {w:g}: {1 + w:g}·eps_c {-w:+g}·eps_u"
    size = 1 + abs(w)
    if rest > 1e-4 * size:
        measured = f"w = {w:g}: no weighted sum of the two predictions"
        raise Wrong("not_linear", measured, expected, GUIDE_HINTS["not_linear"])
    a, b = found.tolist()
    if z_score(found, torch.tensor([1 + w, -w]), 1e-4 * size) <= 1:
        return
    mistake = name_mistake(found, _factors_of_mistakes(w), 1e-4 * size)
    if mistake is None and abs(a + b - 1) > 1e-3 * size:
        mistake = "not_normalised"
    measured = f"w = {w:g}: {a:.4g}·eps_c {b:+.4g}·eps_u"
    raise Wrong(mistake, measured, expected, GUIDE_HINTS[mistake or ""])


def _factors_of_mistakes(w: float) -> dict[str, Any]:
    """Return the factors of eps_c and eps_u in known mistakes."""
    if w == 0:
        return {"swapped": (0.0, 1.0)}
    if w < 0:
        return {"negative_w": [(1.0, 0.0), (1 - w, w)]}
    return {
        "wrong_sign": [(1 + w, w), (1 - w, w), (-1 - w, w)],
        "scale_convention": (w, 1 - w),
        "swapped": (-w, 1 + w),
        "averaged": [
            (0.5, 0.5),
            (1 / (1 + w), w / (1 + w)),
            (w / (1 + w), 1 / (1 + w)),
        ],
        "not_guided": [(1.0, 0.0), (0.0, 1.0)],
        "variance_or_std": [
            ((1 + w) ** 0.5, -(w**0.5)),
            ((1 + w) ** 2, -(w**2)),
            (1 + w**0.5, -(w**0.5)),
            (1 + w**2, -(w**2)),
        ],
    }


@check("Exercise 9.1: guide")
def check_guide(function: Callable[..., Any]) -> Report:
    """Check `guide(eps_c, eps_u, w)` [CFG eq. 6].

    ε̃ = (1 + w) ε(c) − w ε(∅)

    Args:
        function: takes two predictions of one shape, (B, *D) float, and w, a float.
            Returns the guided prediction, (B, *D).

    Returns:
        The report. It measures the factors of both predictions by least squares, for
        positive and negative w, for points and for pictures.
    """
    shapes = [(64, 2), (5, 1, 4, 4), (7, 3), (9,)]
    weights = (2.5, 0.3, 0.0, -1.0, -2.5, 7.0)
    for k, w in enumerate(weights):
        eps_c, eps_u = torch.randn(2, *shapes[k % len(shapes)])
        inputs = {"eps_c": eps_c, "eps_u": eps_u, "w": w}
        result = call(function, tuple(eps_c.shape), **inputs)
        judge_factors(*factors(result, eps_c, eps_u), w)
    return Report(
        measured=f"the right factors at w = {', '.join(f'{w:g}' for w in weights)}",
        expected="w = 0 conditional, w = −1 unconditional",
        hint="In the package this is the argument w of DDPM.predict_eps.",
    )


def _paper(eps_c: Any, eps_u: Any, scale: Any) -> Any:
    return (1 + scale) * eps_c - scale * eps_u


def _from_the_label(eps_c: Any, eps_u: Any, scale: Any) -> Any:
    return eps_c + scale * (eps_c - eps_u)


def _scale(eps_c: Any, eps_u: Any, scale: Any) -> Any:
    return eps_u + scale * (eps_c - eps_u)


def _sum_of_two(eps_c: Any, eps_u: Any, scale: Any) -> Any:
    return scale * eps_c + (1 - scale) * eps_u


@check("Exercise 9.2: which convention is it?")
def check_convert_scale(function: Callable[..., Any]) -> Report:
    """Check `convert_scale(library, w)`, the scale with which a library guides by w.

    w where it computes (1 + w) ε(c) − w ε(∅) [CFG eq. 6], and s = 1 + w where it
    computes ε(∅) + s (ε(c) − ε(∅))

    Args:
        function: takes library, a function (eps_c, eps_u, scale) of one of the two
            conventions, for floats or tensors; and w, a float. Returns a number.

    Returns:
        The report. It hands over four libraries, two of either convention, and looks at
        how they guide with the number that comes back.
    """
    conventions = {"w": (_paper, _from_the_label), "s": (_scale, _sum_of_two)}
    for w in (2.5, 4.0, 0.0, -1.0, -0.4, 1.0, 7.5):
        for k in (0, 1):
            both = [libraries[k] for libraries in conventions.values()]
            got = torch.tensor(
                [float(call(function, (), library=f, w=w)) for f in both],
                dtype=torch.float64,
            )
            right = torch.tensor([w, 1 + w])
            if z_score(got, right, 1e-4) <= 1:
                continue
            known = {
                "no_conversion": (w, w),
                "always_converts": (1 + w, 1 + w),
                "swapped": (1 + w, w),
                "wrong_sign": [
                    (w, w - 1),
                    (w - 1, w),
                    (w - 1, w - 1),
                    (w, 1 - w),
                    (w - 1, 1 + w),
                ],
            }
            mistake = name_mistake(got, known, 1e-4)
            guided = [f(1.0, 0.0, float(g)) - 1 for f, g in zip(both, got, strict=True)]
            measured = f"w = {w:g}: {got[0]:g} for a library in w, {got[1]:g} for one "
            measured += f"in s; they guide with w = {guided[0]:g} and {guided[1]:g}"
            expected = f"both guide with w = {w:g}"
            raise Wrong(mistake, measured, expected, _SCALE_HINTS[mistake or ""])
    return Report(
        measured="four libraries, two of either convention, guide as they should",
        expected="w for a library in w, 1 + w for one in s",
        hint="A scale of 7.5 in s, for example, is w = 6.5.",
    )
