"""Numbers that say how good samples are."""

import math

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
        ValueError: if shapes do not fit, a number is not finite, or there is nothing to
            judge, or less than two classes to learn from.

    >>> import torch
    >>> real = torch.tensor([[-1.0], [-0.8], [0.8], [1.0]]), torch.tensor([0, 0, 1, 1])
    >>> class_accuracy((torch.tensor([[0.7], [0.9]]), torch.tensor([1, 0])), real)
    0.5
    """
    from sklearn.svm import SVC

    (x, c), (known, classes) = samples, real
    rows = _rows("samples", x), _rows("real", known, x.shape[1:])
    judged, learnt = (row.detach().cpu().numpy() for row in rows)
    _validate.labels("labels of samples", c, len(judged))
    n_classes = len(_validate.labels("labels of real", classes, len(learnt)).unique())
    _validate.integer("the number of classes in labels of real", n_classes, 2)
    classifier = SVC(C=10).fit(learnt, classes.cpu().numpy())
    return float(classifier.score(judged, c.cpu().numpy()))


def _rows(name: str, value: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """Return sound samples (N, *D) as (N, d), in float32 at least."""
    _validate.samples(name, value)
    if shape is not None:
        _validate.floats(name, value, (None, *shape))
    kind = torch.promote_types(value.dtype, torch.float32)
    return value.reshape(len(value), -1).to(kind)


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
        ValueError: if shapes do not fit, a number is not finite, or rows are missing.

    >>> x = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    >>> round(frechet_distance(x, x + 3), 6)
    9.0
    """
    _validate.floats("one", one, (None, None))
    _validate.floats("other", other, (None, one.shape[1]))
    for name, x in (("one", one), ("other", other)):
        _validate.integer(f"the rows of {name}", len(_validate.samples(name, x)), 2)
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
        Root mean squared difference of the coordinates, (N,): 0 for a copy.

    Raises:
        TypeError: if a tensor is no float tensor.
        ValueError: if shapes do not fit, a number is not finite, or there are none.

    >>> nearest_distances(torch.tensor([[0.1, 0.1]]), torch.tensor([[0.0, 0], [1, 1]]))
    tensor([0.1000])
    """
    x, flat = _rows("samples", samples), _rows("real", real, samples.shape[1:])
    flat = flat.to(kind := torch.promote_types(x.dtype, flat.dtype))
    distances = []
    for some in x.to(kind).split(256):
        # cdist is fast, and off by rounding: it says which, not how far
        nearest = flat[torch.cdist(some, flat).argmin(1)]
        distances.append(torch.linalg.vector_norm(some - nearest, dim=1))
    return torch.cat(distances) / math.sqrt(flat.shape[1])
