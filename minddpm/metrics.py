"""Numbers that say how good samples are."""

import numpy as np
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
        if len(x) == 0:
            raise ValueError(f"{name} must hold at least one sample, got none")
    classifier = SVC(C=10).fit(*_rows(real))
    return float(classifier.score(*_rows(samples)))


def _rows(data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return what scikit-learn works on: (N, d) and (N,) arrays."""
    return data[0].flatten(1).cpu().numpy(), data[1].cpu().numpy()
