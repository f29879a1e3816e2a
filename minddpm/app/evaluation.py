"""How good samples are, in numbers: what `minddpm evaluate` does."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from minddpm import _validate, data, metrics
from minddpm.app import files, pictures
from minddpm.app.classifier import Classifier, fit_classifier
from minddpm.device import default_device


@dataclass(frozen=True)
class Evaluation:
    """Measurements of samples, each beside the same of as many real test pictures.

    Attributes:
        n: how many samples.
        accuracy: share that the classifier reads as labelled; None without labels.
        real_accuracy: the same of all real test pictures.
        frechet: Fréchet distance of the samples' features to the training set's.
        real_frechet: the same of n real test pictures, the mean of ten draws: the
            floor. One draw differs from the next by some 15 % at n = 1,000.
        nearest: mean distance to the nearest training picture (root mean square over
            the pixels, in [−1, 1]); much less than the next is a sign of copying.
        real_nearest: the same of n real test pictures.
    """

    n: int
    accuracy: float | None
    real_accuracy: float
    frechet: float
    real_frechet: float
    nearest: float
    real_nearest: float

    def __str__(self) -> str:
        read = "no labels" if self.accuracy is None else f"{self.accuracy:.4f}"
        ratio = self.frechet / self.real_frechet
        return "\n".join(
            [
                f"{'n = ' + str(self.n):34} {'samples':>9} {'real test':>10}",
                f"{'class accuracy':34} {read:>9} {self.real_accuracy:10.4f}",
                f"{'Fréchet distance to training set':34} {self.frechet:9.3f} "
                f"{self.real_frechet:10.3f}   ratio {ratio:.2f}",
                f"{'distance to nearest training':34} {self.nearest:9.4f} "
                f"{self.real_nearest:10.4f}",
            ]
        )


def evaluate(
    samples: str | Path, name: str = "mnist", device: torch.device | str | None = None
) -> Evaluation:
    """Measure samples in a file against a data set.

    The features are those of a classifier made by `fit_classifier`: the one
    that comes with minddpm for this data set (there is one for MNIST), else one fitted
    on each call.

    Args:
        samples: a `.npz` of `minddpm sample`.
        name: the data set.
        device: where to compute; None is `default_device()`.

    Returns:
        The measurements.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds something else, or pictures of another size.
    """
    device = torch.device(device) if device else default_device()
    x, c = pictures.read_npz(samples)
    train, test = (data.load(name, split) for split in ("train", "test"))
    _validate.floats("the pictures", x, (None, *train[0].shape[1:]))
    _validate.integer("the number of pictures", len(x), 2)  # they have a covariance
    classifier = _classifier(name, train, device)
    n = min(len(x), len(test[0]))
    own, known, held_out = (
        _features(classifier, part, device) for part in (x[:n], train[0], test[0])
    )
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randperm(len(test[0]), generator=generator)[:n] for _ in range(10)]
    floors = [metrics.frechet_distance(held_out[draw], known) for draw in draws]
    return Evaluation(
        n,
        None if c is None else _accuracy(classifier, x[:n], c[:n], device),
        _accuracy(classifier, *test, device),
        metrics.frechet_distance(own, known),
        sum(floors) / len(floors),
        float(metrics.nearest_distances(x[:n], train[0]).mean()),
        float(metrics.nearest_distances(test[0][draws[0]], train[0]).mean()),
    )


def _classifier(name: str, real: metrics.Labelled, device: torch.device) -> Classifier:
    """Return the classifier that comes with minddpm, or fit one."""
    path = files.SHIPPED / "classifiers" / f"{name}.safetensors"
    if not path.exists():
        return fit_classifier((real[0].to(device), real[1].to(device)))
    net = Classifier(real[0].shape[1], int(real[1].max()) + 1)
    net.load_state_dict(files.read(path)[0])
    return net.to(device).eval()


@torch.no_grad()
def _features(net: Classifier, x: Tensor, device: torch.device) -> Tensor:
    return torch.cat([net.features(part.to(device)).cpu() for part in x.split(1000)])


@torch.no_grad()
def _accuracy(net: Classifier, x: Tensor, c: Tensor, device: torch.device) -> float:
    read = torch.cat([net(part.to(device)).argmax(1).cpu() for part in x.split(1000)])
    return float((read == c).double().mean())
