"""From weights to a file of pictures: what `minddpm sample` does."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minddpm import _validate
from minddpm._validate import Labels
from minddpm.app import files, pictures
from minddpm.ddpm import DDPM
from minddpm.device import as_device
from minddpm.samplers import Step, ddim, times

_KINDS = (".png", ".gif", ".npz")
_STEPS = 11  # with more, more digits are misread (benchmarks/README.md)
SHIFT = 5.0  # of times towards T: fewer digits are misread (benchmarks/README.md)
_BATCH = 500  # pictures at once
_FRAMES = 50  # of a film, at most


def generate(
    weights: str | Path,
    out: str | Path,
    *,
    n: int = 100,
    labels: Sequence[int] | str | None = None,
    w: float = 0.0,
    sampler: str = "ddpm",
    steps: int | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> None:
    """Draw pictures from a trained model and write them to a file.

    Args:
        weights: a file, the folder of a training run, or a name, as in `load`.
        out: the file: `.png` is a grid, `.gif` the film of its making, `.npz` has
            `images`, (N, H, W) or (N, H, W, C) uint8, and `labels`, (N,) int64.
        n: how many.
        labels: the classes to draw, over and over, or a text such as "0-9", "3,5" or,
            for pictures of one's own, "cats,dogs"; None is all of them.
        w: guidance weight; 0 is none.
        sampler: "ddpm" draws fresh noise at every step, as Algorithm 2 does (over all
            steps it is Algorithm 2); "ddim" does not.
        steps: how many; None is 11, or all if the model has fewer.
        seed: seed of all noise.
        device: where to compute; None is `default_device()`.

    Raises:
        FileNotFoundError: if there are no such weights.
        ValueError: if an argument is wrong, or the weights are damaged.
        OSError: if the file cannot be written.
    """
    out = Path(out)
    _validate.choice("the ending of out", out.suffix, _KINDS)
    _validate.choice("sampler", sampler, ("ddim", "ddpm"))
    n = _validate.integer("n", n, 1)
    path = files.find(weights)
    tensors, header = files.read(path)
    ddpm = files.unpack(path, tensors, header, as_device(device))
    about = header.get("about", {})
    if "shape" not in about:
        raise ValueError(f"{weights} does not say which shape its pictures have")
    steps = min(_STEPS, ddpm.n_T) if steps is None else steps
    if labels and not ddpm.n_classes:
        raise ValueError(f"labels must be left out, {weights} knows none; got {labels}")
    if isinstance(labels, str):
        labels = _read_labels(labels, about.get("classes", []))
    chosen = list(range(ddpm.n_classes)) if labels is None else list(labels)
    c = None
    if chosen:
        c = torch.tensor(chosen)
        _validate.labels("labels", c, len(c), ddpm.n_classes)
        c = c.repeat(-(-n // len(c)))[:n].to(ddpm.device)
    generator = torch.Generator().manual_seed(_validate.integer("seed", seed, 0))
    x_T = torch.randn([n, *about["shape"]], generator=generator)
    parts, film = [], [x_T[:_BATCH]]
    for k in range(0, n, _BATCH):
        start = x_T[k : k + _BATCH].to(ddpm.device)
        own = None if c is None else c[k : k + _BATCH]
        eta = {"ddpm": 1.0, "ddim": 0.0}[sampler]
        how: dict[str, Any] = {"steps": steps, "eta": eta, "w": w}
        for step in walk(ddpm, start, own, generator=generator, **how):
            if k == 0 and out.suffix == ".gif":
                film.append(step.x_s.cpu())
        parts.append(step.x_s.cpu())
    x = torch.cat(parts)
    columns = len(chosen) if 1 < len(chosen) <= 20 else min(10, n)
    if out.suffix == ".npz":
        content = pictures.npz(x, c)
    elif out.suffix == ".png":
        content = pictures.png(pictures.grid(x, columns))
    else:
        stride = max(1, -(-(len(film) - 1) // (_FRAMES - 1)))
        frames = film[:-1:stride] + film[-1:]
        content = pictures.gif([pictures.grid(frame, columns) for frame in frames])
    files.replace(out, content)


def _read_labels(text: str, names: Sequence[str]) -> list[int]:
    """Read 3,5 or 0-9 or names of classes or a mixture of them; names go first."""
    chosen: list[int] = []
    for piece in map(str.strip, text.split(",")):
        numbers = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", piece, re.ASCII)
        if piece in names:
            chosen.append(names.index(piece))
        elif numbers and int(numbers[1]) <= int(last := numbers[2] or numbers[1]):
            chosen += range(int(numbers[1]), int(last) + 1)
        else:
            known = f" or names of {', '.join(names)}" if names else ""
            _validate.fail("labels", f"be like 0-9 or 3,5{known}", repr(text))
    return chosen


def walk(
    ddpm: DDPM, x_T: Tensor, c: Labels, *, steps: int, eta: float = 1.0, **options: Any
) -> Iterator[Step]:
    """Walk from noise to pictures as `minddpm sample` does: late times, and the clamp.

    Args:
        ddpm: the model.
        x_T: pure noise, (B, C, H, W) float.
        c: labels, (B,) int64, or None.
        steps: how many, in 1…T.
        eta: as in `ddim`: 1 draws fresh noise at every step, 0 none.
        **options: `w` and `generator`, as there.

    Returns:
        An iterator over the steps; pictures are kept in [−1, 1].

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range.
    """
    steps = _validate.integer("steps", steps, 1, ddpm.n_T)
    stops = times(ddpm.n_T, steps, shift=SHIFT)
    return ddim(ddpm, x_T, c, steps=stops, eta=eta, clip_x0=1.0, **options)
