"""The figures of notebook 05: training. One call, one figure; see `plots`."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points
_FEW = 4  # curves in one panel


def plot_time_features(frequencies: Tensor, T: int, times: tuple[int, int]) -> None:
    """Show what a network is told about t: a few sines, and which times look alike.

    At the left sin(ω t/T) for four of the frequencies; at the right the similarity of
    two times' features, the mean of cos(ω (t − t')/T) over all frequencies.

    Args:
        frequencies: ω, (F,) float, rising, at least four.
        T: number of steps.
        times: two times t' to compare all others with.

    Raises:
        TypeError: if `frequencies` is no float tensor, or a number no int.
        ValueError: if there are too few frequencies, or a time is out of range.
    """
    omega = _validate.floats("frequencies", frequencies, (None,)).detach().cpu()
    if len(omega) < _FEW:
        raise ValueError(f"frequencies must be at least {_FEW}, got {len(omega)}")
    T = _validate.integer("T", T, 1)
    marks = [_validate.integer("times", t, 1, T) for t in times]
    omega, t = omega.double(), torch.arange(1, T + 1, dtype=torch.float64)
    # a few frequencies that can be seen; the highest turn many times from t to t + 1
    slow = omega[omega <= math.pi * T / 3]
    shown = slow if len(slow) >= _FEW else omega
    picks = torch.linspace(0, len(shown) - 1, _FEW).round().long()
    with house_style():
        _, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.8))
        for row, (k, colour) in enumerate(zip(picks.tolist(), COLOURS, strict=False)):
            w, base = float(shown[k]), -2.6 * row
            left.plot(t, base + (w * t / T).sin(), color=colour, linewidth=1.8)
            text = f"ω = {w:.3g}"
            left.text(1.03 * T, base, text, color=colour, va="center", clip_on=False)
        left.set(xlabel="t", yticks=(), xlim=(0, T), title="sin(ω t / T)")
        for (mark, colour), level in zip(
            zip(marks, (_RED, _BLUE), strict=True), (0.98, 0.88), strict=True
        ):
            alike = ((t[:, None] - mark) / T * omega).cos().mean(1)
            right.plot(t, alike, color=colour)
            right.text(
                *(0.98, level, f"with t' = {mark}"),
                color=colour,
                ha="right",
                va="top",
                transform=right.transAxes,
            )
        right.axhline(0, color="0.7", linewidth=1)
        right.set(xlabel="t", xlim=(0, T), ylim=(-0.3, 1.3), yticks=(0, 0.5, 1))
        right.set_title("similarity of the features")


def plot_loss_per_t(
    t: Tensor, floor: Tensor, losses: Mapping[str, Tensor], *, ax: Axes | None = None
) -> None:
    """Show the loss at each time, over the least that is possible.

    Args:
        t: times, (K,) int64, rising, at least 1.
        floor: the exact denoiser's loss at each, (K,) float.
        losses: of up to three other models, (K,) float each, by name.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a loss is no float tensor.
        ValueError: if lengths differ, or there are no losses or too many.
    """
    n = len(t)
    curves = {"exact denoiser: the floor": _values("floor", floor, n)}
    if not 1 <= len(losses) < _FEW:
        raise ValueError(f"losses must be 1…{_FEW - 1}, got {len(losses)}")
    for name, values in losses.items():
        curves[name] = _values(f"losses[{name!r}]", values, n)
    with house_style():
        if ax is None:
            ax = plt.subplots(figsize=(WIDTH, 4.2))[1]
        _draw_losses(ax, t, curves)


def _draw_losses(ax: Axes, t: Tensor, curves: Mapping[str, Tensor]) -> None:
    """Draw losses over log t, with the names of the curves in the corner."""
    looks = zip(curves.items(), (_BLACK, _BLUE, _RED, _GREEN), strict=False)
    for k, ((name, values), colour) in enumerate(looks):
        mark: dict[str, Any] = {"marker": "o", "markersize": 4} if k else {}
        ax.plot(t.cpu(), values, color=colour, **mark)
        at = (0.99, 0.99 - k * 0.09)
        how: dict[str, Any] = {"ha": "right", "va": "top", "color": colour}
        ax.text(*at, name, transform=ax.transAxes, fontsize=_SMALL, **how)
    top = max(float(values.max()) for values in curves.values())
    ax.set(ylim=(0, 1.12 * max(top, 1)), title="loss at each t")
    _log_times(ax, int(t.max()))


def _log_times(ax: Axes, T: int) -> None:
    ax.set(xscale="log", xlabel="t (log scale)", xlim=(0.9, 1.1 * T))
    ticks = [k for k in (1, 3, 10, 30, 100, 300, 1000) if k <= T]
    ax.set_xticks(ticks, list(map(str, ticks)))
    ax.set_xticks([], minor=True)


def plot_excess(
    t: Tensor, floor: Tensor, loss: Tensor, standard_error: Tensor, distance: Tensor
) -> None:
    """Show where a network is worse than the exact denoiser, measured in two ways.

    At the left the loss at each t over the floor; at the right their difference, with
    bars of two standard errors, and the mean squared distance of the two answers.

    Args:
        t: times, (K,) int64, rising, at least 1.
        floor: the exact denoiser's loss at each, (K,) float.
        loss: the network's on the same draws, (K,) float.
        standard_error: of loss − floor, from paired differences, (K,) float.
        distance: the mean of (ε_θ − ε*)², (K,) float.

    Raises:
        TypeError: if a value is no float tensor.
        ValueError: if lengths differ.
    """
    n = len(t)
    floor, loss = _values("floor", floor, n), _values("loss", loss, n)
    error = _values("standard_error", standard_error, n)
    distance = _values("distance", distance, n)
    excess = loss - floor
    with house_style():
        _, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.2))
        _draw_losses(left, t, {"exact denoiser: the floor": floor, "network": loss})
        right.axhline(0, color="0.7", linewidth=1)
        right.plot(t.cpu(), distance, color=_RED)
        right.errorbar(
            *(t.cpu().numpy(), excess.numpy(), 2 * error.numpy()),
            fmt="o",
            color=_BLUE,
            markersize=5,
            elinewidth=1.8,
            capsize=3,
        )
        texts = (("loss − floor, ± 2 SE", _BLUE), ("squared distance", _RED))
        for k, (text, colour) in enumerate(texts):
            how: dict[str, Any] = {"ha": "right", "va": "top", "color": colour}
            at = (0.99, 0.99 - 0.09 * k)
            right.text(*at, text, transform=right.transAxes, fontsize=_SMALL, **how)
        low = min(0.0, float((excess - 2 * error).min()))
        high = max(1e-3, float((excess + 2 * error).max()), float(distance.max()))
        right.set(ylim=(1.1 * low - 0.03 * high, 1.25 * high), title="excess at each t")
        _log_times(right, int(t.max()))


def plot_modes(samples: Mapping[str, Tensor], means: Tensor, std: float) -> None:
    """Show samples of a ring of Gaussians, and how wide each of its modes came out.

    At the left the samples of the last name, with circles of two true standard
    deviations; at the right the standard deviation around each mode's own mean, of the
    samples that are nearest to it.

    Args:
        samples: one to four sets of points, (N, 2) float each, by name.
        means: the true means, (K, 2) float.
        std: the true standard deviation of each mode.

    Raises:
        TypeError: if points are no float tensor.
        ValueError: if a shape is wrong, a mode has no sample, or there are too many
            sets or none.
    """
    if not 1 <= len(samples) <= _FEW:
        raise ValueError(f"samples must be 1…{_FEW} sets, got {len(samples)}")
    means = _validate.floats("means", means, (None, 2)).detach().cpu()
    widths = {}
    for name, points in samples.items():
        x = _validate.floats(f"samples[{name!r}]", points, (None, 2)).detach().cpu()
        nearest = torch.cdist(x, means).argmin(1)
        if (nearest.bincount(minlength=len(means)) < 2).any():
            raise ValueError(f"samples[{name!r}] must have 2 points or more a mode")
        own = [x[nearest == k] for k in range(len(means))]
        widths[name] = [float((g - g.mean(0)).square().mean().sqrt()) for g in own]
    looks = ((_BLACK, "s"), (_GREEN, "^"), (_BLUE, "o"), (_RED, "D"))
    with house_style():
        figure = plt.figure(figsize=(WIDTH, 4.4))
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        left.scatter(*x.T, s=4, color=looks[len(samples) - 1][0], linewidths=0)
        for centre in means.tolist():
            circle = {"fill": False, "edgecolor": _RED, "linewidth": 1.8}
            left.add_patch(Circle((centre[0], centre[1]), 2 * std, **circle))
        reach = 1.35 * float(means.abs().max())
        left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        left.set(title=name)
        left.set_axis_off()
        modes = torch.arange(len(means))
        right.axhline(std, color=_RED, linestyle=":")
        last = len(means) - 0.5
        right.set_xlim(-0.5, last)
        how: dict[str, Any] = {"color": _RED, "va": "center", "fontsize": _SMALL}
        right.text(last + 0.1, std, "truth", **how)
        for k, ((name, values), (colour, marker)) in enumerate(
            zip(widths.items(), looks, strict=False)
        ):
            right.plot(modes, values, marker, color=colour, markersize=8)
            at = (0.99, 0.99 - 0.08 * k)
            how = {"ha": "right", "va": "top", "color": colour}
            right.text(*at, name, transform=right.transAxes, fontsize=_SMALL, **how)
        top = max(*(max(values) for values in widths.values()), 1.5 * std)
        right.set(ylim=(0, 1.35 * top), xticks=modes, xlabel="mode")
        right.set_title("standard deviation of each mode")


def plot_copies(points: Tensor, samples: Mapping[str, Tensor]) -> None:
    """Show samples over the few points that a network was trained on, a panel each.

    Args:
        points: the training points, (N, 2) float.
        samples: two sets of samples, (M, 2) float each, by name.

    Raises:
        TypeError: if points are no float tensor.
        ValueError: if a shape is wrong, or there are not two sets.
    """
    points = _validate.floats("points", points, (None, 2)).detach().cpu()
    if len(samples) != 2:
        raise ValueError(f"samples must be 2 sets, got {len(samples)}")
    reach = 1.3 * float(points.abs().max())
    with house_style():
        _, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.6))
        for ax, (name, x) in zip(axes, samples.items(), strict=True):
            x = _validate.floats(f"samples[{name!r}]", x, (None, 2)).detach().cpu()
            ax.scatter(*x.T, s=5, color=_BLUE, alpha=0.6, linewidths=0)
            ax.scatter(*points.T, s=90, marker="x", color=_RED, linewidths=2)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            ax.set(title=name)
            ax.set_axis_off()


def _values(name: str, values: Tensor, n: int) -> Tensor:
    """Return n floats as float64 on the CPU."""
    return _validate.floats(name, values, (n,)).detach().cpu().double()
