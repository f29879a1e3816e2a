"""Models in double and half precision: the network computes in it, not the rest."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from core.shared import randn, seeded
from minddpm import (
    DDPM,
    MLP,
    ExactDenoiser,
    GaussianMixture,
    Schedule,
    TrainConfig,
    UNet,
    ancestral,
    ddim,
    sample,
)  # fmt: skip
from minddpm.train import train

HALVES = [torch.bfloat16, torch.float16]
DTYPES = [torch.float64, *HALVES]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP": (lambda: MLP(2, 8, 3), (2,)),
    "UNet": (lambda: UNet(1, 8, 3), (1, 8, 8)),
}
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_half = pytest.mark.parametrize("dtype", HALVES, ids=str)
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def wide_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(name: str) -> tuple[DDPM, Tensor, Tensor]:
    """A model of few steps, and samples and labels for it, in float32."""
    make, shape = NETWORKS[name]
    net = make()
    for k, p in enumerate(net.parameters()):
        nn.init.normal_(p, 0, 0.1, generator=seeded(k))
    c = torch.arange(6) % 3
    return DDPM(net, n_T=10), randn(6, *shape, dtype=torch.float32), c


@every_network
@every_dtype
def test_a_model_of_any_dtype_has_the_loss_and_samples_of_float32(name, dtype) -> None:
    ddpm, x, c = model(name)
    tolerance = {"rtol": 0.05, "atol": 0.05}  # bfloat16 keeps 8 bits
    expected = ddpm(x, c, generator=seeded())
    samples = ddpm.sample(6, x.shape[1:], guide_w=0.5, generator=seeded())
    steps = sample(ddim(ddpm, x, c, steps=4))
    eps_hat = ddpm.predict_eps(x, 3, c)
    ddpm.to(dtype)
    least = torch.promote_types(dtype, torch.float32)
    loss = ddpm(x, c, generator=seeded())
    assert loss.dtype == least
    assert_close(loss, expected.to(least), **tolerance)
    assert ddpm(x.to(dtype), c, generator=seeded()).isfinite()
    got = sample(ddim(ddpm, x, c, steps=4))
    assert_close(got, steps.to(got), **tolerance)
    assert_close(ddpm.predict_eps(x, 3, c), eps_hat, **tolerance)
    drawn = ddpm.sample(6, x.shape[1:], guide_w=0.5, generator=seeded())
    assert drawn.dtype == least
    if dtype in HALVES:  # double ones draw other noise
        assert_close(drawn, samples, **tolerance)
    for walk in (ancestral(ddpm, x.to(dtype), c), ddim(ddpm, x.to(dtype), c, steps=2)):
        assert sample(walk).isfinite().all()


@every_network
@every_dtype
def test_what_is_given_in_any_dtype_fits_the_weights(name: str, dtype) -> None:
    """The network answers in its own, the model in that of the mathematics."""
    ddpm, x, c = model(name)
    t, kept = torch.full((6,), 0.3), torch.zeros(6)
    expected = ddpm.nn_model(x, c, t, kept)
    answer = ddpm.nn_model(x.to(dtype), c, t.to(dtype), kept.to(dtype))
    assert answer.dtype == torch.float32
    assert_close(answer, expected, rtol=0.05, atol=0.05)
    answer = ddpm.nn_model.to(dtype)(x, c, t, kept)
    assert answer.dtype == dtype
    assert_close(answer.float(), expected, rtol=0.05, atol=0.05)
    assert ddpm.predict_eps(x, 3, c).dtype == torch.float32


@every_half
def test_tables_lose_nothing(dtype: torch.dtype) -> None:
    """Half precision would turn the phase of the time by up to a radian."""
    x0 = randn(9, 2, dtype=torch.float32)
    mixture = ExactDenoiser(x0, Schedule.linear(100), torch.arange(9) % 3)
    for make in (
        lambda: DDPM(MLP(2, 8, 3), n_T=100),
        lambda: MLP(2, 64).condition,
        lambda: DDPM(mixture, schedule=Schedule.linear(100)),
    ):
        before, after = make(), make().to(dtype)
        assert dict(before.named_buffers())
        for name, table in after.named_buffers():
            assert torch.equal(table, before.get_buffer(name)), name
        again = after.float()
        for name, table in again.named_buffers():
            assert torch.equal(table, before.get_buffer(name)), name
    assert torch.equal(mixture.to(dtype).denoise(x0, 1), ExactDenoiser(
        x0, Schedule.linear(100), torch.arange(9) % 3
    ).denoise(x0, 1))  # fmt: skip


def test_double_tables_hold_the_same_numbers() -> None:
    ddpm = DDPM(MLP(2, 8))
    mixture = GaussianMixture(randn(3, 2), 0.1, Schedule.cosine())
    tables = ddpm.schedule.tables()
    ddpm.double()
    for name, table in tables.items():
        assert getattr(ddpm, name).dtype == torch.float64
        assert torch.equal(getattr(ddpm, name), table.double())
        assert torch.equal(getattr(ddpm.schedule, name), table)
    assert mixture.float().double().sample(5)[0].dtype == torch.float64


def test_a_move_to_another_device_is_followed() -> None:
    """Also where the dtype changes on the way."""
    ddpm = DDPM(MLP(2, 8)).to("meta", torch.bfloat16)
    assert {table.device.type for table in ddpm.buffers()} == {"meta"}
    assert {table.dtype for table in ddpm.buffers()} == {torch.float32}
    assert ddpm.to_empty(device="cpu").device.type == "cpu"


@every_dtype
def test_a_network_of_ones_own_gets_what_its_weights_are(dtype: torch.dtype) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x_t: Tensor, *given: Tensor) -> Tensor:
            return self.layer(x_t)

    for ddpm in (DDPM(Own()).to(dtype), DDPM(Own().to(dtype))):
        x = randn(3, 2, dtype=torch.float32)
        assert ddpm(x).isfinite()
        assert ddpm.predict_eps(x, 3).dtype == torch.float32
        assert ddpm.predict_eps(x.double(), 3).dtype == torch.float64


@pytest.mark.usefixtures("wide_default")
def test_the_default_dtype_changes_neither_tables_nor_draws() -> None:
    ddpm = DDPM(MLP(2, 8, 3).float(), n_T=10)
    assert {table.dtype for table in ddpm.buffers()} == {torch.float32}
    drawn = ddpm.sample(3, (2,), generator=seeded())
    _, _, mask = ddpm.draw(drawn, seeded())
    torch.set_default_dtype(torch.float32)
    assert torch.equal(drawn, ddpm.sample(3, (2,), generator=seeded()))
    assert torch.equal(mask, ddpm.draw(drawn, seeded())[2])


@every_dtype
def test_training_in_any_dtype_lowers_the_loss(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ddpm = DDPM(MLP(2, 32), n_T=20).to(dtype)
    x = 0.1 * randn(64, 2, dtype=torch.float32)
    config = TrainConfig(steps=60, batch_size=64, warmup=5, ema_decay=0.5)
    losses = train(ddpm, (x, None), config, progress=False).losses
    assert losses.isfinite().all()
    assert losses[-10:].mean() < 0.8 * losses[:5].mean()
    assert ddpm.sample(3, (2,)).isfinite().all()
