"""The figures of notebook 08: pictures. One call, one figure; see `plots`."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from minddpm import _validate
from minddpm.course.kit.plots import COLOURS, WIDTH, house_style
from minddpm.nets import UNet

_BLUE, _RED, _GREEN, _PURPLE, _BLACK, _SKY = COLOURS
_SMALL = 12  # size of the smallest text, in points
_LOOKS = ((_BLUE, "-"), (_RED, "--"), (_BLACK, "-"), (_PURPLE, "-"))


def plot_unet(network: UNet, size: tuple[int, int, int]) -> None:
    """Show what comes out of each block of a U-Net, and its skips.

    One box for each block, from left to right in the order in which they run, at the
    height of its resolution. In it: channels, height × width.

    Args:
        network: the U-Net; it is run once, on a picture of zeros.
        size: (C, H, W) of the pictures.

    Raises:
        TypeError: if the network is no UNet.
        ValueError: if there are other channels than it takes.
    """
    if not isinstance(network, UNet):
        raise TypeError(f"network must be a UNet, got {type(network).__name__}")
    for k in size:
        _validate.integer("size", k, 1)
    if len(size) != 3 or size[0] != network.in_channels:
        raise ValueError(f"size must be ({network.in_channels}, H, W), got {size}")
    boxes = _boxes(network, size)
    n, n_down = len(boxes), len(network.downs)
    levels = [math.log2(shape[1] / boxes[0][1][1]) for _, shape in boxes]
    first = 3  # of the blocks that are told time and label
    last = first + 2 * n_down + len(network.middle) - 1
    with house_style():
        deep = min(levels)
        _, ax = plt.subplots(figsize=(WIDTH, 1.9 - 1.05 * deep))
        for k, ((name, shape), y) in enumerate(zip(boxes, levels, strict=True)):
            told = first <= k <= last
            _box(ax, k, y, name, shape, _BLUE if told else _BLACK)
        for k, (y, z) in enumerate(pairwise(levels)):
            # a step down leaves at the side and arrives at the side as well
            _arrow(ax, (k + 0.42, y), (k + 0.58, z), _BLACK)
        for k in range(n_down):
            start, end = first + k, last - k
            y = levels[start] + 0.34
            bend = -0.9 / (end - start)
            _arrow(ax, (start, y), (end, y), _GREEN, bend)
        middle = (first + last) / 2
        top = levels[first] + 0.34 + 0.47
        ax.text(middle, top, "skips", color=_GREEN, ha="center", va="bottom")
        text = "time and label go into every blue block"
        how: dict[str, Any] = {"color": _BLUE, "ha": "left", "fontsize": _SMALL}
        ax.text(-0.45, deep - 0.2, text, va="center", **how)
        ax.set(xlim=(-0.5, n - 0.5), ylim=(deep - 0.75, 0.65))
        ax.set_axis_off()


def _boxes(network: UNet, size: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """Return (name, (C, H, W)) of the picture, of every block's output, of the answer.

    The blocks are those that time and label go into, and the two convolutions around.
    """
    seen: list[tuple[str, tuple[int, ...]]] = []

    def note(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if name == "enter":
                seen.append(("fold", tuple(inputs[0].shape[1:])))
            seen.append((name, tuple(output.shape[1:])))

        return module.register_forward_hook(hook)

    named: list[tuple[str, nn.Module]] = [("enter", network.enter)]
    named += [("down", block) for block in network.downs]
    named += [("middle", block) for block in network.middle]
    named += [("up", block) for block in network.ups]
    hooks = [note(name, block) for name, block in [*named, ("leave", network.leave)]]
    device = next(network.parameters()).device
    one, none = torch.ones(1, device=device), torch.zeros(1, device=device)
    x = torch.zeros(1, *size, device=device)
    try:
        with torch.no_grad():
            answer = network(x, none.long(), one, none)
    finally:
        for hook in hooks:
            hook.remove()
    return [("$x_t$", size), *seen, (r"$\epsilon_\theta$", tuple(answer.shape[1:]))]


def _box(
    ax: Axes, x: float, y: float, name: str, shape: tuple[int, ...], colour: str
) -> None:
    """Draw one block's output, with its name above."""
    box = FancyBboxPatch(
        *((x - 0.34, y - 0.25), 0.68, 0.5),
        boxstyle="round,pad=0.04",
        facecolor="white",
        edgecolor=colour,
        linewidth=2,
    )
    ax.add_patch(box)
    channels, height, width = shape
    how: dict[str, Any] = {"ha": "center", "fontsize": _SMALL}
    ax.text(x, y + 0.02, f"{channels}", va="bottom", weight="bold", **how)
    ax.text(x, y - 0.02, f"{height}×{width}", va="top", **how)
    ax.text(x, y - 0.33, name, va="top", color=colour, **how)


def _arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    bend: float = 0.0,
) -> None:
    """Draw an arrow, straight or as an arc."""
    style = {"arrowstyle": "-|>", "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    style |= {"connectionstyle": f"arc3,rad={bend}", "color": colour}
    ax.annotate("", end, start, arrowprops=style)


def plot_loss_by_t(
    curves: Mapping[str, tuple[Tensor, Tensor]], *, ax: Axes | None = None
) -> None:
    """Show the loss at each time, on logarithmic scales, with neighbours merged.

    Merged is what lies close on the logarithmic axis of t; the mean of a group is
    weighted by the counts. What is below a thousandth leaves the frame.

    Args:
        curves: up to four, by name: the mean loss at each time and the number of draws
            it is from, both (T+1,); entry 0 is not shown.
        ax: where to draw; None makes a figure.

    Raises:
        TypeError: if a mean is no float tensor.
        ValueError: if there are no curves or too many, lengths differ, or a curve has
            no draw at any time from 1 on.
    """
    if not 1 <= len(curves) <= len(_LOOKS):
        raise ValueError(f"curves must be 1…{len(_LOOKS)}, got {len(curves)}")
    groups = {
        name: _merged(name, *pair) for name, pair in curves.items()
    }  # {name: (times, means)}
    T = max(len(mean) for mean, _ in curves.values()) - 1
    with house_style():
        if ax is None:
            ax = plt.subplots(figsize=(WIDTH, 4.6))[1]
        ax.axhline(1, color="0.6", linewidth=1.2, linestyle=":")
        how: dict[str, Any] = {"fontsize": _SMALL, "transform": ax.transAxes}
        looks = zip(groups.items(), _LOOKS, strict=False)
        for k, ((name, (times, means)), (colour, line)) in enumerate(looks):
            style: dict[str, Any] = {"marker": "o", "markersize": 4}
            ax.plot(times, np.maximum(means, 1e-9), line, color=colour, **style)
            at = (0.99, 0.99 - 0.075 * k)
            ax.text(*at, name, color=colour, ha="right", va="top", **how)
        top = max(3.0, *(float(means.max()) for _, means in groups.values()))
        ax.set(xscale="log", yscale="log", xlabel="t (log scale)")
        ax.set(ylim=(1e-3, 2 * top), xlim=(0.9, 1.1 * T), title="loss at each t")
        text = "a network that answers 0"
        ax.text(T, 1.12, text, color="0.4", ha="right", va="bottom", fontsize=_SMALL)
        ticks = [k for k in (1, 3, 10, 30, 100, 300, 1000) if k <= T]
        ax.set_xticks(ticks, list(map(str, ticks)))
        ax.set_xticks([], minor=True)


def _merged(name: str, mean: Tensor, count: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return mean times and mean losses of groups that are even on a log scale."""
    mean = _validate.floats(f"curves[{name!r}]", mean, (None,)).detach().cpu().double()
    count = torch.as_tensor(count).detach().cpu().double()
    if count.shape != mean.shape or not count[1:].any():
        raise ValueError(
            f"curves[{name!r}] must have as many counts as means, {len(mean)}, and a "
            f"draw at some time; got {tuple(count.shape)} counts"
        )
    t = torch.arange(len(mean), dtype=torch.float64)
    group = (4 * t.clamp(min=1).log2()).round().long()  # four in each doubling
    n = int(group.max()) + 1
    weight = torch.where(t > 0, count, 0)
    totals = [
        torch.zeros(n, dtype=torch.float64).index_add(0, group, values)
        for values in (weight, weight * t, weight * mean)
    ]
    some = totals[0] > 0
    share = [(total[some] / totals[0][some]).numpy() for total in totals[1:]]
    return share[0], share[1]
