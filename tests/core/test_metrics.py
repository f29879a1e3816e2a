"""Numbers that judge samples, against closed forms, brute force and real pictures."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core.shared import randn, seeded
from minddpm import data
from minddpm.metrics import class_accuracy, frechet_distance, nearest_distances


def with_moments(
    n: int, mean: torch.Tensor, covariance: torch.Tensor, seed: int = 0
) -> torch.Tensor:
    """Numbers whose mean and covariance (over n − 1) are these, but for rounding."""
    x = randn(n, len(mean), seed=seed)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)).T)
    return x @ torch.linalg.cholesky(covariance).T + mean


def rotation(d: int, seed: int = 0) -> torch.Tensor:
    return torch.linalg.qr(randn(d, d, seed=seed))[0]


# --- Fréchet distance -----------------------------------------------------------------

SPREADS = torch.tensor([[0.1, 1.0, 2.0, 5.0], [0.4, 1.0, 3.0, 0.2]]).double()
MEANS = torch.tensor([[0.0, 1.0, -2.0, 0.5], [1.0, 1.0, 3.0, 0.0]]).double()


@pytest.mark.parametrize("turned", [False, True])
def test_frechet_distance_of_gaussians_with_the_same_axes(turned: bool) -> None:
    """|m_1 − m_2|² + Σ (s_1 − s_2)², in whichever direction the axes point."""
    q = rotation(4) if turned else torch.eye(4).double()
    one, other = (
        with_moments(50 + 30 * k, MEANS[k] @ q.T, q @ SPREADS[k].square().diag() @ q.T)
        for k in range(2)
    )
    gaps = (MEANS[0] - MEANS[1]).square().sum() + (
        SPREADS[0] - SPREADS[1]
    ).square().sum()
    assert frechet_distance(one, other) == pytest.approx(float(gaps), rel=1e-9)


def test_frechet_distance_with_axes_of_their_own_is_that_of_scipy() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    for seed in range(3):
        a, b = (randn(6, 6, seed=10 * seed + k) for k in range(2))
        a, b = a @ a.T + 0.1 * torch.eye(6), b @ b.T + 0.1 * torch.eye(6)
        mean = randn(6, seed=seed)
        one = with_moments(100, mean, a)
        other = with_moments(40, 0 * mean, b, seed=1)
        root = linalg.sqrtm((a @ b).numpy())
        expected = (
            float(mean.square().sum() + (a + b).trace()) - 2 * np.trace(root).real
        )
        assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_draws_is_that_of_their_laws() -> None:
    """In one dimension d = (m_1 − m_2)² + (s_1 − s_2)², estimated from n draws each.

    The mean of the first square is too large by (s_1² + s_2²) / n, that of the second
    by half of it; the variance of d is 4 (m_1 − m_2)² (s_1² + s_2²) / n +
    4 (s_1 − s_2)² (s_1² + s_2²) / 2n, to first order in 1/n.
    """
    n, m, s_1, s_2 = 20_000, 0.7, 1.0, 1.8
    x = randn(2, n, 1)
    got = frechet_distance(s_1 * x[0], m + s_2 * x[1])
    both = (s_1**2 + s_2**2) / n
    expected = m**2 + (s_1 - s_2) ** 2 + 1.5 * both
    error = math.sqrt(4 * m**2 * both + 2 * (s_1 - s_2) ** 2 * both)
    assert error < 0.03
    assert abs(got - expected) < 5 * error


def test_frechet_distance_is_symmetric_and_zero_for_the_same() -> None:
    one, other = randn(80, 5), 2 * randn(60, 5, seed=1) + 1
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one.flip(0)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))
    assert frechet_distance(one, other) > 1
    # a turn and a shift of both change nothing
    q = rotation(5)
    moved = frechet_distance(one @ q + 3, other @ q + 3)
    assert moved == pytest.approx(frechet_distance(one, other))


def test_frechet_distance_with_features_that_never_change() -> None:
    """More features than rows, and some that are always 0, as after a ReLU."""
    one, other = randn(10, 30), randn(12, 30, seed=1)
    one[:, :5] = other[:, :5] = 0
    got = frechet_distance(one.float(), other.float())
    assert math.isfinite(got)
    assert got > 0
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


# --- nearest pictures -----------------------------------------------------------------


def test_nearest_distances_by_brute_force() -> None:
    samples, real = randn(300, 1, 4, 4).float(), randn(50, 1, 4, 4, seed=1).float()
    squares = (samples[:, None] - real).square().flatten(2).mean(2)
    assert_close(nearest_distances(samples, real), squares.amin(1).sqrt())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_copies_of_any_dtype_have_no_distance(dtype: torch.dtype) -> None:
    """Not even that of rounding in a large matrix product."""
    real = torch.rand(500, 1, 28, 28, generator=seeded()).to(dtype)
    assert not nearest_distances(real[:9], real).any()
    assert not nearest_distances(real[:9], real.double()).any()


def test_numbers_and_double_precision_have_distances() -> None:
    assert_close(nearest_distances(X[:, 0] + 0.5, X[:, 0]), torch.full((4,), 0.5))
    assert nearest_distances(X.double(), X).dtype == torch.float64


def test_copies_moved_by_a_tenth_are_a_tenth_away() -> None:
    real = randn(100, 1, 4, 4).float()
    chosen = torch.tensor([5, 99, 0, 5])
    off = real[chosen] + 0.1
    assert_close(nearest_distances(off, real), torch.full((4,), 0.1), rtol=1e-3, atol=0)


# --- class accuracy -------------------------------------------------------------------


def test_class_accuracy_is_the_share_read_as_labelled() -> None:
    generator = seeded()
    centres = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    c = torch.arange(300) % 3
    x = centres[c] + 0.1 * torch.randn(300, 2, generator=generator)
    real, held_out = (x[:150], c[:150]), (x[150:], c[150:])
    assert class_accuracy(held_out, real) == 1
    wrong = held_out[1].clone()
    wrong[:30] = (wrong[:30] + 1) % 3
    assert class_accuracy((held_out[0], wrong), real) == pytest.approx(0.8)


def test_class_accuracy_takes_halves_and_what_has_a_gradient() -> None:
    x = torch.tensor([[-1.0], [-0.5], [0.5], [1.0]])
    c = torch.tensor([0, 0, 1, 1])
    for other in (x.bfloat16(), x.half(), x.double(), x.requires_grad_()):
        assert class_accuracy((other, c), (x.detach(), c)) == 1
        assert class_accuracy((x.detach(), c), (other, c)) == 1


def test_class_accuracy_reads_digits() -> None:
    train, test = data.load("digits"), data.load("digits", "test")
    assert class_accuracy(test, train) > 0.97
    pixels = (
        test[0].flatten(1)[:, torch.randperm(64, generator=seeded())].view_as(test[0])
    )
    assert class_accuracy((pixels, test[1]), train) < 0.6


# --- refusals -------------------------------------------------------------------------

X, C = torch.zeros(4, 3), torch.tensor([0, 1, 0, 1])
NAN = X / 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: frechet_distance(X, X[:1]),
            ValueError,
            "the rows of other must be .* 2, got 1",
        ),
        (lambda: frechet_distance(X, X[:, :2]), ValueError, "other must have shape"),
        (lambda: frechet_distance(X[0], X), ValueError, "one must have shape"),
        (lambda: frechet_distance(X.long(), X), TypeError, "one must be a float"),
        (lambda: nearest_distances(X, X[:, :2]), ValueError, "real must have shape"),
        (lambda: nearest_distances(X, C), TypeError, "real must be a float tensor"),
        (lambda: class_accuracy((X, C[:3]), (X, C)), ValueError, "labels of samples"),
        (
            lambda: class_accuracy((X, C), (X[:0], C[:0])),
            ValueError,
            r"real must have shape \(B, \*D\), none of them 0, got \(0, 3\)",
        ),
        (lambda: class_accuracy((X[:, :2], C), (X, C)), ValueError, "real must have"),
        (
            lambda: class_accuracy((X, C), (X, 0 * C)),
            ValueError,
            "number of classes in labels of real must be at least 2, got 1",
        ),
        (
            lambda: class_accuracy((NAN, C), (X, C)),
            ValueError,
            "samples must be finite",
        ),
        (lambda: frechet_distance(X, NAN), ValueError, "other must be finite.*got nan"),
        (
            lambda: frechet_distance(X[:, :0], X[:, :0]),
            ValueError,
            "one must have shape",
        ),
        (lambda: nearest_distances(X[:0], X), ValueError, r"samples must .*\(0, 3\)"),
        (lambda: nearest_distances(X, X[:0]), ValueError, r"real must have .*\(0, 3\)"),
        (lambda: nearest_distances(X, NAN), ValueError, "real must be finite.*got nan"),
        (
            lambda: nearest_distances(torch.tensor(1.0), X),
            ValueError,
            "samples must have shape .*got a single number",
        ),
    ],
)
def test_bad_calls_are_refused(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
