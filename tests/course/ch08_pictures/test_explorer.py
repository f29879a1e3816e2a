"""The explorer of notebook 08: it shows the steps that it is given."""

import re

import numpy as np
import pytest
import torch

from minddpm import Step, data
from minddpm.course.ch08_pictures import explorer as stored_run
from playing import assert_sound, start


def film_of(shape: tuple[int, ...], n_steps: int = 4) -> list[Step]:
    draws = torch.Generator().manual_seed(0)
    times = range(10 * n_steps, 0, -10)
    return [Step(t, *torch.randn(2, *shape, generator=draws)) for t in times]


def shown(film: stored_run.Film) -> list[np.ndarray]:
    """Return the pixels of the three pictures that were drawn last."""
    return [cells._A for cells in film._scene.cells]


class TestStoredRun:
    def test_numbers_are_those_of_the_steps(self):
        steps = film_of((3, 1, 5, 4))
        film = stored_run.Film(steps)
        x0_hat = torch.stack([s.x0_hat for s in steps]).clamp(-1, 1)
        end = steps[-1].x_s.clamp(-1, 1)
        for which, chosen in (("all", slice(None)), ("3", slice(2, 3))):
            for k in (1, 2, 3):
                status = film.draw(k + 1, which).status
                found = re.findall(r"\d+\.?\d*", status.replace("x̂_0", ""))
                moved = (x0_hat[k] - x0_hat[k - 1])[chosen].square().mean().sqrt()
                ahead = (x0_hat[k] - end)[chosen].square().mean().sqrt()
                t, s = 40 - 10 * k, max(0, 30 - 10 * k)
                expected = [3, k + 1, 4, t, s, moved, ahead]
                expected = ([3] if which == "3" else []) + expected
                expected = list(map(float, expected))
                assert [float(v) for v in found[: len(expected)]] == pytest.approx(
                    expected, abs=6e-4
                )
        assert "the first x̂_0" in film.draw(1, "2").status

    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_pictures_are_the_steps(self, channels):
        steps = film_of((2, channels, 3, 5))
        film = stored_run.Film(steps)
        film.draw(2, "2")
        tensors = steps[1].x_s, steps[1].x0_hat, steps[-1].x_s
        for pixels, x in zip(shown(film), tensors, strict=True):
            level = (x[1].clamp(-1, 1).permute(1, 2, 0) + 1) / 2 * 255
            # black is −1 and white is 1; a byte is rounded
            np.testing.assert_allclose(pixels[..., :3], level.expand(3, 5, 3), atol=0.6)

    @pytest.mark.parametrize("n", [1, 2, 5, 12, 80])
    def test_all_pictures_lie_side_by_side_in_order(self, n):
        film = stored_run.Film(film_of((n, 1, 8, 8), 2))
        assert film.draw(1, "all").size == (900, 420)
        pixels = shown(film)[0]
        columns = (pixels.shape[1] + 1) // 9
        first = film._x_s[0]
        for k in range(min(n, 64)):
            top, left = (9 * place for place in divmod(k, columns))
            tile = pixels[top : top + 8, left : left + 8, :3]
            np.testing.assert_array_equal(tile, first[k])
        x, y, _ = stored_run._sheet(first[:64])
        assert 0 <= x[0] < x[-1] <= stored_run._ASPECT + 1e-9
        assert 0 <= y[0] < y[-1] <= 1 + 1e-9
        assert np.diff(x)[0] == pytest.approx(np.diff(y)[0])

    @pytest.mark.parametrize(
        ("shape", "n_steps"),
        [((1, 1, 8, 8), 1), ((2, 3, 28, 28), 1), ((70, 1, 4, 6), 3)],
    )
    def test_any_run_of_pictures_will_do(self, shape, n_steps):
        film = stored_run.Film(film_of(shape, n_steps))
        step, which = film.controls
        assert which.value == which.options[0] == ("all" if shape[0] > 1 else "1")
        for k in (step.values[0], step.values[-1]):
            for choice in (which.options[0], which.options[-1]):
                assert_sound(film.draw(k, choice))

    def test_a_red_flag_where_a_prediction_leaves_the_range(self):
        steps = [
            step._replace(x0_hat=step.x0_hat * 0.1) for step in film_of((2, 1, 4, 4))
        ]
        assert stored_run.Film(steps).draw(2, "all").warning == ""
        steps[1].x0_hat[1] = 3.0
        film = stored_run.Film(steps)
        assert "by 2 (RMS)" in film.draw(2, "2").warning
        assert "by 1.41 (RMS)" in film.draw(2, "all").warning
        assert film.draw(2, "1").warning == film.draw(3, "all").warning == ""

    def test_the_run_without_a_run_ends_at_known_digits(self):
        images, _ = data.load("digits")
        known = (images + 1) * 127.5
        ends = torch.from_numpy(stored_run._example()._x_s[-1, ..., 0]).float()
        apart = torch.cdist(ends.flatten(1), known.flatten(1)).amin(1)
        assert float(apart.max()) <= 0.5 * 8, "more than rounding 64 pixels"
        settings = start(stored_run)
        film = stored_run._example()
        assert stored_run.draw(**settings) == film.draw(**settings)
        assert film.controls == stored_run.CONTROLS

    @pytest.mark.parametrize(
        ("steps", "error", "message"),
        [
            ([], ValueError, "at least one step, got none"),
            (iter(film_of((1, 1, 4, 4))), TypeError, "must be a list of Step, got"),
            ([torch.zeros(1, 1, 4, 4)], TypeError, "must be a list of Step, got list"),
            (film_of((5, 2)), ValueError, r"must hold pictures, grey .* got \(5, 2\)"),
            (film_of((5, 2, 4, 4)), ValueError, r"RGB \(B, 3, H, W\), got \(5, 2, 4"),
            (film_of((0, 1, 4, 4)), ValueError, r"got \(0, 1, 4, 4\)"),
            (film_of((1, 1, 4, 4))[::-1], ValueError, "with falling t, got t = 10…40"),
            (
                [Step(2, torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 5, 4))],
                ValueError,
                "x0_hat must have shape",
            ),
            (
                [Step(2, torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), torch.nan))],
                ValueError,
                "x0_hat must hold numbers, got NaN at t = 2",
            ),
        ],
        ids=[
            *("empty", "used up", "no steps", "points", "channels", "none", "rising"),
            *("shapes", "nan"),
        ],
    )
    def test_what_is_no_run_of_pictures_says_so(self, steps, error, message):
        with pytest.raises(error, match=message):
            stored_run.stored_run_explorer(steps)

    @pytest.mark.parametrize(
        ("step", "which", "message"),
        [
            (0, "all", "step must be in 1…4, got 0"),
            (1, "3", "one of all, 1, 2; got '3'"),
        ],
    )
    def test_a_step_or_a_picture_that_is_none_is_refused(self, step, which, message):
        film = stored_run.Film(film_of((2, 1, 4, 4)))
        with pytest.raises(ValueError, match=message):
            film.draw(step, which)

    @pytest.mark.filterwarnings("default")  # ipywidgets without a kernel
    def test_the_widget_shows_the_run_it_is_given(self):
        pytest.importorskip("ipywidgets")
        widget = stored_run.stored_run_explorer(film_of((2, 1, 4, 4)))
        assert (
            "all 2 pictures: step 1 of 4, from t = 40 to s = 30" in widget.status.value
        )
        widget.controls["step"].value = 4
        widget.controls["which"].value = "2"
        assert "picture 2 of 2: step 4 of 4, from t = 10" in widget.status.value
