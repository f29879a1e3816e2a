"""The figures of notebook 03: the best denoiser. One call, one figure; see `plots`."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style
from minddpm.oracle import ExactDenoiser, GaussianMixture, LossFloor
from minddpm.schedule import Schedule

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points
_REACH = 2.6  # half the side of the square that the arrows start from


def plot_posterior(points: Tensor, schedule: Schedule, ts: Sequence[int]) -> None:
    """Show Bayes' rule on a few numbers: whose bell is it, and what is the best guess?

    Above, at each t, the bell of x_t around every √ᾱ_t x_k, and their sum; below, the
    weighted mean E[x_0 | x_t].

    Args:
        points: the data x_k, (N,) float, two to six of them.
        schedule: the noise schedule.
        ts: times to show, one column each, at least two.

    Raises:
        TypeError: if `points` is no float tensor, or a time no int.
        ValueError: if there are too few or too many points or times, or a time is out
            of range.
    """
    points = _validate.floats("points", points, (None,)).detach().cpu().double()
    if not 2 <= len(points) <= len(COLOURS):
        raise ValueError(f"points must be 2…{len(COLOURS)}, got {len(points)}")
    ts = _times(ts, schedule.T)
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    oracle = ExactDenoiser(points[:, None], schedule)
    with house_style():
        _, axes = plt.subplots(2, len(ts), figsize=(WIDTH, 5.2))
        for t, (bells, guess) in zip(ts, axes.T, strict=True):
            centres = float(schedule.sqrt_alpha_bars[t]) * points
            noise = float(schedule.sqrt_one_minus_alpha_bars[t])
            heights = (-((grid[:, None] - centres) ** 2) / (2 * noise**2)).exp()
            bells.plot(grid, heights.sum(1), color="0.75", linewidth=5)
            for k, (x_k, colour) in enumerate(zip(points, COLOURS, strict=False)):
                bells.plot(grid, heights[:, k], color=colour)
                guess.axhline(float(x_k), color=colour, linestyle=":", linewidth=2)
                if t == ts[0]:
                    name, x = f"$x^{{({k + 1})}}$", float(x_k)
                    bells.text(float(centres[k]), 1.06, name, color=colour, ha="center")
                    guess.text(-2.9, x + 0.12, name, color=colour, va="bottom")
            guess.plot(grid, oracle.denoise(grid[:, None], t)[:, 0], color=_BLACK)
            limits: dict[str, Any] = {"xlim": (-3, 3), "xticks": (-2, 0, 2)}
            top = 1.05 * max(1.25, float(heights.sum(1).max()))
            bells.set(title=f"t = {t}", yticks=(), ylim=(0, top), **limits)
            guess.set(xlabel="$x_t$", ylim=(-1.85, 1.85), **limits)
        axes[0, 0].set_ylabel("likelihood")
        axes[1, 0].set_ylabel("$E[x_0\\,|\\,x_t]$")


def plot_regression(
    centres: Tensor,
    means: Tensor,
    curves: Mapping[str, tuple[Tensor, Tensor]],
    z: Tensor,
) -> None:
    """Compare averages of simulated pairs with a formula.

    Args:
        centres: middles of the bins, (K,) float.
        means: mean of x_0 over the pairs in each bin, (K,) float.
        curves: x and y of up to three curves, (M,) float each, by name.
        z: distance of each mean from the formula, in standard errors, (K,) float.

    Raises:
        TypeError: if an argument is no float tensor.
        ValueError: if lengths differ, or there are too many curves.
    """
    n = len(_validate.floats("centres", centres, (None,)))
    _validate.floats("means", means, (n,))
    _validate.floats("z", z, (n,))
    looks = ((_RED, "-"), (_GREEN, "--"), (_PURPLE, ":"))
    if len(curves) > len(looks):
        raise ValueError(f"curves must be at most {len(looks)}, got {len(curves)}")
    with house_style():
        _, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0))
        names = [("mean of a bin", _BLUE)]
        for (name, (x, y)), (colour, line) in zip(curves.items(), looks, strict=False):
            left.plot(x, y, color=colour, linestyle=line)
            names.append((name, colour))
        left.plot(centres, means, "o", color=_BLUE, markersize=4)
        for k, (name, colour) in enumerate(names):
            at = (0.03, 0.97 - 0.09 * k)
            left.text(*at, name, color=colour, transform=left.transAxes, va="top")
        left.set(xlabel="$x_t$", title="Best guess of $x_0$")
        low, high = float(means.min()), float(means.max())
        reach = high - low  # a curve may leave the frame, the means may not
        left.set_ylim(low - 0.2 * reach, high + 0.55 * reach)
        right.axhspan(-3, 3, color="0.92")
        right.axhline(0, color="0.6", linewidth=1)
        right.plot(centres, z, "o", color=_BLUE, markersize=6)
        top = max(4.5, 1.1 * float(z.abs().max()))
        right.set(xlabel="$x_t$", ylim=(-top, top), ylabel="standard errors")
        right.set_title("Bin mean minus formula")


def plot_steps(denoisers: Mapping[str, GaussianMixture], t: int) -> None:
    """Show E[x_0 | x_t] on the line for several laws of the data, one panel each.

    Args:
        denoisers: two to four laws of 1-D data, by name; the last one is also drawn
            pale behind the others.
        t: the time to show.

    Raises:
        TypeError: if t is no int.
        ValueError: if there are too few or too many, data is not 1-D, or t is out of
            range.
    """
    if not 2 <= len(denoisers) <= 4:
        raise ValueError(f"denoisers must be 2…4, got {len(denoisers)}")
    grid = torch.linspace(-2.4, 2.4, 961, dtype=torch.float64)[:, None]
    curves = {}
    for name, denoiser in denoisers.items():
        _shape(f"denoisers[{name!r}]", denoiser, 1)
        _validate.integer("t", t, 1, denoiser.schedule.T)
        curves[name] = denoiser.denoise(grid, t)[:, 0]
    last = curves[name]
    with house_style():
        size = (WIDTH, 3.6)
        _, axes = plt.subplots(1, len(curves), figsize=size, sharey=True)
        for ax, (name, curve) in zip(axes, curves.items(), strict=True):
            ax.plot(grid, last, color=_SKY, alpha=0.5, linewidth=6)
            ax.plot(grid, curve, color=_BLACK)
            ax.set(title=name, xlabel="$x_t$", xlim=(-2.4, 2.4), ylim=(-2.2, 2.2))
            ax.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
        axes[0].set_ylabel("$E[x_0\\,|\\,x_t]$")


def plot_arrows_and_floors(
    denoiser: GaussianMixture,
    points: Tensor,
    floors: Mapping[str, LossFloor],
    ts: tuple[int, int],
) -> None:
    """Show where noisy points are sent, and the least loss at every time.

    Two panels with arrows from x_t, on a grid, to E[x_0 | x_t], at a small and a large
    time; then the floors over t.

    Args:
        denoiser: the law of the data in the plane, for the arrows.
        points: data to draw under them, (N, 2) float.
        floors: up to four floors, by the name to write beside each.
        ts: the two times.

    Raises:
        TypeError: if `points` is no float tensor, or a time no int.
        ValueError: if a shape is wrong, a time is out of range, there is no floor or
            too many.
    """
    points = _validate.floats("points", points, (None, 2)).detach().cpu()
    _shape("denoiser", denoiser, 2)
    ts_ = _times(ts, denoiser.schedule.T)
    if len(ts_) != 2:
        raise ValueError(f"ts must be two times, got {len(ts_)}")
    if not 1 <= len(floors) <= 4:
        raise ValueError(f"floors must be 1…4, got {len(floors)}")
    side = torch.linspace(-_REACH, _REACH, 11)
    x_t = torch.cartesian_prod(side, side)
    with house_style():
        ratios = (1, 1, 1.25)
        _, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.5), width_ratios=ratios)
        for ax, t in zip(axes, ts_, strict=False):
            way = denoiser.denoise(x_t, t).cpu() - x_t
            lines = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.007}
            ax.quiver(*x_t.T, *way.T, color=_BLUE, alpha=0.8, headwidth=4, **lines)
            size = 40 if len(points) <= 50 else 8
            ax.scatter(*points.T, s=size, color=_RED, linewidths=0)
            reach = 1.06 * _REACH
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            ax.set(xticks=(), yticks=(), title=f"t = {t}")
        _draw_floors(axes[2], floors, ts_, denoiser.schedule.T)


def _draw_floors(
    ax: Axes, floors: Mapping[str, LossFloor], times: Sequence[int], T: int
) -> None:
    """Draw floors over t, with a dotted line at each of the times."""
    for t in times:
        ax.axvline(t, ymax=0.66, color="0.6", linestyle=":", linewidth=1.5)
    looks = zip(floors.items(), (_BLACK, _RED, _GREEN, _PURPLE), strict=False)
    for k, ((name, floor), colour) in enumerate(looks):
        ax.plot(floor.t, floor.per_t, color=colour)
        label = f"{name}: mean {floor.mean:.3f}"
        how: dict[str, Any] = {"color": colour, "fontsize": _SMALL, "va": "top"}
        ax.text(0.99, 1 - 0.09 * k, label, transform=ax.transAxes, ha="right", **how)
    ax.set(xlabel="t", xlim=(0, T), ylim=(0, 1.5), yticks=(0, 0.5, 1))
    ax.set_title("least possible loss")


def _times(ts: Sequence[int], T: int) -> list[int]:
    """Return the times as ints in 1…T, at least two."""
    times = [_validate.integer("ts", t, 1, T) for t in ts]
    if len(times) < 2:
        raise ValueError(f"ts must hold at least two times, got {len(times)}")
    return times


def _shape(name: str, denoiser: GaussianMixture, dim: int) -> None:
    """Refuse a law of data of another shape than (dim,)."""
    if (shape := tuple(denoiser.data_shape)) != (dim,):
        raise ValueError(f"{name} must be a law of data ({dim},), got {shape}")
