"""The lines of notebook 02's derivation, and the numbers that its text relies on.

Statistical tests state their standard error and fail at five of them.
"""

import math

import pytest
import torch
from torch.testing import assert_close

from minddpm import Schedule

SCHEDULES = {
    "linear": Schedule.linear(1000),
    "cosine": Schedule.cosine(1000),
    "sigmoid": Schedule.sigmoid(1000),
    "linear, T = 50": Schedule.linear(50, rescale=True),
}
every_schedule = pytest.mark.parametrize(
    "schedule", SCHEDULES.values(), ids=SCHEDULES.keys()
)


def test_line_1_two_steps_put_together() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps_1, eps_2 = torch.randn(3, 1000, generator=generator, dtype=torch.float64)
    alpha_1, alpha_2 = 0.9, 0.7
    x_1 = alpha_1**0.5 * x0 + (1 - alpha_1) ** 0.5 * eps_1
    x_2 = alpha_2**0.5 * x_1 + (1 - alpha_2) ** 0.5 * eps_2
    together = (
        (alpha_2 * alpha_1) ** 0.5 * x0
        + (alpha_2 * (1 - alpha_1)) ** 0.5 * eps_1
        + (1 - alpha_2) ** 0.5 * eps_2
    )
    assert_close(x_2, together)


@pytest.mark.parametrize(("a", "b"), [(0.26, 0.55), (1.0, 0.1), (0.7, -0.7)])
def test_line_2_a_sum_of_gaussians_is_gaussian(a: float, b: float) -> None:
    """Moments 1, 2 and 4 of aε_1 + bε_2, and all of its distribution function."""
    n, generator = 200_000, torch.Generator().manual_seed(1)
    eps = torch.randn(2, n, generator=generator, dtype=torch.float64)
    z = (a * eps[0] + b * eps[1]) / math.hypot(a, b)
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (4, 3, 96)):
        error = math.sqrt(spread / n)  # Var(z^p) of a standard normal is 1, 2, 96
        assert abs(float((z**power).mean()) - moment) < 5 * error, power
    for edge in (-2.0, -1.0, 0.0, 0.5, 1.5):
        p = 0.5 * (1 + math.erf(edge / math.sqrt(2)))
        error = math.sqrt(p * (1 - p) / n)
        assert abs(float((z < edge).double().mean()) - p) < 5 * error, edge


def test_a_sum_of_uniforms_is_not_uniform() -> None:
    """The answer to a question: variances add, the shape does not stay."""
    n, generator = 200_000, torch.Generator().manual_seed(2)
    u = (torch.rand(2, n, generator=generator, dtype=torch.float64) - 0.5) * 12**0.5
    z = (u[0] + u[1]) / 2**0.5
    assert abs(float(z.var()) - 1) < 5 * math.sqrt(1.4 / n)  # kurtosis 2.4, minus 1
    # a triangle's moments 4, 6 and 8; a uniform's kurtosis is 1.8, a Gaussian's 3
    fourth, sixth, eighth = 2.4, 54 / 7, 28.8
    kurtosis = float((z**4).mean() / (z**2).mean() ** 2)
    spread = eighth - fourth**2 - 4 * fourth * (sixth - fourth)
    spread += 4 * fourth**2 * (fourth - 1)  # Var(z⁴ − 2κz²), by the delta method
    assert abs(kurtosis - fourth) < 5 * math.sqrt(spread / n)


@pytest.mark.parametrize(("alpha_1", "alpha_2"), [(0.9, 0.7), (0.9999, 0.98)])
def test_line_3_two_variances_are_one_product(alpha_1: float, alpha_2: float) -> None:
    beta_1, beta_2 = 1 - alpha_1, 1 - alpha_2
    assert alpha_2 * beta_1 + beta_2 == pytest.approx(1 - alpha_2 * alpha_1, rel=1e-12)


@every_schedule
def test_line_4_the_variance_by_induction(schedule: Schedule) -> None:
    variance, betas = 0.0, schedule.betas.double()
    for t in range(1, schedule.T + 1):
        variance = (1 - float(betas[t])) * variance + float(betas[t])
        exact = float(schedule.sqrt_one_minus_alpha_bars[t]) ** 2
        assert variance == pytest.approx(exact, rel=2e-5), t


@every_schedule
def test_the_noise_of_the_steps_adds_up(schedule: Schedule) -> None:
    """Σ_{s ≤ t} β_s ᾱ_t/ᾱ_s = 1 − ᾱ_t, the figure of shares."""
    betas = schedule.betas.double()
    alpha_bars = (1 - betas).cumprod(0)
    for t in (1, 2, schedule.T // 2, schedule.T):
        shares = betas[1 : t + 1] * alpha_bars[t] / alpha_bars[1 : t + 1]
        assert_close(shares.sum(), 1 - alpha_bars[t])


def test_the_estimate_of_the_last_signal() -> None:
    """√ᾱ_T ≈ exp(−Σβ/2): from above, and near where β is small."""
    for T in (50, 400, 1000):
        schedule = Schedule.linear(T)
        estimate = math.exp(-float(schedule.betas.double().sum()) / 2)
        end = float(schedule.sqrt_alpha_bars[-1])
        assert end < estimate < 1.05 * end


@every_schedule
def test_betas_from_a_curve(schedule: Schedule) -> None:
    """β_t = 1 − ᾱ_t/ᾱ_{t−1}, with the tables that the package holds."""
    left = schedule.alpha_bars.double()
    betas = (1 - left[1:] / left[:-1]).float()
    assert_close(betas, schedule.betas[1:], rtol=1e-5, atol=1e-6)


def test_snr_is_one_where_half_of_the_variance_is_left() -> None:
    for schedule in SCHEDULES.values():
        below = schedule.snr[1:] < 1
        assert torch.equal(below, schedule.alpha_bars[1:] < 0.5)
    first = {
        name: int((schedule.snr < 1).nonzero()[0]) / schedule.T
        for name, schedule in SCHEDULES.items()
    }
    assert first["linear"] == pytest.approx(0.25, abs=0.02)
    assert first["cosine"] == pytest.approx(0.5, abs=0.01)
    assert first["sigmoid"] == pytest.approx(0.5, abs=0.01)


def test_two_jumps_are_no_step() -> None:
    """The answer to a question: with fresh noise, x_t − x_{t−1} is not small."""
    schedule, n = SCHEDULES["linear"], 100_000
    generator = torch.Generator().manual_seed(3)
    signal = schedule.sqrt_alpha_bars.double()
    noise = schedule.sqrt_one_minus_alpha_bars.double()
    eps = torch.randn(2, n, generator=generator, dtype=torch.float64)
    x_s, x_t = (signal[t] + noise[t] * e for t, e in zip((299, 300), eps, strict=True))
    variance = float((x_t - x_s).var())
    expected = float((noise[299:301] ** 2).sum())
    assert abs(variance / expected - 1) < 5 * math.sqrt(2 / n)
    assert variance > 100 * float(schedule.betas[300])
