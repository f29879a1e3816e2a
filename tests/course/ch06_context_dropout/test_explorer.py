"""The explorer of notebook 06: what it trains, and what it says of it."""

import re

import pytest
import torch
from torch.testing import assert_close

from minddpm import DDPM, MLP
from minddpm.course.ch06_context_dropout import explorer as context_dropout


@pytest.fixture(scope="module")
def runs() -> dict[float, context_dropout.Run]:
    """Train as the button does, to the end."""
    return {p: [*context_dropout.work(p)][-1] for p in (0.0, 0.1, 1.0)}


class TestContextDropout:
    def test_the_errors_are_those_of_random_draws(self):
        mixture = context_dropout._bench().mixture
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            model = DDPM(MLP(1, 16, n_classes=2), schedule=mixture.schedule)
        found = context_dropout.errors(context_dropout._answers(model))
        draws = torch.Generator().manual_seed(0)
        n = 50_000
        for t in (1, 2, 30, 100):
            x0, c = mixture.sample(n, generator=draws)
            x_t = model.q_sample(x0, t, generator=draws)
            for label, error in zip((c, None), found, strict=True):
                with torch.no_grad():
                    apart = model.predict_eps(x_t, t, label) - mixture.eps(
                        x_t, t, label
                    )
                squares = apart.double().square()[:, 0]
                se = float(squares.std()) / n**0.5
                assert abs(float(squares.mean()) - float(error[t - 1])) < 5 * se

    def test_the_labels_worth_is_the_error_of_ignoring_it(self):
        mixture = context_dropout._bench().mixture
        draws = torch.Generator().manual_seed(0)
        x0, c = mixture.sample(50_000, generator=draws)
        ddpm = DDPM(mixture, schedule=mixture.schedule)
        for t in (1, 10, 34, 90):
            x_t = ddpm.q_sample(x0, t, generator=draws)
            apart = ddpm.predict_eps(x_t, t, c) - ddpm.predict_eps(x_t, t)
            squares = apart.double().square()[:, 0]
            se = float(squares.std()) / len(squares) ** 0.5
            worth = float(context_dropout.worth()[t - 1])
            assert abs(float(squares.mean()) - worth) < 5 * se
        told, untold = context_dropout.errors(context_dropout._bench().exact)
        assert float(told.max()) == float(untold.max()) == 0

    def test_numbers_are_those_of_the_run(self, runs):
        for p, run in runs.items():
            told, untold = context_dropout.errors(run.eps_hat)
            worth = context_dropout.worth()
            status = context_dropout.draw(drop_prob=0.2, t=17, run=run).status
            found = re.findall(r"(?<![\w.])\d[\d.]*(?:e-\d+)?", status)
            numbers = [p, 400, 400, told.mean(), 17, told[16], untold.mean(), 17]
            numbers += [untold[16], worth.mean(), 17, worth[16], 0.2]
            found = [float(text.rstrip(".")) for text in found]
            assert found == pytest.approx([float(v) for v in numbers], rel=6e-3)

    def test_what_was_never_trained_is_far_off(self, runs):
        worth = float(context_dropout.worth().mean())
        errors = {
            p: [float(e.mean()) for e in context_dropout.errors(run.eps_hat)]
            for p, run in runs.items()
        }
        assert max(errors[0.1]) < worth / 4
        assert errors[0.0][0] < worth / 20 < worth / 2 < errors[0.0][1]
        assert errors[1.0][1] < worth / 20 < worth / 2 < errors[1.0][0]

    def test_a_red_flag_where_one_answer_was_never_trained(self, runs):
        def warning(p: float) -> str:
            return context_dropout.draw(drop_prob=0.5, t=1, run=runs[p]).warning

        assert "ε(x,∅) was never trained" in warning(0.0)
        assert "what c stands for was never learned" in warning(1.0)
        assert warning(0.1) == ""
        bench, eps_hat = context_dropout._bench(), runs[1.0].eps_hat
        apart = (eps_hat - bench.exact[:, 2:]).square() * bench.mass
        ignored = float(apart[:, :2].sum((1, 2)).mean())
        assert f"is {ignored:.2g} from the exact ε(x,∅)" in warning(1.0)

    def test_the_grey_curves_are_the_first_settings(self, runs):
        errors = context_dropout.errors(runs[0.1].eps_hat)
        stored = context_dropout.REFERENCE_TOLD, context_dropout.REFERENCE_UNTOLD
        marks = torch.tensor(context_dropout._MARKS)
        for error, curve in zip(errors, stored, strict=True):
            apart = (error[marks - 1] / torch.tensor(curve)).log()
            # rounding differs between machines, and training carries it on
            assert float(apart.square().mean().sqrt()) < 0.2

    def test_same_settings_same_run_whatever_is_looked_at(self):
        first, second = (next(context_dropout.work(0.2, t=t)) for t in (1, 50))
        assert_close(first.eps_hat, second.eps_hat, rtol=0, atol=0)
        assert (first.drop_prob, first.steps) == (0.2, 40)

    def test_a_time_that_is_none_is_refused(self):
        with pytest.raises(ValueError, match="t must be in 1…100, got t = 101"):
            context_dropout.draw(drop_prob=0.1, t=101, run=None)
