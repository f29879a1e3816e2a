"""The formulas that notebook 04 prints and that no other test covers.

For Gaussian data in one dimension, q(x_{0:T}) and p(x_{0:T}) are Gaussians in T+1
dimensions. Their covariances are built here from the steps, and all else from them.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from minddpm import DDPM, GaussianMixture, Schedule
from minddpm.course.ch04_noise_prediction_loss.weighting import (
    WEIGHTS,
    loss_weights,
    tenths,
)

T, MEAN = 8, 1.0
SCHEDULE = Schedule.linear(T, 0.02, 0.5)
BETAS = SCHEDULE.betas.double()
ALPHAS = 1 - BETAS
ALPHA_BARS = ALPHAS.cumprod(0)
STDS = [0.3, 1.0, 1.7]
each_std = pytest.mark.parametrize("std", STDS)
each_choice = pytest.mark.parametrize("choice", ["exact", "beta", "posterior"])


def variances(std: float) -> Tensor:
    """v_t, the variance of x_t."""
    return ALPHA_BARS * std**2 + 1 - ALPHA_BARS


def reverse_step(std: float) -> tuple[Tensor, Tensor]:
    """Slope k_t and exact variance of q(x_s | x_t), (T+1,), as in the notebook."""
    v = variances(std)
    k, exact = torch.zeros_like(v), torch.zeros_like(v)
    k[1:] = ALPHAS[1:].sqrt() * v[:-1] / v[1:]
    exact[1:] = BETAS[1:] * v[:-1] / v[1:]
    return k, exact


def chosen(choice: str, std: float) -> Tensor:
    """σ_t² under one of the notebook's three choices."""
    if choice == "exact":
        return reverse_step(std)[1]
    if choice == "beta":
        return BETAS.clone()
    sigma2 = SCHEDULE.posterior_variances.double().clone()
    sigma2[1] = BETAS[1]
    return sigma2


def forward_law(std: float) -> MultivariateNormal:
    """q(x_0, …, x_T), built by walking forward."""
    mean = torch.zeros(T + 1, dtype=torch.float64)
    cov = torch.zeros(T + 1, T + 1, dtype=torch.float64)
    mean[0], cov[0, 0] = MEAN, std**2
    for t in range(1, T + 1):
        root = ALPHAS[t].sqrt()
        mean[t] = root * mean[t - 1]
        cov[t, :t] = cov[:t, t] = root * cov[t - 1, :t]
        cov[t, t] = ALPHAS[t] * cov[t - 1, t - 1] + BETAS[t]
    return MultivariateNormal(mean, cov)


def model_law(std: float, sigma2: Tensor) -> MultivariateNormal:
    """p(x_0, …, x_T) with the best means, built by walking back from N(0, 1)."""
    k, _ = reverse_step(std)
    centre = ALPHA_BARS.sqrt() * MEAN
    mean = torch.zeros(T + 1, dtype=torch.float64)
    cov = torch.zeros(T + 1, T + 1, dtype=torch.float64)
    cov[T, T] = 1
    for t in range(T, 0, -1):
        s = t - 1
        mean[s] = centre[s] + k[t] * (mean[t] - centre[t])
        cov[s, t:] = cov[t:, s] = k[t] * cov[t, t:]
        cov[s, s] = k[t] ** 2 * cov[t, t] + sigma2[t]
    return MultivariateNormal(mean, cov)


def log_normal(x: Tensor, mean: Tensor | float, variance: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / variance + (2 * math.pi * variance).log())


def bracket(x: Tensor, std: float, sigma2: Tensor) -> Tensor:
    """What [DDPM eq. 3] averages; x is (N, T+1)."""
    k, _ = reverse_step(std)
    centre = ALPHA_BARS.sqrt() * MEAN
    total = -log_normal(x[:, T], 0.0, torch.ones(()))
    for t in range(1, T + 1):
        mean = centre[t - 1] + k[t] * (x[:, t] - centre[t])
        p = log_normal(x[:, t - 1], mean, sigma2[t])
        total -= p - log_normal(x[:, t], ALPHAS[t].sqrt() * x[:, t - 1], BETAS[t])
    return total


def terms(x: Tensor, std: float, sigma2: Tensor) -> Tensor:
    """L_0 … L_T of [DDPM eq. 5] for each path, (N, T+1); x is (N, T+1)."""
    network = GaussianMixture(torch.tensor([[MEAN]]).double(), std, SCHEDULE)
    ddpm = DDPM(network, schedule=SCHEDULE)
    k, _ = reverse_step(std)
    centre = ALPHA_BARS.sqrt() * MEAN
    x0 = x[:, :1]
    means = [centre[t - 1] + k[t] * (x[:, t : t + 1] - centre[t]) for t in range(T + 1)]
    L = [-log_normal(x0, means[1], sigma2[1])]
    for t in range(2, T + 1):
        mean, variance = ddpm.q_posterior(x0, x[:, t : t + 1], t)
        model = Normal(means[t], sigma2[t].sqrt())
        L.append(kl_divergence(Normal(mean, variance.double().sqrt()), model))
    end = Normal(ALPHA_BARS[T].sqrt() * x0, (1 - ALPHA_BARS[T]).sqrt())
    L.append(kl_divergence(end, Normal(torch.zeros(()).double(), 1.0)))
    return torch.cat(L, dim=1)


def draw(std: float, n: int) -> Tensor:
    """Paths x_0 … x_T by [DDPM eq. 2], (n, T+1)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, T + 1, generator=generator, dtype=torch.float64)
    x = [MEAN + std * noise[:, 0]]
    for t in range(1, T + 1):
        x.append(ALPHAS[t].sqrt() * x[-1] + BETAS[t].sqrt() * noise[:, t])
    return torch.stack(x, dim=1)


# --- the perfect reverse step, and the bound ------------------------------------------


@each_std
def test_the_reverse_step_is_the_conditional_law_of_two_neighbours(std: float) -> None:
    law, (k, exact) = forward_law(std), reverse_step(std)
    assert_close(law.mean, ALPHA_BARS.sqrt() * MEAN)
    assert_close(law.variance, variances(std))
    for t in range(1, T + 1):
        c = law.covariance_matrix[t - 1 : t + 1, t - 1 : t + 1]
        assert_close(k[t], c[0, 1] / c[1, 1])
        assert_close(exact[t], c[0, 0] - c[0, 1] ** 2 / c[1, 1])


@each_std
def test_the_best_noise_predictor_gives_this_mean_through_eq_11(std: float) -> None:
    network = GaussianMixture(torch.tensor([[MEAN]]).double(), std, SCHEDULE)
    k, _ = reverse_step(std)
    x_t = torch.linspace(-2, 3, 11, dtype=torch.float64)[:, None]
    for t in range(1, T + 1):
        step = BETAS[t] / (1 - ALPHA_BARS[t]).sqrt() * network.eps(x_t, t)
        direct = (x_t - step) / ALPHAS[t].sqrt()
        centre = ALPHA_BARS.sqrt() * MEAN
        mean = centre[t - 1] + k[t] * (x_t - centre[t])
        assert_close(direct, mean, rtol=0, atol=1e-6)


@each_std
@each_choice
def test_eq_3_is_the_log_ratio_of_the_two_laws_of_a_path(std, choice) -> None:
    x, sigma2 = draw(std, 50), chosen(choice, std)
    log_p = model_law(std, sigma2).log_prob(x)
    given = forward_law(std).log_prob(x) - log_normal(
        x[:, 0], MEAN, torch.tensor(std**2)
    )
    assert_close(bracket(x, std, sigma2), given - log_p)


@each_std
def test_with_the_exact_step_every_path_gives_log_q_up_to_the_ends(std: float) -> None:
    x = draw(std, 50)
    nll = -log_normal(x[:, 0], MEAN, torch.tensor(std**2, dtype=torch.float64))
    end = log_normal(x[:, T], ALPHA_BARS[T].sqrt() * MEAN, variances(std)[T])
    end = end - log_normal(x[:, T], 0.0, torch.ones(()))
    assert_close(bracket(x, std, chosen("exact", std)), nll + end)


@each_std
@each_choice
def test_eqs_3_and_5_by_simulation_are_the_closed_form(std, choice) -> None:
    """H + KL(q(x_T) ‖ p(x_T)) + Σ ½ (r − 1 − log r), within 5 standard errors."""
    n, sigma2, v = 50_000, chosen(choice, std), variances(std)
    r = reverse_step(std)[1][1:] / sigma2[1:]
    entropy = 0.5 * math.log(2 * math.pi * math.e * std**2)
    end = 0.5 * (v[T] + ALPHA_BARS[T] * MEAN**2 - 1 - v[T].log())
    exact = entropy + end + 0.5 * (r - 1 - r.log()).sum()
    # the same from the joint laws: E[log q(x_{1:T} | x_0) − log p(x_{0:T})]
    joint = kl_divergence(forward_law(std), model_law(std, sigma2)) + entropy
    assert_close(joint, exact)
    x = draw(std, n)
    for paths in (bracket(x, std, sigma2), terms(x, std, sigma2).sum(1)):
        error = float(paths.std()) / math.sqrt(n)
        assert abs(float(paths.mean() - exact)) < 5 * error


@each_std
@each_choice
def test_the_models_own_likelihood_lies_between_entropy_and_bound(std, choice) -> None:
    """By the notebook's recursion, and as the first entry of the joint law."""
    sigma2, (k, _) = chosen(choice, std), reverse_step(std)
    centre = ALPHA_BARS.sqrt() * MEAN
    mean, var = torch.zeros(()).double(), torch.ones(()).double()
    for t in range(T, 0, -1):
        mean = centre[t - 1] + k[t] * (mean - centre[t])
        var = k[t] ** 2 * var + sigma2[t]
    law = model_law(std, sigma2)
    assert_close(mean, law.mean[0])
    assert_close(var, law.variance[0])
    own = 0.5 * ((2 * math.pi * var).log() + (std**2 + (MEAN - mean) ** 2) / var)
    data = Normal(torch.tensor(MEAN).double(), std)
    entropy = data.entropy()
    assert_close(own, entropy + kl_divergence(data, Normal(mean, var.sqrt())))
    bound = kl_divergence(forward_law(std), law) + entropy
    assert entropy - 1e-9 <= own <= bound + 1e-9


def test_the_exact_variance_lies_between_for_data_of_variance_below_1() -> None:
    """And it is β̃ for one point, β for variance 1, above β for more."""
    posterior = SCHEDULE.posterior_variances.double()[2:]
    exact = [reverse_step(std)[1][2:] for std in (0.0, 0.3, 1.0, 1.7)]
    assert_close(exact[0], posterior, rtol=1e-6, atol=0)
    assert ((posterior < exact[1]) & (exact[1] < BETAS[2:])).all()
    assert_close(exact[2], BETAS[2:])
    assert (exact[3] > BETAS[2:]).all()


# --- the terms -----------------------------------------------------------------------


def test_bayes_for_one_forward_step() -> None:
    """q(x_t | x_s) = q(x_s | x_t, x_0) q(x_t | x_0) / q(x_s | x_0), at any points."""
    x0, x_s, x_t = torch.randn(
        3, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    for t in range(2, T + 1):
        s, rest = t - 1, 1 - ALPHA_BARS[t]
        mean = ALPHA_BARS[s].sqrt() * BETAS[t] / rest * x0
        mean = mean + ALPHAS[t].sqrt() * (1 - ALPHA_BARS[s]) / rest * x_t
        variance = (1 - ALPHA_BARS[s]) / rest * BETAS[t]
        right = log_normal(x_s, mean, variance)
        right += log_normal(x_t, ALPHA_BARS[t].sqrt() * x0, rest)
        right -= log_normal(x_s, ALPHA_BARS[s].sqrt() * x0, 1 - ALPHA_BARS[s])
        assert_close(log_normal(x_t, ALPHAS[t].sqrt() * x_s, BETAS[t]), right)


def test_eq_7_is_the_precision_weighted_average_of_two_witnesses() -> None:
    x0, x_t = 0.7, -1.3
    for t in range(2, T + 1):
        s, rest = t - 1, 1 - ALPHA_BARS[t]
        a, b = 1 - ALPHA_BARS[s], BETAS[t] / ALPHAS[t]
        A, B = ALPHA_BARS[s].sqrt() * x0, x_t / ALPHAS[t].sqrt()
        mean = ALPHA_BARS[s].sqrt() * BETAS[t] / rest * x0
        mean = mean + ALPHAS[t].sqrt() * (1 - ALPHA_BARS[s]) / rest * x_t
        assert_close((A / a + B / b) / (1 / a + 1 / b), mean)
        assert_close(1 / (1 / a + 1 / b), BETAS[t] * (1 - ALPHA_BARS[s]) / rest)
        assert_close(BETAS[t] + ALPHAS[t] * (1 - ALPHA_BARS[s]), rest)


def test_the_divergence_of_two_gaussians_by_numerical_integration() -> None:
    x = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    for m1, v1, m2, v2 in [(0.7, 0.4, -0.3, 0.9), (-1.0, 2.0, 0.5, 0.6)]:
        one, two = (
            log_normal(x, m, torch.tensor(v, dtype=x.dtype))
            for m, v in ((m1, v1), (m2, v2))
        )
        integral = torch.trapezoid(one.exp() * (one - two), x)
        closed = 0.5 * (math.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1)
        assert float(integral) == pytest.approx(closed, rel=1e-8)


@pytest.mark.parametrize("mu", [-0.4, 2.0])
def test_eq_8_leaves_a_constant(mu: float) -> None:
    """KL of Gaussians = ‖μ̃ − μ‖² / (2σ²) + C, and C is the KL at equal means."""
    sigma2, beta_tilde = torch.tensor(0.3).double(), torch.tensor(0.1).double()
    mu_tilde = torch.linspace(-2, 2, 9, dtype=torch.float64)
    model = Normal(torch.tensor(mu).double(), sigma2.sqrt())
    kl = kl_divergence(Normal(mu_tilde, beta_tilde.sqrt()), model)
    rest = kl - (mu_tilde - mu) ** 2 / (2 * sigma2)
    C = 0.5 * ((sigma2 / beta_tilde).log() + beta_tilde / sigma2 - 1)
    assert_close(rest, C.expand(9))


def test_eq_12_is_eq_8_with_the_means_of_eqs_7_and_11() -> None:
    generator = torch.Generator().manual_seed(0)
    x0, eps, eps_hat = torch.randn(3, 20, 1, generator=generator, dtype=torch.float64)
    network = GaussianMixture(torch.zeros(1, 1), 1.0, SCHEDULE)
    ddpm, sigma2 = DDPM(network, schedule=SCHEDULE), 0.37
    for t in range(1, T + 1):
        x_t = ALPHA_BARS[t].sqrt() * x0 + (1 - ALPHA_BARS[t]).sqrt() * eps
        mu_tilde, _ = ddpm.q_posterior(x0, x_t, t)
        step = BETAS[t] / (1 - ALPHA_BARS[t]).sqrt() * eps_hat
        mu = (x_t - step) / ALPHAS[t].sqrt()
        weight = BETAS[t] ** 2 / (2 * sigma2 * ALPHAS[t] * (1 - ALPHA_BARS[t]))
        squared = (mu_tilde - mu) ** 2 / (2 * sigma2)
        assert_close(squared, weight * (eps - eps_hat) ** 2, rtol=1e-4, atol=1e-5)


@each_std
@each_choice
def test_each_term_is_weight_times_floor_plus_a_constant(std, choice) -> None:
    """[DDPM eq. 12] with the floor ᾱ s²/v of the best network, by 5 standard errors."""
    n, sigma2 = 50_000, chosen(choice, std)
    L = terms(draw(std, n), std, sigma2)
    beta_tilde = SCHEDULE.posterior_variances.double()
    floor = ALPHA_BARS * std**2 / variances(std)
    weight = BETAS**2 / (2 * sigma2 * ALPHAS * (1 - ALPHA_BARS))
    for t in range(1, T + 1):
        if t == 1:
            C = 0.5 * (2 * math.pi * sigma2[1]).log()
        else:
            r = beta_tilde[t] / sigma2[t]
            C = 0.5 * (r - 1 - r.log())
        error = float(L[:, t - 1].std()) / math.sqrt(n)
        gap = float(L[:, t - 1].mean() - C - weight[t] * floor[t])
        assert abs(gap) < 5 * error, t


def test_an_error_at_one_step_raises_the_bound_by_its_weight() -> None:
    """Shift ε_θ by √δ at one t: E(ε − ε_θ)² grows by δ, and the bound by w_t δ."""
    std, n, t, delta = 0.3, 50_000, 3, 0.05
    x, sigma2 = draw(std, n), chosen("exact", std)
    k, _ = reverse_step(std)
    centre = ALPHA_BARS.sqrt() * MEAN
    mean = centre[t - 1] + k[t] * (x[:, t] - centre[t])
    factor = BETAS[t] / (ALPHAS[t] * (1 - ALPHA_BARS[t])).sqrt()
    shifted = mean - factor * math.sqrt(delta)
    p, p_shifted = (log_normal(x[:, t - 1], m, sigma2[t]) for m in (mean, shifted))
    worse = p - p_shifted
    weight = BETAS[t] ** 2 / (2 * sigma2[t] * ALPHAS[t] * (1 - ALPHA_BARS[t]))
    error = float(worse.std()) / math.sqrt(n)
    assert abs(float(worse.mean() - weight * delta)) < 5 * error


# --- the explorer's weights -----------------------------------------------------------

SCHEDULES = [SCHEDULE, Schedule.cosine(100), Schedule.linear(1000)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_weights_of_the_explorer(schedule: Schedule) -> None:
    beta = schedule.betas.double()
    bar = (1 - beta).cumprod(0)
    t = slice(2, None)
    close = {"rtol": 1e-4, "atol": 0}
    w = {name: loss_weights(name, schedule, gamma=3.0)[t] for name in WEIGHTS}
    for name, sigma2 in (
        ("bound, σ² = β", beta[t]),
        ("bound, σ² = β̃", schedule.posterior_variances.double()[t]),
    ):
        expected = beta[t] ** 2 / (2 * sigma2 * (1 - beta[t]) * (1 - bar[t]))
        assert_close(w[name], expected, **close)
    assert_close(w["L_simple"], torch.ones_like(w["L_simple"]))
    snr = bar[t] / (1 - bar[t])
    assert_close(w["Min-SNR"], torch.minimum(snr, torch.tensor(3.0)) / snr, **close)
    # x_0 − x̂_0 = √(1−ᾱ)/√ᾱ (ε̂ − ε), from eqs. 4 and 15
    x_t, eps, eps_hat = 0.3, 0.9, -0.4
    noise, signal = (1 - bar[t]).sqrt(), bar[t].sqrt()
    x0, x0_hat = ((x_t - noise * e) / signal for e in (eps, eps_hat))
    squared = (x0 - x0_hat) ** 2 / (eps - eps_hat) ** 2
    assert_close(w["error of x̂_0"], squared, **close)


def test_infinite_weights_are_nan_and_names_are_checked() -> None:
    for name in WEIGHTS:
        missing = loss_weights(name, SCHEDULE).isnan().nonzero().flatten().tolist()
        assert missing == ([0, 1] if "β̃" in name else [0])
    with pytest.raises(ValueError, match="name must be one of bound, σ² = β, bound"):
        loss_weights("SNR", SCHEDULE)


def test_tenths_are_the_shares_of_a_sum() -> None:
    assert_close(tenths(torch.ones(1001)), torch.full((10,), 0.1).double())
    terms = torch.zeros(21)
    terms[[1, 2, 20]] = torch.tensor([1.0, 2.0, 1.0])
    terms[[0, 5]] = torch.tensor([torch.nan, torch.inf])
    expected = torch.zeros(10, dtype=torch.float64)
    expected[[0, 9]] = torch.tensor([0.75, 0.25], dtype=torch.float64)
    assert_close(tenths(terms), expected)
