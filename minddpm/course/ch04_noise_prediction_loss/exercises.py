"""The exercises of notebook 04: a posterior, a divergence, a mean, and its weight."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch04_noise_prediction_loss.exercises_posterior import (
    Q_POSTERIOR,
    questions,
    weighted_sum,
)
from minddpm.course.kit.exercise import Exercise, mistakes
from minddpm.course.kit.means import TIMES, around, mean_mistakes, tables

_TERM_BY_TERM = "Write the formula down, then compare it with your code term by term."

# --- 4.2 ------------------------------------------------------------------------------


def kl_gaussians(mean1: Tensor, var1: Tensor, mean2: Tensor, var2: Tensor) -> Tensor:
    """KL(f ‖ g) of two Gaussians, in nats.

    ½ (log(var2/var1) + (var1 + (mean1 − mean2)²) / var2 − 1)

    Args:
        mean1: of f, (B, 1) float.
        var1: of f, (B, 1), positive.
        mean2: of g, (B, 1).
        var2: of g, (B, 1), positive.

    Returns:
        The divergence of each pair, (B, 1).
    """
    m1, v1, m2, v2 = (x.double() for x in (mean1, var1, mean2, var2))
    return (torch.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1) / 2


def _pairs() -> Iterator[dict[str, Tensor]]:
    for n in (64, 5):
        mean1, mean2 = 2 * torch.randn(2, n, 1) + 1
        var1, var2 = torch.randn(2, n, 1).exp()
        mean1[0], var1[0], mean2[0], var2[0] = 0.7, 0.4, -0.3, 0.9
        mean2[1], var2[1] = mean1[1], var1[1]  # a Gaussian and itself
        mean2[2], var2[2] = mean1[2] + 90, 0.01  # far away, and narrow
        yield {"mean1": mean1, "var1": var1, "mean2": mean2, "var2": var2}


def _kl_mistakes(
    mean1: Tensor, var1: Tensor, mean2: Tensor, var2: Tensor
) -> dict[str, list[Tensor]]:
    m, v, n, w = (x.double() for x in (mean1, var1, mean2, var2))
    gap, log = (m - n) ** 2, torch.log(w / v)

    def kl(log: Tensor, ratio: Tensor, gap: Tensor) -> Tensor:
        return (log + ratio + gap - 1) / 2

    def parts(*weights: tuple[float, float, float, float]) -> list[Tensor]:
        """Return sums with other weights than (½, ½, ½, −½)."""
        return [a * log + b * v / w + c * gap / w + d for a, b, c, d in weights]

    right = kl(log, v / w, gap / w)
    return {
        "missing_half": [
            *parts((1, 1, 1, -1), (0.5, 0.5, 1, -0.5), (0.5, 1, 1, -0.5)),
            *parts((0.5, 0.5, 0.5, -1), (1, 0.5, 0.5, -1)),
        ],
        "variance_or_std": [
            *(kl_gaussians(m, x, n, y) for x, y in ((v**2, w**2), (v**0.5, w**0.5))),
            *parts((1, 0.5, 0.5, -0.5), (0.25, 0.5, 0.5, -0.5)),
            *(kl(log, v**2 / w**2, gap / w**2), kl(log, v / w**0.5, gap / w**0.5)),
            kl(log / 2, (v / w) ** 0.5, gap / w**0.5),
        ],
        "missing_minus_one": parts((0.5, 0.5, 0.5, 0), (1, 1, 1, 0), (0.5,) * 4),
        "reversed_kl": [kl_gaussians(n, w, m, v)],
        "missing_log": parts((0, 0.5, 0.5, -0.5), (0, 1, 1, -1)),
        "log_sign": parts((-0.5, 0.5, 0.5, -0.5), (-1, 1, 1, -1)),
        "missing_ratio": parts((0.5, 0, 0.5, 0), (0.5, 0, 0.5, -0.5)),
        "missing_means": parts((0.5, 0.5, 0, -0.5), (0, 0.5, 0, -0.5)),
        "not_squared": [kl(log, v / w, x / w) for x in (abs(m - n), m - n, n - m)],
        "which_variance": [
            *(kl(log, x / y, gap / z) for x, y, z in ((v, w, v), (w, v, v), (w, v, w))),
            kl(log, v / w, gap),
        ],
        "wrong_sign": [-right],
    }


def _show_kl(result: Tensor, **inputs: Tensor) -> str:
    m, v, n, w = (float(x[0]) for x in inputs.values())
    return (
        f"N({m:.1f}, {v:.1f}) from N({n:.1f}, {w:.1f}): {float(result[0]):.4f}; a "
        f"Gaussian from itself: {float(result[1]):.4f}; from one far away: "
        f"{float(result[2]):.6g}"
    )


KL_GAUSSIANS = Exercise(
    "Exercise 4.2: how far apart two Gaussians are",
    kl_gaussians,
    _pairs,
    mistakes(
        {
            "missing_half": "Every term of a Gaussian's log density has a factor ½.",
            "variance_or_std": "var1 and var2 are variances. Does a root, a square or "
            "a factor before the log treat one of them as a standard deviation?",
            "missing_minus_one": "What is the divergence of a Gaussian from itself?",
            "reversed_kl": "The average is over the first one: E_f[log f − log g].",
            "missing_log": "Gaussians of one mean and different widths differ, too.",
            "log_sign": "The narrower a Gaussian, the larger the log of its density: "
            "what does E_f[log f − log g] say about var1 → 0?",
            "missing_ratio": "E_f (x − mean2)² has two parts. Where is var1?",
            "missing_means": "Move one Gaussian far away: does your divergence grow?",
            "not_squared": "How does E_f (x − mean2)² depend on the means?",
            "which_variance": "Which of the two densities brings the mean of the other "
            "in, and by which variance does it divide?",
            "wrong_sign": "A divergence is never negative.",
        },
        _kl_mistakes,
    ),
    show=_show_kl,
    hint=_TERM_BY_TERM,
    praise="It is 0 only where both Gaussians are the same, and it is not symmetric.",
)

# --- 4.3 ------------------------------------------------------------------------------


def mean_from_eps(
    x_t: Tensor, eps_hat: Tensor, t: int, betas: Tensor, alpha_bars: Tensor
) -> Tensor:
    """μ = (x_t − β_t / √(1−ᾱ_t) · ε̂) / √α_t [DDPM eq. 11].

    Args:
        x_t: noisy samples, (B, 1) float.
        eps_hat: the predicted noise, (B, 1).
        t: an int in 1…T.
        betas: β_0…β_T, (T+1,) float, with entry 0 for "no noise".
        alpha_bars: ᾱ_0…ᾱ_T, (T+1,).

    Returns:
        The mean, (B, 1).
    """
    b, now = betas[t].double(), alpha_bars[t].double()
    return (x_t - b / (1 - now).sqrt() * eps_hat) / (1 - b).sqrt()


def _mean_mistakes(
    x_t: Tensor, eps_hat: Tensor, *tables: Any
) -> dict[str, list[Tensor]]:
    known = mean_mistakes(*tables)
    return {n: [p * x_t + q * eps_hat for p, q in ps] for n, ps in known.items()}


MEAN_FROM_EPS = Exercise(
    "Exercise 4.3: the mean of a reverse step, from the noise",
    mean_from_eps,
    lambda: questions("x_t", "eps_hat"),
    mistakes(
        {
            "which_alpha": "α_t belongs to one step, ᾱ_t to all up to t. Which of them "
            "shrinks x_s to x_t, and which stands in the noise of x_t?",
            "index_shift": "After collecting, only the time t is left. Entry 0 of a "
            "table is no noise, so table[t] is time t.",
            "variance_or_std": "Some factor is a variance where a standard deviation "
            "belongs, or the other way round. Check each root.",
            "missing_scale": "Eq. 2 has shrunk x_s on the way to x_t: is all of your "
            "mean brought back to the size of x_s?",
            "upside_down": "Eq. 2 shrinks x_s on the way to x_t. Does your mean undo "
            "that? Check every factor: should it multiply or divide?",
            "no_denominator": "ε has variance 1, but x_t holds it with the factor "
            "√(1−ᾱ_t). Where has that factor gone?",
            "one_step_noise": "ε is all of the noise in x_t, not what the last step "
            "added; it enters x_t with the factor √(1−ᾱ_t).",
            "wrong_sign": "The noise is taken away.",
            "wrong_target": "This takes away all of the noise, as x̂_0 does. The mean "
            "asked for is that of x_s, one step back.",
        },
        _mean_mistakes,
    ),
    show=lambda mean, **inputs: (
        f"t = {inputs['t']}: "
        + weighted_sum(mean, x_t=inputs["x_t"], eps_hat=inputs["eps_hat"])
    ),
    tolerance=2e-5,
    hint=_TERM_BY_TERM,
    praise="This line is most of Algorithm 2, which you meet in notebook 07.",
)

# --- 4.4 ------------------------------------------------------------------------------


def weight(t: int, sigma_t: float, betas: Tensor, alpha_bars: Tensor) -> Tensor:
    """w_t = β_t² / (2 σ_t² α_t (1−ᾱ_t)), the factor in [DDPM eq. 12].

    It makes (μ̃ − μ)² / (2σ_t²) of [DDPM eq. 8] equal to w_t (ε − ε̂)².

    Args:
        t: an int in 1…T.
        sigma_t: the standard deviation σ_t of the model's step, a float.
        betas: β_0…β_T, (T+1,) float, with entry 0 for "no noise".
        alpha_bars: ᾱ_0…ᾱ_T, (T+1,).

    Returns:
        The weight, one number.
    """
    b, now = betas[t].double(), alpha_bars[t].double()
    return b**2 / (2 * sigma_t**2 * (1 - b) * (1 - now))


def _steps() -> Iterator[dict[str, Any]]:
    for t, sigma in zip(TIMES, (0.37, 0.2, 1.6, 0.5, 0.03), strict=True):
        betas, alpha_bars = tables()
        yield {"t": t, "sigma_t": sigma, "betas": betas, "alpha_bars": alpha_bars}


def _weight_mistakes(
    t: int, sigma_t: float, betas: Tensor, alpha_bars: Tensor
) -> dict[str, list[float]]:
    (b, a, ab, rest), (b_s, a_s, _, rest_s), (b_n, a_n, _, rest_n), _ = around(
        t, betas, alpha_bars
    )
    var = sigma_t**2

    def w(
        b: float = b,
        a: float = a,
        rest: float = rest,
        var: float = var,
        half: float = 2,
    ) -> float:
        """Return the right weight, or one with something else in its place."""
        return b**2 / (half * var * a * rest)

    root = b / (sigma_t * (a * rest) ** 0.5)
    return {
        "missing_half": [w(half=1), w(half=4), w(half=1, rest=1)],
        "variance_or_std": [
            *(w(var=sigma_t), w(var=var**2), w(b**0.5), w(a=a**0.5), w(a=a**2)),
            *(w(rest=rest**0.5), w(a=(a * rest) ** 0.5, rest=1)),
            *(w(b**0.5, (a * rest) ** 0.5, 1), root, root / 2, root / 2**0.5),
            root / (2 * sigma_t),
        ],
        "which_alpha": [w(a=ab), w(rest=b), w(b=rest)],
        "missing_scale": [w(a=1)],
        "no_denominator": [w(rest=1), w(a=1, rest=1), w(var=1)],
        "index_shift": [
            *(w(rest=rest_s), w(rest=rest_n), w(b_s), w(a=a_s), w(b_s, a_s, rest_s)),
            w(b_n, a_n, rest_n),
        ],
        "upside_down": [
            *(1 / w(), 1 / w(half=1), 1 / (2 * w()), w(var=1 / var)),
            w(1, 1 / a, 1 / rest, 1 / var) * b**2,
        ],
        "wrong_target": [w(1, 1, 1)],
        "not_weighted_at_all": [1.0, 1 / (len(betas) - 1)],
    }


WEIGHT = Exercise(
    "Exercise 4.4: the weight that the bound gives to step t",
    weight,
    _steps,
    mistakes(
        {
            "missing_half": "Which factor is before the squared difference in eq. 8?",
            "variance_or_std": "The difference of the means is squared, and all in it: "
            "check the powers of β_t, α_t, 1−ᾱ_t and σ_t.",
            "which_alpha": "α_t belongs to one step, ᾱ_t to all up to t. Look both up "
            "in eq. 11.",
            "missing_scale": "In eq. 11 the whole bracket is divided by √α_t.",
            "no_denominator": "A factor is missing below the line: see eqs. 8 and 11.",
            "index_shift": "In eq. 11 every table is at time t. Entry 0 is no noise, "
            "so table[t] is time t.",
            "upside_down": "A large σ_t forgives a wrong mean: does your weight fall "
            "with it?",
            "wrong_target": "That is the weight of (μ̃ − μ)². How large is μ̃ − μ for a "
            "given difference of the noises?",
            "not_weighted_at_all": "That is L_simple's weight, not the bound's.",
        },
        _weight_mistakes,
    ),
    show=lambda w, t, sigma_t, **_: f"t = {t}, σ_t = {sigma_t}: {float(w):.5g}",
    tolerance=2e-5,
    hint=_TERM_BY_TERM,
    praise="L_simple puts 1 in its place.",
)

EXERCISES = [Q_POSTERIOR, KL_GAUSSIANS, MEAN_FROM_EPS, WEIGHT]
