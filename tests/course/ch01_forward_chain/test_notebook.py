"""Formulas and claims of notebook 01 that no other test covers.

Equation 2 itself is in test_equations.py. Statistical tests have a fixed seed, state
the standard error of what they compare and fail at five of them.
"""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from minddpm import DDPM, MLP, Schedule

BETAS = [0.15, 0.1, 0.4, 0.2, 0.55]


def chain(x0, betas, generator, shrink=True):
    """Run [DDPM eq. 2] in plain arithmetic and return x_0…x_T."""
    rows = [x0]
    for beta in betas:
        eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype)
        factor = math.sqrt(1 - beta) if shrink else 1.0
        rows.append(factor * rows[-1] + math.sqrt(beta) * eps)
    return torch.stack(rows)


@pytest.mark.parametrize("variance", [0.0, 0.5, 1.0, 3.0])
def test_the_variance_follows_its_recursion(variance):
    """Var x_t = (1−β_t) Var x_{t−1} + β_t; standard error Var √(2/n)."""
    n, generator = 100_000, torch.Generator().manual_seed(0)
    x0 = math.sqrt(variance) * torch.randn(n, generator=generator).double()
    measured = chain(x0, BETAS, generator).var(dim=1)
    expected, left = variance, 1.0
    for t, beta in enumerate(BETAS, 1):
        before = expected
        expected = (1 - beta) * expected + beta
        # the same with 1 subtracted, and the product over all steps so far
        assert expected - 1 == pytest.approx((1 - beta) * (before - 1))
        left *= 1 - beta
        assert expected == pytest.approx(1 + left * (variance - 1))
        error = expected * math.sqrt(2 / n)
        assert abs(float(measured[t]) - expected) < 5 * error, t


def test_without_shrinking_the_variance_is_the_sum():
    """Var y_T = Var x_0 + Σβ_t; standard error Var √(2/n)."""
    n, generator = 100_000, torch.Generator().manual_seed(1)
    x0 = torch.randn(n, generator=generator).double()
    end = chain(x0, BETAS, generator, shrink=False)[-1]
    expected = 1 + sum(BETAS)
    assert abs(float(end.var()) - expected) < 5 * expected * math.sqrt(2 / n)


def test_the_joint_density_is_the_product_of_the_steps():
    """q(x_{1:T} | x_0) = ∏ q(x_t | x_{t−1}), against the joint Gaussian.

    Its covariance is built from scratch: x_{1:T} is linear in the T noises.
    """
    x0, T = 0.7, len(BETAS)
    linear = torch.zeros(T, T, dtype=torch.float64)  # x_t = mean + Σ_s linear[t, s] ε_s
    for s in range(T):
        linear[s, s] = math.sqrt(BETAS[s])
        for t in range(s + 1, T):
            linear[t, s] = math.sqrt(1 - BETAS[t]) * linear[t - 1, s]
    mean = x0 * torch.tensor(1 - np.array(BETAS)).cumprod(0).sqrt()
    joint = MultivariateNormal(mean, linear @ linear.T)
    path = torch.randn(
        8, T, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    product = torch.zeros(8, dtype=torch.float64)
    x_s = torch.full((8,), x0, dtype=torch.float64)
    for t, beta in enumerate(BETAS):
        step = Normal(math.sqrt(1 - beta) * x_s, math.sqrt(beta))
        product += step.log_prob(path[:, t])
        x_s = path[:, t]
    assert_close(joint.log_prob(path), product)


def test_given_the_present_the_past_does_not_matter():
    """Regress x_5 on (x_4, x_0): the factor of x_0 is 0 within 5 standard errors."""
    n, generator = 100_000, torch.Generator().manual_seed(3)
    x0 = torch.where(torch.rand(n, generator=generator) < 0.3, -1.0, 0.6).double()
    path = chain(x0, BETAS, generator)
    design = torch.stack([path[4], x0, torch.ones(n).double()], dim=1)
    fit = torch.linalg.lstsq(design, path[5]).solution
    errors = (torch.linalg.inv(design.T @ design).diagonal() * BETAS[4]).sqrt()
    expected = torch.tensor([math.sqrt(1 - BETAS[4]), 0.0, 0.0]).double()
    assert ((fit - expected).abs() < 5 * errors).all(), (fit, errors)


@pytest.mark.parametrize("T", [100, 1000])
def test_the_ends_are_as_far_apart_as_the_starts_times_the_root(T):
    """E[x_T | x_0] = √∏(1−β_t) x_0; standard error of the gap √(2 Var/n)."""
    n, generator = 20_000, torch.Generator().manual_seed(4)
    schedule = Schedule.linear(T)
    ddpm = DDPM(MLP(dim=1, n_feat=8), schedule=schedule)
    x = torch.tensor([-1.5, 1.5]).expand(n, 2)
    for t in range(1, T + 1):
        x = ddpm.q_step(x, t, generator=generator)
    share = math.prod(1 - b for b in np.linspace(1e-4, 0.02, T))
    gap = float((x[:, 1] - x[:, 0]).mean())
    error = math.sqrt(2 * (1 - share) / n)
    assert abs(gap - 3 * math.sqrt(share)) < 5 * error


def test_the_answer_to_exercise_1_4():
    assert 0.98**227 >= 0.01 > 0.98**228
    assert math.log(0.01) / math.log(0.98) == pytest.approx(227.9, abs=0.1)
