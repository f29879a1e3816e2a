"""What the best denoiser of n points leaves over: the explorer's curves."""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minddpm import data
from minddpm.oracle import ExactDenoiser, GaussianMixture, loss_floor
from minddpm.schedule import Schedule

SCHEDULE = Schedule.cosine(T=100)
MOST = 400
"""How many points of the ring there are to be known."""
TIMES = np.arange(1, SCHEDULE.T + 1)

_MEASURED = [*range(1, 20, 2), *range(21, SCHEDULE.T, 4), SCHEDULE.T]
_DRAWS = 600  # noisy points at each of these times


class Known(NamedTuple):
    """What depends on the number of points alone; the last three are curves over t."""

    oracle: ExactDenoiser
    points: Tensor  # (n, 2)
    floor: np.ndarray  # (T,), the least possible loss
    error: np.ndarray  # its standard error
    share: np.ndarray  # mean weight of the data point nearest to x_t / √ᾱ_t


@functools.lru_cache(maxsize=64)
def known(n: int) -> Known:
    """Measure the least possible loss of a denoiser that knows n points of the ring.

    From the variance that is left of x_0 where x_t is seen, which scatters less than
    the squared errors of `loss_floor`: 600 draws at a time are enough.

    Args:
        n: how many points, in 1…MOST.

    Returns:
        The denoiser, its points, and the curves.
    """
    points = data.points("ring", MOST, generator=_generator(0))[0][:n]
    generator, wide = _generator(1), points.double()
    x0 = wide.repeat(math.ceil(_DRAWS / n), 1)  # each point equally often
    rows = []
    for t in _MEASURED:
        noise = SCHEDULE.sqrt_one_minus_alpha_bars[t].double()
        signal = (1 - noise**2).sqrt()
        x_t = signal * x0 + noise * torch.randn(x0.shape, generator=generator)
        distance = x_t @ wide.T * (2 * signal) - (signal * wide).square().sum(1)
        r = (distance / (2 * noise**2)).softmax(1)  # (draws, n)
        # what is left of ε is what is left of x_0, times its factor in [DDPM eq. 15]
        variance = r @ wide.square().sum(1) - (r @ wide).square().sum(1)
        loss = variance.clamp(min=0) * (signal / noise) ** 2 / 2
        share = r.amax(1).mean()
        rows.append([loss.mean(), loss.std() / len(loss) ** 0.5, share])
    curves = (np.interp(TIMES, _MEASURED, row) for row in np.array(rows).T)
    return Known(ExactDenoiser(points, SCHEDULE), points, *curves)


def ring() -> np.ndarray:
    """Return the least possible loss if the whole ring is known, over t, (T,)."""
    mixture = GaussianMixture(*data.ring_mixture(), SCHEDULE)
    floor = loss_floor(mixture, _MEASURED, 8000, generator=_generator(1))
    return np.interp(TIMES, floor.t, floor.per_t)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
