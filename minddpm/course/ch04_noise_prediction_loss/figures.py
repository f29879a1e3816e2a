"""The figures of notebook 04: the bound, the posterior, the weights of the loss."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots.style import (
    COLOURS,
    SMALL,
    WIDTH,
    frame,
    house_style,
    write,
)

_SHOWN = 1200  # points in a cloud: more would only darken it


def plot_bound_per_path(
    exact: Tensor, bounds: Mapping[str, Tensor], *, axes: Sequence[Axes] | None = None
) -> None:
    """Compare the bracket of [DDPM eq. 3], path by path, with −log q(x_0).

    Args:
        exact: −log q(x_0) of each path's start, (N,) or (N, 1) float.
        bounds: the bracket of each path under up to three models, of the same shape,
            by the text to write above.
        axes: one Axes for each model; None makes a figure.

    Raises:
        TypeError: if a tensor is none of floats.
        ValueError: if shapes differ, or there is not one Axes for each of 1…3 models.
    """
    shape = tuple(_validate.floats("exact", exact).shape)
    n = _validate.integer("number of bounds", len(bounds), 1, 3)
    if axes is not None and len(axes) != n:
        raise ValueError(f"axes must be {n}, one for each of bounds, got {len(axes)}")
    x = exact.detach().cpu().flatten().numpy()
    low, high = float(x.min()), float(np.quantile(x, 0.995))
    margin = 0.15 * (high - low)
    ends = (low - 3 * margin, high + margin)
    with frame(axes, WIDTH, 4.2, n=n) as panels:
        for ax, colour, (name, bound) in zip(
            panels, COLOURS, bounds.items(), strict=False
        ):
            y = _validate.floats(name, bound, shape).detach().cpu().flatten().numpy()
            above = float((y - x).mean())
            ax.plot(ends, ends, color="0.35", linewidth=1.2, zorder=3)
            style: dict[str, Any] = {"s": 7, "alpha": 0.5, "linewidths": 0}
            ax.scatter(x[:_SHOWN], y[:_SHOWN], color=colour, **style)
            ax.set(xlim=(low - margin / 2, ends[1]), ylim=ends, title=name)
            ax.set(xlabel=r"$-\log\,q(x_0)$, exact")
            text = f"on average\n{above:+.5f} nats"
            at = (ends[1], ends[0])
            write(ax, text, at, (-4, 6), ha="right", va="bottom", color=colour)
        panels[0].set_ylabel("bracket of eq. 3, one path")
        at = (low + 0.62 * (high - low),) * 2
        write(panels[0], "equal", at, (-6, 6), ha="right", fontsize=SMALL)


def plot_triples(
    x0: Tensor,
    x_t: Tensor,
    x_s: Tensor,
    *,
    plane: Tensor,
    variances: Mapping[str, float],
) -> None:
    """Show triples of one chain with the plane fitted to them, and what it leaves.

    Left, x_s over x_0 and x_t, with a stick from each point to the plane. Right, the
    distribution of the sticks' lengths under Gaussian curves of given variances.

    Args:
        x0: the start of each chain, (N,) or (N, 1) float.
        x_t: the same chains at time t.
        x_s: the same chains at time t−1.
        plane: (2,) float, factors of x_0 and x_t in the guess of x_s.
        variances: variances of the Gaussian curves, by the name to write beside them.

    Raises:
        TypeError: if a tensor is none of floats.
        ValueError: if shapes do not fit, or there are not 1…3 variances, all positive.
    """
    shape = tuple(_validate.floats("x0", x0).shape)
    a, b, c = (
        _validate.floats(name, value, shape).detach().cpu().flatten().numpy()
        for name, value in (("x0", x0), ("x_t", x_t), ("x_s", x_s))
    )
    of_a, of_b = _validate.floats("plane", plane, (2,)).tolist()
    _validate.integer("number of variances", len(variances), 1, 3)
    for name, variance in variances.items():
        if _validate.real(f"variances[{name!r}]", variance, 0, math.inf) == 0:
            raise ValueError(f"variances[{name!r}] must be positive, got 0")
    guess = of_a * a + of_b * b
    rest = c - guess
    with house_style():
        figure = plt.figure(figsize=(WIDTH, 4.6))
        spread = figure.add_gridspec(1, 2, width_ratios=[1.4, 1])
        _draw_plane(
            figure.add_subplot(spread[0], projection="3d"),
            (a[:200], b[:200], c[:200]),
            (of_a, of_b),
        )
        ax = figure.add_subplot(spread[1])
        widest = 4 * math.sqrt(max(variances.values()))
        ax.hist(rest, bins=60, range=(-widest, widest), density=True, color="0.8")
        u = np.linspace(-widest, widest, 300)
        lines = zip(COLOURS[:3], ("-", "--", ":"), variances.items(), strict=False)
        for k, (colour, line, (name, variance)) in enumerate(lines):
            curve = np.exp(-(u**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
            ax.plot(u, curve, line, color=colour)
            at = math.sqrt(variance) * (0.6 + 1.1 * k)
            y = math.exp(-(at**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
            write(ax, name, (at, y), (6, 6), ha="left", va="bottom", color=colour)
        ax.set(xlabel="$x_s$ minus the plane", ylabel="density", yticks=[])
        ax.set(title="what the plane leaves", xlim=(-widest, widest))
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.tick_params(labelsize=SMALL)


def _draw_plane(
    ax: Any, points: tuple[np.ndarray, ...], factors: tuple[float, float]
) -> None:
    """Draw points in space, a plane through the origin, and sticks between them."""
    a, b, c = points
    sides = [np.array([v.min(), v.max()]) for v in (a, b)]
    flat = np.meshgrid(*sides)
    height = factors[0] * flat[0] + factors[1] * flat[1]
    ax.plot_surface(*flat, height, color=COLOURS[5], alpha=0.25, shade=False)
    ends = factors[0] * a + factors[1] * b
    for p, q, low, high in zip(a, b, ends, c, strict=True):
        ax.plot([p, p], [q, q], [low, high], color="0.5", linewidth=0.8)
    over = c >= ends
    for mask, colour in ((over, COLOURS[0]), (~over, COLOURS[1])):
        ax.scatter(a[mask], b[mask], c[mask], color=colour, s=14, depthshade=False)
    ax.set(xlabel="$x_0$", ylabel="$x_t$", zlabel="$x_s$")
    ax.set_title("triples of one chain, and the plane")
    ax.tick_params(labelsize=SMALL, pad=0)
    ax.tick_params(axis="z", pad=5)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(4))
    ax.view_init(elev=14, azim=-72)
    ax.set_box_aspect((1, 1, 0.85), zoom=1.1)


def plot_bound_terms(
    terms: Tensor,
    weights: Mapping[str, Tensor],
    *,
    axes: Sequence[Axes] | None = None,
) -> None:
    """Show the terms L_0…L_T of [DDPM eq. 5], and the weights that L_simple drops.

    Args:
        terms: (T+1,) float, in nats; entry t−1 belongs to step t, entry T to the end.
        weights: up to three tables (T+1,) of the factor before ‖ε − ε_θ‖² in [DDPM eq.
            12], by name; entry 0, and others that are not finite, are left out.
        axes: two Axes to draw into; None makes a figure.

    Raises:
        TypeError: if a tensor is none of floats.
        ValueError: if shapes do not fit, there are not 1…3 tables, or not two Axes.
    """
    n = len(_validate.floats("terms", terms, (None,)))
    _validate.integer("number of weights", len(weights), 1, 3)
    if axes is not None and len(axes) != 2:
        raise ValueError(f"axes must be two, bars and weights, got {len(axes)}")
    values = terms.detach().cpu().numpy()
    t = np.arange(1, n)
    with frame(axes, WIDTH, 4.2, n=2) as (bars, curves):
        bars.bar(t[1:], values[1:-1], color=COLOURS[0], width=0.8)
        bars.bar([1], values[:1], color=COLOURS[1], width=0.8)
        bars.axhline(0, color="0.2", linewidth=1)
        bars.set(xlabel="step t", title="terms of the bound, in nats", xlim=(-0.5, n))
        text = f"$L_0 = {values[0]:.2f}$ (a log density)"
        write(bars, text, (1, values[0]), (10, 4), ha="left", color=COLOURS[1])
        middle = float(values[1:-1].sum())
        text = f"$L_1 + … + L_{{T-1}}$ = {middle:.2f}"
        at = (n / 6, 0.8 * float(values[1:-1].max(initial=0)))
        write(bars, text, at, ha="left", color=COLOURS[0])
        digits, power = f"{values[-1]:.0e}".split("e")
        text = rf"$L_T = {digits} \cdot 10^{{{int(power)}}}$, the end"
        write(bars, text, (n - 1, 0), (0, 6), ha="right", va="bottom", fontsize=SMALL)
        curves.axhline(1, color=COLOURS[4], linestyle=":")
        text = r"$L_{\mathrm{simple}}$: 1 at every t"
        write(curves, text, (n, 1), (-4, 10), ha="right", color=COLOURS[4])
        lowest = highest = 1.0
        for k, (colour, (name, table)) in enumerate(
            zip(COLOURS, weights.items(), strict=False)
        ):
            w = _validate.floats(name, table, (n,)).detach().cpu().numpy()[1:]
            good = np.isfinite(w)
            x, y = t[good], w[good]
            curves.plot(x, y, "--" if k else "-", color=colour)
            lowest, highest = min(lowest, y.min()), max(highest, y.max())
            # the first on the right of its curve, the others below the dip
            at = (0, 0.8 * lowest / 1.5 ** (k - 1)) if k else (x[0], float(y[0]))
            shift, va = ((2, 0), "top") if k else ((10, 0), "center")
            write(curves, name, at, shift, ha="left", va=va, color=colour)
        curves.set(ylim=(0.4 * lowest, 1.2 * highest), yscale="log")
        curves.set(xlabel="step t", xlim=(-0.5, n))
        curves.yaxis.set_major_formatter("{x:g}")
        curves.set_title(r"factor before $\|\epsilon - \epsilon_\theta\|^2$")


def plot_loss_shares(
    shares: Mapping[str, Tensor], *, axes: Sequence[Axes] | None = None
) -> None:
    """Show which part of the time axis a loss gets its value from.

    Args:
        shares: the share of each tenth of t/T, (10,) float, of up to four losses, by
            the text to write above.
        axes: one Axes for each loss; None makes a figure.

    Raises:
        TypeError: if a tensor is none of floats.
        ValueError: if a shape is wrong, or there is not one Axes for each of 1…4
            losses.
    """
    n = _validate.integer("number of shares", len(shares), 1, 4)
    if axes is not None and len(axes) != n:
        raise ValueError(f"axes must be {n}, one for each of shares, got {len(axes)}")
    with frame(axes, WIDTH, 3.3, n=n) as panels:
        for ax, (name, values) in zip(panels, shares.items(), strict=True):
            share = _validate.floats(name, values, (10,)).detach().cpu().numpy()
            ax.bar(np.arange(10) / 10 + 0.05, share, width=0.09, color=COLOURS[0])
            text = f"first tenth:\n{share[0]:.0%}"
            write(ax, text, (1, 1.08), ha="right", va="top", fontsize=SMALL)
            ax.set(xlim=(0, 1), ylim=(0, 1.1), xlabel="t / T", title=name)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            ax.set_yticks([0, 0.5, 1], ["0", "½", "1"] if ax is panels[0] else [""] * 3)
        panels[0].set_ylabel("share of the loss")
