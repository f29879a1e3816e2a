"""The exact law of what a sampler puts out, for data of one dimension: no estimates.

The denoiser is exact too, so that only the sampler is to blame; see `kit.law`.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch

from minddpm.course.kit import law as laws
from minddpm.course.kit.law import Law
from minddpm.oracle import GaussianMixture
from minddpm.schedule import Schedule

MEANS, STD, WEIGHTS = (-0.8, 0.0, 0.7), 0.08, (0.2, 0.2, 0.6)
"""The data: three heaps, of which the right one is the largest."""

PATHS = 10
SAMPLERS = ("ancestral, σ² = β̃", "ancestral, σ² = β", "DDIM")
CLAMPS = ("nothing", "x̂_0", "x_t")

BIN = 0.05
EDGES = (np.arange(-30, 32) - 0.5) * BIN  # so that −1 and 1 are inside of a bin


class Walk(NamedTuple):
    """What a sampler does at each of its K steps, from noisy to clean.

    Attributes:
        times: where the steps start, and 0, (K+1,).
        sent: where each sends the points of `law.grid`, (K, n).
        sigmas: standard deviation of its noise, (K,).
        fine: how fine that grid is.
    """

    times: tuple[int, ...]
    sent: np.ndarray
    sigmas: np.ndarray
    fine: int


@functools.lru_cache(maxsize=64)
def mixture(T: int, rescale: bool) -> GaussianMixture:
    """Return the data's law and exact denoiser.

    Args:
        T: number of steps of the linear schedule.
        rescale: whether its β are multiplied by 1000/T.

    Returns:
        The mixture.
    """
    means, weights = torch.tensor(MEANS)[:, None], torch.tensor(WEIGHTS)
    schedule = Schedule.linear(T, rescale=rescale)
    return GaussianMixture(means, STD, schedule, weights=weights)


@functools.lru_cache(maxsize=16)
def x0_hats(T: int, rescale: bool, times: tuple[int, ...], fine: int) -> np.ndarray:
    """Return E[x_0 | x_t] on the grid at some times, (K, n).

    It is `GaussianMixture.denoise` in a fraction of its time, for heaps of one width.
    """
    t, x = list(times), laws.grid(fine)
    a, b = (table[t] for table in _tables(T, rescale)[:2])
    v = (a * STD) ** 2 + b**2
    top, under = MEANS[1] * np.ones_like(v), np.ones_like(v)
    for mean, weight in ((MEANS[0], WEIGHTS[0]), (MEANS[2], WEIGHTS[2])):
        slope = a * (mean - MEANS[1]) / v  # of its log odds against the middle heap
        middle = a * (mean + MEANS[1]) / 2
        log_odds = slope * (x - middle) + math.log(weight / WEIGHTS[1])
        odds = np.exp(log_odds.clip(max=600))
        top, under = top + mean * odds, under + odds
    return a * STD**2 / v * x + b**2 / v * top / under


def _tables(T: int, rescale: bool) -> list[np.ndarray]:
    """Return √ᾱ, √(1−ᾱ), β and β̃, each (T+1, 1)."""
    schedule = mixture(T, rescale).schedule
    tables = (
        schedule.sqrt_alpha_bars,
        schedule.sqrt_one_minus_alpha_bars,
        schedule.betas,
        schedule.posterior_variances,
    )
    return [table.double().numpy()[:, None] for table in tables]


@functools.lru_cache(maxsize=8)
def walk(
    sampler: str, T: int, rescale: bool, clamp: str, steps: int, eta: float
) -> Walk:
    """Tabulate the steps of a sampler with the exact denoiser.

    Ancestral: x_{t−1} = μ̃(x̂_0, x_t) + σ_t z [DDPM eq. 7]. DDIM: x_s = √ᾱ_s x̂_0
    + √(1−ᾱ_s−σ²) ε̂ + σ z [DDIM eq. 12 and 16].

    Args:
        sampler: an option of the control.
        T: number of steps of the linear schedule.
        rescale: whether its β are multiplied by 1000/T.
        clamp: what is clamped to [−1, 1], an option of the control.
        steps: of DDIM, in 1…T.
        eta: η of DDIM.

    Returns:
        The steps; the noise of the last one, β's too, is included in `sigmas`.
    """
    ddim = sampler == SAMPLERS[2]
    K = steps if ddim else T
    times = tuple(round(T * k / K) for k in range(K, -1, -1))
    # few steps are large ones; they stretch some places far apart
    fine = 8 if K <= 10 else 4 if K <= 30 else 2 if K <= 100 else 1
    x, x0_hat = laws.grid(fine), x0_hats(T, rescale, times[:-1], fine)
    if clamp == "x_t":  # from the second step on it starts from what was clamped
        ends = np.searchsorted(x, (-1, 1))
        held = np.arange(len(x)).clip(*ends)
        x0_hat = np.concatenate([x0_hat[:1], x0_hat[1:, held]])
        x = np.concatenate([x[None], np.tile(x[held], (K - 1, 1))])
    signal, noise, betas, posterior = _tables(T, rescale)
    t, s = np.array(times[:-1]), np.array(times[1:])
    used = x0_hat.clip(-1, 1) if clamp == "x̂_0" else x0_hat
    if ddim:
        eps_hat = (x - signal[t] * x0_hat) / noise[t]
        kept = (1 - (signal[t] / signal[s]) ** 2).clip(0)
        sigma_t = eta * noise[s] / noise[t] * np.sqrt(kept)
        towards_x_t = np.sqrt((noise[s] ** 2 - sigma_t**2).clip(0))
        sent = signal[s] * used + towards_x_t * eps_hat
    else:
        variance = noise[t] ** 2
        sent = signal[s] * betas[t] / variance * used
        sent += np.sqrt(1 - betas[t]) * noise[s] ** 2 / variance * x
        sigma_t = np.sqrt(posterior[t] if sampler == SAMPLERS[0] else betas[t])
    return Walk(times, sent, sigma_t[:, 0], fine)


class Output(NamedTuple):
    """What a sampler puts out.

    Attributes:
        law: its exact law.
        paths: of samples, at each of `Walk.times`, (K+1, PATHS).
    """

    law: Law
    paths: np.ndarray


@functools.lru_cache(maxsize=256)
def output(
    sampler: str,
    T: int,
    rescale: bool,
    clamp: str,
    steps: int,
    eta: float,
    last: bool,
) -> Output:
    """Run a sampler from N(0, 1).

    Args:
        sampler: as in `walk`.
        T: as in `walk`.
        rescale: as in `walk`.
        clamp: as in `walk`.
        steps: as in `walk`.
        eta: as in `walk`.
        last: whether the last step adds its noise; β's only, the others have none.

    Returns:
        The law, and the paths that `torch.Generator().manual_seed(0)` gives.
    """
    _, sent, sigmas, fine = walk(sampler, T, rescale, clamp, steps, eta)
    if not last:
        sigmas = np.append(sigmas[:-1], 0.0)
    law = laws.carry(laws.normal(fine), sent, sigmas)
    draws, x = _draws(), laws.grid(fine)
    paths = [draws[0]]
    for means, sigma, z in zip(sent, sigmas, draws[1:], strict=False):
        x_s = np.interp(paths[-1], x, means) + sigma * z
        paths.append(x_s.clip(-1, 1) if clamp == "x_t" else x_s)
    if clamp == "x_t":
        law = Law(law.x.clip(-1, 1), law.mass)
    return Output(law, np.stack(paths))


@functools.cache
def _draws() -> np.ndarray:
    """Return x_T and the noise of each step, in the order of the package's samplers."""
    draws = torch.Generator().manual_seed(0)
    rows = [torch.randn(PATHS, 1, generator=draws)[:, 0] for _ in range(1001)]
    return torch.stack(rows).numpy()


@functools.cache
def truth() -> Law:
    """Return the law of the data."""
    x = torch.from_numpy(laws.grid(4))
    return laws.from_density(mixture(50, True).log_prob(x[:, None], 0).exp().numpy(), 4)


def distance(law: Law) -> float:
    """Return the total variation distance of a law from the data's.

    Args:
        law: any law.

    Returns:
        Half the sum of |difference| over bins of 0.05, and what lies outside.
    """
    p, q = law.shares(EDGES), truth().shares(EDGES)
    return float(np.abs(p - q).sum() + abs(p.sum() - q.sum())) / 2


@functools.lru_cache(maxsize=64)
def end_of_chain(T: int, rescale: bool) -> np.ndarray:
    """Return the density of x_T on the grid.

    Args:
        T: as in `mixture`.
        rescale: as in `mixture`.

    Returns:
        (512,).
    """
    x = torch.from_numpy(laws.grid())[:, None]
    return mixture(T, rescale).log_prob(x, T).exp().numpy()
