"""The formulas of notebook 05 that no other test covers, and what its text relies on.

The jump to x_t and the loss [DDPM eq. 4 and 14] are in test_equations.py, the floor in
test_oracle.py, the average of weights in test_train.py. Statistical tests state their
standard error and fail at five of them.
"""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from minddpm import DDPM, MLP, GaussianMixture, Schedule, data
from minddpm.course.ch05_training import explorer as training
from rooms import seeded

COSINE = Schedule.cosine(T=100)
RING = GaussianMixture(*data.ring_mixture(), COSINE)


def drawn(n: int, t: int) -> tuple[Tensor, Tensor]:
    """Return ε and x_t for points of the ring."""
    x0, _ = data.points("ring", n, generator=seeded(1))
    eps = torch.randn(n, 2, generator=seeded(2))
    return eps, DDPM(RING, schedule=COSINE).q_sample(x0, t, eps)


def test_algorithm_1_by_hand_is_forward_with_the_same_draws() -> None:
    torch.manual_seed(0)
    network = MLP(dim=2, n_feat=16)
    ddpm, draws = DDPM(network, schedule=COSINE), seeded(2)
    x0, _ = data.points("ring", 64, generator=seeded())
    t = torch.randint(1, 101, (64,), generator=draws)
    eps = torch.randn(64, 2, generator=draws)
    a = ddpm.alpha_bars[t][:, None]
    x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps
    loss = (eps - network(x_t, None, t / 100, None)).square().mean()
    assert_close(loss, ddpm(x0, generator=seeded(2)), rtol=1e-4, atol=0)


@pytest.mark.parametrize("t", [1, 10, 60])
def test_the_excess_is_the_squared_distance_to_the_exact_answer(t: int) -> None:
    """The standard error is that of the paired losses and the distance together."""
    torch.manual_seed(t)
    network = MLP(dim=2, n_feat=16)
    eps, x_t = drawn(50_000, t)
    with torch.no_grad():
        eps_hat = network(x_t, None, torch.full((len(x_t),), t / 100), None)
    exact = RING.eps(x_t, t)
    excess = (eps - eps_hat).square().mean(1) - (eps - exact).square().mean(1)
    distance = (eps_hat - exact).square().mean(1)
    d = excess - distance
    assert abs(float(d.mean())) < 5 * float(d.std()) / len(d) ** 0.5
    # and it can fail: the distance to anything but E[ε | x_t] does not do
    d = excess - (eps_hat - 0.8 * exact).square().mean(1)
    assert abs(float(d.mean())) > 10 * float(d.std()) / len(d) ** 0.5


def test_the_error_of_paired_differences_is_right() -> None:
    """400 repetitions: the spread of a mean has the relative error 1/√800."""
    hard = torch.randn(400, 500, generator=seeded()).square()
    d = 0.3 + 0.1 * torch.randn(400, 500, generator=seeded(1))
    excess = (hard + d) - hard
    spread = float(excess.mean(1).std())
    errors = excess.std(1) / 500**0.5
    assert spread == pytest.approx(float(errors.mean()), rel=5 / 800**0.5)
    apart = ((hard + d).var(1) + hard.var(1)).sqrt() / 500**0.5
    assert float(apart.mean()) > 10 * spread


def test_the_time_features_are_what_the_network_is_told() -> None:
    condition = MLP(dim=2, n_feat=16).condition
    t = torch.tensor([1, 37, 100])
    phase = t[:, None] / 100 * condition.frequencies
    features = torch.cat([phase.sin(), phase.cos()], dim=1)
    told = torch.nn.functional.silu(condition.time(features))
    assert_close(told, condition(None, t / 100, None, 3))


def test_similarity_of_two_times_is_a_mean_of_cosines_of_their_difference() -> None:
    omega = torch.logspace(0, 3, 32, dtype=torch.float64)
    for t, u in itertools.combinations((1, 10, 11, 50, 100), 2):
        a, b = (
            torch.cat([(omega * k / 100).sin(), (omega * k / 100).cos()])
            for k in (t, u)
        )
        assert_close(a @ b / 32, (omega * (t - u) / 100).cos().mean())
        assert_close(a @ a, torch.tensor(32.0, dtype=torch.float64))


def best_without_t(x: Tensor) -> Tensor:
    times = range(1, 101)
    log_q = torch.stack([RING.log_prob(x, t) for t in times])
    p = log_q.softmax(dim=0)[..., None]
    return (p * torch.stack([RING.eps(x, t) for t in times])).sum(0)


def test_the_best_answer_without_t_leaves_an_error_that_nothing_explains() -> None:
    """E[(ε − E[ε | x]) g(x)] = 0 for any g, with the error of the mean of products."""
    n = 20_000
    x0, _ = data.points("ring", n, generator=seeded(3))
    t = torch.randint(1, 101, (n,), generator=seeded(4))
    eps = torch.randn(n, 2, generator=seeded(5))
    x = DDPM(RING, schedule=COSINE).q_sample(x0, t, eps)
    rest = eps - best_without_t(x)
    angle = torch.atan2(x[:, 1], x[:, 0])
    for g in (x, x.sign(), x * x.norm(dim=1, keepdim=True), (8 * angle).cos()[:, None]):
        product = (rest * g).sum(1)
        z = float(product.mean() / product.std()) * n**0.5
        assert abs(z) < 5
    # and it can fail: the exact answer at a wrong time is explained by x
    product = ((eps - RING.eps(x, 10)) * x).sum(1)
    assert abs(float(product.mean() / product.std()) * n**0.5) > 10


# --- the explorer ---------------------------------------------------------------------


def test_the_grey_curves_are_what_the_first_setting_gives() -> None:
    """Loose: other machines round otherwise, and a run amplifies that."""
    *_, run = training.work(**training.REFERENCE)
    losses = run.losses.view(-1, 25).mean(1)
    assert_close(losses, torch.tensor(training.REFERENCE_LOSSES), rtol=0.08, atol=0)
    marks = torch.tensor(training._MARKS)
    ratio = run.excess[marks - 1] / torch.tensor(training.REFERENCE_EXCESS)
    assert float(ratio.log().abs().median()) < 0.4
    mean = float(run.excess.mean())
    kept = torch.trapezoid(torch.tensor(training.REFERENCE_EXCESS), marks.float())
    assert float(kept) / 99 == pytest.approx(mean, rel=0.25)


def test_a_run_of_the_explorer_can_be_repeated_and_changes_no_random_state() -> None:
    settings = {"batch": 8, "lr": 4e-3, "time": "hidden"}
    before = torch.get_rng_state()
    first, second = (next(iter(training.work(**settings))) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.losses, second.losses)
    assert torch.equal(first.excess, second.excess)
    assert first.settings == settings
    assert len(first.losses) == 25


def test_the_status_names_the_settings_of_the_run_and_those_set_now() -> None:
    run = next(iter(training.work(batch=8, lr=4e-3, time="hidden")))
    status = training.draw(**training.REFERENCE, run=run).status
    assert "blue: batch 8, learning rate 0.004, t hidden: 25 of 300 steps" in status
    assert "Set now: batch 256, learning rate 0.008, t as sines and cosines" in status
    before = training.draw(**training.REFERENCE, run=None).status
    assert "Press the button" in before


def test_what_goes_wrong_is_said() -> None:
    poor = training.Run(training.REFERENCE, torch.ones(25), torch.full((100,), 0.7))
    warning = training.draw(**training.REFERENCE, run=poor).warning
    assert "No better than a network that answers 0" in warning
    hidden = training.REFERENCE | {"time": "hidden"}
    done = training.Run(hidden, torch.full((300,), 0.5), torch.full((100,), 0.2))
    assert "Without t" in training.draw(**hidden, run=done).warning
    good = training.Run(training.REFERENCE, done.losses, done.excess / 5)
    assert training.draw(**hidden, run=good).warning == ""
