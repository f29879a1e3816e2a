"""The state of a training run: settings, averaged weights, losses, and their file.

A `History` is what `train` returns, and all that it needs to go on: `save_checkpoint`
keeps it in a file, and `train(…, resume=history)` continues as if nothing had happened.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minddpm import _validate
from minddpm.app import files
from minddpm.ddpm import DDPM
from minddpm.app.muon import Muon, is_matrix


@dataclass(frozen=True)
class TrainConfig:
    """What a training run is made of; the defaults suit 8×8 digits on two cores.

    Attributes:
        steps: gradient steps, at least 1.
        batch_size: samples a step, at least 1.
        optimiser: "adamw", or "muon": steps of the same length in all directions for
            the kernels of convolutions (`minddpm.app.muon`), AdamW for the rest. It needs
            fewer steps, each a little longer (benchmarks/README.md).
        lr: peak learning rate, positive.
        warmup: steps over which the learning rate rises from 0; after them it falls to
            0 along a cosine.
        weight_decay: AdamW's, at least 0.
        adam_betas: AdamW's two decay rates, in [0, 1).
        grad_clip: largest norm of the gradient, positive; a longer one is shortened.
        time_power: times are drawn as T u^time_power, rounded up, u uniform on (0, 1]:
            1 is Algorithm 1 and its uniform times; 0.5 draws t in proportion to 2t − 1,
            as a sampler of few steps, which are late ones, needs it. Positive.
        ema_decay: in [0, 1); the averaged weights follow about the last
            1 / (1 − ema_decay) steps.
        max_seconds: stop after so many seconds if the steps are not done; the learning
            rate then falls with the time instead, so the result depends on the speed of
            the machine. None is no limit.
        seed: seed of batches, times, noise and dropped labels (not of the network's
            first weights: those are made before).
        bf16: let the network compute in bfloat16 where PyTorch holds that safe. It
            pays on GPUs and on CPUs with matrix units for it (`has_bf16`), and is slow
            elsewhere.
        compile: let torch.compile make the network's kernels, which takes a minute and
            needs a C++ compiler on the CPU.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if a value is out of range.
    """

    steps: int = 2000
    batch_size: int = 128
    optimiser: str = "adamw"
    lr: float = 2e-3
    warmup: int = 100
    weight_decay: float = 0.0
    adam_betas: tuple[float, float] = (0.9, 0.99)
    grad_clip: float = 1.0
    time_power: float = 1.0
    ema_decay: float = 0.995
    max_seconds: float | None = None
    seed: int = 0
    bf16: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        _validate.integer("steps", self.steps, 1)
        _validate.integer("batch_size", self.batch_size, 1)
        _validate.choice("optimiser", self.optimiser, ("adamw", "muon"))
        _validate.integer("warmup", self.warmup, 0)
        _validate.integer("seed", self.seed, 0)
        _validate.real("weight_decay", self.weight_decay, 0.0, math.inf)
        for name in ("lr", "grad_clip", "time_power", "max_seconds"):
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

    Attributes:
        shadow: the average, one tensor a parameter; while swapped, the raw weights.
        updates: how often `update` was called.
        swapped: whether the model holds the average.

    Raises:
        ValueError: if decay is out of range.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = _validate.real("decay", decay, 0.0, 1.0)
        if self.decay == 1:
            raise ValueError("decay must be in [0, 1), got 1: nothing would be learned")
        self.updates = 0
        self.swapped = False
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


@dataclass(frozen=True, repr=False)
class History:
    """What happened in a training run, and what it needs to go on.

    Attributes:
        losses: the loss of each step that was taken, (steps,) float32.
        seconds: how long it took.
        stopped: why it ended: "steps", "time" or "interrupted"; "running" in a
            callback.
        ema: the average that the model holds at the end; `history.ema.swap()` puts the
            raw weights back, and a second call the averaged ones. In a callback the
            model holds the raw ones.
        config: the settings.
        optimiser: the optimiser, with its moments.
        generator: the source of randomness, as far as it was used.
        queue: indices of the shuffled data that were not used yet, int64.
    """

    losses: Tensor
    seconds: float
    stopped: str
    ema: EMA
    config: TrainConfig
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    queue: Tensor

    def __repr__(self) -> str:
        n = len(self.losses)
        last = float(self.losses[-100:].mean()) if n else math.nan
        return (
            f"History({n} steps in {self.seconds:.1f} s, mean of the last "
            f"{min(n, 100)} losses {last:.4f}, stopped by {self.stopped})"
        )


def save_checkpoint(
    path: str | Path, ddpm: DDPM, history: History, **about: Any
) -> None:
    """Write a model in training and all it needs to go on to one file.

    Args:
        path: the file; its folder must exist.
        ddpm: the model, around an `MLP` or a `UNet`.
        history: what `train` returned, or handed to its callback.
        **about: what else to keep in the header, as in `save`.

    Raises:
        TypeError: if the network is another one.
        OSError: if the file cannot be written; one that was there is still whole.
    """
    moments = history.optimiser.state_dict()
    tensors = files.pack(ddpm)
    tensors |= {f"shadow.{k}": v for k, v in enumerate(history.ema.shadow)}
    tensors |= {
        f"moments.{k}.{name}": value
        for k, values in moments["state"].items()
        for name, value in values.items()
    }
    tensors |= {
        "losses": history.losses,
        "queue": history.queue,
        "generator": history.generator.get_state(),
    }
    header = {
        "model": files.describe(ddpm),
        "about": about,
        "config": asdict(history.config),
        "seconds": history.seconds,
        "stopped": history.stopped,
        "updates": history.ema.updates,
        "swapped": history.ema.swapped,
    }
    files.write(path, tensors, header)


def load_checkpoint(
    path: str | Path, device: torch.device | str | None = None
) -> tuple[DDPM, History]:
    """Read what `save_checkpoint` wrote.

    Args:
        path: the file.
        device: where to go on; the kind of device on which it was written. None is
            the CPU.

    Returns:
        The model, with the weights that it held then, and the history to hand to
        `train(…, resume=history)`.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged, or holds no training.
    """
    tensors, header = files.read(path)
    if "config" not in header:
        raise ValueError(
            f"{path} holds a model without its training; minddpm.load reads it"
        )
    ddpm = files.unpack(path, tensors, header, device)
    with files.fitting(path):
        return ddpm, _restore(ddpm, tensors, header)


def _restore(ddpm: DDPM, tensors: dict[str, Tensor], header: dict[str, Any]) -> History:
    """Return the history that the parts of a file make."""
    values = header["config"] | {"adam_betas": tuple(header["config"]["adam_betas"])}
    history = begin(ddpm, TrainConfig(**values), None)
    ema, moments = history.ema, history.optimiser.state_dict()
    for k, (shadow, live) in enumerate(zip(ema.shadow, ddpm.parameters(), strict=True)):
        shadow.copy_(files.checked(tensors, f"shadow.{k}", shadow))
        kept = files.part(tensors, f"moments.{k}.")
        if kept:  # laid out in memory as the parameter is, which fused steps rely on
            likes = {"step": torch.zeros(()), "exp_avg": live, "exp_avg_sq": live}
            if isinstance(history.optimiser, Muon) and is_matrix(live):
                del likes["exp_avg_sq"]
            moments["state"][k] = {
                name: torch.empty_like(like).copy_(files.checked(kept, name, like))
                for name, like in likes.items()
            }
    ema.updates = _validate.integer("updates", header["updates"], 0)
    ema.swapped = _validate.instance("swapped", header["swapped"], bool)
    _validate.real("seconds", header["seconds"], 0.0, math.inf)
    for name in ("losses", "queue"):
        row = getattr(history, name).new_empty(tensors[name].numel())
        files.checked(tensors, name, row)
    history.optimiser.load_state_dict(moments)
    state = history.generator.get_state()
    history.generator.set_state(files.checked(tensors, "generator", state))
    return History(
        tensors["losses"],
        header["seconds"],
        header["stopped"],
        ema,
        history.config,
        history.optimiser,
        history.generator,
        tensors["queue"].to(ddpm.device),
    )


def begin(
    ddpm: DDPM, config: TrainConfig, generator: torch.Generator | None
) -> History:
    """Return the history of a run that has not begun.

    Args:
        ddpm: the model.
        config: the settings.
        generator: source of randomness; None makes one from `config.seed`.

    Returns:
        A history of no steps, with a new optimiser and a new average.
    """
    device = ddpm.device
    if generator is None:
        generator = torch.Generator(device).manual_seed(config.seed)
    kind = {"adamw": torch.optim.AdamW, "muon": Muon}[config.optimiser]
    optimiser = kind(
        ddpm.parameters(),
        lr=config.lr,
        betas=config.adam_betas,
        weight_decay=config.weight_decay,
        fused=device.type in ("cpu", "cuda"),  # one call for all parameters
    )
    queue = torch.empty(0, dtype=torch.int64, device=generator.device)
    ema = EMA(ddpm, config.ema_decay)
    none = torch.zeros(0)
    return History(none, 0.0, "running", ema, config, optimiser, generator, queue)
