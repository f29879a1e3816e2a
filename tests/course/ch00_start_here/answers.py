"""Answers to the exercise of chapter 00 beside those that it declares."""

import numpy as np
import torch


def mix(x0, eps, a):
    return a**0.5 * x0 + (1 - a) ** 0.5 * eps


RIGHT = {
    "signal_and_noise": [
        lambda x0, e, a: torch.stack([mix(x0[i], e[i], a) for i in range(len(e))]),
        lambda x0, e, a: np.sqrt(a) * x0.numpy() + np.sqrt(1 - a) * e.numpy(),
    ]
}
WRONG = {
    "signal_and_noise": {
        "own noise": (lambda x, e, a: mix(x, torch.rand_like(e), a), "which_noise"),
        "made variance 1": (lambda x, e, a: mix(x, e, a) / mix(x, e, a).std(), None),
        "centred": (lambda x, e, a: mix(x - x.mean(0), e, a), None),
        "half precision": (lambda x, e, a: mix(x.half(), e.half(), a), None),
        "signal rounded": (lambda x, e, a: mix(x.round(), 0 * e, a), None),
    }
}
