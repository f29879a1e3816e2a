"""The explorer of notebook 01: step through the forward chain.

`draw` depends on its arguments alone; that it reuses a figure is for speed.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.image import PcolorImage

from minddpm import data
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.oracle import GaussianMixture
from minddpm.schedule import Schedule

_MEANS, _STDS, _WEIGHTS = (-1.0, 0.6), (0.1, 0.2), (0.3, 0.7)  # the notebook's data
_STARTS = {"both humps": None, "the left hump": 0, "the right hump": 1}
_LEFT_OVER = 0.01  # largest share of x_0's variance at T that passes for none

_CHAINS = 1000
_PATHS = 4
_LIMIT = 3.2  # ends of the axis of x
_X = torch.linspace(-_LIMIT, _LIMIT, 97)
_COLUMNS = 100  # of the heat map
_COLUMN_EDGES = np.linspace(0, 1, _COLUMNS + 2)
_ROW_EDGES = np.linspace(-_LIMIT, _LIMIT, len(_X) + 1)
_PIXEL_EDGES = np.arange(9.0)  # of the digit
_EDGES = np.linspace(-_LIMIT, _LIMIT, 37)
_TOP = 2.2  # end of the axis of the density, divided by the root of its peak

CONTROLS = (
    Slider("t", "step t", range(1001), 0, at_most="T", play=True),
    Slider("T", "steps T", (50, 100, 200, 300, 400, 500, 700, 1000), 1000),
    Choice("start", "x_0 is from", tuple(_STARTS), "both humps"),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.5)
        chain, law, digit = self.canvas.figure.subplots(1, 3, width_ratios=[3.2, 1, 1])
        chain.set(xlim=(0, 1), ylim=(-_LIMIT, _LIMIT), xlabel="t/T", ylabel="$x_t$")
        chain.set(
            title="paths over the law of $x_t$ (columns scaled)", xticks=(0, 0.5, 1)
        )
        self.heat = _cells(chain, _COLUMN_EDGES, _ROW_EDGES)
        self.paths, self.dots = [], []
        for colour in COLOURS[:_PATHS]:
            self.paths += chain.plot([], [], color=colour, lw=1.2, animated=True)
            self.dots += chain.plot([], [], "o", color=colour, ms=7, animated=True)
            self.dots[-1].set_clip_on(False)  # at t = 0 and T it is on the edge
        (self.cursor,) = chain.plot([], [], color="black", lw=1.5, animated=True)
        law.set(xlim=(0, _TOP), ylim=(-_LIMIT, _LIMIT), xticks=[], yticks=[])
        law.set(title="at t", xlabel="density, scaled")
        self.bars = law.stairs(
            np.zeros(len(_EDGES) - 1),
            _EDGES,
            orientation="horizontal",
            fill=True,
            color=COLOURS[5],
            alpha=0.55,
            animated=True,
        )
        (self.curve,) = law.plot([], [], color="black", animated=True)
        for text, y, colour in (("exact", 0.99, "black"), ("chains", 0.91, COLOURS[0])):
            at = {"transform": law.transAxes, "ha": "right", "va": "top"}
            law.text(1, y, text, color=colour, fontsize=12, **at)
        digit.set_axis_off()
        digit.set_title("a digit at t")
        digit.set(xlim=(0, 8), ylim=(8, 0), aspect="equal")
        self.digit = _cells(digit, _PIXEL_EDGES, _PIXEL_EDGES)


def _cells(ax: Axes, x: np.ndarray, y: np.ndarray) -> PcolorImage:
    """Add an empty picture; this kind draws in a fraction of the time of imshow's."""
    cells = PcolorImage(ax, x, y, _grey(np.zeros((len(y) - 1, len(x) - 1))))
    cells.set_animated(True)
    ax.add_image(cells)
    return cells


def _grey(levels: np.ndarray) -> np.ndarray:
    """Make (H, W) levels, 0 (black) to 255, a picture, (H, W, 3)."""
    return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


class _Chain(NamedTuple):
    """All that belongs to one T and one start."""

    mixture: GaussianMixture
    x: np.ndarray  # (T+1, _CHAINS)
    paths: np.ndarray  # some of them, thinned out: t/T, then x; (1 + _PATHS, …)
    shown: np.ndarray  # which ones
    heat: np.ndarray  # grey levels, (len(_X), _COLUMNS + 1, 3)
    measured: torch.Tensor  # mean and standard deviation, (T+1, 2)
    exact: torch.Tensor


@functools.lru_cache(maxsize=4)
def _noise(n: int) -> torch.Tensor:
    """Return the same noise for every T: the first T rows belong to steps 1…T."""
    return torch.randn(1000, n, generator=torch.Generator().manual_seed(n))


def _run(x0: torch.Tensor, T: int) -> torch.Tensor:
    """Run the chain [DDPM eq. 2] from x_0, (N,), and return x_0…x_T, (T+1, N).

    Divided by √((1−β_1)…(1−β_t)) the steps only add, so that one sum does them all.
    """
    schedule = _schedule(T)
    signal = schedule.sqrt_alpha_bars[:, None]
    added = schedule.betas[1:, None].sqrt() * _noise(len(x0))[:T] / signal[1:]
    return signal * torch.cat([x0[None], added]).cumsum(0)


@functools.lru_cache(maxsize=16)
def _schedule(T: int) -> Schedule:
    return Schedule.linear(T)


def _mixture(T: int, start: str) -> GaussianMixture:
    one = _STARTS[start]
    keep = slice(None) if one is None else slice(one, one + 1)
    means, stds = torch.tensor(_MEANS[keep])[:, None], torch.tensor(_STDS[keep])
    weights = torch.tensor(_WEIGHTS[keep])
    return GaussianMixture(means, stds, _schedule(T), weights=weights)


@functools.lru_cache(maxsize=32)
def _chain(T: int, start: str) -> _Chain:
    mixture, schedule = _mixture(T, start), _schedule(T)
    x0, _ = mixture.sample(_CHAINS, generator=torch.Generator().manual_seed(0))
    x = _run(x0[:, 0], T)
    shown = x[0].argsort()[:: _CHAINS // _PATHS][:_PATHS]
    times = torch.linspace(0, T, min(T, 125) + 1).round().long()
    paths = torch.cat([times[None] / T, x[times][:, shown].T])
    w, m = mixture.weights, mixture.means[:, 0]
    mean = (w * m).sum()
    variance = (w * (mixture.stds**2 + m**2)).sum() - mean**2
    left = schedule.alpha_bars
    exact = [left.sqrt() * mean, (1 + left * (variance - 1)).sqrt()]
    return _Chain(
        mixture,
        x.numpy(),
        paths.numpy(),
        shown.numpy(),
        _heat(mixture, T),
        torch.stack([x.mean(1), x.std(1)], dim=1),
        torch.stack(exact, dim=1),
    )


def _heat(mixture: GaussianMixture, T: int) -> np.ndarray:
    """Return a picture of q(x_t) over t and x, in a few levels of grey."""
    times = torch.linspace(0, T, _COLUMNS + 1).round().long()
    grid = torch.cartesian_prod(times, torch.arange(len(_X)))
    density = mixture.log_prob(_X[grid[:, 1], None], grid[:, 0]).exp()
    density = density.view(len(times), len(_X)).T
    # each column by its own root of the peak, or only the first would show anything
    density = density / density.amax(0, keepdim=True).sqrt()
    # few levels make small files; light ones let the paths stand out
    return _grey((255 - 8 * (density.clamp(max=1.7) * 10).round()).numpy())


@functools.lru_cache(maxsize=32)
def _digit(T: int) -> torch.Tensor:
    x0 = data.load("digits")[0][0].flatten()
    return _run(x0, T).view(-1, 8, 8)


def draw(t: int, T: int, start: str) -> Picture:
    """Draw the chain with a cursor at t, the law of x_t there, and a digit at t.

    Args:
        t: the step to look at, 0…T.
        T: number of steps, 50…1000, of the linear schedule.
        start: where x_0 is drawn from, one of the options of the control.

    Returns:
        The picture; its status has mean and standard deviation of x_t, measured and
        exact, and the share of x_0's variance that is left.

    Raises:
        ValueError: if there is no such step.
    """
    if not 0 <= t <= T:
        raise ValueError(f"t must be in 0…T, got t = {t} for T = {T}")
    scene, chain = _scene(), _chain(T, start)
    x_t = chain.x[t]
    scene.heat.set_data(_COLUMN_EDGES, _ROW_EDGES, chain.heat)
    for k, path, dot in zip(range(_PATHS), scene.paths, scene.dots, strict=True):
        path.set_data(chain.paths[0], chain.paths[k + 1])
        x = x_t[chain.shown[k]]
        dot.set_data([t / T], [x if abs(x) < _LIMIT else np.nan])
    scene.cursor.set_data([t / T, t / T], [-_LIMIT, _LIMIT])
    heights = np.histogram(x_t, _EDGES)[0] / _CHAINS / np.diff(_EDGES)
    exact_law = chain.mixture.log_prob(_X[:, None], t).exp().numpy()
    scale = exact_law.max() ** -0.5  # as the column of the heat map
    scene.bars.set_data(scale * heights)
    scene.curve.set_data(scale * exact_law, _X.numpy())
    pixels = _grey(_digit(T)[t].clamp(-1.5, 1.5).add(1.5).mul(85).numpy())
    scene.digit.set_data(_PIXEL_EDGES, _PIXEL_EDGES, pixels)
    (mean, std), (exact, exact_std) = chain.measured[t], chain.exact[t]
    left = _schedule(T).alpha_bars
    return Picture(
        scene.canvas.png(),
        "sample paths over the heat map of the density of x_t, each column divided by "
        "the root of its peak, with a cursor at t; the law of x_t there, scaled in the "
        "same way, as a curve over a histogram; one digit at step t",
        f"step t = {t} of {T}, {_CHAINS} chains: mean {mean:.3f} (exact {exact:.3f}), "
        f"standard deviation {std:.3f} (exact {exact_std:.3f})\n"
        f"share of x_0's variance left: {left[t]:.2%} at t, {left[T]:.3g} at T",
        _diagnosis(float(left[T])) if left[T] > _LEFT_OVER else "",
    )


def _diagnosis(left: float) -> str:
    return (
        f"{left:.0%} of x_0's variance is left at T: too few steps for this range of "
        "β. Where the chain ends still depends on where it began: change x_0 and look."
    )


def forward_chain_explorer() -> Any:
    """Build the widget: play the chain, stop it anywhere, and change where it starts.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
