"""The check of exercise 4.2 in notebook 04."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_CHAINS = 25_000  # draws
_HINTS = {
    "missing_half": "Every term of a Gaussian's log density carries a factor ½.",
    "variance_or_std": "var1 and var2 are variances. Does a root, a square or a "
    "factor before the log treat one of them as a standard deviation?",
    "missing_minus_one": "What is the divergence of a Gaussian from itself?",
    "reversed_kl": "The average is over the first Gaussian, f: E_f[log f − log g].",
    "missing_log": "Two Gaussians of one mean and different widths differ, too.",
    "log_sign": "The narrower a Gaussian, the larger the log of its density: what "
    "does E_f[log f − log g] say about var1 → 0?",
    "missing_ratio": "E_f (x − mean2)² has two parts. Where is var1?",
    "missing_means": "Move one Gaussian far away: does your divergence grow?",
    "not_squared": "How does E_f (x − mean2)² depend on the means?",
    "which_variance": "Which of the two densities brings the mean of the other in, "
    "and by which variance does it divide?",
    "wrong_sign": "A divergence is never negative.",
    "": "Write the formula down, then compare it with your code term by term.",
}


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
        "missing_ratio": [
            right - 0.5 * (v1 / v2 - 1),
            right - 0.5 * v1 / v2,
        ],
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
    """Check `kl_gaussians(mean1, var1, mean2, var2)`, KL(f ‖ g) in nats.

    ½ (log(var2/var1) + (var1 + (mean1 − mean2)²) / var2 − 1)

    Args:
        function: takes means and variances, (B, 1) float each, variances positive;
            returns the divergence of each pair, (B, 1).

    Returns:
        The report. It compares 64 pairs with PyTorch's own closed form, and the first
        with the average of log f − log g over 25,000 draws from f.
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
            _HINTS[mistake or ""],
            apart if apart > 5 else None,
        )
    return Report(
        measured=f"{pair}: {result[0, 0]:.4f}",
        expected=expected,
        standard_errors=apart,
        hint="It is 0 only where both Gaussians are the same, and it is not symmetric.",
    )
