"""The check of exercise 4.1, and what the others of notebook 04 need."""

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
from minddpm.schedule import Schedule

T = 20
TIMES = (8, 2, 14, T, 1)  # at 8 no two known mistakes look alike
_CHAINS = 25_000
_POINTS = 256

_HINTS = {
    "swapped": "Close to t = T, x_t knows little about x_0 but much about x_s: which "
    "factor must then be the larger one?",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Which of them "
    "leads from x_s to x_t, and which from x_0 to x_s?",
    "index_shift": "Two times occur, t and s = t−1. Go through every look-up in a "
    "table: does it take the right one? Entry 0 is no noise, so table[t] is time t.",
    "variance_or_std": "Some factor is a variance where a standard deviation belongs, "
    "or the other way round. Check each root.",
    "beta_for_posterior": "β_t is the variance of x_t given x_s. Here x_0 is known "
    "as well, and what is known twice is known better.",
    "no_denominator": "A weighted average has weights of sum 1. What do yours sum to?",
    "not_weighted": "The two witnesses are not equally reliable: weigh each with its "
    "precision, 1/variance.",
    "which_variance": "x_t / √α_t holds the noise of step t divided by √α_t, too. "
    "Which variance has that error?",
    "missing_scale": "What x_0 says about x_s is not x_0 itself: look at eq. 4.",
    "forgets_x0": "Your mean does not depend on x0 at all.",
    "forgets_x_t": "Your mean does not depend on x_t at all.",
    "wrong_sign": "Both witnesses count in the same direction.",
    "": "Write the formula down, then compare it with your code term by term.",
}


def tables() -> tuple[Tensor, Tensor]:
    """Return betas and alpha_bars, (T+1,) float32, of a schedule of large steps."""
    schedule = Schedule.linear(T, 0.02, 0.4)
    return schedule.betas, schedule.alpha_bars


def factors_of(result: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, float]:
    """Return the factors of two inputs in the result, and the largest rest."""
    parts = torch.stack([first.flatten(), second.flatten()], dim=1).double()
    factors = torch.linalg.lstsq(parts, result.flatten()).solution
    return factors, float((result.flatten() - parts @ factors).abs().max())


def _regression(t: int) -> tuple[Tensor, Tensor, float, float]:
    """Fit x_s to x_0 and x_t on simulated chains.

    Returns the factors of x_0 and x_t and the variance that is left, each with its
    standard error.
    """
    beta, alpha_bar = (table.double() for table in tables())
    x0, eps, z = torch.randn(3, _CHAINS, dtype=torch.float64)
    x_s = alpha_bar[t - 1].sqrt() * x0 + (1 - alpha_bar[t - 1]).sqrt() * eps
    x_t = (1 - beta[t]).sqrt() * x_s + beta[t].sqrt() * z
    design = torch.stack([x0, x_t], dim=1)
    factors = torch.linalg.lstsq(design, x_s).solution
    rest = (x_s - design @ factors).square()
    gram = torch.linalg.inv(design.T @ design)
    errors = (gram.diagonal() * rest.mean()).sqrt()
    return factors, errors, float(rest.mean()), float(rest.std()) / _CHAINS**0.5


def posterior_mistakes(t: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what known mistakes give for the two factors, and for the variance."""
    betas, alpha_bars = (table.double().tolist() for table in tables())
    s, b, ab = t - 1, betas[t], alpha_bars[t]
    a, ab_s, b_s, rest = 1 - b, alpha_bars[s], betas[s], 1 - ab
    right = (ab_s**0.5 * b / rest, a**0.5 * (1 - ab_s) / rest)
    later = min(t + 1, T)
    b_next, ab_next = betas[later], alpha_bars[later]
    ab_two = alpha_bars[max(s - 1, 0)]
    factors = {
        "swapped": [
            (right[1], right[0]),
            # the two precisions, each before the other witness
            (ab_s**0.5 * a * (1 - ab_s) / rest, b / a**0.5 / rest),
            (a**0.5 * b / rest, ab_s**0.5 * (1 - ab_s) / rest),
        ],
        "which_alpha": [
            (right[0], ab**0.5 * (1 - ab_s) / rest),
            (a**0.5 * b / rest, right[1]),
            (right[0], ab_s**0.5 * (1 - ab_s) / rest),
            (right[0], a**0.5 * (1 - a) / rest),
            ((1 - b_s) ** 0.5 * b / rest, right[1]),
            (a**0.5 * b / rest, ab**0.5 * (1 - ab_s) / rest),
        ],
        "index_shift": [
            (ab**0.5 * b / rest, right[1]),
            (right[0], a**0.5),  # 1−ᾱ_t for 1−ᾱ_s cancels
            (ab**0.5 * b / rest, a**0.5),
            (right[0], (1 - b_s) ** 0.5 * (1 - ab_s) / rest),
            (ab_s**0.5 * b_s / rest, right[1]),
            (ab_s**0.5 * b_s / rest, (1 - b_s) ** 0.5 * (1 - ab_s) / rest),
            (ab**0.5 * b_next / (1 - ab_next),
             (1 - b_next) ** 0.5 * rest / (1 - ab_next)),
            (ab_two**0.5 * b_s / max(1 - ab_s, 1e-9),
             (1 - b_s) ** 0.5 * (1 - ab_two) / max(1 - ab_s, 1e-9)),
            (ab_s**0.5 * b / max(1 - ab_s, 1e-9), a**0.5),
        ],
        "variance_or_std": [
            (ab_s * b / rest, right[1]),
            (right[0], a * (1 - ab_s) / rest),
            (ab_s * b / rest, a * (1 - ab_s) / rest),
            (ab_s**0.5 * b**0.5 / rest, right[1]),
            (right[0] * rest**0.5, right[1] * rest**0.5),
            (right[0], a**0.5 * ((1 - ab_s) / rest) ** 0.5),
            (right[0], a**0.5 * (1 - ab_s) ** 0.5 / rest),
            (ab_s**0.5 * b / rest**0.5, right[1]),
            (right[0], a**0.5 * (1 - ab_s) / rest**0.5),
        ],
        "no_denominator": [(right[0] * rest, right[1] * rest)],
        "not_weighted": [(ab_s**0.5 / 2, 1 / (2 * a**0.5)), (ab_s**0.5 / 2, 0.5)],
        "which_variance": [
            (ab_s**0.5 * b / (b + 1 - ab_s), (1 - ab_s) / a**0.5 / (b + 1 - ab_s)),
        ],
        "missing_scale": [(b / rest, right[1])],
        "forgets_x0": [(0, a**-0.5), (0, right[1]), (0, 1), (0, a**0.5)],
        "forgets_x_t": [(ab_s**0.5, 0), (right[0], 0), (ab**0.5, 0)],
        "wrong_sign": [(right[0], -right[1]), (-right[0], right[1])],
    }  # fmt: skip
    variance = b * (1 - ab_s) / rest
    variances = {
        "beta_for_posterior": [b],
        "variance_or_std": [
            variance**0.5,
            b * ((1 - ab_s) / rest) ** 0.5,
            b**0.5 * (1 - ab_s) / rest,
            variance**2,
            b**0.5,
        ],
        "index_shift": [
            b * rest / max(1 - ab_s, 1e-9),
            b_s * (1 - ab_s) / rest,
            b_next * rest / (1 - ab_next),
            b_s * (1 - ab_two) / max(1 - ab_s, 1e-9),
        ],
        "which_alpha": [b_s, b * ab_s / ab],
        "no_denominator": [b * (1 - ab_s)],
        "which_variance": [b * (1 - ab_s) / (b + 1 - ab_s)],
        "not_weighted": [(b / a + 1 - ab_s) / 4, (b / a + 1 - ab_s) / 2],
    }
    return factors, variances


@check("Exercise 4.1: the posterior of one step")
def check_q_posterior(function: Callable[..., Any]) -> Report:
    """Check `q_posterior(x0, x_t, t, betas, alpha_bars)` [DDPM eq. 6 and 7].

    μ̃ = √ᾱ_s β_t / (1−ᾱ_t) · x_0 + √α_t (1−ᾱ_s) / (1−ᾱ_t) · x_t
    β̃ = β_t (1−ᾱ_s) / (1−ᾱ_t),  s = t − 1

    Args:
        function: takes x0 and x_t, (B, 1) float; t, an int in 1…T; betas and
            alpha_bars, (T+1,) float with entry 0 for "no noise". Returns the mean,
            (B, 1), and the variance, one number (or one a sample, all equal).

    Returns:
        The report. It measures the factors of x0 and x_t, and the variance, and holds
        them against least squares on 25,000 simulated chains at five times.
    """
    beta, alpha_bar = tables()
    worst = 0.0
    for t in TIMES:
        x0, x_t = torch.randn(2, _POINTS, 1)
        inputs = {"x0": x0, "x_t": x_t, "t": t, "betas": beta, "alpha_bars": alpha_bar}
        mean, variance = call(function, [(_POINTS, 1), None], **inputs)
        if variance.numel() not in (1, _POINTS) or variance.max() != variance.min():
            measured = f"a tensor of shape {tuple(variance.shape)}"
            expected = "one number, the same for every sample"
            raise Wrong("wrong_shape", measured, expected, "β̃ depends on t alone.")
        got, rest = factors_of(mean, x0, x_t)
        var = float(variance.max())
        if t == 1:
            fitted, errors, left, error = torch.eye(2)[0], torch.ones(2), 0.0, 1.0
        else:
            fitted, errors, left, error = _regression(t)
        apart = max(z_score(got, fitted, errors), z_score(var, left, error))
        a, b = 1 - float(beta[t]), float(beta[t])
        before, now = float(1 - alpha_bar[t - 1]), float(1 - alpha_bar[t])
        right = torch.tensor([(1 - before) ** 0.5 * b, a**0.5 * before]).double() / now
        factors, variances = posterior_mistakes(t)
        mistake: str | None = ""
        if rest > 1e-4:
            mistake = None
        elif z_score(got, right, 1.0) > 1e-4:
            mistake = name_mistake(got, factors, 3e-4)
        elif z_score(var, b * before / now, 1.0) > 1e-4:
            mistake = name_mistake(var, variances, 3e-4)
        if mistake != "":
            measured = f"t = {t}: {_sum(got)}, variance {var:.4f}"
            if rest > 1e-4:
                measured = f"t = {t}: a mean that is no weighted sum of x0 and x_t"
            raise Wrong(
                mistake,
                measured,
                f"t = {t}: {_sum(fitted)}, variance {left:.4f}, by least squares "
                "on simulated chains" + (" (x_s is x_0)" if t == 1 else ""),
                _HINTS[mistake or ""],
                apart if t > 1 and apart > 5 else None,
            )
        if t > 1:
            worst = max(worst, apart)
    return Report(
        measured=f"factors and variance at t = {', '.join(map(str, sorted(TIMES)))}",
        expected=f"those fitted to {_CHAINS:,} simulated chains at each",
        standard_errors=worst,
        hint="At t = 1 the mean is x_0 and the variance 0: x_s is x_0 itself.",
    )


def _sum(factors: Tensor) -> str:
    return f"{factors[0]:.4f}·x0 {factors[1]:+.4f}·x_t"
