"""The law of a one-dimensional sampler, carried step by step on a grid: no sampling.

A reverse step sends x_t to m_t(x_t) and adds Gaussian noise. The law is masses on a
grid: each is carried to where m_t sends it, shared out among the four grid points
around, so that mean, variance and third moment stay exact, and then blurred by the
noise.
"""

from typing import NamedTuple

import numpy as np

_N = 512
_H = 0.02  # so that −1, 0 and 1 are grid points
_BLOCK = 16  # steps prepared at once; more would leave the processor's cache
_WAVES = 2 * np.pi * np.fft.rfftfreq(_N, _H)


class Law(NamedTuple):
    """Where the masses of a distribution are.

    Attributes:
        x: places, (n,), in any order.
        mass: (n,), of sum 1; rounding may make some slightly negative.
    """

    x: np.ndarray
    mass: np.ndarray

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation."""
        mean = float(self.mass @ self.x)
        return mean, float(self.mass @ (self.x - mean) ** 2) ** 0.5

    def shares(self, edges: np.ndarray) -> np.ndarray:
        """Return the mass between neighbouring edges.

        Args:
            edges: (K+1,), rising.

        Returns:
            (K,); what lies outside of the edges is left out.
        """
        order = self.x.argsort(kind="stable")
        x, mass = self.x[order], self.mass[order]
        below = mass.cumsum() - mass / 2
        return np.diff(np.interp(edges, x, below, left=0, right=1))

    def part(self, low: float, high: float) -> tuple[float, float]:
        """Return the mass in [low, high) and its own standard deviation.

        Args:
            low: left end.
            high: right end.

        Returns:
            Mass and standard deviation, 0 where there is no mass.
        """
        inside = (self.x >= low) & (self.x < high)
        share = float(self.mass[inside].sum())
        if share < 1e-9:
            return 0.0, 0.0
        return share, Law(self.x[inside], self.mass[inside] / share).moments()[1]


def grid(fine: int = 1) -> np.ndarray:
    """Return the places from which a step carries the masses, from −5.12 to 5.12.

    Args:
        fine: points per grid point; few, large steps stretch some places apart and
            need more.

    Returns:
        (512 · fine,), rising.
    """
    return (np.arange(_N * fine) / fine - _N / 2) * _H


def from_density(density: np.ndarray, fine: int = 1) -> Law:
    """Turn a density into a law.

    Args:
        density: on `grid(fine)`, of any scale.
        fine: as in `grid`.

    Returns:
        The law.
    """
    return Law(grid(fine), density / density.sum())


def normal(fine: int = 1) -> Law:
    """Return N(0, 1), from which every sampler starts.

    Args:
        fine: as in `grid`.

    Returns:
        The law, on `grid(fine)`.
    """
    return from_density(np.exp(-(grid(fine) ** 2) / 2), fine)


def carry(start: Law, sent: np.ndarray, sigmas: np.ndarray) -> Law:
    """Carry a law through all steps of a sampler.

    Args:
        start: on `grid(fine)`, n masses.
        sent: where each step sends the points of that grid, (K, n).
        sigmas: standard deviation of the noise that each step adds, (K,).

    Returns:
        The law after the last step: on `grid()` if that one adds noise, else where it
        sends the masses.
    """
    mass, n = start.mass, len(start.mass)
    if not sigmas.any():  # then masses can go their way with no grid in between
        x = np.linspace(start.x[0], start.x[-1], 8 * _N)
        mass = np.interp(x, start.x, mass)
        for row in sent:
            x = np.interp(x, start.x, row)
        return Law(x, mass / mass.sum())
    blur = np.exp(-(sigmas[:, None] ** 2 / 2) * _WAVES**2)
    last = len(sent) - 1
    for k in range(len(sent)):
        if k == last and sigmas[k] == 0:
            return Law(sent[k], mass)
        if k % _BLOCK == 0:
            places, weights = _neighbours(sent[k : k + _BLOCK])
        shares = weights[k % _BLOCK] * mass
        shared = np.bincount(places[k % _BLOCK], shares.ravel(), _N)
        mass = np.fft.irfft(np.fft.rfft(shared) * blur[k], _N if k == last else n)
    return Law(grid(), mass)


def _neighbours(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the four grid points around x, (K, 4n), and their shares, (K, 4, n).

    The shares are Lagrange's for cubics, so that moments up to the third are kept.
    """
    at = (x / _H + _N / 2).clip(1, _N - 3)
    left = np.floor(at)
    f = at - left
    a, b, c = f + 1, f - 1, f - 2
    ab, fc = a * b, f * c
    shares = np.stack([fc * b / -6, ab * c / 2, a * fc / -2, ab * f / 6], axis=1)
    index = left.astype(np.intp)[:, None] + np.arange(-1, 3)[:, None]
    return index.reshape(len(x), -1), shares
