"""Data to learn from: small pictures, and point sets in the plane.

`load` gives pictures with class labels, `points` draws 2-D points. Digits and points
need no network.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minddpm import _validate
from minddpm._validate import Labels
from minddpm.device import Rng, randn

RING_STD = 0.1
"""Standard deviation of each of the ring's 8 Gaussians, on both axes."""
RING_RADIUS = math.sqrt(2 * (1 - RING_STD**2))
"""Distance of their means from the origin: gives each axis the variance 1."""


def load(
    name: str = "digits", split: str = "train",
    root: str | os.PathLike[str] | None = None, download: bool = True, **options: Any,
) -> tuple[Tensor, Labels]:  # fmt: skip
    """Load pictures and their class labels.

    "digits" are 1,797 handwritten digits of 8×8 pixels, the test half of "Optical
    Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning
    Repository), which scikit-learn brings along. Our split is fixed: every fifth image
    of a class is a test image. Both halves hold the same writers. "mnist",
    "fashion_mnist" and "cifar10" come through torchvision; "folder:PATH" are pictures
    of one's own, whose classes are the sub-folders.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10" or "folder:PATH".
        split: "train", "test", or "all" for both.
        root: folder in the layout of torchvision, such as root/MNIST/raw; a read-only
            one will do if it holds the data. None means $MINDDPM_DATA, else "minddpm"
            in the user's cache ($XDG_CACHE_HOME, else ~/.cache). Digits need none.
        download: if a file is missing, fetch the whole set and keep it in the root.
            Nothing is put there before all of it has arrived and been checked.
        **options: of a folder: `size`, `channels` and `skip_broken`, as in
            `minddpm.app.folders.load`.

    Returns:
        The images, (N, C, H, W) float32 in [−1, 1], and their labels in 0…9, (N,)
        int64; None for a folder without sub-folders.

    Raises:
        TypeError: if `root` is no path.
        ValueError: if the name, the split or an option is unknown, or the pictures of a
            folder are not what they must be.
        RuntimeError: if the data are missing and cannot be fetched, or are damaged.

    >>> images, labels = load("digits")
    >>> images.shape, labels.shape
    (torch.Size([1442, 1, 8, 8]), torch.Size([1442]))
    """
    _validate.choice("split", split, ("train", "test", "all"))
    if not isinstance(root, str | os.PathLike | None):
        _validate.fail("root", "be a path or None", repr(root), error=TypeError)
    kind, _, path = str(name).partition(":")
    read = READERS.get(f"{kind}:PATH" if path else name)
    if read is None:
        _validate.fail("name", f"be one of {', '.join(READERS)}", repr(name))
    if options and not path:
        _validate.fail("options", "be left out but for a folder", options)
    return read(path or name, split, root, download, **options)


def _digits(name: str, split: str, *_: Any) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1  # grey is 0…16
    labels = torch.from_numpy(digits.target).long()
    chosen = of_split(labels, split)
    return images[chosen], labels[chosen]


READERS: dict[str, Callable[..., tuple[Tensor, Labels]]] = {"digits": _digits}
"""What `load` can read: of (name or path, split, root, download, **options).

`app.datasets` adds what torchvision knows, and `app.folders` pictures of one's own.
"""


def of_split(labels: Tensor, split: str) -> Tensor:
    """Return which samples are in a split: every fifth of a class is there to test.

    Args:
        labels: the classes of all samples, (N,) int64.
        split: "train", "test", or "all" for both.

    Returns:
        A mask, (N,) bool.
    """
    earlier = torch.nn.functional.one_hot(labels).cumsum(0)  # of each class, up to here
    rank = earlier.gather(1, labels[:, None])[:, 0]  # 1, 2, … within its class
    return ((rank % 5 == 0) == (split == "test")) | (split == "all")


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that data sets are in, or would be downloaded to.

    Args:
        root: a folder of one's own; None means $MINDDPM_DATA, else "minddpm" in the
            user's cache ($XDG_CACHE_HOME, else ~/.cache).

    Returns:
        The folder, which need not exist, with "~" expanded.
    """
    if root is None:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        root = os.environ.get("MINDDPM_DATA") or os.path.join(cache, "minddpm")
    return Path(root).expanduser()


# --- points in the plane -------------------------------------------------------------

_Curve = Callable[[np.ndarray], np.ndarray]  # of u in [0, 1): a number x + iy


def _moons(u: np.ndarray) -> np.ndarray:
    upper = np.exp(2j * math.pi * (u % 0.5))
    return np.where(u < 0.5, upper, 1 + 0.5j - upper)


def _swiss_roll(u: np.ndarray) -> np.ndarray:
    # The length of a spiral grows with the square of the angle (within 3 % here).
    angle = math.pi * np.sqrt(1.5**2 + (4.5**2 - 1.5**2) * u)
    return angle * np.exp(1j * angle)


def _outline(u: np.ndarray) -> np.ndarray:
    corners = np.loadtxt(Path(__file__).with_name("outline.csv"), delimiter=",")
    z = np.concatenate([corners, corners[:1]]) @ [1, 1j]
    length = np.abs(np.diff(z, prepend=z[0])).cumsum()
    return np.interp(u * length[-1], length, z)


# A curve, in how many classes u is cut, and the blur around the curve.
_POINTS: dict[str, tuple[_Curve, int, float]] = {
    "ring": (lambda u: np.exp(0.25j * math.pi * np.floor(8 * u)), 8, RING_STD),
    "moons": (_moons, 2, 0.07),
    "swiss_roll": (_swiss_roll, 4, 0.05),
    "outline": (_outline, 1, 0.02),
}


@_validate.by_name
def points(
    name: str = "ring", n: int = 2000, *, generator: Rng = None
) -> tuple[Tensor, Tensor]:
    """Draw independent points from a distribution in the plane.

    All of them have mean 0 and, averaged over the two axes, variance 1, as diffusion
    likes it; coordinates stay within about ±2.5. That holds for the distribution: n
    points meet it as well as n random points do.

    Args:
        name: which distribution, and what its labels say.
            "ring": 8 equal Gaussians, std RING_STD, on a circle of radius RING_RADIUS;
            the label k in 0…7 is the Gaussian at angle 45° · k (see `ring_mixture`).
            "moons": two half circles that interlock; 0 is the upper, 1 the lower one.
            "swiss_roll": a spiral; 0 is its innermost, 3 its outermost quarter.
            "outline": the outline of a long-necked dinosaur; the label is always 0.
        n: how many points, at least 1.
        generator: source of randomness; None is PyTorch's global one.

    Returns:
        The points, (n, 2) float32, and their labels, (n,) int64.

    Raises:
        TypeError: if `n` is no int or `generator` is no torch.Generator.
        ValueError: if the name is unknown, or `n` or `generator` out of range.

    >>> x0, c = points("moons", 500, generator=torch.Generator().manual_seed(0))
    >>> x0.shape, c.shape
    (torch.Size([500, 2]), torch.Size([500]))
    """
    curve, n_classes, std = _POINTS[_validate.choice("name", name, _POINTS)]
    n = _validate.integer("n", n, 1)
    like = torch.empty(0, dtype=torch.float64)
    u = randn((n,), like, generator, torch.rand)
    blur = std * randn((n, 2), like, generator)
    grid = curve((np.arange(8000) + 0.5) / 8000)  # the whole curve
    scale = math.sqrt(2 * (1 - std**2) / grid.var())  # its variance is that of two axes
    x = ((curve(u.numpy()) - grid.mean()) * scale).view(float).reshape(n, 2)
    return (torch.from_numpy(x) + blur).float(), (n_classes * u).long()


def ring_mixture() -> tuple[Tensor, float]:
    """Return the mixture that `points("ring")` draws from, for exact answers.

    Returns:
        The means of its 8 equally likely Gaussians, (8, 2) float32 in the order of the
        labels, and the standard deviation of each of them on both axes.

    >>> means, std = ring_mixture()
    >>> means.shape, std
    (torch.Size([8, 2]), 0.1)
    """
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    means = RING_RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)
    return means.float(), RING_STD
