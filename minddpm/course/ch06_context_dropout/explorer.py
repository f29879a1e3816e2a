"""The explorer of notebook 06: one network, told the label or not.

The data are one number and two classes, so that every answer is a curve, and its mean
squared distance to the exact one is a sum over a grid: nothing here is an estimate.
`draw` depends on its arguments alone; that it reuses a figure is for speed.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Button, Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.ddpm import DDPM
from minddpm.nets import MLP
from minddpm.oracle import GaussianMixture
from minddpm.schedule import Schedule
from minddpm.train import EMA

STEPS = 400
MEANS, STDS, WEIGHTS = (-0.8, 0.6), (0.2, 0.35), (0.4, 0.6)
"""The data: a Gaussian for each of the two classes."""

_T = 100
_LOOK_EVERY = 40  # steps
_BATCH, _RATE = 256, 8e-3
_X = torch.linspace(-4, 4, 81)  # where answers are compared
_SEEN = 1e-3  # least density, as a share of its peak, where answers are drawn
_LIMIT = 3.0  # ends of the axes of x_t and of ε
_LOW, _HIGH = 1e-4, 40.0  # ends of the axis of the distance
_NAMES = (("c = 0", COLOURS[0]), ("c = 1", COLOURS[5]), ("no label ∅", COLOURS[4]))

REFERENCE: dict[str, Any] = {"drop_prob": 0.1}
"""The setting at which the controls start, drawn in grey behind every other one."""

REFERENCE_TOLD = (
    0.00843,
    0.00298,
    0.000585,
    0.00372,
    0.00165,
    0.0047,
    0.00361,
    0.00567,
    0.00424,
    0.00275,
    0.00258,
    0.000777,
    0.000301,
    0.000122,
    0.00062,
)
"""Its error with the label at t = 1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75,
100."""

REFERENCE_UNTOLD = (
    0.0133,
    0.017,
    0.0315,
    0.0269,
    0.0561,
    0.069,
    0.0826,
    0.0894,
    0.0754,
    0.0433,
    0.0143,
    0.00365,
    0.00222,
    0.000363,
    0.000672,
)
"""Its error without the label, at the same times."""

_MARKS = (1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75, 100)


class Run(NamedTuple):
    """A training run, or the first steps of one.

    Attributes:
        drop_prob: as given.
        steps: how many were taken.
        eps_hat: what the averaged weights answer at t = 1…T on the grid, told c = 0,
            c = 1 and no label, (T, 3, 81).
    """

    drop_prob: float
    steps: int
    eps_hat: Tensor


class _Bench(NamedTuple):
    """What all runs share: the law, its exact answers, and how often each is asked."""

    mixture: GaussianMixture
    exact: Tensor  # the exact answers, in the order of Run.eps_hat, (T, 3, 81)
    mass: Tensor  # joint with c = 0, with c = 1, and their sum; each t: (3, 81)


def _answers(model: DDPM) -> Tensor:
    """Return what a model answers everywhere on the grid, (T, 3, 81)."""
    t = torch.arange(1, _T + 1).repeat_interleave(len(_X))
    x_t = _X.repeat(_T)[:, None]
    with torch.no_grad():
        told = [model.predict_eps(x_t, t, torch.full_like(t, k)) for k in (0, 1)]
        eps_hat = [*told, model.predict_eps(x_t, t)]
    return torch.stack([e.view(_T, len(_X)) for e in eps_hat], dim=1)


@functools.cache
def _bench() -> _Bench:
    means, stds, weights = (torch.tensor(v) for v in (MEANS, STDS, WEIGHTS))
    labels = torch.arange(2)
    mixture = GaussianMixture(
        means[:, None], stds, Schedule.cosine(_T), weights=weights, labels=labels
    )
    exact = _answers(DDPM(mixture, schedule=mixture.schedule))
    t = torch.arange(1, _T + 1).repeat_interleave(len(_X))
    x_t = _X.repeat(_T)[:, None]
    joint = [
        weights[k] * mixture.log_prob(x_t, t, torch.full_like(t, k)).exp().view(_T, -1)
        for k in (0, 1)
    ]
    mass = torch.stack([*joint, joint[0] + joint[1]], dim=1) * (_X[1] - _X[0])
    return _Bench(mixture, exact, mass)


def errors(eps_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Compare answers with the exact ones, at each t.

    Args:
        eps_hat: answers on the grid, as in `Run`, (T, 3, 81).

    Returns:
        The mean of (ε_θ(x_t, c) − ε*(x_t, c))² and of (ε_θ(x_t, ∅) − ε*(x_t, ∅))² over
        x_t and its own label c, each (T,).
    """
    bench = _bench()
    squares = bench.mass * (eps_hat - bench.exact).square()
    return squares[:, :2].sum((1, 2)), squares[:, 2].sum(1)


@functools.cache
def worth() -> Tensor:
    """Return the mean of (ε*(x_t, c) − ε*(x_t, ∅))² at t = 1…T, (T,).

    It is the error with the label of a network that answers as if it had none.
    """
    exact = _bench().exact
    return errors(exact[:, 2:].expand_as(exact))[0]


def work(drop_prob: float, t: int = 1) -> Iterator[Run]:
    """Train for `STEPS` steps; same drop probability, same run.

    Args:
        drop_prob: share of the labels that training hides, in [0, 1].
        t: of no effect on training; the panel passes all its settings.

    Returns:
        An iterator over the run so far, every 40 steps. It works as you go.
    """
    bench = _bench()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = MLP(dim=1, n_feat=32, n_classes=2)
    model = DDPM(net, schedule=bench.mixture.schedule, drop_prob=drop_prob)
    optimiser = torch.optim.Adam(model.parameters(), lr=_RATE)
    ema = EMA(model, decay=0.98)
    draws = torch.Generator().manual_seed(0)
    for step in range(1, STEPS + 1):
        x0, c = bench.mixture.sample(_BATCH, generator=draws)
        loss = model(x0, c, generator=draws)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        ema.update()
        if step % _LOOK_EVERY == 0:
            ema.swap()
            yield Run(drop_prob, step, _answers(model))
            ema.swap()


CONTROLS = (
    Slider(
        "drop_prob",
        "drop probability",
        (0.0, 0.05, 0.1, 0.2, 0.5, 0.9, 1.0),
        REFERENCE["drop_prob"],
    ),
    Button("run", f"Train {STEPS} steps (about 2 s)", work),
    Slider("t", "look at t", range(1, _T + 1), 30, play=True),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        self.canvas = Canvas(height=3.9)
        left, right = self.canvas.figure.subplots(1, 2)
        left.set(
            xlim=(-_LIMIT, _LIMIT), ylim=(-_LIMIT, _LIMIT), xlabel="$x_t$", ylabel="ε"
        )
        left.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2), title=" ")
        self.title = left.title
        self.title.set_animated(True)
        still: dict[str, Any] = {"fontsize": 12, "va": "top"}
        for row, (name, colour) in enumerate(_NAMES):
            at = 0.02, 0.99 - 0.085 * row
            left.text(*at, name, color=colour, transform=left.transAxes, **still)
        for row, name in enumerate(("thin: learned", "broad: exact")):
            at = 0.98, 0.10 + 0.085 * row
            how = {"color": "0.3", "ha": "right", "transform": left.transAxes}
            left.text(*at, name, **how, **still)
        self.exact = [
            left.plot([], [], color=c, lw=7, alpha=0.3, animated=True)[0]
            for _, c in _NAMES
        ]
        self.learned = [
            left.plot([], [], color=c, lw=2.2, animated=True)[0] for _, c in _NAMES
        ]
        right.set(xscale="log", yscale="log", xlim=(0.9, 110), ylim=(_LOW, _HIGH))
        right.set(xlabel="t (log scale)", title="mean squared distance to exact")
        right.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        right.set_xticks([], minor=True)
        right.set_yticks([1e-4, 1e-3, 0.01, 0.1, 1])
        right.set_yticklabels(["0.0001", "0.001", "0.01", "0.1", "1"])
        right.set_yticks([], minor=True)
        blue, black = COLOURS[0], COLOURS[4]
        right.plot(_MARKS, REFERENCE_TOLD, color="0.65", lw=3)
        right.plot(_MARKS, REFERENCE_UNTOLD, color="0.65", lw=3, ls=(0, (2, 1)))
        times = np.arange(1, _T + 1)
        right.plot(times, worth().numpy().clip(_LOW), color=COLOURS[2], lw=1.6)
        key = (
            ("learned ε(x,c)", blue),
            ("learned ε(x,∅), dashed", black),
            ("if the label is ignored", COLOURS[2]),
            ("grey: first setting", "0.4"),
        )
        for row, (name, colour) in enumerate(key):
            at = 0.03, 0.99 - 0.075 * row
            right.text(*at, name, color=colour, transform=right.transAxes, **still)
        (self.cursor,) = right.plot([], [], color="0.3", lw=1, animated=True)
        (self.told,) = right.plot([], [], color=blue, animated=True)
        (self.untold,) = right.plot([], [], color=black, ls=(0, (2, 1)), animated=True)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


def draw(drop_prob: float, t: int, run: Run | None) -> Picture:
    """Draw a network's answers at t over the exact ones, and its errors at each t.

    Args:
        drop_prob: share of hidden labels, as set now for the next run.
        t: the time to look at, 1…100.
        run: what `work` gave; None before the first run.

    Returns:
        The picture; its status has both errors, on average and at t, beside the
        distance of the two exact answers from each other.

    Raises:
        ValueError: if there is no such time.
    """
    if not 1 <= t <= _T:
        raise ValueError(f"t must be in 1…{_T}, got t = {t}")
    scene, bench, label = _scene(), _bench(), worth()
    mass, exact = bench.mass[t - 1].numpy(), bench.exact[t - 1].numpy()
    seen = mass > _SEEN * mass.max(1, keepdims=True)
    for k in range(3):
        x = _X.numpy()[seen[k]]
        scene.exact[k].set_data(x, exact[k, seen[k]])
        if run is None:
            scene.learned[k].set_data([], [])
        else:
            scene.learned[k].set_data(x, run.eps_hat[t - 1, k].numpy()[seen[k]])
    scene.title.set_text(f"answers at t = {t}")
    told, untold = errors(bench.exact if run is None else run.eps_hat)
    for line, error in ((scene.told, told), (scene.untold, untold)):
        times = np.arange(1, 1 if run is None else _T + 1)  # none before a run
        line.set_data(times, error[times - 1].numpy().clip(_LOW, _HIGH))
    scene.cursor.set_data([t, t], [_LOW, 1])
    at_t = f"label's worth {label.mean():.3f}, at t = {t} {label[t - 1]:.3g}"
    if run is None:
        status = (
            f"set: drop probability {drop_prob:.3g}. Press the button to train.\n"
            f"exact ε(x,c) to exact ε(x,∅), the {at_t}"
        )
    else:
        status = (
            f"drop probability {run.drop_prob:.3g}, {run.steps} of {STEPS} steps; "
            f"distance of ε(x,c) {told.mean():.3g}, at t = {t} {told[t - 1]:.3g}; "
            f"of ε(x,∅) {untold.mean():.3g}, at t = {t} {untold[t - 1]:.3g}\n"
            f"{at_t}. Set now: {drop_prob:.3g}"
        )
    return Picture(
        scene.canvas.png(),
        "left, what the network answers at t over x_t, told either class or no label, "
        "over broad lines of the exact answers; right, over t, the mean squared "
        "distances of learned to exact answers with and without the label",
        status,
        "" if run is None else _warn(run, float(told.mean()), float(untold.mean())),
    )


def _warn(run: Run, told: float, untold: float) -> str:
    """Say which of the two answers was never trained."""
    if run.drop_prob == 0:
        return (
            "No label was ever dropped: ε(x,∅) was never trained, and its distance "
            f"{untold:.2g} only shows what an untrained entry happens to answer."
        )
    if run.drop_prob == 1:
        exact = _bench().exact
        # told c, compared with the exact answer to no label
        shifted = run.eps_hat - exact[:, 2:] + exact
        ignored = float(errors(shifted)[0].mean())
        return (
            "Every label was dropped: what c stands for was never learned. Told c, the "
            f"network is {ignored:.2g} from the exact ε(x,∅), and {told:.2g} from the "
            "exact ε(x,c)."
        )
    return ""


def context_dropout_explorer() -> Any:
    """Build the widget: set the drop probability, train, and compare both answers.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
