"""Samplers against exact answers and against an independent implementation."""

import functools
import math

import pytest
import torch
from torch.testing import assert_close

from core.shared import seeded
from minddpm import DDPM, MLP, Schedule, UNet, ancestral, ddim, sample, times
from minddpm.oracle import GaussianMixture

MEAN, STD = 1.0, 0.3
SCHEDULES = {
    "rescaled, T = 50": Schedule.linear(50, 1e-4, 0.015, rescale=True),
    "cosine, T = 30": Schedule.cosine(30),
    "far from noise, T = 20": Schedule.linear(20),
}
every_schedule = pytest.mark.parametrize(
    "schedule", SCHEDULES.values(), ids=SCHEDULES.keys()
)


def gaussian(schedule: Schedule) -> DDPM:
    """The exact model of N(MEAN, STD²)."""
    return DDPM(
        GaussianMixture(torch.full((1, 1), MEAN), STD, schedule), schedule=schedule
    )


def recursion(schedule: Schedule, variance: str) -> tuple[float, float]:
    """Mean and std of the reverse chain's output for N(MEAN, STD²), in closed form.

    With exact ε the prediction x̂_0 is linear in x_t, so each step maps a Gaussian to a
    Gaussian: mean ← a·mean + b, variance ← a²·variance + σ².
    """
    mean, var = 0.0, 1.0
    beta = [0.0, *schedule.betas[1:].double().tolist()]
    alpha_bar = [math.prod(1 - b for b in beta[: t + 1]) for t in range(len(beta))]
    for t in range(schedule.T, 0, -1):
        ab_t, ab_s = alpha_bar[t], alpha_bar[t - 1]
        # x̂_0 = gain · x_t + offset
        gain = math.sqrt(ab_t) * STD**2 / (ab_t * STD**2 + 1 - ab_t)
        offset = MEAN - gain * math.sqrt(ab_t) * MEAN
        of_x0 = math.sqrt(ab_s) * beta[t] / (1 - ab_t)
        of_x_t = math.sqrt(1 - beta[t]) * (1 - ab_s) / (1 - ab_t)
        posterior = beta[t] * (1 - ab_s) / (1 - ab_t)
        added = 0.0 if t == 1 else (posterior if variance == "posterior" else beta[t])
        slope = of_x0 * gain + of_x_t
        mean, var = slope * mean + of_x0 * offset, slope**2 * var + added
    return mean, math.sqrt(var)


@every_schedule
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_both_variances_equal_the_closed_form_recursion(
    schedule: Schedule, variance: str
) -> None:
    n, generator = 40_000, seeded()
    x_T = torch.randn(n, 1, generator=generator)
    x = sample(
        ancestral(gaussian(schedule), x_T, variance=variance, generator=generator)
    )
    mean, std = recursion(schedule, variance)
    assert abs(float(x.mean()) - mean) < 5 * std / math.sqrt(n)
    assert abs(float(x.std()) - std) < 5 * std / math.sqrt(2 * n)


def test_the_recursion_gives_the_numbers_of_the_course() -> None:
    """T = 50, β from 0.002 to 0.3: too narrow with β̃, too wide with β; truth 0.3."""
    schedule = SCHEDULES["rescaled, T = 50"]
    assert float(schedule.betas[-1]) == pytest.approx(0.3)
    assert recursion(schedule, "posterior")[1] == pytest.approx(0.258, abs=5e-4)
    assert recursion(schedule, "beta")[1] == pytest.approx(0.317, abs=5e-4)


@every_schedule
def test_ddim_with_eta_1_over_all_steps_is_ancestral(schedule: Schedule) -> None:
    ddpm = gaussian(schedule)
    x_T = torch.randn(100, 1, generator=seeded(1))
    walks = [
        ancestral(ddpm, x_T, generator=seeded(2)),
        ddim(
            ddpm,
            x_T,
            steps=schedule.T,
            eta=1.0,
            generator=seeded(2),
        ),
    ]
    for one, other in zip(*walks, strict=True):
        assert one.t == other.t
        assert_close(one.x_s, other.x_s, rtol=2e-5, atol=2e-5)


def test_ddim_with_eta_0_is_deterministic_and_draws_nothing() -> None:
    ddpm, x_T = gaussian(SCHEDULES["cosine, T = 30"]), torch.randn(50, 1)
    generator = seeded()
    before = generator.get_state()
    first = sample(ddim(ddpm, x_T, steps=7, generator=generator))
    assert torch.equal(generator.get_state(), before)
    torch.manual_seed(1)
    assert torch.equal(first, sample(ddim(ddpm, x_T, steps=7)))


def test_ddim_with_eta_0_maps_quantile_to_quantile() -> None:
    """Deterministic and monotone in 1-D: with many steps x_T = z goes to MEAN + STD z.

    The ODE that DDIM discretises keeps quantiles; the rest is the error of 400 steps.
    """
    z = torch.linspace(-2, 2, 9)[:, None]
    x = sample(ddim(gaussian(Schedule.cosine(400)), z, steps=400))
    assert_close(x, MEAN + STD * z, rtol=0, atol=0.02)


@pytest.mark.parametrize("walk", [ancestral, ddim])
def test_the_last_step_adds_no_noise(walk) -> None:
    """From the same x_1, two seeds give the same x_0, and it is x̂_0 itself."""
    ddpm = gaussian(Schedule.from_betas([0.3]))
    x_1 = torch.randn(50, 1, generator=seeded())
    options = {} if walk is ancestral else {"steps": 1, "eta": 1.0}
    results = []
    for seed in (1, 2):
        generator = seeded(seed)
        before = generator.get_state()
        (step,) = walk(ddpm, x_1, generator=generator, **options)
        assert torch.equal(generator.get_state(), before)
        results.append(step)
    assert torch.equal(results[0].x_s, results[1].x_s)
    assert_close(results[0].x_s, results[0].x0_hat)


@pytest.mark.parametrize(
    ("walk", "options", "draws"),
    [
        (ancestral, {}, 29),
        (ancestral, {"variance": "beta"}, 29),
        (ddim, {"steps": 10, "eta": 0.5}, 9),
        (ddim, {"steps": 10, "eta": 0.0}, 0),
    ],
)
def test_exactly_one_draw_a_noisy_step(walk, options: dict, draws: int) -> None:
    ddpm, x_T = gaussian(SCHEDULES["cosine, T = 30"]), torch.randn(5, 1)
    used, counted = (seeded() for _ in range(2))
    sample(walk(ddpm, x_T, generator=used, **options))
    for _ in range(draws):
        torch.randn(5, 1, generator=counted)
    assert torch.equal(used.get_state(), counted.get_state())


def test_steps_run_from_T_to_1_and_ddim_ends_at_0() -> None:
    ddpm, x_T = gaussian(SCHEDULES["cosine, T = 30"]), torch.randn(5, 1)
    assert [step.t for step in ancestral(ddpm, x_T)] == list(range(30, 0, -1))
    assert [step.t for step in ddim(ddpm, x_T, steps=3)] == [30, 20, 10]
    assert [step.t for step in ddim(ddpm, x_T, steps=30)] == list(range(30, 0, -1))
    for steps in (4, [30, 9, 2], (30,)):
        last = list(ddim(ddpm, x_T, steps=steps))[-1]
        assert_close(last.x_s, last.x0_hat)


def test_ddim_walks_through_the_times_it_is_given() -> None:
    ddpm, x_T = gaussian(SCHEDULES["cosine, T = 30"]), torch.randn(5, 1)
    walk = functools.partial(ddim, ddpm, x_T, eta=0.5)
    even = list(walk(steps=3, generator=seeded(1)))
    given = list(walk(steps=(30, 20, 10), generator=seeded(1)))
    assert torch.equal(even[-1].x_s, given[-1].x_s)
    assert [step.t for step in walk(steps=[30, 29, 2])] == [30, 29, 2]
    # one step: x̂_0 itself
    one = sample(ddim(ddpm, x_T, steps=[30]))
    assert_close(one, ddpm.predict_x0(x_T, 30, ddpm.predict_eps(x_T, 30)))


@pytest.mark.parametrize("T", [1, 2, 3, 10, 57, 400])
@pytest.mark.parametrize("shift", [1.0, 1.5, 5.0, 1e9])
def test_times_are_shifted_even_ones_and_fall_from_T_each_once(
    T: int, shift: float
) -> None:
    for n in range(1, T + 1):
        chosen = times(T, n, shift)
        assert len(chosen) == n
        assert chosen[0] == T
        assert chosen[-1] >= 1
        assert chosen == sorted(set(chosen), reverse=True)
        s = min(shift, T / n)  # where it would be too much, no more than this
        u = [k / n for k in range(n, 0, -1)]
        for t, even in zip(chosen, u, strict=True):
            assert abs(t - T * s * even / (1 + (s - 1) * even)) <= 0.5 + 1e-9
    assert times(T) == times(T, T, shift) == list(range(T, 0, -1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "T must be at least 1, got 0"),
        ((10.0,), TypeError, r"T must be an int, got 10\.0"),
        ((10, 0), ValueError, "n must be in 1…10, got 0"),
        ((10, 11), ValueError, "n must be in 1…10, got 11"),
        ((10, 2.5), TypeError, r"n must be an int, got 2\.5"),
        ((10, 5, 0.5), ValueError, r"shift must be finite and at least 1, got 0\.5"),
        ((10, 5, math.inf), ValueError, "shift must be finite and at least 1, got inf"),
        ((10, 5, "5"), TypeError, "shift must be a number, got '5'"),
    ],
)
def test_bad_times_are_refused(arguments, error, message: str) -> None:
    with pytest.raises(error, match=message):
        times(*arguments)


def test_steps_of_ddim_are_times() -> None:
    ddpm, x_T = gaussian(SCHEDULES["cosine, T = 30"]), torch.randn(5, 1)
    for n in (1, 4, 7, 30):
        assert [step.t for step in ddim(ddpm, x_T, steps=n)] == times(30, n)
    late = times(30, 5, shift=5.0)
    assert [step.t for step in ddim(ddpm, x_T, steps=late)] == late != times(30, 5)


def test_clipping_clamps_x0_hat_and_not_x_t() -> None:
    ddpm = gaussian(SCHEDULES["rescaled, T = 50"])
    x_T, options = 5 * torch.ones(4, 1), {"clip_x0": 0.5, "generator": seeded()}
    for walk in (ancestral(ddpm, x_T, **options), ddim(ddpm, x_T, **options)):
        steps = list(walk)
        assert max(float(step.x0_hat.abs().max()) for step in steps) == 0.5
        assert float(steps[0].x_s.abs().min()) > 1


def test_sampling_builds_no_graph_and_leaves_grad_mode_alone() -> None:
    ddpm = DDPM(MLP(dim=2), n_T=5)
    for step in ancestral(ddpm, torch.zeros(3, 2)):
        assert torch.is_grad_enabled()
        assert not step.x_s.requires_grad
    for step in ddim(ddpm, torch.zeros(3, 2), steps=5):
        assert torch.is_grad_enabled()
        assert not step.x_s.requires_grad
    assert not ddpm.sample(2, (2,)).requires_grad


def test_the_method_sample_is_the_ancestral_sampler() -> None:
    torch.manual_seed(0)
    ddpm = DDPM(UNet(1, 8, 10), n_T=5)
    x = ddpm.sample(13, (1, 8, 8), None, 2.0, generator=seeded(3))
    generator = seeded(3)
    x_T = torch.randn(13, 1, 8, 8, generator=generator)
    c = torch.arange(13) % 10
    expected = sample(ancestral(ddpm, x_T, c, w=2.0, generator=generator))
    assert torch.equal(x, expected)
    options = {"variance": "beta", "clip_x0": 0.5}
    x = ddpm.sample(13, (1, 8, 8), c=c, generator=seeded(3), **options)
    generator = seeded(3)
    torch.randn(13, 1, 8, 8, generator=generator)
    expected = sample(ancestral(ddpm, x_T, c, generator=generator, **options))
    assert torch.equal(x, expected)


def test_a_sampler_that_is_used_up_is_refused() -> None:
    walk = ddim(gaussian(SCHEDULES["cosine, T = 30"]), torch.zeros(1, 1), steps=2)
    sample(walk)
    with pytest.raises(ValueError, match="steps must hold at least one step"):
        sample(walk)


# --- parity with diffusers -----------------------------------------------------------

PARITY_T = 50


def parity_model() -> DDPM:
    """A network with random weights, its outputs large enough that clipping acts.

    √ᾱ_T is 0.07 here. x̂_0 is divided by it, and so is float32 rounding: at 0.006 either
    library is 1e-4 away from a float64 run, which says nothing about the other.
    """
    torch.manual_seed(0)
    net = UNet(1, 16, 10)
    torch.nn.init.normal_(net.leave.weight, std=0.05)
    return DDPM(net, schedule=Schedule.linear(PARITY_T, 1e-3, 0.2)).eval()


def theirs(scheduler, ddpm: DDPM, x: torch.Tensor, c: torch.Tensor, **options):
    """The loop that their users write; their time t is index t − 1."""
    for index in scheduler.timesteps.tolist():
        with torch.no_grad():
            eps_hat = ddpm.predict_eps(x, index + 1, c)
        x = scheduler.step(eps_hat, index, x, **options).prev_sample
    return x


def relative(got: torch.Tensor, expected: torch.Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("clip_x0", [None, 1.0])
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_parity_with_the_ddpm_scheduler(variance: str, clip_x0: float | None) -> None:
    diffusers = pytest.importorskip("diffusers")
    ddpm = parity_model()
    scheduler = diffusers.DDPMScheduler(
        num_train_timesteps=PARITY_T,
        trained_betas=ddpm.schedule.betas[1:].tolist(),
        variance_type={"posterior": "fixed_small", "beta": "fixed_large"}[variance],
        clip_sample=clip_x0 is not None,
    )
    scheduler.set_timesteps(PARITY_T)
    generator = seeded(5)
    x_T = torch.randn(4, 1, 8, 8, generator=generator)
    c = torch.arange(4)
    state = generator.get_state()
    expected = theirs(scheduler, ddpm, x_T, c, generator=generator)
    generator.set_state(state)
    steps = list(
        ancestral(ddpm, x_T, c, variance=variance, clip_x0=clip_x0, generator=generator)
    )
    clamped = any(bool((step.x0_hat.abs() == 1).any()) for step in steps)
    assert clamped == (clip_x0 is not None)
    assert relative(steps[-1].x_s, expected) < 1e-4


@pytest.mark.parametrize("clip_x0", [None, 1.0])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [PARITY_T, 10])
@pytest.mark.parametrize("rederive_eps", [False, True])
def test_parity_with_the_ddim_scheduler(
    steps: int, eta: float, clip_x0: float | None, rederive_eps: bool
) -> None:
    diffusers = pytest.importorskip("diffusers")
    ddpm = parity_model()
    scheduler = diffusers.DDIMScheduler(
        num_train_timesteps=PARITY_T,
        trained_betas=ddpm.schedule.betas[1:].tolist(),
        clip_sample=clip_x0 is not None,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    generator = seeded(5)
    x_T = torch.randn(4, 1, 8, 8, generator=generator)
    c = torch.arange(4)
    state = generator.get_state()
    options = {"use_clipped_model_output": rederive_eps}
    expected = theirs(scheduler, ddpm, x_T, c, eta=eta, generator=generator, **options)
    generator.set_state(state)
    options = {"clip_x0": clip_x0, "rederive_eps": rederive_eps}
    ours = sample(
        ddim(ddpm, x_T, c, steps=steps, eta=eta, generator=generator, **options)
    )
    assert relative(ours, expected) < 1e-4


@pytest.mark.parametrize("w", [0.0, 2.0])
def test_clamped_ddim_over_all_steps_is_ancestral_if_eps_follows(w: float) -> None:
    ddpm, options = parity_model(), {"w": w, "clip_x0": 1.0}
    x_T, c = torch.randn(4, 1, 8, 8, generator=seeded(5)), torch.arange(4)
    exact = sample(ancestral(ddpm, x_T, c, generator=seeded(6), **options))
    walk = functools.partial(ddim, ddpm, x_T, c, steps=PARITY_T, eta=1.0, **options)
    follows = sample(walk(generator=seeded(6)))  # unless told not to
    stays = sample(walk(generator=seeded(6), rederive_eps=False))
    assert relative(follows, exact) < 1e-4 < relative(stays, exact)
    assert torch.equal(follows, sample(walk(generator=seeded(6), rederive_eps=True)))


def test_without_a_clamp_eps_is_the_networks_own() -> None:
    ddpm, x_T = parity_model(), torch.randn(4, 1, 8, 8, generator=seeded(5))
    both = [sample(ddim(ddpm, x_T, steps=5, rederive_eps=r)) for r in (True, False)]
    assert torch.equal(*both)


def test_the_method_p_step_is_the_samplers_step() -> None:
    ddpm, x_T = parity_model(), torch.randn(4, 1, 8, 8, generator=seeded(5))
    options = {"w": 2.0, "variance": "beta", "clip_x0": 1.0}
    c = torch.arange(4)
    first = next(ancestral(ddpm, x_T, c, generator=seeded(6), **options))
    x_s, x0_hat = ddpm.p_step(x_T, PARITY_T, c, generator=seeded(6), **options)
    assert first.t == PARITY_T
    assert torch.equal(first.x_s, x_s)
    assert torch.equal(first.x0_hat, x0_hat)


def test_parity_of_the_cosine_schedule_and_of_adding_noise() -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDPMScheduler(
        num_train_timesteps=200, beta_schedule="squaredcos_cap_v2"
    )
    ddpm = DDPM(MLP(dim=2), schedule=Schedule.cosine(200))
    assert_close(ddpm.betas[1:], scheduler.betas, rtol=1e-5, atol=1e-6)
    x0, eps, t = torch.randn(200, 2), torch.randn(200, 2), torch.arange(1, 201)
    assert_close(
        ddpm.q_sample(x0, t, eps),
        scheduler.add_noise(x0, eps, t - 1),
        rtol=1e-4,
        atol=1e-5,
    )


# --- networks that behave otherwise in training ---------------------------------------


class Moody(torch.nn.Module):
    """Drops out, counts in a batch norm, and has a part that stays in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.norm = torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(2)
        self.frozen = torch.nn.Dropout(0.5)
        self.fails = False

    def forward(self, x_t, c, t, context_mask):
        if self.fails:
            raise RuntimeError("no answer")
        return self.frozen(self.drop(self.norm(x_t)))


def modes(model: torch.nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


WALKS = {
    "sample": lambda ddpm, x, g: ddpm.sample(4, (2,), generator=g),
    "ancestral": lambda ddpm, x, g: sample(ancestral(ddpm, x, generator=g)),
    "ddim": lambda ddpm, x, g: sample(ddim(ddpm, x, steps=3, generator=g)),
    "p_step": lambda ddpm, x, g: ddpm.p_step(x, 5, generator=g)[0],
}


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())
def test_sampling_is_evaluation_whatever_the_mode(walk) -> None:
    torch.manual_seed(0)
    ddpm = DDPM(Moody(), n_T=5)
    x = torch.randn(4, 2)
    before = {k: v.clone() for k, v in ddpm.state_dict().items()}
    expected = walk(ddpm.eval(), x, seeded())
    assert not any(modes(ddpm))
    ddpm.train()
    ddpm.nn_model.frozen.eval()
    as_it_was = modes(ddpm)
    assert torch.equal(walk(ddpm, x, seeded()), expected)
    assert modes(ddpm) == as_it_was
    for name, value in ddpm.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_mode_is_the_callers_between_steps_and_after_errors() -> None:
    ddpm = DDPM(Moody(), n_T=5).train()
    x = torch.randn(4, 2)
    for walk in (ancestral(ddpm, x), ddim(ddpm, x, steps=3)):
        next(walk)
        assert all(modes(ddpm))  # also where the rest of the walk is never asked for
    walk = ancestral(ddpm, x)
    ddpm.nn_model.fails = True
    with pytest.raises(RuntimeError, match="no answer"):
        next(walk)
    assert all(modes(ddpm))
