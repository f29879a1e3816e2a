"""Data to learn from: small pictures, and point sets in the plane.

`load` gives pictures with class labels, `points` draws 2-D points. Digits and points
need no network.
"""

import math
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from minddpm import _validate
from minddpm.device import Rng, randn

RING_STD = 0.1
"""Standard deviation of each of the ring's 8 Gaussians, on both axes."""
RING_RADIUS = math.sqrt(2 * (1 - RING_STD**2))
"""Distance of their means from the origin: gives each axis the variance 1."""

_TIMEOUT = 20.0  # seconds that the network may stay silent


class _Source(NamedTuple):
    """What torchvision calls a data set, and what it consists of."""

    dataset: str  # the class in torchvision.datasets
    folder: str  # in the data root
    files: tuple[str, ...]  # in that folder
    shape: tuple[int, int, int]  # (C, H, W)
    sizes: tuple[int, int]  # images to train on, to test with
    archive: str = "{folder}/{file}.gz"  # what torchvision unpacks, in the data root


_KINDS = "images-idx3-ubyte", "labels-idx1-ubyte"
_IDX = tuple(f"{half}-{kind}" for half in ("train", "t10k") for kind in _KINDS)
_CIFAR = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta")
_TAR = "cifar-10-python.tar.gz"
_SMALL = (1, 28, 28), (60_000, 10_000)
_LARGE = (3, 32, 32), (50_000, 10_000)
_SOURCES = {
    "mnist": _Source("MNIST", "MNIST/raw", _IDX, *_SMALL),
    "fashion_mnist": _Source("FashionMNIST", "FashionMNIST/raw", _IDX, *_SMALL),
    "cifar10": _Source("CIFAR10", "cifar-10-batches-py", _CIFAR, *_LARGE, _TAR),
}


def load(
    name: str = "digits", split: str = "train",
    root: str | os.PathLike[str] | None = None, download: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Load pictures and their class labels.

    "digits" are 1,797 handwritten digits of 8×8 pixels, the test half of "Optical
    Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning
    Repository), which scikit-learn brings along. Our split is fixed: every fifth image
    of a class is a test image. Both halves hold the same writers. "mnist",
    "fashion_mnist" and "cifar10" come through torchvision.

    Args:
        name: "digits", "mnist", "fashion_mnist" or "cifar10".
        split: "train", "test", or "all" for both.
        root: folder in the layout of torchvision, such as root/MNIST/raw; a read-only
            one will do if it holds the data. None means $MINDDPM_DATA, else "minddpm"
            in the user's cache ($XDG_CACHE_HOME, else ~/.cache). Digits need none.
        download: if a file is missing, fetch the whole set and keep it in the root.
            Nothing is put there before all of it has arrived and been checked.

    Returns:
        The images, (N, C, H, W) float32 in [−1, 1], and their labels in 0…9, (N,)
        int64.

    Raises:
        TypeError: if `root` is no path.
        ValueError: if the name or the split is unknown.
        RuntimeError: if the data are missing and cannot be fetched, or are damaged.

    >>> images, labels = load("digits")
    >>> images.shape, labels.shape
    (torch.Size([1442, 1, 8, 8]), torch.Size([1442]))
    """
    _validate.choice("name", name, ("digits", *_SOURCES))
    _validate.choice("split", split, ("train", "test", "all"))
    if not isinstance(root, str | os.PathLike | None):
        _validate.fail("root", "be a path or None", repr(root), error=TypeError)
    if name == "digits":
        return _digits(split)
    images, labels = _pictures(name, split, data_root(root), download)
    return images.float().div_(127.5).sub_(1), labels


def _digits(split: str) -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1  # grey is 0…16
    labels = torch.from_numpy(digits.target).long()
    earlier = torch.nn.functional.one_hot(labels).cumsum(0)  # of each class, up to here
    rank = earlier.gather(1, labels[:, None])[:, 0]  # 1, 2, … within its class
    chosen = ((rank % 5 == 0) == (split == "test")) | (split == "all")
    return images[chosen], labels[chosen]


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


def _pictures(
    name: str, split: str, root: Path, download: bool
) -> tuple[Tensor, Tensor]:
    """Return uint8 images and their labels, or raise the one error there is."""
    source = _SOURCES[name]
    place = root / source.folder
    tried = f"cannot look into {place}"
    try:
        missing = [file for file in source.files if not (place / file).is_file()]
        tried = f"{place} is unreadable or damaged; delete it to download it again"
        if missing and not download:
            tried = f"not in {place}, and download=False"
            raise FileNotFoundError(f"no {', '.join(missing)}")
        if missing:
            from torchvision import datasets

            cls = getattr(datasets, source.dataset)
            urls = " and ".join(getattr(cls, "mirrors", None) or [cls.url])
            tried = f"not in {place}, and the download from {urls} failed"
            _download(source, root)
        halves = [half for half in ("train", "test") if split in (half, "all")]
        parts = [_read(source, root, half == "train") for half in halves]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]
    except Exception as error:  # whatever a network, a disk or a parser comes up with
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RuntimeError(
            f"could not load {name!r}: {tried} ({reason}). To proceed, set "
            f"MINDDPM_DATA (or root) to a folder that holds {source.folder} with "
            f"{', '.join(source.files)}; or use load('digits'), which needs neither "
            "files nor a network"
        ) from error


def _read(source: _Source, root: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Read one half of a data set that is on the disk; it writes nothing.

    The check is by content: a re-encoded MNIST is as good. CIFAR-10 consists of
    pickles, so there torchvision insists on the original checksums, rightly.
    """
    from torchvision import datasets

    dataset = getattr(datasets, source.dataset)(root, train=train, download=False)
    images = torch.as_tensor(dataset.data)  # (N, H, W), or (N, H, W, 3)
    labels = torch.as_tensor(dataset.targets, dtype=torch.int64)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    n = source.sizes[0 if train else 1]
    half = f"the {'train' if train else 'test'}"
    if images.shape != (n, *source.shape) or images.dtype != torch.uint8:
        got = f"{images.dtype} of shape {tuple(images.shape)}"
        _validate.fail(f"{half} images", f"be uint8, {(n, *source.shape)}", got)
    if labels.shape != (n,) or not torch.equal(labels.unique(), torch.arange(10)):
        got = f"{len(labels)}: {labels.unique().tolist()[:20]}"
        _validate.fail(f"{half} labels", f"be {n} numbers, all of 0…9 among them", got)
    return images, labels


def _download(source: _Source, root: Path) -> None:
    """Fetch a data set into the root, entirely or not at all.

    torchvision takes a file that is there for a file that is complete. So it works in
    a folder that goes away whatever happens, Ctrl-C included, and only what has been
    read and found right moves to the root.
    """
    from torchvision import datasets

    place = root / source.folder
    near = next(path for path in (place, *place.parents) if path.exists())
    with tempfile.TemporaryDirectory(prefix=".minddpm-", dir=near) as name:
        staging = Path(name)
        parts = {"folder": source.folder}
        for archive in {source.archive.format(file=f, **parts) for f in source.files}:
            if (root / archive).is_file():  # already fetched, but not unpacked
                (staging / archive).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / archive, staging / archive)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(_TIMEOUT)  # torchvision waits without a limit
        try:
            getattr(datasets, source.dataset)(staging, download=True)
        finally:
            socket.setdefaulttimeout(before)
        for train in (True, False):
            _read(source, staging, train)
        place.mkdir(parents=True, exist_ok=True)
        for file in source.files:  # each at once: `near` is on the same disk
            os.replace(staging / source.folder / file, place / file)


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
