"""Every formula of DDPM that the package computes, against something independent.

Statistical tests draw with a fixed seed, state the standard error of what they compare
and fail at five of them.
"""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import minddpm
from core.shared import Net, seeded
from minddpm import DDPM, MLP, Schedule, ddpm_schedules
from minddpm.oracle import GaussianMixture

SCHEDULES = {
    "linear": Schedule.linear(1000),
    "linear, T = 50": Schedule.linear(50, rescale=True),
    "cosine": Schedule.cosine(100),
    "sigmoid": Schedule.sigmoid(100),
    "one step": Schedule.from_betas([0.3]),
}
every_schedule = pytest.mark.parametrize(
    "schedule", SCHEDULES.values(), ids=SCHEDULES.keys()
)


def model(schedule: Schedule, dim: int = 1) -> DDPM:
    return DDPM(MLP(dim=dim, n_feat=8), schedule=schedule)


def betas_by_hand(name: str) -> list[float]:
    """β_1…β_T in plain float64 arithmetic, written from the papers' formulas."""
    if name == "linear":
        return [1e-4 + (0.02 - 1e-4) * (t - 1) / 999 for t in range(1, 1001)]
    if name == "linear, T = 50":
        return [2e-3 + (0.4 - 2e-3) * (t - 1) / 49 for t in range(1, 51)]
    if name == "one step":
        return [0.3]
    if name == "cosine":

        def alpha_bar(u: float) -> float:
            return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    else:

        def alpha_bar(u: float) -> float:
            low, high = 1 / (1 + math.exp(3)), 1 / (1 + math.exp(-3))
            return (high - 1 / (1 + math.exp(3 - 6 * u))) / (high - low)

    return [
        min(1 - alpha_bar(t / 100) / alpha_bar((t - 1) / 100), 0.999)
        for t in range(1, 101)
    ]


# --- tables --------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_table_equals_an_independent_float64_computation(name: str) -> None:
    beta = np.array([0.0, *betas_by_hand(name)])
    alpha_bar = np.array([math.prod(1 - beta[1 : t + 1]) for t in range(len(beta))])
    posterior = [0.0] + [
        beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
        for t in range(1, len(beta))
    ]
    with np.errstate(divide="ignore"):
        snr = alpha_bar / (1 - alpha_bar)
    expected = {
        "betas": beta,
        "alphas": 1 - beta,
        "alpha_bars": alpha_bar,
        "sqrt_alpha_bars": np.sqrt(alpha_bar),
        "sqrt_one_minus_alpha_bars": np.sqrt(1 - alpha_bar),
        "posterior_variances": np.array(posterior),
        "snr": snr,
    }
    tables = SCHEDULES[name].tables()
    assert tables.keys() == expected.keys()
    for key, table in tables.items():
        assert table.dtype == torch.float32
        assert table.shape == beta.shape
        assert_close(
            table.double(), torch.tensor(expected[key]), rtol=1e-6, atol=1e-12, msg=key
        )


def test_the_short_names_are_the_same_tables() -> None:
    tables = ddpm_schedules(1e-4, 0.02, 1000)
    beta = np.array([0.0, *betas_by_hand("linear")])
    alpha_bar = np.cumprod(1 - beta)
    with np.errstate(invalid="ignore"):
        ratio = beta / np.sqrt(1 - alpha_bar)
    expected = {
        "alpha_t": 1 - beta,
        "oneover_sqrta": 1 / np.sqrt(1 - beta),
        "sqrt_beta_t": np.sqrt(beta),
        "alphabar_t": alpha_bar,
        "sqrtab": np.sqrt(alpha_bar),
        "sqrtmab": np.sqrt(1 - alpha_bar),
        "mab_over_sqrtmab": np.nan_to_num(ratio),
    }
    assert tables.keys() == expected.keys()
    for key, table in tables.items():
        assert table.shape == (1001,)
        assert_close(
            table.double(), torch.tensor(expected[key]), rtol=1e-6, atol=1e-12, msg=key
        )


@every_schedule
def test_entry_zero_is_no_noise(schedule: Schedule) -> None:
    first = {name: float(table[0]) for name, table in schedule.tables().items()}
    assert first == {
        "betas": 0.0,
        "alphas": 1.0,
        "alpha_bars": 1.0,
        "sqrt_alpha_bars": 1.0,
        "sqrt_one_minus_alpha_bars": 0.0,
        "posterior_variances": 0.0,
        "snr": math.inf,
    }
    assert schedule.posterior_variances[1] == 0


@pytest.mark.parametrize("T", [25, 50, 400, 1000])
def test_rescaling_makes_the_total_noise_almost_independent_of_T(T: int) -> None:
    signal = float(Schedule.linear(T, rescale=True).sqrt_alpha_bars[-1])
    assert signal < 0.0065
    # without it: the two values that the course quotes
    plain = float(Schedule.linear(T).sqrt_alpha_bars[-1])
    expected = math.sqrt(math.prod(1 - np.linspace(1e-4, 0.02, T)))
    assert plain == pytest.approx(expected, rel=1e-6)


def test_a_schedule_is_immutable() -> None:
    with pytest.raises(AttributeError):
        Schedule.linear(10).betas = torch.zeros(11)  # type: ignore[misc]


# --- the tables of a model are its buffers -------------------------------------------


def test_the_tables_that_work_are_the_buffers_wherever_they_came_from(tmp_path) -> None:
    """A file must not hold the tables that a model began with and then lost."""
    one, other = (DDPM(MLP(2, 8), schedule=SCHEDULES[k]) for k in ("cosine", "sigmoid"))
    other.load_state_dict(one.state_dict())
    minddpm.save(tmp_path / "other", other)
    x0, eps = torch.ones(100, 2), torch.zeros(100, 2)
    t = torch.arange(1, 101)
    for ddpm in (other, minddpm.load(tmp_path / "other")):
        assert ddpm.n_T == ddpm.schedule.T == 100
        for name, table in SCHEDULES["cosine"].tables().items():
            assert torch.equal(ddpm.schedule.tables()[name], table), name
        buffers, expected = dict(ddpm.named_buffers()), dict(one.named_buffers())
        assert buffers.keys() == expected.keys()
        assert all(torch.equal(buffers[name], expected[name]) for name in expected)
        assert torch.equal(ddpm.q_sample(x0, t, eps), one.q_sample(x0, t, eps))


def test_a_models_schedule_is_a_copy_of_its_buffers() -> None:
    ddpm, given = model(SCHEDULES["cosine"]), SCHEDULES["cosine"].betas.clone()
    ddpm.schedule.betas.zero_()
    assert torch.equal(ddpm.betas, given)
    assert torch.equal(SCHEDULES["cosine"].betas, given)
    ddpm.betas.zero_()
    assert not ddpm.schedule.betas.any()
    assert torch.equal(SCHEDULES["cosine"].betas, given)
    assert ddpm.double().schedule.snr.dtype == torch.float32


def test_an_oracle_of_another_schedule_is_refused() -> None:
    """Its answers hold for its own times; of as many steps they would be taken."""
    exact = GaussianMixture(torch.zeros(1, 1), 0.3, SCHEDULES["cosine"])
    refused = (
        r"schedule must be nn_model\.schedule, Schedule\(T=100, .* got Schedule\(T="
    )
    x = torch.zeros(2, 1)
    for ddpm, T in (
        (DDPM(exact, schedule=SCHEDULES["sigmoid"]), "100"),
        (DDPM(exact), "1000"),
    ):
        ddpm.q_sample(x, 3)  # the forward process asks nothing of it
        for ask in (
            lambda ddpm=ddpm: ddpm.predict_eps(x, 3),
            lambda ddpm=ddpm: ddpm(x),
            lambda ddpm=ddpm: ddpm.sample(2, (1,)),
        ):
            with pytest.raises(ValueError, match=refused + T):
                ask()
    DDPM(exact, schedule=Schedule.cosine(100)).predict_eps(x, 3)  # as good as the same
    net = MLP(1, 8)
    net.schedule = "a network may call something else so"
    DDPM(net, schedule=SCHEDULES["sigmoid"]).predict_eps(x, 3)


# --- the forward process -------------------------------------------------------------


def moments(x: torch.Tensor) -> list[tuple[float, float]]:
    """Mean, variance and fourth central moment, each with its standard error."""
    n, centred = len(x), x - x.mean()
    result = [(float(x.mean()), float(x.std()) / math.sqrt(n))]
    for power in (2, 4):
        values = centred**power
        result.append((float(values.mean()), float(values.std()) / math.sqrt(n)))
    return result


@pytest.mark.parametrize("x0", [-1.0, 0.3])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_eq_2_iterated_is_eq_4(name: str, x0: float) -> None:
    """Mean, variance and kurtosis of the chain, within 5 standard errors."""
    n, schedule = 20_000, SCHEDULES[name]
    ddpm, generator = model(schedule), seeded()
    start = x = torch.full((n, 1), x0, dtype=torch.float64)
    times = [1, 2, schedule.T // 3, schedule.T]
    for t in range(1, schedule.T + 1):
        x = ddpm.q_step(x, t, generator=generator)
        if t in times:
            alpha_bar = math.prod(1 - b for b in betas_by_hand(name)[:t])
            mean, variance = math.sqrt(alpha_bar) * x0, 1 - alpha_bar
            exact = (mean, variance, 3 * variance**2)
            jump = ddpm.q_sample(start, t, generator=generator)
            for sampled in (x, jump):
                for (got, error), expected in zip(moments(sampled), exact, strict=True):
                    assert abs(got - expected) < 5 * error, (t, got, expected, error)


def test_eq_2_increments_are_gaussian() -> None:
    """Kurtosis 3 of one step's increment: uniform noise of that variance has 1.8."""
    generator = seeded(1)
    x = model(SCHEDULES["linear"]).q_step(
        torch.zeros(100_000, 1), 500, generator=generator
    )
    kurtosis = float((x**4).mean() / (x**2).mean() ** 2)
    assert abs(kurtosis - 3) < 5 * math.sqrt(24 / 100_000)


@pytest.mark.parametrize("t", [1, 2, 10, 50])
def test_eqs_6_and_7_against_least_squares_on_chains(t: int) -> None:
    """Regress x_{t−1} on (x_0, x_t): coefficients are μ̃'s, the residual is β̃."""
    n, schedule = 200_000, SCHEDULES["linear, T = 50"]
    ddpm, generator = model(schedule), seeded(t)
    x0 = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    x_s = x0 if t == 1 else ddpm.q_sample(x0, t - 1, generator=generator)
    x_t = ddpm.q_step(x_s, t, generator=generator)

    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1).double()
    of_x0, variance = ddpm.q_posterior(one, zero, t)
    of_x_t, _ = ddpm.q_posterior(zero, one, t)
    design = torch.cat([x0, x_t], dim=1)
    fitted = torch.linalg.lstsq(design, x_s).solution
    residual = x_s - design @ fitted
    if t == 1:  # x_s is x_0 itself
        assert_close(of_x0.item(), 1.0, rtol=1e-6, atol=0)
        assert abs(of_x_t.item()) < 1e-9
        assert variance.item() == 0
        return
    noise = float(residual.square().mean())
    errors = (torch.linalg.inv(design.T @ design).diagonal() * noise).sqrt()
    expected = torch.stack([of_x0[0], of_x_t[0]])
    assert (((fitted - expected).abs()[:, 0]) < 5 * errors).all(), (fitted, expected)
    error = float(residual.square().std()) / math.sqrt(n)
    assert abs(noise - float(variance)) < 5 * error


@every_schedule
def test_eq_11_is_eq_7_with_x0_hat(schedule: Schedule) -> None:
    """(x_t − β_t/√(1−ᾱ_t) ε) / √α_t = μ̃(x_t, x̂_0(x_t, ε)), for every t."""
    T = schedule.T
    ddpm, generator = model(schedule, dim=2), seeded(2)
    x_t = torch.randn(T, 2, generator=generator, dtype=torch.float64)
    eps = torch.randn(T, 2, generator=generator, dtype=torch.float64)
    t = torch.arange(1, T + 1)
    x0_hat = ddpm.predict_x0(x_t, t, eps)
    mean, variance = ddpm.q_posterior(x0_hat, x_t, t)
    beta_t = ddpm.betas[t].double()[:, None]
    noise_t = ddpm.sqrtmab[t].double()[:, None]
    direct = (x_t - beta_t / noise_t * eps) / (1 - beta_t).sqrt()
    # x̂_0 is of size 1/√ᾱ_t, so that is what rounding of the tables is relative to
    scale = 1 / ddpm.sqrtab[t].double()[:, None]
    assert ((mean - direct).abs() < 2e-6 * scale.clamp(min=1)).all()
    assert_close(variance[:, 0], ddpm.posterior_variances[t])


@every_schedule
def test_eq_15_inverts_eq_4(schedule: Schedule) -> None:
    T = schedule.T
    ddpm, generator = model(schedule, dim=2), seeded(3)
    x0 = torch.randn(T, 2, generator=generator, dtype=torch.float64)
    eps = torch.randn(T, 2, generator=generator, dtype=torch.float64)
    t = torch.arange(1, T + 1)
    x_t = ddpm.q_sample(x0, t, eps)
    assert_close(ddpm.predict_x0(x_t, t, eps), x0, rtol=1e-6, atol=1e-6)


# --- the loss ------------------------------------------------------------------------


def recorder() -> Net:
    """Answers zero and remembers what it was asked."""
    return Net(lambda x_t, c, t, mask: 0 * x_t, n_classes=10)


def test_eq_14_is_one_for_a_network_that_answers_zero() -> None:
    ddpm = DDPM(recorder(), n_T=1000)
    generator = seeded()
    x0 = torch.randn(4000, 1, 5, 5, generator=generator)
    loss = ddpm(x0, torch.zeros(4000, dtype=torch.int64), generator=generator)
    error = math.sqrt(2 / x0.numel())  # ε² has mean 1 and variance 2
    assert abs(float(loss.detach()) - 1) < 5 * error


def test_the_loss_of_the_exact_network_is_the_closed_form_floor() -> None:
    """For N(0, s²) data, Var(ε | x_t) = ᾱ s² / (ᾱ s² + 1 − ᾱ)."""
    s, schedule = 0.3, SCHEDULES["cosine"]
    exact = GaussianMixture(torch.zeros(1, 1), s, schedule)
    ddpm, generator = DDPM(exact, schedule=schedule), seeded()
    for t in (1, 10, 50, 90, 100):
        x0 = s * torch.randn(40_000, 1, generator=generator)
        losses = ddpm.losses(x0, t, generator=generator)
        alpha_bar = float(schedule.alpha_bars[t])
        floor = alpha_bar * s**2 / (alpha_bar * s**2 + 1 - alpha_bar)
        error = float(losses.std()) / math.sqrt(len(losses))
        assert abs(float(losses.mean()) - floor) < 5 * error, t


def test_times_are_uniform_on_1_to_T_inclusive() -> None:
    net, n, T = recorder(), 50_000, 10
    ddpm = DDPM(net, betas=(1e-3, 0.2), n_T=T)
    ddpm(torch.zeros(n, 2), generator=seeded())
    counts = (net.calls[0][2] * T).round().long().bincount(minlength=T + 1)
    assert counts[0] == 0
    assert len(counts) == T + 1
    error = math.sqrt(n / T * (1 - 1 / T))
    assert ((counts[1:] - n / T).abs() < 5 * error).all(), counts


@pytest.mark.parametrize("drop_prob", [0.0, 0.1, 0.7, 1.0])
def test_labels_are_dropped_at_the_rate_asked_for_and_kept_unchanged(
    drop_prob: float,
) -> None:
    net, n = recorder(), 20_000
    ddpm = DDPM(net, drop_prob=drop_prob)
    c = torch.arange(n) % 10
    ddpm(torch.zeros(n, 2), c, generator=seeded())
    _, labels, t, mask = net.calls[0]
    assert_close(labels, c)
    assert mask.shape == c.shape
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    error = math.sqrt(drop_prob * (1 - drop_prob) / n)
    assert abs(float(mask.mean()) - drop_prob) <= 5 * error
    assert ((t > 0) & (t <= 1)).all()


def test_without_labels_every_label_is_hidden() -> None:
    net = recorder()
    DDPM(net, drop_prob=0.0)(torch.zeros(5, 2))
    assert_close(net.calls[0][3], torch.ones(5))


def test_the_table_that_scales_the_image_is_sqrtab() -> None:
    ddpm = DDPM(recorder(), n_T=1000)
    x0, none = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    assert_close(ddpm.q_sample(x0, 300, none), ddpm.sqrtab[300] * x0)
    assert_close(ddpm.q_sample(none, 300, x0), ddpm.sqrtmab[300] * x0)
    buffers = dict(ddpm.named_buffers())
    assert {"betas", "alpha_bars", "sqrtab", "sqrtmab", "oneover_sqrta"} <= set(buffers)
    assert ddpm.to(torch.float64).sqrtab.dtype == torch.float64


# --- guidance ------------------------------------------------------------------------


def by_label() -> Net:
    """Answers the label, or −1 where it is dropped."""

    def answer(x_t, c, t, mask):
        return torch.where(mask == 1, -1.0, c.to(t))[:, None].expand_as(x_t)

    return Net(answer, n_classes=10)


@pytest.mark.parametrize("w", [-1.0, -0.5, 0.0, 1.0, 4.0])
def test_cfg_eq_6(w: float) -> None:
    ddpm, c = DDPM(by_label()), torch.tensor([0, 3, 9])
    guided = ddpm.predict_eps(torch.zeros(3, 2), 7, c, w)
    expected = (1 + w) * c.float() - w * -1.0
    assert_close(guided, expected[:, None].expand(3, 2))


def test_without_labels_the_prediction_is_the_unconditional_one() -> None:
    got = DDPM(by_label()).predict_eps(torch.zeros(3, 2), 7)
    assert_close(got, -torch.ones(3, 2))
