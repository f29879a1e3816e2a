"""The explorer of notebook 02: what a noise schedule does to a picture.

`draw` depends on its arguments alone; that it reuses a figure is for speed.
"""

import functools
from typing import Any

import numpy as np
import torch
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from minddpm import _validate, data
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Slider, Toggle, panel
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.course.kit.plots.curves import log_snr
from minddpm.schedule import Schedule

RED_FLAG = 0.05
"""Largest √ᾱ_T that passes for "x_T is pure noise"."""

_STEPS = (10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 500, 700, 1000)
_BETAS = [float(f"{k}e{power}") for power in range(-5, 0) for k in (1, 1.5, 2, 3, 5, 7)]
_RED = "#b3261e"
_LOWEST = -10.0  # of log₁₀ SNR on its axis; cosine with T = 1000 ends at −8.6
_COPIES = 400  # their mean has noise of std 1/20: a picture shows from RED_FLAG on
_MEAN = f"mean of {_COPIES} $x_T$"
_LINEAR = ("kind", "linear")

CONTROLS = (
    Choice("kind", "schedule", ("linear", "cosine", "sigmoid"), "linear"),
    Toggle("rescale", "multiply β by 1000/T", when=_LINEAR),
    Slider("T", "steps T", _STEPS, 1000),
    Slider("t", "step t", range(1, 1001), 300, at_most="T", play=True),
    Slider("beta_1", "β_1", _BETAS[:20], 1e-4, when=_LINEAR),
    Slider("beta_T", "β_T", _BETAS[12:29], 0.02, when=_LINEAR),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.7)
        figure = self.canvas.figure
        panels = figure.subplot_mosaic(
            [["beta", "signal", "snr", "x_t"], ["beta", "signal", "snr", "x_T"]],
            width_ratios=[1.15, 1.15, 1.15, 1],
        )
        titles = {"beta": "$β_t$", "signal": "$\\sqrt{\\bar{α}_t}$", "snr": "log₁₀ SNR"}
        limits = {"beta": (1e-5, 1.5), "signal": (-0.03, 1.04)}
        limits["snr"] = _LOWEST, 6
        self.curves: list[Line2D] = []
        self.dots: list[Line2D] = []
        for colour, (name, title) in zip(COLOURS, titles.items(), strict=False):
            ax = panels[name]
            ax.set(xlim=(0, 1.06), ylim=limits[name], xlabel="t/T", title=title)
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            self.curves += ax.plot([], [], color=colour, animated=True)
            self.dots += ax.plot([], [], "o", color=colour, markersize=9, animated=True)
            self.dots[-1].set_clip_on(False)  # at t = 1 it is on the edge
        panels["beta"].set_yscale("log")
        panels["signal"].axhline(RED_FLAG, color=_RED, linestyle=":")
        panels["signal"].text(0.03, RED_FLAG + 0.02, f"{RED_FLAG}", color=_RED)
        panels["snr"].axhline(0, color="0.8", linewidth=1, zorder=0)
        self.images: list[AxesImage] = []
        for name, title, white in (("x_t", "$x_t$", 1.5), ("x_T", _MEAN, 0.25)):
            ax = panels[name]
            ax.set(xticks=[], yticks=[])
            ax.set_title(title, fontsize=12)
            empty = np.zeros((8, 8))
            grey = ax.imshow(empty, "gray", vmin=-white, vmax=white, animated=True)
            self.images.append(grey)
        self.frame = Rectangle((0, 0), 1, 1, transform=panels["x_T"].transAxes)
        self.frame.set(fill=False, edgecolor=_RED, linewidth=6, animated=True)
        figure.add_artist(self.frame)
        self.x0 = data.load("digits")[0][0, 0].numpy()
        generator = torch.Generator().manual_seed(0)
        eps = torch.randn(_COPIES, 8, 8, generator=generator).numpy()
        self.eps = eps[0], eps.mean(axis=0)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


def draw(
    kind: str, T: int, beta_1: float, beta_T: float, rescale: bool, t: int
) -> Picture:
    """Draw a schedule, a digit at its step t, and what is left of it at the end.

    Args:
        kind: "linear", "cosine" or "sigmoid".
        T: number of steps.
        beta_1: β_1; like the next two as for `Schedule.linear`, ignored by the others.
        beta_T: β_T.
        rescale: whether to multiply both by 1000/T.
        t: the step to look at, 1…T.

    Returns:
        The picture; its status has β_t, √ᾱ_t, SNR and √ᾱ_T.

    Raises:
        ValueError: if there is no such schedule, or no such step in it.
    """
    _validate.choice("kind", kind, ("linear", "cosine", "sigmoid"))
    if kind == "linear":
        schedule = Schedule.linear(T, beta_1, beta_T, rescale)
    else:
        schedule = Schedule.cosine(T) if kind == "cosine" else Schedule.sigmoid(T)
    _validate.integer("t", t, 1, T)
    scene = _scene()
    # numpy, for matplotlib looks at tensors number by number
    beta, signal, noise = (
        table.numpy()
        for table in (
            schedule.betas,
            schedule.sqrt_alpha_bars,
            schedule.sqrt_one_minus_alpha_bars,
        )
    )
    ratio = log_snr(schedule)
    u = np.linspace(0, 1, T + 1)
    for table, curve, dot in zip(
        (beta, signal, ratio), scene.curves, scene.dots, strict=True
    ):
        curve.set_data(u[1:], table[1:])  # without t = 0: log β and SNR are infinite
        height = table[t : t + 1]
        if table is ratio:  # below the axis, the dot stays on its edge
            height = height.clip(min=_LOWEST + 0.5)
        dot.set_data(u[t : t + 1], height)
    for image, step, eps in zip(scene.images, (t, T), scene.eps, strict=True):
        image.set_data(signal[step] * scene.x0 + noise[step] * eps)
    end = float(signal[T])
    scene.frame.set_visible(end > RED_FLAG)
    return Picture(
        scene.canvas.png(),
        f"{kind} schedule: curves of β_t, √ᾱ_t and log SNR over t/T with a mark at t, "
        f"and one digit: at step t, and averaged over {_COPIES} draws of x_T",
        f"step t = {t} of {T}: β_t = {beta[t]:.4g}, √ᾱ_t = {signal[t]:.3g}, "
        f"log₁₀ SNR = {ratio[t]:.2f}\n"
        f"the end: √ᾱ_T = {end:.3g}; {(signal < RED_FLAG).sum()} of {T} steps have "
        f"√ᾱ_t below {RED_FLAG}",
        _diagnosis(end) if end > RED_FLAG else "",
    )


def _diagnosis(end: float) -> str:
    return (
        f"√ᾱ_T = {end:.2f} is above {RED_FLAG}: sampling starts from pure noise, but "
        f"x_T still holds the picture at {100 * end:.0f} % of its contrast. So the "
        "network starts with an input that it never saw in training."
    )


def schedule_explorer() -> Any:
    """Build the widget: choose a schedule, step through it, look at where it ends.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
