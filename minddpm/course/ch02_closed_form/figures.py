"""The figures of notebook 02: the closed form, and where a schedule ends."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH
from minddpm.course.kit.plots.curves import log_snr
from minddpm.course.kit.plots.style import SMALL, frame, write
from minddpm.schedule import Schedule

_BINS = 30
_RED = "#b3261e"


def plot_chain_against_formula(
    chain: Mapping[int, Tensor],
    laws: Mapping[int, tuple[float, float]],
    *,
    title: str | None = None,
) -> None:
    """Compare histograms of simulated paths with Gaussians, 4 standard errors around.

    With n paths, a bar that should hold the share p of them has the standard error
    √(p (1−p) / n). Bars that leave the band of four are drawn in vermilion and counted.

    Args:
        chain: for each time t, where the paths are, (N,) float.
        laws: for the same times, mean and standard deviation that a formula gives.
        title: text above.

    Raises:
        TypeError: if the paths are no float tensors, or a number is none.
        ValueError: if the times differ or there are none, a shape is wrong, or a
            standard deviation is not positive.
    """
    if not chain or chain.keys() != laws.keys():
        raise ValueError(
            "chain and laws must be for the same times, at least one; "
            f"got {list(chain)} and {list(laws)}"
        )
    with frame(None, WIDTH, 3.7, n=len(chain)) as axes:
        for (t, x), ax in zip(chain.items(), axes, strict=True):
            x = _validate.floats("chain", x, (None,)).detach().cpu().double()
            mean = _validate.real("mean", float(laws[t][0]), -math.inf, math.inf)
            std = _validate.real("std", float(laws[t][1]), 0, math.inf)
            if std == 0:
                raise ValueError(
                    "std must be positive, got 0; at t = 0 nothing spreads"
                )
            outside = _bars_and_band(ax, x, mean, std)
            ax.set(title=f"$t$ = {t}", xlabel="$x_t$", yticks=[])
            ax.spines.left.set_visible(False)
            at: dict[str, Any] = {"transform": ax.transAxes, "ha": "left", "va": "top"}
            text, colour = (
                f"{outside} of {_BINS}\noutside",
                COLOURS[1 if outside else 4],
            )
            ax.text(0, 1, text, color=colour, fontsize=SMALL, **at)
        key: dict[str, Any] = {
            "transform": axes[-1].transAxes,
            "ha": "right",
            "va": "top",
        }
        for text, y, colour in (
            ("chain", 1, COLOURS[0]),
            ("formula\n± 4 SE", 0.9, "0.3"),
        ):
            axes[-1].text(1, y, text, color=colour, fontsize=SMALL, **key)
        axes[0].figure.suptitle(title or "")


def _bars_and_band(ax: Axes, x: Tensor, mean: float, std: float) -> int:
    """Draw shares of x, their band around N(mean, std²); return how many leave it."""
    half = 3.6 * float(x.std())
    edges = torch.linspace(
        float(x.mean()) - half, float(x.mean()) + half, _BINS + 1, dtype=torch.float64
    )
    n = len(x)
    share = torch.histogram(x, edges).hist / n
    p = torch.special.ndtr((edges - mean) / std).diff()
    error = (p * (1 - p) / n).sqrt()
    outside = (share - p).abs() > 4 * error
    for chosen, colour in ((~outside, COLOURS[5]), (outside, COLOURS[1])):
        left, height = edges[:-1][chosen].numpy(), share[chosen].numpy()
        width = float(edges[1] - edges[0])
        ax.bar(left, height, width, align="edge", color=colour, alpha=0.65, zorder=1)
    low, high = (p - 4 * error).clamp(min=0), p + 4 * error
    ax.stairs(
        high.numpy(), edges.numpy(), baseline=low.numpy(), fill=True, color="0.35"
    ).set(alpha=0.55, zorder=2)
    ax.stairs(p.numpy(), edges.numpy(), color=COLOURS[4], linewidth=1.2, zorder=3)
    # room for the count above the left side; a formula far too narrow may leave
    ax.set_ylim(0, 1.3 * min(float(high.max()), 2 * float(share.max())))
    return int(outside.sum())


def plot_noise_budget(
    schedule: Schedule, *, groups: int = 4, ax: Axes | None = None
) -> None:
    """Show of what the variance of x_t consists: x_0's part, and each step's noise.

    For x_0 of variance 1: the share ᾱ_t is x_0's, and the noise of step s ≤ t has the
    share β_s ᾱ_t/ᾱ_s. Steps are put together in groups.

    Args:
        schedule: the schedule.
        groups: how many groups of steps to tell apart, 1…4.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if `groups` is no int, or `schedule` no Schedule.
        ValueError: if `groups` is out of range or larger than T.
    """
    if not isinstance(schedule, Schedule):
        kind = type(schedule).__name__
        raise TypeError(f"schedule must be a Schedule, got {kind}")
    T = schedule.T
    groups = _validate.integer("groups", groups, 1, min(4, T))
    left = schedule.alpha_bars.double().numpy()
    # the noise of steps up to s makes the variance (1 − ᾱ_s) at s; at t ≥ s there is
    # ᾱ_t/ᾱ_s of it left
    ends = np.linspace(0, T, groups + 1).round().astype(int)
    times = np.arange(T + 1)
    shares, names = [left], ["$x_0$"]
    below = np.zeros(T + 1)
    for first, last in pairwise(ends):
        s = np.minimum(times, last)
        total = (1 - left[s]) * left / left[s]
        shares.append(total - below)
        below = total
        names.append(f"noise of\nsteps {first + 1}–{last}")
    colours = ["0.82", *(COLOURS[k] for k in (5, 0, 2, 3))]
    with frame(ax, WIDTH, 3.8) as (ax,):
        ax.stackplot(times, shares, colors=colours, edgecolor="white", linewidth=0.8)
        tops = [np.zeros(T + 1), *np.cumsum(shares, axis=0)]
        for k, name in enumerate(names):
            t, height, width = _widest(tops[k], tops[k + 1])
            if width > 0.12 * T:
                ink = "black" if k < 2 else "white"
                write(ax, name, (t, height), color=ink, fontsize=SMALL)
        ax.set(xlim=(0, T), ylim=(0, 1), xlabel="$t$", ylabel="share of the variance")


def _widest(below: np.ndarray, above: np.ndarray) -> tuple[float, float, int]:
    """Return middle, height and width of a band's widest place, for its name."""
    found = []
    for height in np.linspace(0.1, 0.9, 21):
        (inside,) = np.nonzero((below < height) & (height < above))
        if len(inside):
            found.append((len(inside), float(inside.mean()), float(height)))
    width, middle, height = max(found, default=(0, 0.0, 0.0))
    return middle, height, width


def plot_log_odds(schedules: Mapping[str, Schedule], *, ax: Axes | None = None) -> None:
    """Show ᾱ_t, SNR_t and the signal left at the last step, all on one axis.

    SNR_t = ᾱ_t / (1−ᾱ_t), so one height is both: read SNR_t on the left scale and ᾱ_t
    on the right one. The dot at the end has √ᾱ_T beside it.

    Args:
        schedules: up to four schedules, by name.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a value is no Schedule.
        ValueError: if there are none, or more than four.
    """
    if not 1 <= len(schedules) <= 4:
        raise ValueError(f"schedules must be 1…4, got {len(schedules)}")
    for name, schedule in schedules.items():
        if not isinstance(schedule, Schedule):
            kind = type(schedule).__name__
            raise TypeError(f"schedules[{name!r}] must be a Schedule, got {kind}")
    with frame(ax, WIDTH, 4.4) as (ax,):
        ends = []
        for schedule, colour in zip(schedules.values(), COLOURS, strict=False):
            y = log_snr(schedule)[1:]
            u = np.arange(1, schedule.T + 1) / schedule.T
            ax.plot(u, y, color=colour, clip_on=False)
            ax.plot(1, y[-1], "o", color=colour, markersize=9, clip_on=False, zorder=5)
            ends.append(float(y[-1]))
            below = np.flatnonzero(y < 0)
            if len(below):
                ax.plot(u[below[0]], 0, "o", color=colour, markersize=7)
        low, high = min(-5.0, *ends) - 0.9, 4.7
        previous = -math.inf
        for k in np.argsort(ends):
            previous = max(ends[k], previous + 0.075 * (high - low))
            name, schedule = list(schedules.items())[k]
            end = float(schedule.sqrt_alpha_bars[-1])
            digits = np.format_float_positional(end, 2, fractional=False, trim="-")
            text = f"{name}: $\\sqrt{{\\bar{{\\alpha}}_T}}$ = {digits}"
            how = {"color": COLOURS[k], "ha": "right"}
            write(ax, text, (0.975, previous), (-4, 0), **how)
        ax.axhline(0, color="0.6", linewidth=1, zorder=0)
        text, small = "as much noise as signal", {"ha": "left", "fontsize": SMALL}
        write(ax, text, (0.98, 0), (0, 9), color="0.35", ha="right", fontsize=SMALL)
        flag = math.log10(0.05**2 / (1 - 0.05**2))
        ax.axhline(flag, color=_RED, linestyle=":")
        at = (0.02, flag)
        text = r"$\sqrt{\bar{\alpha}_t}$ = 0.05"
        write(ax, text, at, (0, -11), color=_RED, **small)
        ticks = range(4, math.ceil(low) - 1, -2)
        ax.set_yticks(list(ticks), [f"$10^{{{k}}}$" if k else "1" for k in ticks])
        ax.set(xlim=(0, 1.0), ylim=(low, high), xlabel=r"$t\,/\,T$", ylabel="SNR$_t$")
        right = ax.secondary_yaxis("right")
        shares = (0.9999, 0.99, 0.5, 0.01, 1e-4, 1e-6, 1e-8)
        shown = [a for a in shares if math.log10(a / (1 - a)) > low]
        names = [
            f"{a:g}" if a > 1e-3 else f"$10^{{{math.log10(a):.0f}}}$" for a in shown
        ]
        right.set_yticks([math.log10(a / (1 - a)) for a in shown], names)
        right.set_ylabel(r"$\bar{\alpha}_t$")


def plot_last_signal(
    ends: Mapping[str, Mapping[int, float]], *, ax: Axes | None = None
) -> None:
    """Show how much of x_0 the last step still holds, against the number of steps.

    Args:
        ends: for up to four kinds of schedule, by name, √ᾱ_T for each T.
        ax: where to draw; None makes a figure.

    Raises:
        ValueError: if there is no kind or more than four, or a value outside (0, 1].
    """
    if not 1 <= len(ends) <= 4:
        raise ValueError(f"ends must be 1…4 kinds of schedule, got {len(ends)}")
    for name, values in ends.items():
        if not values or not all(0 < value <= 1 for value in values.values()):
            raise ValueError(f"ends[{name!r}] must hold numbers in (0, 1]")
    with frame(ax, WIDTH, 4.2) as (ax,):
        last = []
        for (name, values), colour in zip(ends.items(), COLOURS, strict=False):
            ax.plot([*values], [*values.values()], "o-", color=colour, markersize=6)
            last.append((list(values.values())[-1], max(values), name, colour))
        ax.axhspan(0.05, 1.5, color=_RED, alpha=0.08, linewidth=0)
        ax.axhline(0.05, color=_RED, linestyle=":")
        first = min(min(values) for values in ends.values())
        end = max(max(values) for values in ends.values())
        text = "red: $x_T$ still holds more than 0.05 of $x_0$"
        at = (first, 0.05)
        write(ax, text, at, (0, 10), color=_RED, ha="left", fontsize=SMALL)
        ax.set(xscale="log", yscale="log", xlabel="number of steps $T$")
        ax.set_ylabel(r"signal at the end, $\sqrt{\bar{\alpha}_T}$")
        ticks = sorted({T for values in ends.values() for T in values})
        ax.set_xticks(ticks, [str(T) for T in ticks])
        ax.set_xticks([], minor=True)
        ax.set_ylim(top=1.3)
        ax.set_xlim(first * 0.93, end * 1.05)
        previous = 0.0
        for y, T, name, colour in sorted(last):
            previous = max(y, previous * 1.9)
            write(ax, name, (T, previous), (14, 0), color=colour, ha="left")
