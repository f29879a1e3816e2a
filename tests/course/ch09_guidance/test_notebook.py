"""The formulas of notebook 09 that no other test covers, and what its text relies on.

The guided prediction itself [CFG eq. 6] is in test_equations.py. Statistical tests
state their standard error and fail at five of them.
"""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from minddpm import (
    DDPM,
    ExactDenoiser,
    GaussianMixture,
    Schedule,
    ancestral,
    data,
    ddim,
    sample,
)
from rooms import seeded

MEANS = torch.tensor([[-1.0], [0.0], [1.0]])
GRID = torch.linspace(-6, 6, 481, dtype=torch.float64)[:, None]
H = 12 / 480
CLASS, VARIANCE = 0.25, 0.25 + 2 / 3  # variances of class 0 and of the population


def model(T: int = 100) -> DDPM:
    schedule = Schedule.linear(T=T, rescale=True)
    mixture = GaussianMixture(MEANS, 0.5, schedule, labels=torch.arange(3))
    return DDPM(mixture, schedule=schedule)


DDPM_100 = model()
ORACLE = DDPM_100.nn_model


def label(k: int, n: int = len(GRID)) -> Tensor:
    return torch.full((n,), k)


def mean_std(values: Tensor, density: Tensor) -> tuple[float, float]:
    weights = density / density.sum()
    mean = (weights * values).sum()
    return float(mean), float((weights * (values - mean) ** 2).sum().sqrt())


def product(w: float, k: int = 0) -> Tensor:
    log_c, log_all = ORACLE.log_prob(GRID, 0, label(k)), ORACLE.log_prob(GRID, 0)
    return ((1 + w) * log_c - w * log_all).softmax(dim=0) / H


def law(w: float, k: int = 0, grid: Tensor = GRID) -> tuple[Tensor, Tensor]:
    ddpm, h = DDPM_100, float(grid[1] - grid[0])
    p = torch.exp(-(grid[:, 0] ** 2) / 2) / (2 * torch.pi) ** 0.5
    for t in range(ddpm.n_T, 0, -1):
        eps = ddpm.predict_eps(grid, t, label(k, len(grid)), w)
        mean, variance = ddpm.q_posterior(ddpm.predict_x0(grid, t, eps), grid, t)
        if t == 1:
            return mean[:, 0], p
        std = variance[0].sqrt()
        z = (grid.T - mean) / std
        p = h * p @ (torch.exp(-(z**2) / 2) / (std * (2 * torch.pi) ** 0.5))
    raise AssertionError


LAWS = {w: law(w) for w in (-2.0, -1.0, -0.5, 0.0, 1.0, 2.0, 3.0, 4.0)}
MOMENTS = {w: mean_std(*LAWS[w]) for w in LAWS}


def draw(ddpm: DDPM, w: float, n: int, k: int = 0, seed: int = 1) -> Tensor:
    x_T = torch.randn(n, 1, generator=seeded(seed))
    steps = ancestral(ddpm, x_T, label(k, n), w=w, generator=seeded(seed + 1))
    return sample(steps)[:, 0].double()


def combine(mean_c, var_c, mean, var, w):
    precision = (1 + w) / var_c - w / var
    pull = (1 + w) * mean_c / var_c - w * mean / var
    return pull / precision, 1 / precision


# --- what guidance aims at ------------------------------------------------------------


@pytest.mark.parametrize("w", [-2.0, -0.5, 1.0, 4.0])
@pytest.mark.parametrize("t", [1, 40, 100])
def test_the_guided_answer_is_a_slope_of_two_logarithms_and_of_bayes(t, w):
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None].requires_grad_()
    c = label(0, 13)
    log_c, log_all = ORACLE.log_prob(x, t, c), ORACLE.log_prob(x, t)
    everyone = torch.stack([ORACLE.log_prob(x, t, label(k, 13)) for k in range(3)])
    log_class = everyone.log_softmax(dim=0)[0]  # log p(c | x_t), equal weights
    guided = DDPM_100.predict_eps(x.detach(), t, c, w)
    noise_std = float(DDPM_100.sqrtmab[t])
    for value in ((1 + w) * log_c - w * log_all, log_c + w * log_class):
        (slope,) = torch.autograd.grad(value.sum(), x, retain_graph=True)
        assert_close(guided, -noise_std * slope, rtol=1e-4, atol=1e-5)


def test_the_two_conventions_are_the_same_line():
    eps_c, eps_u = torch.randn(2, 50, 3, generator=seeded(), dtype=torch.float64)
    for w in (-2.0, -1.0, 0.0, 0.7, 4.0):
        s = 1 + w
        assert_close(eps_u + s * (eps_c - eps_u), (1 + w) * eps_c - w * eps_u)


def test_guidance_carries_over_to_x0_hat():
    x_t = torch.randn(50, 1, generator=seeded()).double()
    c = label(0, 50)
    eps_c, eps_u = DDPM_100.predict_eps(x_t, 30, c), DDPM_100.predict_eps(x_t, 30)
    x0_c, x0_u = (DDPM_100.predict_x0(x_t, 30, e) for e in (eps_c, eps_u))
    guided = DDPM_100.predict_x0(x_t, 30, DDPM_100.predict_eps(x_t, 30, c, 4.0))
    assert_close(guided, 5 * x0_c - 4 * x0_u, rtol=1e-5, atol=1e-5)


# --- the law of the guided sampler ----------------------------------------------------


@pytest.mark.parametrize("w", [-1.0, 0.0, 1.0, 4.0])
def test_the_law_on_the_grid_is_that_of_samples(w):
    """40,000 draws; the errors follow from the law's own moments."""
    x, (x0, p) = draw(DDPM_100, w, 40_000, seed=11), LAWS[w]
    mean, std = MOMENTS[w]
    fourth = float((p / p.sum() * (x0 - mean) ** 4).sum())
    error_of_std = ((fourth - std**4) / len(x)) ** 0.5 / (2 * std)
    assert abs(float(x.mean()) - mean) < 5 * std / len(x) ** 0.5
    assert abs(float(x.std()) - std) < 5 * error_of_std
    # and it can fail: the product is not this law, unless w = −1 or 0
    off = mean_std(GRID[:, 0], product(w))[0] - mean
    assert (abs(off) > 20 * std / len(x) ** 0.5) == (w > 0)


def test_the_grid_is_fine_and_wide_enough():
    finer = torch.linspace(-7, 7, 801, dtype=torch.float64)[:, None]
    for w in (-1.0, 4.0):
        assert float(LAWS[w][1].sum()) * H == pytest.approx(1, abs=1e-5)
    assert float(LAWS[-2.0][1].sum()) * H == pytest.approx(1, abs=1e-3)
    exact = mean_std(*law(4.0, grid=finer))
    assert MOMENTS[4.0] == pytest.approx(exact, abs=1e-4)


def test_the_density_of_x0_is_that_of_x1_over_the_slope():
    for x0, p in LAWS.values():
        slope = torch.gradient(x0, spacing=H)[0]
        assert float(slope.min()) > 0  # or one x_0 would come from two x_1
        area = torch.trapezoid(p / slope, x0)
        assert float(area) == pytest.approx(1, abs=1e-3)


def test_guidance_moves_and_shrinks_and_goes_beyond_the_product():
    for v, w in itertools.pairwise((-1.0, -0.5, 0.0, 1.0, 2.0, 3.0, 4.0)):
        assert MOMENTS[w][0] < MOMENTS[v][0] - 0.03
        assert MOMENTS[w][1] < MOMENTS[v][1]
    for w in (1.0, 4.0):
        assert MOMENTS[w][0] < mean_std(GRID[:, 0], product(w))[0] - 0.1
    assert MOMENTS[4.0][0] < -1.5  # more than a standard deviation of the class away
    assert MOMENTS[-2.0][0] > 1
    # no unit of w ≥ 0 moves the mean as far as the first
    units = [MOMENTS[w][0] - MOMENTS[w + 1][0] for w in (0.0, 1.0, 2.0, 3.0)]
    assert units[0] > 1.5 * max(units[1:])


def test_the_middle_class_shrinks_and_stays():
    mean, std = mean_std(*law(4.0, k=1))
    assert abs(mean) < 1e-6
    assert std < 0.5 * MOMENTS[4.0][1]


def test_certainty_of_the_class_rises_with_w():
    sure = []
    for w in (-2.0, -1.0, -0.5, 0.0, 1.0, 4.0):
        x0, p = LAWS[w]
        of = [ORACLE.log_prob(x0[:, None], 0, label(k)).exp() for k in range(3)]
        sure.append(float((p / p.sum() * of[0] / sum(of)).sum()))
    assert sure == sorted(sure)
    assert sure[1] == pytest.approx(1 / 3, abs=0.02)  # w = −1: all classes alike


def test_more_steps_do_not_lead_to_the_product():
    """5,000 draws of T = 100 and 400; the error is that of a difference of means."""
    aim = mean_std(GRID[:, 0], product(4.0))[0]
    few, many = (draw(model(T), 4.0, 5000, seed=21) for T in (100, 400))
    error = float((few.var() + many.var()).sqrt()) / 5000**0.5
    assert abs(float(few.mean() - many.mean())) < 5 * error
    assert abs(float(many.mean()) - aim) > 20 * error


@pytest.mark.parametrize(("w", "same"), [(0.0, True), (4.0, False)])
def test_ddim_agrees_with_ancestral_without_guidance_only(w, same):
    """In the limit of many steps: 2,000 draws at T = 400, the error of a difference."""
    ddpm = model(400)
    x_T = torch.randn(2000, 1, generator=seeded(3))
    x = sample(ddim(ddpm, x_T, label(0, 2000), steps=400, w=w))[:, 0].double()
    y = draw(ddpm, w, 2000, seed=31)
    error = float((x.var() + y.var()).sqrt()) / 2000**0.5
    apart = abs(float(x.mean() - y.mean())) / error
    assert apart < 5 if same else apart > 20


# --- Gaussians ------------------------------------------------------------------------


@pytest.mark.parametrize("w", [-1.0, -0.4, 0.0, 2.0, 6.0])
def test_the_product_of_gaussians_is_what_quadrature_says(w):
    x = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    log_p = w * (x - 0.3) ** 2 / 1.1 - (1 + w) * (x + 1) ** 2 / 0.4
    mean, std = mean_std(x, (log_p / 2).softmax(0))
    exact = combine(-1.0, 0.4, 0.3, 1.1, w)
    assert (mean, std**2) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("t", [1, 40, 100])
def test_the_guided_answer_is_exact_for_the_product_of_the_noised(t):
    schedule, w = DDPM_100.schedule, 4.0
    a = float(schedule.alpha_bars[t])
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    of_class = GaussianMixture(torch.tensor([[-1.0]]), CLASS**0.5, schedule)
    of_all = GaussianMixture(torch.tensor([[0.0]]), VARIANCE**0.5, schedule)
    m, v = combine(-(a**0.5), a * CLASS + 1 - a, 0.0, a * VARIANCE + 1 - a, w)
    guided = (1 + w) * of_class.eps(x, t) - w * of_all.eps(x, t)
    assert_close(guided, (1 - a) ** 0.5 * (x - m) / v, rtol=1e-4, atol=1e-4)


def test_power_and_noise_do_not_commute_and_the_chain_overshoots():
    """The chain by its recursion, and by 20,000 draws with the standard error."""
    schedule, w, n = DDPM_100.schedule, 4.0, 20_000
    m_0, v_0 = combine(-1.0, CLASS, 0.0, VARIANCE, w)
    m, v, x = 0.0, 1.0, torch.randn(n, 1, generator=seeded()).double()
    draws, beyond = seeded(1), {}
    for t in range(100, 0, -1):
        a = float(schedule.alpha_bars[t])
        m_t, v_t = combine(-(a**0.5), a * CLASS + 1 - a, 0.0, a * VARIANCE + 1 - a, w)
        beyond[t] = (a**0.5 * m_0 - m_t, m_t - m)

        def reverse(y, t=t, a=a, m_t=m_t, v_t=v_t):
            eps = (1 - a) ** 0.5 * (y - m_t) / v_t
            return DDPM_100.q_posterior(DDPM_100.predict_x0(y, t, eps), y, t)

        ends, variance = reverse(torch.tensor([[m], [m + 1]], dtype=torch.float64))
        m, v = float(ends[0]), float((ends[1] - ends[0]) ** 2 * v + variance[0])
        z = torch.randn(n, 1, generator=draws).double()
        x = reverse(x)[0] + float(variance[0]) ** 0.5 * z
    assert all(beyond[t][0] > 0.3 for t in (20, 40, 60))  # the field lies further out
    assert all(beyond[t][1] > 0.2 for t in (20, 40))  # and the chain beyond it
    assert abs(float(x.mean()) - m) < 5 * (v / n) ** 0.5
    assert abs(float(x.var()) - v) < 5 * v * (2 / n) ** 0.5
    assert m < m_0 - 20 * (v / n) ** 0.5
    assert v < 0.6 * v_0


# --- digits ---------------------------------------------------------------------------


def test_sampler_and_clamp_keep_the_spread_of_digits_with_the_exact_denoiser():
    """Without guidance. 300 samples; the error of their spread by the bootstrap."""
    images, labels = data.load("digits")
    denoiser = ExactDenoiser(images, DDPM_100.schedule, labels)
    ddpm = DDPM(denoiser, schedule=DDPM_100.schedule)
    c = torch.arange(300) % 10
    x_T = torch.randn(300, 1, 8, 8, generator=seeded(3))
    x = sample(ancestral(ddpm, x_T, c, clip_x0=1.0, generator=seeded(4)))

    def spread(x, c):
        variances = torch.stack([x[c == k].var(dim=0).mean() for k in range(10)])
        return float(variances.mean().sqrt())

    draws = seeded(5)
    again = []
    for _ in range(100):
        rows = torch.cat(
            [
                (c == k).nonzero()[torch.randint(30, (30,), generator=draws), 0]
                for k in range(10)
            ]
        )
        again.append(spread(x[rows], c[rows]))
    error = float(torch.tensor(again).std())
    real = spread(images, labels)
    assert abs(spread(x, c) - real) < 5 * error
    assert 5 * error < 0.06  # the network of the notebook lacks about 0.09
