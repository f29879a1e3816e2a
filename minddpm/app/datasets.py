"""Pictures that torchvision knows and fetches: MNIST, Fashion-MNIST and CIFAR-10.

A data set is in the root entirely, or not at all.
"""

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from minddpm import _validate, data
from minddpm.data import data_root

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
    name: str, split: str, root: str | os.PathLike[str] | None, download: bool
) -> tuple[Tensor, Tensor]:
    """Read a data set: what `data.load` does with its name.

    Args:
        name: a key of the table above.
        split: "train", "test" or "all".
        root: as in `data.load`.
        download: as there.

    Returns:
        The images, (N, C, H, W) float32 in [−1, 1], and their labels, (N,) int64.

    Raises:
        RuntimeError: if the data are missing and cannot be fetched, or are damaged.
    """
    images, labels = _pictures(name, split, root, download)
    return images.float().div_(127.5).sub_(1), labels


def _pictures(
    name: str, split: str, root: str | os.PathLike[str] | None, download: bool
) -> tuple[Tensor, Tensor]:
    """Return uint8 images and their labels, or raise the one error there is."""
    source, tried = _SOURCES[name], "there is no root"
    try:
        place = (root := data_root(root)) / source.folder
        tried = f"cannot look into {place}"
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
        halves = ("train", "test") if split == "all" else (split,)
        parts = [_read(source, root, half) for half in halves]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]
    except Exception as error:  # whatever a network, a disk or a parser comes up with
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RuntimeError(
            f"could not load {name!r}: {tried} ({reason}). To proceed, set "
            f"MINDDPM_DATA (or root) to a folder that holds {source.folder} with "
            f"{', '.join(source.files)}; or use load('digits'), which needs neither "
            "files nor a network"
        ) from error


def _read(source: _Source, root: Path, half: str) -> tuple[Tensor, Tensor]:
    """Read one half of a data set that is on the disk; it writes nothing.

    The check is by content: a re-encoded MNIST is as good. CIFAR-10 consists of
    pickles, so there torchvision insists on the original checksums, rightly.
    """
    from torchvision import datasets

    dataset = getattr(datasets, source.dataset)(root, train=half == "train")
    images = torch.as_tensor(dataset.data)  # (N, H, W), or (N, H, W, 3)
    labels = torch.as_tensor(dataset.targets, dtype=torch.int64)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    n = source.sizes[half == "test"]
    if images.shape != (n, *source.shape) or images.dtype != torch.uint8:
        got = f"{images.dtype} of shape {tuple(images.shape)}"
        _validate.fail(f"the {half} images", f"be uint8, {(n, *source.shape)}", got)
    if labels.shape != (n,) or not torch.equal(labels.unique(), torch.arange(10)):
        rule, got = f"be {n} numbers, all of 0…9 among them", labels.unique().tolist()
        _validate.fail(f"the {half} labels", rule, f"{len(labels)}: {got[:20]}")
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
        for half in ("train", "test"):
            _read(source, staging, half)
        place.mkdir(parents=True, exist_ok=True)
        for file in source.files:  # each at once: `near` is on the same disk
            os.replace(staging / source.folder / file, place / file)


data.READERS.update(dict.fromkeys(_SOURCES, load))
