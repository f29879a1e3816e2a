"""The formulas of notebook 03 that no other test covers, and what its text relies on.

Bayes' rule for points and for mixtures, E[ε | x_t], [DDPM eq. 15] and the floor of one
Gaussian are in test_oracle.py and test_equations.py. Statistical tests state their
standard error and fail at five of them.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from minddpm import DDPM, ExactDenoiser, GaussianMixture, Schedule, data, loss_floor
from rooms import seeded

COSINE = Schedule.cosine(T=100)
POINTS = torch.tensor([-1.4, 0.2, 1.2], dtype=torch.float64)


def noised(x0: torch.Tensor, t: int, seed: int = 1) -> tuple[torch.Tensor, ...]:
    """Return ε, x_t and ᾱ_t [DDPM eq. 4]."""
    a = COSINE.alpha_bars[t].double()
    eps = torch.randn(x0.shape, generator=seeded(seed), dtype=torch.float64)
    return eps, a.sqrt() * x0 + (1 - a).sqrt() * eps, a


def test_softmax_is_unchanged_by_a_constant() -> None:
    logits = torch.tensor([-1e3, -1001.0, -2e3], dtype=torch.float64)
    shifted = (logits - logits.max()).exp()
    assert_close(logits.softmax(0), shifted / shifted.sum())
    assert (logits.exp() / logits.exp().sum()).isnan().all()


@pytest.mark.parametrize("t", [5, 40, 90])
def test_bins_of_simulated_pairs_agree_with_bayes_rule(t: int) -> None:
    """E[x_0 | x_t] in each bin; the standard error is that of Var(x_0 | x_t)."""
    x0 = POINTS[torch.randint(3, (200_000,), generator=seeded())]
    _, x_t, a = noised(x0, t)
    r = (-((x_t[:, None] - a.sqrt() * POINTS) ** 2) / (2 * (1 - a))).softmax(1)
    x0_hat = r @ POINTS
    variance = (r @ POINTS**2 - x0_hat**2).clamp(min=1e-12)
    bins = (x_t * 8).floor().long().clamp(-20, 19) + 20
    z = bins.bincount(x0 - x0_hat) / bins.bincount(variance).sqrt()
    assert float(z.nan_to_num(0).abs().max()) < 5
    # and the harness sees a mistake: a missing 2 in the exponent
    r = (-((x_t[:, None] - a.sqrt() * POINTS) ** 2) / (1 - a)).softmax(1)
    z = bins.bincount(x0 - r @ POINTS) / bins.bincount(variance).sqrt()
    assert t == 5 or float(z.nan_to_num(0).abs().max()) > 10


@pytest.mark.parametrize("g", [-1.0, 0.0, 0.7])
def test_the_error_of_a_guess_is_variance_plus_distance_squared(g: float) -> None:
    """E[(x_0 − g)² | x_t] = Var(x_0 | x_t) + (E[x_0 | x_t] − g)², term by term."""
    r = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    mean = r @ POINTS
    variance = r @ (POINTS - mean) ** 2
    assert_close(r @ (POINTS - g) ** 2, variance + (mean - g) ** 2)
    assert_close(variance, r @ POINTS**2 - mean**2)


def test_no_other_guess_has_a_smaller_squared_error() -> None:
    """The four guesses of the notebook; the mean wins by many standard errors."""
    x0 = POINTS[torch.randint(3, (100_000,), generator=seeded())]
    _, x_t, a = noised(x0, 40)
    r = (-((x_t[:, None] - a.sqrt() * POINTS) ** 2) / (2 * (1 - a))).softmax(1)
    best = (x0 - r @ POINTS) ** 2
    others = (POINTS[r.argmax(1)], x_t / a.sqrt(), POINTS.mean())
    for guess in others:
        more = (x0 - guess) ** 2 - best
        assert float(more.mean()) > 10 * float(more.std()) / len(x0) ** 0.5


@pytest.mark.parametrize("t", [3, 40, 90])
def test_the_floor_of_eps_is_that_of_x0_times_snr(t: int) -> None:
    """(ε − E[ε | x_t])² = ᾱ_t/(1−ᾱ_t) · (x_0 − E[x_0 | x_t])², for each sample."""
    ring = GaussianMixture(*data.ring_mixture(), COSINE).double()
    x0, _ = ring.sample(100, generator=seeded())
    eps, x_t, a = noised(x0, t)
    of_eps = (eps - ring.eps(x_t, t)) ** 2
    of_x0 = a / (1 - a) * (x0 - ring.denoise(x_t, t)) ** 2
    assert_close(of_eps, of_x0, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("s", "t"), [(0.25, 40), (1.5, 5), (0.1, 80)])
def test_jointly_gaussian_variables_have_a_straight_line(s: float, t: int) -> None:
    """Slope Cov/Var = √ᾱ s²/v, and Var − Cov²/Var is left of ε; 5 standard errors."""
    n, m = 200_000, 0.3
    x0 = m + s * torch.randn(n, generator=seeded(), dtype=torch.float64)
    eps, x_t, a = noised(x0, t)
    v = float(a * s**2 + 1 - a)
    centred = x_t - x_t.mean()
    slope = float(centred @ (x0 - x0.mean()) / (centred @ centred))
    left = s**2 * float(1 - a) / v  # Var(x_0 | x_t)
    assert abs(slope - float(a.sqrt()) * s**2 / v) < 5 * math.sqrt(left / v / n)
    slope = float(centred @ (eps - eps.mean()) / (centred @ centred))
    rest = (eps - eps.mean() - slope * centred) ** 2
    floor = 1 - float(1 - a) / v
    assert floor == pytest.approx(float(a) * s**2 / v)
    assert abs(float(rest.mean()) - floor) < 5 * floor * math.sqrt(2 / n)


def test_fewer_points_have_a_lower_floor_and_lose_on_fresh_data() -> None:
    """At t = 10, all differences by more than five standard errors."""
    ring = GaussianMixture(*data.ring_mixture(), COSINE)
    points, _ = data.points("ring", 200, generator=seeded())
    truth = loss_floor(ring, 10, n=20_000, generator=seeded())
    x0, _ = ring.sample(4000, generator=seeded())
    eps, x_t, _ = noised(x0.double(), 10)
    for n in (20, 200):
        own = ExactDenoiser(points[:n], COSINE)
        floor = loss_floor(own, 10, n=4000, generator=seeded())
        fresh = (eps - own.eps(x_t, 10)).square().mean(1)
        best = (eps - ring.eps(x_t, 10)).square().mean(1)
        error = math.hypot(floor.mean_standard_error, truth.mean_standard_error)
        assert n == 200 or truth.mean - floor.mean > 5 * error
        excess = fresh - best  # of the same draws
        assert float(excess.mean()) > 5 * float(excess.std()) / len(excess) ** 0.5


def test_the_exact_denoiser_as_a_sampler_returns_training_digits() -> None:
    images, _ = data.load("digits")
    ddpm = DDPM(ExactDenoiser(images, COSINE), device="cpu", schedule=COSINE)
    x = ddpm.sample(10, (1, 8, 8), generator=seeded())
    apart = (x.flatten(1)[:, None] - images.flatten(1)).norm(dim=2).amin(1)
    assert float(apart.max()) < 1e-3
    unseen, _ = data.load("digits", "test")
    apart = (unseen[:100].flatten(1)[:, None] - images.flatten(1)).norm(dim=2).amin(1)
    assert float(apart.min()) > 0.5
