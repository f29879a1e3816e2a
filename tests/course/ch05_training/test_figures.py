"""The figures of notebook 05: they draw, they show what they say, refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm import data
from minddpm.course.ch05_training import figures
from rooms import texts

FREQUENCIES = torch.logspace(0, 3, 16)
TIMES = torch.tensor([1, 3, 10, 100])
FLOOR = torch.tensor([0.9, 0.6, 0.3, 0.01])
LOSS = FLOOR + torch.tensor([0.01, 0.02, 0.1, 0.0])
MEANS, STD = data.ring_mixture()
SAMPLES = {
    name: data.points("ring", 400, generator=torch.Generator().manual_seed(k))[0]
    for k, name in enumerate(("data", "network"))
}

CALLS = {
    "time features": lambda: figures.plot_time_features(FREQUENCIES, 100, (10, 50)),
    "loss per t": lambda: figures.plot_loss_per_t(TIMES, FLOOR, {"network": LOSS}),
    "excess": lambda: figures.plot_excess(TIMES, FLOOR, LOSS, 0.1 * LOSS, LOSS - FLOOR),
    "modes": lambda: figures.plot_modes(SAMPLES, MEANS, STD),
    "copies": lambda: figures.plot_copies(SAMPLES["data"][:16], SAMPLES),
}


def test_a_time_is_most_like_itself():
    CALLS["time features"]()
    waves, alike = plt.gcf().axes
    assert len(waves.lines) == 4
    for line, mark in zip(alike.lines, (10, 50), strict=False):
        assert int(line.get_xdata()[np.argmax(line.get_ydata())]) == mark
        assert max(line.get_ydata()) == pytest.approx(1)


def test_few_frequencies_that_are_all_high_will_do():
    figures.plot_time_features(torch.tensor([300.0, 400, 500, 600]), 10, (1, 10))


def test_loss_per_t_draws_into_axes_of_yours_and_names_its_curves():
    _, ax = plt.subplots()
    figures.plot_loss_per_t(TIMES, FLOOR, {"told": LOSS, "hidden": 2 * LOSS}, ax=ax)
    assert len(plt.get_fignums()) == 1
    assert texts(ax)[1:] == ["told", "hidden"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), LOSS.numpy())
    assert ax.get_xscale() == "log"


def test_excess_is_loss_minus_floor_with_two_standard_errors():
    CALLS["excess"]()
    _, right = plt.gcf().axes
    (bars,) = right.containers
    excess = (LOSS - FLOOR).double().numpy()
    np.testing.assert_allclose(bars.lines[0].get_ydata(), excess, atol=1e-7)
    segments = np.stack(bars.lines[2][0].get_segments())
    lengths = segments[:, 1, 1] - segments[:, 0, 1]
    np.testing.assert_allclose(lengths, 0.4 * LOSS.numpy(), rtol=1e-5)


def test_copies_are_samples_over_the_points_of_training():
    CALLS["copies"]()
    points = SAMPLES["data"][:16].numpy()
    for ax, (name, x) in zip(plt.gcf().axes, SAMPLES.items(), strict=True):
        assert ax.get_title() == name
        dots, crosses = ax.collections
        np.testing.assert_array_equal(dots.get_offsets(), x.numpy())
        np.testing.assert_array_equal(crosses.get_offsets(), points)
        assert ax.get_xlim()[1] > np.abs(points).max()


def test_modes_are_as_wide_as_they_are():
    wide = SAMPLES["data"] + 0.0
    mode = torch.cdist(wide, MEANS).argmin(1)
    wide = MEANS[mode] + 2 * (wide - MEANS[mode])
    figures.plot_modes({"data": SAMPLES["data"], "wide": wide}, MEANS, STD)
    left, right = plt.gcf().axes
    truth, once, twice = right.lines
    assert set(truth.get_ydata()) == {STD}
    # 50 points a mode: a standard deviation has the relative error 1/√200
    np.testing.assert_allclose(once.get_ydata(), STD, rtol=5 / 200**0.5)
    np.testing.assert_allclose(twice.get_ydata(), 2 * np.array(once.get_ydata()), 0.1)
    assert len(left.patches) == 8
    assert left.get_title() == "wide"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: figures.plot_time_features(FREQUENCIES[:3], 100, (1, 2)),
            "frequencies must be at least 4, got 3",
        ),
        (
            lambda: figures.plot_time_features(FREQUENCIES, 100, (0, 2)),
            "times must be",
        ),
        (
            lambda: figures.plot_loss_per_t(TIMES, FLOOR, {}),
            "losses must be 1…3, got 0",
        ),
        (
            lambda: figures.plot_loss_per_t(TIMES, FLOOR, dict.fromkeys("abcd", LOSS)),
            "losses must be 1…3, got 4",
        ),
        (
            lambda: figures.plot_loss_per_t(TIMES, FLOOR, {"a": LOSS[:2]}),
            r"losses\['a'\]",
        ),
        (lambda: figures.plot_excess(TIMES, FLOOR[:3], LOSS, LOSS, LOSS), "floor"),
        (lambda: figures.plot_modes({}, MEANS, STD), "samples must be 1…4 sets, got 0"),
        (
            lambda: figures.plot_modes({"a": SAMPLES["data"][:1]}, MEANS, STD),
            "must have 2 points or more a mode",
        ),
        (
            lambda: figures.plot_copies(SAMPLES["data"], {"a": SAMPLES["data"]}),
            "samples must be 2 sets, got 1",
        ),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_no_losses():
    with pytest.raises(TypeError, match="floor"):
        figures.plot_loss_per_t(TIMES, TIMES, {"network": LOSS})
