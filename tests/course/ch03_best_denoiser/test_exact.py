"""The curves of the explorer against the package's own estimate of the floor."""

import pytest
import torch

from minddpm.course.ch03_best_denoiser import exact
from minddpm.oracle import loss_floor


@pytest.mark.parametrize("n", [2, 7, 400])
def test_the_curve_is_the_floor_of_the_oracle(n):
    law, ts = exact.known(n), [1, 5, 21, 45, 77, 100]
    generator = torch.Generator().manual_seed(5)
    floor = loss_floor(law.oracle, ts, 20_000, generator=generator)
    index = floor.t.numpy() - 1
    error = (law.error[index] ** 2 + floor.standard_error.numpy() ** 2) ** 0.5
    gap = abs(law.floor[index] - floor.per_t.numpy())
    often = floor.per_t.numpy() > 0.01  # below, all hangs on a few of the draws
    assert often.sum() >= 3
    assert (gap < 5 * error)[often].all()
    assert (law.floor[index] < 0.01)[~often].all()
