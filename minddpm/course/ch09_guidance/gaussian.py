"""The check of exercise 9.3 in notebook 09."""

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

_HINTS = {
    "variance_or_std": "A Gaussian has its variance under the square, and you are "
    "asked for a variance: check each root and each square.",
    "wrong_sign": "The population's density stands below the line: its power is −w. "
    "What is then the sign of its x² and x?",
    "not_weighted": "Logarithms of densities are added, not means and variances. A "
    "narrow Gaussian pulls harder than a wide one.",
    "no_population": "Your answer does not depend on the population.",
    "no_w": "Your answer does not depend on w as it should.",
    "upside_down": "The factor of −x²/2 is one over the variance.",
    "scale_convention": "The powers are 1 + w and −w.",
    "swapped": "The class has the power 1 + w, the population −w.",
    "not_normalised": "The factor of x is the mean divided by the variance. How do you "
    "get the mean from it?",
    "wrong_order": "First the mean, then the variance.",
    "": "Write down the factors of x² and of x, then compare: a Gaussian has −1/(2v) "
    "and m/v.",
}
_WEIGHTS = (2.0, 0.7, 6.0, 0.0, -1.0, -0.4)


def _product(p_c: Any, p: Any, mean_c: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance for these shares of the precision."""
    return (p_c * mean_c + p * mean) / (p_c + p), 1 / (p_c + p)


def _mistakes(given: tuple[Tensor, ...], w: float) -> dict[str, list[Any]]:
    """Return mean and variance, (2, K), as known mistakes give them."""
    mean_c, var_c, mean, var = (value.double() for value in given)
    means = mean_c, mean
    p_c, p = (1 + w) / var_c, w / var
    m, v = _product(p_c, -p, *means)
    std_c, std = var_c.sqrt(), var.sqrt()
    plus = _product(p_c, p, *means)
    known = {
        "variance_or_std": [
            (m, v.sqrt()),
            (m, v**2),
            _product((1 + w) / std_c, -w / std, *means),
            _product((1 + w) / var_c**2, -w / var**2, *means),
            (_product((1 + w) / std_c, -w / std, *means)[0], v),
        ],
        "wrong_sign": [
            plus,
            (m, plus[1]),
            (plus[0], v),
            (v * (p_c * mean_c + p * mean), v),
            (plus[1] * (p_c * mean_c - p * mean), plus[1]),
            (-m, v),
            _product((1 - w) / var_c, p, *means),
        ],
        "not_weighted": [
            ((1 + w) * mean_c - w * mean, (1 + w) * var_c - w * var),
            ((1 + w) * mean_c - w * mean, v),
            ((1 + w) * mean_c - w * mean, var_c),
            (m, (1 + w) * var_c - w * var),
            ((1 + w) * mean_c - w * mean, (1 + w) ** 2 * var_c + w**2 * var),
            ((1 + w) * mean_c - w * mean, ((1 + w) * std_c - w * std) ** 2),
        ],
        "no_population": [
            (mean_c, var_c / (1 + w) if w > -1 else var_c),
            (mean_c, v),
            (m, var_c / (1 + w) if w > -1 else var_c),
        ],
        "no_w": [(mean_c, var_c), (m, var_c), _product(1 / var_c, -1 / var, *means)],
        "upside_down": [
            (m, 1 / v),
            (p_c * mean_c - p * mean, 1 / v),
            ((p_c * mean_c - p * mean) / v, v),
            ((p_c * mean_c - p * mean) / v, 1 / v),
            _product((1 + w) * var_c, -w * var, *means),
        ],
        "scale_convention": [_product(w / var_c, (1 - w) / var, *means)],
        "swapped": [
            _product(-w / var_c, (1 + w) / var, *means),
            _product((1 + w) / var, -w / var_c, *means),
        ],
        "not_normalised": [
            (p_c * mean_c - p * mean, v),
            (m / (1 + w) if w > -1 else m, v),
        ],
        "wrong_order": [(v, m)],
    }
    stacked = {k: [torch.stack(pair) for pair in pairs] for k, pairs in known.items()}
    return {k: [p for p in v if p.isfinite().all()] for k, v in stacked.items()}


@check("Exercise 9.3: the product of two Gaussians")
def check_guided_gaussian(function: Callable[..., Any]) -> Report:
    """Check `guided_gaussian(mean_c, var_c, mean, var, w)`.

    1/v' = (1 + w)/v_c − w/v and m'/v' = (1 + w) m_c/v_c − w m/v, the mean m' and the
    variance v' of p(x|c)^(1+w) p(x)^(−w), normalised

    Args:
        function: takes mean and variance of the class, then of the population, (K,)
            float each, and w, a float. Returns a mean and a variance, (K,) each.

    Returns:
        The report. At the first w it also integrates the product on a grid.
    """
    given = (
        torch.tensor([-1.0, 0.5, 2.0, -0.3]),
        torch.tensor([0.25, 0.8, 0.1, 1.5]),
        torch.tensor([0.2, -0.4, 0.5, 0.6]),
        torch.tensor([0.9, 1.1, 2.0, 1.9]),
    )
    names = ("mean_c", "var_c", "mean", "var")
    for w in _WEIGHTS:
        inputs = dict(zip(names, given, strict=True))
        got = torch.stack(call(function, [(4,), (4,)], **inputs, w=w))
        right = torch.stack(_by_quadrature(given, w))
        if z_score(got, right, 1e-4 * right.abs().clamp(min=1)) > 1:
            known = _mistakes(given, w)
            mistake = name_mistake(got, known, 1e-4 * float(right.abs().max()))
            facts = " and ".join(
                f"{name} {float(value[0]):g}"
                for name, value in zip(names, given, strict=True)
            )
            measured = f"w = {w:g}: mean {got[0, 0]:.4f}, variance {got[1, 0]:.4f}"
            expected = f"mean {right[0, 0]:.4f}, variance {right[1, 0]:.4f}, by adding "
            expected += f"up the product of the densities on a grid, for {facts}"
            raise Wrong(mistake, measured, expected, _HINTS[mistake or ""])
    return Report(
        measured=f"the right moments at w = {', '.join(f'{w:g}' for w in _WEIGHTS)}",
        expected="those of the product of the densities, added up on a grid",
        hint="w = 0 gives the class, w = −1 the population.",
    )


def _by_quadrature(given: tuple[Tensor, ...], w: float) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the product, (K,) each, from sums over a grid."""
    mean_c, var_c, mean, var = (value.double() for value in given)
    x = torch.linspace(-30, 30, 12_001, dtype=torch.float64)[:, None]
    log_p = w * (x - mean) ** 2 / var - (1 + w) * (x - mean_c) ** 2 / var_c
    p = (log_p / 2).softmax(dim=0)
    m = (p * x).sum(0)
    return m, (p * (x - m) ** 2).sum(0)
