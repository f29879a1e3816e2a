"""Training: Algorithm 1, on data in memory.

    history = train(ddpm, data.load("digits"), TrainConfig(steps=2000))

`gradient_steps` is the loop. `train` puts around it what a person wants to have: a
progress bar, Ctrl-C that loses nothing, a callback. On return `ddpm` holds the averaged
weights (EMA), whichever way training ended, and the `History` is all that is needed to
go on: `train(…, resume=history)` continues as if nothing had happened.
"""

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from minddpm import _validate
from minddpm._validate import Labels
from minddpm.ddpm import DDPM
from minddpm.device import Rng

OPTIMISERS: dict[str, Callable[..., Any]] = {"adamw": torch.optim.AdamW}
LossOf = Callable[..., Tensor]  # of (x0, t, c, eps, context_mask): that of a batch


@dataclass(frozen=True)
class TrainConfig:
    """What a training run is made of; the defaults suit 8×8 digits on two cores.

    Attributes:
        steps: gradient steps, at least 1.
        batch_size: samples a step, at least 1.
        optimiser: a name in OPTIMISERS: "adamw"; or "muon", which `app.muon` adds: for
            the kernels of convolutions steps of the same length in all directions.
        lr: learning rate, positive: what the warm-up rises towards.
        warmup: steps over which the learning rate rises from 0; a cosine over all steps
            takes it back to 0.
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
    optimiser: str = "adamw"
    lr: float = 2e-3
    warmup: int = 100
    grad_clip: float = 1.0
    ema_decay: float = 0.995
    max_seconds: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _validate.integer("steps", self.steps, 1)
        _validate.choice("optimiser", self.optimiser, OPTIMISERS)
        for name, value in vars(self).items():
            _validate.named(name, value)


class EMA:
    """An exponential moving average of a model's parameters.

    θ̄ ← d θ̄ + (1 − d) θ, with d = min(decay, (1 + k) / (10 + k)) at update k, so that
    the average forgets the random start soon.

    Args:
        model: the model to follow; its parameters are copied now.
        decay: d, in [0, 1).

    Attributes:
        shadow: the average, one tensor a parameter; while swapped, the raw weights.
        updates: how often `update` was called.
        swapped: whether the model holds the average.

    Raises:
        ValueError: if decay is out of range.
    """

    @_validate.by_name
    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay, self.updates, self.swapped = decay, 0, False
        self._live = list(model.parameters())
        self.shadow = [p.detach().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average one step towards the model's present parameters.

        Raises:
            RuntimeError: if the two are swapped.
        """
        if self.swapped:
            raise RuntimeError("the model holds the average: swap() back, then update")
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
        self.swapped = not self.swapped


@dataclass(repr=False, eq=False)
class History:
    """What happened in a training run so far, and what it needs to go on.

    Args:
        ddpm: the model.
        config: the settings.
        optimiser: of the model's parameters; None makes what the settings name.
        generator: source of batches, times, noise and dropped labels, on the model's
            device; None makes one from `config.seed`.

    Attributes:
        step: how many steps were taken.
        seconds: how long they took.
        stopped: why it ended: "steps", "time" or "interrupted"; "running" before.
        ema: the average that the model holds at the end; `history.ema.swap()` puts the
            raw weights back, and a second call the averaged ones. While it runs, the
            model holds the raw ones.
        queue: indices of the shuffled data that were not used yet, int64.
    """

    ddpm: DDPM
    config: TrainConfig
    optimiser: Any = None
    generator: Any = None
    step: int = 0
    seconds: float = 0.0
    stopped: str = "running"

    def __post_init__(self) -> None:
        ddpm, device, config = self.ddpm, self.ddpm.device, self.config
        if self.generator is None:
            self.generator = torch.Generator(device).manual_seed(config.seed)
        if self.optimiser is None:
            options: dict[str, Any] = {"betas": (0.9, 0.99), "weight_decay": 0.0}
            options["fused"] = device.type in ("cpu", "cuda")  # one call for all
            make = OPTIMISERS[config.optimiser]
            self.optimiser = make(ddpm.parameters(), lr=config.lr, **options)
        steered = {p for group in self.optimiser.param_groups for p in group["params"]}
        if not steered <= {*ddpm.parameters()}:
            _validate.fail("optimiser", "be of ddpm.parameters()", "other parameters")
        self.ema = EMA(ddpm, config.ema_decay)
        self.queue = torch.empty(0, dtype=torch.int64, device=self.generator.device)
        self._losses = torch.zeros(config.steps, dtype=torch.float32, device=device)

    @property
    def losses(self) -> Tensor:
        """The loss of each step that was taken, (step,) float32; for it a GPU waits."""
        return self._losses[: self.step].cpu()

    def take_up(self, losses: Tensor, queue: Tensor) -> None:
        """Go on from the losses and the queue of an earlier history.

        Args:
            losses: (step,) float32.
            queue: indices, int64.
        """
        self.step, self.queue = len(losses), queue.to(self.queue.device)
        room = max(0, self.config.steps - self.step)
        self._losses = nn.functional.pad(losses.to(self.ddpm.device), (0, room))

    def to_be_read(self, step: int) -> bool:
        """Return whether to look at a loss now: an accelerator has to wait for that.

        Args:
            step: how many steps were taken.

        Returns:
            True on the CPU, elsewhere once in 50 steps and at the end.
        """
        often = self.ddpm.device.type == "cpu" or step == self.config.steps
        return often or step % 50 == 0

    def __repr__(self) -> str:
        last = self.losses[-100:]
        return (
            f"History({self.step} steps in {self.seconds:.1f} s, mean of the last "
            f"{len(last)} losses {float(last.mean()):.4f}, stopped by {self.stopped})"
        )


def gradient_steps(
    x0: Tensor, c: Labels, history: History, loss_of: LossOf, spent: Callable[[], float]
) -> Iterator[int]:
    """Take a gradient step each time the next one is asked for [DDPM Algorithm 1].

    Args:
        x0: samples, (N, *D) float, on the model's device.
        c: their labels, (N,) int64, or None.
        history: the state, which goes on with each step.
        loss_of: computes the loss of a batch and its draws.
        spent: tells the share of the time that is spent; at 1 no step is begun.

    Yields:
        How many steps were taken.

    Raises:
        FloatingPointError: if a loss is not finite; it names the step, or on an
            accelerator the one at which it was seen.
    """
    ddpm, config, generator = history.ddpm, history.config, history.generator
    while history.step < config.steps and (share := spent()) < 1:
        for group in history.optimiser.param_groups:
            group["lr"] = config.lr * _rate(history.step, share, config)
        while len(history.queue) < config.batch_size:  # one shuffle after another
            new = torch.randperm(len(x0), generator=generator, device=generator.device)
            history.queue = torch.cat([history.queue, new])
        index, history.queue = history.queue.tensor_split([config.batch_size])
        t, eps, mask = ddpm.draw(x0[index], generator)
        history.optimiser.zero_grad()
        loss = loss_of(x0[index], t, None if c is None else c[index], eps, mask)
        history._losses[history.step] = loss.detach()
        if history.to_be_read(history.step + 1) and not loss.isfinite():
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {history.step + 1} (learning rate "
                f"{group['lr']:.2g}); lower lr, or check what the network does"
            )
        loss.backward()
        nn.utils.clip_grad_norm_(ddpm.parameters(), config.grad_clip)
        history.optimiser.step()
        history.ema.update()
        history.step += 1
        yield history.step


@_validate.by_name
def train(
    ddpm: DDPM, data: tuple[Tensor, Labels], config: TrainConfig | None = None, *,
    optimiser: torch.optim.Optimizer | None = None, generator: Rng = None,
    progress: bool = True, callback: Callable[[History], None] | None = None,
    resume: History | None = None, loss_of: LossOf | None = None,
    agree: Callable[[float], float] = float,
) -> History:  # fmt: skip
    """Train the network of `ddpm` on data held in memory [DDPM Algorithm 1].

    A linear warm-up, a cosine decay, clipped gradients and an average of the weights,
    which the model holds at the end. Ctrl-C (or the notebook's stop button) ends it
    early and cleanly: you get the model and the history so far.

    Args:
        ddpm: the model, trained in place, on the device where it is.
        data: (samples, labels): (N, *D) float, about in [−1, 1], and (N,) int64 or
            None for training without labels. Pictures that seem to be in another range,
            such as [0, 1], are warned of.
        config: the settings; None is `TrainConfig()`, or that of `resume`. With more
            steps or seconds a run that has ended goes on; its learning rate then
            follows the cosine over the new number from where it is.
        optimiser: of `ddpm.parameters()`, or of some of them, whose learning rate will
            follow `config.lr`; None makes AdamW with betas of 0.9 and 0.99 and no
            weight decay.
        generator: source of batches, times, noise and dropped labels, on the model's
            device; None makes one from `config.seed`.
        progress: show a progress bar with the loss and the time left.
        callback: called after every step with the history so far. To sample from the
            average, bracket the sampling by two calls of `history.ema.swap()`, and
            draw from a generator of your own; its time counts as training time.
        resume: go on with this history of the same model on the same data, and with
            its optimiser and generator. On the same machine the weights come out as if
            there had been no break, bit by bit.
        loss_of: computes the loss of a batch from (x0, t, c, eps, context_mask), where
            it is not the mean of `ddpm.losses`: compiled, in bfloat16, or shared by
            several processes.
        agree: turns the share of the time that is spent into what all processes hold it
            for; infinity stops them all.

    Returns:
        The history. The same seed on the same machine gives the same weights, unless
        `config.max_seconds` ended or shaped the run.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if the data are empty, hold a NaN or an infinity, or do not fit.
        FloatingPointError: at once if a loss is not finite; it names the step.
    """
    config = config or getattr(resume, "config", None) or TrainConfig()
    _validate.instance("config", config, TrainConfig)
    if resume is not None and (optimiser or generator) is not None:
        _validate.fail("optimiser and generator", "be left out to resume", "one")
    x0, c = _check_data(data, ddpm)
    history = resume or History(ddpm, config, optimiser, generator)
    if _validate.instance("resume", history, History).ddpm is not ddpm:
        _validate.fail("resume", "be a history of this model", "one of another")
    if len(history.queue) and (last := int(history.queue.max())) >= len(x0):
        got = f"{len(x0)} samples and one that goes on with sample {last}"
        _validate.fail("resume", "be a history of these data", got)
    history.config, history.stopped = config, "running"
    history.take_up(history.losses, history.queue)
    if history.ema.swapped:
        history.ema.swap()
    limit, start = config.max_seconds or math.inf, time.monotonic() - history.seconds
    share = 0.0

    def loss(x0: Tensor, t: Tensor, c: Labels, eps: Tensor, mask: Tensor) -> Tensor:
        return ddpm.losses(x0, t, c, eps=eps, context_mask=mask).mean()

    def spent() -> float:
        nonlocal share
        history.seconds = time.monotonic() - start
        share = agree(math.inf if stop.is_set() else history.seconds / limit)
        return share

    ddpm.train()
    try:
        with _interrupts_put_off() as stop:
            steps = gradient_steps(x0, c, history, loss_of or loss, spent)
            for _ in _with_bar(steps, history, progress):
                history.seconds = time.monotonic() - start
                if callback is not None:
                    callback(history)
                    ddpm.train()
    except KeyboardInterrupt:  # a second one
        share = math.inf
    finally:
        ddpm.eval()
    if history.step and not history.ema.swapped:  # by a callback that was cut short
        history.ema.swap()
    why = "interrupted" if share == math.inf else "time"
    history.stopped = "steps" if history.step >= config.steps else why
    return history


def _check_data(data: tuple[Tensor, Labels], ddpm: DDPM) -> tuple[Tensor, Labels]:
    """Return (samples, labels) on the model's device, once found fit for training."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        got, cure = type(data).__name__, "without labels pass (samples, None)"
        if isinstance(data, Dataset | DataLoader):
            loader = "torch.utils.data.DataLoader(data, 256)"
            loader = loader if isinstance(data, Dataset) else "data"
            cure = f"pass tuple(map(torch.cat, zip(*{loader})))"
        _validate.fail("data", "be the pair (samples, labels)", got, cure, TypeError)
    x0, c = data
    if getattr(x0, "dtype", None) == torch.uint8:
        cure = "convert pictures with samples.float() / 127.5 - 1"
        _validate.fail("samples", "be a float tensor", x0.dtype, cure, TypeError)
    if _validate.floats("samples", x0).ndim < 2 or x0.numel() == 0:
        rule = "have shape (N, *D) with N at least 1"
        _validate.fail("samples", rule, tuple(x0.shape))
    low, high = (float(end) for end in x0.aminmax())  # NaN if there is one
    if not (math.isfinite(low) and math.isfinite(high)):
        wrong = (~x0.isfinite()).flatten(1).any(dim=1)
        n, first = int(wrong.sum()), int(wrong.nonzero()[0])
        got = f"NaN or infinity in {n} of {len(x0)}, first in sample {first}"
        _validate.fail("samples", "be finite", got, "drop or repair them")
    if x0.ndim == 4 and abs(low) < high / 10:  # no colour is below the middle grey
        cure = "2 * samples - 1" if high <= 1 else f"samples / {high / 2:g} - 1"
        says = f"samples lie in [{low:.3g}, {high:.3g}], and pictures should in [−1, 1]"
        warnings.warn(f"{says}; convert them with {cure}", stacklevel=4)
    if c is not None:
        c = _validate.labels("labels", c, len(x0), ddpm.n_classes).to(ddpm.device)
    return x0.to(ddpm.device), c


def _rate(step: int, spent: float, config: TrainConfig) -> float:
    """Return the share of the learning rate: linear warm-up, times a cosine."""
    warm = min(1.0, (step + 1) / (config.warmup + 1))
    return warm * 0.5 * (1 + math.cos(math.pi * max(step / config.steps, spent)))


@contextmanager
def _interrupts_put_off() -> Iterator[threading.Event]:
    """Put Ctrl-C off to the end of a step, so that it leaves nothing half done.

    A second one is not put off. Only the main thread gets any.
    """
    asked = threading.Event()
    main = threading.current_thread() is threading.main_thread()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, note) if main else None
    try:
        yield asked
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


def _with_bar(steps: Iterable[int], history: History, progress: bool) -> Iterator[int]:
    """Show a progress bar with the loss, and an honest end where time is the limit."""
    from tqdm.auto import tqdm

    config, total = history.config, history.config.steps
    options = {"unit": "step", "desc": "training", "initial": history.step}
    # smoothing=0 is the mean speed, for a checkpoint now and then is part of it
    bar = tqdm(steps, total=total, disable=not progress, smoothing=0, **options)
    for step in bar:
        yield step
        if progress and history.to_be_read(step):
            if config.max_seconds is not None:
                in_all = step * config.max_seconds / max(history.seconds, 1e-3)
                bar.total = max(step, min(total, round(in_all)))
            loss = f"{float(history.losses[-50:].mean()):.4f}"
            bar.set_postfix(loss=loss, refresh=False)
