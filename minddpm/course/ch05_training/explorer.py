"""The explorer of notebook 05: train a small network, and see how good it gets.

`draw` depends on its arguments alone; that it reuses a figure is for speed.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from minddpm import data
from minddpm.course.kit.canvas import Canvas, Picture
from minddpm.course.kit.controls import Button, Choice, Slider, panel
from minddpm.course.kit.plots import COLOURS, house_style
from minddpm.ddpm import DDPM
from minddpm.nets import MLP
from minddpm.oracle import GaussianMixture, loss_floor
from minddpm.schedule import Schedule
from minddpm.train import EMA

STEPS = 300
_LOOK_EVERY = 25  # steps
_T = 100
_DRAWS = 100  # at each t, to measure the excess
_TOP = 1.4  # end of the axis of the loss
_LOW, _HIGH = 1e-4, 3.0  # ends of the axis of the excess
_RATES = [float(f"{k}e{power}") for power in (-4, -3, -2) for k in (1, 2, 4, 8)] + [0.1]
_TIMES = ("sines and cosines", "the number t/T", "hidden")

REFERENCE: dict[str, Any] = {"batch": 256, "lr": 8e-3, "time": _TIMES[0]}
"""The setting at which the controls start, drawn in grey behind every other one."""

REFERENCE_LOSSES = (
    0.5691,
    0.46,
    0.4365,
    0.4264,
    0.4122,
    0.3851,
    0.4176,
    0.4092,
    0.407,
    0.4011,
    0.397,
    0.4095,
)
"""Its loss, the mean of every 25 steps."""

REFERENCE_EXCESS = (
    0.0402,
    0.0689,
    0.134,
    0.195,
    0.298,
    0.317,
    0.314,
    0.259,
    0.163,
    0.0574,
    0.0125,
    0.00245,
    0.00182,
    0.0011,
    0.000742,
)
"""Its excess at t = 1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75, 100."""

_MARKS = (1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 55, 75, 100)


class Run(NamedTuple):
    """A training run, or the first steps of one.

    Attributes:
        settings: batch, lr and time, as given.
        losses: of the steps so far, (n,).
        excess: of the averaged weights at t = 1…T, (T,).
    """

    settings: dict[str, Any]
    losses: Tensor
    excess: Tensor


class _Bench(NamedTuple):
    """What all runs share: data, the floor, and draws to measure the excess on."""

    points: Tensor  # (N, 2)
    floor: float
    t: Tensor  # (T · _DRAWS,)
    x_t: Tensor  # (T · _DRAWS, 2)
    exact: Tensor  # the exact denoiser's answer to them


@functools.cache
def _bench() -> _Bench:
    schedule = Schedule.cosine(_T)
    oracle = GaussianMixture(*data.ring_mixture(), schedule)
    draws = torch.Generator().manual_seed(0)
    points, _ = data.points("ring", 10_000, generator=draws)
    t = torch.arange(1, _T + 1).repeat_interleave(_DRAWS)
    x0, _ = data.points("ring", len(t), generator=draws)
    x_t = DDPM(oracle, schedule=schedule).q_sample(x0, t, generator=draws)
    floor = loss_floor(oracle, n=2000, generator=draws).mean
    return _Bench(points, floor, t, x_t, oracle.eps(x_t, t))


class _Told(nn.Module):
    """The MLP, told the time in one of three ways."""

    def __init__(self, time: str) -> None:
        super().__init__()
        self.as_number = time == _TIMES[1]
        self.hears = time == _TIMES[0]
        self.net = MLP(dim=3 if self.as_number else 2, n_feat=64)

    def forward(self, x_t: Tensor, c: Tensor, t: Tensor, mask: Tensor) -> Tensor:
        share = t.reshape(-1, 1).expand(len(x_t), 1)
        x = torch.cat([x_t, share], dim=1) if self.as_number else x_t
        heard = t if self.hears else torch.ones_like(t)
        return self.net(x, c, heard, mask)[:, :2]


def work(batch: int, lr: float, time: str) -> Iterator[Run]:
    """Train for `STEPS` steps; same settings, same run.

    Args:
        batch: points a step.
        lr: Adam's learning rate, kept all the way.
        time: how the network is told t, an option of the control.

    Returns:
        An iterator over the run so far, every 25 steps. It works as you go, and ends
        early if the loss is not finite.
    """
    bench = _bench()
    settings = {"batch": batch, "lr": lr, "time": time}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DDPM(_Told(time), schedule=Schedule.cosine(_T))
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    ema = EMA(model, decay=0.98)
    draws = torch.Generator().manual_seed(0)
    losses: list[float] = []
    for step in range(1, STEPS + 1):
        index = torch.randint(len(bench.points), (batch,), generator=draws)
        loss = model(bench.points[index], generator=draws)
        if not loss.isfinite():
            return
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        ema.update()
        if step % _LOOK_EVERY == 0:
            ema.swap()
            yield Run(settings, torch.tensor(losses), _excess(model))
            ema.swap()


@torch.no_grad()
def _excess(model: DDPM) -> Tensor:
    """Return the mean of (ε_θ − ε*)² at t = 1…T, (T,): the loss minus the floor."""
    bench = _bench()
    error = model.predict_eps(bench.x_t, bench.t) - bench.exact
    return error.square().mean(1).view(_T, _DRAWS).mean(1)


CONTROLS = (
    Slider("batch", "batch size", (8, 16, 32, 64, 128, 256, 512), REFERENCE["batch"]),
    Slider("lr", "learning rate", _RATES, REFERENCE["lr"]),
    Choice("time", "told the time", _TIMES, REFERENCE["time"]),
    Button("run", f"Train {STEPS} steps (about 2 s)", work),
)


class _Scene:
    """The figure, and what moves in it."""

    def __init__(self) -> None:
        bench = _bench()
        self.canvas = Canvas(height=3.7)
        left, right = self.canvas.figure.subplots(1, 2)
        left.set(xlim=(0, STEPS), ylim=(0, _TOP), xlabel="step", title="loss")
        left.axhline(bench.floor, color=COLOURS[1])
        beside = {"color": COLOURS[1], "ha": "right", "va": "top", "fontsize": 12}
        left.text(STEPS, bench.floor - 0.02, f"floor {bench.floor:.3f}", **beside)
        right.set(xscale="log", yscale="log", xlim=(0.9, 110), ylim=(_LOW, _HIGH))
        right.set(xlabel="t (log scale)", title="loss − floor at each t")
        right.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
        right.set_xticks([], minor=True)
        right.set_yticks([1e-3, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
        right.set_yticks([], minor=True)
        grey = {"color": "0.6", "linewidth": 3}
        middle = (np.arange(len(REFERENCE_LOSSES)) + 0.5) * _LOOK_EVERY
        left.plot(middle, REFERENCE_LOSSES, **grey)
        right.plot(_MARKS, REFERENCE_EXCESS, **grey)
        right.text(0.98, 0.98, "grey: first setting", color="0.4", fontsize=12)
        right.texts[-1].set(transform=right.transAxes, ha="right", va="top")
        blue = {"color": COLOURS[0], "animated": True}
        (self.thin,) = left.plot([], [], alpha=0.35, linewidth=0.8, **blue)
        (self.thick,) = left.plot([], [], **blue)
        (self.excess,) = right.plot([], [], **blue)


@functools.cache
def _scene() -> _Scene:
    with house_style():
        return _Scene()


def draw(batch: int, lr: float, time: str, run: Run | None) -> Picture:
    """Draw a training run over the floor, and its excess at each t.

    Args:
        batch: points a step, as set now for the next run.
        lr: its learning rate.
        time: how its network is told t.
        run: what `work` gave; None before the first run.

    Returns:
        The picture; its status says which settings the run had, its last losses, the
        floor and the excess.
    """
    scene, floor = _scene(), _bench().floor
    chosen = _say(batch, lr, time)
    if run is None:
        for line in (scene.thin, scene.thick, scene.excess):
            line.set_data([], [])
        area = torch.trapezoid(torch.tensor(REFERENCE_EXCESS), torch.tensor(_MARKS))
        share = float(area) / (_T - 1) / floor
        return Picture(
            scene.canvas.png(),
            "training curve over the floor, and excess of the loss at each t, of the "
            "first setting in grey",
            f"set: {chosen}. Press the button to train.\n"
            f"grey: {_say(**REFERENCE)}; excess {100 * share:.3g} % of the floor",
        )
    n = len(run.losses)
    steps = np.arange(1, n + 1)
    losses = run.losses.numpy()
    mean = losses.reshape(-1, _LOOK_EVERY).mean(1)
    scene.thin.set_data(steps, losses.clip(max=_TOP))
    middle = (np.arange(len(mean)) + 0.5) * _LOOK_EVERY
    scene.thick.set_data(middle, mean.clip(max=_TOP))
    scene.excess.set_data(np.arange(1, _T + 1), run.excess.numpy().clip(_LOW, _HIGH))
    own = _say(**run.settings)
    worst = int(run.excess.argmax()) + 1
    excess = float(run.excess.mean())
    return Picture(
        scene.canvas.png(),
        "training curve over the floor, and excess of the loss at each t, of this run "
        "in blue and of the first setting in grey",
        f"blue: {own}: {n} of {STEPS} steps, mean of the last {_LOOK_EVERY} losses "
        f"{mean[-1]:.3g}, floor {floor:.3f}\n"
        f"excess of the averaged weights: {100 * excess / floor:.3g} % of the floor, "
        f"largest at t = {worst}. Set now: {chosen}",
        _warn(n, excess, run.settings),
    )


def _say(batch: int, lr: float, time: str) -> str:
    told = {_TIMES[0]: "t as sines and cosines", _TIMES[1]: "t as a number"}
    return f"batch {batch}, learning rate {lr:.3g}, {told.get(time, 't hidden')}"


def _warn(n: int, excess: float, settings: dict[str, Any]) -> str:
    """Say what goes wrong in a run, if it is plain to see."""
    if excess > 0.9 * (1 - _bench().floor):
        return (
            "No better than a network that answers 0: the learning rate is too high or "
            "the run too short."
        )
    if n == STEPS and settings["time"] == _TIMES[2]:
        return (
            "Without t no network comes near the floor: the same x_t asks for "
            "different answers at different t."
        )
    return ""


def training_explorer() -> Any:
    """Build the widget: set batch size, learning rate, time embedding, and train.

    Returns:
        An ipywidgets box; see `panel`.
    """
    return panel(draw, CONTROLS)
