"""The law of a sampler, carried on a grid, against formulas and recursions."""

import numpy as np
import pytest
import torch

from minddpm.course.kit import law as laws
from minddpm.course.kit.law import Law


class TestLaw:
    def test_linear_steps_follow_the_two_line_recursion(self):
        mean, variance = 0.0, 1.0
        gains = [0.7, 0.9, 0.8, 0.5]
        sigmas = np.array([0.3, 0.05, 0.0, 0.1])
        for gain, sigma in zip(gains, sigmas, strict=True):
            mean, variance = gain * mean + 0.2, gain**2 * variance + sigma**2
        sent = np.stack([gain * laws.grid() + 0.2 for gain in gains])
        law = laws.carry(laws.normal(), sent, sigmas)
        assert law.moments() == pytest.approx((mean, variance**0.5), abs=1e-6)
        edges = np.linspace(-0.5, 1.5, 21)
        normal = torch.distributions.Normal(mean, variance**0.5)
        exact = normal.cdf(torch.tensor(edges)).diff()
        np.testing.assert_allclose(law.shares(edges), exact, atol=1e-4)

    @pytest.mark.parametrize("fine", [1, 4])
    def test_without_any_noise_it_is_a_change_of_variable(self, fine):
        sent = np.stack([np.tanh(laws.grid(fine)), laws.grid(fine) ** 3])
        law = laws.carry(laws.normal(fine), sent, np.zeros(2))
        edges = np.array([-1, -0.1, 0.01, 0.3, 1])
        back = np.arctanh(np.cbrt(edges).clip(-1 + 1e-12, 1 - 1e-12))
        exact = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor(back)).diff()
        np.testing.assert_allclose(law.shares(edges), exact, atol=2e-4)

    def test_moments_up_to_the_third_survive_the_grid(self):
        x = np.random.default_rng(0).uniform(-4, 4, (1, 512))
        places, shares = laws._neighbours(x)
        grid = laws.grid()[places.reshape(4, -1)]
        for power in range(4):
            np.testing.assert_allclose((shares[0] * grid**power).sum(0), x[0] ** power)

    def test_a_part_has_its_own_spread(self):
        law = Law(np.array([-1.0, 1.0, 3.0]), np.array([0.5, 0.25, 0.25]))
        assert law.part(0, 9) == pytest.approx((0.5, 1.0))
        assert law.part(7, 9) == (0.0, 0.0)
