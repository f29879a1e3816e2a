"""How good samples are, in numbers: what `minddpm evaluate` does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minddpm import _validate, data, metrics
from minddpm._validate import Labels
from minddpm.app import files, pictures
from minddpm.app.classifier import Classifier, fit_classifier
from minddpm.app.presets import PRESETS, source
from minddpm.device import as_device


@dataclass(frozen=True)
class Evaluation:
    """Measurements of samples, each beside the same of as many real test pictures.

    Attributes:
        n: how many samples.
        accuracy: share that the classifier reads as labelled; None without labels.
        real_accuracy: the same of all real test pictures; None without classes.
        frechet: Fréchet distance of the samples' features to the training set's.
        real_frechet: the same of n real test pictures, the mean of ten draws: the
            floor. One draw differs from the next by some 15 % at n = 1,000.
        nearest: mean distance to the nearest training picture (root mean square over
            the pixels, in [−1, 1]); much less than the next is a sign of copying.
        real_nearest: the same of n real test pictures.
        classes: where the samples are not of all classes, those that they are of; the
            real pictures, too, are of these only.
    """

    n: int
    accuracy: float | None
    real_accuracy: float | None
    frechet: float
    real_frechet: float
    nearest: float
    real_nearest: float
    classes: tuple[int, ...] | None = None

    def __str__(self) -> str:
        read, real = (
            "no labels" if value is None else f"{value:.4f}"
            for value in (self.accuracy, self.real_accuracy)
        )
        ratio = self.frechet / self.real_frechet
        lines = [
            f"{'n = ' + str(self.n):34} {'samples':>9} {'real test':>10}",
            f"{'class accuracy':34} {read:>9} {real:>10}",
            f"{'Fréchet distance to training set':34} {self.frechet:9.3f} "
            f"{self.real_frechet:10.3f}   ratio {ratio:.2f}",
            f"{'distance to nearest training':34} {self.nearest:9.4f} "
            f"{self.real_nearest:10.4f}",
        ]
        if self.real_accuracy is None:
            lines.append("without classes, the distance is that of 4×4 pixels")
        if self.classes is not None:
            names = ", ".join(map(str, self.classes))
            lines.append(f"all pictures, real ones too, are of label {names}")
        return "\n".join(lines)


def evaluate(
    samples: str | Path,
    name: str = "mnist",
    device: torch.device | str | None = None,
    **options: Any,
) -> Evaluation:
    """Measure samples in a file against a data set, or pictures of one's own.

    The features are those of a classifier made by `fit_classifier`: the one
    that comes with minddpm for this data set (there is one for MNIST), else one fitted
    on each call. Without classes they are the pictures, averaged to 4×4 pixels.

    Args:
        samples: a `.npz` of `minddpm sample`.
        name: the data set, or a folder of pictures, which are scaled and cut to the
            size of the samples.
        device: where to compute; None is `default_device()`.
        **options: of a folder, `skip_broken`, as in `folders.load`.

    Returns:
        The measurements.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds something else, or pictures of another size, or there
            are too few to compare.
    """
    device = as_device(device)
    x, c = pictures.read_npz(samples)
    if (name := source(name)) not in PRESETS:
        options |= {"size": tuple(x.shape[2:]), "channels": x.shape[1]}
    train, test = (data.load(name, split, **options) for split in ("train", "test"))
    _validate.floats("the pictures", x, (None, *train[0].shape[1:]))
    _validate.integer("the number of pictures", len(x), 2)  # they have a covariance
    net, classes = _classifier(name, train, device), None
    of = torch.empty(0) if c is None else c.unique()
    if train[1] is not None and 0 < len(of) < len(train[1].unique()):
        classes = tuple(of.tolist())
        train, test = _only(train, of), _only(test, of)
    if len(test[0]) < 2:
        rule = "be at least 2 to compare with, every fifth of a class"
        _validate.fail(f"test pictures of {name}", rule, len(test[0]))
    n = min(len(x), len(test[0]))
    own, known, held_out = (
        _features(net, part, device) for part in (x[:n], train[0], test[0])
    )
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randperm(len(test[0]), generator=generator)[:n] for _ in range(10)]
    floors = [metrics.frechet_distance(held_out[draw], known) for draw in draws]
    return Evaluation(
        n,
        _accuracy(net, (x[:n], None if c is None else c[:n]), device),
        _accuracy(net, test, device),
        metrics.frechet_distance(own, known),
        sum(floors) / len(floors),
        float(metrics.nearest_distances(x[:n], train[0]).mean()),
        float(metrics.nearest_distances(test[0][draws[0]], train[0]).mean()),
        classes,
    )


def _only(part: tuple[Tensor, Labels], classes: Tensor) -> tuple[Tensor, Labels]:
    """Return the pictures of some classes."""
    x, c = part
    chosen = torch.isin(torch.as_tensor(c), classes)
    return x[chosen], None if c is None else c[chosen]


def _classifier(
    name: str, real: tuple[Tensor, Labels], device: torch.device
) -> Classifier | None:
    """Return the classifier that comes with minddpm, or fit one; None if it cannot."""
    x, c = real
    if c is None or int(c.max()) == 0:
        return None
    path = files.SHIPPED / "classifiers" / f"{name}.safetensors"
    if not path.exists():
        return fit_classifier((x.to(device), c.to(device)))
    net = Classifier(x.shape[1], int(c.max()) + 1)
    net.load_state_dict(files.read(path)[0])
    return net.to(device).eval()


@torch.no_grad()
def _features(net: Classifier | None, x: Tensor, device: torch.device) -> Tensor:
    if net is None:
        return F.adaptive_avg_pool2d(x, 4).flatten(1)
    return torch.cat([net.features(part.to(device)).cpu() for part in x.split(1000)])


@torch.no_grad()
def _accuracy(
    net: Classifier | None, part: tuple[Tensor, Labels], device: torch.device
) -> float | None:
    x, c = part
    if net is None or c is None:
        return None
    read = torch.cat([net(part.to(device)).argmax(1).cpu() for part in x.split(1000)])
    return float((read == c).double().mean())
