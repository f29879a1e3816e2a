"""Wrong means of a reverse step: what the exercises of notebooks 04 and 07 share."""

import torch
from torch import Tensor

T = 20
TIMES = (8, 2, 14, T, 1)

Factors = dict[str, list[tuple[float, float]]]  # by the name of a mistake


def tables() -> tuple[Tensor, Tensor]:
    """Draw betas and alpha_bars, (T+1,) float32, of steps that are large and mixed."""
    betas = torch.cat([torch.zeros(1), 0.05 + 0.35 * torch.rand(T)])
    return betas, (1 - betas).cumprod(0)


def around(t: int, betas: Tensor, alpha_bars: Tensor) -> list[tuple[float, ...]]:
    """Look up β, α, ᾱ and 1−ᾱ at t, t−1, t+1 and t−2, as far as the tables reach.

    Args:
        t: in 1…T.
        betas: (T+1,).
        alpha_bars: (T+1,).

    Returns:
        Four numbers for each of the four times; no 1−ᾱ is 0, so that a mistake may
        divide by it.
    """
    times = [min(max(k, 0), len(betas) - 1) for k in (t, t - 1, t + 1, t - 2)]
    values = [(float(betas[k]), float(alpha_bars[k])) for k in times]
    return [(b, 1 - b, ab, max(1 - ab, 1e-12)) for b, ab in values]


def mean_mistakes(t: int, betas: Tensor, alpha_bars: Tensor) -> Factors:
    """Return wrong factors of x_t and eps_hat in the mean of [DDPM eq. 11].

    Args:
        t: in 1…T.
        betas: (T+1,).
        alpha_bars: (T+1,).

    Returns:
        Pairs of factors by the name of the mistake, as many at every t.
    """
    (b, a, ab, rest), (b_s, a_s, ab_s, rest_s), (b_n, a_n, _, rest_n), _ = around(
        t, betas, alpha_bars
    )

    def pair(
        p: float = a, q: float = a, b: float = b, d: float = rest
    ) -> tuple[float, float]:
        """Return the right factors, or those with something else in its place."""
        return p**-0.5, -b / (q * d) ** 0.5

    x, eps = pair()
    again = (ab_s / ab) ** 0.5  # x̂_0 noised again to time s with the same ε
    return {
        "which_alpha": [pair(ab, ab), pair(b=rest), pair(ab), pair(q=ab)],
        "variance_or_std": [
            *(pair(a**2, a**2), pair(a**2), pair(q=a**2)),
            *(pair(b=b**0.5), pair(d=rest**2)),
        ],
        "missing_scale": [pair(1, 1), pair(1), pair(q=1)],
        "upside_down": [pair(1 / a, 1 / a), pair(d=1 / rest)],
        "no_denominator": [pair(d=1), pair(1, 1, d=1)],
        "one_step_noise": [pair(d=b), pair(1, 1, d=b), pair(q=1, d=b)],
        "index_shift": [
            *(pair(d=rest_s), pair(d=rest_n), pair(b=b_s), pair(a_s, a_s)),
            *(pair(a_s, a_s, b_s), pair(a_s, a_s, b_s, rest_s)),
            pair(a_n, a_n, b_n, rest_n),
        ],
        "wrong_sign": [(x, -eps), (-x, -eps)],
        "wrong_target": [
            *(pair(ab, ab, rest), pair(1, 1, rest)),
            (again, rest_s**0.5 - again * rest**0.5),
        ],
    }


def posterior_mistakes(t: int, betas: Tensor, alpha_bars: Tensor) -> Factors:
    """Return wrong factors of x_0 and x_t in the mean of [DDPM eq. 7].

    Args:
        t: in 1…T.
        betas: (T+1,).
        alpha_bars: (T+1,).

    Returns:
        Pairs of factors by the name of the mistake, as many at every t.
    """
    (b, a, ab, rest), (b_s, a_s, ab_s, rest_s), (b_n, a_n, _, rest_n), two = around(
        t, betas, alpha_bars
    )

    def pair(
        p: float = ab_s,
        q: float = a,
        b: float = b,
        r: float = rest_s,
        d: float = rest,
    ) -> tuple[float, float]:
        """Return the right factors, or those with something else in its place."""
        return p**0.5 * b / d, q**0.5 * r / d

    x0, x_t = pair()
    return {
        "swapped": [
            (x_t, x0),
            pair(a, ab_s),
            pair(q=1 / a, b=a * rest_s, r=b),  # each precision before the other one
        ],
        "which_alpha": [
            pair(a_s, r=b_s, d=b),  # α for ᾱ everywhere
            *(pair(a), pair(a_s), pair(a, ab), pair(q=ab), pair(q=ab_s), pair(r=b)),
        ],
        "index_shift": [
            *(pair(ab, a_n, b_n, rest, rest_n), pair(two[2], a_s, b_s, two[3], rest_s)),
            *(pair(q=a_s, b=b_s), pair(ab, r=rest), pair(d=rest_s)),
            *(pair(ab), pair(r=rest), pair(q=a_s), pair(b=b_s)),
        ],
        "variance_or_std": [
            *(pair(ab_s**2), pair(q=a**2), pair(ab_s**2, a**2), pair(b=b**0.5)),
            *(pair(r=rest_s**0.5), pair(r=(rest_s * rest) ** 0.5)),
            *(pair(d=rest**0.5), pair(b=b * rest**0.5), pair(r=rest_s * rest**0.5)),
        ],
        "no_denominator": [pair(d=1)],
        "not_weighted": [(ab_s**0.5 / 2, 0.5 / a**0.5), (ab_s**0.5 / 2, 0.5)],
        "which_variance": [pair(q=1 / a, d=b + rest_s)],
        "missing_scale": [pair(1)],
        "forgets_x0": [(0, x_t), (0, a**-0.5), (0, a**0.5), (0, 1)],
        "forgets_x_t": [(x0, 0), (ab_s**0.5, 0), (ab**0.5, 0)],
        "wrong_sign": [(x0, -x_t), (-x0, x_t)],
    }
