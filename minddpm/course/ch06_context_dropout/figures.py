"""The figures of notebook 06: context dropout. One call, one figure; see `plots`."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style
from minddpm.oracle import LossFloor

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points


def plot_fields(
    x: Tensor,
    fields: Mapping[str, tuple[int | None, Tensor]],
    data: tuple[Tensor, Tensor],
) -> None:
    """Show predictions of the noise as arrows along −ε, a panel each.

    The points of the class that the prediction was told, or all points, lie below the
    arrows in the colours of their classes.

    Args:
        x: where the arrows start, (M, 2) float.
        fields: two to four predictions: the class that was told, or None, and ε at x,
            (M, 2) float; by the title to write above. Four make two rows.
        data: points, (N, 2) float, and their classes, (N,) int64.

    Raises:
        TypeError: if a value is of the wrong type.
        ValueError: if shapes do not fit, or there are too few fields or too many.
    """
    x = _validate.floats("x", x, (None, 2)).detach().cpu()
    points, c = data
    points = _validate.floats("data", points, (None, 2)).detach().cpu()
    c = _validate.labels("labels of data", c, len(points)).cpu()
    n = len(fields)
    if not 2 <= n <= 4:
        raise ValueError(f"fields must be 2…4, got {n}")
    for name, (_, eps) in fields.items():
        _validate.floats(f"fields[{name!r}]", eps, tuple(x.shape))
    rows, columns = (2, 2) if n == 4 else (1, n)
    reach = 1.12 * float(x.abs().max())
    with house_style():
        width = 0.85 * WIDTH if rows == 2 else WIDTH
        size = (width, rows * (width / columns + 0.35))
        axes = plt.subplots(rows, columns, figsize=size, squeeze=False)[1].flat
        for ax, (title, (told, eps)) in zip(axes, fields.items(), strict=True):
            shown = torch.ones_like(c, dtype=torch.bool) if told is None else c == told
            colours = [COLOURS[int(k) % len(COLOURS)] for k in c[shown]]
            dots: dict[str, Any] = {"s": 8 if rows == 2 else 6, "linewidths": 0}
            ax.scatter(*points[shown].T, color=colours, alpha=0.5, **dots)
            lines: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 5.5}
            lines |= {"width": 0.006, "headwidth": 4, "color": _BLACK}
            ax.quiver(*x.T, *-eps.detach().cpu().T, **lines)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            ax.set_axis_off()
            colour = _BLACK if told is None else COLOURS[told % len(COLOURS)]
            ax.set_title(title, color=colour)


def plot_two_floors(
    floor_c: LossFloor, floor_u: LossFloor, drop_prob: float, *, ax: Axes | None = None
) -> None:
    """Show the least loss with labels, without, and in training with dropout.

    Args:
        floor_c: the floor with every label told.
        floor_u: the floor with none, at the same times.
        drop_prob: share of dropped labels in training, in [0, 1].
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if `drop_prob` is no number.
        ValueError: if the times differ or `drop_prob` is out of range.
    """
    p = _validate.real("drop_prob", drop_prob, 0.0, 1.0)
    if not torch.equal(floor_c.t, floor_u.t):
        raise ValueError("floor_c and floor_u must be at the same times")
    t, low, high = floor_c.t, floor_c.per_t, floor_u.per_t
    mean = (1 - p) * floor_c.mean + p * floor_u.mean
    with house_style():
        if ax is None:
            ax = plt.subplots(figsize=(WIDTH, 4.2))[1]
        ax.fill_between(t, low, high, color="0.9")
        ax.plot(t, high, color=_BLACK)
        ax.plot(t, low, color=_BLUE)
        ax.plot(t, (1 - p) * low + p * high, color=_RED, linestyle="--")
        texts = (
            (f"without the label: mean {floor_u.mean:.3f}", _BLACK),
            (f"dropped with p = {p:g}: mean {mean:.3f}", _RED),
            (f"with the label: mean {floor_c.mean:.3f}", _BLUE),
        )
        _corner(ax, texts)
        # the word stands where the gap is widest
        k = int((high - low).argmax())
        middle = float((low[k] + high[k]) / 2)
        how: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": _SMALL}
        ax.text(float(t[k]), middle, "the label's\nworth", **how)
        top = 1.08 * float(high.max())
        ax.set(xlabel="t", xlim=(0, int(t.max())), ylim=(0, top))
        ax.set_title("least possible loss")


def plot_errors_per_t(
    t: Tensor, of_c: Tensor, of_u: Tensor, worth: Tensor, *, ax: Axes | None = None
) -> None:
    """Show at each t how far two learned answers are from the exact ones.

    Args:
        t: times, (K,) int64, rising, at least 1.
        of_c: mean squared distance of ε(x, c) to the exact one, (K,) float, positive.
        of_u: the same of ε(x, ∅).
        worth: mean squared distance of the two exact fields.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a value is no float tensor.
        ValueError: if lengths differ.
    """
    curves = {"of_c": of_c, "of_u": of_u, "worth": worth}
    for name, values in curves.items():
        curves[name] = _validate.floats(name, values, (len(t),)).detach().cpu().double()
    with house_style():
        if ax is None:
            ax = plt.subplots(figsize=(WIDTH, 4.6))[1]
        ax.plot(t.cpu(), curves["worth"], color="0.6", linewidth=5)
        ax.plot(t.cpu(), curves["of_u"], "o-", color=_BLACK, markersize=6)
        ax.plot(t.cpu(), curves["of_c"], "s-", color=_BLUE, markersize=6)
        texts = (
            ("exact ε(x,c) to exact ε(x,∅)", "0.4"),
            ("learned ε(x,∅) to exact", _BLACK),
            ("learned ε(x,c) to exact", _BLUE),
        )
        _corner(ax, texts)
        everything = torch.cat(list(curves.values()))
        least = float(torch.cat([curves["of_c"], curves["of_u"]]).min())
        top = 20 * float(everything.max())  # room for the names
        ax.set(yscale="log", ylim=(max(0.3 * least, 1e-9), top))
        T = int(t.max())
        ax.set(xscale="log", xlabel="t (log scale)", xlim=(0.9, 1.1 * T))
        ticks = [k for k in (1, 3, 10, 30, 100, 300, 1000) if k <= T]
        ax.set_xticks(ticks, list(map(str, ticks)))
        ax.set_xticks([], minor=True)
        ax.set_title("mean squared distance")


def plot_two_errors(
    errors: Mapping[str, tuple[Any, Any]], worth: Any, *, ax: Axes | None = None
) -> None:
    """Show both errors of several networks, a row each, on a logarithmic scale.

    Args:
        errors: mean squared distance to the exact ε(x, c) and to the exact ε(x, ∅),
            positive numbers, by the name of the network.
        worth: mean squared distance of the two exact fields, positive.
        ax: where to draw; None makes a figure.

    Raises:
        ValueError: if there is no network, or a number is not positive and finite.
    """
    rows = {name: [float(e) for e in pair] for name, pair in errors.items()}
    line = float(worth)
    if not rows:
        raise ValueError("errors must name at least one network, got none")
    numbers = [line, *(e for pair in rows.values() for e in pair)]
    wrong = [e for e in numbers if not 0 < e < math.inf]
    if wrong:
        raise ValueError(f"errors and worth must be positive numbers, got {wrong[0]}")
    n = len(rows)
    with house_style():
        if ax is None:
            ax = plt.subplots(figsize=(WIDTH, 1.6 + 0.5 * n))[1]
        ax.axvline(line, color="0.6", linewidth=4)
        for y, (told, untold) in enumerate(rows.values()):
            ax.plot([told, untold], [y, y], color="0.8", linewidth=2, zorder=1)
            ax.plot(untold, y, "o", color=_BLACK, markersize=10)
            ax.plot(told, y, "s", color=_BLUE, markersize=9)
        texts = (
            ("■ ε(x,c)", _BLUE, 0.0),
            ("● ε(x,∅)", _BLACK, 0.22),
            ("| the label's worth", "0.4", 0.44),
        )
        for text, colour, at in texts:
            ax.text(at, 1.03, text, color=colour, transform=ax.transAxes, va="bottom")
        ax.set(xscale="log", xlabel="mean squared distance to the exact answer")
        ax.set(xlim=(0.5 * min(numbers), 2 * max(numbers)), ylim=(n - 0.5, -0.5))
        ax.set_yticks(range(n), list(rows))


def _corner(ax: Axes, texts: tuple[tuple[str, str], ...]) -> None:
    """Write the names of the curves in the upper right corner."""
    for k, (text, colour) in enumerate(texts):
        how: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": _SMALL}
        at = (0.985, 0.97 - 0.085 * k)
        ax.text(*at, text, color=colour, transform=ax.transAxes, **how)
