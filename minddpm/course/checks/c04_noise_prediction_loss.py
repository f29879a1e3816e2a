"""Checks of the exercises in notebook 04."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from minddpm import Schedule
from minddpm.course.checks.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_T = 20
_TIMES = (8, 2, 14, _T, 1)  # at 8 no two known mistakes look alike
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
    "forgets_x0": "Your mean does not depend on x0 at all.",
    "forgets_x_t": "Your mean does not depend on x_t at all.",
    "wrong_sign": "Check the signs.",
    "missing_half": "Every term of a Gaussian's log density carries a factor ½.",
    "missing_minus_one": "What is the divergence of a Gaussian from itself?",
    "reversed_kl": "The average is over the first Gaussian, f: E_f[log f − log g].",
    "missing_log": "Two Gaussians of one mean and different widths differ, too.",
    "log_sign": "The narrower a Gaussian, the larger the log of its density: what "
    "does E_f[log f − log g] say about var1 → 0?",
    "missing_means": "Move one Gaussian far away: does your divergence grow?",
    "not_squared": "How does E_f (x − mean2)² depend on the means?",
    "which_variance": "Which of the two densities brings the mean of the other in, "
    "and by which variance does it divide?",
    "missing_scale": "x_t itself is not of x_s's size: eq. 2 has shrunk it.",
    "wrong_target": "This is x̂_0: it takes away all of the noise. The mean asked for "
    "is that of x_s, one step back.",
    "one_step_noise": "ε is all of the noise in x_t, not what the last step added; it "
    "enters x_t with the factor √(1−ᾱ_t).",
    "not_weighted_at_all": "That is L_simple's weight. Here you are asked for the "
    "bound's.",
    "upside_down": "A large σ_t forgives a wrong mean: does your weight fall with it?",
    "": "Write the formula down, then compare it with your code term by term.",
}


def _tables() -> tuple[Tensor, Tensor]:
    """Return betas and alpha_bars, (T+1,) float32, of a schedule of large steps."""
    schedule = Schedule.linear(_T, 0.02, 0.4)
    return schedule.betas, schedule.alpha_bars


def _hint(mistake: str | None) -> str:
    return _HINTS[mistake or ""]


def _factors(result: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, float]:
    """Return the factors of two inputs in the result, and the largest rest."""
    parts = torch.stack([first.flatten(), second.flatten()], dim=1).double()
    factors = torch.linalg.lstsq(parts, result.flatten()).solution
    return factors, float((result.flatten() - parts @ factors).abs().max())


# --- 4.1: the posterior --------------------------------------------------------------


def _regression(t: int) -> tuple[Tensor, Tensor, float, float]:
    """Fit x_s to x_0 and x_t on simulated chains.

    Returns the factors of x_0 and x_t and the variance that is left, each with its
    standard error.
    """
    beta, alpha_bar = (table.double() for table in _tables())
    x0, eps, z = torch.randn(3, _CHAINS, dtype=torch.float64)
    x_s = alpha_bar[t - 1].sqrt() * x0 + (1 - alpha_bar[t - 1]).sqrt() * eps
    x_t = (1 - beta[t]).sqrt() * x_s + beta[t].sqrt() * z
    design = torch.stack([x0, x_t], dim=1)
    factors = torch.linalg.lstsq(design, x_s).solution
    rest = (x_s - design @ factors).square()
    gram = torch.linalg.inv(design.T @ design)
    errors = (gram.diagonal() * rest.mean()).sqrt()
    return factors, errors, float(rest.mean()), float(rest.std()) / _CHAINS**0.5


def _posterior_mistakes(t: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what known mistakes give for the two factors, and for the variance."""
    betas, alpha_bars = (table.double().tolist() for table in _tables())
    s, b, ab = t - 1, betas[t], alpha_bars[t]
    a, ab_s, b_s, rest = 1 - b, alpha_bars[s], betas[s], 1 - ab
    right = (ab_s**0.5 * b / rest, a**0.5 * (1 - ab_s) / rest)
    later = min(t + 1, _T)
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
    beta, alpha_bar = _tables()
    worst = 0.0
    for t in _TIMES:
        x0, x_t = torch.randn(2, _POINTS, 1)
        inputs = {"x0": x0, "x_t": x_t, "t": t, "betas": beta, "alpha_bars": alpha_bar}
        mean, variance = _call_for_two(function, **inputs)
        if variance.numel() not in (1, _POINTS) or variance.max() != variance.min():
            measured = f"a tensor of shape {tuple(variance.shape)}"
            expected = "one number, the same for every sample"
            raise Wrong("wrong_shape", measured, expected, "β̃ depends on t alone.")
        got, rest = _factors(mean, x0, x_t)
        var = float(variance.max())
        if t == 1:
            fitted, errors, left, error = torch.eye(2)[0], torch.ones(2), 0.0, 1.0
        else:
            fitted, errors, left, error = _regression(t)
        apart = max(z_score(got, fitted, errors), z_score(var, left, error))
        a, b = 1 - float(beta[t]), float(beta[t])
        before, now = float(1 - alpha_bar[t - 1]), float(1 - alpha_bar[t])
        right = torch.tensor([(1 - before) ** 0.5 * b, a**0.5 * before]).double() / now
        factors, variances = _posterior_mistakes(t)
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
                _hint(mistake),
                apart if t > 1 and apart > 5 else None,
            )
        if t > 1:
            worst = max(worst, apart)
    return Report(
        measured=f"factors and variance at t = {', '.join(map(str, sorted(_TIMES)))}",
        expected=f"those fitted to {_CHAINS:,} simulated chains at each",
        standard_errors=worst,
        hint="At t = 1 the mean is x_0 and the variance 0: x_s is x_0 itself.",
    )


def _call_for_two(function: Callable[..., Any], **inputs: Any) -> tuple[Tensor, Tensor]:
    """Call a function that returns a mean, (B, 1), and a variance of any shape."""
    try:
        return call(function, [(_POINTS, 1), None], **inputs)
    except Wrong as wrong:
        if "NoneType" not in str(wrong.report.measured):
            raise
    hint = "Does your function end in `return mean, variance`?"
    raise Wrong("returns_nothing", "None", "a mean and a variance", hint)


def _sum(factors: Tensor) -> str:
    return f"{factors[0]:.4f}·x0 {factors[1]:+.4f}·x_t"


# --- 4.2: the divergence -------------------------------------------------------------


def _kl_mistakes(m1: Tensor, v1: Tensor, m2: Tensor, v2: Tensor) -> dict[str, Any]:
    """Return what known mistakes give, for each pair of Gaussians."""

    def kl(m1: Tensor, v1: Tensor, m2: Tensor, v2: Tensor) -> Tensor:
        return 0.5 * (torch.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1)

    right, gap = kl(m1, v1, m2, v2), (m1 - m2) ** 2
    log = torch.log(v2 / v1)
    return {
        "missing_half": [
            2 * right,
            right + 0.5 * gap / v2,
            right + 0.5 * (v1 + gap) / v2,
            0.5 * (log + (v1 + gap) / v2) - 1,
            log + (v1 + gap) / (2 * v2) - 1,
        ],
        "variance_or_std": [
            kl(m1, v1**2, m2, v2**2),
            kl(m1, v1.sqrt(), m2, v2.sqrt()),
            right + 0.5 * log,
            right - 0.25 * log,
            0.5 * (log + (v1**2 + gap) / v2**2 - 1),
            0.5 * (0.5 * log + (v1.sqrt() + gap) / v2.sqrt() - 1),
            0.5 * (log + (v1 + gap) / v2.sqrt() - 1),
        ],
        "reversed_kl": [kl(m2, v2, m1, v1)],
        "missing_minus_one": [right + 0.5, 2 * right + 1, right + 1.0],
        "missing_log": [right - 0.5 * log, 2 * right - log],
        "log_sign": [right - log, 2 * (right - log)],
        "missing_means": [right - 0.5 * gap / v2, 0.5 * (v1 / v2 - 1)],
        "not_squared": [
            right + 0.5 * ((m1 - m2).abs() - gap) / v2,
            right + 0.5 * ((m1 - m2) - gap) / v2,
            right + 0.5 * ((m2 - m1) - gap) / v2,
        ],
        "which_variance": [
            right + 0.5 * gap * (1 / v1 - 1 / v2),
            0.5 * (log + (v2 + gap) / v1 - 1),
            0.5 * (log + v2 / v1 + gap / v2 - 1),
            right + 0.5 * gap * (1 - 1 / v2),
        ],
        "wrong_sign": [-right],
    }


@check("Exercise 4.2: how far apart two Gaussians are")
def check_kl_gaussians(function: Callable[..., Any]) -> Report:
    """Check `kl_gaussians(mean1, var1, mean2, var2)`, KL(N_1 ‖ N_2) in nats.

    ½ (log(var2/var1) + (var1 + (mean1 − mean2)²) / var2 − 1)

    Args:
        function: takes means and variances, (B, 1) float each, variances positive;
            returns the divergence of each pair, (B, 1).

    Returns:
        The report. It compares 64 pairs with PyTorch's own closed form, and the first
        with the average of log p_1 − log p_2 over 25,000 draws from N_1.
    """
    m1, m2 = torch.randn(2, 64, 1)
    v1, v2 = torch.rand(2, 64, 1) * 1.5 + 0.2
    m1[0], v1[0], m2[0], v2[0] = 0.7, 0.4, -0.3, 0.9
    m2[-1], v2[-1] = m1[-1], v1[-1]  # a Gaussian and itself
    inputs = {"mean1": m1, "var1": v1, "mean2": m2, "var2": v2}
    result = call(function, (64, 1), **inputs)
    m1, v1, m2, v2 = (value.double() for value in inputs.values())
    p1, p2 = Normal(m1, v1.sqrt()), Normal(m2, v2.sqrt())
    right = kl_divergence(p1, p2)
    x = m1[0] + v1[0].sqrt() * torch.randn(_CHAINS, dtype=torch.float64)
    first, second = Normal(m1[0], v1[0].sqrt()), Normal(m2[0], v2[0].sqrt())
    logs = first.log_prob(x) - second.log_prob(x)
    error = float(logs.std()) / math.sqrt(_CHAINS)
    apart = z_score(result[0, 0], float(logs.mean()), error)
    pair = "N(0.7, 0.4) from N(−0.3, 0.9)"
    expected = f"{pair}: {logs.mean():.4f}, the average over {_CHAINS:,} draws"
    if z_score(result, right, 1.0) > 1e-4:
        mistake = name_mistake(result, _kl_mistakes(m1, v1, m2, v2), 3e-4)
        k = 0
        if abs(float(result[0, 0] - right[0, 0])) < 1e-4:  # wrong elsewhere
            k = int((result - right).abs().argmax())
            pair = f"N({m1[k, 0]:.2f}, {v1[k, 0]:.2f}) from N({m2[k, 0]:.2f}, "
            pair += f"{v2[k, 0]:.2f})"
            expected = f"{pair}: {right[k, 0]:.4f}"
        raise Wrong(
            mistake,
            f"{pair}: {result[k, 0]:.4f}; a Gaussian from itself: {result[-1, 0]:.4f}",
            f"{expected}; a Gaussian from itself: 0",
            _hint(mistake),
            apart if apart > 5 else None,
        )
    return Report(
        measured=f"{pair}: {result[0, 0]:.4f}",
        expected=expected,
        standard_errors=apart,
        hint="It is 0 only where both Gaussians are the same, and it is not symmetric.",
    )


# --- 4.3: the mean from the noise ----------------------------------------------------


def _mean_mistakes(t: int) -> dict[str, Any]:
    """Return what known mistakes give for the factors of x_t and eps_hat."""
    betas, alpha_bars = (table.double().tolist() for table in _tables())
    b, ab, b_s, ab_s = betas[t], alpha_bars[t], betas[t - 1], alpha_bars[t - 1]
    a, a_s = 1 - b, 1 - b_s
    rest, rest_s = 1 - ab, max(1 - ab_s, 1e-9)
    later = min(t + 1, _T)
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
    beta, alpha_bar = _tables()
    worst = 0.0
    for t in _TIMES:
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
        got, rest = _factors(mean, x_t, eps)
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
                None if rest > 1e-3 else name_mistake(got, _mean_mistakes(t), 5e-4)
            )
            measured = f"t = {t}: {got[0]:.4f}·x_t {got[1]:+.4f}·eps_hat"
            if rest > 1e-3:
                measured = f"t = {t}: no weighted sum of x_t and eps_hat"
            raise Wrong(
                mistake,
                f"{measured}; for x_0 = 1, on average {mean.mean():.4f}",
                f"t = {t}: {right[0]:.4f}·x_t {right[1]:+.4f}·eps_hat; for x_0 = 1, on "
                f"average √ᾱ_s = {centre:.4f}",
                _hint(mistake),
                apart if apart > 5 and t > 1 else None,
            )
        worst = max(worst, apart if t > 1 else 0.0)
    return Report(
        measured=f"the right factors at t = {', '.join(map(str, sorted(_TIMES)))}",
        expected="means that lie at √ᾱ_s x_0 on average, if the noise is the true one",
        standard_errors=worst,
        hint="This line is most of Algorithm 2, which you meet in notebook 07.",
    )


# --- 4.4: the weight -----------------------------------------------------------------


def _weight_mistakes(t: int, sigma: float) -> dict[str, Any]:
    """Return what known mistakes give for the weight of step t."""
    betas, alpha_bars = (table.double().tolist() for table in _tables())
    b, ab, b_s, ab_s = betas[t], alpha_bars[t], betas[t - 1], alpha_bars[t - 1]
    a, rest, rest_s = 1 - b, 1 - ab, max(1 - ab_s, 1e-9)
    right = b**2 / (2 * sigma**2 * a * rest)
    later = min(t + 1, _T)
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
        "upside_down": [1 / right, right * sigma**4, 1 / (2 * right)],
        "not_weighted_at_all": [1.0, 1 / _T],
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
    beta, alpha_bar = _tables()
    for t, sigma in zip(_TIMES, (0.37, 0.2, 0.6, 0.5, 0.3), strict=True):
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
                _hint(mistake),
            )
    return Report(
        measured=f"the right weight at t = {', '.join(map(str, sorted(_TIMES)))}",
        expected="(μ̃ − μ)² / (2σ_t²) divided by (ε − ε̂)²",
        hint="L_simple puts 1 in its place.",
    )
