"""Numbers that say how good samples are."""

import math

import numpy as np
import torch
from torch import Tensor

from minddpm import _validate

Labelled = tuple[Tensor, Tensor]


def class_accuracy(samples: Labelled, real: Labelled) -> float:
    """Return the share of samples that a classifier of real data reads as labelled.

    The classifier is a support vector machine with a Gaussian kernel, fitted to the
    real data on each call: right for a few thousand small pictures, where it takes a
    fraction of a second. What it says of real held-out data is the value to compare
    with; above it, samples are easier to read than real ones, not better.

    Args:
        samples: what is judged, (N, *D) float, and the labels it should have, (N,)
            int64.
        real: the data to learn from, (M, *D) float, and its labels, (M,) int64.

    Returns:
        The accuracy, in [0, 1].

    Raises:
        TypeError: if a tensor has the wrong dtype.
        ValueError: if shapes do not fit, or there is nothing to judge or learn from.

    >>> import torch
    >>> real = torch.tensor([[-1.0], [-0.8], [0.8], [1.0]]), torch.tensor([0, 0, 1, 1])
    >>> class_accuracy((torch.tensor([[0.7], [0.9]]), torch.tensor([1, 0])), real)
    0.5
    """
    from sklearn.svm import SVC

    shape = tuple(_validate.floats("samples", samples[0]).shape[1:])
    for name, (x, c) in (("samples", samples), ("real", real)):
        _validate.labels(f"labels of {name}", c, len(x))
        _validate.floats(name, x, (None, *shape))
        _validate.integer(f"the number of {name}", len(x), 1)
    classifier = SVC(C=10).fit(*_rows(real))
    return float(classifier.score(*_rows(samples)))


def _rows(data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return what scikit-learn works on: (N, d) and (N,) arrays."""
    return data[0].flatten(1).cpu().numpy(), data[1].cpu().numpy()


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """Return the Fréchet distance of two sets of features, taken as Gaussians.

    |m_1 − m_2|² + tr(C_1 + C_2 − 2 (C_1 C_2)^½) (Dowson & Landau 1982; with features of
    an Inception network it is known as FID). It falls with the number of features, so
    compare with that of real data at the same number.

    Args:
        one: features, (N, d) float, N at least 2.
        other: features, (M, d) float, M at least 2.

    Returns:
        The distance, at least 0 but for rounding.

    Raises:
        TypeError: if a tensor is no float tensor.
        ValueError: if shapes do not fit.

    >>> x = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    >>> round(frechet_distance(x, x + 3), 6)
    9.0
    """
    _validate.floats("one", one, (None, None))
    _validate.floats("other", other, (None, one.shape[1]))
    for name, x in (("one", one), ("other", other)):
        _validate.integer(f"the rows of {name}", len(x), 2)
    one, other = one.double(), other.double()
    a, b = (torch.cov(x.T).reshape(x.shape[1], -1) for x in (one, other))
    # tr (AB)^½ is the sum of the roots of the eigenvalues of A^½ B A^½
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    gap = (one.mean(0) - other.mean(0)).square().sum()
    return float(gap + a.trace() + b.trace() - 2 * cross)


def nearest_distances(samples: Tensor, real: Tensor) -> Tensor:
    """Return how far each sample is from the real picture most like it.

    Args:
        samples: (N, *D) float.
        real: (M, *D) float, such as the training set.

    Returns:
        Root mean squared difference of the coordinates, (N,).

    Raises:
        TypeError: if a tensor is no float tensor.
        ValueError: if shapes do not fit.

    >>> nearest_distances(torch.tensor([[0.1, 0.1]]), torch.tensor([[0.0, 0], [1, 1]]))
    tensor([0.1000])
    """
    _validate.floats("samples", samples)
    _validate.floats("real", real, (None, *samples.shape[1:]))
    flat = real.flatten(1)
    nearest = [torch.cdist(x, flat).amin(1) for x in samples.flatten(1).split(256)]
    return torch.cat(nearest) / math.sqrt(flat.shape[1])
