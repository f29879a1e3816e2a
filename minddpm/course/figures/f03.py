"""Figures of notebook 03: the best denoiser, and the loss that it leaves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import GaussianMixture, LossFloor, _validate
from minddpm.course.plots import COLOURS, WIDTH, _canvas, _grid, _pictures, _write
from minddpm.schedule import Schedule

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points
_REACH = 2.6  # half the side of the square with the arrows


def plot_posterior(
    points: Tensor,
    schedule: Schedule,
    ts: Sequence[int],
    *,
    axes: Sequence[Axes] | None = None,
) -> None:
    """Show Bayes' rule on a few numbers: whose bell is it, and what is the best guess?

    Above, at each t, the bell of x_t around every √ᾱ_t x_k, and their sum; below, the
    weighted mean E[x_0 | x_t].

    Args:
        points: the data x_k, (N,) float, two to six of them.
        schedule: the noise schedule.
        ts: times to show, one column each.
        axes: two Axes for each t, the upper row first; None makes a figure.

    Raises:
        TypeError: if `points` is no float tensor.
        ValueError: if there are too few or too many points, a time is out of range, or
            the number of Axes is wrong.
    """
    points = _validate.floats("points", points, (None,)).detach().cpu().double()
    if not 2 <= len(points) <= len(COLOURS):
        raise ValueError(f"points must be 2…{len(COLOURS)}, got {len(points)}")
    ts = _times(ts, schedule.T)
    if axes is not None and len(axes) != 2 * len(ts):
        raise ValueError(f"axes must be {2 * len(ts)}, two a time, got {len(axes)}")
    grid = torch.linspace(-3, 3, 601, dtype=torch.float64)
    oracle = GaussianMixture(points[:, None], 0.0, schedule)
    with _canvas(axes, WIDTH, 5.2, n=len(ts), rows=2) as axes:
        for t, bells, guess in zip(ts, axes[: len(ts)], axes[len(ts) :], strict=True):
            centres = float(schedule.sqrt_alpha_bars[t]) * points
            noise = float(schedule.sqrt_one_minus_alpha_bars[t])
            heights = (-((grid[:, None] - centres) ** 2) / (2 * noise**2)).exp()
            heights /= len(points)  # the tallest bell is 1/N high
            bells.plot(grid, heights.sum(1), color="0.75", linewidth=5)
            for k, (x_k, colour) in enumerate(zip(points, COLOURS, strict=False)):
                bells.plot(grid, heights[:, k], color=colour)
                guess.axhline(float(x_k), color=colour, linestyle=":", linewidth=1.5)
                if t == ts[0]:
                    at, look = (-3.05, float(x_k)), {"color": colour, "ha": "left"}
                    _write(guess, f"$x_{k + 1}$", at, (4, 9), **look)
            guess.plot(grid, oracle.denoise(grid[:, None], t)[:, 0], color=_BLACK)
            limits: dict[str, Any] = {"xlim": (-3, 3), "xticks": (-2, 0, 2)}
            bells.set(title=f"t = {t}", yticks=(), ylim=(0, 0.8), **limits)
            guess.set(xlabel="$x_t$", ylim=(-1.75, 1.75), **limits)
        axes[0].set_ylabel("likelihood")
        axes[len(ts)].set_ylabel("$E[x_0\\,|\\,x_t]$")


def plot_regression(
    centres: Tensor,
    means: Tensor,
    curves: Mapping[str, tuple[Tensor, Tensor]],
    z: Tensor,
    *,
    axes: Sequence[Axes] | None = None,
) -> None:
    """Compare averages of simulated pairs with a formula.

    Args:
        centres: of the bins, (K,) float.
        means: mean of x_0 over the pairs in each bin, (K,) float.
        curves: x and y of up to three curves, (M,) float each, by name.
        z: distance of each mean from its formula, in standard errors, (K,) float.
        axes: two Axes to draw into; None makes a figure.

    Raises:
        TypeError: if an argument is no float tensor.
        ValueError: if lengths differ, or there are not two Axes.
    """
    n = len(_validate.floats("centres", centres, (None,)))
    _validate.floats("means", means, (n,))
    _validate.floats("z", z, (n,))
    if axes is not None and len(axes) != 2:
        raise ValueError(f"axes must be two, got {len(axes)}")
    with _canvas(axes, WIDTH, 4.0, n=2) as (left, right):
        looks = zip((_RED, _GREEN, _PURPLE), ("-", "--", ":"), strict=True)
        for k, ((name, (x, y)), look) in enumerate(
            zip(curves.items(), looks, strict=False)
        ):
            left.plot(x, y, color=look[0], linestyle=look[1])
            at, how = (0.98, 0.06 + 0.11 * k), {"ha": "right", "va": "bottom"}
            left.text(*at, name, color=look[0], transform=left.transAxes, **how)
        left.plot(centres, means, "o", color=_BLUE, markersize=6)
        left.text(0.02, 0.9, "mean of a bin", color=_BLUE, transform=left.transAxes)
        left.set(xlabel="$x_t$", ylabel="$x_0$", title="Best guess of $x_0$")
        right.axhspan(-3, 3, color="0.92")
        right.axhline(0, color="0.6", linewidth=1)
        right.plot(centres, z, "o", color=_BLUE, markersize=6)
        top = max(4.5, 1.1 * float(z.abs().max()))
        right.set(xlabel="$x_t$", ylim=(-top, top), title="Bin mean − formula")
        right.set_ylabel("standard errors")


def plot_denoised(
    x_t: Tensor,
    x0_hat: Tensor,
    ts: Sequence[int],
    *,
    x0: Tensor | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Show noisy pictures, and the best guess of the clean one below each.

    Args:
        x_t: the noisy pictures, (K, C, H, W) float.
        x0_hat: the guesses, of the same shape.
        ts: their times, K ints.
        x0: the clean picture, (C, H, W), for a place in front of both rows.
        title: text above.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a tensor is of the wrong dtype.
        ValueError: if a shape is wrong or the numbers differ.
    """
    x_t, x0_hat = _pictures("x_t", x_t), _pictures("x0_hat", x0_hat)
    if x_t.shape != x0_hat.shape or len(ts) != len(x_t):
        raise ValueError(
            f"x_t, x0_hat and ts must be alike, got {tuple(x_t.shape)}, "
            f"{tuple(x0_hat.shape)} and {len(ts)} times"
        )
    # no text above the lower row: its times are those of the upper one
    above = [f"t = {t}" for t in ts]
    if x0 is not None:
        clean = _pictures("x0", x0[None])
        empty = torch.full_like(clean, torch.nan)
        x_t, x0_hat = torch.cat([clean, x_t]), torch.cat([empty, x0_hat])
        above = ["$x_0$", *above]
    beside = ["$x_t$", "$E[x_0|x_t]$"]
    _grid(torch.cat([x_t, x0_hat]), len(above), above, beside, title, ax)


def plot_steps(
    denoisers: Mapping[str, GaussianMixture],
    t: int,
    *,
    axes: Sequence[Axes] | None = None,
) -> None:
    """Show E[x_0 | x_t] on the line for several laws of the data, one panel each.

    Args:
        denoisers: up to four laws of 1-D data, by name; the last one is drawn pale
            behind the others.
        t: the time to show.
        axes: one Axes for each; None makes a figure.

    Raises:
        ValueError: if there are none or too many, data is not 1-D, t is out of range or
            the number of Axes is wrong.
    """
    n = len(denoisers)
    if not 1 <= n <= 4:
        raise ValueError(f"denoisers must be 1…4, got {n}")
    for name, denoiser in denoisers.items():
        if tuple(denoiser.data_shape) != (1,):
            shape = tuple(denoiser.data_shape)
            raise ValueError(f"denoisers[{name!r}] must be 1-D, got {shape}")
    if axes is not None and len(axes) != n:
        raise ValueError(f"axes must be {n}, one a law, got {len(axes)}")
    grid = torch.linspace(-2.4, 2.4, 961, dtype=torch.float64)[:, None]
    curves = {}
    for name, denoiser in denoisers.items():
        (t,) = _times([t], denoiser.schedule.T)
        curves[name] = denoiser.denoise(grid, t)[:, 0]
    last = curves[name]
    with _canvas(axes, WIDTH, 3.6, n=n) as axes:
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
    *,
    axes: Sequence[Axes] | None = None,
) -> None:
    """Show where noisy points are sent, and the least loss at every time.

    Two panels with arrows from x_t, on a grid, to E[x_0 | x_t], at a small and a large
    time; then the floors over t.

    Args:
        denoiser: the law of the data in the plane, for the arrows.
        points: data to draw under them, (N, 2) float.
        floors: up to four floors, by the name to write beside each.
        ts: the two times.
        axes: three Axes to draw into; None makes a figure.

    Raises:
        TypeError: if `points` is no float tensor.
        ValueError: if a shape is wrong, a time is out of range, there is no floor or
            too many, or not three Axes.
    """
    points = _validate.floats("points", points, (None, 2)).detach().cpu()
    if tuple(denoiser.data_shape) != (2,):
        shape = tuple(denoiser.data_shape)
        raise ValueError(f"denoiser must be of data (2,), in the plane, got {shape}")
    T = denoiser.schedule.T
    times = _times(ts, T)
    if len(times) != 2:
        raise ValueError(f"ts must be two times, got {len(times)}")
    if not 1 <= len(floors) <= 4:
        raise ValueError(f"floors must be 1…4, got {len(floors)}")
    if axes is not None and len(axes) != 3:
        raise ValueError(f"axes must be three, got {len(axes)}")
    side = torch.linspace(-_REACH, _REACH, 12)
    x_t = torch.cartesian_prod(side, side)
    with _canvas(axes, WIDTH, 3.9, n=3) as (small, large, curves):
        for ax, t in zip((small, large), times, strict=True):
            x0_hat = denoiser.denoise(x_t, t).cpu()
            size = 24 if len(points) <= 50 else 8
            ax.scatter(*points.T, s=size, color=_RED, linewidths=0, alpha=0.7)
            way = (x0_hat - x_t).T
            lines = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.006}
            ax.quiver(*x_t.T, *way, color=_BLUE, alpha=0.75, headwidth=5, **lines)
            reach = 1.08 * _REACH
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            ax.set(xticks=(), yticks=(), title=f"$x_t$ → $E[x_0|x_t]$ at t = {t}")
            ax.title.set_size(13)
        _draw_floors(curves, floors, times, T)


def _draw_floors(
    ax: Axes, floors: Mapping[str, LossFloor], times: Sequence[int], T: int
) -> None:
    """Draw floors over t, with a dotted line at each of the times."""
    top = 1.0
    for t in times:
        ax.axvline(t, color="0.6", linestyle=":", linewidth=1.5)
    colours = [_BLACK, _RED, _GREEN, _PURPLE]
    for k, (name, floor) in enumerate(floors.items()):
        colour = colours[k]
        ax.plot(floor.t, floor.per_t, color=colour)
        top = max(top, 1.05 * min(float(floor.per_t.max()), 1.5))
        label = f"{name}: mean {floor.mean:.3f}"
        at, how = (0.98, 0.98 - 0.085 * k), {"ha": "right", "va": "top"}
        look: dict[str, Any] = {"color": colour, "fontsize": _SMALL}
        ax.text(*at, label, transform=ax.transAxes, **look, **how)
    ax.set(xlabel="t", xlim=(0, T), ylim=(0, top + 0.1 * max(0, len(floors) - 1)))
    ax.set_title("least possible loss", size=13)


def _times(ts: Sequence[int], T: int) -> list[int]:
    """Return the times as ints in 1…T, at least one."""
    times = [_validate.integer("ts", t, 1, T) for t in ts]
    if not times:
        raise ValueError("ts must hold at least one time, got none")
    return times


assert math.isfinite(_REACH)
