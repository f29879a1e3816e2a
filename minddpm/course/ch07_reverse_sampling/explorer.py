"""The explorer of notebook 07: walk back, with only the sampler to blame.

The denoiser is exact, and in one dimension the law of what a sampler puts out can be
computed: see `law`. So nothing here is an estimate but the few paths.
"""

import functools
import math
from typing import Any

import numpy as np
import torch

from minddpm.course.ch07_reverse_sampling import exact
from minddpm.course.ch07_reverse_sampling.exact import (
    BIN,
    CLAMPS,
    EDGES,
    MEANS,
    PATHS,
    SAMPLERS,
)
from minddpm.course.kit import law as laws
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Slider, Toggle, panel
from minddpm.course.kit.law import Law
from minddpm.course.kit.plots import COLOURS, house_style

_STEPS = (25, 30, 40, 50, 60, 80, 100, 150, 200, 250, 300, 400, 1000)
_TENTHS = tuple(k / 10 for k in range(11))
_LEFT_OVER = 0.05  # the largest √ᾱ_T that passes for none

_LIMIT = 3.6  # ends of the axis of x_t
_TOP = 4.0  # end of the axis of the density

CONTROLS = (
    Choice("sampler", "sampler", SAMPLERS, SAMPLERS[1]),
    Slider("T", "steps T", _STEPS, 50),
    Toggle("rescale", "β multiplied by 1000/T", True),
    Choice("clamp", "clamp to [−1, 1]", CLAMPS, CLAMPS[0]),
    Toggle("last", "noise at the last step", when=("sampler", SAMPLERS[1])),
    Slider(
        "steps",
        "DDIM steps",
        range(1, 101),
        10,
        at_most="T",
        when=("sampler", SAMPLERS[2]),
    ),
    Slider("eta", "η", _TENTHS, 0.0, when=("sampler", SAMPLERS[2])),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.7)
        start, walks, end = self.canvas.figure.subplots(
            1, 3, width_ratios=[0.8, 1.7, 2]
        )
        blue = {"color": COLOURS[0], "animated": True}
        start.set(xlim=(0.95, 0), ylim=(-_LIMIT, _LIMIT), title="start", xticks=[])
        start.set(xlabel="density", ylabel="x")
        x = laws.grid()
        normal = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        start.plot(normal, x, color=COLOURS[0])
        (self.wanted,) = start.plot([], [], "--", color="black", animated=True)
        small = {"fontsize": 12, "transform": start.transAxes, "va": "top"}
        start.text(0.04, 0.99, "N(0, 1)", color=COLOURS[0], **small)
        start.text(0.04, 0.09, "dashed: q($x_T$)", color="black", **small)
        walks.set(xlim=(1.02, -0.02), ylim=(-_LIMIT, _LIMIT), yticks=[])
        walks.set(xlabel="t/T", title=f"{PATHS} walks back")
        walks.set_xticks([1, 0.5, 0], ["1", "½", "0"])
        self.paths = [
            walks.plot([], [], lw=1.1, alpha=0.75, **blue)[0] for _ in range(PATHS)
        ]
        end.set(xlim=(EDGES[0], EDGES[-1]), ylim=(0, _TOP), xlabel="x", yticks=[])
        end.set(title="what comes out", xticks=[-1, 0, 1])
        self.bars = end.stairs(
            np.zeros(len(EDGES) - 1), EDGES, fill=True, alpha=0.6, **blue
        )
        fine = np.linspace(EDGES[0], EDGES[-1], 400)
        mixture = exact.mixture(50, True)
        density = mixture.log_prob(torch.from_numpy(fine)[:, None], 0).exp()
        (self.truth,) = end.plot(fine, density, color="black", animated=True)
        small["transform"] = end.transAxes
        end.text(0.02, 0.98, "truth", color="black", **small)
        end.text(0.02, 0.89, "sampler, exact law", color=COLOURS[0], **small)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


def draw(
    sampler: str,
    T: int,
    rescale: bool,
    clamp: str,
    last: bool,
    steps: int,
    eta: float,
) -> Picture:
    """Draw where a sampler starts, some of its paths, and the law of what it puts out.

    Args:
        sampler: one of the options of the control.
        T: number of steps of the schedule, 25…1000.
        rescale: whether β is multiplied by 1000/T.
        clamp: what is clamped to [−1, 1]: "nothing", "x̂_0" or "x_t".
        last: whether the last step adds its noise; for σ² = β only.
        steps: of DDIM, 1…T.
        eta: η of DDIM.

    Returns:
        The picture; its status has mean and standard deviation of the output, share
        and width of the right heap, and the distance from the truth.

    Raises:
        ValueError: if DDIM is to take more steps than there are.
    """
    ddim = sampler == SAMPLERS[2]
    if ddim and not 1 <= steps <= T:
        raise ValueError(f"steps must be in 1…T, got steps = {steps} for T = {T}")
    steps, eta = (steps, eta) if ddim else (T, 0.0)  # one entry of the caches
    last = last and sampler == SAMPLERS[1]
    rescale = rescale and T != 1000
    law, paths = exact.output(sampler, T, rescale, clamp, steps, eta, last)
    times = exact.walk(sampler, T, rescale, clamp, steps, eta).times
    scene = _scene()
    scene.wanted.set_data(exact.end_of_chain(T, rescale), laws.grid())
    thin = np.unique(np.linspace(0, len(times) - 1, 126).round().astype(int))
    shares = np.array(times)[thin] / T
    for line, path in zip(scene.paths, paths[thin].T, strict=True):
        line.set_data(shares, path)
    scene.bars.set_data((law.shares(EDGES) / BIN).clip(0, _TOP))
    signal = float(exact.mixture(T, rescale).schedule.sqrt_alpha_bars[-1])
    return Picture(
        scene.canvas.png(),
        "left, N(0, 1) beside the density of x_T; middle, paths from noise to data; "
        "right, the law of the sampler's output as bars, under the data's density",
        _numbers(law)
        + f"; {len(times) - 1} steps, √ᾱ_T = {signal:.2g}"
        + (f", η = {eta:.2g}" if ddim else ""),
        _warn(sampler, clamp, last, signal, T, rescale),
    )


def _numbers(law: Law) -> str:
    (mean, std), (true_mean, true_std) = law.moments(), exact.truth().moments()
    middle = (MEANS[1] + MEANS[2]) / 2
    share, width = law.part(middle, math.inf)
    true_share, true_width = exact.truth().part(middle, math.inf)
    return (
        f"output: mean {mean:.3f}, std {std:.3f} (truth {true_mean:.3f}, "
        f"{true_std:.3f}); right heap: share {share:.3f}, std {width:.4f} (truth "
        f"{true_share:.3f}, {true_width:.4f})\n"
        f"total variation distance from the truth {exact.distance(law):.3f}"
    )


def _warn(
    sampler: str, clamp: str, last: bool, signal: float, T: int, rescale: bool
) -> str:
    """Say what is wrong with the settings, whatever the picture looks like."""
    found = []
    if last:
        sigma = float(exact.mixture(T, rescale).schedule.betas[1].sqrt())
        found.append(
            f"Noise of std {sigma:.3f} is added at the last step, and nothing takes it "
            "out again."
        )
    if clamp == "x_t":
        found.append(
            "x_t is clamped: near T it should spread like N(0, 1), not stop at ±1. "
            "What is known to lie in [−1, 1] is x̂_0."
        )
    if signal > _LEFT_OVER:
        found.append(
            f"√ᾱ_T = {signal:.2g}: q(x_T) is not N(0, 1), so the walk starts from a "
            "law that training never saw."
        )
    return " ".join(found)


def reverse_sampling_explorer() -> Any:
    """Build the widget: choose a sampler, break it, and see what comes out.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
