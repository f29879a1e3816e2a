"""What is wrapped around a training: times, bfloat16, compilation, processes."""

import math
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.testing import assert_close

from app.shared import assert_same_training, begun, environment
from minddpm import (
    DDPM,
    MLP,
    History,
    Schedule,
    TrainConfig,
    load_checkpoint,
    save_checkpoint,
)
from minddpm.app import processes
from minddpm.app.processes import agree, batch_loss, joined, place, share
from minddpm.train import train

CONFIG = TrainConfig(steps=6, batch_size=6, warmup=2)


class Spy(MLP):
    """Keeps what it was called with, and how."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.times: list[torch.Tensor] = []
        self.lowered: set[bool] = set()

    def forward(self, x_t, c, t, context_mask):
        self.times.append(t)
        self.lowered.add(torch.is_autocast_enabled("cpu"))
        return super().forward(x_t, c, t, context_mask)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(ddpm: DDPM, n: int = 12, seed: int = 0) -> tuple:
    """A batch and its draws, as `train` hands them to its `loss_of`."""
    x0 = torch.randn(n, 2, generator=seeded(seed + 1))
    t, eps, mask = ddpm.draw(x0, seeded(seed))
    return x0, t, torch.arange(n) % 3, eps, mask


# --- the loss of a batch --------------------------------------------------------------


@pytest.mark.parametrize("labels", [True, False])
def test_it_is_the_mean_of_the_losses_and_draws_nothing(labels: bool) -> None:
    ddpm, _ = begun("MLP")
    x0, t, c, eps, mask = drawn(ddpm)
    c = c if labels else None
    generator = seeded(7)
    loss = batch_loss(ddpm, generator)(x0, t, c, eps, mask)
    expected = ddpm.losses(x0, t, c, eps=eps, context_mask=mask).mean()
    assert torch.equal(loss, expected)
    assert torch.equal(generator.get_state(), seeded(7).get_state())


def test_trained_by_it_a_model_is_as_trained_without() -> None:
    plain, samples = begun("MLP")
    expected = train(plain, samples, CONFIG, progress=False)
    ddpm, samples = begun("MLP")
    start = History(ddpm, CONFIG)
    options = {"loss_of": batch_loss(ddpm, start.generator), "agree": agree}
    history = train(ddpm, samples, progress=False, resume=start, **options)
    assert_same_training((plain, expected), (ddpm, history))


@pytest.mark.parametrize("power", [1.0, 0.5, 2.0])
def test_times_are_drawn_as_a_power_says(power: float) -> None:
    """t ≤ k just when T u^power ≤ k, so with probability (k/T)^(1/power).

    The share p of a time among n = 20,000 has a standard error of √(p (1 − p) / n).
    """
    T, calls, size = 5, 20, 1000
    ddpm = DDPM(Spy(2, 8), schedule=Schedule.cosine(T))
    loss_of = batch_loss(ddpm, seeded(100), time_power=power)
    for seed in range(calls):
        x0, t, _, eps, mask = drawn(ddpm, size, seed)
        loss_of(x0, t, None, eps, mask)
    t = torch.cat(ddpm.nn_model.times).mul(T).round().long()
    edges = (torch.arange(T + 1, dtype=torch.float64) / T) ** (1 / power)
    p, n = edges.diff(), calls * size
    error = (p * (1 - p) / n).sqrt()
    seen = t.bincount(minlength=T + 1)[1:] / n
    assert bool(((seen - p).abs() < 5 * error).all())
    assert (int(t.min()), int(t.max())) == (1, T)


def test_the_loss_is_that_of_the_times_it_draws() -> None:
    torch.manual_seed(0)
    ddpm = DDPM(Spy(2, 8, 3), schedule=Schedule.cosine(9))
    x0, t, c, eps, mask = drawn(ddpm)
    loss = batch_loss(ddpm, seeded(7), time_power=0.5)(x0, t, c, eps, mask)
    late = ddpm.nn_model.times[0].mul(9).round().long()
    assert (late >= t).all()
    assert (late > t).any()
    again = ddpm.losses(x0, late, c, eps=eps, context_mask=mask).mean()
    assert torch.equal(loss, again)


def test_in_bfloat16_the_network_computes_and_the_loss_does_not() -> None:
    torch.manual_seed(0)
    ddpm = DDPM(Spy(2, 64, 3), schedule=Schedule.cosine(9))
    batch = drawn(ddpm, 256)
    exact = batch_loss(ddpm, seeded())(*batch)
    assert ddpm.nn_model.lowered == {False}
    rough = batch_loss(ddpm, seeded(), bf16=True)(*batch)
    assert ddpm.nn_model.lowered == {False, True}
    assert not torch.is_autocast_enabled("cpu")
    assert rough.dtype == torch.float32
    assert rough != exact
    # bfloat16 keeps 8 bits: each product is right to one part in 256
    assert_close(rough, exact, rtol=1 / 256, atol=0)
    rough.backward()
    assert all(p.grad.dtype == torch.float32 for p in ddpm.parameters())


def test_compiled_it_is_compiled_once(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(torch, "compile", lambda module: made.append(module) or module)
    ddpm, _ = begun("MLP")
    batch_loss(ddpm, seeded())
    assert not made
    loss_of = batch_loss(ddpm, seeded(), compiled=True)
    assert torch.equal(loss_of(*drawn(ddpm)), loss_of(*drawn(ddpm)))
    assert [module.ddpm for module in made] == [ddpm]


@pytest.mark.parametrize(
    ("power", "error", "message"),
    [
        (0.0, ValueError, "time_power must be positive, got 0"),
        (-1.0, ValueError, "time_power must be positive, got -1"),
        (math.inf, ValueError, "time_power must be finite, got inf"),
        ("late", TypeError, "time_power must be a number, got 'late'"),
    ],
)
def test_a_power_that_is_none_is_refused(power, error, message: str) -> None:
    with pytest.raises(error, match=message):
        batch_loss(begun("MLP")[0], seeded(), time_power=power)


# --- one process of several -----------------------------------------------------------


def test_shares_are_of_one_size_and_make_up_the_batch(monkeypatch) -> None:
    for world in (1, 2, 3, 6):
        seen: list[int] = []
        for rank in range(world):
            monkeypatch.setattr(processes, "place", lambda p=(rank, world): p)
            mine = range(12)[share(12)]
            assert len(mine) == 12 // world
            seen += mine
        assert seen == list(range(12))
    with pytest.raises(ValueError, match="multiple of the 6 processes, got 8"):
        share(8)


def test_alone_there_is_one_process_which_agrees_with_itself() -> None:
    assert place() == (0, 1)
    assert share(7) == slice(0, 7)
    for value in (0.0, 0.123456789012345, math.inf):
        assert agree(value) == value


@pytest.fixture
def alone(monkeypatch) -> None:
    """What torchrun tells the only process that it starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in {**told, "WORLD_SIZE": "1", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_RANK", "0")


def test_without_torchrun_there_is_nothing_to_join(monkeypatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    for device in (None, "cpu", torch.device("cpu")):
        with joined(device) as where:
            assert where == torch.device("cpu")
            assert not dist.is_initialized()


@pytest.mark.usefixtures("alone")
def test_the_others_are_joined_and_left_also_where_it_fails() -> None:
    with joined("cpu") as where:
        assert where == torch.device("cpu")
        assert dist.is_initialized()
        assert dist.get_backend() == "gloo"
        with joined(None) as again:  # by one who has joined already
            assert again == torch.device("cpu")
        assert dist.is_initialized()
    assert not dist.is_initialized()
    with pytest.raises(OSError, match="disk"), joined("cpu"):
        raise OSError("disk")
    assert not dist.is_initialized()


@pytest.mark.parametrize("units", [True, False])
def test_bfloat16_pays_where_there_are_units_for_it(monkeypatch, units: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    known = {"including_emulation": False}
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda **options: units and options == known
    )
    for kind in ("cpu", "cuda:1"):
        assert processes.has_bf16(torch.device(kind)) is units
    assert processes.has_bf16(torch.device("mps")) is False


# --- two of them ----------------------------------------------------------------------


def together(folder: Path) -> None:
    """What each of two processes does: agree, then train on its share."""
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank, world = place()
    assert world == 2
    assert agree(float(rank)) == 0.5
    assert agree([0.25, math.inf][rank]) == math.inf
    assert agree(0.0) == 0.0
    ddpm, samples = begun("MLP")
    ddpm, history = trained(ddpm, samples, late=True)
    save_checkpoint(folder / f"{rank}", ddpm, history)
    # one that is told to stop stops both, at the same step
    asked = []

    def agreed(value: float) -> float:
        asked.append(0)
        return agree(math.inf if rank == 1 and len(asked) == 4 else value)

    history = train(ddpm, samples, CONFIG, progress=False, agree=agreed)
    assert (history.step, history.stopped) == (3, "interrupted")
    dist.barrier()
    dist.destroy_process_group()


def trained(ddpm: DDPM, samples: tuple, late: bool) -> tuple[DDPM, History]:
    history = History(ddpm, replace(CONFIG, max_seconds=1e9))
    power = 0.5 if late else 1.0
    loss_of = batch_loss(ddpm, history.generator, time_power=power)
    options = {"loss_of": loss_of, "agree": agree}
    train(ddpm, samples, progress=False, resume=history, **options)
    return ddpm, history


@pytest.mark.slow
def test_two_that_share_every_batch_come_to_what_one_comes_to(tmp_path) -> None:
    """Both to the same bits, and to one's numbers but for the rounding of sums."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = "import sys, pathlib; from app.test_processes import together; "
    source += "together(pathlib.Path(sys.argv[1]))"
    running = []
    for rank in ("0", "1"):
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", source, str(tmp_path)],
                env=environment(**told, WORLD_SIZE="2", RANK=rank),
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        for process in running:
            _, said = process.communicate(timeout=200)
            assert process.returncode == 0, said[-3000:]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    one, two = (load_checkpoint(tmp_path / rank) for rank in "01")
    assert_same_training(one, two)
    ddpm, history = trained(*begun("MLP"), late=True)
    assert torch.equal(history.queue, one[1].queue)
    assert torch.equal(history.generator.get_state(), one[1].generator.get_state())
    assert_close(one[1].losses, history.losses, rtol=1e-5, atol=0)
    largest = max(float(p.detach().abs().max()) for p in ddpm.parameters())
    pairs = zip(ddpm.parameters(), one[0].parameters(), strict=True)
    assert all((a - b).abs().max() < 1e-6 * largest for a, b in pairs)
