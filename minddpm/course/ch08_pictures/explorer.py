"""The explorer of notebook 08: scrub through a sampling run that was kept.

Unlike the others it shows what it is given: `Film` holds one run, and its `draw`
depends on its arguments alone. `draw` and `CONTROLS` belong to a run of the exact
denoiser, for want of another.
"""

import functools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.image import PcolorImage
from torch import Tensor

from minddpm import _validate, data
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Control, Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.ddpm import DDPM
from minddpm.oracle import ExactDenoiser
from minddpm.samplers import Step, ancestral
from minddpm.schedule import Schedule

ALL = "all"
_MANY = 64  # the most pictures shown at once
_BEYOND = 0.1  # RMS of what is cut off of x̂_0, above which it is worth a warning
_LEAST, _MOST = 5e-4, 3.0  # ends of the axis of what a step moves
_ASPECT = 1.15  # of the place for pictures: width over height
_T, _N = 100, 12  # steps and pictures of the run of the exact denoiser


class Film:
    """A finished sampling run, and the figure that shows it.

    Args:
        steps: all steps of a run, `list(ancestral(…))` or `list(ddim(…))`, of grey or
            RGB pictures, (B, C, H, W).

    Attributes:
        times: the t of each step, then 0, (K+1,).
        controls: for the widget: the step, and which picture.

    Raises:
        TypeError: if it is no list of steps of float tensors.
        ValueError: if it is empty, its times do not fall, its samples are no pictures
            or not of one shape, or one holds NaN.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.times = _check(steps)
        self._x_s = np.stack([_bytes(step.x_s) for step in steps])
        self._x0_hat = np.stack([_bytes(step.x0_hat) for step in steps])
        self._moved, self._ahead, self._beyond = _distances(steps)
        n = self._x_s.shape[1]
        # one picture is all there is
        options = [ALL] * (n > 1) + [str(k + 1) for k in range(n)]
        self.controls: tuple[Control, ...] = (
            Slider("step", "step", range(1, len(steps) + 1), 1, play=True),
            Choice("which", "picture", tuple(options), options[0]),
        )

    def draw(self, step: int, which: str) -> Picture:
        """Draw x_s and x̂_0 of one step, and how far each step moves x̂_0.

        Args:
            step: its number, 1…K, from noise to picture.
            which: "all", or the number of a picture, "1"…"B".

        Returns:
            The picture; its status has the times, the change of x̂_0 in this step, and
            its distance from where the run ends, both as root mean squares over pixels
            cut off at −1 and 1.

        Raises:
            ValueError: if there is no such step or picture.
        """
        K, n = self._x_s.shape[:2]
        k = _validate.integer("step", step, 1, K) - 1
        known = [ALL, *(str(i + 1) for i in range(n))]
        _validate.choice("picture", which, known)
        chosen = slice(None) if which == ALL else slice(int(which) - 1, int(which))
        t, s = self.times[k : k + 2]
        scene = self._scene
        frames = (self._x_s[k], self._x0_hat[k], self._x_s[-1])
        for cells, pictures in zip(scene.cells, frames, strict=True):
            cells.set_data(*_sheet(pictures[chosen][:_MANY]))
        scene.s.set_text(f"s = {s}")
        scene.t.set_text(f"t = {t}")
        moved, ahead, beyond = (
            np.sqrt(squares[:, chosen].mean(1))
            for squares in (self._moved, self._ahead, self._beyond)
        )
        drawn = moved.clip(_LEAST)
        scene.curve.set_data(self.times[1:-1], drawn)
        scene.cursor.set_data([t], [0])
        scene.mark.set_data([t] * (k > 0), drawn[max(0, k - 1) : k])
        those = f"all {n} pictures" if which == ALL else f"picture {which} of {n}"
        change = (
            "the first x̂_0"
            if k == 0
            else f"x̂_0 moved by {moved[k - 1]:.3f} since the step before"
        )
        return Picture(
            scene.canvas.png(),
            "x_s and x̂_0 beside each other, and the picture that the run ends with; "
            "below, over t from noise to picture, how far each step moves x̂_0, with a "
            "mark at this step",
            f"{those}: step {k + 1} of {K}, from t = {t} to s = {s}\n"
            f"{change}; it is {ahead[k]:.3f} from the end (RMS over pixels, each cut "
            "off at −1 and 1)",
            _warn(float(beyond[k])),
        )

    @functools.cached_property
    def _scene(self) -> "_Scene":
        with house_style():
            return _Scene(self.times[0])


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self, T: int) -> None:
        self.canvas = Canvas(height=4.2)
        figure = self.canvas.figure
        axes = figure.subplot_mosaic("abc;ddd", height_ratios=(2.6, 1))
        self.cells = [_cells(axes[key]) for key in "abc"]
        # formulas take long to draw: they stay, and the numbers beside them move
        how: dict[str, Any] = {"transform": axes["a"].transAxes, "fontsize": 15}
        axes["a"].text(0.40, 1.04, "$x_s$,", ha="right", **how)
        self.s = axes["a"].text(0.43, 1.04, "", animated=True, **how)
        how["transform"] = axes["b"].transAxes
        axes["b"].text(0.57, 1.04, r"$\hat{x}_0$ from $x_t$,", ha="right", **how)
        self.t = axes["b"].text(0.60, 1.04, "", animated=True, **how)
        how["transform"] = axes["c"].transAxes
        axes["c"].text(0.5, 1.04, "the end, s = 0", ha="center", **how)
        change = axes["d"]
        change.set(xlim=(1.01 * T, 0), ylim=(_LEAST, _MOST), yscale="log", xlabel="t")
        change.set_yticks([1e-3, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
        change.set_yticks([], minor=True)
        text = r"how far a step moves $\hat{x}_0$ (RMS)"
        where: dict[str, Any] = {
            "transform": change.transAxes,
            "ha": "right",
            "va": "top",
        }
        change.text(0.995, 1.0, text, fontsize=12, color=COLOURS[0], **where)
        on_axis: dict[str, Any] = {
            "transform": change.get_xaxis_transform(),
            "clip_on": False,
        }
        red: dict[str, Any] = {"color": COLOURS[1], "animated": True}
        (self.cursor,) = change.plot([], [], "^", ms=11, **red, **on_axis)
        (self.curve,) = change.plot([], [], color=COLOURS[0], animated=True)
        (self.mark,) = change.plot([], [], "o", ms=9, clip_on=False, **red)


def _cells(ax: Axes) -> PcolorImage:
    """Make an axis show a picture that can change its size."""
    ax.set_axis_off()
    ax.set(xlim=(-0.06, _ASPECT + 0.06), ylim=(1, 0), aspect="equal")
    edges = np.linspace(0, 1, 2)
    cells = PcolorImage(ax, edges, edges, np.zeros((1, 1, 3), np.uint8))
    cells.set_animated(True)
    ax.add_image(cells)
    return cells


def _check(steps: Sequence[Step]) -> list[int]:
    """Return the times of a run of pictures, and 0; refuse anything else."""
    if not isinstance(steps, Sequence) or not all(isinstance(s, Step) for s in steps):
        raise TypeError(
            f"steps must be a list of Step, got {type(steps).__name__}; a sampler is "
            "made one by list(…)"
        )
    if not steps:
        raise ValueError(
            "steps must hold at least one step, got none; was the sampler used up "
            "before?"
        )
    times = [*(step.t for step in steps), 0]
    if any(s >= t for t, s in pairwise(times)):
        raise ValueError(
            f"steps must be of one run, with falling t, got t = {times[0]}…{times[-2]}"
        )
    shape = _validate.floats("x_s", steps[0].x_s).shape
    if len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
        raise ValueError(
            "steps must hold pictures, grey (B, 1, H, W) or RGB (B, 3, H, W), got "
            f"{tuple(shape)}"
        )
    for step in steps:
        for name, x in (("x_s", step.x_s), ("x0_hat", step.x0_hat)):
            _validate.floats(name, x, tuple(shape))
            if x.isnan().any():
                raise ValueError(
                    f"{name} must hold numbers, got NaN at t = {step.t}; did training "
                    "diverge?"
                )
    return times


def _bytes(x: Tensor) -> np.ndarray:
    """Turn pictures in [−1, 1], (B, C, H, W), into bytes, (B, H, W, 3)."""
    grey = (x.detach().cpu().float().clamp(-1, 1) + 1) * 127.5
    levels = grey.round().to(torch.uint8).permute(0, 2, 3, 1)
    return levels.expand(*levels.shape[:3], 3).numpy()


def _sheet(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay pictures, (B, H, W, 3), out side by side, as large as the place allows.

    Return the edges of columns and of rows, and the pixels between them; white where
    there is no picture.
    """
    n, h, w, _ = pictures.shape
    gap = max(1, w // 12)

    def size(columns: int) -> tuple[int, int]:
        rows = math.ceil(n / columns)
        return rows * (h + gap) - gap, columns * (w + gap) - gap

    def scale(columns: int) -> float:
        height, width = size(columns)
        return min(1 / height, _ASPECT / width)

    columns = max(range(1, n + 1), key=scale)
    height, width = size(columns)
    sheet = np.full((height, width, 3), 255, np.uint8)
    for k in range(n):
        row, column = divmod(k, columns)
        top, left = row * (h + gap), column * (w + gap)
        sheet[top : top + h, left : left + w] = pictures[k]
    x = _ASPECT / 2 + scale(columns) * (np.arange(width + 1) - width / 2)
    return x, scale(columns) * np.arange(height + 1), sheet


def _distances(steps: Sequence[Step]) -> list[np.ndarray]:
    """Return mean squares over the pixels of each picture.

    Of the change of x̂_0 from step to step, (K−1, B), of its distance from the last
    x_s, and of what is cut off of it, both (K, B).
    """
    x0_hat = torch.stack([s.x0_hat.detach().cpu().float().flatten(1) for s in steps])
    shown = x0_hat.clamp(-1, 1)  # (K, B, C·H·W)
    end = steps[-1].x_s.detach().cpu().float().flatten(1).clamp(-1, 1)
    differences = (shown.diff(dim=0), shown - end, x0_hat - shown)
    return [d.square().mean(2).numpy() for d in differences]


def _warn(beyond: float) -> str:
    if beyond <= _BEYOND:
        return ""
    return (
        f"x̂_0 leaves [−1, 1], by {beyond:.3g} (RMS): it is shown cut off. The sampler "
        "goes on with the whole of it, unless you give it clip_x0=1.0."
    )


@functools.cache
def _example() -> Film:
    """Sample digits with the exact denoiser: it ends at those that it knows."""
    images, _ = data.load("digits")
    denoiser = ExactDenoiser(images, Schedule.cosine(_T))
    ddpm = DDPM(denoiser, schedule=denoiser.schedule)
    draws = torch.Generator().manual_seed(0)
    x_T = torch.randn(_N, *images.shape[1:], generator=draws)
    return Film(list(ancestral(ddpm, x_T, generator=draws)))


CONTROLS = (
    Slider("step", "step", range(1, _T + 1), 1, play=True),
    Choice("which", "picture", (ALL, *(str(k + 1) for k in range(_N))), ALL),
)


def draw(step: int, which: str) -> Picture:
    """Draw a step of a run of the exact denoiser of the digits; see `Film.draw`.

    Args:
        step: its number, 1…100, from noise to picture.
        which: "all", or the number of a picture, "1"…"12".

    Returns:
        The picture.

    Raises:
        ValueError: if there is no such step or picture.
    """
    return _example().draw(step, which)


def stored_run_explorer(steps: Sequence[Step] | None = None) -> Any:
    """Build the widget: scrub through a sampling run, one picture or all.

    Args:
        steps: all steps of a run of pictures, as for `Film`. None shows a run of the
            exact denoiser of the digits, which ends at digits that it knows.

    Returns:
        An ipywidgets box; see `panel`.

    Raises:
        TypeError: as in `Film`.
        ValueError: as in `Film`.
    """
    if steps is None:
        return panel(draw, CONTROLS)
    film = Film(steps)
    return panel(film.draw, film.controls)
