"""The figures of notebook 04: they draw without a warning, and refuse what is wrong."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm.course.ch04_noise_prediction_loss import figures

T, N = 20, 300
NOISE = torch.randn(4, N, 1, generator=torch.Generator().manual_seed(0))
X0, X_S, X_T, REST = NOISE
PLANE = torch.tensor([0.4, 0.6])
WIDTHS = {"measured": 0.02, "β": 0.04}
TERMS = torch.linspace(-1, 0.5, T + 1)
SHARES = {"all": torch.ones(10) / 10, "first": torch.eye(10)[0]}
WEIGHTS = {"first": torch.linspace(0, 2, T + 1), "second": torch.ones(T + 1)}

CALLS = {
    "paths": lambda: figures.plot_bound_per_path(X0, {"one": X0 + REST, "two": X0}),
    "triples": lambda: figures.plot_triples(
        X0, X_T, X_S, plane=PLANE, variances=WIDTHS
    ),
    "terms": lambda: figures.plot_bound_terms(TERMS, {"w": 1 / WEIGHTS["first"]}),
    "two weights": lambda: figures.plot_bound_terms(TERMS, WEIGHTS),
    "shares": lambda: figures.plot_loss_shares(SHARES),
}


def test_draws_into_given_axes():
    _, axes = plt.subplots(3, 2)
    figures.plot_bound_per_path(X0, {"one": X0, "two": X0}, axes=axes[0])
    figures.plot_bound_terms(TERMS, WEIGHTS, axes=axes[1])
    figures.plot_loss_shares(SHARES, axes=axes[2])
    assert len(plt.get_fignums()) == 1
    assert all(ax.has_data() for ax in axes.flat)


def test_the_text_says_how_far_the_average_is_above():
    figures.plot_bound_per_path(X0, {"one": X0 + 0.25})
    texts = " ".join(text.get_text() for text in plt.gca().texts)
    assert "+0.25000 nats" in texts


def test_sticks_end_on_the_plane_and_the_histogram_holds_all_points():
    figures.plot_triples(X0, X_T, X_S, plane=PLANE, variances=WIDTHS)
    space, flat = plt.gcf().axes
    stick = space.lines[0].get_data_3d()
    assert stick[2][0] == pytest.approx(0.4 * stick[0][0] + 0.6 * stick[1][0], abs=1e-6)
    assert stick[2][1] == pytest.approx(float(X_S[0]), abs=1e-6)
    assert len(flat.lines) == 2


def test_bars_are_the_terms_and_infinite_weights_are_left_out():
    figures.plot_bound_terms(TERMS, {"w": 1 / WEIGHTS["first"]})
    bars, curves = plt.gcf().axes
    heights = sorted(bar.get_height() for bar in bars.patches)
    assert heights == pytest.approx(sorted(TERMS[:-1].tolist()))
    _, curve = curves.lines
    assert np.isfinite(curve.get_ydata()).all()


def test_bars_are_the_shares():
    figures.plot_loss_shares(SHARES)
    first, second = plt.gcf().axes
    assert [bar.get_height() for bar in first.patches] == pytest.approx([0.1] * 10)
    assert "100%" in second.texts[0].get_text()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: figures.plot_bound_per_path(X0, {"one": X0[:-1]}),
            ValueError,
            r"one must have shape \(300, 1\), got \(299, 1\)",
        ),
        (
            lambda: figures.plot_bound_per_path(X0, {}),
            ValueError,
            r"number of bounds must be in 1…3, got 0",
        ),
        (
            lambda: figures.plot_bound_per_path(X0, {"one": X0}, axes=[1, 2]),
            ValueError,
            "axes must be 1, one for each of bounds, got 2",
        ),
        (
            lambda: figures.plot_bound_per_path([1.0], {"one": X0}),
            TypeError,
            "exact must be a float tensor, got list",
        ),
        (
            lambda: figures.plot_triples(X0, X_T, X_S, plane=X0, variances=WIDTHS),
            ValueError,
            r"plane must have shape \(2,\)",
        ),
        (
            lambda: figures.plot_triples(
                X0, X_T[:5], X_S, plane=PLANE, variances=WIDTHS
            ),
            ValueError,
            r"x_t must have shape \(300, 1\), got \(5, 1\)",
        ),
        (
            lambda: figures.plot_triples(
                X0, X_T, X_S, plane=PLANE, variances={"v": 0.0}
            ),
            ValueError,
            r"variances\['v'\] must be positive, got 0",
        ),
        (
            lambda: figures.plot_triples(X0, X_T, X_S, plane=PLANE, variances={}),
            ValueError,
            "number of variances must be in 1…3, got 0",
        ),
        (
            lambda: figures.plot_bound_terms(TERMS, {"w": torch.ones(5)}),
            ValueError,
            r"w must have shape \(21,\), got \(5,\)",
        ),
        (
            lambda: figures.plot_bound_terms(TERMS, {}),
            ValueError,
            "number of weights must be in 1…3, got 0",
        ),
        (
            lambda: figures.plot_bound_terms(TERMS, WEIGHTS, axes=[1]),
            ValueError,
            "axes must be two, bars and weights, got 1",
        ),
        (
            lambda: figures.plot_loss_shares({"w": torch.ones(5)}),
            ValueError,
            r"w must have shape \(10,\), got \(5,\)",
        ),
        (
            lambda: figures.plot_loss_shares({}),
            ValueError,
            "number of shares must be in 1…4, got 0",
        ),
        (
            lambda: figures.plot_loss_shares(SHARES, axes=[1]),
            ValueError,
            "axes must be 2, one for each of shares, got 1",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
