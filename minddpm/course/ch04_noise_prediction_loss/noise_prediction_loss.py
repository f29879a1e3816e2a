"""The checks of exercises 4.3 and 4.4 in notebook 04."""

import math
from collections.abc import Callable
from typing import Any

import torch

from minddpm.course.ch04_noise_prediction_loss.posterior import (
    TIMES,
    T,
    factors_of,
    tables,
)
from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_MEAN_HINTS = {
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Which of them "
    "shrinks x_s to x_t, and which stands in the noise of x_t?",
    "index_shift": "After collecting, only the time t is left. Entry 0 of a table is "
    "no noise, so table[t] is time t.",
    "variance_or_std": "Some factor is a variance where a standard deviation belongs, "
    "or the other way round. Check each root.",
    "missing_scale": "x_t itself is not of x_s's size: eq. 2 has shrunk it.",
    "upside_down": "Eq. 2 shrinks x_s on the way to x_t. Does your mean undo that, or "
    "shrink once more? Check every factor: should it multiply or divide?",
    "no_denominator": "ε has variance 1, but x_t holds it with the factor √(1−ᾱ_t). "
    "Where has that factor gone?",
    "one_step_noise": "ε is all of the noise in x_t, not what the last step added; it "
    "enters x_t with the factor √(1−ᾱ_t).",
    "wrong_sign": "The noise is taken away.",
    "wrong_target": "This takes away all of the noise, as x̂_0 does. The mean asked for "
    "is that of x_s, one step back.",
    "": "Write the formula down, then compare it with your code term by term.",
}
_WEIGHT_HINTS = {
    "missing_half": "Which factor stands before the squared difference in eq. 8?",
    "variance_or_std": "The difference of the means is squared, and everything in it: "
    "check the powers of β_t, α_t, 1−ᾱ_t and σ_t.",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Look both up in "
    "eq. 11.",
    "missing_scale": "In eq. 11 the whole bracket is divided by √α_t.",
    "no_denominator": "One factor is missing below the line: look at eqs. 8 and 11.",
    "index_shift": "In eq. 11 every table is at time t. Entry 0 is no noise, so "
    "table[t] is time t.",
    "upside_down": "A large σ_t forgives a wrong mean: does your weight fall with it?",
    "wrong_target": "That is the weight of the squared difference of the means. How "
    "large is the difference of the means for a given difference of the noises?",
    "not_weighted_at_all": "That is L_simple's weight. Here you are asked for the "
    "bound's.",
    "": "Write the formula down, then compare it with your code term by term.",
}


def mean_mistakes(
    t: int, table_b: torch.Tensor, table_ab: torch.Tensor
) -> dict[str, Any]:
    """Return what known mistakes give for the factors of x_t and eps_hat."""
    betas, alpha_bars = table_b.double().tolist(), table_ab.double().tolist()
    b, ab, b_s, ab_s = betas[t], alpha_bars[t], betas[t - 1], alpha_bars[t - 1]
    a, a_s = 1 - b, 1 - b_s
    rest, rest_s = 1 - ab, max(1 - ab_s, 1e-9)
    later = min(t + 1, len(betas) - 1)
    b_n, ab_n = betas[later], alpha_bars[later]

    def pair(a: float, b: float, rest: float) -> tuple[float, float]:
        return a**-0.5, -b / (a * rest) ** 0.5

    return {
        "which_alpha": [
            pair(ab, b, rest),
            pair(a, rest, rest),
            (ab**-0.5, -b / (a * rest) ** 0.5),
            (a**-0.5, -b / (ab * rest) ** 0.5),
        ],
        "variance_or_std": [
            pair(a, b**0.5, rest),
            (1 / a, -b / (a * rest**0.5)),
            (a**-0.5, -b / (a**0.5 * rest)),
            (a**-0.5, -b / (a * rest**0.5)),
            (1 / a, -b / (a * rest) ** 0.5),
        ],
        "missing_scale": [(1.0, -b / rest**0.5), (1.0, -b / (a * rest) ** 0.5)],
        "upside_down": [
            (a**0.5, -(a**0.5) * b / rest**0.5),
            (a**-0.5, -(rest**0.5) * b / a**0.5),
        ],
        "no_denominator": [(a**-0.5, -b / a**0.5), (1.0, -b)],
        "one_step_noise": [
            (a**-0.5, -(b**0.5) / a**0.5),
            (1.0, -(b**0.5)),
            (a**-0.5, -(b**0.5)),
        ],
        "index_shift": [
            pair(a, b, rest_s),
            pair(a_s, b, rest),
            pair(a, b_s, rest),
            pair(a_s, b_s, rest_s),
            pair(a_s, b_s, rest),
            pair(1 - b_n, b_n, 1 - ab_n),
            pair(a, b, 1 - ab_n),
        ],
        "wrong_sign": [
            (a**-0.5, b / (a * rest) ** 0.5),
            (-(a**-0.5), b / (a * rest) ** 0.5),
        ],
        "wrong_target": [
            (ab**-0.5, -((rest / ab) ** 0.5)),
            (1.0, -(rest**0.5)),
            # x̂_0 noised again to time s with the same ε
            ((ab_s / ab) ** 0.5, (1 - ab_s) ** 0.5 - (ab_s * rest / ab) ** 0.5),
        ],
    }


@check("Exercise 4.3: the mean of a reverse step, from the noise")
def check_mean_from_eps(function: Callable[..., Any]) -> Report:
    """Check `mean_from_eps(x_t, eps_hat, t, betas, alpha_bars)` [DDPM eq. 11].

    μ = (x_t − β_t / √(1−ᾱ_t) · ε̂) / √α_t

    Args:
        function: takes x_t and eps_hat, (B, 1) float; t, an int in 1…T; betas and
            alpha_bars, (T+1,) float with entry 0 for "no noise". Returns (B, 1).

    Returns:
        The report. It measures the factors of x_t and eps_hat by least squares, and
        checks that with the true noise the means lie at √ᾱ_s x_0 on average.
    """
    beta, alpha_bar = tables()
    worst = 0.0
    for t in TIMES:
        x0, eps = torch.ones(4096, 1), torch.randn(4096, 1)
        x_t = alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * eps
        inputs = {
            "x_t": x_t,
            "eps_hat": eps,
            "t": t,
            "betas": beta,
            "alpha_bars": alpha_bar,
        }
        mean = call(function, (4096, 1), **inputs)
        got, rest = factors_of(mean, x_t, eps)
        one_minus = 1 - alpha_bar[t].double()
        alpha = 1 - beta[t].double()
        right = torch.stack(
            [alpha.rsqrt(), -beta[t].double() / (alpha * one_minus).sqrt()]
        )
        centre = float(alpha_bar[t - 1].sqrt())
        # around √ᾱ_s x_0 the right means scatter by √α_t (1−ᾱ_s) / √(1−ᾱ_t)
        spread = float(alpha.sqrt() * (1 - alpha_bar[t - 1]) / one_minus.sqrt())
        error = max(spread / math.sqrt(4096), 1e-6)
        apart = z_score(mean.mean(), centre, error)
        if rest > 1e-3 or z_score(got, right, 1.0) > 2e-4:
            mistake = (
                None
                if rest > 1e-3
                else name_mistake(got, mean_mistakes(t, beta, alpha_bar), 5e-4)
            )
            measured = f"t = {t}: {got[0]:.4f}·x_t {got[1]:+.4f}·eps_hat"
            if rest > 1e-3:
                measured = f"t = {t}: no weighted sum of x_t and eps_hat"
            raise Wrong(
                mistake,
                f"{measured}; for x_0 = 1, on average {mean.mean():.4f}",
                f"t = {t}: {right[0]:.4f}·x_t {right[1]:+.4f}·eps_hat; for x_0 = 1, on "
                f"average √ᾱ_s = {centre:.4f}",
                _MEAN_HINTS[mistake or ""],
                apart if apart > 5 and t > 1 else None,
            )
        worst = max(worst, apart if t > 1 else 0.0)
    return Report(
        measured=f"the right factors at t = {', '.join(map(str, sorted(TIMES)))}",
        expected="means that lie at √ᾱ_s x_0 on average, if the noise is the true one",
        standard_errors=worst,
        hint="This line is most of Algorithm 2, which you meet in notebook 07.",
    )


def _weight_mistakes(t: int, sigma: float) -> dict[str, Any]:
    """Return what known mistakes give for the weight of step t."""
    betas, alpha_bars = (table.double().tolist() for table in tables())
    b, ab, b_s, ab_s = betas[t], alpha_bars[t], betas[t - 1], alpha_bars[t - 1]
    a, rest, rest_s = 1 - b, 1 - ab, max(1 - ab_s, 1e-9)
    right = b**2 / (2 * sigma**2 * a * rest)
    later = min(t + 1, T)
    b_n, rest_n = betas[later], 1 - alpha_bars[later]
    return {
        "missing_half": [2 * right, right / 2, 2 * right * rest],
        "variance_or_std": [
            right * sigma,
            right / b,
            right * rest**0.5,
            right * a**0.5,
            right * (a * rest) ** 0.5,
            right * a**0.5 * rest**0.5 / b,
            (2 * right) ** 0.5,
            (2 * right) ** 0.5 / 2,
            b / (2 * sigma * (a * rest) ** 0.5),
            b / (2 * sigma**2 * (a * rest) ** 0.5),
            right / sigma**2,
            right / a,
        ],
        "which_alpha": [
            right * a / ab,
            b**2 / (2 * sigma**2 * a * b),
            right * rest / b,
            rest**2 / (2 * sigma**2 * a * rest),
        ],
        "missing_scale": [right * a],
        "no_denominator": [right * rest, right * a * rest, right * sigma**2],
        "index_shift": [
            b**2 / (2 * sigma**2 * a * rest_s),
            b_s**2 / (2 * sigma**2 * a * rest),
            b_s**2 / (2 * sigma**2 * (1 - b_s) * rest_s),
            b**2 / (2 * sigma**2 * (1 - b_s) * rest),
            b_n**2 / (2 * sigma**2 * (1 - b_n) * rest_n),
            b**2 / (2 * sigma**2 * a * rest_n),
        ],
        "upside_down": [
            1 / right,
            right * sigma**4,
            1 / (2 * right),
            b**2 / 2 * sigma**2 * a * rest,
        ],
        "wrong_target": [1 / (2 * sigma**2)],
        "not_weighted_at_all": [1.0, 1 / T],
    }


@check("Exercise 4.4: the weight that the bound gives to step t")
def check_weight(function: Callable[..., Any]) -> Report:
    """Check `weight(t, sigma_t, betas, alpha_bars)`, the factor in [DDPM eq. 12].

    β_t² / (2 σ_t² α_t (1−ᾱ_t))

    Args:
        function: takes t, an int in 1…T; sigma_t, a float; betas and alpha_bars,
            (T+1,) float with entry 0 for "no noise". Returns a number.

    Returns:
        The report. It compares weight · (ε − ε̂)² with (μ̃ − μ)² / (2σ_t²) of [DDPM eq.
        8], for pairs ε, ε̂ and with the means of [DDPM eq. 7 and 11].
    """
    beta, alpha_bar = tables()
    for t, sigma in zip(TIMES, (0.37, 0.2, 0.6, 0.5, 0.3), strict=True):
        inputs = {"sigma_t": sigma, "betas": beta, "alpha_bars": alpha_bar}
        got = float(call(function, (), t=t, **inputs))
        b, now = beta[t].double(), alpha_bar[t].double()
        before, alpha = alpha_bar[t - 1].double(), 1 - beta[t].double()
        x0, eps, eps_hat = torch.randn(3, 100, dtype=torch.float64)
        x_t = now.sqrt() * x0 + (1 - now).sqrt() * eps
        aim = (before.sqrt() * b * x0 + alpha.sqrt() * (1 - before) * x_t) / (1 - now)
        mean = (x_t - b / (1 - now).sqrt() * eps_hat) / alpha.sqrt()
        kl = (aim - mean).square() / (2 * sigma**2)
        right = float(kl.sum() / (eps - eps_hat).square().sum())
        if z_score(got, right, right) > 1e-4:
            mistake = name_mistake(got, _weight_mistakes(t, sigma), 3e-4 * right)
            raise Wrong(
                mistake,
                f"t = {t}, σ_t = {sigma}: {got:.5g}",
                f"t = {t}, σ_t = {sigma}: (μ̃ − μ)² / (2σ_t²) is {right:.5g} times "
                "(ε − ε̂)², for all pairs of ε and ε̂",
                _WEIGHT_HINTS[mistake or ""],
            )
    return Report(
        measured=f"the right weight at t = {', '.join(map(str, sorted(TIMES)))}",
        expected="(μ̃ − μ)² / (2σ_t²) divided by (ε − ε̂)²",
        hint="L_simple puts 1 in its place.",
    )
