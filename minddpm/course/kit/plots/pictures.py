"""Figures that show pictures."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots.style import SMALL, WIDTH, class_names, frame, write
from minddpm.samplers import Step


def plot_images(
    images: Tensor,
    labels: Sequence[object] | Tensor | None = None,
    *,
    columns: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Show pictures side by side.

    Args:
        images: (N, C, H, W) float, grey (C = 1) or RGB (C = 3); −1 is black, 1 white,
            and values beyond are cut off.
        labels: one above each picture (N of them), or one beside each row.
        columns: pictures in a row; None puts up to ten.
        title: text above.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if `images` is no float tensor.
        ValueError: if its shape is wrong, it holds NaN, or the labels do not fit.
    """
    images = _pictures("images", images)
    n = len(images)
    columns = min(
        n, _validate.integer("columns", 10 if columns is None else columns, 1)
    )
    rows = math.ceil(n / columns)
    if isinstance(labels, Tensor):
        labels = labels.tolist()
    texts = [str(label) for label in labels or ()]
    if labels is not None and len(texts) not in (n, rows):
        raise ValueError(
            f"labels must be one a picture ({n}) or one a row ({rows}), "
            f"got {len(texts)}"
        )
    beside = texts if len(texts) == rows and columns > 1 else []
    _grid(images, columns, [] if beside else texts, beside, title, ax)


def plot_class_grid(
    images: Tensor,
    labels: Tensor,
    *,
    rows: int = 4,
    names: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Show the first pictures of each class, one column a class.

    Args:
        images: (N, C, H, W) float in [−1, 1], grey or RGB.
        labels: (N,) int64, classes from 0 up. A class without a picture has no column.
        rows: pictures of a class; where there are fewer, places stay empty.
        names: name of each class, starting with class 0; None uses the number.
        title: text above.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a dtype is wrong.
        ValueError: if a shape is wrong, or a class has no name.
    """
    images = _pictures("images", images)
    labels, classes = class_names(labels, len(images), names)
    rows = min(_validate.integer("rows", rows, 1), int(labels.bincount().max()))
    tiles = torch.full((rows, len(classes), *images.shape[1:]), torch.nan)
    for column, label in enumerate(classes):
        found = images[labels == label][:rows]
        tiles[: len(found), column] = found
    tiles = tiles.flatten(0, 1)
    _grid(tiles, len(classes), list(classes.values()), [], title, ax)


def plot_film_strip(
    steps: Sequence[Step],
    *,
    index: int = 0,
    frames: int = 8,
    title: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Show one sample on its way from noise to picture, and where it was heading.

    Above, x_s: the picture at time s, to which the step from t led. Below it, x̂_0: the
    clean picture that this step was heading for, predicted from x_t.

    Args:
        steps: all steps of a sampling run, `list(ancestral(…))` or `list(ddim(…))`,
            with pictures x_s (B, C, H, W). None may be left out: s is the next one's t.
        index: which of the B samples to show.
        frames: how many steps to show, evenly spread, first and last among them.
        title: text above.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if `steps` is no list of steps.
        ValueError: if it is empty or its times do not fall, or the samples are no
            pictures.
    """
    if not isinstance(steps, Sequence) or not all(isinstance(s, Step) for s in steps):
        raise TypeError(
            f"steps must be a list of Step, got {type(steps).__name__}; "
            "a sampler is made one by list(…)"
        )
    if not steps:
        raise ValueError("steps must hold at least one step, got none")
    times = [*(step.t for step in steps), 0]
    if any(s >= t for t, s in pairwise(times)):
        few = ", ".join(map(str, times[: min(6, len(steps))]))
        raise ValueError(f"steps must have falling times, got t = {few}, …")
    index = _validate.integer("index", index, 0, len(steps[0].x_s) - 1)
    frames = min(_validate.integer("frames", frames, 1), len(steps))
    shown = np.linspace(len(steps) - 1, 0, frames).round().astype(int)[::-1].tolist()
    one = slice(index, index + 1)
    tiles = [_pictures("x_s", steps[k].x_s[one]) for k in shown]
    tiles += [_pictures("x0_hat", steps[k].x0_hat[one]) for k in shown]
    above = [f"s = {times[k + 1]}" for k in shown] + [f"t = {times[k]}" for k in shown]
    beside = [r"$x_s$", r"$\hat{x}_0$ from $x_t$"]
    _grid(torch.cat(tiles), frames, above, beside, title, ax)


def _pictures(name: str, images: Tensor) -> Tensor:
    """Return float32 pictures (N, 1 or 3, H, W) on the CPU, with N ≥ 1."""
    images = _validate.floats(name, images, (None, None, None, None)).detach().cpu()
    if images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(
            f"{name} must be grey (N, 1, H, W) or RGB (N, 3, H, W) with N ≥ 1, "
            f"got {tuple(images.shape)}"
        )
    if images.isnan().any():
        raise ValueError(f"{name} must hold numbers, got NaN; did training diverge?")
    return images.float()


def _grid(
    tiles: Tensor,
    columns: int,
    above: Sequence[str],
    beside: Sequence[str],
    title: str | None,
    ax: Axes | None,
) -> None:
    """Draw (N, C, H, W) tiles as one picture; those of NaN stay white.

    `above` holds a text for each tile, or for those of the first row; `beside` one for
    each row.
    """
    h, w = tiles.shape[2:]
    rows = math.ceil(len(tiles) / columns)
    letters = (len(re.sub(r"\\\w+|\W", "", text)) for text in beside)
    margin = 0.14 * max(letters, default=0)  # inches
    if ax is None:
        tile = min((WIDTH - margin) / columns, 1.6)  # width of one, in inches
    else:
        tile = ax.get_window_extent().width / ax.figure.dpi / columns
    line = math.ceil(0.27 / tile * w)  # pixels that a line of text takes
    gap = max(1, w // 12)
    tops = [0] * rows  # the first pixel of each row
    for row in range(rows):
        free = line if len(above) > row * columns else gap if row else 0
        tops[row] = (tops[row - 1] + h if row else 0) + free
    lefts = [column * (w + gap) for column in range(columns)]
    sheet = np.ones((tops[-1] + h, lefts[-1] + w, 3), dtype=np.float32)
    for k, picture in enumerate(tiles.permute(0, 2, 3, 1).numpy()):  # (h, w, C)
        top, left = tops[k // columns], lefts[k % columns]
        if not np.isnan(picture).all():
            sheet[top : top + h, left : left + w] = picture.clip(-1, 1) / 2 + 0.5
    height = sheet.shape[0] * tile / w + (0.5 if title else 0.1)
    with frame(ax, columns * tile + margin, height) as (ax,):
        ax.imshow(sheet)
        ax.set_axis_off()
        ax.set_title(title or "")
        for k, text in enumerate(above):
            at = (lefts[k % columns] + (w - 1) / 2, tops[k // columns] - 0.5)
            write(ax, text, at, (0, 3), fontsize=SMALL, va="bottom")
        for row, text in enumerate(beside):
            at = (-0.5, tops[row] + (h - 1) / 2)
            write(ax, text, at, (-8, 0), ha="right")
