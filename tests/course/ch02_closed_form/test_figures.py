"""The figures of notebook 02: they draw, they count right, they refuse nonsense."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minddpm import Schedule
from minddpm.course.ch02_closed_form import figures
from rooms import texts

N = 20_000
NORMAL = torch.randn(N, generator=torch.Generator().manual_seed(0))
SCHEDULES = {"linear": Schedule.linear(1000), "cosine": Schedule.cosine(1000)}

CALLS = {
    "chain": lambda: figures.plot_chain_against_formula(
        {1: NORMAL, 2: 3 + 0.1 * NORMAL}, {1: (0.0, 1.0), 2: (3.0, 0.1)}, title="Title"
    ),
    "budget": lambda: figures.plot_noise_budget(SCHEDULES["linear"]),
    "budget, one step": lambda: figures.plot_noise_budget(
        Schedule.from_betas([0.3]), groups=1
    ),
    "log odds": lambda: figures.plot_log_odds(SCHEDULES),
    "log odds, all signal": lambda: figures.plot_log_odds({"few": Schedule.linear(5)}),
    "last signal": lambda: figures.plot_last_signal(
        {"a": {50: 0.78, 1000: 0.0064}, "b": {50: 0.001, 1000: 0.0064}}
    ),
}


def test_bars_outside_the_band_are_counted():
    """At 4 standard errors chance puts one bar outside in about 160 such figures."""
    CALLS["chain"]()
    assert texts().count("0 of 30\noutside") == 2
    plt.close("all")
    figures.plot_chain_against_formula({1: NORMAL}, {1: (0.0, 0.9)})
    (found,) = [text for text in texts() if text.endswith("outside")]
    assert int(found.split()[0]) > 15


def test_the_shares_fill_the_variance():
    CALLS["budget"]()
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in plt.gca().collections]
    assert max(tops) == pytest.approx(1)
    assert "noise of\nsteps 751–1000" in texts()


def test_the_end_of_each_schedule_is_written_beside_it():
    CALLS["log odds"]()
    ends = [text for text in texts() if ":" in text]
    assert any(text.startswith("linear") and "0.0064" in text for text in ends)
    assert any(text.startswith("cosine") and "0.000049" in text for text in ends)


def test_last_signals_are_points_with_their_names_and_red_above_a_twentieth():
    CALLS["last signal"]()
    first, second, limit = plt.gca().lines
    np.testing.assert_allclose(first.get_xydata(), [[50, 0.78], [1000, 0.0064]])
    np.testing.assert_allclose(second.get_xydata(), [[50, 0.001], [1000, 0.0064]])
    assert set(limit.get_ydata()) == {0.05}
    (red,) = plt.gca().patches
    assert red.get_y() == 0.05
    names = {text.get_text(): text for text in plt.gca().texts}
    assert names["a"].get_color() == first.get_color()
    assert names["b"].get_color() == second.get_color()
    assert names["b"].xy[1] >= 1.5 * names["a"].xy[1], "the same end, two lines"


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (
            lambda: figures.plot_chain_against_formula({}, {}),
            ValueError,
            "chain and laws must be for the same times, at least one",
        ),
        (
            lambda: figures.plot_chain_against_formula({1: NORMAL}, {2: (0, 1)}),
            ValueError,
            r"same times, at least one; got \[1\] and \[2\]",
        ),
        (
            lambda: figures.plot_chain_against_formula({1: NORMAL}, {1: (0, 0)}),
            ValueError,
            "std must be positive, got 0",
        ),
        (
            lambda: figures.plot_chain_against_formula({1: NORMAL[None]}, {1: (0, 1)}),
            ValueError,
            r"chain must have shape \(any,\)",
        ),
        (
            lambda: figures.plot_noise_budget([0.1]),
            TypeError,
            "schedule must be a Schedule, got list",
        ),
        (
            lambda: figures.plot_noise_budget(SCHEDULES["linear"], groups=5),
            ValueError,
            "groups must be in 1…4, got 5",
        ),
        (lambda: figures.plot_log_odds({}), ValueError, "schedules must be 1…4, got 0"),
        (
            lambda: figures.plot_log_odds({"a": 3}),
            TypeError,
            r"schedules\['a'\] must be a Schedule, got int",
        ),
        (lambda: figures.plot_last_signal({}), ValueError, "ends must be 1…4 kinds"),
        (
            lambda: figures.plot_last_signal({"a": {50: 0.0}}),
            ValueError,
            r"ends\['a'\] must hold numbers in \(0, 1\]",
        ),
    ],
)
def test_errors_name_the_argument_and_the_rule(call, kind, match):
    with pytest.raises(kind, match=match):
        call()
