"""Training: one plain loop over batches in memory.

    history = train(ddpm, data.load("digits"), TrainConfig(steps=2000))

On return `ddpm` holds the averaged weights (EMA), whichever way training ended. A
`History` is also all that is needed to go on: `save_checkpoint` keeps it, and
`train(…, resume=history)` continues as if nothing had happened.

Under torchrun the same call trains on several processes: each takes its share of every
batch, and the gradients are averaged.
"""

import inspect
import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minddpm import _validate
from minddpm.ddpm import DDPM
from minddpm.device import default_device, over_processes, place
from minddpm.app.history import (
    EMA,
    History,
    TrainConfig,
    begin,
    load_checkpoint,
    save_checkpoint,
)

__all__ = [  # all that a training needs
    "EMA",
    "History",
    "TrainConfig",
    "default_device",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]


def train(
    ddpm: DDPM,
    data: tuple[Tensor, Tensor | None],
    config: TrainConfig | None = None,
    *,
    generator: torch.Generator | None = None,
    progress: bool = True,
    callback: Callable[[History], None] | None = None,
    resume: History | None = None,
) -> History:
    """Train the network of `ddpm` on data held in memory [DDPM Algorithm 1].

    AdamW or Muon with a linear warm-up, a cosine decay, clipped gradients and an
    average of the weights, which the model holds at the end. Ctrl-C (or the notebook's
    stop button) ends it early and cleanly: you get the model and the history so far.

    Args:
        ddpm: the model, trained in place, on the device where it is.
        data: (samples, labels): (N, *D) float, about in [−1, 1], and (N,) int64 or
            None for training without labels.
        config: the settings; None is `TrainConfig()`, or that of `resume`.
        generator: source of batches, times, noise and dropped labels, on the model's
            device; None makes one from `config.seed`.
        progress: show a progress bar with the loss and the time left.
        callback: called after every step with the history so far. To sample from the
            average, bracket the sampling by two calls of `history.ema.swap()`, and
            draw from a generator of your own; its time counts as training time.
        resume: go on where this history of the same model on the same data ended,
            with its optimiser and its generator. On the same machine the weights come
            out as if there had been no break, bit by bit.

    Returns:
        The history. The same seed on the same machine gives the same weights, unless
        `config.max_seconds` ended or shaped the run.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the data are empty, hold a NaN or an infinity, or do not fit.
        FloatingPointError: at once if a loss is not finite; it names the step.
    """
    _validate.instance("ddpm", ddpm, DDPM)
    if config is None:
        config = TrainConfig() if resume is None else resume.config
    _validate.instance("config", config, TrainConfig)
    x0, c = _check_data(data, ddpm)
    x0, c = x0.to(ddpm.device), None if c is None else c.to(ddpm.device)
    history = begin(ddpm, config, generator) if resume is None else resume
    optimiser, ema, generator = history.optimiser, history.ema, history.generator
    queue, earlier = history.queue, history.seconds
    if len(queue) and not 0 <= int(queue.min()) <= int(queue.max()) < len(x0):
        raise ValueError(
            f"resume must be a history of these data, got {len(x0)} samples and one "
            f"that goes on with sample {int(queue.max())}"
        )
    if ema.swapped:
        ema.swap()
    rank, world = place()
    if config.batch_size % world:
        raise ValueError(
            f"batch_size must be a multiple of the {world} processes, got "
            f"{config.batch_size}"
        )
    size = config.batch_size // world
    share = slice(rank * size, (rank + 1) * size)
    loss_of = _loss_module(ddpm, config, world)
    done, stopped, start = len(history.losses), "steps", time.monotonic()
    losses = torch.zeros(max(config.steps, done), device=ddpm.device)
    losses[:done] = history.losses.to(ddpm.device)
    limit = config.max_seconds or math.inf
    # reading a loss waits for an accelerator, so there it is done once in 50 steps
    look_every = 1 if ddpm.device.type == "cpu" else 50

    def so_far(why: str) -> History:
        seconds = earlier + time.monotonic() - start
        return History(
            losses[:done].cpu(), seconds, why, ema, config, optimiser, generator, queue
        )

    bar, first = _progress_bar(config, done, progress and rank == 0), done

    def show() -> None:
        seconds = time.monotonic() - start
        _show(bar, losses[:done], first, seconds, limit - earlier, config)

    interrupted, restore = _catch_interrupts()
    ddpm.train()
    try:
        while done < config.steps:
            spent, stop = (earlier + time.monotonic() - start) / limit, interrupted()
            if world > 1:  # one clock and one stop for all, or some would go on alone
                mine = torch.tensor([spent, float(stop)], device=ddpm.device)
                spent, stop = over_processes(mine, world).tolist()
            if stop or spent >= 1:
                stopped = "interrupted" if stop else "time"
                break
            rate = config.lr * _rate(done, spent, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            # every process draws the whole batch, and works on its share of it
            index, queue = _next_batch(queue, len(x0), config.batch_size, generator)
            t, eps, mask = ddpm.draw(x0[index], generator)
            t = _spread(t, ddpm.n_T, config.time_power, generator)
            index, t, eps, mask = index[share], t[share], eps[share], mask[share]
            optimiser.zero_grad()
            with torch.autocast(ddpm.device.type, torch.bfloat16, enabled=config.bf16):
                loss = loss_of(x0[index], t, None if c is None else c[index], eps, mask)
            losses[done] = over_processes(loss.detach().clone(), world)
            if (done + 1) % look_every == 0 or done + 1 == config.steps:
                _require_finite(losses, done + 1 - look_every, done + 1, rate)
            loss.backward()
            nn.utils.clip_grad_norm_(ddpm.parameters(), config.grad_clip)
            optimiser.step()
            ema.update()
            done += 1
            if callback is not None:
                callback(so_far("running"))
                ddpm.train()
            if done % look_every == 0:
                show()
    except KeyboardInterrupt:
        stopped = "interrupted"
    finally:
        restore()
        show()
        bar.close()
        ddpm.eval()
    if done and not ema.swapped:
        ema.swap()
    return so_far(stopped)


class _Loss(nn.Module):
    """The loss of a batch and its draws, as one call for wrappers to see."""

    def __init__(self, ddpm: DDPM) -> None:
        super().__init__()
        self.ddpm = ddpm

    def forward(
        self, x0: Tensor, t: Tensor, c: Tensor | None, eps: Tensor, mask: Tensor
    ) -> Tensor:
        return self.ddpm.losses(x0, t, c, eps=eps, context_mask=mask).mean()


def _loss_module(ddpm: DDPM, config: TrainConfig, world: int) -> Any:
    """Return what computes the loss, compiled or on several processes if need be."""
    module: Any = _Loss(ddpm)
    if world > 1:
        # the tables never change: nothing to send at each step. PyTorch renamed it
        names = ("forward_sync_buffers", "broadcast_buffers")
        known = inspect.signature(DistributedDataParallel).parameters
        never: dict[str, Any] = {next(n for n in names if n in known): False}
        module = DistributedDataParallel(module, **never)
    return torch.compile(module) if config.compile else module


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


def _next_batch(
    queue: Tensor, n: int, batch_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the next indices of one shuffle after another, and the rest."""
    while len(queue) < batch_size:
        shuffled = torch.randperm(n, generator=generator, device=generator.device)
        queue = torch.cat([queue, shuffled])
    return queue[:batch_size], queue[batch_size:]


def _spread(t: Tensor, T: int, power: float, generator: torch.Generator) -> Tensor:
    """Return times spread as T u^power, from uniform ones; power 1 leaves them."""
    if power == 1:
        return t
    below = torch.rand(t.shape, generator=generator, device=generator.device)
    u = (t - below.to(t.device)) / T  # uniform on (0, 1], where t alone has gaps
    return (T * u**power).ceil().long().clamp(min=1)  # u^power may underflow


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


def _catch_interrupts() -> tuple[Callable[[], bool], Callable[[], object]]:
    """Put Ctrl-C off to the end of a step, so that it leaves nothing half done.

    Returns:
        A function that tells whether there was one, and one that ends this. A second
        Ctrl-C is not put off.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: False, lambda: None  # only the main thread gets any
    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    signal.signal(signal.SIGINT, note)
    return lambda: bool(seen), lambda: signal.signal(signal.SIGINT, before)


def _progress_bar(config: TrainConfig, done: int, progress: bool) -> Any:
    """Return a progress bar, silent where progress is False."""
    from tqdm.auto import tqdm

    return tqdm(
        total=config.steps if config.max_seconds is None else None,
        initial=done,
        disable=not progress,
        unit="step",
        desc="training",
        smoothing=0,  # the mean speed: a checkpoint now and then is part of it
    )


def _show(
    bar: Any,
    losses: Tensor,
    first: int,
    seconds: float,
    limit: float,
    config: TrainConfig,
) -> None:
    """Move the bar to the step that was taken, with loss and images a second.

    Args:
        bar: the progress bar.
        losses: of all steps.
        first: steps that were taken before the bar began.
        seconds: since it began.
        limit: the most that these can be.
        config: the settings.
    """
    done = len(losses)
    if bar.disable or done == first:
        return
    speed = (done - first) / max(seconds, 1e-9)
    # what is left at this speed, and no more steps than the time allows
    left = min(config.steps - done, (limit - seconds) * speed)
    bar.total = done + max(0, round(left))
    images = f"{speed * config.batch_size:,.0f}"
    loss = f"{float(losses[-50:].mean()):.4f}"
    bar.set_postfix({"loss": loss, "images/s": images}, refresh=False)
    bar.update(done - bar.n)
