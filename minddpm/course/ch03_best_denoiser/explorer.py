"""The explorer of notebook 03: where the best denoiser sends noisy points.

`draw` depends on its arguments alone; that it reuses a figure is for speed.
"""

import functools
from typing import Any

import numpy as np
import torch

from minddpm import _validate
from minddpm.course.ch03_best_denoiser import exact
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style

_T = exact.SCHEDULE.T
_COUNTS = (1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, exact.MOST)
_REACH = 2.6  # half the side of the square that the lines start from

CONTROLS = (
    Slider("n", "data points", _COUNTS, 20),
    Slider("t", "step t", range(1, _T + 1), 15, play=True),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.5)
        plane, curve = self.canvas.figure.subplots(1, 2, width_ratios=(1, 1.35))
        blue, red, black, sky = (COLOURS[k] for k in (0, 1, 4, 5))
        reach = 1.05 * _REACH
        plane.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        plane.set(xticks=(), yticks=(), title="from $x_t$ to $E[x_0\\,|\\,x_t]$")
        (self.lines,) = plane.plot([], [], color=blue, linewidth=1, animated=True)
        dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markeredgewidth": 0}
        dot["animated"] = True
        (self.dots,) = plane.plot([], [], color=red, markersize=6, **dot)
        (self.ends,) = plane.plot([], [], color=blue, markersize=4, **dot)
        floor = exact.ring()
        curve.plot(exact.TIMES, floor, color=sky, linewidth=6, alpha=0.5)
        place: dict[str, Any] = {"transform": curve.transAxes, "ha": "right"}
        text = f"the ring itself: {floor.mean():.2f}"
        curve.text(0.99, 0.84, text, color=COLOURS[0], **place)
        self.name = curve.text(0.99, 0.93, "", color=black, animated=True, **place)
        (self.floor,) = curve.plot([], [], color=black, animated=True)
        dot["clip_on"] = False
        (self.mark,) = curve.plot([], [], color=red, markersize=10, **dot)
        curve.set(xlim=(0, _T), ylim=(0, 1.25), yticks=(0, 0.5, 1), xlabel="t")
        curve.set_title("least possible loss, and its mean over t")
        side = torch.linspace(-_REACH, _REACH, 11)
        self.x_t = torch.cartesian_prod(side, side)
        # from x_t to its end, then NaN, which lifts the pen
        self.ways = np.full((len(self.x_t), 3, 2), np.nan, np.float32)
        self.ways[:, 0] = self.x_t.numpy()


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


def draw(n: int, t: int) -> Picture:
    """Draw where a denoiser that knows n points sends noisy ones, and its loss.

    Args:
        n: how many points of the ring it knows, 1…400.
        t: the time, 1…100.

    Returns:
        The picture; its status has the least possible loss at t and the mean weight of
        the nearest data point.

    Raises:
        ValueError: if n or t is out of range.
    """
    n, t = (
        _validate.integer("data points", n, 1, exact.MOST),
        _validate.integer("t", t, 1, _T),
    )
    scene, law = _scene(), exact.known(n)
    x0_hat = law.oracle.denoise(scene.x_t, t).numpy()
    scene.ways[:, 1] = x0_hat
    scene.lines.set_data(*scene.ways.reshape(-1, 2).T)
    scene.ends.set_data(*x0_hat.T)
    scene.dots.set_data(*law.points.numpy().T)
    scene.floor.set_data(exact.TIMES, law.floor)
    level, error, share = law.floor[t - 1], law.error[t - 1], law.share[t - 1]
    scene.mark.set_data([t], [level])
    these = "this 1 point" if n == 1 else f"these {n} points"
    scene.name.set_text(f"{these}: {law.floor.mean():.2f}")
    noise = float(exact.SCHEDULE.sqrt_one_minus_alpha_bars[t])
    return Picture(
        scene.canvas.png(),
        "points of the ring, with a line from each of a grid of noisy points to the "
        "place where the best denoiser sends it; beside it the least possible loss "
        "over t, with a mark at t, and that of the ring itself",
        f"step t = {t} of {_T}: noise √(1−ᾱ_t) = {noise:.3f}, least possible loss of "
        f"{these} {level:.3f} ± {error:.3f}\n"
        f"mean weight of the nearest data point: {share:.0%}",
    )


def best_denoiser_explorer() -> Any:
    """Build the widget: drag t and the number of data points.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
