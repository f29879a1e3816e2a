"""Answers to the exercises of chapter 09 beside those that the exercises declare."""

import numpy as np
import torch


def guide(eps_c, eps_u, w):
    return torch.lerp(eps_u, eps_c, 1 + w)


def guide_rows(eps_c, eps_u, w):
    rows = zip(eps_c.numpy(), eps_u.numpy(), strict=True)
    return np.stack([a + w * (a - b) for a, b in rows])


def convert(library, w):
    low, high = (library(torch.ones(3), torch.zeros(3), k).mean() for k in (0, 1))
    return (1 + w - low) / (high - low)


def gaussian(mean_c, var_c, mean, var, w):
    below = (1 + w) * var - w * var_c
    return ((1 + w) * mean_c * var - w * mean * var_c) / below, var_c * var / below


def gaussian_on_a_grid(mean_c, var_c, mean, var, w):
    x = torch.linspace(-60, 60, 24_001, dtype=torch.float64)[:, None]
    log_p = w * (x - mean) ** 2 / var - (1 + w) * (x - mean_c) ** 2 / var_c
    p = (log_p / 2).softmax(dim=0)
    m = (p * x).sum(0)
    return [m, (p * (x - m) ** 2).sum(0)]


def batched(net, x_t, c, t, w, flip=lambda v: v, combine=guide):
    """Ask without a label first, perhaps in another order."""
    x_t, c, t = (torch.cat([flip(v), v]) for v in (x_t, c, t))
    mask = torch.tensor([True, False]).repeat_interleave(len(t) // 2)
    eps_u, eps_c = net(x_t, c, t, mask).split(len(t) // 2)
    return combine(eps_c, flip(eps_u), w)


def batched_in_pairs(net, x_t, c, t, w):
    pairs = zip(x_t.repeat_interleave(2, 0), c.repeat_interleave(2), strict=True)
    x, labels = zip(*pairs, strict=True)
    mask = np.resize([0.0, 1.0], len(x))
    rows = torch.stack(x), torch.stack(labels) * (1 - torch.tensor(mask)).long()
    out = net(*rows, t.repeat_interleave(2), torch.tensor(mask)[:, None])
    return torch.stack([guide(*pair, w) for pair in out.unflatten(0, (-1, 2))])


def batched_of(**parts):
    """Return an answer that takes other arguments than it is given."""

    def answer(*args):
        given = zip(("net", "x_t", "c", "t", "w"), args, strict=True)
        return batched(*(parts.get(name, lambda v: v)(v) for name, v in given))

    return answer


RIGHT = {
    "guide": [guide, guide_rows],
    "convert_scale": [convert, lambda library, w: 1 + w - library(1.0, 0.0, 0.0)],
    "guided_gaussian": [gaussian, gaussian_on_a_grid],
    "batched_guidance": [
        batched,
        batched_in_pairs,
        lambda *args: batched(*args, flip=lambda v: v.flip(0)),
    ],
}
WRONG = {
    "guide": {
        "half precision": (lambda a, b, w: guide(a.half(), b.half(), w), None),
        "bfloat16": (lambda a, b, w: guide(a.bfloat16(), b.bfloat16(), w), None),
        "centred": (lambda a, b, w: guide(a - a.mean(), b, w), "not_linear"),
        "−1 conditional": (lambda a, b, w: a if w == -1 else guide(a, b, w), None),
        "at most 5": (lambda a, b, w: guide(a, b, min(w, 5)), None),
    },
    "convert_scale": {
        "between the two": (lambda library, w: w + 0.5, None),
        "0 is nothing": (lambda library, w: convert(library, w or 1e-3), None),
        "|w|": (lambda library, w: convert(library, abs(w)), None),
    },
    "guided_gaussian": {
        "half precision": (lambda *a: gaussian(*(x.half() for x in a[:4]), a[4]), None),
        "one class for all": (lambda m, *rest: gaussian(m[:1], *rest), None),
        "w from 0": (lambda *given: gaussian(*given[:4], abs(given[4])), None),
    },
    "batched_guidance": {
        "half precision": (batched_of(x_t=lambda x: x.half()), "wrong_input"),
        "time T": (batched_of(t=lambda t: torch.ones_like(t)), "wrong_time"),
        "labels rolled": (batched_of(c=lambda c: c.roll(1)), "wrong_order"),
        "the other scale": (batched_of(w=lambda w: w - 1), "scale_convention"),
        "rounded": (lambda *args: batched(*args).half(), None),
        "at least −1": (batched_of(w=lambda w: max(w, -1)), None),
        "flat": (batched_of(x_t=lambda x: x.flatten(1)), "wrong_shape"),
    },
}
