"""The training loop: it learns, repeats itself, stops cleanly and refuses bad data."""

import dataclasses
import io
import math
import re

import pytest
import torch
from torch.testing import assert_close
from tqdm import tqdm

from minddpm import (
    DDPM,
    EMA,
    MLP,
    Schedule,
    TrainConfig,
    ancestral,
    default_device,
    sample,
)
from minddpm.oracle import GaussianMixture, loss_floor
from minddpm.train import train

QUICK = TrainConfig(steps=20, batch_size=16, warmup=5)


def model(seed: int = 0, **options) -> DDPM:
    torch.manual_seed(seed)
    return DDPM(MLP(2, 32, 3), schedule=Schedule.cosine(50), **options)


def data(n: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(n, 2, generator=generator), torch.arange(n) % 3


def test_it_learns_what_can_be_learned() -> None:
    """On N(1, 0.3²) an MLP gets within a tenth of the exact floor."""
    schedule = Schedule.cosine(50)
    exact = GaussianMixture(torch.ones(1, 1), 0.3, schedule)
    generator = torch.Generator().manual_seed(0)
    x0, _ = exact.sample(5000, generator=generator)
    torch.manual_seed(0)
    ddpm = DDPM(MLP(1, 64), schedule=schedule)
    train(ddpm, (x0, None), TrainConfig(steps=1000), progress=False)
    floor = loss_floor(exact, n=2000, generator=generator)
    t = torch.arange(1, 51).repeat(400)
    fresh, _ = exact.sample(len(t), generator=generator)
    with torch.no_grad():
        losses = ddpm.losses(fresh, t, generator=generator)
    error = math.hypot(
        float(losses.std()) / math.sqrt(len(t)), floor.mean_standard_error
    )
    assert floor.mean - 5 * error < float(losses.mean()) < 1.1 * floor.mean + 5 * error


def test_the_same_seed_gives_the_same_weights_and_samples() -> None:
    runs = []
    for _ in range(2):
        ddpm = model()
        history = train(ddpm, data(), QUICK, progress=False)
        generator = torch.Generator().manual_seed(1)
        x_T = torch.randn(10, 2, generator=generator)
        x = sample(ancestral(ddpm, x_T, torch.arange(10) % 3, generator=generator))
        runs.append((history.losses, *ddpm.state_dict().values(), x))
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)
    other_seed = dataclasses.replace(QUICK, seed=1)
    losses = train(model(), data(), other_seed, progress=False).losses
    assert not torch.equal(losses, runs[0][0])


def test_training_neither_reads_nor_moves_the_global_generator() -> None:
    ddpm = model()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(ddpm, data(), QUICK, progress=False)
    assert torch.equal(torch.rand(3), expected)


class Failing(torch.nn.Module):
    """Works until its call number `at`, then raises or answers NaN."""

    n_classes = 3

    def __init__(self, at: int, error: type[BaseException] | None = None) -> None:
        super().__init__()
        self.inner, self.at, self.error, self.calls = MLP(2, 32, 3), at, error, 0

    def forward(
        self,
        x_t: torch.Tensor,
        c: torch.Tensor,
        t: torch.Tensor,
        context_mask: torch.Tensor,
    ) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.at:
            if self.error:
                raise self.error
            return x_t * math.nan
        return self.inner(x_t, c, t, context_mask)


def test_an_interrupt_leaves_a_usable_model() -> None:
    ddpm = DDPM(Failing(8, KeyboardInterrupt), schedule=Schedule.cosine(10))
    before = [p.clone() for p in ddpm.parameters()]
    history = train(ddpm, data(), QUICK, progress=False)
    assert history.stopped == "interrupted"
    assert len(history.losses) == 7
    assert "7 steps" in repr(history)
    assert not ddpm.training
    pairs = zip(before, ddpm.parameters(), strict=True)
    assert not any(torch.equal(*pair) for pair in pairs)
    assert ddpm.sample(4, (2,)).isfinite().all()


def test_an_interrupt_before_the_first_step_changes_nothing() -> None:
    ddpm = DDPM(Failing(1, KeyboardInterrupt), schedule=Schedule.cosine(10))
    before = [p.clone() for p in ddpm.parameters()]
    history = train(ddpm, data(), QUICK, progress=False)
    assert len(history.losses) == 0
    assert "0 steps" in repr(history)
    pairs = zip(before, ddpm.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_nan_loss_stops_at_once_and_names_the_step() -> None:
    ddpm = DDPM(Failing(4), schedule=Schedule.cosine(10))
    with pytest.raises(FloatingPointError, match=r"loss is nan at step 4 .*lower lr"):
        train(ddpm, data(), QUICK, progress=False)
    assert all(p.isfinite().all() for p in ddpm.parameters())


def test_time_is_a_budget() -> None:
    config = TrainConfig(steps=10**6, batch_size=8, max_seconds=0.5)
    history = train(model(), data(), config, progress=False)
    assert history.stopped == "time"
    assert 0 < len(history.losses) < 10**6
    assert history.seconds >= 0.5


def test_steps_are_a_budget() -> None:
    history = train(model(), data(), QUICK, progress=False)
    assert (history.stopped, len(history.losses)) == ("steps", 20)


def test_each_epoch_sees_every_sample_once() -> None:
    seen = []

    class Spy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(
            self,
            x_t: torch.Tensor,
            c: torch.Tensor,
            t: torch.Tensor,
            context_mask: torch.Tensor,
        ) -> torch.Tensor:
            seen.extend(c.tolist())
            return x_t * self.weight

    x0, c = torch.zeros(10, 2), torch.arange(10)
    train(DDPM(Spy()), (x0, c), TrainConfig(steps=6, batch_size=5), progress=False)
    for epoch in range(3):
        assert sorted(seen[10 * epoch : 10 * (epoch + 1)]) == list(range(10))
    assert seen[:10] != seen[10:20]


@pytest.mark.parametrize("power", [1.0, 0.5, 2.0])
def test_times_are_drawn_as_a_power_says(power: float) -> None:
    """t ≤ k just when T u^power ≤ k, so with probability (k/T)^(1/power)."""
    seen: list[torch.Tensor] = []

    class Spy(MLP):
        def forward(self, x_t, c, t, context_mask):
            seen.append(t)
            return super().forward(x_t, c, t, context_mask)

    T, steps, size = 5, 20, 1000
    config = TrainConfig(steps=steps, batch_size=size, time_power=power)
    train(DDPM(Spy(2, 8), schedule=Schedule.cosine(T)), data(), config, progress=False)
    t = torch.cat(seen).mul(T).round().long()
    edges = (torch.arange(T + 1, dtype=torch.float64) / T) ** (1 / power)
    p, n = edges.diff(), steps * size
    error = 5 * (p * (1 - p) / n).sqrt()
    assert bool(((t.bincount(minlength=T + 1)[1:] / n - p).abs() < error).all())
    assert int(t.min()) == 1
    assert int(t.max()) == T


def test_the_learning_rate_warms_up_and_falls_to_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates: list[float] = []
    real = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    config = TrainConfig(steps=100, batch_size=4, lr=1.0e-3, warmup=10)
    train(model(), data(), config, progress=False)
    assert rates[0] < 1.1e-4
    assert 0.95e-3 < max(rates) <= 1e-3
    assert rates.index(max(rates)) == 10
    assert rates[-1] < 1e-6
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_gradients_are_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    real = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        grads = [p.grad for g in self.param_groups for p in g["params"]]
        norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(model(), data(), dataclasses.replace(QUICK, grad_clip=0.01), progress=False)
    assert max(norms) < 0.0101


def test_ema_is_the_average_and_swaps_back_and_forth() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    ema, expected = EMA(net, decay=0.5), net.weight.item()
    for k in range(1, 20):
        with torch.no_grad():
            net.weight.fill_(k)
        ema.update()
        decay = min(0.5, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * k
    assert_close(ema.shadow[0].item(), expected)
    ema.swap()
    assert_close(net.weight.item(), expected)
    ema.swap()
    assert net.weight.item() == 19


def test_after_training_the_model_holds_the_average() -> None:
    ddpm = model()
    history = train(ddpm, data(), QUICK, progress=False)
    averaged = [p.clone() for p in ddpm.parameters()]
    history.ema.swap()
    raw = [p.clone() for p in ddpm.parameters()]
    assert not any(torch.equal(*p) for p in zip(averaged, raw, strict=True))
    history.ema.swap()
    assert all(torch.equal(*p) for p in zip(averaged, ddpm.parameters(), strict=True))


def test_the_progress_bar_shows_loss_and_speed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    train(model(), data(), dataclasses.replace(QUICK, steps=60))
    shown = capfd.readouterr().err
    assert re.search(r"60/60 \[.*step/s, loss=\d\.\d{4}, images/s=[\d,]+\]", shown)


def test_where_time_is_the_limit_the_bar_ends_full(
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = TrainConfig(steps=10**6, batch_size=8, max_seconds=0.5)
    history = train(model(), data(), config)
    n, last = len(history.losses), capfd.readouterr().err.split("\r")[-1]
    assert re.search(rf"100%.* {n}/{n} ", last), last


@pytest.mark.parametrize(
    ("first", "seconds", "limit", "steps", "total"),
    [
        (0, 10.0, 40.0, 10**6, 400),  # 10 steps a second, for 30 more seconds
        (0, 10.0, 40.0, 150, 150),  # the steps end it first
        (0, 10.0, math.inf, 150, 150),
        (50, 10.0, 40.0, 10**6, 250),  # 50 of them were taken by an earlier process
        (0, 41.0, 40.0, 10**6, 100),  # the time is up
    ],
)
def test_the_bar_promises_what_time_and_steps_allow(
    first: int, seconds: float, limit: float, steps: int, total: int
) -> None:
    """tqdm shows (total − n) / speed as the time that is left: here 30 s, 5 s, …."""
    config = TrainConfig(steps=steps, batch_size=20)
    bar = tqdm(initial=first, file=io.StringIO())
    _show(bar, torch.arange(100.0), first, seconds, limit, config)
    assert (bar.n, bar.total) == (100, total)
    speed = (100 - first) * 20 / seconds
    assert bar.postfix == f"loss=74.5000, images/s={speed:,.0f}"


def test_a_history_of_other_data_is_refused() -> None:
    history = train(model(), data(50), QUICK, progress=False)
    longer = dataclasses.replace(QUICK, steps=30)
    with pytest.raises(ValueError, match=r"resume must be a history of these data"):
        train(model(), data(20), longer, progress=False, resume=history)


def test_the_device_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDDPM_DEVICE", "cpu")
    assert default_device() == torch.device("cpu")
    monkeypatch.setenv("MINDDPM_DEVICE", "cuda:99")
    with pytest.raises(ValueError, match=r"MINDDPM_DEVICE must name a device.*cuda:99"):
        default_device()
    monkeypatch.setenv("MINDDPM_DEVICE", "toaster")
    with pytest.raises(ValueError, match=r"MINDDPM_DEVICE must name a device.*toaster"):
        default_device()
    monkeypatch.delenv("MINDDPM_DEVICE")
    assert default_device().type in {"cpu", "cuda", "mps"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_trains_and_samples_on_cuda() -> None:
    ddpm = model(device="cuda")
    history = train(ddpm, data(), dataclasses.replace(QUICK, steps=60), progress=False)
    assert history.losses.device.type == "cpu"
    x = ddpm.sample(6, (2,), generator=torch.Generator().manual_seed(0))
    assert x.device.type == "cuda"


def test_a_callback_sees_every_step_and_can_sample_without_changing_the_run() -> None:
    plain = model()
    expected = train(plain, data(), QUICK, progress=False)
    seen, ddpm = [], model()

    def look(history) -> None:
        seen.append((len(history.losses), history.stopped))
        history.ema.swap()
        ddpm.eval()
        draws = torch.Generator().manual_seed(1)
        sample(ancestral(ddpm, torch.zeros(2, 2), generator=draws))
        history.ema.swap()

    history = train(ddpm, data(), QUICK, progress=False, callback=look)
    assert seen == [(k, "running") for k in range(1, 21)]
    assert torch.equal(history.losses, expected.losses)
    for one, other in zip(ddpm.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_a_callback_was_given_does_not_change_later() -> None:
    kept = []
    train(model(), data(), QUICK, progress=False, callback=kept.append)
    for k, history in enumerate(kept):
        assert torch.equal(history.losses, kept[-1].losses[: k + 1])
