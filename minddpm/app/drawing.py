"""From weights to a file of pictures: what `minddpm sample` does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from minddpm import _validate
from minddpm.app import files, pictures
from minddpm.ddpm import DDPM, Labels
from minddpm.device import Rng, default_device
from minddpm.samplers import Step, ddim

_KINDS = (".png", ".gif", ".npz")
_STEPS = 11  # with more, more digits are misread (benchmarks/README.md)
_SHIFT = 5.0  # of times towards T (benchmarks/README.md)
_BATCH = 500  # pictures at once
_FRAMES = 50  # of a film, at most


def generate(
    weights: str | Path,
    out: str | Path,
    *,
    n: int = 100,
    labels: Sequence[int] | None = None,
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
        labels: the classes to draw, over and over; None is all of them.
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
    ddpm = files.unpack(path, tensors, header, device or default_device())
    if "shape" not in header.get("about", {}):
        raise ValueError(f"{weights} does not say which shape its pictures have")
    steps = min(_STEPS, ddpm.n_T) if steps is None else steps
    chosen = list(range(ddpm.n_classes)) if labels is None else list(labels)
    if labels and not ddpm.n_classes:
        raise ValueError(f"labels must be left out, {weights} knows none; got {labels}")
    c = None
    if chosen:
        c = torch.tensor(chosen)
        _validate.labels("labels", c, len(c), ddpm.n_classes)
        c = c.repeat(-(-n // len(c)))[:n].to(ddpm.device)
    generator = torch.Generator().manual_seed(_validate.integer("seed", seed, 0))
    x_T = torch.randn([n, *header["about"]["shape"]], generator=generator)
    parts, film = [], [x_T[:_BATCH]]
    for k in range(0, n, _BATCH):
        start = x_T[k : k + _BATCH].to(ddpm.device)
        own = None if c is None else c[k : k + _BATCH]
        walk = draw(
            ddpm, start, own, steps=steps, w=w, sampler=sampler, generator=generator
        )
        for step in walk:
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


def draw(
    ddpm: DDPM,
    x_T: Tensor,
    c: Labels,
    *,
    steps: int,
    w: float = 0.0,
    sampler: str = "ddpm",
    generator: Rng = None,
) -> Iterator[Step]:
    """Walk from noise to pictures, as `minddpm sample` does.

    Args:
        ddpm: the model.
        x_T: pure noise, (B, C, H, W) float.
        c: labels, (B,) int64, or None.
        steps: how many, in 1…T.
        w: guidance weight; 0 is none.
        sampler: "ddpm" or "ddim", as in `generate`.
        generator: source of the noise on the way.

    Returns:
        An iterator over the steps; pictures are kept in [−1, 1] by the clamp of x̂_0.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range.
    """
    eta = {"ddpm": 1.0, "ddim": 0.0}[sampler]
    return ddim(
        ddpm,
        x_T,
        c,
        steps=times(steps, ddpm.n_T),
        eta=eta,
        w=w,
        clip_x0=1.0,
        rederive_eps=True,
        generator=generator,
    )


def times(steps: int, T: int) -> list[int]:
    """Return the times to walk through: closer together near T, where steps are few.

    Even times u T are shifted to T s u / (1 + (s − 1) u), rounded, as Esser et al.
    (2024, section 5.3.2) shift those of rectified flows. s is 5, or T/steps if that is
    less: then no time comes twice, and for T steps s = 1 and each time comes once.
    With few steps, fewer digits are then misread than after as many even ones
    (benchmarks/README.md).

    Args:
        steps: how many, in 1…T.
        T: the first of them.

    Returns:
        Ints that fall from T to 1 or more.

    Raises:
        TypeError: if steps is no int.
        ValueError: if it is out of range.

    >>> times(5, 1000)
    [1000, 952, 882, 769, 556]
    >>> times(5, 5)
    [5, 4, 3, 2, 1]
    """
    steps = _validate.integer("steps", steps, 1, T)
    shift = min(_SHIFT, T / steps)
    late = [shift * k / (steps + (shift - 1) * k) for k in range(steps, 0, -1)]
    return [round(T * u) for u in late]
