"""The figures of notebook 06: they draw, they show what they say, refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm import LossFloor
from minddpm.course.ch06_context_dropout import figures
from minddpm.course.kit.plots import COLOURS
from rooms import texts

X = torch.tensor([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.5]])
EPS = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.5, 0.5]])
DATA = torch.linspace(-1, 1, 12).view(6, 2), torch.tensor([0, 1, 2, 0, 1, 1])
FIELDS = {"told 1": (1, EPS), "told nothing": (None, 2 * EPS)}
FOUR = FIELDS | {"learned 1": (1, EPS), "learned nothing": (None, EPS)}
TIMES = torch.tensor([1, 3, 10, 100])
LOW = torch.tensor([0.8, 0.5, 0.2, 0.01])


def floor(per_t: torch.Tensor) -> LossFloor:
    per_t = per_t.double()
    return LossFloor(TIMES, per_t, 0 * per_t, float(per_t.mean()), 0.0)


TWO = {"p = 0": (0.001, 0.25), "p = 0.5": (torch.tensor(0.002), torch.tensor(0.004))}

CALLS = {
    "fields": lambda: figures.plot_fields(X, FIELDS, DATA),
    "four fields": lambda: figures.plot_fields(X, FOUR, DATA),
    "two floors": lambda: figures.plot_two_floors(floor(LOW), floor(LOW + 0.1), 0.2),
    "errors per t": lambda: figures.plot_errors_per_t(TIMES, LOW, 2 * LOW, 3 * LOW),
    "two errors": lambda: figures.plot_two_errors(TWO, worth=0.1),
}


def test_arrows_point_against_the_noise():
    CALLS["fields"]()
    one, none = plt.gcf().axes
    for ax, eps in ((one, EPS), (none, 2 * EPS)):
        (arrows,) = (c for c in ax.collections if hasattr(c, "U"))
        np.testing.assert_allclose(arrows.U, -eps[:, 0].numpy())
        np.testing.assert_allclose(arrows.V, -eps[:, 1].numpy())
        np.testing.assert_allclose(np.stack([arrows.X, arrows.Y], 1), X.numpy())


def test_below_the_arrows_lies_the_class_that_was_told():
    CALLS["fields"]()
    one, none = plt.gcf().axes
    assert len(one.collections[0].get_offsets()) == 3
    assert len(none.collections[0].get_offsets()) == 6
    assert one.title.get_color() == COLOURS[1]


def test_four_fields_make_two_rows():
    CALLS["four fields"]()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == list(FOUR)
    plt.gcf().canvas.draw()
    heights = [round(ax.get_position().y0, 3) for ax in axes]
    assert heights[0] == heights[1] > heights[2] == heights[3]


def test_the_floor_of_training_lies_between_the_two():
    _, ax = plt.subplots()
    figures.plot_two_floors(floor(LOW), floor(LOW + 0.1), 0.2, ax=ax)
    high, low, between = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(high - low, 0.1, rtol=1e-6)
    np.testing.assert_allclose(between, low + 0.02, rtol=1e-6)
    mean = floor(LOW).mean
    assert f"with the label: mean {mean:.3f}" in texts(ax)
    assert f"dropped with p = 0.2: mean {mean + 0.02:.3f}" in texts(ax)


def test_errors_per_t_are_what_they_were():
    _, ax = plt.subplots()
    figures.plot_errors_per_t(TIMES, LOW, 2 * LOW, 3 * LOW, ax=ax)
    assert len(plt.get_fignums()) == 1
    for line, factor in zip(ax.lines, (3, 2, 1), strict=True):
        np.testing.assert_allclose(line.get_ydata(), factor * LOW.numpy(), rtol=1e-6)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_each_network_has_a_row_with_both_errors():
    _, ax = plt.subplots()
    figures.plot_two_errors(TWO, worth=0.1, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(TWO)
    drawn = {
        (line.get_marker(), float(line.get_ydata()[0])): float(line.get_xdata()[0])
        for line in ax.lines
        if line.get_marker() != "None"
    }
    assert drawn == pytest.approx(
        {("s", 0): 0.001, ("o", 0): 0.25, ("s", 1): 0.002, ("o", 1): 0.004}
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: figures.plot_fields(X, {"a": (1, EPS)}, DATA),
            "fields must be 2…4, got 1",
        ),
        (
            lambda: figures.plot_fields(X, FIELDS | {"a": (0, EPS[:2])}, DATA),
            r"fields\['a'\]",
        ),
        (
            lambda: figures.plot_two_floors(floor(LOW), floor(LOW), 1.2),
            "drop_prob must be",
        ),
        (
            lambda: figures.plot_two_floors(
                floor(LOW), floor(LOW)._replace(t=TIMES + 1), 0.1
            ),
            "must be at the same times",
        ),
        (
            lambda: figures.plot_errors_per_t(TIMES, LOW[:2], LOW, LOW),
            "of_c",
        ),
        (lambda: figures.plot_two_errors({}, 0.1), "at least one network"),
        (
            lambda: figures.plot_two_errors({"a": (0.0, 1.0)}, 0.1),
            "must be positive numbers, got 0.0",
        ),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_no_errors():
    with pytest.raises(TypeError, match="of_u"):
        figures.plot_errors_per_t(TIMES, LOW, TIMES, LOW)
