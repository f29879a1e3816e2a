"""The figures of notebook 01: the forward chain. One call, one figure; see `plots`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style
from minddpm.course.kit.plots.style import frame

Density = Callable[[Tensor, Tensor], Tensor]

_PATHS = 6


def plot_chain(
    path: Tensor, density: Density, pictures: Tensor, *, title: str | None = None
) -> None:
    """Show sample paths over the heat map of q(x_t), and one picture on its way.

    Both parts share the axis of t: a picture stands below its time.

    Args:
        path: x_0…x_T of N points in one dimension, (T+1, N) float.
        density: maps (M,) float32 positions and (M,) int64 times to (M,) densities.
        pictures: x_0…x_T of one grey picture, (T+1, H, W) float; −1 is black, 1 white,
            and values beyond are cut off.
        title: text above.

    Raises:
        TypeError: if `path` or `pictures` is no float tensor.
        ValueError: if a shape is wrong.
    """
    path = _validate.floats("path", path, (None, None)).detach().cpu()
    pictures = _validate.floats("pictures", pictures, (len(path), None, None))
    T = len(path) - 1
    x, heat = _heat(path, density)
    shown = np.linspace(0, T, 9).round().astype(int)
    with house_style():
        figure = plt.figure(figsize=(WIDTH, 5.4))
        axes = figure.subplots(2, 1, height_ratios=[3.4, 1])
    with frame(list(axes), WIDTH, 5.4, n=2) as (above, below):
        above.imshow(
            heat,
            cmap="Greys",
            vmin=0,
            vmax=1.5 * heat.max(),  # grey at most, so that paths stand out
            extent=(0, T, x[0], x[-1]),
            origin="lower",
            aspect="auto",
            interpolation="bilinear",
        )
        _paths(above, path)
        margin = T / 16  # half a picture: each is centred below its time
        above.set(xlim=(-margin, T + margin), ylim=(x[0], x[-1]), ylabel="$x_t$")
        above.set_xticks(shown, ["$t$ = 0" if t == 0 else f"{t}" for t in shown])
        above.set_title(title or "")
        half = 0.46 * T / 8
        for t in shown:
            below.imshow(
                pictures[t].detach().cpu().clamp(-1, 1).numpy(),
                cmap="gray",
                vmin=-1,
                vmax=1,
                extent=(t - half, t + half, 0, 1),
                aspect="auto",
            )
        below.set(xlim=(-margin, T + margin), ylim=(0, 1))
        # square pixels: a picture is as high as it is wide
        below.set_box_aspect(2 * half / (T + 2 * margin))
        below.set_axis_off()


def plot_laws(
    path: Tensor, density: Density, times: Sequence[int], *, title: str | None = None
) -> None:
    """Show histograms of the chain at a few times, and the exact density over each.

    Args:
        path: x_0…x_T of N points in one dimension, (T+1, N) float.
        density: maps (M,) float32 positions and (M,) int64 times to (M,) densities.
        times: up to five times in 0…T.
        title: text above.

    Raises:
        TypeError: if `path` is no float tensor, or a time no int.
        ValueError: if `path` is not 2-D, a time is out of range, or there are none or
            more than five.
    """
    path = _validate.floats("path", path, (None, None)).detach().cpu()
    times = _times(times, len(path) - 1)
    x = torch.linspace(*_limits(path), 400)
    bins = np.linspace(float(x[0]), float(x[-1]), 71).tolist()
    with frame(None, WIDTH, 3.0, n=len(times)) as axes:
        for t, ax in zip(times, axes, strict=True):
            bars: dict[str, Any] = {"color": COLOURS[5], "alpha": 0.55}
            ax.hist(path[t].numpy(), bins, density=True, **bars)
            ax.plot(x, density(x, torch.full((400,), t)), color=COLOURS[4])
            ax.set(title=f"$t$ = {t}", xlabel="$x_t$", yticks=[])
            ax.spines.left.set_visible(False)
        here = axes[-1].transAxes
        for text, y, colour in (
            ("simulated", 0.98, COLOURS[0]),
            ("exact", 0.87, COLOURS[4]),
        ):
            axes[-1].text(
                1, y, text, color=colour, transform=here, ha="right", va="top"
            )
        axes[-1].set_ylim(top=1.35 * axes[-1].get_ylim()[1])
        axes[0].figure.suptitle(title or "")


def plot_clouds(
    path: Tensor, times: Sequence[int], *, title: str | None = None
) -> None:
    """Show a cloud of points in the plane at a few times of the chain.

    Args:
        path: x_0…x_T of N points, (T+1, N, 2) float.
        times: up to five times in 0…T.
        title: text above.

    Raises:
        TypeError: if `path` is no float tensor, or a time no int.
        ValueError: if the shape is wrong, a time is out of range, or there are none or
            more than five.
    """
    path = _validate.floats("path", path, (None, None, 2)).detach().cpu()
    times = _times(times, len(path) - 1)
    with frame(None, WIDTH, 2.5, n=len(times)) as axes:
        for t, ax in zip(times, axes, strict=True):
            x, y = path[t].T.numpy()
            ax.scatter(x, y, s=3, color=COLOURS[0], linewidths=0)
            ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", title=f"$t$ = {t}")
            ax.set(xticks=[-2, 0, 2], yticks=[-2, 0, 2])
            if ax is not axes[0]:
                ax.set_yticklabels([])
        axes[0].figure.suptitle(title or "")


def plot_ends(
    ends: Mapping[str, tuple[Tensor, Tensor]],
    names: tuple[str, str],
    *,
    title: str | None = None,
) -> None:
    """Compare where chains end that begin at two different points.

    Args:
        ends: up to three pairs of samples of x_T, (N,) float each, one from each
            starting point, by the title of their panel.
        names: what to write for the first and for the second of a pair.
        title: text above.

    Raises:
        TypeError: if a sample is no float tensor.
        ValueError: if a sample is not 1-D, or there are none or more than three pairs.
    """
    if not 1 <= len(ends) <= 3:
        raise ValueError(f"ends must be one to three pairs, got {len(ends)}")
    bins = np.linspace(-4, 4, 49).tolist()
    with frame(None, WIDTH, 3.6, n=len(ends)) as axes:
        top = 0.0
        for (name, pair), ax in zip(ends.items(), axes, strict=True):
            for k, sample in enumerate(pair):
                values = _validate.floats(f"ends[{name!r}]", sample, (None,)).cpu()
                heights = ax.hist(
                    values.numpy(),
                    bins,
                    density=True,
                    histtype="step",
                    linewidth=2.2,
                    color=COLOURS[k],
                )[0]
                top = max(top, float(np.max(heights)))
            ax.set(title=name, xlabel="$x_T$", xlim=(-4, 4), yticks=[])
            ax.spines.left.set_visible(False)
        for ax in axes:
            ax.set_ylim(0, 1.3 * top)
            for k, (text, side) in enumerate(
                zip(names, ("left", "right"), strict=True)
            ):
                where: dict[str, Any] = {
                    "transform": ax.transAxes,
                    "ha": side,
                    "va": "top",
                }
                ax.text(k, 0.98, text, color=COLOURS[k], **where)
        axes[0].figure.suptitle(title or "")


def _heat(path: Tensor, density: Density) -> tuple[np.ndarray, np.ndarray]:
    """Return positions, and the scaled density by position and time."""
    T = len(path) - 1
    x = torch.linspace(*_limits(path), 161)
    times = torch.linspace(0, T, min(T, 200) + 1).round().long()
    grid = torch.cartesian_prod(torch.arange(len(times)), torch.arange(len(x)))
    values = density(x[grid[:, 1]], times[grid[:, 0]]).detach().cpu()
    heat = values.reshape(len(times), len(x)).T.numpy()
    # each column by its own root of the peak, or only the first would show anything
    heat = heat / np.sqrt(heat.max(axis=0, keepdims=True))
    return x.numpy(), heat


def _limits(path: Tensor) -> tuple[float, float]:
    high = float(path.abs().max().clamp(max=3.4))
    return -high, high


def _paths(ax: Axes, path: Tensor) -> None:
    """Draw a few paths, chosen to start evenly spread over the data."""
    rank = path[0].argsort()
    n = min(_PATHS, len(rank))
    chosen = rank[torch.linspace(0.05, 0.95, n).mul(len(rank)).long()]
    for colour, k in zip(COLOURS, chosen, strict=False):
        ax.plot(path[:, k].numpy(), color=colour, linewidth=1.3)


def _times(times: Sequence[int], T: int) -> list[int]:
    times = [_validate.integer("times", t, 0, T) for t in times]
    if not 1 <= len(times) <= 5:
        raise ValueError(f"times must be one to five, got {len(times)}")
    return times
