"""The oracle against brute force, numerical integration and closed forms."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from core.shared import randn, seeded
from minddpm import oracle
from minddpm.ddpm import DDPM
from minddpm.oracle import ExactDenoiser, GaussianMixture, loss_floor
from minddpm.schedule import Schedule

T = 100
LINEAR = Schedule.linear(T, rescale=True)
COSINE = Schedule.cosine(T)


def mixture(schedule: Schedule = COSINE) -> GaussianMixture:
    """Five components of different width, weight and class, in 2 × 3 dimensions."""
    return GaussianMixture(
        randn(5, 2, 3, seed=1),
        torch.tensor([0.1, 0.5, 0.3, 1.0, 0.0], dtype=torch.float64),
        schedule,
        weights=torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0], dtype=torch.float64),
        labels=torch.tensor([0, 1, 1, 2, 0]),
    )


def line(stds: float | Tensor, **options: Tensor) -> GaussianMixture:
    """Three components in one dimension."""
    means = torch.tensor([[-1.5], [0.25], [1.0]], dtype=torch.float64)
    return GaussianMixture(means, stds, COSINE, **options)


def brute_force(m: GaussianMixture, x_t: Tensor, t: int, c: int | None) -> Tensor:
    """E[x_0 | x_t, c] for one sample, with loops and Python floats."""
    signal = float(m.schedule.sqrt_alpha_bars[t])
    noise = float(m.schedule.sqrt_one_minus_alpha_bars[t])
    stds = m.stds.expand(len(m.means)).tolist()
    log_r, guesses = [], []
    for k, mean in enumerate(m.means):
        if c is not None and m.labels[k] != c:
            continue
        variance = signal**2 * stds[k] ** 2 + noise**2
        log_density = math.log(float(m.weights[k]))
        guess = []
        for x, mu in zip(x_t.flatten().tolist(), mean.flatten().tolist(), strict=True):
            gap = x - signal * mu
            log_density -= gap**2 / (2 * variance)
            log_density -= math.log(2 * math.pi * variance) / 2
            guess.append(mu + signal * stds[k] ** 2 * gap / variance)
        log_r.append(log_density)
        guesses.append(guess)
    r = [math.exp(value - max(log_r)) for value in log_r]
    columns = zip(*guesses, strict=True)
    x0_hat = [
        sum(w * g for w, g in zip(r, col, strict=True)) / sum(r) for col in columns
    ]
    return torch.tensor(x0_hat, dtype=torch.float64).view(x_t.shape)


def integral_moments(stds: list[float], x: float, t: int) -> tuple[float, float, float]:
    """log q(x_t), mean and variance of x_0 given x_t, summed over a grid of x_0."""
    signal = float(COSINE.sqrt_alpha_bars[t])
    noise = float(COSINE.sqrt_one_minus_alpha_bars[t])
    x0 = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
    prior = sum(
        torch.exp(-((x0 - mu) ** 2) / (2 * s**2)) / (3 * s * math.sqrt(2 * math.pi))
        for mu, s in zip([-1.5, 0.25, 1.0], stds, strict=True)
    )
    likelihood = torch.exp(-((x - signal * x0) ** 2) / (2 * noise**2))
    joint = prior * likelihood / (noise * math.sqrt(2 * math.pi)) * (12 / 20_000)
    total = joint.sum()
    mean = (joint * x0).sum() / total
    variance = (joint * (x0 - mean) ** 2).sum() / total
    return float(total.log()), float(mean), float(variance)


# --- the posterior mean --------------------------------------------------------------


@pytest.mark.parametrize("schedule", [LINEAR, COSINE, Schedule.linear(T=1000)])
@pytest.mark.parametrize("c", [None, 0, 1, 2])
def test_denoise_equals_brute_force(schedule, c):
    m = mixture(schedule)
    for t in (1, 10, 50, T):
        x_t = randn(6, 2, 3, seed=t)
        labels = None if c is None else torch.full((6,), c)
        expected = torch.stack([brute_force(m, x, t, c) for x in x_t])
        assert_close(m.denoise(x_t, t, labels), expected)


@pytest.mark.parametrize("t", [1, 5, 50, 95])
def test_denoise_and_density_equal_numerical_integration(t):
    stds = [0.2, 0.05, 0.6]
    m = line(torch.tensor(stds, dtype=torch.float64))
    x_t = torch.tensor([[-2.0], [-0.3], [0.4], [1.7]], dtype=torch.float64)
    moments = [integral_moments(stds, float(x), t) for x in x_t]
    log_prob, mean, _ = torch.tensor(moments, dtype=torch.float64).T
    assert_close(m.denoise(x_t, t).squeeze(1), mean, rtol=1e-8, atol=1e-8)
    assert_close(m.log_prob(x_t, t), log_prob, rtol=1e-8, atol=1e-8)


def test_denoise_at_the_first_step_picks_the_nearest_image():
    # the logits here differ by thousands, and by 10⁻⁴ of themselves
    data = randn(50, 1, 8, 8, dtype=torch.float32)
    exact = ExactDenoiser(data, Schedule.linear())
    x_t = exact.sqrt_alpha_bars[1] * data + 0.01 * randn(50, 1, 8, 8, seed=1).float()
    assert_close(exact.denoise(x_t, 1), data, rtol=0, atol=0)


def test_two_images_closer_than_the_noise_are_weighed_exactly():
    # float32 distances would be wrong by about 1 in the logit at this norm
    schedule = Schedule.linear()
    data = 1 + torch.tensor([-5e-4, 5e-4]).view(2, 1) * torch.ones(1, 784)
    exact = ExactDenoiser(data, schedule)
    x_t = torch.full((1, 784), 1.0001)
    expected = torch.stack([brute_force(exact, x, 1, None) for x in x_t])
    assert_close(exact.denoise(x_t.double(), 1), expected, rtol=0, atol=1e-9)


def test_exact_denoiser_is_a_mixture_of_tiny_width():
    data, labels = randn(20, 3), torch.arange(20) % 4
    exact = ExactDenoiser(data, COSINE, labels)
    tiny = GaussianMixture(data, 1e-9, COSINE, labels=labels)
    x_t, t, c = randn(8, 3, seed=1), torch.arange(1, 9) * 12, torch.arange(8) % 4
    assert_close(exact.denoise(x_t, t), tiny.denoise(x_t, t))
    assert_close(exact.eps(x_t, t, c), tiny.eps(x_t, t, c))
    assert_close(exact.log_prob(x_t, t, c), tiny.log_prob(x_t, t, c))


def test_eps_denoise_and_score_are_one_answer():
    m, x_t, t = mixture(), randn(4, 2, 3), torch.tensor([1, 30, 60, 100])
    signal = COSINE.sqrt_alpha_bars[t].double().view(4, 1, 1)
    noise = COSINE.sqrt_one_minus_alpha_bars[t].double().view(4, 1, 1)
    eps = m.eps(x_t, t)
    assert_close(signal * m.denoise(x_t, t) + noise * eps, x_t)
    assert_close(m.score(x_t, t), -eps / noise)


# --- the density ---------------------------------------------------------------------


@pytest.mark.parametrize("c", [None, torch.tensor([0, 1, 2, 0])])
def test_score_is_the_gradient_of_log_prob(c):
    m, t = mixture(), torch.tensor([1, 20, 70, 100])
    x_t = randn(4, 2, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(m.log_prob(x_t, t, c).sum(), x_t)
    assert_close(m.score(x_t, t, c).detach(), gradient)


@pytest.mark.parametrize("t", [0, 1, 50, 100])
@pytest.mark.parametrize("c", [None, 0, 1])
def test_log_prob_integrates_to_one(t, c):
    m = line(
        torch.tensor([0.2, 0.05, 0.6], dtype=torch.float64),
        weights=torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
        labels=torch.tensor([0, 0, 1]),
    )
    x = torch.linspace(-8, 8, 16_001, dtype=torch.float64).unsqueeze(1)
    labels = None if c is None else torch.full((len(x),), c)
    total = m.log_prob(x, t, labels).exp().sum() * 1e-3
    assert_close(float(total), 1.0, rtol=0, atol=1e-10)


def test_log_prob_at_time_0_is_the_density_of_the_data():
    m, x = line(0.3), torch.tensor([[0.1], [2.0]], dtype=torch.float64)
    normal = torch.distributions.Normal(m.means.squeeze(1), 0.3)
    expected = (normal.log_prob(x).exp().mean(dim=1)).log()
    assert_close(m.log_prob(x, 0), expected)


def test_unequal_weights_count_as_repeated_components():
    double = line(0.3, weights=torch.tensor([2.0, 1.0, 1.0]))
    means = torch.tensor([[-1.5], [-1.5], [0.25], [1.0]], dtype=torch.float64)
    repeated = GaussianMixture(means, 0.3, COSINE)
    x_t = randn(5, 1)
    assert_close(double.denoise(x_t, 40), repeated.denoise(x_t, 40))
    assert_close(double.log_prob(x_t, 40), repeated.log_prob(x_t, 40))
    assert_close(double.weights, torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64))


# --- labels and the network protocol -------------------------------------------------


@pytest.mark.parametrize("c", [0, 1, 2])
def test_conditional_is_the_mixture_restricted_to_the_class(c):
    m, x_t = mixture(), randn(5, 2, 3)
    mine = m.labels == c
    part = GaussianMixture(m.means[mine], m.stds[mine], COSINE, weights=m.weights[mine])
    labels = torch.full((5,), c)
    assert_close(m.denoise(x_t, 60, labels), part.denoise(x_t, 60))
    assert_close(m.log_prob(x_t, 60, labels), part.log_prob(x_t, 60))
    assert not torch.allclose(m.denoise(x_t, 60, labels), m.denoise(x_t, 60))


def test_forward_mixes_kept_and_dropped_labels():
    m, x_t = mixture(), randn(4, 2, 3)
    c, mask = torch.tensor([0, 1, 2, 1]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    steps = torch.tensor([1, 40, 77, 100])
    eps_hat = m(x_t, c, steps / T, mask)
    kept, dropped = m.eps(x_t, steps, c), m.eps(x_t, steps)
    assert_close(eps_hat, torch.where(mask.view(4, 1, 1) == 0, kept, dropped))
    assert_close(m.eps(x_t, steps, c, mask), eps_hat)
    assert_close(m(x_t, c, steps / T, None), kept)
    assert_close(m(x_t, None, steps / T, None), dropped)
    assert not torch.allclose(kept, dropped)


def test_forward_of_an_unlabelled_mixture_ignores_labels():
    m, x_t = line(0.2), randn(3, 1)
    plain = m(x_t, None, torch.tensor([0.5]), None)
    assert_close(m(x_t, torch.arange(3), torch.tensor([0.5]), torch.zeros(3)), plain)


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1), (1,), (), (1, 1, 1)])
def test_forward_takes_times_of_every_broadcastable_shape(shape):
    m, x_t = mixture(), randn(4, 2, 3)
    t = torch.full(shape, 0.37)
    assert_close(m(x_t, None, t, None), m.eps(x_t, 37))


def test_forward_finds_every_step_from_its_share():
    schedule = Schedule.linear(1000)
    m = GaussianMixture(torch.zeros(1, 1), 1.0, schedule)
    steps = torch.arange(1, 1001)
    x_t = torch.ones(1000, 1)
    c, mask = torch.zeros(1000, dtype=torch.int64), torch.zeros(1000)
    assert_close(m(x_t, c, steps / 1000, mask), m.eps(x_t, steps), rtol=0, atol=0)


def test_one_time_for_each_sample():
    m, x_t, t = mixture(), randn(5, 2, 3), torch.tensor([1, 7, 50, 88, 100])
    one_by_one = [m.denoise(x_t[i : i + 1], int(t[i])) for i in range(5)]
    assert_close(m.denoise(x_t, t), torch.cat(one_by_one))


def test_ddpm_samples_the_mixture_through_the_protocol():
    """The chain with the exact ε ends on the data: 5 points, then their classes."""
    data = torch.tensor([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [0.4, 0.4]])
    exact = ExactDenoiser(data, COSINE, torch.tensor([0, 0, 1, 1, 2]))
    ddpm = DDPM(exact, schedule=COSINE)
    c = torch.arange(60) % 3
    x = ddpm.sample(60, (2,), c=c, generator=seeded())
    distance, nearest = torch.cdist(x, data).min(dim=1)
    assert distance.max() < 1e-4
    assert_close(exact.labels[nearest], c)
    assert nearest.unique().tolist() == [0, 1, 2, 3, 4]


# --- plumbing ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_and_shape_of_the_input(dtype):
    m = ExactDenoiser(randn(7, 1, 4, 4).float(), COSINE, torch.arange(7))
    x_t, c = randn(3, 1, 4, 4).to(dtype), torch.tensor([1, 2, 3])
    for answer in (m.denoise(x_t, 5, c), m.eps(x_t, 5), m.score(x_t, 5)):
        assert answer.dtype == dtype
        assert answer.shape == x_t.shape
    assert m(x_t, c, torch.tensor(0.5), torch.ones(3)).dtype == dtype
    assert m.log_prob(x_t, 5).dtype == dtype
    assert m.log_prob(x_t, 5).shape == (3,)
    assert (m.data_shape, m.n_classes, m.schedule) == ((1, 4, 4), 7, COSINE)


def test_float32_input_is_answered_to_float32_precision():
    m, x_t = mixture(Schedule.linear()), randn(6, 2, 3).float()
    for t in (1, 300, 1000):
        assert_close(m.eps(x_t, t), m.eps(x_t.double(), t).float(), rtol=0, atol=0)


def test_samples_may_be_plain_numbers():
    numbers = GaussianMixture(torch.tensor([-1.0, 1.0]), 0.5, COSINE)
    column = GaussianMixture(torch.tensor([[-1.0], [1.0]]), 0.5, COSINE)
    x_t = randn(4).float()
    assert_close(numbers.eps(x_t, 30), column.eps(x_t[:, None], 30).squeeze(1))
    assert numbers.sample(3)[0].shape == (3,)
    assert numbers.eps(x_t[:0], 30).shape == (0,)


@pytest.mark.parametrize("block", [1, 7, 20])
def test_blocks_of_rows_change_nothing(monkeypatch, block):
    m, x_t = mixture(), randn(13, 2, 3).requires_grad_()
    t, c = torch.arange(1, 14), torch.arange(13) % 3
    whole = m.eps(x_t, t, c), m.log_prob(x_t, t), m.score(x_t, t)
    monkeypatch.setattr(oracle, "BLOCK", block)
    blocks = m.eps(x_t, t, c), m.log_prob(x_t, t), m.score(x_t, t)
    for a, b in zip(blocks, whole, strict=True):
        assert_close(a, b)
    (gradient,) = torch.autograd.grad(blocks[1].sum(), x_t)
    assert_close(gradient, whole[2])


def test_tables_move_with_the_module_and_the_data_is_a_copy():
    data = torch.zeros(2, 1)
    exact = ExactDenoiser(data, COSINE, torch.tensor([0, 1]))
    names = {name for name, _ in exact.named_buffers()}
    tables = {"sqrt_alpha_bars", "sqrt_one_minus_alpha_bars"}
    assert names == {"means", "stds", "weights", "labels"} | tables
    assert all(buffer.device.type == "meta" for buffer in exact.to("meta").buffers())
    exact = ExactDenoiser(data, COSINE)
    data.fill_(1.0)
    assert float(exact.means.sum()) == 0
    moved = mixture().to(torch.float32)
    x_t = randn(3, 2, 3)
    assert_close(moved.eps(x_t, 50), mixture().eps(x_t, 50), rtol=1e-5, atol=1e-5)


# --- sampling ------------------------------------------------------------------------


def test_sample_follows_the_weights_and_the_widths():
    n = 40_000
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    stds = torch.tensor([0.1, 0.2, 0.05], dtype=torch.float64)
    m = line(stds, weights=weights * 7, labels=torch.tensor([0, 1, 2]))
    x0, labels = m.sample(n, generator=seeded())
    assert x0.shape == (n, 1)
    assert labels.dtype == torch.int64
    for k in range(3):
        share = float((labels == k).double().mean())
        w = float(weights[k])
        assert abs(share - w) < 5 * math.sqrt(w * (1 - w) / n)
        mine, s = x0[labels == k], float(stds[k])
        assert abs(float(mine.mean() - m.means[k])) < 5 * s / math.sqrt(len(mine))
        assert abs(float(mine.std()) - s) < 5 * s / math.sqrt(2 * len(mine))


def test_sample_of_a_class_takes_its_components_by_weight():
    n = 20_000
    m = line(0.0, weights=torch.tensor([1.0, 3.0, 5.0]), labels=torch.tensor([0, 0, 1]))
    c = torch.arange(n) % 2
    x0, labels = m.sample(n, c=c, generator=seeded())
    assert_close(labels, c)
    assert (x0[c == 1] == 1.0).all()
    assert (x0[c == 0] < 1.0).all()
    share = float((x0[c == 0] == 0.25).double().mean())
    assert abs(share - 0.75) < 5 * math.sqrt(0.75 * 0.25 / (n / 2))


def test_sample_repeats_with_its_seed_and_labels_unlabelled_data_with_0():
    m = line(0.5)
    first, labels = m.sample(9, generator=seeded(3))
    again, _ = m.sample(9, generator=seeded(3))
    other, _ = m.sample(9, generator=seeded(4))
    assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    assert_close(labels, torch.zeros(9, dtype=torch.int64))


# --- the loss floor ------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.3, 1.0])
def test_floor_of_one_gaussian_is_its_closed_form(std):
    """Var(ε | x_t) = ᾱ s² / (ᾱ s² + 1 − ᾱ), at each t within 5 standard errors."""
    m = GaussianMixture(torch.full((1, 4), 0.7), std, LINEAR)
    floor = loss_floor(m, n=500, generator=seeded())
    alpha_bar = LINEAR.alpha_bars[1:].double()
    expected = alpha_bar * std**2 / (alpha_bar * std**2 + 1 - alpha_bar)
    assert_close(floor.t, torch.arange(1, T + 1))
    assert (floor.standard_error > 0).all()
    assert ((floor.per_t - expected).abs() < 5 * floor.standard_error).all()
    error = abs(floor.mean - float(expected.mean()))
    assert error < 5 * floor.mean_standard_error
    # the variance of ε² given x_t is that of a chi-squared: 2 (1 / 4 for the mean of 4)
    spread = expected * math.sqrt(2 / 4 / 500)
    assert_close(floor.standard_error, spread, rtol=0.35, atol=0)
    spread = float(spread.norm()) / T
    assert_close(floor.mean_standard_error, spread, rtol=0.1, atol=0)


@pytest.mark.parametrize("t", [10, 50, 85])
def test_floor_equals_numerical_integration(t):
    """E[Var(ε | x_t)] = ᾱ/(1−ᾱ) ∫ Var(x_0 | x_t) q(x_t) dx_t, on a grid."""
    stds = [0.2, 0.1, 0.6]
    m = line(torch.tensor(stds, dtype=torch.float64))
    expected, step = 0.0, 0.04
    for i in range(-125, 126):
        log_prob, _, variance = integral_moments(stds, i * step, t)
        expected += math.exp(log_prob) * variance * step
    expected *= float(COSINE.snr[t])
    floor = loss_floor(m, t, n=20_000, generator=seeded())
    assert abs(floor.mean - expected) < 5 * floor.mean_standard_error
    assert floor.mean_standard_error < 0.02 * expected


def test_floor_is_one_at_first_and_nothing_in_pure_noise():
    m = line(0.5)
    floor = loss_floor(m, [1, T], n=4000, generator=seeded())
    first = COSINE.alpha_bars[1] * 0.25
    first = float(first / (first + 1 - COSINE.alpha_bars[1]))  # each mode by itself
    assert abs(float(floor.per_t[0]) - first) < 5 * float(floor.standard_error[0])
    assert first > 0.99
    assert float(floor.per_t[1]) < 1e-5


def test_floor_of_one_point_is_zero():
    floor = loss_floor(ExactDenoiser(randn(1, 3).float(), Schedule.linear()), [1, 500])
    assert_close(floor.per_t, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-20)
    assert floor.mean < 1e-20


def test_floor_with_hidden_labels_lies_between_the_two_networks():
    data = torch.tensor([[-1.0], [1.0]])
    exact = ExactDenoiser(data, COSINE, torch.tensor([0, 1]))
    unlabelled = ExactDenoiser(data, COSINE)
    known, half, hidden, plain = (
        loss_floor(m, 60, 20_000, drop_prob=p, generator=seeded(i))
        for i, (m, p) in enumerate(
            [(exact, 0.0), (exact, 0.5), (exact, 1.0), (unlabelled, 0.3)]
        )
    )
    assert known.mean < 1e-20  # a class is one point
    assert plain.mean > 0.05
    se = math.hypot(hidden.mean_standard_error, plain.mean_standard_error)
    assert abs(hidden.mean - plain.mean) < 5 * se
    se = math.hypot(half.mean_standard_error, hidden.mean_standard_error / 2)
    assert abs(half.mean - hidden.mean / 2) < 5 * se


def test_floor_is_the_loss_of_the_exact_network_in_ddpm():
    """DDPM's own loss, float32 and with its own draws, lands on the floor."""
    m = GaussianMixture(randn(8, 2).float(), 0.1, COSINE)
    floor = loss_floor(m, n=500, generator=seeded())
    ddpm, n = DDPM(m, schedule=COSINE), 50_000
    x0, c = m.sample(n, generator=seeded(1))
    t = torch.arange(n) % T + 1
    with torch.no_grad():
        losses = ddpm.losses(x0, t, c, generator=seeded(2)).double().view(-1, T)
    per_t, se = losses.mean(dim=0), losses.std(dim=0) / math.sqrt(n / T)
    assert (
        (per_t - floor.per_t).abs() < 5 * torch.hypot(se, floor.standard_error)
    ).all()
    se = math.hypot(float(se.norm()) / T, floor.mean_standard_error)
    assert abs(float(per_t.mean()) - floor.mean) < 5 * se


def test_no_other_network_gets_below_the_floor():
    """On the same draws, a network that is a little off has a greater loss."""
    m, n = mixture(), 20_000
    x0, c = m.sample(n, generator=seeded(1))
    eps = randn(n, 2, 3, seed=2)
    x_t = COSINE.sqrt_alpha_bars[50] * x0
    x_t = x_t + COSINE.sqrt_one_minus_alpha_bars[50] * eps
    exact = m.eps(x_t, 50)
    floor = (eps - exact).square().flatten(1).mean(dim=1)
    mistakes = {
        "zero": torch.zeros_like(eps),
        "scaled": 1.1 * exact,
        "shifted": exact + 0.1,
        "another time": m.eps(x_t, 40),
        "wrong class": m.eps(x_t, 50, (c + 1) % 3),
    }
    for name, eps_hat in mistakes.items():
        excess = (eps - eps_hat).square().flatten(1).mean(dim=1) - floor
        assert excess.mean() > 5 * excess.std() / math.sqrt(n), name
    # and knowing more than the network may know has a smaller one
    excess = (eps - m.eps(x_t, 50, c)).square().flatten(1).mean(dim=1) - floor
    assert excess.mean() < -5 * excess.std() / math.sqrt(n)


def test_floor_repeats_with_its_seed_and_takes_times_as_a_tensor():
    m = mixture()
    a = loss_floor(m, torch.tensor([3, 9]), 10, drop_prob=0.5, generator=seeded())
    b = loss_floor(m, range(3, 10, 6), 10, drop_prob=0.5, generator=seeded())
    assert a.t.tolist() == [3, 9]
    assert_close(a.per_t, b.per_t, rtol=0, atol=0)


# --- errors --------------------------------------------------------------------------

POINTS = torch.zeros(3, 2)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"means": [0.0]}, TypeError, "means must be a float tensor, got list"),
        ({"means": torch.zeros(3, 2).long()}, TypeError, "means must be a float"),
        (
            {"means": POINTS[:0]},
            ValueError,
            r"means must have .*\(B, \*D\).* got \(0, 2\)",
        ),
        (
            {"means": torch.tensor(1.0)},
            ValueError,
            "means must have shape .* got a single",
        ),
        ({"means": POINTS + math.nan}, ValueError, "means must be finite.*got nan"),
        ({"stds": -1.0}, ValueError, "stds must be finite and at least 0, got -1"),
        ({"stds": "wide"}, TypeError, "stds must be a number, got 'wide'"),
        (
            {"stds": torch.ones(2)},
            ValueError,
            r"stds must have shape \(3,\), got \(2,\)",
        ),
        (
            {"stds": torch.tensor([1.0, -2.0, 0.0])},
            ValueError,
            "stds must be finite and at least 0, got -2",
        ),
        ({"weights": torch.ones(3, 1)}, ValueError, r"weights must have shape \(3,\)"),
        (
            {"weights": torch.tensor([1.0, 0.0, 1.0])},
            ValueError,
            "weights must be finite and positive, got 0",
        ),
        ({"weights": [1, 1, 1]}, TypeError, "weights must be a float tensor, got list"),
        (
            {"schedule": 1000},
            TypeError,
            "schedule must be a Schedule, got int.*from_be",
        ),
        ({"schedule": None}, TypeError, "schedule must be a Schedule, got NoneType"),
        ({"labels": torch.zeros(3)}, TypeError, "labels must be an int64 tensor"),
        ({"labels": torch.arange(2)}, ValueError, r"labels must have shape \(3,\)"),
        (
            {"labels": torch.arange(3) - 1},
            ValueError,
            "labels must be at least 0, got -1",
        ),
    ],
)
def test_bad_mixture(options, error, match):
    arguments = {"means": POINTS, "stds": 0.1, "schedule": COSINE} | options
    with pytest.raises(error, match=match):
        GaussianMixture(**arguments)


def test_bad_data():
    with pytest.raises(ValueError, match=r"data must have shape .* got \(0, 2\)"):
        ExactDenoiser(POINTS[:0], COSINE)
    with pytest.raises(
        ValueError, match=r"data must be finite.*clean the data.*got inf"
    ):
        ExactDenoiser(POINTS + math.inf, COSINE)
    with pytest.raises(
        TypeError, match=r"data must be a float tensor, got torch.uint8"
    ):
        ExactDenoiser(POINTS.byte(), COSINE)


@pytest.mark.parametrize("method", ["eps", "denoise", "score", "log_prob"])
@pytest.mark.parametrize(
    ("x_t", "t", "c", "error", "match"),
    [
        (torch.zeros(4, 3), 5, None, ValueError, r"x_t must have shape \(any, 2\)"),
        (torch.zeros(2), 5, None, ValueError, r"x_t must have shape \(any, 2\)"),
        (POINTS.long(), 5, None, TypeError, "x_t must be a float tensor"),
        (POINTS, 101, None, ValueError, "t must be in [01]…100, got 101"),
        (POINTS, -1, None, ValueError, "t must be in [01]…100, got -1"),
        (POINTS, 0.5, None, TypeError, "t must be an int, got 0.5"),
        (POINTS, torch.tensor([1, 2]), None, ValueError, r"t must have shape \(3,\)"),
        (POINTS, 5, torch.zeros(3), TypeError, "c must be an int64 tensor"),
        (POINTS, 5, torch.arange(2), ValueError, r"c must have shape \(3,\)"),
        (POINTS, 5, torch.arange(3) + 1, ValueError, "c must be in 0…2.*got 3"),
        (POINTS, 5, torch.arange(3), ValueError, "c must name a class that has.*got 1"),
    ],
)
def test_bad_question(method, x_t, t, c, error, match):
    m = GaussianMixture(POINTS, 0.1, COSINE, labels=torch.tensor([0, 2, 0]))
    with pytest.raises(error, match=match):
        getattr(m, method)(x_t, t, c)


def test_a_class_without_components_may_stand_behind_the_mask():
    m = GaussianMixture(POINTS, 0.1, COSINE, labels=torch.tensor([0, 2, 0]))
    hidden = m.eps(POINTS, 5, torch.ones(3).long(), torch.ones(3))
    assert_close(hidden, m.eps(POINTS, 5))


def test_time_0_only_has_a_density_and_only_with_width():
    exact, wide = ExactDenoiser(POINTS, COSINE), GaussianMixture(POINTS, 0.1, COSINE)
    for t in (0, torch.tensor([1, 0, 1])):
        assert wide.log_prob(POINTS, t).isfinite().all()
        with pytest.raises(
            ValueError, match=r"t must be at least 1.*zero width.*stds >"
        ):
            exact.log_prob(POINTS, t)
        with pytest.raises(ValueError, match="t must be in 1…100, got 0"):
            wide.eps(POINTS, t)


@pytest.mark.parametrize(
    ("t", "error", "match"),
    [
        (torch.tensor([0.0]), ValueError, r"t must be in \(0, 1\].*T = 100.*got 0"),
        (torch.tensor(50.0), ValueError, r"t must be in \(0, 1\].*got 50"),
        (torch.tensor([0.5, 1.1, 0.2]), ValueError, r"t must be in \(0, 1\].*got 1.1"),
        (torch.tensor([0.5, math.nan, 0.2]), ValueError, r"t must be in.*got nan"),
        (torch.ones(2), ValueError, r"t must hold 1 or 3 numbers, got \(2,\)"),
        (torch.tensor([50]), TypeError, "t must be a float tensor"),
        (0.5, TypeError, "t must be a float tensor, got float"),
    ],
)
def test_bad_time_in_the_protocol(t, error, match):
    with pytest.raises(error, match=match):
        line(0.1)(torch.zeros(3, 1), None, t, None)


def test_bad_labels_in_the_protocol_and_in_sample():
    m, half = mixture(), torch.tensor([0.5])
    x_t, c = torch.zeros(2, 2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"context_mask must have shape \(2,\)"):
        m(x_t, c, half, torch.zeros(3))
    with pytest.raises(TypeError, match="context_mask must be a float tensor"):
        m(x_t, c, half, torch.zeros(2).long())
    with pytest.raises(ValueError, match=r"c must be in 0…2 .*got 3"):
        m.sample(2, c=c + 2)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        m.sample(0)
    unlabelled = "c must be None: the mixture was built without labels="
    with pytest.raises(ValueError, match=unlabelled):
        line(0.1).sample(2, c=c)
    with pytest.raises(ValueError, match=unlabelled):
        line(0.1).eps(torch.zeros(2, 1), 5, c)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"denoiser": torch.nn.Identity()},
            TypeError,
            "denoiser must be a GaussianMixture, got Identity; .* no floor",
        ),
        ({"ts": []}, ValueError, "the number of ts must be at least 1, got 0"),
        ({"ts": [0]}, ValueError, "ts must be in 1…100, got 0"),
        ({"ts": [5, 101]}, ValueError, "ts must be in 1…100, got 101"),
        ({"ts": [0.5]}, TypeError, "ts must be an int, got 0.5"),
        (
            {"generator": 0},
            TypeError,
            "generator must be a Generator, got int; .*makes",
        ),
        ({"n": 1}, ValueError, "n must be at least 2, got 1"),
        ({"drop_prob": 1.5}, ValueError, r"drop_prob must be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_floor(options, error, match):
    with pytest.raises(error, match=match):
        loss_floor(**{"denoiser": line(0.1), **options})
