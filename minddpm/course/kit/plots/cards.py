"""Cards: the map of the course, and its notation."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch

from minddpm import _validate
from minddpm.course.contents import CHAPTERS, PARTS
from minddpm.course.kit.plots.style import COLOURS, SMALL, WIDTH, arrow, frame, write

_COLUMNS = 5
_COLOURS = dict(zip(PARTS, (COLOURS[k] for k in (4, 0, 2, 1, 3, 5)), strict=False))


def _place(k: int) -> tuple[int, int]:
    """Return where chapter k stands: out along a row, back along the next one."""
    row, column = divmod(k, _COLUMNS)
    return (_COLUMNS - 1 - column if row % 2 else column), -row


def plot_course_map(current: int = 0, *, ax: Axes | None = None) -> None:
    """Show the notebooks of the course in their order, and where you are.

    Args:
        current: number of the notebook to highlight.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if `current` is no int.
        ValueError: if there is no such notebook.
    """
    last = int(CHAPTERS[-1].number)
    current = _validate.integer("current", current, 0, last)
    places = [_place(k) for k in range(len(CHAPTERS))]
    lowest = min(y for _, y in places)
    ink = COLOURS[4]
    with frame(ax, WIDTH, 1.8 * (1 - lowest) + 0.3) as (ax,):
        for chapter, (x, y) in zip(CHAPTERS, places, strict=True):
            here, colour = int(chapter.number) == current, _COLOURS[chapter.part]
            box = FancyBboxPatch(
                (x - 0.38, y - 0.27),
                0.76,
                0.54,
                boxstyle="round,pad=0.04",
                facecolor=colour if here else "white",
                edgecolor=colour,
                linewidth=2,
            )
            ax.add_patch(box)
            text = "white" if here else ink
            bold: dict[str, Any] = {"weight": "bold", "fontsize": 16}
            write(ax, chapter.number, (x, y + 0.16), color=text, **bold)
            write(ax, chapter.label, (x, y - 0.11), color=text, fontsize=SMALL)
        for (x, y), (u, v) in pairwise(places):
            dx, dy = 0.42 * np.sign(u - x), 0.31 * np.sign(v - y)
            arrow(ax, (x + dx, y + dy), (u - dx, v - dy), ink)
        for part, text in PARTS.items():
            own = [at for c, at in zip(CHAPTERS, places, strict=True) if c.part == part]
            # above the map, or else below it; between the rows only colours tell
            for row, beside in ((0, 0.45), (lowest, lowest - 0.45)):
                columns = [x for x, y in own if y == row]
                if text and columns:
                    middle = min(max(sum(columns) / len(columns), 1.0), 3.5)
                    colour = _COLOURS[part]
                    write(ax, text, (middle, beside), weight="bold", color=colour)
                    break
        ax.set(xlim=(-0.45, 4.45), ylim=(lowest - 0.58, 0.58), aspect="equal")
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
    with frame(ax, WIDTH, height) as (ax,):
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
