"""The check of the loss floor in notebook 03."""

from collections.abc import Callable
from typing import Any

import torch

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_FLOOR_HINTS = {
    "variance_or_std": "Variances: s² of x_0, 1−ᾱ of the noise in x_t, and no root.",
    "which_alpha": "Var(√ᾱ · x_0) holds the square of the factor.",
    "explained_part": "That part of the noise is known from x_t; what is left?",
    "wrong_target": "That is what is left of x_0. The loss is about ε.",
    "not_squared": "The covariance appears squared, divided by Var(x_t).",
    "swapped": "Cov(ε, x_t) has the factor of ε in eq. 4, not that of x_0.",
    "unscaled_data": "x_t holds √ᾱ · x_0: where is ᾱ in its variance?",
    "noise_not_scaled": "x_t holds √(1−ᾱ) · ε: where is that factor in Cov and Var?",
    "wrong_noise": "ε itself has variance 1; its factor √(1−ᾱ) belongs to x_t.",
    "no_noise": "Var(x_t) is a sum: of the data's part and of the noise's.",
    "unit_variance": "Var(x_t) is 1 only for data of variance 1: where is s?",
    "not_normalised": "That is signal over noise. Var(x_t), below the line, has both.",
    "": "Write down Cov(ε, x_t) and Var(x_t) first, from eq. 4.",
}


def _known_floors(a: float, s: float) -> dict[str, Any]:
    """Return what known mistakes give for one pair of ᾱ and s."""
    n, total = 1 - a, a * s**2 + 1 - a
    return {
        "variance_or_std": [
            a * s / (a * s + n),
            (a * s**2 / total) ** 0.5,
            a**0.5 * s / (a**0.5 * s + n**0.5),
            1 - n / total**0.5,
            1 - n / (a * s**2 + n**0.5),
            1 - n**2 / total,
            1 - n / (a**0.5 * s + n**0.5) ** 2,
            a * s**2 / (a * s**2 + n**0.5),
        ],
        "which_alpha": [
            a**0.5 * s**2 / (a**0.5 * s**2 + n),
            a**2 * s**2 / (a**2 * s**2 + n),
            1 - n / (a**0.5 * s**2 + n),
        ],
        "explained_part": n / total,
        "wrong_target": [s**2 * n / total, (s**2 * n / total) ** 0.5, s**2],
        "not_squared": [1 - n**0.5 / total, 1 - n**0.5 / total**0.5],
        "swapped": [1 - a / total, n * s**2 / (n * s**2 + a), a / total],
        "unscaled_data": [s**2 / (s**2 + n), 1 - n / (s**2 + n)],
        "noise_not_scaled": [
            1 - 1 / total,
            1 - n / (a * s**2 + 1),
            1 - 1 / (a * s**2 + 1),
            1 - n / (s**2 + 1),
        ],
        "wrong_noise": [n - n / total, n - n**2 / total],
        "no_noise": [1 - n / s**2, 1 - n / (a * s**2)],
        "unit_variance": a,
        "not_normalised": a * s**2 / n,
    }


@check("Exercise 3.3: the floor of one Gaussian")
def check_gaussian_floor(function: Callable[..., Any]) -> Report:
    """Check `gaussian_floor(alpha_bar_t, s)`, the least loss for data N(m, s²).

    Var(ε) − Cov(ε, x_t)² / Var(x_t) = ᾱ_t s² / (ᾱ_t s² + 1−ᾱ_t)

    Args:
        function: takes ᾱ_t, a float in (0, 1), and s > 0, a float; returns a number.

    Returns:
        The report. It compares with the formula, and with the squared error that the
        best straight line leaves in a simulation.
    """
    for a, s in ((0.36, 0.7), (0.9, 0.2), (0.1, 3.0), (0.99, 1.0)):
        measured = float(call(function, (), alpha_bar_t=a, s=s))
        right = a * s**2 / (a * s**2 + 1 - a)
        if abs(measured - right) > 1e-5:
            known = name_mistake(measured, _known_floors(a, s), tolerance=1e-5)
            mean, error = _simulated_floor(a, s)
            raise Wrong(
                known,
                f"ᾱ_t = {a:g}, s = {s:g}: {measured:.4f}",
                f"a simulation leaves {mean:.4f} ± {error:.4f}",
                _FLOOR_HINTS[known or ""],
                apart if (apart := z_score(measured, mean, error)) > 5 else None,
            )
    mean, error = _simulated_floor(a, s)
    return Report(
        measured=f"{measured:.4f} at ᾱ_t = {a:g}, s = {s:g}",
        expected=f"a simulation leaves {mean:.4f} ± {error:.4f}",
        standard_errors=z_score(measured, mean, error),
        hint="Near t = 1 it is close to 1: such little noise hides among the data.",
    )


def _simulated_floor(a: float, s: float, n: int = 20_000) -> tuple[float, float]:
    """Return the squared error of the best line from x_t to ε, and its std error."""
    x0, eps = torch.randn(2, n, dtype=torch.float64)
    x_t = a**0.5 * s * x0 + (1 - a) ** 0.5 * eps
    slope = (x_t @ eps) / (x_t @ x_t)
    error = (eps - slope * x_t).square()
    return float(error.mean()), float(error.std()) / n**0.5
