"""Answers to the exercises of chapter 06 beside those that the exercises declare."""

import numpy as np
import torch
import torch.nn.functional as F


def dropping(draw):
    """Return an answer with other draws, draw(rows, drop_prob)."""

    def answer(v, drop_prob):
        mask = draw(v, drop_prob).float()
        return v * (1 - mask)[:, None], mask

    return answer


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


def one_class_more(v, p):
    return torch.rand(len(v)) < p * torch.where(v.argmax(1) == 0, 1.3, 0.9)


def in_opposite_pairs(v, p):
    u = torch.rand(len(v) // 2)
    return torch.cat([u, 1 - u]) < p


def eps_numpy(eps_c, log_q, shares):
    eps_c, log_q, shares = eps_c.numpy(), log_q.numpy(), shares.numpy()
    q = np.exp(log_q - log_q.max(axis=0)) * shares[:, None]
    return np.einsum("kb,kbd->bd", q / q.sum(0), eps_c)


def eps_of(logits):
    """Return an answer that weighs by the exponential of other logits."""

    def answer(eps_c, log_q, shares):
        joint = logits(log_q, shares.log()[:, None]).exp()
        return (joint / joint.sum(0))[..., None].mul(eps_c).sum(0)

    return answer


def floor_looped(eps, eps_c, eps_u, drop_prob):
    rows = zip(eps.tolist(), eps_c.tolist(), eps_u.tolist(), strict=True)
    both = [(e - a, e - b) for row in rows for e, a, b in zip(*row, strict=True)]
    return sum((1 - drop_prob) * a**2 + drop_prob * b**2 for a, b in both) / len(both)


def floor(eps, eps_c, eps_u, drop_prob):
    told, untold = F.mse_loss(eps_c, eps).item(), F.mse_loss(eps_u, eps).item()
    return told + drop_prob * (untold - told)


def floor_seeded(eps, eps_c, eps_u, drop_prob):
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(len(eps), 1, generator=g) < drop_prob
    return F.mse_loss(torch.where(mask, eps_u, eps_c), eps)


RIGHT = {
    "drop_context": [drop_looped, drop_numpy, drop_indexed],
    "unconditional_eps": [eps_numpy, eps_of(lambda q, p: (q + p).log_softmax(0))],
    "dropout_floor": [floor_looped, floor],
}
WRONG = {
    "drop_context": {
        "sorted": (dropping(lambda v, p: torch.rand(len(v)).sort()[0] < p), None),
        "one class more": (dropping(one_class_more), None),
        "opposite pairs": (dropping(in_opposite_pairs), None),
        "mask (B, 1)": (lambda v, p: (v, torch.zeros(len(v), 1)), "wrong_shape"),
    },
    "unconditional_eps": {
        "plain exp": (eps_of(lambda q, p: q + p), "underflow"),
        "one shift": (eps_of(lambda q, p: q + p - q.max()), "underflow"),
        "half the prior": (eps_of(lambda q, p: (q + p / 2).log_softmax(0)), None),
        "half precision": (lambda *args: eps_numpy(*(x.half() for x in args)), None),
    },
    "dropout_floor": {
        "seeded": (floor_seeded, None),
        "centred": (lambda e, c, u, p: floor(e - e.mean(), c - c.mean(), u, p), None),
        "without sample 0": (lambda e, c, u, p: floor(e[1:], c[1:], u[1:], p), None),
    },
}
