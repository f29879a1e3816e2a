"""The exercises of notebook 05: the loss, the time embedding, and the excess."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch05_training.exercises_loss import LOSS
from minddpm.course.kit.exercise import Exercise, mistakes
from minddpm.course.kit.report import show

# --- 5.2 ------------------------------------------------------------------------------


def time_features(t: Tensor, T: int, frequencies: Tensor) -> Tensor:
    """[sin(ω_1 t/T), …, sin(ω_F t/T), cos(ω_1 t/T), …, cos(ω_F t/T)].

    Args:
        t: times, (B,) int64 in 1…T.
        T: number of steps, an int.
        frequencies: ω, (F,) float.

    Returns:
        The features, (B, 2F).
    """
    return _features(t[:, None].double() / T * frequencies)


def _features(phase: Tensor) -> Tensor:
    return torch.cat([phase.sin(), phase.cos()], 1)


_FEATURE_HINTS = {
    "not_divided": "The phase is ω times the share t / T, not times t.",
    "index_shift": "t counts from 1 to T here; nothing is to be subtracted.",
    "wrong_order": "First all sines, then all cosines.",
    "two_pi": "The phase is ω t / T as it stands, in radians, with no 2π.",
    "upside_down": "A high frequency makes the phase grow fast with t.",
    "one_frequency": "Each column has a frequency of its own.",
    "no_sines": "Half of the columns are sines.",
    "no_cosines": "Half of the columns are cosines.",
}


def _known_features(t: Tensor, T: int, w: Tensor) -> dict[str, list[Tensor]]:
    """Return what known mistakes give for the features."""
    k = t[:, None].double()
    share = k / T
    phase = share * w
    sin, cos = phase.sin(), phase.cos()
    phases = {
        "not_divided": [k * w],
        "index_shift": [(k - 1) / T * w, k / (T + 1) * w, (k - 1) / (T - 1) * w],
        "two_pi": [math.pi * phase, 2 * math.pi * phase],
        "upside_down": [share / w, w / share],
        "one_frequency": [share * w[:1] + 0 * w, share + 0 * w],
    }
    return {name: list(map(_features, row)) for name, row in phases.items()} | {
        "wrong_order": [
            torch.cat([cos, sin], 1),
            *(torch.stack(pair, 2).flatten(1) for pair in ([sin, cos], [cos, sin])),
        ],
        "no_sines": [torch.cat([cos, cos], 1)],
        "no_cosines": [torch.cat([sin, sin], 1)],
    }


def _times() -> Iterator[dict[str, Any]]:
    for B, T, F in ((7, 100, 5), (4, 40, 4), (1, 30, 3), (9, 1000, 1)):
        t = torch.randint(1, T + 1, (B,))
        w = (0.2 + torch.rand(F)) * (100 / T) * 1.9 ** torch.randperm(F)
        yield {"t": t, "T": T, "frequencies": w}


TIME_FEATURES = Exercise(
    "Exercise 5.2: the time embedding",
    time_features,
    _times,
    mistakes(_FEATURE_HINTS, _known_features),
    tolerance=3e-4,  # of sines of large phases, in float32
    show=lambda x, t, T, **_: f"T = {T}, t = {t[0]}: {show(x[0])}",
    hint="Build the phases first, (B, F): one row for each t, one column for each ω.",
    praise="The first layer of the network sees these in place of t / T.",
)

# --- 5.3 ------------------------------------------------------------------------------


def excess(losses_net: Tensor, losses_exact: Tensor) -> tuple[Tensor, Tensor]:
    """mean(d) and std(d)/√n of d_i = l_i(net) − l_i(exact), paired differences.

    Args:
        losses_net: the losses of the network, (n,) float.
        losses_exact: those of the exact denoiser on the same draws, (n,) float.

    Returns:
        The mean of the differences and its standard error, two scalars.
    """
    d = losses_net.double() - losses_exact
    return d.mean(), d.std() / len(d) ** 0.5


_EXCESS_HINTS = {
    "wrong_sign": "A network worse than the exact denoiser has a positive excess.",
    "relative": "Return the difference itself; the percentage comes later.",
    "not_paired": "What is hard for one is hard for both: does that go away in yours?",
    "no_root_n": "The standard error of a mean of n values is std / √n.",
    "variance_or_std": "The standard error is a standard deviation, not a variance.",
    "swapped": "Return the mean first, then its standard error.",
    "reduction": "The mean of the differences, not their sum.",
    "absolute": "Keep the signs: some draws the network does better, by luck.",
    "two_errors": "Return one standard error, not the two of an interval.",
}


def _known_excess(a: Tensor, b: Tensor) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Return what known mistakes give for the excess and its error."""
    a, b = a.double(), b.double()
    d, root = a - b, len(a) ** 0.5
    mean, std, error = d.mean(), d.std(), d.std() / root
    apart = (a.var() + b.var()).sqrt(), a.std() + b.std(), (a.std() - b.std()).abs()
    ratios = mean / b.mean(), a.mean() / b.mean(), (d / b).mean()
    sizes = [(each.mean(), each.std() / root) for each in (d.abs(), d.square())]
    return {
        "wrong_sign": [(-mean, error)],
        "relative": [
            (ratio, e) for ratio in ratios for e in (error, error / b.mean(), 0 * error)
        ],
        "not_paired": [(mean, x / root) for x in (*apart, a.std(), b.std())],
        "no_root_n": [(mean, std), (mean, error / root)],
        "variance_or_std": [(mean, std**2 / k) for k in (1, root, len(a))],
        "swapped": [(error, mean)],
        "reduction": [(d.sum(), error), (d.abs().sum(), error)],
        "absolute": [*sizes, *((size, error) for size, _ in sizes)],
        "two_errors": [(mean, 2 * error), (mean, 1.96 * error)],
    }


def _losses() -> Iterator[dict[str, Tensor]]:
    for n, gap in ((400, 0.3), (1000, 0.8)):
        exact = 0.5 + 1.4 * torch.randn(n).square()
        net = exact + gap + 0.5 * torch.randn(n) * torch.linspace(0.2, 1.4, n)
        yield {"losses_net": net, "losses_exact": exact}


EXCESS = Exercise(
    "Exercise 5.3: the excess and its standard error",
    excess,
    _losses,
    mistakes(_EXCESS_HINTS, _known_excess),
    show=lambda x, losses_net, **_: f"n = {len(losses_net)}: {x[0]:.5g} ± {x[1]:.5g}",
    hint="Take the difference sample by sample; its mean, and its std over √n.",
    praise="Without the pairing the error would have been several times as large.",
)

EXERCISES = [LOSS, TIME_FEATURES, EXCESS]
