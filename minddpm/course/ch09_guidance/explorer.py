"""The explorer of notebook 09: what guidance does to a distribution, exactly.

Three classes in one dimension, one Gaussian each, and their exact denoiser. The law of
what the guided sampler puts out is computed, not sampled: see `law`.
"""

import functools
from typing import Any

import numpy as np

from minddpm.course.ch09_guidance import exact
from minddpm.course.ch09_guidance.exact import FINE, MEANS, STDS
from minddpm.course.kit import law as laws
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style

_CLASSES = ("left", "middle", "right")
_CONVENTIONS = ("(1+w) ε_c − w ε_∅", "ε_∅ + s (ε_c − ε_∅)")
_WEIGHTS = tuple(k / 4 for k in range(-6, 25))
_SHRUNK = 0.85  # of the class's std: what is narrower gets a warning

_LIMIT = 3.6  # ends of the axis of x
_TOP = 2.0  # end of the axis of the density
_EDGES = np.linspace(-_LIMIT, _LIMIT, 145)

CONTROLS = (
    Slider("w", "guidance w", _WEIGHTS, 0.0),
    Choice("convention", "written as", _CONVENTIONS, _CONVENTIONS[0]),
    Choice("label", "class c", _CLASSES, _CLASSES[0]),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.9)
        ax = self.canvas.figure.subplots()
        ax.set(xlim=(-_LIMIT, _LIMIT), ylim=(0, _TOP), xlabel="x", ylabel="density")
        ax.set(yticks=[], title=" ")
        x = laws.grid(FINE)
        ax.fill_between(x, np.exp(exact.log_prob(None)), color="0.85", linewidth=0)
        self.bars = ax.stairs(
            np.zeros(len(_EDGES) - 1),
            _EDGES,
            fill=True,
            color=COLOURS[0],
            alpha=0.6,
            animated=True,
        )
        (self.of_class,) = ax.plot([], [], color="black", animated=True)
        (self.product,) = ax.plot([], [], "--", color=COLOURS[1], animated=True)
        self.title = ax.text(
            0.5, 1.03, "", transform=ax.transAxes, ha="center", animated=True
        )
        self.peak = ax.text(0, 0.98 * _TOP, "", color=COLOURS[0], animated=True)
        self.peak.set(va="top", fontsize=13)
        for y, text, colour in (
            (0.97, "bars: guided sampler, exact law", COLOURS[0]),
            (0.89, "dashed: $p(x|c)^{1+w}\\,p(x)^{-w}$", COLOURS[1]),
            (0.81, "line: class, $p(x|c)$", "black"),
            (0.73, "grey: population, $p(x)$", "0.4"),
        ):
            words = ax.text(0.01, y, text, color=colour, transform=ax.transAxes)
            words.set(va="top", fontsize=13)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


def draw(w: float, convention: str, label: str) -> Picture:
    """Draw a class, the population, their product, and what guidance really gives.

    Args:
        w: guidance weight; 0 is the plain conditional model.
        convention: how it is written; the same guidance either way.
        label: "left", "middle" or "right".

    Returns:
        The picture; its status has the formula, and mean and standard deviation of the
        class, of the product density and of the sampler's law.
    """
    c = _CLASSES.index(label)
    scene, law, tilted = _scene(), exact.sampled(w, c), exact.product(w, c)
    x = laws.grid(FINE)
    scene.of_class.set_data(x, np.exp(exact.log_prob(c)))
    scene.product.set_data(x, tilted.mass / (x[1] - x[0]))
    heights = law.shares(_EDGES) / np.diff(_EDGES)
    scene.bars.set_data(heights.clip(0, _TOP))
    highest = heights.argmax()
    over = heights[highest] > _TOP
    scene.peak.set_text(f"up to {heights[highest]:.1f}" if over else "")
    scene.peak.set_x(_EDGES[highest] + law.moments()[1] + 0.1)
    if convention == _CONVENTIONS[0]:
        number = f"w = {w:.4g}"
        formula = f"{1 + w:.4g} ε_c − {w:.4g} ε_∅".replace("− -", "+ ")
    else:
        number = f"s = {1 + w:.4g}"
        formula = f"ε_∅ + {1 + w:.4g} (ε_c − ε_∅)".replace("+ -", "− ")
    number, formula = number.replace("-", "−"), formula.replace("-", "−")
    scene.title.set_text(f"{label} class, {number}")
    moments = {
        "class": (MEANS[c], STDS[c]),
        "product density": tilted.moments(),
        "sampler": law.moments(),
    }
    return Picture(
        scene.canvas.png(),
        "density of a class and of the population, their product density as a dashed "
        "line, and the exact law of the guided sampler as bars",
        f"{number}: ε̃ = {formula}\n"
        + "; ".join(f"{k}: mean {m:.3f}, std {s:.3f}" for k, (m, s) in moments.items()),
        _warn(w, law.moments()[1] / STDS[c]),
    )


def _warn(w: float, width: float) -> str:
    """Say what guidance costs, where it does."""
    if w < -1:
        return "Below w = −1 (s = 0) guidance points away from the class."
    if w > 0 and width < _SHRUNK:
        return (
            f"The spread is {width:.0%} of the class's: each sample is more typical, "
            "and together they are less varied than the data."
        )
    return ""


def guidance_explorer() -> Any:
    """Build the widget: turn guidance up, and see the distribution move and shrink.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
