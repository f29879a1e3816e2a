"""The figures of notebook 07: walking back. One call, one figure; see `plots`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points
_PATHS = 6
_FEW = 4  # panels in a row


def plot_walks(path: Tensor, density: Callable[[Tensor, int], Tensor]) -> None:
    """Show walks from noise to data over the density of x_t, and where they end.

    Args:
        path: x_T…x_0 of N walks in one dimension, (T+1, N) float, noise first.
        density: takes positions, (M,) float, and a time in 0…T; gives the density of
            x_t there, (M,).

    Raises:
        TypeError: if `path` is no float tensor.
        ValueError: if `path` is not 2-D, or has fewer than two rows.
    """
    path = _validate.floats("path", path, (None, None)).detach().cpu()
    if len(path) < 2:
        raise ValueError(f"path must hold x_T…x_0, got {len(path)} row")
    T = len(path) - 1
    low, high = float(path.min()), float(path.max())
    x = torch.linspace(low, high, 300)
    heat = torch.stack([density(x, t) for t in range(T, -1, -1)], dim=1)
    with house_style():
        figure = plt.figure(figsize=(WIDTH, 4.2))
        walks, end = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
        walks.imshow(
            (
                heat / heat.max(0, keepdim=True).values
            ).numpy(),  # each t up to the same grey
            cmap="Greys",
            vmin=0,
            vmax=1.8,  # grey at most, so that paths stand out
            extent=(T, 0, low, high),
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
        )
        times = np.arange(T, -1, -1)
        for k in range(min(_PATHS, path.shape[1])):
            walks.plot(times, path[:, k], color=COLOURS[k], linewidth=1.5)
        walks.set(xlabel="t", ylabel="$x_t$", xlim=(T, 0), ylim=(low, high))
        walks.set_title(f"{min(_PATHS, path.shape[1])} walks over the density of $x_t$")
        bars: dict[str, Any] = {"density": True, "orientation": "horizontal"}
        end.hist(path[-1].numpy(), 60, color=_SKY, alpha=0.6, **bars)
        end.plot(density(x, 0), x, color=_BLACK)
        end.set(title="$x_0$", xticks=())
        how: dict[str, Any] = {"transform": end.transAxes, "ha": "right"}
        end.text(0.98, 0.14, "walks", color=_BLUE, **how)
        end.text(0.98, 0.04, "data", color=_BLACK, **how)


def plot_output_std(
    grid: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    Ts: Sequence[int],
    measured: Mapping[str, Sequence[float]],
    *,
    truth: float,
    n: int,
) -> None:
    """Show how wide the output is for the two variances, exactly and measured.

    Args:
        grid: numbers of steps of the curves, rising.
        curves: "posterior" and "beta": the exact standard deviation at each.
        Ts: numbers of steps that were simulated.
        measured: for the same names, the standard deviation measured at each.
        truth: that of the data.
        n: number of draws behind each measured one; the bars are two standard errors.

    Raises:
        TypeError: if n is no int or `truth` no number.
        ValueError: if names or lengths do not fit.
    """
    n = _validate.integer("n", n, 2)
    truth = _validate.real("truth", truth, 0.0, float("inf"))
    colours = {"beta": _RED, "posterior": _BLUE}
    names = {"beta": r"$\sigma_t^2 = \beta_t$"}
    names["posterior"] = r"$\sigma_t^2 = \tilde\beta_t$"
    for name, given in (("curves", curves), ("measured", measured)):
        if set(given) != set(colours):
            raise ValueError(f"{name} must be 'posterior' and 'beta', got {[*given]}")
    with house_style():
        _, ax = plt.subplots(figsize=(WIDTH, 4.4))
        ends = (grid[0], grid[-1])
        ax.plot(ends, (truth, truth), color=_BLACK, linestyle="--", linewidth=1.8)
        for name, colour in colours.items():
            exact, dots = np.array(curves[name]), np.array(measured[name])
            if len(exact) != len(grid) or len(dots) != len(Ts):
                raise ValueError(
                    f"{name} must have {len(grid)} exact and {len(Ts)} measured "
                    f"values, got {len(exact)} and {len(dots)}"
                )
            ax.plot(grid, exact, color=colour)
            bars: dict[str, Any] = {"fmt": "o", "markersize": 7, "capsize": 4}
            error = 2 * dots / (2 * n) ** 0.5
            ax.errorbar(Ts, dots, error, color=colour, elinewidth=1.8, **bars)
            where: dict[str, Any] = {"color": colour, "va": "center"}
            ax.text(grid[0] * 0.96, exact[0], names[name], ha="right", **where)
        ax.text(grid[0] * 0.96, truth, "data", ha="right", va="center", color=_BLACK)
        ax.set(xscale="log", xlabel="number of steps T (log scale)")
        ax.set(xlim=(grid[0] * 0.62, grid[-1] * 1.05))
        ticks = [T for T in (25, 50, 100, 200, 400, 1000) if grid[0] <= T <= grid[-1]]
        ax.set_xticks(ticks, list(map(str, ticks)))
        ax.set_xticks([], minor=True)
        ax.set_title("standard deviation of the output, at perfect noise prediction")


def plot_samples(samples: Mapping[str, Tensor], data: Tensor) -> None:
    """Show sets of points beside each other, over the data.

    Args:
        samples: one to four sets of points, (N, 2) float each, by name.
        data: what they should look like, (M, 2) float.

    Raises:
        TypeError: if points are no float tensor.
        ValueError: if a shape is wrong, or there are no sets or too many.
    """
    if not 1 <= len(samples) <= _FEW:
        raise ValueError(f"samples must be 1…{_FEW} sets, got {len(samples)}")
    data = _validate.floats("data", data, (None, 2)).detach().cpu()
    with house_style():
        size = (WIDTH, 0.9 * WIDTH / max(2, len(samples)))
        axes = plt.subplots(1, len(samples), figsize=size, squeeze=False)[1][0]
        for ax, (name, x) in zip(axes, samples.items(), strict=True):
            _cloud(ax, f"samples[{name!r}]", x, data)
            ax.set_title(name)


def _cloud(ax: Axes, argument: str, x: Tensor, data: Tensor) -> None:
    """Draw points over paler data, in the frame of the data."""
    x = _validate.floats(argument, x, (None, 2)).detach().cpu()
    ax.scatter(data[:, 0], data[:, 1], s=14, color="0.8", linewidths=0)
    ax.scatter(x[:, 0], x[:, 1], s=4, color=_BLUE, alpha=0.8, linewidths=0)
    centre = (data.amax(0) + data.amin(0)) / 2
    half = 0.57 * (data.amax(0) - data.amin(0))
    (left, low), (right, high) = (centre - half).tolist(), (centre + half).tolist()
    ax.set(xlim=(left, right), ylim=(low, high), aspect="equal", xticks=(), yticks=())
    ax.set_axis_off()


def plot_outlines(rows: Mapping[str, Mapping[int, Tensor]], data: Tensor) -> None:
    """Show samples for several numbers of steps, one row for each kind of schedule.

    Args:
        rows: by name, samples (N, 2) float for each number of steps; the same numbers
            in every row, two to six.
        data: what they should look like, (M, 2) float.

    Raises:
        TypeError: if points are no float tensor.
        ValueError: if a shape is wrong, or the numbers of steps differ.
    """
    data = _validate.floats("data", data, (None, 2)).detach().cpu()
    columns = [list(row) for row in rows.values()]
    if not columns or any(c != columns[0] for c in columns):
        raise ValueError(f"rows must have the same numbers of steps, got {columns}")
    if not 2 <= len(columns[0]) <= 6:
        raise ValueError(f"rows must have 2…6 numbers of steps, got {columns[0]}")
    with house_style():
        shape = len(rows), len(columns[0])
        size = (WIDTH, 1.65 * len(rows) + 0.4)
        _, axes = plt.subplots(*shape, figsize=size, squeeze=False)
        for line, (name, row) in zip(axes, rows.items(), strict=True):
            for ax, (T, x) in zip(line, row.items(), strict=True):
                _cloud(ax, f"rows[{name!r}][{T}]", x, data)
            at: dict[str, Any] = {"transform": line[0].transAxes, "rotation": 90}
            line[0].text(-0.08, 0.5, name, ha="right", va="center", **at)
        for ax, T in zip(axes[0], columns[0], strict=True):
            ax.set_title(f"T = {T}")


def plot_shares(shares: Mapping[str, Tensor], truth: Tensor, *, n: int) -> None:
    """Show which share of the samples falls into each class, beside the data's.

    Args:
        shares: by name, two or three sets of shares, (K,) float each.
        truth: the data's, (K,) float.
        n: number of samples behind each set; the bars are two standard errors.

    Raises:
        TypeError: if shares are no float tensor, or n no int.
        ValueError: if lengths differ, or there are no sets or too many.
    """
    n = _validate.integer("n", n, 2)
    truth = _validate.floats("truth", truth, (None,)).detach().cpu()
    if not 1 <= len(shares) < _FEW:
        raise ValueError(f"shares must be 1…{_FEW - 1} sets, got {len(shares)}")
    pretty = {"x̂_0": r"$\hat{x}_0$", "x_t": "$x_t$"}
    K, width = len(truth), 0.75 / len(shares)
    with house_style():
        _, ax = plt.subplots(figsize=(WIDTH, 4.0))
        for k, ((name, values), colour) in enumerate(
            zip(shares.items(), (_SKY, _GREEN, _RED), strict=False)
        ):
            p = _validate.floats(f"shares[{name!r}]", values, (K,)).detach().cpu()
            at = np.arange(K) + (k - (len(shares) - 1) / 2) * width
            error = 2 * (p * (1 - p) / n).sqrt().numpy()
            lines: dict[str, Any] = {"elinewidth": 1.4, "ecolor": _BLACK}
            ax.bar(
                at, p.numpy(), 0.92 * width, yerr=error, color=colour, error_kw=lines
            )
            where: dict[str, Any] = {"transform": ax.transAxes, "va": "top"}
            ax.text(
                0.01 + 0.27 * k,
                0.99,
                f"clamp {pretty.get(name, name)}",
                color=colour,
                **where,
            )
        for k, share in enumerate(truth.tolist()):
            ax.plot((k - 0.45, k + 0.45), (share, share), color=_BLACK)
        ax.text(0.99, 0.99, "line: data", ha="right", **where)
        top = max(float(truth.max()), *(float(p.max()) for p in shares.values()))
        ax.set(xticks=range(K), xlabel="class", ylabel="share", ylim=(0, 1.35 * top))


def plot_paths(paths: Mapping[str, Tensor], data: Tensor) -> None:
    """Show walks in the plane from their starts (black) to their ends (orange).

    Args:
        paths: by name, one or two sets of walks, (K+1, N, 2) float each, the start
            first.
        data: what they walk to, (M, 2) float.

    Raises:
        TypeError: if a set is no float tensor.
        ValueError: if a shape is wrong, or there are no sets or too many.
    """
    data = _validate.floats("data", data, (None, 2)).detach().cpu()
    if not 1 <= len(paths) <= 2:
        raise ValueError(f"paths must be 1 or 2 sets, got {len(paths)}")
    walked = max(float(torch.as_tensor(walks).abs().max()) for walks in paths.values())
    reach = max(1.2 * float(data.abs().max()), 1.03 * walked)
    shades = (_BLUE, _GREEN, _PURPLE, _SKY)
    with house_style():
        size = (WIDTH, 4.6)
        axes = plt.subplots(1, len(paths), figsize=size, squeeze=False)[1][0]
        for ax, (name, given) in zip(axes, paths.items(), strict=True):
            walks = _validate.floats(f"paths[{name!r}]", given, (None, None, 2))
            walks = walks.detach().cpu()
            ax.scatter(data[:, 0], data[:, 1], s=6, color="0.85", linewidths=0)
            for k in range(walks.shape[1]):
                ax.plot(*walks[:, k].T, color=shades[k % 4], linewidth=1.5)
            start, end = walks[0].T, walks[-1].T
            ax.scatter(start[0], start[1], s=90, color=_BLACK, zorder=3)
            ends: dict[str, Any] = {"edgecolors": "white", "zorder": 3}
            ax.scatter(end[0], end[1], s=110, color=_RED, **ends)
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            ax.set(title=name, xticks=(), yticks=())
            ax.set_axis_off()
