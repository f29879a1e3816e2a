"""Answers to the exercises of chapter 03 beside those that the exercises declare."""

import math

import numpy as np
import torch
from torch.distributions import Normal


def mean(x_t, data, alpha_bar_t):
    distance = torch.cdist(x_t, alpha_bar_t**0.5 * data)
    return torch.softmax(-(distance**2) / 2 / (1 - alpha_bar_t), -1) @ data


def mean_looped(x_t, data, alpha_bar_t):
    result = torch.zeros_like(x_t)
    for i, x in enumerate(x_t):
        squares = [float(((x - alpha_bar_t**0.5 * x_k) ** 2).sum()) for x_k in data]
        weights = [
            math.exp((min(squares) - q) / 2 / (1 - alpha_bar_t)) for q in squares
        ]
        for w, x_k in zip(weights, data, strict=True):
            result[i] += w / sum(weights) * x_k
    return result


def mean_numpy(*, x_t, data, alpha_bar_t):
    difference = x_t.numpy()[:, None] - np.sqrt(alpha_bar_t) * data.numpy()
    logits = -(difference**2).sum(-1) / (2 * (1 - alpha_bar_t))
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return np.einsum("bn,nd->bd", weights, data) / weights.sum(1, keepdims=True)


def mean_of_densities(x_t, data, alpha_bar_t, axis=1):
    bells = Normal(alpha_bar_t**0.5 * data, (1 - alpha_bar_t) ** 0.5)
    logits = bells.log_prob(x_t[:, None]).sum(-1)
    return (logits - logits.logsumexp(axis, keepdim=True)).exp() @ data


def mean_of_largest(x_t, data, alpha_bar_t):
    """Weigh only the two nearest points."""
    distance, k = torch.cdist(x_t, alpha_bar_t**0.5 * data).topk(2, largest=False)
    weights = (-distance.square() / (2 - 2 * alpha_bar_t)).softmax(1)
    return (weights[..., None] * data[k]).sum(1)


def one_maximum_for_all(x_t, data, alpha_bar_t):
    squares = torch.cdist(x_t, alpha_bar_t**0.5 * data).square()
    weights = ((squares.min() - squares) / (2 - 2 * alpha_bar_t)).exp()
    return weights / weights.sum(1, keepdim=True) @ data


def eps(x_t, x0_hat, alpha_bar_t):
    a = torch.tensor(alpha_bar_t, dtype=torch.float64)
    return (x_t - a.sqrt() * x0_hat) * (1 - a).rsqrt()


def eps_numpy(*, x_t, x0_hat, alpha_bar_t):
    signal = np.sqrt(alpha_bar_t) * x0_hat.numpy()
    return (x_t.numpy() - signal) / np.sqrt(1 - alpha_bar_t)


def eps_looped(x_t, x0_hat, alpha_bar_t):
    snr = alpha_bar_t / (1 - alpha_bar_t)
    rows = zip(x_t / alpha_bar_t**0.5, x0_hat, strict=True)
    return torch.stack([snr**0.5 * (x - x0) for x, x0 in rows])


def floor(alpha_bar_t, s):
    covariance = math.sqrt(1 - alpha_bar_t)
    return 1 - covariance**2 / (alpha_bar_t * s * s + 1 - alpha_bar_t)


def floor_of_the_posterior(alpha_bar_t, s):
    snr = torch.tensor(alpha_bar_t) / (1 - alpha_bar_t)
    return snr / (1 / s**2 + snr)


RIGHT = {
    "denoise": [mean, mean_looped, mean_numpy, mean_of_densities],
    "eps_from_x0": [eps, eps_numpy, eps_looped],
    "gaussian_floor": [floor, floor_of_the_posterior],
}
WRONG = {
    "denoise": {
        "the batch's sum": (lambda *args: mean_of_densities(*args, 0), "wrong_axis"),
        "the largest of the batch subtracted": (one_maximum_for_all, "underflow"),
        "two nearest points": (mean_of_largest, None),
        "every point once": (lambda x, d, a: mean(x, d.unique(dim=0), a), None),
        "centred batch": (lambda x, d, a: mean(x - x.mean(0), d, a), None),
        "clamped": (lambda *args: mean(*args).clamp(-1, 1), None),
        "half precision": (
            lambda x, d, a: mean(*(y.half().float() for y in (x, d)), a),
            None,
        ),
        "for ᾱ = 0.36 only": (lambda x, d, a: mean(x, d, 0.36), None),
        "one for all": (lambda *args: mean(*args).mean(0).expand(args[0].shape), None),
    },
    "eps_from_x0": {
        "no brackets below": (lambda x, x0, a: (x - a**0.5 * x0) / 1 - a**0.5, None),
        "noise of its own": (lambda x, x0, a: torch.randn_like(x), None),
        "half precision": (lambda x, x0, a: eps(x.half(), x0.half(), a).half(), None),
        "clamped x0_hat": (lambda x, x0, a: eps(x, x0.clamp(-1, 1), a), None),
        "standardised": (lambda *args: eps(*args) / eps(*args).std(), None),
        "centred": (lambda x, x0, a: eps(x, x0 - x0.mean(), a), None),
    },
    "gaussian_floor": {
        "rounded": (lambda a, s: round(floor(a, s), 3), None),
        "simulated": (lambda a, s: floor(a, s) + 0.01 * torch.randn(()), None),
        "1 − ᾱ": (lambda a, s: 1 - a, None),
        "for s = 0.7 only": (lambda a, s: floor(a, 0.7), None),
    },
}
