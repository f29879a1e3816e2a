"""Exercise 9.1: the guided prediction."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Exercise, Mistake, mistakes
from minddpm.course.kit.report import regress


def guide(eps_c: Tensor, eps_u: Tensor, w: float) -> Tensor:
    """ε̃ = (1 + w) ε(c) − w ε(∅) [CFG eq. 6].

    Args:
        eps_c: prediction with the label, (B, *D) float.
        eps_u: prediction without a label, of the same shape.
        w: guidance weight, a float; any sign.

    Returns:
        The guided prediction, (B, *D).
    """
    return (1 + w) * eps_c.double() - w * eps_u.double()


def _predictions() -> Iterator[dict[str, Any]]:
    shapes = ((64, 2), (5, 1, 4, 4), (7, 3), (9,))
    # positive weights first: roots of the others raise
    for k, w in enumerate((2.6, 0.35, 7.2, 0.0, -1.0, -0.45, -2.3)):
        shape = shapes[k % 4]
        size = torch.logspace(-2, 0.5, shape[0]).view(-1, *[1] * (len(shape) - 1))
        eps_c, eps_u = torch.randn(2, *shape)
        eps_c, eps_u = size * (1.3 * eps_c + 0.4), size * (0.6 * eps_u - 0.3)
        yield {"eps_c": eps_c, "eps_u": eps_u, "w": w}


def _fit(result: Tensor, eps_c: Tensor, eps_u: Tensor) -> tuple[float, float, float]:
    """Return both factors, and the largest share of an entry that they leave out."""
    if result.shape != eps_c.shape:
        return math.nan, math.nan, math.nan
    (a, b), _, rest = regress(result, eps_c, eps_u)
    size = ((a * eps_c).abs() + (b * eps_u).abs()).flatten()
    return float(a), float(b), float((rest.abs() / size.clamp(min=1e-9)).max())


def _is_no_sum(
    got: Tensor, right: Tensor, eps_c: Tensor, eps_u: Tensor, w: Any
) -> bool:
    return _fit(got, eps_c, eps_u)[2] > 0.05  # half precision leaves out up to 0.02


def _is_other(got: Tensor, right: Tensor, eps_c: Tensor, eps_u: Tensor, w: Any) -> bool:
    a, b, rest = _fit(got, eps_c, eps_u)
    return rest < 1e-3 and abs(a + b - 1) > 0.02


def _wrong_sums(eps_c: Tensor, eps_u: Tensor, w: float) -> dict[str, list[Tensor]]:
    """Return what wrong factors of the two predictions give."""
    average = 1 / (1 + w or 1), w / (1 + w or 1)
    powers = [(abs(w) ** k, abs(1 + w) ** k) for k in (0.5, 2)]
    factors: dict[str, list[tuple[float, ...]]] = {
        "wrong_sign": [(1 + w, w), (1 - w, w), (-1 - w, w)],
        "scale_convention": [(w, 1 - w)],
        "swapped": [(-w, 1 + w), (1 + w, -w) if w else (0, 1)],
        "averaged": [(0.5, 0.5), average, average[::-1]],
        "not_guided": [(1, 0), (0, 1)],
        "variance_or_std": [p for v, s in powers for p in ((s, -v), (1 + v, -v))],
        "negative_w": [(1 + v, -v) for v in (max(w, 0), abs(w))],
    }
    return {k: [a * eps_c + b * eps_u for a, b in v] for k, v in factors.items()}


_HINTS = {
    "wrong_sign": "A positive w goes from eps_u to eps_c, and on. Which is subtracted?",
    "scale_convention": "In that convention 1 is conditional; here w = 0 is.",
    "swapped": "At w = 0 the label must count fully. Which prediction knows it?",
    "averaged": "An average lies between the two. Guidance goes beyond eps_c.",
    "not_guided": "One of the two predictions has no influence here.",
    "variance_or_std": "There is no root and no square in [CFG eq. 6].",
    "negative_w": "w may be negative: −1 is the unconditional answer.",
}

GUIDE = Exercise(
    "Exercise 9.1: guide",
    guide,
    _predictions,
    [
        *mistakes(_HINTS, _wrong_sums),
        Mistake(
            "not_normalised",
            "Equal predictions should stay as they are: what do the factors add up to?",
            [lambda eps_c, eps_u, w: w * (eps_c - eps_u)],
            _is_other,
        ),
        Mistake(
            "not_linear",
            "It is a weighted sum, the same for every entry. Did you clamp or rescale?",
            [
                lambda eps_c, eps_u, w: guide(eps_c, eps_u, w).clamp(-1, 1),
                lambda eps_c, eps_u, w: (1 + w) * eps_c * eps_u,
            ],
            _is_no_sum,
        ),
    ],
    show=lambda result, eps_c, eps_u, w: _show_sum(w, *_fit(result, eps_c, eps_u)),
    hint="Put w = 0 and w = −1 into the formula, and into your code.",
    praise="In the package this is the argument w of DDPM.predict_eps.",
)


def _show_sum(w: float, a: float, b: float, rest: float) -> str:
    said = f"{round(a, 6) + 0:.4g}·eps_c {round(b, 6) + 0:+.4g}·eps_u"
    return f"w = {w:g}: {said if rest < 0.05 else 'no sum of the two predictions'}"
