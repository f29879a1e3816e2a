"""Cards: the map of the course, and its notation."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch

from minddpm import _validate
from minddpm.course.kit.plots.style import COLOURS, SMALL, WIDTH, arrow, canvas, write

_COURSE = (
    "start\nhere",
    "forward\nchain",
    "closed\nform",
    "best\ndenoiser",
    "noise-prediction\nloss",
    "training",
    "context\ndropout",
    "reverse\nsampling",
    "pictures",
    "guidance",
)


def plot_course_map(current: int = 0, *, ax: Axes | None = None) -> None:
    """Show the notebooks of the course in their order, and where you are.

    Args:
        current: number of the notebook to highlight, 0…9.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if `current` is no int.
        ValueError: if there is no such notebook.
    """
    current = _validate.integer("current", current, 0, len(_COURSE) - 1)
    black, there, learn, back = (COLOURS[k] for k in (4, 0, 2, 1))
    colours = [black, there, there, learn, learn, learn, learn, back, back, back]
    # out along the upper row and back along the lower, as q and p do
    places = [(k, 1.0) if k < 5 else (9 - k, 0.0) for k in range(len(_COURSE))]
    with canvas(ax, WIDTH, 3.9) as (ax,):
        for k, (x, y) in enumerate(places):
            here = k == current
            box = FancyBboxPatch(
                (x - 0.38, y - 0.27),
                0.76,
                0.54,
                boxstyle="round,pad=0.04",
                facecolor=colours[k] if here else "white",
                edgecolor=colours[k],
                linewidth=2,
            )
            ax.add_patch(box)
            ink = "white" if here else black
            write(ax, f"{k:02d}", (x, y + 0.16), weight="bold", fontsize=16, color=ink)
            write(ax, _COURSE[k], (x, y - 0.11), fontsize=SMALL, color=ink)
        for (x, y), (u, v) in pairwise(places):
            dx, dy = 0.42 * np.sign(u - x), 0.31 * np.sign(v - y)
            arrow(ax, (x + dx, y + dy), (u - dx, v - dy), black)
        for text, at, colour in (
            ("forward: add noise", (1.5, 1.45), there),
            ("learn what was added", (3.5, 1.45), learn),
            ("reverse: make data out of noise", (1.0, -0.45), back),
        ):
            write(ax, text, at, weight="bold", color=colour)
        ax.set(xlim=(-0.45, 4.45), ylim=(-0.58, 1.58), aspect="equal")
        ax.set_axis_off()


_NOTATION = (
    (r"$T,\ t$", "T, t", "number of steps; time, 1…$T$"),
    (r"$\beta_t$", "betas", "variance of the noise that step $t$ adds"),
    (
        r"$\alpha_t$",
        "alphas",
        r"$1-\beta_t$, share of the variance that $t$ keeps",
    ),
    (
        r"$\bar{\alpha}_t$",
        "alpha_bars",
        r"$\alpha_1 \cdots \alpha_t$, share left at $t$",
    ),
    (r"$\sqrt{\bar{\alpha}_t}$", "sqrt_alpha_bars", "factor of $x_0$ in $x_t$"),
    (
        r"$\sqrt{1-\bar{\alpha}_t}$",
        "sqrt_one_minus_alpha_bars",
        "standard deviation of the noise in $x_t$",
    ),
    (r"$x_0,\ x_t,\ x_T$", "x0, x_t, x_T", "data, noisy data, nearly pure noise"),
    (
        r"$x_{t-1}$",
        "x_s",
        "one step less noisy; any $s < t$ in DDIM",
    ),
    (
        r"$\epsilon$",
        "eps",
        r"standard normal, $\sqrt{1-\bar{\alpha}_t}$ times it is in $x_t$",
    ),
    (r"$\epsilon_\theta(x_t, t)$", "eps_hat", r"$\epsilon$ as the network predicts it"),
    (r"$\hat{x}_0$", "x0_hat", "the data, as predicted from $x_t$"),
    (r"$c,\ w$", "c, w", "class label; guidance weight, 0 is none"),
)


def plot_notation(*, ax: Axes | None = None) -> None:
    """Show the notation of the course on one card: the paper's signs and our names.

    Args:
        ax: where to draw; None makes a figure.
    """
    line = 0.36  # inches; the card is drawn in inches
    height = line * (len(_NOTATION) + 1) + 1.75
    with canvas(ax, WIDTH, height) as (ax,):
        chain = {0.6: "0", 2.4: "…", 3.8: "s", 5.2: "t", 6.6: "…", 8.4: "T"}
        y, r = height - 0.85, 0.3
        for x, name in chain.items():
            if name != "…":
                ax.add_patch(Circle((x, y), r, fill=False, linewidth=2))
            write(ax, name if name == "…" else f"$x_{name}$", (x, y), fontsize=16)
        for x, u in pairwise(chain):
            start, end = x + r + 0.06, u - r - 0.06
            arrow(ax, (start, y + 0.1), (end, y + 0.1), COLOURS[0])
            arrow(ax, (end, y - 0.1), (start, y - 0.1), COLOURS[1])
        write(ax, "$q$: add noise, known", (4.5, y + 0.55), color=COLOURS[0])
        write(ax, "$p$: remove it, learned", (4.5, y - 0.55), color=COLOURS[1])
        for k, row in enumerate((("paper", "code", "meaning"), *_NOTATION)):
            y = height - 1.9 - line * k
            for x, text in zip((0.1, 1.6, 4.6), row, strict=True):
                style: dict[str, Any] = {
                    "weight": "normal" if k else "bold",
                    "fontsize": SMALL + 1,
                }
                if k and x == 1.6:
                    style["family"] = "DejaVu Sans Mono"
                write(ax, text, (x, y), ha="left", **style)
            ax.axhline(y - line / 2, color="0.85" if k else "0.2", linewidth=1)
        ax.set(xlim=(0, WIDTH), ylim=(0, height))
        ax.set_axis_off()
