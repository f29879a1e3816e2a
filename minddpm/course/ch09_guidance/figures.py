"""The figures of notebook 09: guidance. One call, one figure; see `plots`."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points
_GREY = "0.55"
_LOOKS = (_BLACK, _BLUE, _GREEN, _RED, _PURPLE)  # of curves, in the order of w
Curve = tuple[Tensor, Tensor]  # x and y, (G,) each
Bars = tuple[Tensor, Tensor]  # values and their standard errors, (K,) each


def plot_fields(
    x: Tensor,
    classes: Tensor,
    population: Tensor,
    eps: Mapping[float, Tensor],
    t: int,
) -> None:
    """Show three classes that overlap, and noise predictions along the line.

    At the left the density of each class, the first in blue, and the population's; at
    the right the predictions of the noise in x_t, guided towards the first class.

    Args:
        x: positions, (G,) float, rising.
        classes: density of each class, (K, G) float.
        population: density of the whole, (G,) float.
        eps: one to five predictions at time t, (G,) float each, by guidance weight.
        t: the time of the predictions.

    Raises:
        TypeError: if a value is no float tensor.
        ValueError: if a shape is wrong, or there are no predictions or too many.
    """
    n = len(x)
    place = _values("x", x, n)
    ends = float(place[0]), float(place[-1])
    classes = _validate.floats("classes", classes, (None, n)).detach().cpu().double()
    whole = _values("population", population, n)
    if not 1 <= len(eps) <= len(_LOOKS):
        raise ValueError(f"eps must be 1…{len(_LOOKS)} predictions, got {len(eps)}")
    with house_style():
        _, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0))
        for k, density in enumerate(classes):
            colour = _GREY if k else _BLUE
            left.plot(place, density, color=colour)
            top = int(density.argmax())
            name = str(k) if k else "class 0"
            _text(left, name, (place[top], density[top]), (0, 5), colour)
        left.plot(place, whole, color=_BLACK)
        middle = len(whole) // 2
        at = (float(place[middle]), float(whole[middle]))
        _text(left, "all", at, (0, -6), _BLACK, va="top")
        left.set(xlabel="$x_0$", xlim=ends, title="densities")
        left.set_ylim(0, 1.16 * float(classes.max()))
        for (w, values), colour in zip(eps.items(), _LOOKS, strict=False):
            values = _values(f"eps[{w!r}]", values, n)
            right.plot(place, values, color=colour)
            at = (float(place[-1]), float(values[-1]))
            how = {"ha": "left", "va": "center"}
            _text(right, _named(w), at, (6, 0), colour, **how)
        right.axhline(0, color="0.8", linewidth=1, zorder=0)
        right.set(xlabel="$x_t$", xlim=ends)
        right.set_title(rf"$\tilde{{\epsilon}}$ at $t$ = {t}, for class 0")


def plot_guided_laws(
    laws: Mapping[float, Curve],
    reference: Curve,
    w: Sequence[float],
    sampler: Sequence[tuple[Tensor, Tensor]],
    product: Sequence[tuple[Tensor, Tensor]],
) -> None:
    """Show how the law of guided samples moves and shrinks with w.

    At the left the densities, over the class's own in grey; at the right their means,
    in a band of one standard deviation, and a second set of them dashed.

    Args:
        laws: x and density, (G,) float each, by guidance weight; one to five of them.
        reference: the class's own x and density.
        w: guidance weights of the moments, rising.
        sampler: for each, mean and standard deviation of the sampler's law.
        product: the same of the product of densities.

    Raises:
        TypeError: if a value is no float tensor.
        ValueError: if a length is wrong, or there are no laws or too many.
    """
    if not 1 <= len(laws) <= len(_LOOKS):
        raise ValueError(f"laws must be 1…{len(_LOOKS)}, got {len(laws)}")
    mean, std = _values("sampler", torch.tensor(sampler), len(w), 2).T
    mean2, std2 = _values("product", torch.tensor(product), len(w), 2).T
    with house_style():
        _, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
        _shade(left, reference)
        for (weight, (x, density)), colour in zip(laws.items(), _LOOKS, strict=False):
            x, density = _values("x", x, len(x)), _values("density", density, len(x))
            left.plot(x, density, color=colour)
            row = 0.97 - 0.08 * len(left.texts)
            left.text(0.98, row, _named(weight), **_corner(left), color=colour)
        left.set(xlabel="$x_0$", xlim=(-3.5, 3.0), title="law of the samples")
        left.set_ylim(0, 1.1 * max(float(d.max()) for _, d in laws.values()))
        row = 0.97 - 0.08 * len(left.texts)
        left.text(0.98, row, "class 0", **_corner(left), color="0.45")
        right.fill_between(w, mean - std, mean + std, color=_BLUE, alpha=0.2, lw=0)
        right.plot(w, mean, "o-", color=_BLUE, markersize=5)
        for values, width in ((mean2, 2.4), (mean2 - std2, 1.2), (mean2 + std2, 1.2)):
            style: dict[str, Any] = {"linestyle": "--", "linewidth": width}
            right.plot(w, values, color=_RED, **style)
        right.text(0.98, 0.97, "sampler, exact", **_corner(right), color=_BLUE)
        right.text(0.98, 0.89, "product", **_corner(right), color=_RED)
        right.set(xlabel="w", title="mean ± standard deviation")


def plot_law_and_product(
    law: Curve, product: Curve, reference: Curve, samples: Tensor, w: float
) -> None:
    """Show what the guided sampler makes beside the product of densities.

    Args:
        law: x and exact density of the sampler's output, (G,) float each.
        product: x and density of the normalised product.
        reference: x and density of the class itself.
        samples: what was sampled, (N,) float, drawn as a histogram.
        w: the guidance weight, for the title.

    Raises:
        TypeError: if a value is no float tensor.
        ValueError: if a shape is wrong.
    """
    drawn = _validate.floats("samples", samples, (None,)).detach().cpu().double()
    with house_style():
        _, ax = plt.subplots(figsize=(WIDTH, 4.2))
        _shade(ax, reference)
        style: dict[str, Any] = {"bins": 80, "density": True, "color": _SKY}
        ax.hist(drawn.numpy(), range=(-3.5, 1.0), alpha=0.6, **style)
        curves = (
            ("sampler, exact", law, _BLUE, "-"),
            ("product", product, _RED, "--"),
        )
        top = 0.0
        for k, (name, (x, density), colour, line) in enumerate(curves):
            x, density = _values("x", x, len(x)), _values("density", density, len(x))
            ax.plot(x, density, color=colour, linestyle=line)
            at = (0.98, 0.97 - 0.09 * k)
            ax.text(*at, name, **_corner(ax), color=colour)
            top = max(top, float(density.max()))
        for k, (name, colour) in enumerate((("samples", _SKY), ("class 0", "0.45"))):
            ax.text(0.98, 0.79 - 0.09 * k, name, **_corner(ax), color=colour)
        ax.set(xlabel="$x_0$", xlim=(-3.5, 1.0), ylim=(0, 1.1 * top))
        ax.set_title(f"guided with w = {w:g}")


def plot_tradeoff(
    w: Sequence[float],
    accuracy: Tensor,
    spread: Tensor,
    real: tuple[float | Tensor, float | Tensor],
    nearest: Mapping[str, Bars],
) -> None:
    """Show what guidance buys and what it costs.

    At the left accuracy against diversity, a point for each w, and real data; at the
    right distances to the nearest neighbour, with bars of two standard errors.

    Args:
        w: guidance weights, rising.
        accuracy: share of samples that are read as their label, (K,) float.
        spread: standard deviation within a class, (K,) float.
        real: accuracy and spread of real data.
        nearest: mean distances and their standard errors, (K,) float each, by name;
            one to four of them.

    Raises:
        TypeError: if a value is no float tensor.
        ValueError: if a length is wrong, or there are no distances or too many.
    """
    n = len(w)
    real_accuracy, real_spread = map(float, real)
    accuracy = _values("accuracy", accuracy, n)
    spread = _values("spread", spread, n)
    if not 1 <= len(nearest) < len(_LOOKS):
        raise ValueError(f"nearest must be 1…{len(_LOOKS) - 1}, got {len(nearest)}")
    with house_style():
        _, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
        left.plot(spread, accuracy, "o-", color=_BLUE, markersize=7)
        for k, weight in enumerate(w):
            at = (float(spread[k]), float(accuracy[k]))
            beside = float(accuracy[k]) < 0.95
            shift, how = (0.0, 8.0), {}
            if beside:
                shift, how = (8.0, 0.0), {"ha": "left", "va": "center"}
            elif k == n - 1:
                shift, how = (6.0, 8.0), {"ha": "right"}
            name = _named(weight) if beside or k == n - 1 else f"{weight:g}"
            _text(left, name, at, shift, _BLUE, **how)
        left.plot(real_spread, real_accuracy, "s", color=_RED, markersize=9)
        _text(left, "real", (real_spread, real_accuracy), (0, -10), _RED, va="top")
        low, high = (
            min(float(spread.min()), real_spread),
            max(float(spread.max()), real_spread),
        )
        margin = 0.18 * (high - low)
        left.set(xlabel="std within a class", xlim=(low - margin, high + margin))
        bottom = min(float(accuracy.min()), real_accuracy)
        left.set_ylim(bottom - 0.15 * (1 - bottom), 1 + 0.15 * (1 - bottom))
        left.set_title("accuracy")
        for k, (name, (values, error)) in enumerate(nearest.items()):
            colour = (_BLUE, _RED, _GREEN, _PURPLE)[k]
            values, error = _values(name, values, n), _values(name, error, n)
            style = {"color": colour, "capsize": 3, "markersize": 5}
            right.errorbar(w, values, 2 * error, fmt="o-", **style)
            at = (0.5, 0.98 - 0.09 * k)
            how = {"transform": right.transAxes, "ha": "center", "va": "top"}
            right.text(*at, name, color=colour, fontsize=_SMALL, **how)
        bottom, top = right.get_ylim()
        right.set_ylim(bottom, top + (0.1 + 0.09 * len(nearest)) * (top - bottom))
        right.set(xlabel="w", title="nearest neighbour")


def _shade(ax: Axes, curve: Curve) -> None:
    """Fill the area under a density in grey."""
    x, density = (_values("reference", values, len(curve[0])) for values in curve)
    ax.fill_between(x, density, color="0.85", linewidth=0)


def _corner(ax: Axes) -> dict[str, Any]:
    """Return how to write into the upper right corner of a panel."""
    place = {"transform": ax.transAxes, "ha": "right", "va": "top"}
    return place | {"fontsize": _SMALL}


def _text(
    ax: Axes, text: str, at: Any, shift: tuple[float, float], colour: str, **how: Any
) -> None:
    """Write a small text beside a point, moved by so many points of type."""
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": _SMALL} | how
    ax.annotate(
        text,
        (float(at[0]), float(at[1])),
        shift,
        textcoords="offset points",
        annotation_clip=False,
        color=colour,
        **style,
    )


def _named(w: float) -> str:
    """Write a guidance weight."""
    return f"w = {w:g}".replace("-", "−")


def _values(name: str, values: Tensor, *shape: int) -> Tensor:
    """Return floats of this shape as float64 on the CPU."""
    return _validate.floats(name, values, shape).detach().cpu().double()
