"""The figures of notebook 03: they draw, they show what they say, refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver

from minddpm import ExactDenoiser, GaussianMixture, Schedule, loss_floor
from minddpm.course.ch03_best_denoiser import figures
from rooms import texts

COSINE = Schedule.cosine(100)
POINTS = torch.tensor([-1.4, 0.2, 1.2])
LINE = GaussianMixture(POINTS[:, None], 0.25, COSINE)
STEPS = {"points": ExactDenoiser(POINTS[:, None], COSINE), "law": LINE}
SQUARE = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
PLANE = ExactDenoiser(SQUARE, COSINE)
FLOORS = {
    name: loss_floor(PLANE, [1, 50, 100], 20, generator=torch.Generator())
    for name in ("a", "b")
}
BINS = torch.linspace(-2, 2, 9)

CALLS = {
    "posterior": lambda: figures.plot_posterior(POINTS, COSINE, [5, 40, 90]),
    "regression": lambda: figures.plot_regression(
        BINS, BINS / 2, {"half": (BINS, BINS / 2), "far": (BINS, 9 * BINS)}, BINS
    ),
    "steps": lambda: figures.plot_steps(STEPS, 4),
    "arrows": lambda: figures.plot_arrows_and_floors(PLANE, SQUARE, FLOORS, (2, 99)),
}


def test_the_posterior_has_a_bell_a_point_and_the_guess_below():
    CALLS["posterior"]()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["t = 5", "t = 40", "t = 90", "", "", ""]
    total, *bells = (line.get_ydata() for line in axes[1].lines)
    assert len(bells) == 3
    np.testing.assert_allclose(sum(bells), total)
    *levels, guess = axes[4].lines
    assert [line.get_ydata()[0] for line in levels] == pytest.approx(POINTS.tolist())
    x = torch.as_tensor(guess.get_xdata())[:, None]
    expected = STEPS["points"].denoise(x, 40)[:, 0]
    np.testing.assert_allclose(guess.get_ydata(), expected)


def test_means_stay_in_the_frame_and_a_far_one_is_shown():
    CALLS["regression"]()
    left, _ = plt.gcf().axes
    low, high = left.get_ylim()
    assert low < -1 < 1 < high < 9
    assert texts(left) == ["mean of a bin", "half", "far"]
    plt.close("all")
    figures.plot_regression(BINS, BINS, {}, 100 * BINS)
    assert plt.gcf().axes[1].get_ylim()[1] > 200


def test_the_last_law_is_behind_all_others():
    CALLS["steps"]()
    points, law = plt.gcf().axes
    np.testing.assert_array_equal(points.lines[0].get_ydata(), law.lines[1].get_ydata())
    curve = torch.as_tensor(points.lines[1].get_ydata())[:, None]
    on_a_step = (curve - POINTS).abs().amin(1) < 1e-3
    assert 0.9 < float(on_a_step.float().mean()) < 1
    assert points.get_title() == "points"


def test_arrows_lead_to_the_best_guess():
    CALLS["arrows"]()
    small, large, floors = plt.gcf().axes
    (arrows,) = (a for a in small.collections if isinstance(a, Quiver))
    start = torch.as_tensor(np.asarray(arrows.get_offsets()))
    end = start + torch.tensor(np.stack([arrows.U, arrows.V], axis=1))
    expected = PLANE.denoise(start.float(), 2)
    torch.testing.assert_close(end.float(), expected, atol=1e-5, rtol=0)
    assert large.get_title() == "t = 99"
    means = [f"{name}: mean {floor.mean:.3f}" for name, floor in FLOORS.items()]
    assert texts(floors) == means


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: figures.plot_posterior([1.0], COSINE, [1, 2]), TypeError, "points"),
        (lambda: figures.plot_posterior(POINTS[:1], COSINE, [1, 2]), ValueError, "2…6"),
        (
            lambda: figures.plot_posterior(POINTS, COSINE, [5]),
            ValueError,
            "at least two",
        ),
        (lambda: figures.plot_posterior(POINTS, COSINE, [5, 101]), ValueError, "1…100"),
        (
            lambda: figures.plot_regression(BINS, BINS[1:], {}, BINS),
            ValueError,
            "means must have shape",
        ),
        (
            lambda: figures.plot_regression(BINS, BINS, {}, [0.0]),
            TypeError,
            "z must be",
        ),
        (
            lambda: figures.plot_regression(BINS, BINS, dict.fromkeys("abcd"), BINS),
            ValueError,
            "at most 3, got 4",
        ),
        (lambda: figures.plot_steps({"law": LINE}, 4), ValueError, "2…4, got 1"),
        (
            lambda: figures.plot_steps({**STEPS, "p": PLANE}, 4),
            ValueError,
            r"'p'\].*\(1,",
        ),
        (lambda: figures.plot_steps(STEPS, 0), ValueError, "t must be in 1…100"),
        (
            lambda: figures.plot_arrows_and_floors(LINE, SQUARE, FLOORS, (1, 2)),
            ValueError,
            r"denoiser must be a law of data \(2,\), got \(1,\)",
        ),
        (
            lambda: figures.plot_arrows_and_floors(PLANE, POINTS, FLOORS, (1, 2)),
            ValueError,
            "points must have shape",
        ),
        (
            lambda: figures.plot_arrows_and_floors(PLANE, SQUARE, {}, (1, 2)),
            ValueError,
            "1…4, got 0",
        ),
        (
            lambda: figures.plot_arrows_and_floors(PLANE, SQUARE, FLOORS, (1, 2, 3)),
            ValueError,
            "two times, got 3",
        ),
    ],
)
def test_nonsense_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
    assert not plt.get_fignums()
