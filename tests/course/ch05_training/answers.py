"""Answers to the exercises of chapter 05 beside those that the exercises declare."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def loss(net, x0, alpha_bars, t=None, eps=None, told=torch.div, error=F.mse_loss):
    T = len(alpha_bars) - 1
    t = torch.randint(0, T, (len(x0), 1)) + 1 if t is None else t.view(-1, 1)
    eps = torch.empty_like(x0).normal_() if eps is None else eps
    bar = alpha_bars.to(eps)[t]
    x_t = bar**0.5 * x0 + (1 - bar) ** 0.5 * eps
    return error(net(x_t, None, told(t, T), None), eps)


def loss_looped(net, x0, alpha_bars, generator=None):
    return sum(loss(net, row[None], alpha_bars) for row in x0) / len(x0)


def loss_numpy(*, net, x0, alpha_bars):
    t = torch.from_numpy(np.random.default_rng().integers(1, 9, len(x0)))
    eps = torch.from_numpy(np.random.default_rng().standard_normal(x0.shape))
    e = loss(net, x0, alpha_bars, t, eps, error=torch.sub)
    return torch.einsum("ij,ij->", e, e) / x0.numel()


def by(t=None, eps=None, **other):
    """Return a loss with other draws, functions of x0."""
    return lambda net, x0, bars: loss(
        net, x0, bars, t and t(x0), eps and eps(x0), **other
    )


def half(x):
    return torch.randn_like(x[::2]).repeat(2, 1)


def neighbours(x):
    eps = torch.randn_like(x)
    return (eps + eps.roll(1, 0)) / 2**0.5


def centred(x):
    eps = torch.randn_like(x)
    return eps - eps.mean(0)


def half_times(x):
    return torch.randint(1, 9, (len(x) // 2,)).repeat(2)


def features(t, T, frequencies):
    phase = torch.outer(t.double() / T, frequencies.double())
    return torch.hstack((torch.sin(phase), torch.cos(phase)))


def features_complex(t, T, frequencies):
    turns = np.exp(1j * np.outer(t.numpy() / T, frequencies.numpy()))
    return np.concatenate([turns.imag, turns.real], 1)


def excess(losses_net, losses_exact):
    d = (losses_net - losses_exact).double().numpy()
    return float(d.mean()), float(d.std()) / math.sqrt(len(d))  # n, not n−1


def excess_of_covariance(losses_net, losses_exact):
    cov = torch.cov(torch.stack([losses_net, losses_exact]).double())
    variance = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
    return losses_net.mean() - losses_exact.mean(), (variance / len(losses_net)) ** 0.5


RIGHT = {
    "loss": [loss, loss_looped, loss_numpy],
    "time_features": [features, features_complex],
    "excess": [excess, excess_of_covariance],
}
WRONG = {
    "loss": {
        "half of the noise again": (by(eps=half), "shared_draw"),
        "half of the times again": (by(half_times), "not_drawn"),
        "tied noise": (by(eps=neighbours), None),
        "centred": (by(eps=centred), None),
        "t // T": (by(told=lambda t, T: t // T), None),
        "shuffled": (by(told=lambda t, T: t.flip(0) / T), None),
        "every pair": (by(error=lambda o, e: (e[:, None] - o).square().mean()), None),
        "half precision": (lambda net, x, a: loss(net, x, a.half()), None),
        "half noisy": (by(eps=lambda x: torch.randn_like(x) * (x > 0)), "which_noise"),
        "by size": (by(error=lambda o, e: (e * (e - o)).square().mean()), None),
        "cubes": (by(error=lambda o, e: (e - o).abs().pow(3).mean()), None),
    },
    "time_features": {
        "half precision": (lambda t, T, w: features(t, T, w.half()), None),
        "for T = 100": (lambda t, T, w: features(t, 100, w), None),
        "sorted": (lambda t, T, w: features(t, T, w.sort()[0]), None),
        "one row for all": (lambda t, T, w: features(t * 0 + t[0], T, w), None),
    },
    "excess": {
        "no error": (lambda a, b: (excess(a, b)[0], 0.0), None),
        "of half": (lambda a, b: excess(a[::2], b[::2]), None),
        "half precision": (lambda a, b: excess(a.bfloat16(), b.bfloat16()), None),
        "sorted": (lambda a, b: excess(a.sort()[0], b.sort()[0]), None),
    },
}
