"""The exact laws of notebook 09's guidance, in one dimension: no estimates.

Three classes, one Gaussian each, and their exact denoiser; see `kit.law`.
"""

import functools

import numpy as np
import torch

from minddpm.course.kit import law as laws
from minddpm.course.kit.law import Law
from minddpm.oracle import GaussianMixture
from minddpm.schedule import Schedule

MEANS, STDS = (-1.0, 0.2, 1.2), (0.5, 0.4, 0.5)
"""The classes, of equal weight."""

T = 100
"""Steps of the cosine schedule."""

FINE = 2  # points of the laws' grid; see `law.grid`


@functools.cache
def mixture() -> GaussianMixture:
    """Return the population, with its classes as labels."""
    means, labels = torch.tensor(MEANS)[:, None], torch.arange(3)
    return GaussianMixture(means, torch.tensor(STDS), Schedule.cosine(T), labels=labels)


@functools.cache
def eps(label: int | None) -> np.ndarray:
    """Return E[ε | x_t, c] on the grid at t = T…1, (T, n); for None without c."""
    x = torch.from_numpy(laws.grid(FINE))
    t = torch.arange(T, 0, -1).repeat_interleave(len(x))
    c = None if label is None else torch.full((len(t),), label)
    return mixture().eps(x.repeat(T)[:, None], t, c).view(T, -1).numpy()


@functools.cache
def log_prob(label: int | None) -> np.ndarray:
    """Return log p(x | c) on the grid, (n,); for None that of the population."""
    x = torch.from_numpy(laws.grid(FINE))[:, None]
    c = None if label is None else torch.full((len(x),), label)
    return mixture().log_prob(x, 0, c).numpy()


@functools.lru_cache(maxsize=256)
def sampled(w: float, label: int) -> Law:
    """Return the law of what the guided ancestral sampler puts out.

    Each step has its mean from ε̃ = (1+w) ε_c − w ε_∅ [CFG eq. 6] by [DDPM eq. 11], and
    the variance β̃_t; it starts from N(0, 1).

    Args:
        w: guidance weight.
        label: the class c, 0…2.

    Returns:
        The law of x_0.
    """
    schedule = mixture().schedule
    beta, noise, posterior = (
        table.double().numpy()[:0:-1, None]  # t = T…1
        for table in (
            schedule.betas,
            schedule.sqrt_one_minus_alpha_bars,
            schedule.posterior_variances,
        )
    )
    eps_hat = (1 + w) * eps(label) - w * eps(None)
    sent = (laws.grid(FINE) - beta / noise * eps_hat) / np.sqrt(1 - beta)
    return laws.carry(laws.normal(FINE), sent, np.sqrt(posterior[:, 0]))


def product(w: float, label: int) -> Law:
    """Return the density that guidance is often said to sample from.

    p(x | c)^{1+w} p(x)^{−w}, normalised on the grid.

    Args:
        w: guidance weight.
        label: the class c, 0…2.

    Returns:
        The law.
    """
    log_density = (1 + w) * log_prob(label) - w * log_prob(None)
    return laws.from_density(np.exp(log_density - log_density.max()), FINE)
