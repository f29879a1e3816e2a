"""Answers to the exercises of chapter 06 beside those that the exercises declare."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def drop(v, p, m):
    return v * (1 - m.float())[:, None], m.float()


def drop_looped(v, drop_prob):
    told, mask = v.clone(), torch.zeros(len(v))
    for i in range(len(v)):
        if torch.rand(()).item() < drop_prob:
            told[i], mask[i] = 0, 1
    return told, mask


def drop_numpy(v, drop_prob):
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    mask = rng.binomial(1, drop_prob, len(v))
    return v.numpy() * (1 - mask[:, None]), mask


def drop_indexed(v, drop_prob, generator=None):
    mask = torch.rand(v.shape[0], generator=generator) >= 1 - drop_prob
    told = v.double()
    told[mask] = 0.0
    return told, mask


def sorted_draws(v, drop_prob):
    return drop(v, drop_prob, torch.rand(len(v)).sort().values < drop_prob)


def one_class_more(v, drop_prob):
    factor = torch.where(v.argmax(1) == 0, 1.3, 0.9)
    return drop(v, drop_prob, torch.rand(len(v)) < drop_prob * factor)


def antithetic(v, drop_prob):
    u = torch.rand(len(v) // 2)
    return drop(v, drop_prob, torch.cat([u, 1 - u]) < drop_prob)


def few_seeds(v, drop_prob):
    g = torch.Generator().manual_seed(int(torch.randint(50, ())))
    return drop(v, drop_prob, torch.rand(len(v), generator=g) < drop_prob)


def eps_looped(eps_c, log_q, shares):
    K, B, _ = eps_c.shape
    result = torch.zeros(B, 2)
    for b in range(B):
        logits = [float(log_q[k, b]) + math.log(shares[k]) for k in range(K)]
        weights = [math.exp(x - max(logits)) for x in logits]
        for k in range(K):
            result[b] += weights[k] / sum(weights) * eps_c[k, b]
    return result


def eps_numpy(eps_c, log_q, shares):
    eps_c, log_q, shares = eps_c.numpy(), log_q.numpy(), shares.numpy()
    q = np.exp(log_q - log_q.max(axis=0)) * shares[:, None]
    return np.einsum("kb,kbd->bd", q / q.sum(0), eps_c)


def weighing(weights):
    return lambda e, q, p: (weights(q, p[:, None])[..., None] * e).sum(0)


def floor_looped(eps, eps_c, eps_u, drop_prob):
    total = 0.0
    for e, a, b in zip(eps.tolist(), eps_c.tolist(), eps_u.tolist(), strict=True):
        for k in range(2):
            total += (1 - drop_prob) * (e[k] - a[k]) ** 2
            total += drop_prob * (e[k] - b[k]) ** 2
    return total / (2 * len(eps))


def floor_numpy(eps, eps_c, eps_u, drop_prob):
    answers = np.stack([eps_c.numpy(), eps_u.numpy()])
    floors = np.mean((answers - eps.numpy()) ** 2, axis=(1, 2))
    return floors @ np.array([1 - drop_prob, drop_prob])


def floor(eps, eps_c, eps_u, drop_prob):
    told, untold = F.mse_loss(eps_c, eps).item(), F.mse_loss(eps_u, eps).item()
    return told + drop_prob * (untold - told)


def floor_seeded(eps, eps_c, eps_u, drop_prob):
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(len(eps), 1, generator=g) < drop_prob
    return F.mse_loss(torch.where(mask, eps_u, eps_c), eps)


RIGHT = {
    "drop_context": [drop_looped, drop_numpy, drop_indexed],
    "unconditional_eps": [
        eps_looped,
        eps_numpy,
        weighing(lambda q, p: (q + p.log() - (q + p.log()).logsumexp(0)).exp()),
    ],
    "dropout_floor": [floor_looped, floor_numpy, floor],
}
WRONG = {
    "drop_context": {
        "integers": (lambda v, p: drop(v, p, torch.rand(len(v)) < round(p, 1)), None),
        "noise": (
            lambda v, p: (v + 1e-3 * torch.randn(v.shape), torch.ones(len(v))),
            None,
        ),
        "sorted": (sorted_draws, None),
        "one class more": (one_class_more, None),
        "in opposite pairs": (antithetic, None),
        "few seeds": (few_seeds, "same_draws"),
        "mask (B, 1)": (lambda v, p: (drop_numpy(v, p)[0], v[:, :1]), "wrong_shape"),
    },
    "unconditional_eps": {
        "plain": (
            weighing(lambda q, p: p * q.exp() / (p * q.exp()).sum(0)),
            "underflow",
        ),
        "one shift": (
            weighing(
                lambda q, p: p * (q - q.max()).exp() / (p * (q - q.max()).exp()).sum(0)
            ),
            "underflow",
        ),
        "root of the prior": (
            weighing(lambda q, p: (q + p.log() / 2).softmax(0)),
            None,
        ),
        "half precision": (lambda *args: eps_looped(*(x.half() for x in args)), None),
        "weights": (lambda e, q, p: (q + p.log()[:, None]).softmax(0), "wrong_shape"),
    },
    "dropout_floor": {
        "seeded": (floor_seeded, None),
        "centred": (lambda e, c, u, p: floor(e - e.mean(), c - c.mean(), u, p), None),
        "the first coordinate": (
            lambda *args: floor(*(x[:, 0] for x in args[:3]), args[3]),
            None,
        ),
        "p = 0.1": (lambda *args: floor(*args[:3], 0.1), None),
        "without sample 0": (lambda e, c, u, p: floor(e[1:], c[1:], u[1:], p), None),
    },
}
