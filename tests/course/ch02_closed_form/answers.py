"""Answers to the exercises of chapter 02 beside those that the exercises declare."""

import numpy as np
import torch

from minddpm import Schedule

LINEAR = Schedule.linear(1000)
signal, noise = LINEAR.sqrt_alpha_bars, LINEAR.sqrt_one_minus_alpha_bars


def table_looped(betas):
    result = [1.0]
    for beta in betas:
        result.append(result[-1] * (1 - float(beta)))
    return torch.tensor(result)


def jump(x0, t, eps, schedule=LINEAR):
    a = schedule.alpha_bars[t].reshape(-1, *[1] * (x0.ndim - 1))
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def jump_looped(x0, t, eps):
    parts = zip(x0, t, eps, strict=True)
    return torch.stack([signal[k] * x + noise[k] * e for x, k, e in parts])


def jump_transposed(x0, t, eps):
    last = x0.movedim(0, -1), eps.movedim(0, -1)
    return (signal[t] * last[0] + noise[t] * last[1]).movedim(-1, 0)


def jump_for_pictures_only(x0, t, eps):
    return signal[t].view(-1, 1, 1, 1) * x0 + noise[t].view(-1, 1, 1, 1) * eps


RIGHT = {
    "last_signal": [0.78, 0.8, 0.75, torch.tensor(0.777), np.float32(0.777)],
    "alpha_bars": [
        table_looped,
        lambda betas: np.concatenate([[1.0], np.cumprod(1 - betas.numpy())]),
        lambda betas: Schedule.from_betas(betas).alpha_bars,
    ],
    "q_sample": [jump, jump_looped, jump_transposed],
    "rescaled_betas": [
        lambda T: np.linspace(0.1 / T, 20 / T, T),
        lambda T: Schedule.linear(T, rescale=True).betas[1:],
    ],
}
WRONG = {
    "last_signal": {"nothing happens": (1.0, None), "the exponent": (-0.25, None)},
    "alpha_bars": {
        "right up to T = 8 only": (
            lambda betas: table_looped(betas[:8]),
            "wrong_shape",
        ),
        "exp(−Σβ)": (lambda betas: (-betas.cumsum(0)).exp(), "wrong_shape"),
        "the linear schedule": (lambda b: LINEAR.alpha_bars[: len(b) + 1], None),
    },
    "q_sample": {
        "for pictures only": (jump_for_pictures_only, "wrong_shape"),
        "clamped": (lambda x0, t, eps: jump(x0, t, eps).clamp(-1, 1), None),
        "another schedule": (lambda *args: jump(*args, Schedule.cosine(1000)), None),
        "half precision": (lambda x0, t, e: jump(x0.half(), t, e.half()), None),
        "centred": (lambda x0, t, eps: jump(x0 - x0.mean(), t, eps), None),
    },
    "rescaled_betas": {
        "the sum from 0": (lambda T: torch.linspace(0, 20.1 / T, T), None),
        "for T = 50 always": (lambda T: torch.linspace(2e-3, 0.4, 50), "wrong_shape"),
        "factor 20 always": (lambda T: torch.linspace(2e-3, 0.4, T), None),
    },
}
