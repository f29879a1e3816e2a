"""Digits and points: what they are; and which arguments are refused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core.shared import seeded
from minddpm import data

# --- digits --------------------------------------------------------------------------


def test_digits_are_what_the_docstring_says():
    images, labels = data.load("digits", "all")
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.float32
    assert labels.shape == (1797,)
    assert labels.dtype == torch.int64
    assert images.min() == -1
    assert images.max() == 1
    grey = (images + 1) * 8
    assert_close(grey, grey.round(), rtol=0, atol=0)
    # The first image is a nought: dark ink around a hole.
    assert labels[:10].tolist() == list(range(10))
    assert grey[0, 0, 2].tolist() == [0, 3, 15, 2, 0, 11, 8, 0]


def test_digits_are_the_default_and_need_no_root(tmp_path):
    images, labels = data.load(root=tmp_path / "absent", download=False)
    expected = data.load("digits", "train")
    assert_close(images, expected[0], rtol=0, atol=0)
    assert torch.equal(labels, expected[1])


def test_digits_split_takes_every_fifth_image_of_a_class():
    images, labels = data.load("digits", "all")
    seen, rows = [0] * 10, {"train": [], "test": []}
    for row, label in enumerate(labels.tolist()):
        seen[label] += 1
        rows["test" if seen[label] % 5 == 0 else "train"].append(row)
    for split, chosen in rows.items():
        part = data.load("digits", split)
        assert_close(part[0], images[chosen], rtol=0, atol=0)
        assert torch.equal(part[1], labels[chosen])


def test_digits_split_is_stratified_and_disjoint():
    (train, c_train), (test, c_test) = (data.load(split=s) for s in ("train", "test"))
    assert len(train) + len(test) == 1797
    share = c_test.bincount() / (c_train.bincount() + c_test.bincount())
    assert share.min() > 0.19
    assert share.max() <= 0.2
    known = {image.numpy().tobytes() for image in train}
    assert not known & {image.numpy().tobytes() for image in test}


def test_digits_can_be_written_to_without_harm():
    data.load()[0].zero_()
    assert data.load()[0].std() > 0.5


# --- arguments -----------------------------------------------------------------------


def test_unknown_name_lists_the_known_ones():
    known = "digits, mnist, fashion_mnist, cifar10, folder:PATH"
    with pytest.raises(ValueError, match=f"name must be one of {known}, got 'svhn'"):
        data.load("svhn")


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_unknown_split_lists_the_known_ones(name):
    known = "train, test, all"
    with pytest.raises(ValueError, match=f"split must be one of {known}; got 'val'"):
        data.load(name, "val")


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_root_must_be_a_path(name):
    with pytest.raises(TypeError, match="root must be a path or None, got 5"):
        data.load(name, root=5)


# --- points --------------------------------------------------------------------------

N = 40_000
SETS = {"ring": 8, "moons": 2, "swiss_roll": 4, "outline": 1}


def draw(name: str, n: int = N, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return data.points(name, n, generator=seeded(seed))


@pytest.mark.parametrize("name", SETS)
def test_points_have_mean_0_and_variance_1(name):
    x, c = draw(name)
    assert x.shape == (N, 2)
    assert x.dtype == torch.float32
    assert c.shape == (N,)
    assert c.dtype == torch.int64
    assert x.abs().max() < 2.5
    x = x.double()
    se = x.std(dim=0) / math.sqrt(N)
    assert (x.mean(dim=0).abs() < 5 * se).all()
    power = x.square().mean(dim=1)  # averaged over the axes
    se = power.std() / math.sqrt(N)
    assert abs(power.mean() - 1) < 5 * se
    assert 5 * se < 0.03  # so that a wrong scale is seen


@pytest.mark.parametrize(("name", "classes"), SETS.items())
def test_point_labels_are_equally_likely(name, classes):
    counts = draw(name)[1].bincount(minlength=classes).double()
    assert len(counts) == classes
    p = 1 / classes
    se = math.sqrt(N * p * (1 - p))  # binomial
    assert ((counts - N * p).abs() <= 5 * se).all()


@pytest.mark.parametrize("name", SETS)
def test_points_are_independent(name):
    x = draw(name)[0].double()
    lagged = (x[1:] * x[:-1]).mean(dim=0) / x.square().mean(dim=0)
    assert (lagged.abs() < 5 / math.sqrt(N)).all()  # 1/√N is the standard error


@pytest.mark.parametrize("name", SETS)
def test_points_follow_the_generator(name):
    one, two, other = draw(name, 50), draw(name, 50), draw(name, 50, seed=1)
    assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one[0], other[0])
    generator = seeded()
    first, second = (data.points(name, 50, generator=generator) for _ in range(2))
    assert torch.equal(first[0], one[0])
    assert not torch.equal(second[0], one[0])
    state = torch.get_rng_state()
    draw(name, 50)
    assert torch.equal(state, torch.get_rng_state())


def test_points_without_a_generator_follow_the_global_seed():
    state = torch.get_rng_state()
    try:
        torch.manual_seed(3)
        one = data.points("ring", 50)
        torch.manual_seed(3)
        assert_close(data.points("ring", 50), one, rtol=0, atol=0)
    finally:
        torch.set_rng_state(state)


def test_points_defaults():
    x, c = data.points()
    assert x.shape == (2000, 2)
    assert set(c.tolist()) == set(range(8))
    assert data.points(n=1)[0].shape == (1, 2)


def test_ring_is_the_mixture_it_is_said_to_be():
    means, std = data.ring_mixture()
    assert means.shape == (8, 2)
    assert means.dtype == torch.float32
    assert std == data.RING_STD == 0.1
    assert_close(means.norm(dim=1), torch.full((8,), data.RING_RADIUS))
    assert_close(means[0], torch.tensor([data.RING_RADIUS, 0.0]))
    side = data.RING_RADIUS / math.sqrt(2)
    assert_close(means[3], torch.tensor([-side, side]))
    x, c = draw("ring")
    for k in range(8):
        mode = x[c == k].double()
        n = len(mode)
        error = mode.mean(dim=0) - means[k].double()
        assert (error.abs() < 5 * std / math.sqrt(n)).all()
        covariance = mode.T.cov()
        se = std**2 / math.sqrt(n) * torch.tensor([[2**0.5, 1], [1, 2**0.5]])
        assert ((covariance - std**2 * torch.eye(2)).abs() < 5 * se).all()


def test_moons_are_half_circles_and_labels_tell_which():
    # Half circles of radius 1 around (0, 0) and (1, 0.5); by hand, the mean of both is
    # (0.5, 0.25), E x² = (0.5 + 1.5)/2 and E y² = (0.5 + 0.75 − 2/π)/2.
    power = (1 + (1.25 - 2 / math.pi) / 2 - 0.5**2 - 0.25**2) / 2
    scale = math.sqrt((1 - 0.07**2) / power)
    x, c = draw("moons")
    for label, centre, sign in ((0, (-0.5, -0.25), 1), (1, (0.5, 0.25), -1)):
        moon = x[c == label] / scale - torch.tensor(centre)
        blur = 6 * 0.07 / scale
        assert ((moon.norm(dim=1) - 1).abs() < blur).all()
        assert (sign * moon[:, 1] > -blur).all()
        assert moon[:, 0].min() < -0.98
        assert moon[:, 0].max() > 0.98


def test_swiss_roll_labels_are_quarters_from_the_inside_out():
    a, b = 1.5 * math.pi, 4.5 * math.pi

    def integral(t: float) -> torch.Tensor:  # of t² (cos t, sin t)
        cos, sin = math.cos(t), math.sin(t)
        return torch.tensor(
            [t * t * sin + 2 * t * cos - 2 * sin, -t * t * cos + 2 * t * sin + 2 * cos]
        )

    mean = (integral(b) - integral(a)) / ((b * b - a * a) / 2)
    variance = ((a * a + b * b) / 2 - mean.square().sum()) / 2
    scale = torch.sqrt((1 - 0.05**2) / variance)
    x, c = draw("swiss_roll")
    radius = (x / scale + mean).norm(dim=1)
    blur = 6 * 0.05 / scale
    for quarter in range(4):
        low, high = (
            math.sqrt(a * a + (b * b - a * a) * k / 4) for k in (quarter, quarter + 1)
        )
        part = radius[c == quarter]
        assert (part > low - blur).all()
        assert (part < high + blur).all()
        assert part.min() < low + 0.2
        assert part.max() > high - 0.2


def sides() -> tuple[torch.Tensor, torch.Tensor]:
    """Return where each side of the outline starts, and its vector."""
    file = Path(data.__file__).with_name("outline.csv")
    corners = torch.from_numpy(np.loadtxt(file, delimiter=","))
    return corners, corners.roll(-1, dims=0) - corners


def test_outline_is_sampled_evenly_along_its_length(monkeypatch):
    monkeypatch.setitem(data._POINTS, "outline", (data._outline, 1, 0.0))
    start, side = sides()
    length = side.norm(dim=1)
    middle = start + side / 2
    mean = (length[:, None] * middle).sum(0) / length.sum()
    # The second moment of a side about its middle is length²/12.
    moment = length * ((middle - mean).square().sum(1) + length.square() / 12)
    scale = torch.sqrt(2 * length.sum() / moment.sum())
    x = draw("outline")[0].double() / scale + mean
    gap = x[:, None] - start  # (N, sides, 2)
    along = ((gap * side).sum(-1) / length.square()).clamp(0, 1)
    distance = (gap - along[..., None] * side).norm(dim=-1)
    nearest = distance.min(dim=1)
    assert nearest.values.max() < 1e-2  # in units of the drawing, which is 123 wide
    counts = nearest.indices.bincount(minlength=len(side)).double()
    p = length / length.sum()
    assert ((counts - N * p).abs() < 5 * torch.sqrt(N * p * (1 - p))).all()  # binomial


def test_outline_does_not_cross_itself():
    start, side = sides()
    n = len(start)
    assert 50 <= n <= 70

    def turn(p, q, r):
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    end = start + side
    for i in range(n):
        for j in range(i + 2, n - (i == 0)):
            a, b, c, d = start[i], end[i], start[j], end[j]
            across = turn(a, b, c) * turn(a, b, d) < 0
            assert not (across and turn(c, d, a) * turn(c, d, b) < 0), (i, j)


def test_unknown_points_list_the_known_ones():
    known = "ring, moons, swiss_roll, outline"
    with pytest.raises(ValueError, match=f"name must be one of {known}; got 'star'"):
        data.points("star")


def test_number_of_points_is_checked():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        data.points("ring", 0)
    with pytest.raises(TypeError, match=r"n must be an int, got 2\.5"):
        data.points("ring", 2.5)


def test_generator_is_checked():
    with pytest.raises(TypeError, match=r"generator must be a Generator, got int; tor"):
        data.points("ring", 5, generator=0)
