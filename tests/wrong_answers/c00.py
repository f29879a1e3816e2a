"""Answers to the exercise of notebook 00."""

import numpy as np
import torch

from minddpm.course import checks
from wrong_answers import Exercise


def right(x0, eps, a):
    return a**0.5 * x0 + (1 - a) ** 0.5 * eps


def looped(x0, eps, a):
    mixture = torch.empty_like(x0)
    for i in range(x0.shape[1]):  # by rows it would take half a second
        mixture[:, i] = np.sqrt(a) * x0[:, i] + np.sqrt(1 - a) * eps[:, i]
    return mixture


def in_float64(x0, eps, a):
    share = torch.as_tensor(a, dtype=torch.float64)
    return share.sqrt() * x0.double() + (1 - share).sqrt() * eps.double()


def with_numpy(x0, eps, a):
    return np.sqrt(a) * x0.numpy() + np.sqrt(1 - a) * eps.numpy()


def by_name(*, x0, eps, a):
    return right(x0, eps, a)


def with_gradient(x0, eps, a):
    return right(x0.clone().requires_grad_(), eps, a)


def own_noise(x0, eps, a):
    return right(x0, torch.randn_like(x0), a)


def uniform_noise(x0, eps, a):
    return right(x0, torch.rand_like(x0), a)


EXERCISES = [
    Exercise(
        check=checks.check_signal_and_noise,
        right=[right, looped, in_float64, with_numpy, by_name, with_gradient],
        wrong={
            "shares": (lambda x0, eps, a: a * x0 + (1 - a) * eps, "variance_or_std"),
            "√a and 1−a": (
                lambda x0, eps, a: a**0.5 * x0 + (1 - a) * eps,
                "variance_or_std",
            ),
            "a and √(1−a)": (
                lambda x0, eps, a: a * x0 + (1 - a) ** 0.5 * eps,
                "variance_or_std",
            ),
            "√a and 1−√a": (
                lambda x0, eps, a: a**0.5 * x0 + (1 - a**0.5) * eps,
                "variance_or_std",
            ),
            "a and √(1−a²)": (
                lambda x0, eps, a: a * x0 + (1 - a**2) ** 0.5 * eps,
                "variance_or_std",
            ),
            "squares": (
                lambda x0, eps, a: a**2 * x0 + (1 - a) ** 2 * eps,
                "variance_or_std",
            ),
            "swapped": (
                lambda x0, eps, a: (1 - a) ** 0.5 * x0 + a**0.5 * eps,
                "swapped",
            ),
            "swapped shares": (lambda x0, eps, a: (1 - a) * x0 + a * eps, "swapped"),
            "minus": (
                lambda x0, eps, a: a**0.5 * x0 - (1 - a) ** 0.5 * eps,
                "wrong_sign",
            ),
            "signal only": (lambda x0, eps, a: a**0.5 * x0, "no_noise"),
            "noise only": (lambda x0, eps, a: (1 - a) ** 0.5 * eps, "no_signal"),
            "sum": (lambda x0, eps, a: x0 + eps, "no_weight"),
            "x0 not scaled": (
                lambda x0, eps, a: x0 + (1 - a) ** 0.5 * eps,
                "no_weight",
            ),
            "noise of its own": (own_noise, "which_noise"),
            "uniform noise": (uniform_noise, "which_noise"),
            "a too large by 1 %": (lambda x0, eps, a: right(x0, eps, 0.99 * a), None),
            "right at one a only": (lambda x0, eps, a: right(x0, eps, 0.36), None),
            "a third root": (
                lambda x0, eps, a: a ** (1 / 3) * x0 + (1 - a) ** (1 / 3) * eps,
                None,
            ),
            "cut off": (lambda x0, eps, a: right(x0, eps, a).clamp(-2, 2), None),
        },
    )
]
