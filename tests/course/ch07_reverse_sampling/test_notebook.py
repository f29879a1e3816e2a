"""The formulas of notebook 07 that no other test covers, and what its text relies on.

Algorithm 2, both variances against the recursion, and DDIM against an independent
implementation are in test_samplers.py; the posterior and eqs. 11 and 15 in
test_equations.py. Statistical tests state their standard error and fail at five of
them.
"""

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

SCHEDULE = Schedule.linear(50, rescale=True)
COSINE = Schedule.cosine(100)
BOTH = ("posterior", "beta")


def laws(
    m: float, d: float, schedule: Schedule, variance: str, last: bool = False
) -> tuple[list[float], list[float]]:
    """M_t and V_t of the walk, as printed: V_{t−1} = k_t² V_t + σ_t²."""
    beta = schedule.betas.double().tolist()
    a = (1 - schedule.betas.double()).cumprod(0).tolist()
    v = [x * d**2 + 1 - x for x in a]
    M, V = [0.0] * len(a), [1.0] * len(a)
    for t in range(schedule.T, 0, -1):
        k = (1 - beta[t]) ** 0.5 * v[t - 1] / v[t]
        M[t - 1] = a[t - 1] ** 0.5 * m + k * (M[t] - a[t] ** 0.5 * m)
        sigma2 = beta[t]
        if variance == "posterior":
            sigma2 *= (1 - a[t - 1]) / (1 - a[t])
        V[t - 1] = k**2 * V[t] + (sigma2 if t > 1 or last else 0)
    return M, V


def gaussian(m: float, d: float, schedule: Schedule) -> DDPM:
    network = GaussianMixture(torch.tensor([[m]]), d, schedule)
    return DDPM(network, schedule=schedule)


def test_the_exact_noise_of_gaussian_data_is_the_line_that_is_printed() -> None:
    m, d, x = 1.0, 0.3, torch.linspace(-3, 3, 25)[:, None].double()
    for t in (1, 7, 50):
        a = SCHEDULE.alpha_bars[t].double()
        line = (1 - a).sqrt() * (x - a.sqrt() * m) / (a * d**2 + 1 - a)
        exact = GaussianMixture(torch.tensor([[m]]), d, SCHEDULE).eps(x, t)
        assert_close(line, exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("variance", BOTH)
@pytest.mark.parametrize("rescale", [True, False])
def test_the_law_at_every_t_is_that_of_the_walk(variance: str, rescale: bool) -> None:
    """Standard errors: std/√n of a mean, std/√(2n) of a standard deviation."""
    n, m, d = 20_000, -0.5, 0.6
    schedule = Schedule.linear(25, rescale=rescale)
    M, V = laws(m, d, schedule, variance)
    x_T = torch.randn(n, 1, generator=seeded())
    walk = ancestral(
        gaussian(m, d, schedule), x_T, variance=variance, generator=seeded(1)
    )
    for step in walk:
        s = step.t - 1
        assert abs(float(step.x_s.mean()) - M[s]) < 5 * (V[s] / n) ** 0.5
        assert abs(float(step.x_s.std()) - V[s] ** 0.5) < 5 * (V[s] / 2 / n) ** 0.5


def test_each_variance_is_exact_for_one_law() -> None:
    """β̃ for a point, β for N(0, 1); the other one is far off, and in between both."""
    a = (1 - SCHEDULE.betas.double()).cumprod(0)
    for m, d, right in ((1.0, 0.0, "posterior"), (0.0, 1.0, "beta")):
        v = (a * d**2 + 1 - a)[1:]
        for variance in BOTH:
            V = torch.tensor(laws(m, d, SCHEDULE, variance)[1])[1:]
            worst = float(((V / v).sqrt() - 1).abs().max())
            # the point's walk starts from N(0, 1) instead of variance 1 − ᾱ_T
            assert worst < 1e-5 if variance == right else worst > 0.05
    # with the last noise as well, N(0, 1) comes out as it is
    assert laws(0.0, 1.0, SCHEDULE, "beta", last=True)[1][0] == pytest.approx(1)


@pytest.mark.parametrize("d", [0.1, 0.3, 0.9])
def test_beta_tilde_is_too_narrow_and_beta_too_wide_and_both_close_in(d: float) -> None:
    Ts = (25, 50, 100, 200, 400)
    stds = {
        kind: [
            laws(1.0, d, Schedule.linear(T, rescale=True), kind)[1][0] ** 0.5
            for T in Ts
        ]
        for kind in BOTH
    }
    assert stds["posterior"] == sorted(stds["posterior"])
    assert max(stds["posterior"]) < d
    if d < 0.9:  # close to 1, β errs less than the noise left out at t = 1
        assert stds["beta"] == sorted(stds["beta"], reverse=True)
        assert min(stds["beta"]) > d


def test_without_noise_all_walks_end_at_the_mean() -> None:
    x = torch.randn(1000, 1, generator=seeded())
    model = gaussian(1.0, 0.3, SCHEDULE)
    for t in range(50, 0, -1):
        eps_hat = model.predict_eps(x, t)
        x, _ = model.q_posterior(model.predict_x0(x, t, eps_hat), x, t)
    assert float(x.std()) < 0.01
    assert float(x.mean()) == pytest.approx(1, abs=1e-3)


def test_a_walk_to_T_and_back_forgets_its_start() -> None:
    """The mean has the standard error std/√n."""
    n, model = 20_000, gaussian(1.0, 0.3, SCHEDULE)
    ends = {}
    for t_out in (2, 50):
        x = model.q_sample(torch.full((n, 1), 1.6), t_out, generator=seeded(2))
        draws = seeded(3)
        for t in range(t_out, 0, -1):
            x, _ = model.p_step(x, t, generator=draws)
        ends[t_out] = x
    assert float(ends[2].mean()) > 1.5
    error = float(ends[50].std()) / n**0.5
    assert abs(float(ends[50].mean()) - 1) < 5 * error


def test_a_wrong_start_gives_a_wrong_mean_and_enough_steps_the_right_one() -> None:
    means = {
        (T, rescale): laws(1.0, 0.3, Schedule.linear(T, rescale=rescale), "beta")[0][0]
        for T in (50, 100, 400)
        for rescale in (False, True)
    }
    assert means[50, False] < 0.9
    assert means[50, False] < means[100, False] < means[400, False]
    assert all(abs(means[T, True] - 1) < 1e-3 for T in (50, 100, 400))


def at_the_ends(scale: float, T: int, rescale: bool) -> tuple[float, float]:
    """The share in the outer fifths left and right, and its standard error."""
    points = scale * data.points("outline", 200, generator=seeded())[0]
    left, right = points[:, 0].quantile(torch.tensor([0.2, 0.8])).tolist()
    schedule = Schedule.linear(T, rescale=rescale)
    model = DDPM(ExactDenoiser(points, schedule), schedule=schedule)
    x_T = torch.randn(500, 2, generator=seeded(4))
    x = sample(ancestral(model, x_T, variance="beta", generator=seeded(5)))[:, 0]
    share = float(((x < left) | (x > right)).double().mean())
    return share, (0.4 * 0.6 / 500) ** 0.5


def test_the_outline_loses_its_ends_if_beta_is_not_rescaled_and_it_is_large() -> None:
    error = at_the_ends(3, 25, True)[1]
    plain, rescaled = (at_the_ends(3, 50, rescale)[0] for rescale in (False, True))
    assert plain < 0.4 - 10 * error
    assert abs(rescaled - 0.4) < 5 * error
    # 25 rescaled steps do better than 100 of the old β
    assert at_the_ends(3, 25, True)[0] > at_the_ends(3, 100, False)[0] + 5 * error
    # at unit variance the effect is small
    assert abs(at_the_ends(1, 50, False)[0] - 0.4) < 5 * error


def test_the_mean_of_digits_is_far_from_0() -> None:
    pixels = data.load("digits")[0].flatten(1)
    assert float(pixels.mean(0).norm()) > 4
    assert float(torch.linalg.eigvalsh(pixels.T.cov())[-1].sqrt()) > 1.4


def test_a_clamp_of_an_exact_x0_hat_does_nothing() -> None:
    means, std = data.ring_mixture()
    model = DDPM(GaussianMixture(means, std, COSINE), schedule=COSINE)
    x_T = torch.randn(200, 2, generator=seeded())
    results = [
        sample(ancestral(model, x_T, clip_x0=clip, generator=seeded(1)))
        for clip in (None, 1.8)
    ]
    assert torch.equal(*results)


def test_an_error_of_the_noise_grows_by_the_factors_that_are_printed() -> None:
    model = gaussian(0.0, 1.0, COSINE)
    x = torch.randn(50, 1, generator=seeded())
    for t in (100, 90, 20):
        off = 0.01 * torch.ones_like(x)
        eps_hat = model.predict_eps(x, t)
        first, second = (model.predict_x0(x, t, e) for e in (eps_hat, eps_hat + off))
        a = COSINE.alpha_bars[t]
        assert_close(first - second, off * (1 - a).sqrt() / a.sqrt(), rtol=1e-2, atol=0)
        means = [model.q_posterior(x0_hat, x, t)[0] for x0_hat in (first, second)]
        b = COSINE.betas[t].double()
        moved = b / ((1 - b) * (1 - a.double())).sqrt()  # [DDPM eq. 11]
        assert_close(
            (means[0] - means[1]).double(), off.double() * moved, rtol=2e-2, atol=1e-4
        )
    # which is 1/√α_T times the error at t = T, where β_T and 1 − ᾱ_T are nearly 1
    assert float(1 / COSINE.alphas[100].sqrt()) == pytest.approx(31.6, abs=0.2)


def draw_digits(kept: Tensor, clamp: bool) -> Tensor:
    schedule = Schedule.linear(50, rescale=True)
    model = DDPM(ExactDenoiser(kept, schedule), schedule=schedule)
    x = torch.randn(1200, 64, generator=seeded(11))
    draws = seeded(12)
    for t in range(50, 0, -1):
        x, _ = model.p_step(x, t, generator=draws)
        x = x.clamp(-1, 1) if clamp else x
    return x


def test_clamping_x_t_changes_which_digits_come_out() -> None:
    """The standard error of a share p is √(p(1−p)/n)."""
    images, labels = data.load("digits")
    kept, classes = images[:300].flatten(1), labels[:300]
    share = {}
    for clamp in (False, True):
        gap, nearest = torch.cdist(draw_digits(kept, clamp), kept).min(1)
        assert float(gap.max()) < 0.05
        share[clamp] = classes[nearest].bincount(minlength=10) / 1200
    truth = classes.bincount(minlength=10) / 300
    error = (truth * (1 - truth) / 1200).sqrt()
    assert float(((share[False] - truth) / error).abs().max()) < 5
    assert float(((share[True] - truth) / error).abs().max()) > 5
    assert share[True][1] < share[False][1]
    assert share[True][0] > share[False][0]


def test_eta_1_over_all_steps_adds_the_posterior_variance() -> None:
    """[DDIM eq. 16] with η = 1 and s = t − 1 is [DDPM eq. 7]."""
    a = COSINE.alpha_bars.double()
    sigma2 = (1 - a[1:-1]) / (1 - a[2:]) * (1 - a[2:] / a[1:-1])
    assert_close(sigma2.float(), COSINE.posterior_variances[2:], rtol=1e-3, atol=1e-7)


def test_eta_decides_whether_two_seeds_agree() -> None:
    means, std = data.ring_mixture()
    model = DDPM(GaussianMixture(means, std, COSINE), schedule=COSINE)
    x_T = torch.randn(100, 2, generator=seeded())

    def apart(eta: float) -> float:
        one, two = (
            sample(ddim(model, x_T, steps=50, eta=eta, generator=seeded(k)))
            for k in (1, 2)
        )
        return float((one - two).norm(dim=1).mean())

    assert apart(0.0) == 0
    assert apart(0.5) > 0.5
    assert apart(1.0) > 0.5


def test_few_ddim_steps_are_too_few_and_twenty_will_do_for_the_exact_ring() -> None:
    means, std = data.ring_mixture()
    model = DDPM(GaussianMixture(means, std, COSINE), schedule=COSINE)
    x_T = torch.randn(2000, 2, generator=seeded(8))

    def strays(steps: int) -> float:
        x = sample(ddim(model, x_T, steps=steps))
        return float((torch.cdist(x, means).min(1).values > 4 * std).double().mean())

    assert strays(5) > 0.1
    assert strays(20) < 0.02


def test_the_mean_of_algorithm_2_leaves_room_for_its_noise() -> None:
    """μ of [DDPM eq. 11] is √ᾱ_s x̂_0 + √(1−ᾱ_s−β̃_t) ε̂, as in [DDIM eq. 12]."""
    model = gaussian(1.0, 0.3, SCHEDULE)
    x = torch.randn(50, 1, generator=seeded())
    a = SCHEDULE.alpha_bars
    for t in (2, 10, 30, 49):
        eps_hat = model.predict_eps(x, t)
        x0_hat = model.predict_x0(x, t, eps_hat)
        room = (1 - a[t - 1] - SCHEDULE.posterior_variances[t]).sqrt()
        mean, _ = model.q_posterior(x0_hat, x, t)
        wanted = a[t - 1].sqrt() * x0_hat + room * eps_hat
        assert_close(mean, wanted, rtol=0, atol=1e-4)


def test_ddim_without_noise_keeps_a_width_where_algorithm_2_does_not() -> None:
    x = torch.randn(20_000, 1, generator=seeded())
    std = float(sample(ddim(gaussian(1.0, 0.3, SCHEDULE), x, steps=50)).std())
    assert 0.25 < std < 0.3


def test_where_data_vary_more_than_the_noise_even_beta_is_too_small() -> None:
    """The exact variance of a step is β_t v_{t−1} / v_t."""
    a = SCHEDULE.alpha_bars.double()
    for d in (0.3, 0.9, 1.7):
        v = a * d**2 + 1 - a
        ratio = (v[:-1] / v[1:])[1:]  # t = 2…T
        tilde = ((1 - a[:-1]) / (1 - a[1:]))[1:]
        assert (ratio > tilde).all()
        assert (ratio > 1).all() if d > 1 else (ratio < 1).all()
