"""Answers to the exercises of chapter 01 beside those that the exercises declare."""

import numpy as np
import torch


def step(x_s, t, betas, generator=None, draw=torch.randn):
    eps = draw(x_s.shape, generator=generator)
    return (1 - betas[t]).sqrt() * x_s + betas[t].sqrt() * eps


def step_numpy(x_s, t, betas):
    b, eps = float(betas[t]), np.random.default_rng().standard_normal(x_s.shape)
    return np.sqrt(1 - b) * x_s.numpy() + np.sqrt(b) * eps


def drawn(change):
    """Return steps whose draw is changed."""
    return lambda *x: step(*x, draw=lambda shape, **_: change(torch.randn(shape)))


def chain(x0, betas, step=step):
    rows = [x0]
    for t in range(1, len(betas)):
        rows.append(step(rows[-1], t, betas))
    return torch.stack(rows)


def chain_of(change, fresh=False):
    """Return chains whose noise is one draw, or many, changed from step to step."""

    def answer(x0, betas):
        eps, rows = torch.randn(len(betas), len(x0)), [x0]
        for t in range(1, len(betas)):
            e = change(eps[t if fresh else 0], t)
            rows.append((1 - betas[t]).sqrt() * rows[-1] + betas[t].sqrt() * e)
        return torch.stack(rows)

    return answer


def chain_summed(x0, betas):
    left = torch.cumprod(1 - betas.double(), 0).sqrt()[:, None]
    eps = betas.sqrt()[:, None] * torch.randn(len(betas), len(x0)) / left
    return left * (x0 + torch.cumsum(eps, 0))


def moments(m0, v0, betas):
    left = np.cumprod(1 - betas.numpy())
    return np.sqrt(left) * m0, left * v0 + 1 - left


RIGHT = {
    "q_step": [
        step,
        step_numpy,
        lambda x, t, betas: torch.stack([step(row, t, betas) for row in x]),
        lambda x, t, b: torch.normal((1 - b[t]).sqrt() * x, float(b[t].sqrt())),
    ],
    "moments": [moments, lambda *x: tuple(map(torch.tensor, moments(*x)))],
    "run_chain": [chain, chain_of(lambda e, t: e, fresh=True), chain_summed],
    "steps_needed": [228.0, torch.tensor(228), np.int64(228)],
}
SHARED, WHICH = "shared_draw", "which_noise"
WRONG = {
    "q_step": {
        "half a batch repeated": (
            drawn(lambda e: e[torch.arange(len(e)) // 2]),
            SHARED,
        ),
        "antithetic": (drawn(lambda e: torch.cat([e[::2], -e[::2]])), SHARED),
        "seeded inside": (
            lambda *x: step(*x, torch.Generator().manual_seed(1)),
            SHARED,
        ),
        "Laplace": (lambda *x: drawn(lambda e: e.abs().log1p() * e.sign())(*x), None),
        "half precision": (lambda x, t, b: step(x.half(), t, b.half()), None),
        "centred": (lambda x, t, betas: step(x - x.mean(0), t, betas), None),
        "half of it noisy": (drawn(lambda e: torch.cat([e[::2], 0 * e[::2]])), None),
    },
    "moments": {
        "nothing happens": (lambda m0, v0, b: (m0 + 0 * b, v0 + 0 * b), None),
        "from m0 = 0": (lambda m0, v0, betas: moments(0, v0, betas), None),
        "for T = 5": (
            lambda m0, v0, b: [x[:6] for x in moments(m0, v0, b)],
            "wrong_shape",
        ),
    },
    "run_chain": {
        "rolled": (chain_of(lambda e, t: e.roll(t)), SHARED),
        "±": (chain_of(lambda e, t: (-1) ** t * e), "one_noise"),
        "half repeated": (
            chain_of(lambda e, t: e[torch.arange(len(e)) // 2], True),
            SHARED,
        ),
        "seeded": (lambda *x: [torch.manual_seed(0), chain(*x)][1], SHARED),
        "half precision": (lambda x0, betas: chain(x0.half(), betas.half()), None),
        "β backwards": (
            lambda x0, b: chain(x0, torch.cat([b[:1], b[1:].flip(0)])),
            None,
        ),
    },
    "steps_needed": {"a guess": (1000, None), "negative": (-228, None)},
}
