"""The check of exercise 7.2: the law of Algorithm 2's output."""

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
from minddpm.schedule import Schedule

_N = 20_000
_CASES = (  # mean and std of the data, β_1 and β_T, T, variance
    (1.0, 0.3, 0.05, 0.4, 8, "posterior"),
    (-0.7, 0.5, 0.04, 0.3, 6, "beta"),
    (0.4, 1.7, 0.1, 0.6, 5, "beta"),
    (1.5, 0.2, 0.2, 0.3, 2, "posterior"),
)

_HINTS = {
    "variance_or_std": "The recursion is one of variances, and the result a standard "
    "deviation. Check every root and every square.",
    "not_squared": "A factor k multiplies a standard deviation by k. And a variance?",
    "last_step_noise": "Which step of Algorithm 2 adds no noise?",
    "stops_early": "The last step is the one at t = 1. Which is yours?",
    "wrong_start": "The walk starts from pure noise, whatever the data: which mean and "
    "which variance has that?",
    "beta_for_posterior": "You were asked for “posterior”, β̃_t.",
    "posterior_for_beta": "You were asked for “beta”: σ_t² is β_t itself.",
    "upside_down": "Is k_t the later v over the earlier one, or the other way round? A "
    "step back to less noisy data should narrow.",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Look k_t up "
    "again.",
    "missing_scale": "k_t has two factors. Where has √α_t gone?",
    "missing_means": "The mean moves, too: towards √ᾱ_{t−1} m.",
    "wrong_target": "That is the law of the data, or of x_t. The question is what the "
    "walk makes, with its own variance σ_t².",
    "which_variance": "That is the exact variance of the step. The walk uses β_t or "
    "β̃_t.",
    "wrong_order": "Walk from T down to 1.",
    "index_shift": "Two times occur, t and t−1. Go through every look-up in a table: "
    "does it take the right one?",
    "no_noise": "Every step but the last adds σ_t² to the variance.",
    "": "Follow mean and variance through a single step by hand, with T = 1 and T = 2.",
}

Step = Callable[..., Any]


def _law(
    m: float,
    d: float,
    betas: list[float],
    alpha_bars: list[float],
    variance: str,
    *,
    k: Step = lambda a, ab, ab_s, v, v_s: a**0.5 * v_s / v,
    start: tuple[float, float] = (0.0, 1.0),
    grow: Step = lambda k, V: k**2 * V,
    sigma2: Step = lambda b, tilde, v, v_s: None,
    last: bool = False,
    times: Callable[[int], range] = lambda T: range(T, 0, -1),
    v: Step = lambda ab, d: ab * d**2 + 1 - ab,
    shift: int = 0,
    move: bool = True,
) -> tuple[float, float]:
    """Return mean and variance of the output, with one thing changed or none."""
    M, V = start
    for t in times(len(betas) - 1):
        b, ab, ab_s = betas[t], alpha_bars[t], alpha_bars[t - 1]
        of_b = betas[max(1, t + shift)]
        v_t, v_s = v(ab, d), v(ab_s, d)
        tilde = of_b * (1 - ab_s) / (1 - ab)
        added = sigma2(b, tilde, v_t, v_s)
        if added is None:
            added = of_b if variance == "beta" else tilde
        factor = k(1 - of_b, ab, ab_s, v_t, v_s)
        M = factor * M + (ab_s**0.5 - factor * ab**0.5) * m * move
        V = grow(factor, V) + (added if t > 1 or last else 0.0)
    return M, V


def _mistakes(
    m: float, d: float, b: list[float], ab: list[float], variance: str
) -> dict[str, list[tuple[float, float]]]:
    """Return what known mistakes give for mean and standard deviation."""
    case = m, d, b, ab
    v_T = ab[-1] * d**2 + 1 - ab[-1]

    def law(**change: Any) -> tuple[float, float]:
        M, V = _law(*case, change.pop("variance", variance), **change)
        return M, max(V, 0.0) ** 0.5

    M, V = _law(*case, variance)
    other = "posterior" if variance == "beta" else "beta"
    ends = ab[-1] ** 0.5 * m
    return {
        "variance_or_std": [
            (M, V),
            (M, V**0.25),
            law(sigma2=lambda b, t, v, s: (b if variance == "beta" else t) ** 0.5),
            law(sigma2=lambda b, t, v, s: (b if variance == "beta" else t) ** 2),
            law(k=lambda a, ab, ab_s, v, v_s: a * v_s / v),
            law(k=lambda a, ab, ab_s, v, v_s: a**0.5 * (v_s / v) ** 0.5),
            law(v=lambda ab, d: ab**0.5 * d**2 + 1 - ab),
            law(v=lambda ab, d: ab**0.5 * d**2 + (1 - ab) ** 0.5),
        ],
        "not_squared": [
            law(grow=lambda k, V: k * V),
            law(v=lambda ab, d: ab * d + 1 - ab),
        ],
        "last_step_noise": [law(last=True)],
        "no_noise": [law(sigma2=lambda *given: 0.0)],
        "stops_early": [
            law(times=lambda T: range(T, 1, -1)),
            law(times=lambda T: range(T - 1, 0, -1)),
        ],
        "wrong_start": [
            law(start=(ends, v_T)),
            law(start=(ends, 1.0)),
            law(start=(0.0, v_T)),
            law(start=(0.0, 0.0)),
            law(start=(m, d**2)),
            law(start=(m, 1.0)),
        ],
        f"{other}_for_{variance}": [law(variance=other)],
        "upside_down": [
            law(k=lambda a, ab, ab_s, v, v_s: a**0.5 * v / v_s),
            law(k=lambda a, ab, ab_s, v, v_s: v_s / v / a**0.5),
        ],
        "which_alpha": [
            law(k=lambda a, ab, ab_s, v, v_s: ab**0.5 * v_s / v),
            law(k=lambda a, ab, ab_s, v, v_s: ab_s**0.5 * v_s / v),
        ],
        "missing_scale": [law(k=lambda a, ab, ab_s, v, v_s: v_s / v)],
        "missing_means": [law(move=False), (m, V**0.5)],
        "wrong_target": [(m, d), (ends, v_T**0.5)],
        "which_variance": [
            law(sigma2=lambda b, t, v, v_s: b * v_s / v),
            law(sigma2=lambda b, t, v, v_s: b * v_s / v, last=True),
        ],
        "wrong_order": [law(times=lambda T: range(1, T + 1))],
        "index_shift": [law(shift=-1), law(k=lambda a, ab, ab_s, v, v_s: a**0.5)],
    }


@torch.no_grad()
def _simulate(
    m: float, d: float, schedule: Schedule, variance: str
) -> tuple[float, float]:
    """Return mean and standard deviation of walks with the exact noise."""
    betas, alpha_bars = schedule.betas.double(), schedule.alpha_bars.double()
    x = torch.randn(_N, dtype=torch.float64)
    for t in range(schedule.T, 0, -1):
        b, ab, ab_s = betas[t], alpha_bars[t], alpha_bars[t - 1]
        eps_hat = (1 - ab).sqrt() * (x - ab.sqrt() * m) / (ab * d**2 + 1 - ab)
        x = (x - b / (1 - ab).sqrt() * eps_hat) / (1 - b).sqrt()
        if t > 1:
            sigma2 = b if variance == "beta" else b * (1 - ab_s) / (1 - ab)
            x = x + sigma2.sqrt() * torch.randn(_N, dtype=torch.float64)
    return float(x.mean()), float(x.std())


@check("Exercise 7.2: the law of the output")
def check_output_law(function: Callable[..., Any]) -> Report:
    """Check `output_law(m, d, betas, alpha_bars, variance)`.

    V_{t−1} = k_t² V_t + σ_t² from V_T = 1, with k_t = √α_t v_{t−1} / v_t and
    v_t = ᾱ_t d² + 1 − ᾱ_t; the mean likewise; the last step adds no σ_1².

    Args:
        function: takes mean and standard deviation of the data, floats; betas and
            alpha_bars, (T+1,) float64 with entry 0 for "no noise"; variance,
            "posterior" or "beta". Returns the output's mean and standard deviation.

    Returns:
        The report. It compares with walks that were simulated with the exact noise,
        and, to many digits, with the recursion.
    """
    worst = 0.0
    for m, d, low, high, T, variance in _CASES:
        schedule = Schedule.linear(T, low, high)
        beta, alpha_bar = schedule.betas.double(), schedule.alpha_bars.double()
        inputs = {"betas": beta, "alpha_bars": alpha_bar, "variance": variance}
        got = torch.stack(call(function, [(), ()], m=m, d=d, **inputs))
        tables = beta.tolist(), alpha_bar.tolist()
        M, V = _law(m, d, *tables, variance)
        right = torch.tensor([M, V**0.5], dtype=torch.float64)
        seen = torch.tensor(_simulate(m, d, schedule, variance), dtype=torch.float64)
        errors = right[1] / torch.tensor([_N, 2 * _N]).sqrt()
        apart = z_score(got, seen, errors)
        if z_score(got, right, 1.0) > 1e-4:
            known = _mistakes(m, d, *tables, variance)
            mistake = name_mistake(got, known, 1e-4)
            case = f"data N({m}, {d}²), T = {T}, {variance}"
            raise Wrong(
                mistake,
                f"{case}: mean {got[0]:.4f}, std {got[1]:.4f}",
                f"mean {seen[0]:.4f} ± {errors[0]:.4f}, std {seen[1]:.4f} ± "
                f"{errors[1]:.4f}, in {_N:,} walks with the exact noise",
                _HINTS[mistake or ""],
                apart,
            )
        worst = max(worst, apart)
    return Report(
        measured=f"{len(_CASES)} laws, each of another schedule and data set",
        expected=f"the mean and std of {_N:,} walks each, with the exact noise",
        standard_errors=worst,
        hint="Try d = 0 and d = 1 with both variances: which of them fits which?",
    )
