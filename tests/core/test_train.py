"""The training loop: it learns, repeats itself, stops cleanly and refuses bad data."""

import dataclasses
import io
import math
import re
from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from core.shared import Net, seeded
from minddpm import (
    DDPM,
    EMA,
    MLP,
    History,
    Schedule,
    TrainConfig,
    UNet,
    ancestral,
    default_device,
    sample,
)  # fmt: skip
from minddpm.app.processes import batch_loss
from minddpm.oracle import GaussianMixture, loss_floor
from minddpm.train import _with_bar, gradient_steps, train

QUICK = TrainConfig(steps=20, batch_size=16, warmup=5)


def model(seed: int = 0, **options) -> DDPM:
    torch.manual_seed(seed)
    return DDPM(MLP(2, 32, 3), schedule=Schedule.cosine(50), **options)


def data(n: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 2, generator=seeded(9)), torch.arange(n) % 3


def test_it_learns_what_can_be_learned() -> None:
    """On N(1, 0.3²) an MLP gets within a tenth of the exact floor."""
    schedule = Schedule.cosine(50)
    exact = GaussianMixture(torch.ones(1, 1), 0.3, schedule)
    generator = seeded()
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
        generator = seeded(1)
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


def failing(at: int, error: type[BaseException] | None = None) -> Net:
    """Works until its call number `at`, then raises or answers NaN."""
    inner = MLP(2, 32, 3)

    def answer(x_t, *others):
        if len(net.calls) != at:
            return inner(x_t, *others)
        if error:
            raise error
        return x_t * math.nan

    net = Net(answer, n_classes=3)
    net.inner = inner
    return net


def test_an_interrupt_leaves_a_usable_model() -> None:
    ddpm = DDPM(failing(8, KeyboardInterrupt), schedule=Schedule.cosine(10))
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
    ddpm = DDPM(failing(1, KeyboardInterrupt), schedule=Schedule.cosine(10))
    before = [p.clone() for p in ddpm.parameters()]
    history = train(ddpm, data(), QUICK, progress=False)
    assert len(history.losses) == 0
    assert "0 steps" in repr(history)
    pairs = zip(before, ddpm.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_nan_loss_stops_at_once_and_names_the_step() -> None:
    ddpm = DDPM(failing(4), schedule=Schedule.cosine(10))
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
    net = Net(lambda x_t, c, t, mask: x_t)
    x0, c = torch.zeros(10, 2), torch.arange(10)
    train(DDPM(net), (x0, c), TrainConfig(steps=6, batch_size=5), progress=False)
    seen = torch.cat([c for _, c, _, _ in net.calls]).tolist()
    for epoch in range(3):
        assert sorted(seen[10 * epoch : 10 * (epoch + 1)]) == list(range(10))
    assert seen[:10] != seen[10:20]


# --- Algorithm 1 ----------------------------------------------------------------------


def test_the_loop_is_algorithm_1_written_out_by_hand() -> None:
    """With plain gradient descent: batches, draws, loss, clipping, rate and average."""
    config = TrainConfig(
        steps=8, batch_size=16, lr=0.1, warmup=2, grad_clip=1.7, ema_decay=0.4
    )
    x0, c = data(24)
    ddpm, generator = model(), seeded(7)
    weights = list(ddpm.parameters())
    averages = [p.detach().clone() for p in weights]
    queue, losses, clipped = [], [], 0
    for step in range(1, 9):
        while len(queue) < 16:
            queue += torch.randperm(24, generator=generator).tolist()
        batch, queue = queue[:16], queue[16:]
        t = torch.randint(1, 51, (16,), generator=generator)
        eps = torch.randn(16, 2, generator=generator)
        mask = torch.bernoulli(torch.full((16,), 0.1), generator=generator)
        x_t = ddpm.q_sample(x0[batch], t, eps)
        eps_hat = ddpm.nn_model(x_t, c[batch], t / 50, mask)
        loss = (eps - eps_hat).square().mean()
        gradients = torch.autograd.grad(loss, weights)
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        clipped += norm > 1.7
        rate = min(1, step / 3) * 0.1 * (1 + math.cos(math.pi * (step - 1) / 8)) / 2
        decay = min(0.4, (1 + step) / (10 + step))
        with torch.no_grad():
            for p, g, average in zip(weights, gradients, averages, strict=True):
                p -= rate * g * min(1, 1.7 / norm)
                average.copy_(decay * average + (1 - decay) * p)
        losses.append(float(loss.detach()))
    assert 0 < clipped < 8
    trained = model()
    descent = torch.optim.SGD(trained.parameters(), lr=99.0)  # replaced by config.lr
    options = {"optimiser": descent, "generator": seeded(7), "progress": False}
    history = train(trained, (x0, c), config, **options)
    assert history.optimiser is descent
    assert_close(history.losses, torch.tensor(losses))
    for average, p in zip(averages, trained.parameters(), strict=True):
        assert_close(average, p.detach())
    history.ema.swap()
    for raw, p in zip(weights, trained.parameters(), strict=True):
        assert_close(raw, p)


def steps_of(run: Callable[[torch.optim.Optimizer], object], ddpm: DDPM) -> list:
    """The learning rate and the norm of the gradient at each step of an optimiser."""
    seen, optimiser = [], torch.optim.SGD(ddpm.parameters(), lr=1.0)

    def look(optimiser, *_) -> None:
        (group,) = optimiser.param_groups
        norm = torch.cat([p.grad.flatten() for p in group["params"]]).norm()
        seen.append((group["lr"], float(norm)))

    optimiser.register_step_pre_hook(look)
    run(optimiser)
    return seen


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = TrainConfig(steps=100, batch_size=4, lr=1.0e-3, warmup=10)
    ddpm = model()

    def run(optimiser) -> None:
        train(ddpm, data(), config, optimiser=optimiser, progress=False)

    rates = [rate for rate, _ in steps_of(run, ddpm)]
    assert rates[0] < 1.1e-4
    assert 0.95e-3 < max(rates) <= 1e-3
    assert rates.index(max(rates)) == 10
    assert rates[-1] < 1e-6
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_gradients_are_clipped() -> None:
    config = dataclasses.replace(QUICK, grad_clip=0.01)
    ddpm = model()

    def run(optimiser) -> None:
        train(ddpm, data(), config, optimiser=optimiser, progress=False)

    assert 0.0099 < max(norm for _, norm in steps_of(run, ddpm)) < 0.0101


def test_without_a_word_it_is_adamw_without_weight_decay() -> None:
    (group,) = History(model(), QUICK).optimiser.param_groups
    assert isinstance(History(model(), QUICK).optimiser, torch.optim.AdamW)
    assert (group["betas"], group["weight_decay"]) == ((0.9, 0.99), 0)


# --- what is wrapped around it --------------------------------------------------------


def test_the_loss_may_be_computed_elsewhere() -> None:
    """`loss_of` gets the batch and its draws; its value is the loss that is kept."""
    plain, other, given = model(), model(), []
    expected = train(plain, data(), QUICK, progress=False)

    def loss_of(x0, t, c, eps, mask):
        given.append((x0, t, c, eps, mask))
        return other.losses(x0, t, c, eps=eps, context_mask=mask).mean()

    history = train(other, data(), QUICK, progress=False, loss_of=loss_of)
    assert torch.equal(history.losses, expected.losses)
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    shapes = [tuple(part.shape) for part in given[-1]]
    assert (len(given), shapes) == (20, [(16, 2), (16,), (16,), (16, 2), (16,)])

    def scaled(*batch):
        return 2 * loss_of(*batch)

    doubled = train(model(), data(), QUICK, progress=False, loss_of=scaled)
    assert not torch.equal(doubled.losses, expected.losses)
    # without labels there are none to hand on
    train(other, (data()[0], None), QUICK, progress=False, loss_of=loss_of)
    assert given[-1][2] is None


@pytest.mark.parametrize("power", [1.0, 0.5, 2.0])
def test_a_loss_may_draw_times_of_its_own(power: float) -> None:
    """t ≤ k just when T u^power ≤ k, so with probability p = (k/T)^(1/power).

    The share of n times has the standard error √(p (1 − p) / n).
    """
    net, T, n = Net(lambda x_t, c, t, mask: x_t), 5, 20_000
    ddpm, generator = DDPM(net, schedule=Schedule.cosine(T)), seeded()
    x0 = torch.zeros(n, 1)
    t, eps, mask = ddpm.draw(x0, generator)
    batch_loss(ddpm, generator, time_power=power)(x0, t, None, eps, mask)
    t = net.calls[0][2].mul(T).round().long()
    edges = (torch.arange(T + 1, dtype=torch.float64) / T) ** (1 / power)
    p = edges.diff()
    error = 5 * (p * (1 - p) / n).sqrt()
    assert bool(((t.bincount(minlength=T + 1)[1:] / n - p).abs() < error).all())
    assert (int(t.min()), int(t.max())) == (1, T)


def test_the_clock_is_what_all_agree_on() -> None:
    shares, ddpm = [], model()
    config = dataclasses.replace(QUICK, max_seconds=1e6, warmup=0, lr=1.0)

    def run(optimiser) -> None:
        def agree(share: float) -> float:
            shares.append(share)
            return 0.75

        history = train(
            ddpm, data(), config, optimiser=optimiser, progress=False, agree=agree
        )
        assert history.stopped == "steps"

    # a cosine takes the rate to (1 + cos 0.75 π) / 2 at once, and on with the steps
    rates = [rate for rate, _ in steps_of(run, ddpm)]
    assert rates[:15] == [(1 + math.cos(0.75 * math.pi)) / 2] * 15
    assert len(shares) == 20
    assert 0 < shares[0] < shares[-1] < 1e-3


@pytest.mark.parametrize(
    ("share", "why"), [(1.0, "time"), (2.5, "time"), (math.inf, "interrupted")]
)
def test_all_stop_when_they_agree_to(share: float, why: str) -> None:
    answers = iter([0.0] * 7 + [share])
    history = train(
        model(), data(), QUICK, progress=False, agree=lambda _: next(answers)
    )
    assert (history.stopped, history.step, len(history.losses)) == (why, 7, 7)
    assert history.ema.swapped


def test_an_accelerator_is_not_waited_for_but_once_in_50_steps() -> None:
    """Tensors of the device "meta" have no values: to look at one is an error."""
    far, near = on_meta(120), History(model(), QUICK)
    assert [k for k in range(1, 121) if far.to_be_read(k)] == [50, 100, 120]
    assert all(near.to_be_read(k) for k in range(1, 21))
    for steps in (20, 120):
        history = on_meta(steps)
        ddpm, (x0, c) = history.ddpm, data()

        def loss_of(x0, t, c, eps, mask, ddpm=ddpm):
            return ddpm.losses(x0, t, c, eps=eps, context_mask=mask).mean()

        with pytest.raises(RuntimeError, match="meta"):
            for _ in gradient_steps(
                x0.to("meta"), c.to("meta"), history, loss_of, lambda: 0.0
            ):
                pass
        assert history.step == min(steps, 50) - 1


def on_meta(steps: int) -> History:
    config = dataclasses.replace(QUICK, steps=steps)
    return History(model(device="meta"), config, generator=seeded())


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
    assert re.search(r"60/60 \[.*step/s, loss=\d\.\d{4}\]", shown)


def test_where_time_is_the_limit_the_bar_ends_full(
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = TrainConfig(steps=10**6, batch_size=8, max_seconds=0.5)
    history = train(model(), data(), config)
    n, last = len(history.losses), capfd.readouterr().err.split("\r")[-1]
    assert re.search(rf"100%.* {n}/{n} ", last), last


@pytest.mark.parametrize(
    ("seconds", "limit", "steps", "total"),
    [
        (10.0, 40.0, 10**6, 400),  # 10 steps a second, for 30 more seconds
        (10.0, 40.0, 150, 150),  # the steps end it first
        (10.0, None, 150, 150),
        (41.0, 40.0, 10**6, 100),  # the time is up
        (0.0, 40.0, 10**6, 10**6),  # no clock ticks that often
    ],
)
def test_the_bar_promises_what_time_and_steps_allow(
    monkeypatch, seconds: float, limit: float | None, steps: int, total: int
) -> None:
    """tqdm shows (total − n) / speed as the time that is left: here 30 s, 5 s, …."""
    import tqdm.auto

    bars, real = [], tqdm.auto.tqdm

    def bar(*args, **options):
        bars.append(real(*args, file=io.StringIO(), **options))
        return bars[0]

    monkeypatch.setattr(tqdm.auto, "tqdm", bar)
    history = History(model(), TrainConfig(steps=steps, max_seconds=limit))
    history.take_up(torch.arange(100.0), history.queue)
    history.seconds = seconds
    next(walk := _with_bar(iter([100, 101]), history, True))
    next(walk)  # what is shown of a step is seen to before the next
    assert bars[0].total == total
    assert bars[0].postfix == "loss=74.5000"
    assert bars[0].format_dict["initial"] == 100


def test_a_history_of_other_data_is_refused() -> None:
    ddpm = model()
    history = train(ddpm, data(50), QUICK, progress=False)
    longer = dataclasses.replace(QUICK, steps=30)
    with pytest.raises(ValueError, match=r"resume must be a history of these data"):
        train(ddpm, data(20), longer, progress=False, resume=history)


def test_a_history_goes_on_with_more_steps() -> None:
    """As one that was to have so many from the start, but for the rate until then."""
    ddpm = model()
    history = train(ddpm, data(), QUICK, progress=False)
    first, rates = history.losses, []

    def look(history: History) -> None:
        rates.append(history.optimiser.param_groups[0]["lr"])

    for option in ({"optimiser": history.optimiser}, {"generator": seeded()}):
        with pytest.raises(ValueError, match="must be left out to resume"):
            train(ddpm, data(), resume=history, **option)
    longer = dataclasses.replace(QUICK, steps=30)
    options = {"progress": False, "callback": look}
    again = train(ddpm, data(), longer, resume=history, **options)
    assert (again.stopped, again.step, len(again.losses)) == ("steps", 30, 30)
    assert torch.equal(again.losses[:20], first)
    cosine = [QUICK.lr * (1 + math.cos(math.pi * k / 30)) / 2 for k in range(20, 30)]
    assert rates == pytest.approx(cosine)


# --- what the data are ----------------------------------------------------------------


class Pairs(torch.utils.data.Dataset):
    """A data set as people write it: ten pictures, one at a time."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        return torch.full((2,), float(k)), k % 3  # and no IndexError beyond the last


@pytest.mark.parametrize("kind", ["Pairs", "Subset", "DataLoader"])
def test_a_dataset_is_refused_with_a_line_that_makes_tensors_of_it(kind: str) -> None:
    data = Pairs()
    if kind == "Subset":
        data = torch.utils.data.Subset(data, range(10))
    if kind == "DataLoader":
        data = torch.utils.data.DataLoader(data, 4)
    with pytest.raises(TypeError, match=rf"the pair .*, got {kind}; ") as caught:
        train(model(), data)
    line = str(caught.value).split("; pass ")[1]
    x0, c = eval(line, {"torch": torch, "data": data})
    assert x0[:, 0].tolist() == list(range(10))
    assert c.tolist() == [k % 3 for k in range(10)]
    assert train(model(), (x0, c), QUICK, progress=False).stopped == "steps"


def test_bytes_are_refused_with_a_line_that_scales_them() -> None:
    samples = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    with pytest.raises(TypeError, match="float tensor, got torch") as caught:
        train(pictures(), (samples, None), QUICK)
    line = str(caught.value).split("convert pictures with ")[1]
    scaled = eval(line, {"samples": samples})
    assert (float(scaled.min()), float(scaled.max())) == (-1, 1)


def pictures(n_channels: int = 1) -> DDPM:
    return DDPM(UNet(n_channels, 8, 0), schedule=Schedule.cosine(10))


SHADES = torch.rand(40, 1, 8, 8, generator=seeded())


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (SHADES, r"lie in \[\S+, \S+\], and pictures should in \[−1, 1\]"),
        (SHADES.round(), r"lie in \[0, 1\]"),
        (SHADES.half(), "convert them with 2 "),
        ((SHADES * 255).round(), r"lie in \[0, 255\]"),
        ((SHADES * 16).round(), r"convert them with samples / 8 - 1"),
        (SHADES * 300 - 8, "convert them with samples / 14"),  # scaled by a bicubic
    ],
)
def test_pictures_in_another_range_are_warned_of_with_the_cure(samples, says) -> None:
    with pytest.warns(UserWarning, match=says) as caught:
        train_briefly(samples)
    (warning,) = caught
    assert warning.filename == __file__  # the line that calls `train`
    line = str(warning.message).split("convert them with ")[1]
    train_briefly(eval(line, {"samples": samples}))  # without a warning


def train_briefly(samples: torch.Tensor) -> None:
    ddpm = pictures(samples.shape[1]) if samples.ndim == 4 else model()
    ddpm.to(samples.dtype)
    config = TrainConfig(steps=1, batch_size=4)
    train(ddpm, (samples, None), config, progress=False)


@pytest.mark.parametrize(
    "samples",
    [
        SHADES * 2 - 1,
        (SHADES - 0.1307) / 0.3081,  # as people do with MNIST
        (SHADES - 0.45) / 0.225,  # and with ImageNet
        SHADES * 0.3 + 0.7,  # light ones
        SHADES - 0.5,
        torch.ones(5, 1, 8, 8),  # white
        torch.zeros(5, 1, 8, 8),  # grey
        -torch.ones(5, 3, 8, 8),  # black
        SHADES.reshape(-1, 2),  # points
    ],
)
def test_other_pictures_and_points_are_not_warned_of(samples) -> None:
    train_briefly(samples)  # a warning is an error here


def test_an_optimiser_of_something_else_is_refused() -> None:
    ddpm, other = model(), model()
    for parameters in (other.parameters(), [*ddpm.parameters(), *other.parameters()]):
        optimiser = torch.optim.SGD(parameters, lr=1.0)
        with pytest.raises(ValueError, match="optimiser must be of ddpm"):
            train(ddpm, data(), QUICK, optimiser=optimiser)
    last = torch.optim.SGD(ddpm.nn_model.leave.parameters(), lr=1.0)
    before = [p.clone() for p in ddpm.nn_model.enter.parameters()]
    train(ddpm, data(), QUICK, optimiser=last, progress=False)  # the rest stays
    for one, same in zip(before, ddpm.nn_model.enter.parameters(), strict=True):
        assert torch.equal(one, same)


def test_a_callback_and_the_bar_wait_for_an_accelerator_once_in_50_steps(
    monkeypatch,
) -> None:
    """Only who reads the losses waits."""
    read, losses = [], History.losses.fget

    def reading(history: History) -> torch.Tensor:
        read.append(history.step)
        return losses(history)

    monkeypatch.setattr(History, "losses", property(reading))
    monkeypatch.setattr(History, "to_be_read", lambda self, step: step % 50 == 0)
    config = dataclasses.replace(QUICK, steps=120)
    train(model(), data(), config, callback=lambda history: None)
    assert [step for step in read if step] == [50, 100]


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
    x = ddpm.sample(6, (2,), generator=seeded())
    assert x.device.type == "cuda"


def test_a_callback_sees_every_step_and_can_sample_without_changing_the_run() -> None:
    plain = model()
    expected = train(plain, data(), QUICK, progress=False)
    seen, ddpm = [], model()

    def look(history) -> None:
        seen.append((len(history.losses), history.stopped))
        history.ema.swap()
        ddpm.eval()
        draws = seeded(1)
        sample(ancestral(ddpm, torch.zeros(2, 2), generator=draws))
        history.ema.swap()

    history = train(ddpm, data(), QUICK, progress=False, callback=look)
    assert seen == [(k, "running") for k in range(1, 21)]
    assert torch.equal(history.losses, expected.losses)
    for one, other in zip(ddpm.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_callback_is_given_the_living_history() -> None:
    kept, losses, ddpm = [], [], model()

    def look(history: History) -> None:
        kept.append(history)
        losses.append(history.losses)

    history = train(ddpm, data(), QUICK, progress=False, callback=look)
    assert all(each is history for each in kept)
    assert history.ddpm is ddpm
    for k, each in enumerate(losses, start=1):  # what was read does not change later
        assert torch.equal(each, history.losses[:k])


def test_a_callback_that_is_cut_short_leaves_the_average() -> None:
    """Interrupted between its two swaps, when the model holds the average already."""

    def look(history: History) -> None:
        if history.step == 7:
            history.ema.swap()
            raise KeyboardInterrupt

    cut, whole = model(), model()
    history = train(cut, data(), QUICK, progress=False, callback=look)
    assert (history.stopped, history.ema.swapped) == ("interrupted", True)
    answers = iter([0.0] * 7 + [1.0])
    train(whole, data(), QUICK, progress=False, agree=lambda _: next(answers))
    for one, other in zip(cut.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_history_goes_on_with_its_own_optimiser_and_generator() -> None:
    whole, ddpm = model(), model()
    config = dataclasses.replace(QUICK, max_seconds=1e9)
    expected = train(whole, data(), config, progress=False)
    answers = iter([0.0] * 7 + [math.inf])
    options = {"progress": False, "generator": seeded(config.seed)}
    history = train(ddpm, data(), config, agree=lambda _: next(answers), **options)
    first, earlier = history.losses, history.seconds
    assert history.step == 7
    again = train(ddpm, data(), progress=False, resume=history)
    assert again is history
    assert again.seconds > earlier
    assert torch.equal(again.losses[:7], first)
    assert torch.equal(again.losses, expected.losses)
    for one, other in zip(ddpm.parameters(), whole.parameters(), strict=True):
        assert torch.equal(one, other)
