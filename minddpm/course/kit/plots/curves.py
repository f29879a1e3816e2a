"""Figures that show curves and points."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots.style import (
    COLOURS,
    SMALL,
    WIDTH,
    class_names,
    frame,
    write,
)
from minddpm.schedule import Schedule


def plot_schedules(
    schedules: Mapping[str, Schedule], *, axes: Sequence[Axes] | None = None
) -> None:
    """Compare noise schedules: what a step adds, what is left, and their ratio.

    Three panels over t/T: β_t; √ᾱ_t; log10 of the signal-to-noise ratio ᾱ_t / (1−ᾱ_t).

    Args:
        schedules: up to six schedules, by the name to write beside their curves.
        axes: three Axes to draw into; None makes a figure.

    Raises:
        TypeError: if a value is no Schedule.
        ValueError: if there are none, or more than six, or not three Axes.
    """
    for name, schedule in schedules.items():
        if not isinstance(schedule, Schedule):
            kind = type(schedule).__name__
            raise TypeError(f"schedules[{name!r}] must be a Schedule, got {kind}")
    if not 1 <= len(schedules) <= len(COLOURS):
        raise ValueError(f"schedules must be 1…{len(COLOURS)}, got {len(schedules)}")
    if axes is not None and len(axes) != 3:
        raise ValueError(f"axes must be three, one a panel, got {len(axes)}")
    with frame(axes, WIDTH, 3.6, n=3) as (beta, signal, snr):
        ends = []
        for schedule, colour in zip(schedules.values(), COLOURS, strict=False):
            tables = {name: v.numpy() for name, v in schedule.tables().items()}
            u = np.arange(schedule.T + 1) / schedule.T
            ratio = log_snr(schedule)[1:]
            beta.plot(u[1:], tables["betas"][1:], color=colour)
            signal.plot(u, tables["sqrt_alpha_bars"], color=colour)
            snr.plot(u[1:], ratio, color=colour)
            ends.append(float(ratio[-1]))
        beta.set(title=r"noise added, $\beta_t$", yscale="log")
        signal.set(title=r"signal left, $\sqrt{\bar{\alpha}_t}$", ylim=(0, 1.02))
        snr.set(title=r"$\log_{10}$ SNR$_t$")
        for ax in (beta, signal, snr):
            ax.set(xlabel="$t\\,/\\,T$", xlim=(0, 1), xticks=(0, 0.5, 1))
        # names at the right, at the height of their curve's end but a line apart
        low, high = snr.get_ylim()
        y = -math.inf
        for k in np.argsort(ends):
            y = max(ends[k], y + 0.1 * (high - low))
            name = list(schedules)[k]
            write(snr, name, (1, y), (7, 0), color=COLOURS[k], ha="left")


def log_snr(schedule: Schedule) -> np.ndarray:
    """Return log₁₀ of the signal-to-noise ratio ᾱ_t / (1−ᾱ_t).

    Args:
        schedule: the schedule.

    Returns:
        (T+1,) float64; entry 0 is infinite.
    """
    return schedule.snr.double().log10().numpy()


def plot_points(
    points: Tensor,
    *,
    density: Callable[[Tensor], Tensor] | None = None,
    labels: Tensor | None = None,
    names: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Show points in the plane, over their density if it is known.

    Args:
        points: (N, 2) float.
        density: maps (M, 2) float32 positions to (M,) densities; drawn as a heat map.
        labels: (N,) int64 classes, told by colour and a name beside each group. Colours
            repeat after six.
        names: name of each class, starting with class 0; None uses the number.
        title: text above.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a dtype is wrong.
        ValueError: if a shape is wrong, there is no point, one is not finite, or a
            class has no name.
    """
    points = _validate.floats("points", points, (None, 2)).detach().cpu().float()
    if len(points) == 0 or not points.isfinite().all():
        bad = int((~points.isfinite()).any(1).sum())
        raise ValueError(
            f"points must be at least one and finite, got {len(points)} points, "
            f"{bad} of them NaN or infinite"
        )
    classes: dict[int, str] = {0: ""}
    if labels is None:
        labels = torch.zeros(len(points), dtype=torch.int64)
    else:
        labels, classes = class_names(labels, len(points), names)
    low, high = points.amin(0), points.amax(0)
    centre, half = (low + high) / 2, float((high - low).max()) * 0.6 or 1.0
    left, bottom, right, top = torch.cat([centre - half, centre + half]).tolist()
    heat = None
    if density is not None:
        sides = torch.linspace(left, right, 160), torch.linspace(bottom, top, 160)
        where = torch.cartesian_prod(*sides)  # x by x, y runs fastest
        heat = density(where).detach().cpu().reshape(160, 160).T.numpy()
    with frame(ax, 5.4, 5.0) as (ax,):
        if heat is not None:
            ax.imshow(
                heat,
                cmap="Greys",
                vmin=0,
                vmax=1.5 * heat.max(),  # grey at most, so that points stand out
                extent=(left, right, bottom, top),
                origin="lower",
                interpolation="bilinear",
            )
        size = float(np.clip(8000 / len(points), 4, 40))
        for label, name in classes.items():
            own, colour = points[labels == label], COLOURS[label % len(COLOURS)]
            x, y = own.numpy().T
            ax.scatter(x, y, s=size, color=colour, alpha=0.6, linewidths=0)
            middle = own.median(dim=0).values
            radius = (own - middle).norm(dim=1).quantile(0.98)
            outward = (middle - centre) / (middle - centre).norm().clamp(min=1e-6)
            beyond = middle + (radius + 0.06 * half) * outward
            write(ax, name, tuple(beyond.tolist()), weight="bold", color=colour)
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        ax.set_title(title or "")


def plot_loss(
    losses: Tensor | Sequence[float],
    *,
    floor: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> None:
    """Show a training curve: the loss of each step thin, its running mean thick.

    Args:
        losses: loss of each step, (steps,), such as `history.losses`.
        floor: the least loss that any network can reach, drawn as a line.
        title: text above.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if the floor is no number.
        ValueError: if `losses` is empty or not 1-D, or the floor is negative.
    """
    losses = torch.as_tensor(losses, dtype=torch.float64).detach().cpu()
    if losses.ndim != 1 or len(losses) == 0:
        raise ValueError(
            f"losses must be (steps,) with at least one step, got {tuple(losses.shape)}"
        )
    if floor is not None:
        floor = _validate.real("floor", floor, 0.0, math.inf)
    n = len(losses)
    good = int(losses.isfinite().long().cumprod(0).sum())  # steps before a NaN
    finite = losses[:good].numpy()
    window = max(1, n // 40)
    total = np.cumsum([0.0, *finite])
    mean = (total[window:] - total[:-window]) / window
    steps = np.arange(1, n + 1)
    with frame(ax, WIDTH, 4.0) as (ax,):
        ax.plot(steps[:good], finite, color=COLOURS[0], alpha=0.5, linewidth=0.8)
        middle = steps[: len(mean)] + (window - 1) / 2  # of each window: no lag
        ax.plot(middle, mean, color=COLOURS[0])
        # a few spikes may leave the frame, the curve may not
        top = max([*np.quantile(finite, [0.995]), *mean, floor or 0]) if good else 1
        ax.set(xlabel="step", ylabel="loss", xlim=(0, n + 1), ylim=(0, 1.1 * top or 1))
        ax.set_title(title or "")
        if window > 1:
            key = f"thin: each step\nthick: mean of {window} steps"
            at = (n, 1.08 * top)
            small: dict[str, Any] = {"fontsize": SMALL, "color": COLOURS[0]}
            write(ax, key, at, ha="right", va="top", **small)
        if floor is not None:
            ax.axhline(floor, color=COLOURS[1])
            va = "center" if floor > 0.1 * top else "bottom"
            text, at = f"floor\n{floor:.3g}", (n + 1, floor)
            write(ax, text, at, (8, 0), color=COLOURS[1], ha="left", va=va)
        if good < n:
            ax.axvline(good + 1, color=COLOURS[4], linestyle="--")
            text = f"NaN or infinite\nfrom step {good + 1}"
            write(ax, text, (good + 1, 0.5 * top), (-6, 0), ha="right")
