"""The explorer of notebook 02: its numbers, its dots and its red flag."""

import re

import pytest

from minddpm import Schedule
from minddpm.course.ch02_closed_form import explorer
from playing import assert_sound, start


class TestSchedule:
    BEGIN = start(explorer)

    @pytest.mark.parametrize(
        ("change", "schedule"),
        [
            ({}, Schedule.linear()),
            ({"T": 50}, Schedule.linear(50)),
            ({"T": 50, "rescale": True}, Schedule.linear(50, rescale=True)),
            ({"beta_1": 1e-3, "beta_T": 0.1}, Schedule.linear(1000, 1e-3, 0.1)),
            ({"kind": "cosine", "T": 20}, Schedule.cosine(20)),
            ({"kind": "cosine"}, Schedule.cosine()),
            ({"kind": "sigmoid", "T": 137}, Schedule.sigmoid(137)),
        ],
    )
    def test_numbers_are_the_packages(self, change, schedule):
        for t in (1, schedule.T // 2, schedule.T):
            settings = self.BEGIN | change | {"t": t}
            status = explorer.draw(**settings).status
            numbers = re.findall(r"-?\d[\d.]*(?:e-?\d+)?", status.replace("log₁₀", ""))
            names = ("t", "T", "beta", "signal", "snr", "end")
            found = dict(zip(names, numbers, strict=False))  # there are more
            assert int(found["t"]) == t
            assert int(found["T"]) == schedule.T
            exact = schedule.betas[t], schedule.sqrt_alpha_bars[t]
            assert float(found["beta"]) == pytest.approx(float(exact[0]), rel=1e-3)
            assert float(found["signal"]) == pytest.approx(float(exact[1]), rel=5e-3)
            log_snr = float(schedule.snr[t].log10())
            assert float(found["snr"]) == pytest.approx(log_snr, abs=6e-3)
            end = float(schedule.sqrt_alpha_bars[-1])
            assert float(found["end"]) == pytest.approx(end, rel=5e-3)

    @pytest.mark.parametrize(
        "change",
        [{"kind": "cosine", "t": 1000}, {"beta_T": 0.5, "T": 200, "t": 200}],
    )
    def test_every_dot_is_on_its_axis_to_the_last_step(self, change):
        explorer.draw(**self.BEGIN | change)
        for dot in explorer._scene().dots:
            ((x, y),) = dot.get_xydata()
            (left, right), (low, high) = dot.axes.get_xlim(), dot.axes.get_ylim()
            assert left < x < right
            assert low < y < high

    @pytest.mark.parametrize(
        ("change", "percent"),
        [({"T": 400, "t": 300}, 13), ({"T": 50, "t": 9}, 78), ({"beta_T": 0.01}, 8)],
    )
    def test_a_red_flag_where_the_picture_survives(self, change, percent):
        picture = explorer.draw(**self.BEGIN | change)
        assert f"at {percent} % of its contrast" in picture.warning
        red = (assert_sound(picture) == (0xB3, 0x26, 0x1E)).all(axis=2).sum()
        calm = assert_sound(explorer.draw(**self.BEGIN))
        assert red > 1000 > (calm == (0xB3, 0x26, 0x1E)).all(axis=2).sum()

    @pytest.mark.parametrize(
        "change", [{}, {"T": 50, "t": 9, "rescale": True}, {"kind": "cosine"}]
    )
    def test_no_red_flag_where_it_does_not(self, change):
        assert explorer.draw(**self.BEGIN | change).warning == ""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"T": 10, "t": 1, "rescale": True}, "0 < beta_1 < beta_T < 0.01"),
            ({"beta_1": 0.02, "beta_T": 0.01}, "0 < beta_1 < beta_T < 1"),
            ({"beta_T": 0.5}, "fewer steps or smaller betas leave some signal"),
            ({"T": 100, "t": 101}, "t must be in 1…100, got 101"),
            ({"kind": "quadratic"}, "kind must be one of linear, cosine, sigmoid"),
        ],
    )
    def test_what_is_impossible_says_why(self, change, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            explorer.draw(**self.BEGIN | change)
