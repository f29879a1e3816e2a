"""The explorer of notebook 07: walk back, with only the sampler to blame.

The denoiser is exact, and in one dimension the law of what a sampler puts out can be
computed: see `law`. So nothing here is an estimate but the few paths.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch

from minddpm.course.kit import law as laws
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Choice, Slider, Toggle, panel
from minddpm.course.kit.law import Law
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.oracle import GaussianMixture
from minddpm.schedule import Schedule

MEANS, STD, WEIGHTS = (-0.8, 0.0, 0.7), 0.08, (0.2, 0.2, 0.6)
"""The data: three heaps, of which the right one is the largest."""

PATHS = 10
_SAMPLERS = ("ancestral, σ² = β̃", "ancestral, σ² = β", "DDIM")
_CLAMPS = ("nothing", "x̂_0", "x_t")
_STEPS = (25, 30, 40, 50, 60, 80, 100, 150, 200, 250, 300, 400, 1000)
_TENTHS = tuple(k / 10 for k in range(11))
_LEFT_OVER = 0.05  # the largest √ᾱ_T that passes for none

_LIMIT = 3.6  # ends of the axis of x_t
_BIN = 0.05
_EDGES = (np.arange(-30, 32) - 0.5) * _BIN  # so that −1 and 1 are inside of a bin
_TOP = 4.0  # end of the axis of the density

CONTROLS = (
    Choice("sampler", "sampler", _SAMPLERS, _SAMPLERS[1]),
    Slider("T", "steps T", _STEPS, 50),
    Toggle("rescale", "β multiplied by 1000/T", True),
    Choice("clamp", "clamp to [−1, 1]", _CLAMPS, _CLAMPS[0]),
    Toggle("last", "noise at the last step", when=("sampler", _SAMPLERS[1])),
    Slider(
        "steps",
        "DDIM steps",
        range(1, 101),
        10,
        at_most="T",
        when=("sampler", _SAMPLERS[2]),
    ),
    Slider("eta", "η", _TENTHS, 0.0, when=("sampler", _SAMPLERS[2])),
)


class Walk(NamedTuple):
    """What a sampler does at each of its K steps, from noisy to clean.

    Attributes:
        times: where the steps start, and 0, (K+1,).
        sent: where each sends the points of `law.grid`, (K, n).
        sigmas: standard deviation of its noise, (K,).
        fine: how fine that grid is.
    """

    times: tuple[int, ...]
    sent: np.ndarray
    sigmas: np.ndarray
    fine: int


@functools.lru_cache(maxsize=64)
def _mixture(T: int, rescale: bool) -> GaussianMixture:
    means, weights = torch.tensor(MEANS)[:, None], torch.tensor(WEIGHTS)
    schedule = Schedule.linear(T, rescale=rescale)
    return GaussianMixture(means, STD, schedule, weights=weights)


@functools.lru_cache(maxsize=16)
def _x0_hats(T: int, rescale: bool, times: tuple[int, ...], fine: int) -> np.ndarray:
    """Return E[x_0 | x_t] on the grid at some times, (K, n).

    It is `GaussianMixture.denoise` in a fraction of its time, for heaps of one width.
    """
    t, x = list(times), laws.grid(fine)
    a, b = (table[t] for table in _tables(T, rescale)[:2])
    v = (a * STD) ** 2 + b**2
    top, under = MEANS[1] * np.ones_like(v), np.ones_like(v)
    for mean, weight in ((MEANS[0], WEIGHTS[0]), (MEANS[2], WEIGHTS[2])):
        slope = a * (mean - MEANS[1]) / v  # of its log odds against the middle heap
        middle = a * (mean + MEANS[1]) / 2
        log_odds = slope * (x - middle) + math.log(weight / WEIGHTS[1])
        odds = np.exp(log_odds.clip(max=600))
        top, under = top + mean * odds, under + odds
    return a * STD**2 / v * x + b**2 / v * top / under


def _tables(T: int, rescale: bool) -> list[np.ndarray]:
    """Return √ᾱ, √(1−ᾱ), β and β̃, each (T+1, 1)."""
    schedule = _mixture(T, rescale).schedule
    tables = (
        schedule.sqrt_alpha_bars,
        schedule.sqrt_one_minus_alpha_bars,
        schedule.betas,
        schedule.posterior_variances,
    )
    return [table.double().numpy()[:, None] for table in tables]


@functools.lru_cache(maxsize=8)
def walk(
    sampler: str, T: int, rescale: bool, clamp: str, steps: int, eta: float
) -> Walk:
    """Tabulate the steps of a sampler with the exact denoiser.

    Ancestral: x_{t−1} = μ̃(x̂_0, x_t) + σ_t z [DDPM eq. 7]. DDIM: x_s = √ᾱ_s x̂_0
    + √(1−ᾱ_s−σ²) ε̂ + σ z [DDIM eq. 12 and 16].

    Args:
        sampler: an option of the control.
        T: number of steps of the linear schedule.
        rescale: whether its β are multiplied by 1000/T.
        clamp: what is clamped to [−1, 1], an option of the control.
        steps: of DDIM, in 1…T.
        eta: η of DDIM.

    Returns:
        The steps; the noise of the last one, β's too, is included in `sigmas`.
    """
    ddim = sampler == _SAMPLERS[2]
    K = steps if ddim else T
    times = tuple(round(T * k / K) for k in range(K, -1, -1))
    # few steps are large ones; they stretch some places far apart
    fine = 8 if K <= 10 else 4 if K <= 30 else 2 if K <= 100 else 1
    x, x0_hat = laws.grid(fine), _x0_hats(T, rescale, times[:-1], fine)
    if clamp == "x_t":  # from the second step on it starts from what was clamped
        ends = np.searchsorted(x, (-1, 1))
        held = np.arange(len(x)).clip(*ends)
        x0_hat = np.concatenate([x0_hat[:1], x0_hat[1:, held]])
        x = np.concatenate([x[None], np.tile(x[held], (K - 1, 1))])
    signal, noise, betas, posterior = _tables(T, rescale)
    t, s = np.array(times[:-1]), np.array(times[1:])
    used = x0_hat.clip(-1, 1) if clamp == "x̂_0" else x0_hat
    if ddim:
        eps_hat = (x - signal[t] * x0_hat) / noise[t]
        kept = (1 - (signal[t] / signal[s]) ** 2).clip(0)
        sigma_t = eta * noise[s] / noise[t] * np.sqrt(kept)
        towards_x_t = np.sqrt((noise[s] ** 2 - sigma_t**2).clip(0))
        sent = signal[s] * used + towards_x_t * eps_hat
    else:
        variance = noise[t] ** 2
        sent = signal[s] * betas[t] / variance * used
        sent += np.sqrt(1 - betas[t]) * noise[s] ** 2 / variance * x
        sigma_t = np.sqrt(posterior[t] if sampler == _SAMPLERS[0] else betas[t])
    return Walk(times, sent, sigma_t[:, 0], fine)


class Output(NamedTuple):
    """What a sampler puts out.

    Attributes:
        law: its exact law.
        paths: of samples, at each of `Walk.times`, (K+1, PATHS).
    """

    law: Law
    paths: np.ndarray


@functools.lru_cache(maxsize=256)
def output(
    sampler: str,
    T: int,
    rescale: bool,
    clamp: str,
    steps: int,
    eta: float,
    last: bool,
) -> Output:
    """Run a sampler from N(0, 1).

    Args:
        sampler: as in `walk`.
        T: as in `walk`.
        rescale: as in `walk`.
        clamp: as in `walk`.
        steps: as in `walk`.
        eta: as in `walk`.
        last: whether the last step adds its noise; β's only, the others have none.

    Returns:
        The law, and the paths that `torch.Generator().manual_seed(0)` gives.
    """
    _, sent, sigmas, fine = walk(sampler, T, rescale, clamp, steps, eta)
    if not last:
        sigmas = np.append(sigmas[:-1], 0.0)
    law = laws.carry(laws.normal(fine), sent, sigmas)
    draws, x = _draws(), laws.grid(fine)
    paths = [draws[0]]
    for means, sigma, z in zip(sent, sigmas, draws[1:], strict=False):
        x_s = np.interp(paths[-1], x, means) + sigma * z
        paths.append(x_s.clip(-1, 1) if clamp == "x_t" else x_s)
    if clamp == "x_t":
        law = Law(law.x.clip(-1, 1), law.mass)
    return Output(law, np.stack(paths))


@functools.cache
def _draws() -> np.ndarray:
    """Return x_T and the noise of each step, in the order of the package's samplers."""
    draws = torch.Generator().manual_seed(0)
    rows = [torch.randn(PATHS, 1, generator=draws)[:, 0] for _ in range(1001)]
    return torch.stack(rows).numpy()


@functools.cache
def truth() -> Law:
    """Return the law of the data."""
    mixture, x = _mixture(50, True), torch.from_numpy(laws.grid(4))
    return laws.from_density(mixture.log_prob(x[:, None], 0).exp().numpy(), 4)


def distance(law: Law) -> float:
    """Return the total variation distance of a law from the data's.

    Args:
        law: any law.

    Returns:
        Half the sum of |difference| over bins of 0.05, and what lies outside.
    """
    p, q = law.shares(_EDGES), truth().shares(_EDGES)
    return float(np.abs(p - q).sum() + abs(p.sum() - q.sum())) / 2


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
        end.set(xlim=(_EDGES[0], _EDGES[-1]), ylim=(0, _TOP), xlabel="x", yticks=[])
        end.set(title="what comes out", xticks=[-1, 0, 1])
        self.bars = end.stairs(
            np.zeros(len(_EDGES) - 1), _EDGES, fill=True, alpha=0.6, **blue
        )
        fine = np.linspace(_EDGES[0], _EDGES[-1], 400)
        mixture = _mixture(50, True)
        density = mixture.log_prob(torch.from_numpy(fine)[:, None], 0).exp()
        (self.truth,) = end.plot(fine, density, color="black", animated=True)
        small["transform"] = end.transAxes
        end.text(0.02, 0.98, "truth", color="black", **small)
        end.text(0.02, 0.89, "sampler, exact law", color=COLOURS[0], **small)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


@functools.lru_cache(maxsize=64)
def _end_of_chain(T: int, rescale: bool) -> np.ndarray:
    x = torch.from_numpy(laws.grid())[:, None]
    return _mixture(T, rescale).log_prob(x, T).exp().numpy()


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
    ddim = sampler == _SAMPLERS[2]
    if ddim and not 1 <= steps <= T:
        raise ValueError(f"steps must be in 1…T, got steps = {steps} for T = {T}")
    steps, eta = (steps, eta) if ddim else (T, 0.0)  # one entry of the caches
    last = last and sampler == _SAMPLERS[1]
    rescale = rescale and T != 1000
    law, paths = output(sampler, T, rescale, clamp, steps, eta, last)
    times = walk(sampler, T, rescale, clamp, steps, eta).times
    scene = _scene()
    scene.wanted.set_data(_end_of_chain(T, rescale), laws.grid())
    thin = np.unique(np.linspace(0, len(times) - 1, 126).round().astype(int))
    shares = np.array(times)[thin] / T
    for line, path in zip(scene.paths, paths[thin].T, strict=True):
        line.set_data(shares, path)
    scene.bars.set_data((law.shares(_EDGES) / _BIN).clip(0, _TOP))
    signal = float(_mixture(T, rescale).schedule.sqrt_alpha_bars[-1])
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
    (mean, std), (true_mean, true_std) = law.moments(), truth().moments()
    middle = (MEANS[1] + MEANS[2]) / 2
    share, width = law.part(middle, math.inf)
    true_share, true_width = truth().part(middle, math.inf)
    return (
        f"output: mean {mean:.3f}, std {std:.3f} (truth {true_mean:.3f}, "
        f"{true_std:.3f}); right heap: share {share:.3f}, std {width:.4f} (truth "
        f"{true_share:.3f}, {true_width:.4f})\n"
        f"total variation distance from the truth {distance(law):.3f}"
    )


def _warn(
    sampler: str, clamp: str, last: bool, signal: float, T: int, rescale: bool
) -> str:
    """Say what is wrong with the settings, whatever the picture looks like."""
    found = []
    if last:
        sigma = float(_mixture(T, rescale).schedule.betas[1].sqrt())
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
