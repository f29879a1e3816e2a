"""Answers to the exercises of chapter 01 beside those that the exercises declare."""

import numpy as np
import torch


def step(x, t, betas, eps=None):
    eps = torch.randn(x.shape) if eps is None else eps
    return (1 - betas[t]).sqrt() * x + betas[t].sqrt() * eps


def chain(x0, betas, change=lambda e: e):
    rows = [x0]
    for t, eps in enumerate(change(torch.randn(len(betas) - 1, len(x0))), 1):
        rows.append(step(rows[-1], t, betas, eps))
    return torch.stack(rows)


def drawn(change):
    return lambda x, t, betas: step(x, t, betas, change(torch.randn(x.shape)))


def moments(m0, v0, betas):
    left = np.cumprod(1 - betas.numpy())
    return np.sqrt(left) * m0, left * v0 + 1 - left


def summed(x0, betas):
    left = (1 - betas.double()).cumprod(0).sqrt()[:, None]
    eps = betas.sqrt()[:, None] * torch.randn(len(betas), len(x0))
    return left * (x0 + (eps / left).cumsum(0))


def halves(e):
    return e[..., torch.arange(e.shape[-1]) // 2]


RIGHT = {
    "q_step": [
        lambda x, t, betas: torch.stack([step(row, t, betas) for row in x]),
        lambda x, t, b: torch.normal((1 - b[t]) ** 0.5 * x, float(b[t]) ** 0.5),
        lambda x, t, betas: step(x.double(), t, betas),
    ],
    "moments": [moments, lambda *x: [torch.tensor(part) for part in moments(*x)]],
    "run_chain": [chain, summed],
    "steps_needed": [228.0, np.int64(228)],
}
SHARED = "shared_draw"
WRONG = {
    "q_step": {
        "places repeated": (drawn(halves), SHARED),
        "antithetic": (drawn(lambda e: torch.cat([e[::2], -e[::2]])), SHARED),
        "half silent": (drawn(lambda e: torch.cat([e[::2], 0 * e[::2]])), None),
        "seeded inside": (lambda *x: [torch.manual_seed(1), step(*x)][1], SHARED),
        "half precision": (lambda *x: step(*x).half(), None),
        "centred": (lambda x, *rest: step(x - x.mean(0), *rest), None),
    },
    "moments": {
        "from m0 = 0": (lambda m0, v0, betas: moments(0, v0, betas), None),
        "up to 5": (lambda *x: [part[:6] for part in moments(*x)], "wrong_shape"),
    },
    "run_chain": {
        "flipped": (lambda *x: chain(*x, lambda e: [*e[:3], *e[:2].flip(1)]), SHARED),
        "points repeated": (lambda *x: chain(*x, halves), SHARED),
        "summed": (lambda *x: chain(*x, lambda e: e.cumsum(0)), None),
        "half precision": (lambda *x: chain(*x).half(), None),
        "β backwards": (lambda x0, b: chain(x0, b[[0, 5, 4, 3, 2, 1]]), None),
    },
    "steps_needed": {"a guess": (1000, None), "negative": (-228, None)},
}
