"""The style of the figures, and what all of them are drawn with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from minddpm import _validate

STYLE = mpl.rc_params_from_file(
    Path(__file__).parents[1] / "house.mplstyle", use_default_template=False
)
"""The settings of house.mplstyle."""

COLOURS: list[str] = STYLE["axes.prop_cycle"].by_key()["color"]
"""Blue, vermilion, green, purple, black, sky."""

WIDTH = 9.0
"""Width of a figure, in inches."""

SMALL = 12  # size of the smallest text, in points


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the style of the course inside a `with` block, and nowhere else.

    Returns:
        A context manager.

    >>> with house_style():
    ...     plt.rcParams["font.size"]
    14.0
    """
    # Not rc_context: in a notebook the first figure starts matplotlib's backend, which
    # sets `interactive`; to restore that as well would hide every later figure.
    before = {name: mpl.rcParams[name] for name in STYLE}
    mpl.rcParams.update(STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


@contextmanager
def frame(
    axes: Axes | Sequence[Axes] | None, width: float, height: float, n: int = 1
) -> Iterator[list[Axes]]:
    """Give n Axes to draw into, those given or a new figure's, in the house style."""
    with house_style():
        if axes is None:
            size = (width, height)
            axes = list(plt.subplots(1, n, figsize=size, squeeze=False)[1][0])
        axes = [axes] if isinstance(axes, Axes) else list(axes)
        yield axes
        # ticks are made when the figure is shown, in the style of that moment
        for ax in axes:
            ax.tick_params(which="both", labelsize=mpl.rcParams["xtick.labelsize"])


def write(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float] = (0, 0),
    **how: Any,
) -> None:
    """Write text around a point of the data, moved by so many points of type."""
    how = {"ha": "center", "va": "center"} | how
    ax.annotate(
        text, at, shift, textcoords="offset points", annotation_clip=False, **how
    )


def arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str
) -> None:
    """Draw an arrow between two points of the data."""
    style = {"arrowstyle": "-|>", "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops={**style, "color": colour})


def class_names(
    labels: Tensor, n: int, names: Sequence[str] | None
) -> tuple[Tensor, dict[int, str]]:
    """Return n checked labels, and the name of each class that occurs."""
    labels = _validate.labels("labels", labels, n).cpu()
    classes = labels.unique().tolist()
    if names is not None and classes[-1] >= len(names):
        raise ValueError(
            f"names must name all {classes[-1] + 1} classes, got {len(names)}"
        )
    return labels, {k: str(k) if names is None else names[k] for k in classes}
