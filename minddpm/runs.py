"""A training run in a folder, which can be killed at any moment and resumed.

The folder holds, all written while the run goes on:

    model.safetensors   the averaged weights: what `minddpm.load(folder)` reads
    state.safetensors   all that `--resume` needs
    log.jsonl           one line of measurements every 50 steps
    samples.png         a grid, a column a class
    lock                held while a training is running here
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from minddpm import _validate, checkpoint, data, pictures
from minddpm.ddpm import DDPM
from minddpm.device import default_device, has_bf16, place
from minddpm.history import (
    History,
    TrainConfig,
    begin,
    load_checkpoint,
    save_checkpoint,
)
from minddpm.nets import UNet
from minddpm.samplers import ddim, sample
from minddpm.schedule import Schedule
from minddpm.train import train

_LOG_EVERY = 50  # steps
_MOST_STEPS = 1_000_000  # where the time is the limit


@dataclass(frozen=True)
class Preset:
    """What `minddpm train` does with a data set, unless it is told otherwise.

    Attributes:
        network: arguments of `UNet`, but for channels and classes.
        T: steps of the cosine schedule.
        prediction: as in `DDPM`.
        config: how to train.
    """

    network: dict[str, Any]
    T: int
    prediction: str
    config: TrainConfig


PRESETS = {
    "digits": Preset(
        {"n_feat": 32},
        200,
        "eps",
        TrainConfig(steps=600, batch_size=96, lr=5e-3),
    ),
    "mnist": Preset(
        {"n_feat": 32},
        400,
        "v",
        TrainConfig(steps=1200, batch_size=128, lr=4e-3, max_seconds=180),
    ),
    "fashion_mnist": Preset(
        {"n_feat": 32},
        400,
        "v",
        TrainConfig(steps=1200, batch_size=128, lr=4e-3, max_seconds=180),
    ),
    "cifar10": Preset(
        {"n_feat": 64, "widths": (1, 2, 2)},
        400,
        "v",
        TrainConfig(steps=20_000, batch_size=128, lr=2e-3),
    ),
}


def run(
    folder: str | Path,
    name: str,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    resume: bool = False,
    compiled: bool = False,
    save_every: float = 30.0,
    progress: bool = True,
) -> History:
    """Train a preset on a data set, in a folder of its own.

    Args:
        folder: where to keep everything; made if need be.
        name: the data set, a key of `PRESETS`.
        minutes: stop after so many; None is the preset's limit, if steps is None too.
        steps: stop after so many; None is the preset's number.
        batch: samples a step, over all processes; None is the preset's number.
        seed: seed of the first weights and of the training.
        device: where to train; None is `default_device()`.
        resume: go on with the training in the folder, to its own end.
        compiled: make the network's kernels with torch.compile.
        save_every: seconds from one checkpoint to the next.
        progress: show a progress bar.

    Returns:
        The history.

    Raises:
        ValueError: if an argument is wrong, or the folder's state is damaged.
        FileExistsError: if the folder holds a training and resume is False.
        FileNotFoundError: if it holds none and resume is True.
        RuntimeError: if another training is at work in the folder.
        OSError: if a file cannot be written; earlier ones are still whole.
    """
    preset = PRESETS[_validate.choice("data", name, PRESETS)]
    if resume and (minutes, steps, batch) != (None, None, None):
        raise ValueError(
            "minutes, steps and batch must be left out to resume: a training goes on "
            f"with its own settings; got {minutes}, {steps} and {batch}"
        )
    folder = Path(folder)
    with _processes(device) as where, _locked(folder), _terminable():
        state = folder / "state.safetensors"
        _require(state, resume)
        images, labels = data.load(name)
        if resume:
            ddpm, history = load_checkpoint(state, where)
            _cut_log(folder / "log.jsonl", len(history.losses))
        else:
            config = _config(preset.config, minutes, steps, batch)
            config = replace(config, seed=seed, bf16=has_bf16(where), compile=compiled)
            ddpm = _model(preset, images, labels, seed, where)
            history = begin(ddpm, config, None)
        keeper = _Keeper(folder, ddpm, name, images.shape[1:], save_every)
        if not resume:
            keeper.save_state(history)
        history = train(
            ddpm,
            (images, labels),
            progress=progress,
            callback=keeper.after_step,
            resume=history,
        )
        keeper.save_state(history)
        keeper.save_model(history)
        return history


def _require(state: Path, resume: bool) -> None:
    """Raise unless there is a state to resume, or none in the way of a new run."""
    if state.exists() and not resume:
        raise FileExistsError(
            f"{state.parent} holds a training already: go on with it by --resume, or "
            "name another folder"
        )
    if resume and not state.exists():
        raise FileNotFoundError(
            f"{state.parent} holds no training to resume; leave out --resume to begin"
        )
    if place()[1] > 1:  # all have looked before one of them writes
        dist.barrier()


def _config(
    config: TrainConfig, minutes: float | None, steps: int | None, batch: int | None
) -> TrainConfig:
    """Return the preset's settings with what was asked for in their place."""
    if minutes is not None or steps is not None:
        config = replace(
            config,
            steps=_MOST_STEPS if steps is None else steps,
            max_seconds=None if minutes is None else 60 * minutes,
        )
    return config if batch is None else replace(config, batch_size=batch)


def _model(
    preset: Preset, images: Tensor, labels: Tensor, seed: int, device: torch.device
) -> DDPM:
    """Return an untrained model; the same seed gives the same weights anywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(
            images.shape[1], n_classes=int(labels.max()) + 1, **preset.network
        )
    return DDPM(
        network,
        device=device,
        schedule=Schedule.cosine(preset.T),
        prediction=preset.prediction,
    )


class _Keeper:
    """Writes the files of a run while it goes on; one process of several does it."""

    def __init__(
        self, folder: Path, ddpm: DDPM, name: str, shape: torch.Size, every: float
    ) -> None:
        self.folder, self.ddpm, self.every = folder, ddpm, every
        self.name, self.shape = name, list(shape)
        self.writes = place()[0] == 0
        self.saved = time.monotonic()
        self.logged: tuple[int, float] | None = None  # step and seconds

    def after_step(self, history: History) -> None:
        """Log every 50 steps, save every so many seconds."""
        if self.writes and len(history.losses) % _LOG_EVERY == 0:
            self.log(history)
        if time.monotonic() - self.saved > self.every:
            self.save_state(history)
            self.save_model(history)

    def log(self, history: History) -> None:
        """Append a line of measurements."""
        now = (len(history.losses), history.seconds)
        before = self.logged or (now[0] - _LOG_EVERY, 0.0)
        steps, seconds = now[0] - before[0], now[1] - before[1]
        self.logged = now
        line = {
            "step": now[0],
            "seconds": round(now[1], 3),
            "loss": float(history.losses[-_LOG_EVERY:].mean()),
            "images_per_second": round(steps * history.config.batch_size / seconds, 1),
            "lr": history.optimiser.param_groups[0]["lr"],
        }
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save_state(self, history: History) -> None:
        """Write what a later process needs to go on."""
        if self.writes:
            save_checkpoint(self.folder / "state.safetensors", self.ddpm, history)

    def save_model(self, history: History) -> None:
        """Write the averaged weights, and a picture of what they make."""
        if not self.writes:
            return
        raw = not history.ema.swapped
        if raw:
            history.ema.swap()
        checkpoint.save(
            self.folder / "model.safetensors",
            self.ddpm,
            data=self.name,
            shape=self.shape,
            steps=len(history.losses),
            seconds=round(history.seconds, 1),
        )
        picture = pictures.png(pictures.grid(self._samples()))
        checkpoint.replace(self.folder / "samples.png", picture)
        if raw:
            history.ema.swap()
        self.saved = time.monotonic()

    def _samples(self) -> Tensor:
        """Return a row of each class, from the same noise every time."""
        draws, where = torch.Generator().manual_seed(0), self.ddpm.device
        n = self.ddpm.n_classes
        x_T = torch.randn([4 * n, *self.shape], generator=draws).to(where)
        c = torch.arange(n, device=where).repeat(4)
        steps = min(20, self.ddpm.n_T)
        return sample(ddim(self.ddpm, x_T, c, steps=steps, w=1.0, clip_x0=1.0))


def _cut_log(path: Path, step: int) -> None:
    """Drop the lines that were written after the state that is resumed."""
    if not path.exists():
        return
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    checkpoint.replace(path, "".join(f"{line}\n" for line in kept).encode())


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except ValueError:  # cut off by a kill
        return float("inf")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; the lock dies with its process."""
    from filelock import FileLock, Timeout

    if place()[0]:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RuntimeError(
            f"another training is at work in {folder}: wait for its end, or name "
            "another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a polite kill end the run as Ctrl-C does: with everything saved."""

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _processes(device: torch.device | str | None) -> Iterator[torch.device]:
    """Join the other processes where torchrun started us; yield the device to use."""
    where = default_device() if device is None else torch.device(device)
    if "LOCAL_RANK" not in os.environ or dist.is_initialized():
        yield where
        return
    gpu = where.type == "cuda"
    if gpu:
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    # a process that waits longer than this for another one gives up
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(seconds=60))
    try:
        yield where
    finally:
        dist.destroy_process_group()
