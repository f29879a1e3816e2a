"""The explorer of notebook 04: which steps a weighted loss listens to."""

import functools
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from minddpm.course.ch04_noise_prediction_loss.weighting import (
    WEIGHTS,
    best_error,
    loss_weights,
    tenths,
)
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.schedule import Schedule

_KINDS = ("linear, rescaled", "cosine", "sigmoid")
_STEPS = (50, 60, 80, 100, 150, 200, 300, 400, 500, 700, 1000)
_STDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_EXCESS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_LOW, _HIGH = 1e-3, 1e3  # ends of the axis of the weight

CONTROLS = (
    Choice("weights", "weights", WEIGHTS, WEIGHTS[0]),
    Choice("kind", "schedule", _KINDS, _KINDS[0]),
    Slider("T", "steps T", _STEPS, 1000),
    Slider("t", "step t", range(1, 1001), 20, at_most="T", play=True),
    Slider("std", "std of the data", _STDS, 0.3),
    Slider("excess", "the network's own error", _EXCESS, 0.0),
    Slider("gamma", "γ", (1.0, 2.0, 5.0, 10.0, 20.0), 5.0, when=("weights", "Min-SNR")),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.7)
        curves, shares = self.canvas.figure.subplots(1, 2, width_ratios=[1.1, 1])
        curves.set(xlim=(0, 1.01), ylim=(_LOW, _HIGH), yscale="log", xlabel="t/T")
        curves.set_title("weight, its mean over t being 1")
        curves.axhline(1, color=COLOURS[4], linestyle="--", linewidth=1.2)
        _text(curves, 0.98, 0.455, "$L_{simple}$", COLOURS[4], ha="right", va="top")
        (self.curve,) = curves.plot([], [], color=COLOURS[0], animated=True)
        (self.dot,) = curves.plot(
            [], [], "o", color=COLOURS[0], markersize=9, animated=True
        )
        self.dot.set_clip_on(False)  # at t = 1 it is on the edge
        self.middle = np.arange(10) / 10 + 0.05
        shares.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="t/T")
        shares.set_title("share of the loss, by tenths of t/T")
        self.bars = shares.bar(
            self.middle, 0, width=0.08, color=COLOURS[0], animated=True
        )
        (self.simple,) = shares.plot(
            [], [], "_", color=COLOURS[4], markersize=24, mew=2.2, animated=True
        )
        _text(shares, 0.98, 0.95, "bars: these weights", COLOURS[0], ha="right")
        _text(shares, 0.98, 0.86, "lines: $L_{simple}$", COLOURS[4], ha="right")
        for ax in (curves, shares):
            ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])


def _text(ax: Axes, x: float, y: float, text: str, colour: str, **how: Any) -> None:
    style: dict[str, Any] = {"fontsize": 12, "color": colour, "va": "center"}
    ax.text(x, y, text, transform=ax.transAxes, **(style | how))


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


@functools.lru_cache(maxsize=64)
def _schedule(kind: str, T: int) -> Schedule:
    if kind == "linear, rescaled":
        return Schedule.linear(T, rescale=True)
    return Schedule.cosine(T) if kind == "cosine" else Schedule.sigmoid(T)


def draw(
    weights: str, kind: str, T: int, t: int, std: float, excess: float, gamma: float
) -> Picture:
    """Draw the weights of a loss over t, and where its value comes from.

    Args:
        weights: one of `WEIGHTS`.
        kind: "linear, rescaled", "cosine" or "sigmoid".
        T: number of steps.
        t: the step to look at, 1…T.
        std: standard deviation of the data.
        excess: what the network adds to the best error, the same at every t.
        gamma: γ of Min-SNR.

    Returns:
        The picture; its status has the weight, the error and their product at t, and
        the share of the first tenth.

    Raises:
        ValueError: if there is no such schedule, or no such step in it.
    """
    schedule = _schedule(kind, T)
    if not 1 <= t <= T:
        raise ValueError(f"t must be in 1…T, got t = {t} for T = {T}")
    w = loss_weights(weights, schedule, gamma)
    error = best_error(schedule, std) + excess
    share, simple = tenths(w * error), tenths(error)
    scene = _scene()
    x = np.arange(T + 1) / T
    relative = (w / w[w.isfinite()].mean()).clamp(1e-6, 1e6).numpy()
    scene.curve.set_data(x[1:], relative[1:])
    seen = _LOW < relative[t] < _HIGH
    scene.dot.set_data([x[t]], [relative[t] if seen else np.nan])
    for bar, height in zip(scene.bars, share.tolist(), strict=True):
        bar.set_height(height)
    scene.simple.set_data(scene.middle, simple.numpy())
    term = f"w_t = {w[t]:.3g}, product {w[t] * error[t]:.3g}"
    if not w[t].isfinite():
        term = "β̃_1 = 0: the weight is infinite, and left out"
    largest = int(share.argmax())
    return Picture(
        scene.canvas.png(),
        f"weights of the loss '{weights}' over t/T on a log axis, with a mark at t, "
        "and bars of the share that each tenth of the time axis has in the loss",
        f"step t = {t} of {T}: E‖ε − ε_θ‖² = {error[t]:.3g}, {term}\n"
        f"share of the first tenth {share[0]:.0%} (L_simple: {simple[0]:.0%}); largest "
        f"share {share[largest]:.0%}, in tenth {largest + 1}",
        f"{share[9]:.0%} of this loss comes from the last tenth of the steps, where "
        "x_t holds almost nothing of x_0: the network learns little else."
        if share[9] > 0.5
        else "",
    )


def loss_weights_explorer() -> Any:
    """Build the widget: choose weights, and see which steps the loss listens to.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
