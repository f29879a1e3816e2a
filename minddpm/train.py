"""Training: one plain loop over batches in memory.

    history = train(ddpm, data.load("digits"), TrainConfig(steps=2000))

On return `ddpm` holds the averaged weights (EMA), whichever way training ended.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minddpm import _validate
from minddpm.ddpm import DDPM


def default_device() -> torch.device:
    """Return the device to work on: $MINDDPM_DEVICE, else CUDA, else MPS, else CPU.

    Returns:
        The device.

    Raises:
        ValueError: if $MINDDPM_DEVICE names a device that PyTorch does not know, or
            one that this machine does not have.
    """
    name = os.environ.get("MINDDPM_DEVICE")
    if not name:
        if torch.cuda.is_available():
            return torch.device("cuda")
        mps = torch.backends.mps.is_available()
        return torch.device("mps" if mps else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(
            "MINDDPM_DEVICE must name a device of this machine, such as cpu, cuda or "
            f"mps, got {name!r}: {str(error).splitlines()[0]}; unset it to let minddpm "
            "choose"
        ) from None
    return torch.device(name)


@dataclass(frozen=True)
class TrainConfig:
    """What a training run is made of; the defaults suit 8×8 digits on two cores.

    Attributes:
        steps: gradient steps, at least 1.
        batch_size: samples a step, at least 1.
        lr: peak learning rate, positive.
        warmup: steps over which the learning rate rises from 0; after them it falls to
            0 along a cosine.
        weight_decay: AdamW's, at least 0.
        adam_betas: AdamW's two decay rates, in [0, 1).
        grad_clip: largest norm of the gradient, positive; a longer one is shortened.
        ema_decay: in [0, 1); the averaged weights follow about the last
            1 / (1 − ema_decay) steps.
        max_seconds: stop after so many seconds if the steps are not done; the learning
            rate then falls with the time instead, so the result depends on the speed of
            the machine. None is no limit.
        seed: seed of batches, times, noise and dropped labels (not of the network's
            first weights: those are made before).

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if a value is out of range.
    """

    steps: int = 2000
    batch_size: int = 128
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.0
    adam_betas: tuple[float, float] = (0.9, 0.99)
    grad_clip: float = 1.0
    ema_decay: float = 0.995
    max_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _validate.integer("steps", self.steps, 1)
        _validate.integer("batch_size", self.batch_size, 1)
        _validate.integer("warmup", self.warmup, 0)
        _validate.integer("seed", self.seed, 0)
        _validate.real("weight_decay", self.weight_decay, 0.0, math.inf)
        for name in ("lr", "grad_clip", "max_seconds"):
            value = getattr(self, name)
            if value is None and name == "max_seconds":
                continue
            if _validate.real(name, value, 0.0, math.inf) == 0:
                raise ValueError(f"{name} must be positive, got {value}")
        for name, values in (
            ("ema_decay", (self.ema_decay,)),
            ("adam_betas", self.adam_betas),
        ):
            for value in values:
                if _validate.real(name, value, 0.0, 1.0) == 1:
                    raise ValueError(f"{name} must be in [0, 1), got {value}")


class EMA:
    """An exponential moving average of a model's parameters.

    θ̄ ← d θ̄ + (1 − d) θ, with d = min(decay, (1 + k) / (10 + k)) at update k, so that
    the average forgets the random start soon.

    Args:
        model: the model to follow; its parameters are copied now.
        decay: d, in [0, 1).

    Raises:
        ValueError: if decay is out of range.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = _validate.real("decay", decay, 0.0, 1.0)
        if self.decay == 1:
            raise ValueError("decay must be in [0, 1), got 1: nothing would be learned")
        self.updates = 0
        self._live = list(model.parameters())
        self.shadow = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average one step towards the model's present parameters."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.shadow, [p.data for p in self._live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's parameters and the average; twice is as before."""
        for live, averaged in zip(self._live, self.shadow, strict=True):
            kept = live.data.clone()
            live.data.copy_(averaged)
            averaged.copy_(kept)


@dataclass(frozen=True, repr=False)
class History:
    """What happened in a training run.

    Attributes:
        losses: the loss of each step that was taken, (steps,) float32.
        seconds: how long it took.
        stopped: why it ended: "steps", "time" or "interrupted"; "running" in a
            callback.
        ema: the average that the model holds at the end; `history.ema.swap()` puts the
            raw weights back, and a second call the averaged ones. In a callback the
            model holds the raw ones.
    """

    losses: Tensor
    seconds: float
    stopped: str
    ema: EMA

    def __repr__(self) -> str:
        n = len(self.losses)
        last = float(self.losses[-100:].mean()) if n else math.nan
        return (
            f"History({n} steps in {self.seconds:.1f} s, mean of the last "
            f"{min(n, 100)} losses {last:.4f}, stopped by {self.stopped})"
        )


def train(
    ddpm: DDPM,
    data: tuple[Tensor, Tensor | None],
    config: TrainConfig | None = None,
    *,
    generator: torch.Generator | None = None,
    progress: bool = True,
    callback: Callable[[History], None] | None = None,
) -> History:
    """Train the network of `ddpm` on data held in memory [DDPM Algorithm 1].

    AdamW with a linear warm-up, a cosine decay, clipped gradients and an average of the
    weights, which the model holds at the end. Ctrl-C (or the notebook's stop button)
    ends it early and cleanly: you get the model and the history so far.

    Args:
        ddpm: the model, trained in place, on the device where it is.
        data: (samples, labels): (N, *D) float, about in [−1, 1], and (N,) int64 or
            None for training without labels.
        config: the settings; None is `TrainConfig()`.
        generator: source of batches, times, noise and dropped labels, on the model's
            device; None makes one from `config.seed`.
        progress: show a progress bar with the loss and the time left.
        callback: called after every step with the history so far. To sample from the
            average, bracket the sampling by two calls of `history.ema.swap()`, and
            draw from a generator of your own; its time counts as training time.

    Returns:
        The history. The same seed on the same machine gives the same weights, unless
        `config.max_seconds` ended or shaped the run.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the data are empty, hold a NaN or an infinity, or do not fit.
        FloatingPointError: at once if a loss is not finite; it names the step.
    """
    _validate.instance("ddpm", ddpm, DDPM)
    config = TrainConfig() if config is None else config
    _validate.instance("config", config, TrainConfig)
    x0, c = _check_data(data, ddpm)
    device = ddpm.device
    x0, c = x0.to(device), None if c is None else c.to(device)
    if generator is None:
        generator = torch.Generator(device).manual_seed(config.seed)
    optimiser = torch.optim.AdamW(
        ddpm.parameters(),
        lr=config.lr,
        betas=config.adam_betas,
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),  # one call for all parameters
    )
    ema = EMA(ddpm, config.ema_decay)
    losses = torch.zeros(config.steps, device=device)
    # reading a loss waits for an accelerator, so there it is done once in 50 steps
    look_every = 1 if device.type == "cpu" else 50
    done, stopped, begin = 0, "steps", time.monotonic()
    bar = _progress_bar(config.steps, progress)
    ddpm.train()
    try:
        for index in _batches(len(x0), config.batch_size, config.steps, generator):
            spent = (time.monotonic() - begin) / (config.max_seconds or math.inf)
            if spent >= 1:
                stopped = "time"
                break
            rate = config.lr * _rate(done, spent, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            loss = ddpm(x0[index], None if c is None else c[index], generator=generator)
            losses[done] = loss.detach()
            if (done + 1) % look_every == 0 or done + 1 == config.steps:
                _require_finite(losses, done + 1 - look_every, done + 1, rate)
            loss.backward()
            nn.utils.clip_grad_norm_(ddpm.parameters(), config.grad_clip)
            optimiser.step()
            ema.update()
            done += 1
            if callback is not None:
                passed = time.monotonic() - begin
                callback(History(losses[:done].cpu(), passed, "running", ema))
                ddpm.train()
            bar.update()
            if done % 50 == 0:
                bar.set_postfix(loss=f"{float(losses[done - 50 : done].mean()):.4f}")
                if spent > 0:  # promise no more steps than the time allows
                    bar.total = min(config.steps, max(done, round(done / spent)))
    except KeyboardInterrupt:
        stopped = "interrupted"
    finally:
        bar.close()
        ddpm.eval()
    if done:
        ema.swap()
    seconds = time.monotonic() - begin
    return History(losses[:done].cpu(), seconds, stopped, ema)


def _check_data(
    data: tuple[Tensor, Tensor | None], ddpm: DDPM
) -> tuple[Tensor, Tensor | None]:
    """Return (samples, labels) once they are known to be fit for training."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise TypeError(
            "data must be the pair (samples, labels), got "
            f"{type(data).__name__}; without labels pass (samples, None)"
        )
    x0, c = data
    _validate.floats("samples", x0)
    if x0.ndim < 2 or x0.numel() == 0:
        raise ValueError(
            f"samples must have shape (N, *D) with N at least 1, got {tuple(x0.shape)}"
        )
    wrong = ~x0.isfinite().flatten(1).all(dim=1)
    if wrong.any():
        raise ValueError(
            f"samples must be finite, got NaN or infinity in {int(wrong.sum())} of "
            f"{len(x0)}, first in sample {int(wrong.nonzero()[0])}; drop or repair them"
        )
    if c is not None:
        _validate.labels("labels", c, len(x0), ddpm.n_classes)
    return x0, c


def _batches(
    n: int, batch_size: int, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield index batches that go through one shuffle of the data after another."""
    queue = torch.empty(0, dtype=torch.int64, device=generator.device)
    for _ in range(steps):
        while len(queue) < batch_size:
            shuffled = torch.randperm(n, generator=generator, device=generator.device)
            queue = torch.cat([queue, shuffled])
        yield queue[:batch_size]
        queue = queue[batch_size:]


def _rate(step: int, spent: float, config: TrainConfig) -> float:
    """Return the share of the peak learning rate: linear warm-up, then a cosine."""
    warm = min(1.0, (step + 1) / (config.warmup + 1))
    progress = max(step / config.steps, spent)
    return warm * 0.5 * (1 + math.cos(math.pi * progress))


def _require_finite(losses: Tensor, first: int, last: int, rate: float) -> None:
    """Raise if one of the losses first…last−1 is NaN or infinite."""
    wrong = ~losses[max(first, 0) : last].isfinite()
    if wrong.any():
        step = max(first, 0) + int(wrong.nonzero()[0])
        raise FloatingPointError(
            f"the loss is {float(losses[step])} at step {step + 1} (learning rate "
            f"{rate:.2g}); lower lr, or check what the network does to its input"
        )


def _progress_bar(steps: int, progress: bool) -> Any:
    """Return a progress bar, silent where progress is False."""
    from tqdm.auto import tqdm

    return tqdm(total=steps, disable=not progress, unit="step", desc="training")
