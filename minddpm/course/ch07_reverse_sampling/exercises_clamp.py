"""Exercise 7.3: the mean of a step, with a clamp."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit import means
from minddpm.course.kit.exercise import Exercise, Inputs, Mistake
from minddpm.course.kit.report import show


def clipped_mean(
    x_t: Tensor,
    eps_hat: Tensor,
    t: int,
    betas: Tensor,
    alpha_bars: Tensor,
    limit: float,
) -> Tensor:
    """The mean of x_{t−1}, with x̂_0 held in the range of the data.

    x̂_0 = (x_t − √(1−ᾱ_t) ε̂) / √ᾱ_t [DDPM eq. 15], clamped to [−limit, limit], in the
    place of x_0 in μ̃ [DDPM eq. 7].

    Args:
        x_t: noisy samples, (B, D) float.
        eps_hat: the guessed noise, (B, D).
        t: the time, an int in 1…T.
        betas: β_t, (T+1,) float with entry 0 for "no noise".
        alpha_bars: ᾱ_t, likewise.
        limit: the data lie in [−limit, limit], a float.

    Returns:
        The mean, (B, D).
    """
    b, now, before = betas[t], alpha_bars[t], alpha_bars[t - 1]
    held = ((x_t - (1 - now).sqrt() * eps_hat) / now.sqrt()).clamp(-limit, limit)
    weighted = before.sqrt() * b * held + (1 - b).sqrt() * (1 - before) * x_t
    return weighted / (1 - now)


def _wrong(
    x: Tensor, eps: Tensor, t: int, betas: Tensor, alpha_bars: Tensor, limit: float
) -> dict[str, list[Tensor]]:
    """Return wrong means by the name of the mistake."""
    (b, a, ab, rest), (_, _, ab_s, rest_s), (_, _, ab_n, rest_n), _ = means.around(
        t, betas, alpha_bars
    )

    def cut(value: Tensor, to: float = limit) -> Tensor:
        return value.clamp(-to, to)

    def guess(
        x: Tensor = x, eps: Tensor = eps, ab: float = ab, rest: float = rest
    ) -> Tensor:
        return (x - rest**0.5 * eps) / ab**0.5

    def mean(x0: Tensor, x: Tensor = x) -> Tensor:
        return (ab_s**0.5 * b * x0 + a**0.5 * rest_s * x) / rest

    x0, held, of_cut = guess(), cut(guess()), guess(cut(x))
    known = {
        "no_clamp": [mean(x0)],
        "clamps_x_t": [
            *(mean(guess, cut(x)) for guess in (x0, held, of_cut, cut(of_cut))),
            *(mean(guess) for guess in (of_cut, cut(of_cut))),
        ],
        "clamps_the_mean": [cut(mean(x0)), cut(mean(held))],
        "clamps_the_noise": [mean(guess(eps=cut(eps, to))) for to in (1, limit)],
        "ignores_limit": [mean(cut(x0, 1))],
        "one_end_only": [
            *(mean(x0.clamp(*ends)) for ends in ((None, limit), (-limit,), (0, limit))),
            mean(x0.abs().clamp(max=limit)),
        ],
        "wrong_target": [x0, held],
    }
    guesses = {
        "variance_or_std": [
            guess(ab=p, rest=q) for p in (ab, ab**2) for q in (rest, rest**2)
        ][1:],
        "missing_scale": [guess(ab=1), guess(ab=1, rest=1)],
        "wrong_sign": [guess(eps=-eps)],
        "which_alpha": [guess(ab=a, rest=b), guess(ab=a)],
        "index_shift": [guess(ab=ab_s, rest=rest_s), guess(ab=ab_n, rest=rest_n)],
    }
    for name, x0s in guesses.items():
        known[name] = [mean(cut(x0)) for x0 in x0s]
    for name, pairs in means.posterior_mistakes(t, betas, alpha_bars).items():
        known[name] = known.get(name, []) + [p * held + q * x for p, q in pairs]
    return known


def _wrong_of(name: str, *case: Any) -> list[Tensor]:
    return _wrong(*case)[name]


_HINTS = {
    "no_clamp": "Some x̂_0 lie beyond the limit, and your mean used them as they are.",
    "clamps_x_t": "x_t is data plus noise, and may lie beyond the limit.",
    "clamps_the_mean": "The mean of x_{t−1} is still partly noise. Which guess is not?",
    "clamps_the_noise": "ε̂ is noise: nothing keeps it in the range of the data.",
    "ignores_limit": "The limit is an argument: the data need not lie in [−1, 1].",
    "one_end_only": "The data have a range with two ends.",
    "wrong_target": "That is x̂_0. Asked for is the mean of x_{t−1}.",
    "swapped": "Close to t = T, x̂_0 is a poor guess: which factor is then the smaller?",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all to t: look at eqs. 7 and 15.",
    "index_shift": "Two times occur. Entry 0 is no noise, so table[t] is time t.",
    "variance_or_std": "A variance for a standard deviation, or the other way round?",
    "missing_scale": "x_t holds x_0 with a factor. Has your x̂_0 been divided by it?",
    "no_denominator": "Both factors in eq. 7 have something below the line.",
    "wrong_sign": "The guessed noise is taken away from x_t.",
}


def _clamps() -> Iterator[Inputs]:
    betas, alpha_bars = means.tables()
    limits = (0.8, 1.0, 1.3, 0.5, 2.0, 50.0)
    for t, limit in zip((*means.TIMES, 5), limits, strict=True):
        x_t, eps_hat = torch.randn(2, 60, 3)
        guess = {"x_t": 1.2 * x_t + 0.3, "eps_hat": 1.1 * eps_hat - 0.2, "t": t}
        yield {**guess, "betas": betas, "alpha_bars": alpha_bars, "limit": limit}


CLIPPED_MEAN = Exercise(
    "Exercise 7.3: the mean, with a clamp",
    clipped_mean,
    _clamps,
    [Mistake(name, hint, [partial(_wrong_of, name)]) for name, hint in _HINTS.items()],
    show=lambda mean, t, limit, **_: f"t = {t}, limit {limit}: {show(mean)}",
    hint="Compute x̂_0, then clamp it, then eq. 7: compare each line with its formula.",
    praise="In the package: clip_x0=limit.",
)
