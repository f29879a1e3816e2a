"""Exercise 4.1: the posterior of one step, and what writes down a weighted sum."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Exercise, Results, mistakes
from minddpm.course.kit.means import (
    TIMES,
    around,
    posterior_mistakes,
    tables,
)
from minddpm.course.kit.report import regress


def weighted_sum(y: Tensor, **terms: Tensor) -> str:
    """Write y as a weighted sum of terms, if it is one.

    Args:
        y: any shape.
        **terms: of the same shape, by name.

    Returns:
        Such as "0.5000·x0 +0.2500·x_t".
    """
    if all(y.shape == term.shape for term in terms.values()):
        weights, _, rest = regress(y.double(), *terms.values())
        if float(rest.abs().max()) < 1e-3:
            parts = zip(weights.tolist(), terms, strict=True)
            return " ".join(f"{w:+.4f}·{name}" for w, name in parts).removeprefix("+")
    return f"no weighted sum of {' and '.join(terms)}"


def questions(first: str, second: str) -> Iterator[dict[str, Any]]:
    """Draw samples without symmetry, large enough to show a clamp, at several times.

    Args:
        first: name of the first samples.
        second: of the second.

    Yields:
        Arguments: the samples, (B, 1) with another B each time; t; and tables.
    """
    for t in TIMES:
        x, y = torch.randn(2, 30 + t, 1)
        betas, alpha_bars = tables()
        samples: dict[str, Any] = {first: 5 * x + 1, second: 4 * y - 0.5}
        yield samples | {"t": t, "betas": betas, "alpha_bars": alpha_bars}


def q_posterior(
    x0: Tensor, x_t: Tensor, t: int, betas: Tensor, alpha_bars: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance of x_s given x_0 and x_t, s = t − 1 [DDPM eq. 6 and 7].

    μ̃ = √ᾱ_s β_t / (1−ᾱ_t) · x_0 + √α_t (1−ᾱ_s) / (1−ᾱ_t) · x_t
    β̃ = β_t (1−ᾱ_s) / (1−ᾱ_t)

    Args:
        x0: clean samples, (B, 1) float.
        x_t: the same at time t, (B, 1).
        t: an int in 1…T.
        betas: β_0…β_T, (T+1,) float, with entry 0 for "no noise".
        alpha_bars: ᾱ_0…ᾱ_T, (T+1,).

    Returns:
        The mean, (B, 1), and the variance, one number (or one a sample, all equal).
    """
    b, before, now = betas[t].double(), *(alpha_bars[[t - 1, t]].double())
    of_x0, of_x_t = before.sqrt() * b, (1 - b).sqrt() * (1 - before)
    return (of_x0 * x0 + of_x_t * x_t) / (1 - now), b * (1 - before) / (1 - now)


def _mistakes(
    x0: Tensor, x_t: Tensor, t: int, betas: Tensor, alpha_bars: Tensor
) -> dict[str, list[tuple[Tensor, float]]]:
    """Return wrong means with the right variance, the reverse, and both wrong."""
    (b, a, _, rest), (b_s, _, _, rest_s), (b_n, _, _, rest_n), two = around(
        t, betas, alpha_bars
    )
    right = b * rest_s / rest
    factors = posterior_mistakes(t, betas, alpha_bars)
    means = {n: [p * x0 + q * x_t for p, q in ps] for n, ps in factors.items()}
    variances = {
        "index_shift": [
            *(b_n * rest / rest_n, b_s * two[3] / rest_s, b_s * rest_s / rest),
            b * rest / max(rest_s, 1e-6),  # or infinite at t = 1
        ],
        "variance_or_std": [
            *(right**0.5, b * (rest_s / rest) ** 0.5, b**0.5 * rest_s / rest),
            *(right**2, b**0.5),
        ],
        "beta_for_posterior": [b],
        "which_alpha": [b_s],
        "no_denominator": [b * rest_s],
        "which_variance": [b * rest_s / (b + rest_s)],
        "not_weighted": [(b / a + rest_s) / 4, (b / a + rest_s) / 2],
    }
    mean, _ = q_posterior(x0, x_t, t, betas, alpha_bars)
    known = {name: [(m, right) for m in wrong] for name, wrong in means.items()}
    for name, wrong in variances.items():
        known.setdefault(name, []).extend((mean, v) for v in wrong)
        known[name] += zip(means.get(name, []), wrong, strict=False)
    # ᾱ_t for ᾱ_s, or ᾱ_s for ᾱ_t, everywhere: the variance comes out as β_t
    known["index_shift"] += [(m, b) for m in means["index_shift"][3:5]]
    return known


def _one_variance(results: Results) -> Results:
    """Make one number of a variance that is the same for all samples."""
    mean, variance = results
    same = variance.numel() and variance.max() == variance.min()
    return mean, variance.max() if same else variance


def _show(result: Any, **inputs: Any) -> str:
    mean, variance = result
    text = weighted_sum(mean, x0=inputs["x0"], x_t=inputs["x_t"])
    return f"t = {inputs['t']}: {text}; variance {float(variance):.4f}"


Q_POSTERIOR = Exercise(
    "Exercise 4.1: the posterior of one step",
    q_posterior,
    lambda: questions("x0", "x_t"),
    mistakes(
        {
            "swapped": "Close to t = T, x_t knows little about x_0 but much about x_s: "
            "which factor must then be the larger one?",
            "which_alpha": "α_t belongs to one step, ᾱ_t to all up to t. Which of them "
            "leads from x_s to x_t, and which from x_0 to x_s?",
            "index_shift": "Two times occur, t and s = t−1: does each look-up take the "
            "right one? Entry 0 is no noise, so table[t] is time t.",
            "variance_or_std": "Some factor is a variance where a standard deviation "
            "belongs, or the other way round. Check each root.",
            "beta_for_posterior": "β_t is the variance of x_t given x_s. Here x_0 is "
            "known as well, and what is known twice is known better.",
            "no_denominator": "A weighted average has weights of sum 1. And yours?",
            "not_weighted": "The two witnesses are not equally reliable: weigh each "
            "with its precision, 1/variance.",
            "which_variance": "x_t / √α_t holds the noise of step t divided by √α_t, "
            "too. Which variance has that error?",
            "missing_scale": "What x_0 says about x_s is not x_0 itself: see eq. 4.",
            "forgets_x0": "Your mean does not depend on x0 at all.",
            "forgets_x_t": "Your mean does not depend on x_t at all.",
            "wrong_sign": "Both witnesses count in the same direction.",
        },
        _mistakes,
    ),
    show=_show,
    tolerance=2e-5,
    form=_one_variance,
    hint="Write the formula down, then compare it with your code term by term.",
    praise="At t = 1 the mean is x_0 and the variance 0: x_s is x_0 itself.",
)
