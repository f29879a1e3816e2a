"""A training run in a folder, which can be killed at any moment and resumed.

The folder holds, all written while the run goes on:

    model.safetensors   the averaged weights: what `minddpm.load(folder)` reads
    state.safetensors   all that `--resume` needs
    log.jsonl           one line of measurements every 50 steps
    samples.png         a grid, a column a class
    lock                held while a training is running here
"""

import json
import math
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from minddpm import _validate, data
from minddpm.app import files, folders, pictures, processes
from minddpm.app.drawing import walk
from minddpm.app.presets import PRESETS, model, source, suited
from minddpm.app.processes import locked, place, terminable
from minddpm.ddpm import DDPM
from minddpm.samplers import sample
from minddpm.train import History, TrainConfig, train

_LOG_EVERY = 50  # steps
_MOST_STEPS = 1_000_000  # where the time is the limit


def run(
    folder: str | Path,
    name: str | None = None,
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
    **options: Any,
) -> History:
    """Train a preset on a data set, or on pictures of one's own, in a folder.

    Args:
        folder: where to keep everything; made if need be.
        name: the data set, a key of `PRESETS`, or a folder of pictures; None is
            "mnist", or what a resumed training learns from.
        minutes: stop after so many; None is the preset's limit, if steps is None too.
        steps: stop after so many; None is the preset's number.
        batch: samples a step, over all processes; None is the preset's number.
        seed: seed of the first weights and of the training, if it is a new one.
        device: where to train; None is `default_device()`.
        resume: go on with the training in the folder, to its own end; or to that which
            steps and minutes name, both counted from its beginning. The learning rate
            then follows the cosine to the new end, from where it is.
        compiled: make the network's kernels with torch.compile.
        save_every: seconds from one checkpoint to the next.
        progress: show a progress bar.
        **options: how to read a folder of pictures, as in `folders.load`.

    Returns:
        The history.

    Raises:
        ValueError: if an argument is wrong, or the folder's state is damaged.
        FileExistsError: if the folder holds a training and resume is False.
        FileNotFoundError: if it holds none and resume is True.
        RuntimeError: if another training is at work in the folder.
        OSError: if a file cannot be written; earlier ones are still whole.
    """
    if resume and batch is not None:
        _validate.fail("batch", "be left out to resume", batch)
    _validate.real("save_every", save_every, 0.0, math.inf)
    given: dict[str, Any] = {} if name is None else {"data": source(name)}
    given |= {"options": json.loads(json.dumps(options))} if options else {}
    folder = Path(folder)
    with processes.joined(device) as where, locked(folder), terminable():
        state = folder / "state.safetensors"
        about = _begun(state, resume)
        _hold(about, given, folder)
        about.setdefault("data", "mnist")
        how = about.get("options", {})
        images, labels = data.load(about["data"], **how)
        if about["data"] not in PRESETS:
            _hold(about, folders.describe(about["data"], images, how), folder)
        if resume:
            ddpm, history = files.load_checkpoint(state, where)
            _cut_log(folder / "log.jsonl", history.step)
            history.config = _longer(history, minutes, steps)
        else:
            preset = PRESETS.get(about["data"]) or suited(images)
            config = replace(_config(preset.config, minutes, steps, batch), seed=seed)
            ddpm = model(preset, images, labels, seed, where)
            history = History(ddpm, config)
            about |= {"bf16": processes.has_bf16(where), "compile": compiled}
            about |= {"time_power": preset.time_power}
        loss_of = _loss_of(history, about)
        keeper = _Keeper(folder, ddpm, about, images.shape[1:], save_every)
        keeper.logged = history.step, history.seconds
        if not resume or (minutes, steps) != (None, None):
            keeper.save_state(history)
        progress = progress and place()[0] == 0
        if progress and "classes" in about:
            print(folders.tell(about), file=sys.stderr)
        with _going_on():
            history = train(
                ddpm,
                (images, labels),
                progress=progress,
                callback=keeper.after_step,
                resume=history,
                loss_of=loss_of,
                agree=processes.agree,
            )
            keeper.save_state(history)
            keeper.save_model(history)
        return history


def _hold(about: dict[str, Any], told: dict[str, Any], folder: Path) -> None:
    """Keep what is told of a training; refuse what is not as it was when it began."""
    for key, value in told.items():
        if (before := about.setdefault(key, value)) != value:
            rule = f"be {before} to resume the training in {folder}"
            _validate.fail(key, rule, repr(value))


def _loss_of(history: History, about: dict[str, Any]) -> Any:
    """Return how the loss of a batch is computed, on all processes together."""
    processes.share(history.config.batch_size)  # refused before there is a file
    return processes.batch_loss(
        history.ddpm,
        history.generator,
        time_power=about.get("time_power", 1.0),
        bf16=about.get("bf16", False),
        compiled=about.get("compile", False),
    )


def _begun(state: Path, resume: bool) -> dict[str, Any]:
    """Return what is known of the training that is resumed; nothing of a new one.

    Raises:
        FileExistsError: if a state is in the way of a new one.
        FileNotFoundError: if there is none to resume.
    """
    if state.exists() and not resume:
        raise FileExistsError(
            f"{state.parent} holds a training already: go on with it by --resume, or "
            "name another folder"
        )
    if resume and not state.exists():
        raise FileNotFoundError(
            f"{state.parent} holds no training to resume; leave out --resume to begin"
        )
    about = files.read(state)[1].get("about", {}) if resume else {}
    if place()[1] > 1:  # all have looked before one of them writes
        dist.barrier()
    return dict(about)


def _config(
    config: TrainConfig,
    minutes: float | None,
    steps: int | None,
    batch: int | None = None,
) -> TrainConfig:
    """Return the settings with what was asked for in their place."""
    if minutes is not None or steps is not None:
        config = replace(
            config,
            steps=_MOST_STEPS if steps is None else steps,
            max_seconds=None if minutes is None else 60 * minutes,
        )
    return config if batch is None else replace(config, batch_size=batch)


def _longer(history: History, minutes: float | None, steps: int | None) -> TrainConfig:
    """Return the settings of a training that goes on, perhaps to a later end."""
    config = _config(history.config, minutes, steps)
    if steps is not None and steps <= history.step:
        rule = f"be more than the {history.step} that were taken"
        _validate.fail("steps", rule, steps)
    if minutes is not None and 60 * minutes <= history.seconds:
        rule = f"be more than the {history.seconds / 60:.2f} that were spent"
        _validate.fail("minutes", rule, minutes)
    return config


class _Keeper:
    """Writes the files of a run while it goes on; one process of several does it."""

    def __init__(
        self,
        folder: Path,
        ddpm: DDPM,
        about: dict[str, Any],
        shape: torch.Size,
        every: float,
    ) -> None:
        self.folder, self.ddpm, self.every = folder, ddpm, every
        self.about, self.shape = about, list(shape)
        self.writes = place()[0] == 0
        self.saved = time.monotonic()
        self.logged = (0, 0.0)  # step and seconds
        self.missed: set[str] = set()  # files that could not be written

    def after_step(self, history: History) -> None:
        """Log every 50 steps, save every so many seconds."""
        if self.writes and history.step % _LOG_EVERY == 0:
            self.log(history)
        if time.monotonic() - self.saved > self.every:
            self.save_state(history)
            self.save_model(history)

    def log(self, history: History) -> None:
        """Append a line of measurements."""
        now = (history.step, history.seconds)
        steps, seconds = now[0] - self.logged[0], now[1] - self.logged[1]
        self.logged = now
        line = {
            "step": now[0],
            "seconds": round(now[1], 3),
            "loss": float(history.losses[-_LOG_EVERY:].mean()),
            "images_per_second": round(steps * history.config.batch_size / seconds, 1),
            "lr": history.optimiser.param_groups[0]["lr"],
        }
        path = self.folder / "log.jsonl"
        with self._spared(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save_state(self, history: History) -> None:
        """Write what a later process needs to go on."""
        if self.writes:
            path = self.folder / "state.safetensors"
            files.save_checkpoint(path, self.ddpm, history, **self.about)

    def save_model(self, history: History) -> None:
        """Write the averaged weights, and a picture of what they make."""
        if not self.writes:
            return
        raw = not history.ema.swapped
        if raw:
            history.ema.swap()
        files.save(
            self.folder / "model.safetensors",
            self.ddpm,
            data=self.about["data"],
            shape=self.shape,
            steps=history.step,
            seconds=round(history.seconds, 1),
            **({"classes": names} if (names := self.about.get("classes")) else {}),
        )
        path = self.folder / "samples.png"
        with self._spared(path):
            files.replace(path, pictures.png(self._samples()))
        if raw:
            history.ema.swap()
        self.saved = time.monotonic()

    @contextmanager
    def _spared(self, path: Path) -> Iterator[None]:
        """Go on without a file that is only looked at, and say so once."""
        try:
            yield
        except OSError as error:
            if path.name not in self.missed:
                self.missed.add(path.name)
                says = f"{path} cannot be written ({error.strerror})"
                warnings.warn(f"{says}; the training goes on without", stacklevel=4)

    def _samples(self) -> np.ndarray:
        """Return a grid, a column a class, from the same noise every time."""
        draws, where = torch.Generator().manual_seed(0), self.ddpm.device
        n = min(self.ddpm.n_classes, 20)
        x_T = torch.randn([4 * (n or 10), *self.shape], generator=draws).to(where)
        c = torch.arange(n, device=where).repeat(4) if n else None
        how: dict[str, Any] = {"steps": min(20, self.ddpm.n_T), "w": float(n > 0)}
        x = sample(walk(self.ddpm, x_T, c, generator=draws, **how))
        return pictures.grid(x, n or 10)


def _cut_log(path: Path, step: int) -> None:
    """Drop the lines that were written after the state that is resumed."""
    if not path.exists():
        return
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    files.replace(path, "".join(f"{line}\n" for line in kept).encode())


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except ValueError:  # cut off by a kill
        return float("inf")


@contextmanager
def _going_on() -> Iterator[None]:
    """Say of a training that breaks off how to go on with it."""
    rank, world = place()
    try:
        yield
    except OSError as error:  # of a disk: full, gone, or not ours to write on
        says = f"{error.strerror}; once that is mended, --resume goes on"
        raise type(error)(error.errno, says, error.filename) from None
    except RuntimeError as error:
        if world == 1:
            raise
        raise RuntimeError(
            f"process {rank + 1} of {world} cannot go on, perhaps because another one "
            f"ended; start all of them again with --resume ({error})"
        ) from None
