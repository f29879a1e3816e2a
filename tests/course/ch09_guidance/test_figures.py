"""The figures of notebook 09: they draw, they show what they say, refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm.course.ch09_guidance import figures
from rooms import texts

X = torch.linspace(-4, 4, 161, dtype=torch.float64)


def bell(mean: float, std: float = 0.5) -> torch.Tensor:
    z = (X - mean) / std
    return torch.exp(-(z**2) / 2) / (std * (2 * torch.pi) ** 0.5)


CLASSES = torch.stack([bell(-1), bell(0), bell(1)])
EPS = {-1: X, 0: X + 0.5, 4: X + 2.5}
CURVE = (X, bell(-1))
W = (-1.0, 0.0, 4.0)
SAMPLER = [(0.0, 0.9), (-1.0, 0.5), (-1.6, 0.3)]
PRODUCT = [(0.0, 0.9), (-1.0, 0.5), (-1.3, 0.4)]
NUMBERS = torch.tensor([0.3, 0.9, 1.0])
NEAR = {"there": (3 * NUMBERS, 0.1 * NUMBERS), "back": (2 * NUMBERS, 0.1 * NUMBERS)}
SAMPLES = -1 + 0.5 * torch.randn(2000, generator=torch.Generator().manual_seed(0))


def guided(laws=None, sampler=SAMPLER):
    laws = {0.0: CURVE, 4.0: (X, bell(-1.6, 0.3))} if laws is None else laws
    figures.plot_guided_laws(laws, CURVE, W, sampler, PRODUCT)


def tradeoff(nearest=NEAR, accuracy=NUMBERS, spread=0.4 - 0.2 * NUMBERS):
    figures.plot_tradeoff(W, accuracy, spread, (0.98, 0.41), nearest)


CALLS = {
    "fields": lambda: figures.plot_fields(X, CLASSES, CLASSES.mean(0), EPS, 40),
    "guided laws": guided,
    "law and product": lambda: figures.plot_law_and_product(
        CURVE, (X, bell(-1.2)), CURVE, SAMPLES, 4.0
    ),
    "tradeoff": tradeoff,
}


def test_fields_names_classes_and_weights_where_their_curves_are():
    CALLS["fields"]()
    left, right = plt.gcf().axes
    assert texts(left) == ["class 0", "1", "2", "all"]
    assert texts(right) == ["w = −1", "w = 0", "w = 4"]
    for text, values in zip(right.texts, EPS.values(), strict=True):
        assert text.xy[1] == pytest.approx(float(values[-1]))
    np.testing.assert_allclose(left.lines[3].get_ydata(), CLASSES.mean(0).numpy())


def test_guided_laws_show_mean_and_band_of_both():
    guided()
    left, right = plt.gcf().axes
    assert texts(left) == ["w = 0", "w = 4", "class 0"]
    mean, *dashed = right.lines
    np.testing.assert_allclose(mean.get_ydata(), [0, -1, -1.6], atol=1e-6)
    ends = [float(line.get_ydata()[2]) for line in dashed]
    np.testing.assert_allclose(ends, [-1.3, -1.7, -0.9], atol=1e-6)
    (band,) = right.collections
    corners = band.get_paths()[0].vertices
    at_4 = corners[corners[:, 0] == 4][:, 1]
    assert at_4.min() == pytest.approx(-1.9)
    assert at_4.max() == pytest.approx(-1.3)


def test_the_histogram_is_a_density():
    CALLS["law and product"]()
    (ax,) = plt.gcf().axes
    area = sum(bar.get_height() * bar.get_width() for bar in ax.patches)
    assert area == pytest.approx(1)
    assert texts(ax) == ["sampler, exact", "product", "samples", "class 0"]


def test_tradeoff_puts_points_at_spread_and_accuracy_with_two_standard_errors():
    tradeoff()
    left, right = plt.gcf().axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), NUMBERS, atol=1e-6)
    np.testing.assert_allclose(left.lines[1].get_xydata(), [[0.41, 0.98]])
    segments = np.stack(right.containers[0].lines[2][0].get_segments())
    np.testing.assert_allclose(
        segments[:, 1, 1] - segments[:, 0, 1], 0.4 * NUMBERS.numpy(), rtol=1e-5
    )
    assert texts(left)[-1] == "real"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: figures.plot_fields(X, CLASSES, X, {}, 1),
            "eps must be 1…5 predictions, got 0",
        ),
        (lambda: figures.plot_fields(X, CLASSES[:, 1:], X, EPS, 1), "classes"),
        (lambda: figures.plot_fields(X, CLASSES, X[1:], EPS, 1), "population"),
        (lambda: figures.plot_fields(X, CLASSES, X, {2: X[1:]}, 1), r"eps\[2\]"),
        (lambda: guided({}), "laws must be 1…5, got 0"),
        (lambda: guided(dict.fromkeys(range(6), CURVE)), "laws must be 1…5, got 6"),
        (lambda: guided(sampler=SAMPLER[:2]), "sampler"),
        (lambda: guided({0.0: (X, X[1:])}), "density"),
        (
            lambda: figures.plot_law_and_product(
                CURVE, CURVE, CURVE, SAMPLES[:, None], 1.0
            ),
            "samples",
        ),
        (lambda: tradeoff({}), "nearest must be 1…4, got 0"),
        (lambda: tradeoff(accuracy=NUMBERS[:2]), "accuracy"),
        (lambda: tradeoff(spread=NUMBERS[:2]), "spread"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_are_no_densities():
    with pytest.raises(TypeError, match="population"):
        figures.plot_fields(X, CLASSES, X.long(), EPS, 1)
