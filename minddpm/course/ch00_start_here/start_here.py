"""Checks of the exercises in notebook 00."""

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

_HINTS = {
    "variance_or_std": "A factor f multiplies the variance by f². Which f leaves a?",
    "swapped": "The larger a, the more of x0: which factor belongs to it?",
    "no_noise": "Only x0 is left in your result. Where does eps come in?",
    "no_signal": "Only eps is left in your result. Where does x0 come in?",
    "no_weight": "Both x0 and eps need a factor, or the variance grows.",
    "wrong_sign": "The two parts are added.",
    "which_noise": "Use the noise that you are given, eps, and draw none of your own.",
    "": "Write down which factor x0 has, which eps has, and square them.",
}


def _known(a: float) -> dict[str, list[tuple[float, float]]]:
    """Return the factors of x0 and eps that known mistakes give."""
    signal, noise = a**0.5, (1 - a) ** 0.5
    return {
        "variance_or_std": [
            (a, 1 - a),
            (signal, 1 - a),
            (a, noise),
            (signal, 1 - signal),
            (a, (1 - a**2) ** 0.5),
            (a**2, (1 - a) ** 2),
        ],
        "swapped": [(noise, signal), (1 - a, a)],
        "no_noise": [(signal, 0), (a, 0), (1, 0)],
        "no_signal": [(0, noise), (0, 1 - a), (0, 1)],
        "no_weight": [(1, 1), (signal, 1), (1, noise), (a, 1), (1, 1 - a)],
        "wrong_sign": [(signal, -noise), (-signal, noise)],
    }


@check("Exercise 0.1: mix signal and noise")
def check_signal_and_noise(function: Callable[..., Any]) -> Report:
    """Check `mix(x0, eps, a)`, which keeps the share a of x0's variance.

    √a · x0 + √(1−a) · eps

    Args:
        function: takes x0 and eps, (B, D) float tensors, and a, a float in [0, 1];
            returns the mixture, (B, D).

    Returns:
        The report. It measures the factors of x0 and eps by least squares, and the
        variance of the mixture.
    """
    for a in (0.36, 0.0, 1.0, 0.64):  # at 0.36 no two known mistakes look alike
        x0, eps = torch.randn(2, 4096, 2)
        mixture = call(function, (4096, 2), x0=x0, eps=eps, a=a).flatten()
        parts = torch.stack([x0.flatten(), eps.flatten()], dim=1).double()
        factors = torch.linalg.lstsq(parts, mixture).solution
        rest = (mixture - parts @ factors).std()
        right = torch.tensor([a**0.5, (1 - a) ** 0.5]).double()
        variance, error = mixture.var(), (2 / len(mixture)) ** 0.5
        apart = z_score(variance, 1.0, error)
        if rest > 1e-4:
            measured = f"a = {a:g}: no weighted sum of x0 and eps"
            # noise from elsewhere: nothing of eps is left in the result
            mistake = "which_noise" if abs(factors[1]) < 5 * error else None
        elif z_score(factors, right, 1e-4) > 1:
            measured = f"a = {a:g}: {_sum(factors)}, variance {variance:.3f}"
            mistake = name_mistake(factors, _known(a), tolerance=1e-3)
        else:
            continue
        expected = f"a = {a:g}: {_sum(right)}, variance 1"
        raise Wrong(
            mistake,
            measured,
            expected,
            _HINTS[mistake or ""],
            apart if apart > 5 else None,  # else it is not the variance that is wrong
        )
    return Report(
        measured=f"variance {variance:.3f} at a = {a:g}",
        expected="variance 1 at every a",
        standard_errors=apart,
        hint="This is the whole forward process; there, one step has a = 1−β_t.",
    )


def _sum(factors: torch.Tensor) -> str:
    return f"{factors[0]:.3f}·x0 {factors[1]:+.3f}·eps"
