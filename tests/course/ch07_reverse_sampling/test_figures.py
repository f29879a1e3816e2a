"""The figures of notebook 07: they draw, they show what they say, refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm import data
from minddpm.course.ch07_reverse_sampling import figures

GENERATOR = torch.Generator().manual_seed(0)
WALKS = torch.randn(11, 300, generator=GENERATOR)
POINTS = data.points("outline", 200, generator=GENERATOR)[0]
LARGE = data.points("outline", 100, generator=GENERATOR)[0]
GRID, TS = [21, 30, 50, 100], [25, 50]
CURVES = {"posterior": [0.2, 0.22, 0.25, 0.27], "beta": [0.36, 0.34, 0.32, 0.31]}
MEASURED = {"posterior": [0.21, 0.25], "beta": [0.35, 0.32]}
TRUTH = torch.tensor([0.5, 0.3, 0.2])
SHARES = {"nothing": torch.tensor([0.4, 0.4, 0.2]), "x_t": TRUTH}
PATHS = torch.randn(8, 3, 2, generator=GENERATOR)


def density(x, t):
    return torch.exp(-(x**2) / (2 + t)) / (1 + t)


CALLS = {
    "walks": lambda: figures.plot_walks(WALKS, density),
    "output std": lambda: figures.plot_output_std(
        GRID, CURVES, TS, MEASURED, truth=0.3, n=800
    ),
    "samples": lambda: figures.plot_samples({"a": LARGE, "b": POINTS}, POINTS),
    "outlines": lambda: figures.plot_outlines(
        {"plain": {25: LARGE, 50: POINTS}, "rescaled": {25: POINTS, 50: LARGE}}, POINTS
    ),
    "shares": lambda: figures.plot_shares(SHARES, TRUTH, n=100),
    "paths": lambda: figures.plot_paths({"η = 1": PATHS, "η = 0": 0.5 * PATHS}, POINTS),
}


def test_walks_run_from_noise_at_the_left_to_data_at_the_right():
    CALLS["walks"]()
    walks, end = plt.gcf().axes
    assert walks.get_xlim() == (10, 0)
    for k, line in enumerate(walks.lines):
        assert line.get_xdata()[0] == 10
        np.testing.assert_allclose(line.get_ydata(), WALKS[:, k].numpy())
    (heat,) = walks.images
    x = torch.linspace(float(WALKS.min()), float(WALKS.max()), 300)
    first = density(x, 10)
    np.testing.assert_allclose(
        heat.get_array()[:, 0], (first / first.max()).numpy(), rtol=1e-5
    )
    (curve,) = end.lines
    np.testing.assert_allclose(curve.get_xdata(), density(x, 0).numpy(), rtol=1e-5)


def test_output_std_shows_exact_curves_and_bars_of_two_standard_errors():
    CALLS["output std"]()
    (ax,) = plt.gcf().axes
    assert ax.get_xscale() == "log"
    lines = {tuple(line.get_ydata()) for line in ax.lines}
    assert {tuple(CURVES["beta"]), tuple(CURVES["posterior"]), (0.3, 0.3)} <= lines
    for bars, values in zip(ax.containers, MEASURED.values(), strict=True):
        values = values if bars.lines[0].get_ydata()[0] == values[0] else None
        values = values or bars.lines[0].get_ydata()
        (segments,) = bars.lines[2]
        for segment, value in zip(segments.get_segments(), values, strict=True):
            length = segment[1, 1] - segment[0, 1]
            assert length == pytest.approx(4 * value / 1600**0.5)


def test_samples_lie_over_the_data_in_its_frame():
    CALLS["samples"]()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["a", "b"]
    for ax, x in zip(axes, (LARGE, POINTS), strict=True):
        pale, dots = ax.collections
        np.testing.assert_allclose(pale.get_offsets(), POINTS.numpy())
        np.testing.assert_allclose(dots.get_offsets(), x.numpy())
        assert ax.get_xlim()[0] < POINTS[:, 0].min()
        assert ax.get_ylim()[1] > POINTS[:, 1].max()


def test_outlines_have_a_row_a_schedule_and_a_column_a_number_of_steps():
    CALLS["outlines"]()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["T = 25", "T = 50", "", ""]
    shown = [len(ax.collections[1].get_offsets()) for ax in axes]
    assert shown == [100, 200, 200, 100]
    texts = [text.get_text() for ax in axes for text in ax.texts]
    assert texts == ["plain", "rescaled"]


def test_shares_are_bars_with_two_standard_errors():
    CALLS["shares"]()
    (ax,) = plt.gcf().axes
    heights = [
        [bar.get_height() for bar in group]
        for group in ax.containers
        if hasattr(group, "patches")
    ]
    np.testing.assert_allclose(heights, [p.tolist() for p in SHARES.values()])
    first = next(group for group in ax.containers if hasattr(group, "patches"))
    (segments,) = first.errorbar.lines[2]
    low, high = segments.get_segments()[0][:, 1]
    assert high - low == pytest.approx(4 * (0.4 * 0.6 / 100) ** 0.5)


def test_paths_start_at_the_dots_and_end_at_the_others():
    CALLS["paths"]()
    left, right = plt.gcf().axes
    for ax, walks in ((left, PATHS), (right, 0.5 * PATHS)):
        _, starts, ends = ax.collections
        np.testing.assert_allclose(starts.get_offsets(), walks[0].numpy())
        np.testing.assert_allclose(ends.get_offsets(), walks[-1].numpy())
        for k, line in enumerate(ax.lines):
            np.testing.assert_allclose(line.get_xydata(), walks[:, k].numpy())
        assert ax.get_xlim()[1] > PATHS.abs().max()  # the frame cuts no walk off


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figures.plot_walks(WALKS[:1], density), "path must hold"),
        (lambda: figures.plot_walks(WALKS[0], density), "path"),
        (
            lambda: figures.plot_output_std(GRID, {}, TS, MEASURED, truth=0.3, n=9),
            "curves must be 'posterior' and 'beta'",
        ),
        (
            lambda: figures.plot_output_std(
                GRID[:2], CURVES, TS, MEASURED, truth=0.3, n=9
            ),
            "must have 2 exact and 2 measured",
        ),
        (lambda: figures.plot_samples({}, POINTS), "samples must be 1…4 sets, got 0"),
        (lambda: figures.plot_outlines({}, POINTS), "rows must have the same"),
        (
            lambda: figures.plot_outlines(
                {"a": {25: LARGE, 50: LARGE}, "b": {25: LARGE, 60: LARGE}}, POINTS
            ),
            "rows must have the same",
        ),
        (lambda: figures.plot_outlines({"a": {25: LARGE}}, POINTS), "2…6"),
        (lambda: figures.plot_shares({}, TRUTH, n=9), "shares must be 1…3 sets, got 0"),
        (lambda: figures.plot_shares({"a": TRUTH[:2]}, TRUTH, n=9), r"shares\['a'\]"),
        (lambda: figures.plot_paths({}, POINTS), "paths must be 1 or 2 sets, got 0"),
        (lambda: figures.plot_paths({"a": POINTS}, POINTS), r"paths\['a'\]"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_no_walks():
    with pytest.raises(TypeError, match="path"):
        figures.plot_walks(torch.zeros(3, 4, dtype=torch.int64), density)
