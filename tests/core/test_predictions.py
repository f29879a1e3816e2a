"""Networks that answer ε, x_0 or v are one model: v-prediction of Salimans & Ho (2022).

A network that knows the truth has no loss, and one exact oracle asked in three ways
predicts, guides and samples alike.
"""

import pytest
import torch
from torch.testing import assert_close

from core.shared import Net, seeded
from minddpm import DDPM, MLP, Schedule, ancestral, ddim, sample
from minddpm.oracle import GaussianMixture

PREDICTIONS = ("eps", "x0", "v")
SCHEDULES = {
    "linear": Schedule.linear(50, rescale=True),
    "cosine": Schedule.cosine(100),
    "sigmoid": Schedule.sigmoid(100),
    "one step": Schedule.from_betas([0.3]),
}
every_schedule = pytest.mark.parametrize(
    "schedule", SCHEDULES.values(), ids=SCHEDULES.keys()
)
every_prediction = pytest.mark.parametrize("prediction", PREDICTIONS)


def says(answer: torch.Tensor) -> Net:
    """A network that answers what it was given."""
    return Net(lambda x_t, c, t, mask: answer)


def factors(schedule: Schedule, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """√ᾱ_t and √(1−ᾱ_t) as (B, 1) float64, from the betas alone."""
    alpha_bars = torch.cumprod(1 - schedule.betas.double(), 0)
    return alpha_bars[t].sqrt()[:, None], (1 - alpha_bars[t]).sqrt()[:, None]


def draws(schedule: Schedule) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clean samples, noise and times, with the first and the last among them."""
    generator = seeded()
    x0, eps = torch.randn(2, 200, 3, generator=generator)
    t = torch.randint(1, schedule.T + 1, (200,), generator=generator)
    t[0], t[1] = 1, schedule.T
    return x0, eps, t


def truth(schedule: Schedule) -> dict[str, torch.Tensor]:
    """What each network should answer; v = √ᾱ_t ε − √(1−ᾱ_t) x_0."""
    x0, eps, t = draws(schedule)
    signal, noise = factors(schedule, t)
    return {"eps": eps, "x0": x0, "v": (signal * eps - noise * x0).float()}


@every_schedule
@every_prediction
def test_who_knows_the_truth_has_no_loss(schedule: Schedule, prediction: str) -> None:
    x0, eps, t = draws(schedule)
    for name, answer in truth(schedule).items():
        ddpm = DDPM(says(answer), schedule=schedule, prediction=prediction)
        losses = ddpm.losses(x0, t, eps=eps)
        if name == prediction:
            assert losses.max() < 1e-11
        else:
            assert losses.mean() > 0.1


@every_schedule
@every_prediction
def test_the_loss_of_zero_is_the_mean_square_of_the_target(
    schedule: Schedule, prediction: str
) -> None:
    x0, eps, t = draws(schedule)
    ddpm = DDPM(says(0 * x0), schedule=schedule, prediction=prediction)
    expected = truth(schedule)[prediction].square().mean(dim=1)
    assert_close(ddpm.losses(x0, t, eps=eps), expected, rtol=1e-5, atol=1e-5)


@every_schedule
@every_prediction
def test_the_truth_is_turned_into_eps_and_x0(
    schedule: Schedule, prediction: str
) -> None:
    """Exact but for rounding, which 1/√(1−ᾱ_t) and 1/√ᾱ_t magnify."""
    x0, eps, t = draws(schedule)
    ddpm = DDPM(
        says(truth(schedule)[prediction]), schedule=schedule, prediction=prediction
    )
    signal, noise = factors(schedule, t)
    x_t = ddpm.q_sample(x0, t, eps)
    eps_hat = ddpm.predict_eps(x_t, t)
    x0_hat = ddpm.predict_x0(x_t, t, eps_hat)
    assert ((eps_hat - eps) * noise).abs().max() < 3e-6
    assert ((x0_hat - x0) * signal).abs().max() < 3e-6


def oracle(mixture: GaussianMixture, prediction: str) -> Net:
    """The exact mixture, asked for ε, x_0 or v."""

    def answer(x_t, c, t, mask):
        eps = mixture(x_t.double(), c, t, mask.double())
        signal, noise = factors(
            mixture.schedule, (t * mixture.schedule.T).round().long()
        )
        x0 = (x_t - noise * eps) / signal
        answers = {"eps": eps, "x0": x0, "v": signal * eps - noise * x0}
        return answers[prediction].float()

    return Net(answer, mixture.n_classes)


def three(schedule: Schedule) -> list[DDPM]:
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 1.0]])
    labels = torch.tensor([0, 1, 2])
    mixture = GaussianMixture(means, 0.2, schedule, labels=labels)
    return [
        DDPM(oracle(mixture, prediction), schedule=schedule, prediction=prediction)
        for prediction in PREDICTIONS
    ]


def start() -> tuple[torch.Tensor, torch.Tensor]:
    x_t = torch.randn(60, 2, generator=seeded(1))
    return x_t, torch.arange(60) % 3


@pytest.mark.parametrize("w", [-1.0, 0.0, 0.5, 3.0])
def test_guidance_is_the_same_for_all_three(w: float) -> None:
    (x_t, c), schedule = start(), SCHEDULES["linear"]
    one, *others = three(schedule)
    for t in (1, 10, 25, 50):
        expected = one.predict_eps(x_t, t, c, w)
        assert w == 0 or not torch.allclose(expected, one.predict_eps(x_t, t, c))
        for other in others:
            # ε of x̂_0 divides by √(1−ᾱ_t), which is 0.045 at t = 1
            assert_close(
                other.predict_eps(x_t, t, c, w), expected, rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("w", [0.0, 2.0])
@pytest.mark.parametrize("walk", [ancestral, ddim])
def test_sampling_is_the_same_for_all_three(walk, w: float) -> None:
    x_T, c = start()
    one, *others = (
        sample(walk(ddpm, x_T, c, w=w, generator=seeded(2)))
        for ddpm in three(SCHEDULES["linear"])
    )
    assert one.std() > 0.1
    for other in others:
        assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_without_a_word_it_is_eps() -> None:
    assert DDPM(MLP()).prediction == "eps"


@pytest.mark.parametrize("name", ["epsilon", "EPS", "", None])
def test_another_name_is_refused(name) -> None:
    with pytest.raises(
        ValueError, match=f"prediction must be one of eps, x0, v; got {name!r}"
    ):
        DDPM(MLP(), prediction=name)
