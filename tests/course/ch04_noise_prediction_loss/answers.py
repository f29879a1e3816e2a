"""Answers to the exercises of chapter 04 beside those that the exercises declare."""

import math

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from minddpm import DDPM, MLP, Schedule

LINEAR = Schedule.linear(20, 0.02, 0.4)
CHANGES = {
    "clamped": lambda x: x.clamp(-8, 8),
    "rounded": lambda x: x.round(decimals=3),
    "averaged": lambda x: x.mean().expand_as(x),
    "centred": lambda x: x - x.mean(),
    "of unit size": lambda x: x / x.std(),
    "sorted": lambda x: x.sort(0)[0],
    "of another sample": lambda x: x.roll(1, 0),
    "drawn": torch.randn_like,
    "drawn in part": lambda x: x + 0.01 * torch.randn_like(x),
    "seeded": lambda x: torch.randn(
        x.shape, generator=torch.Generator().manual_seed(0)
    ),
}


def changed(f, k):
    """Ask an answer with its argument k changed, each way."""

    def wrong(change):
        return lambda *args: f(*args[:k], change(args[k]), *args[k + 1 :])

    return {f"{label} {k}": (wrong(change), None) for label, change in CHANGES.items()}


def of_floats(f, kind):
    return lambda *args: f(*(kind(x) if torch.is_tensor(x) else x for x in args))


def except_at(time, f, other):
    """Answer right but at one time, the only int among the arguments."""

    def answer(*args):
        t = next(x for x in args if isinstance(x, int))
        return (other if t == time else f)(*args)

    return answer


def posterior(x0, x_t, t, betas, alpha_bars):
    now, before = 1 - alpha_bars[t], 1 - alpha_bars[t - 1]
    mean = (
        alpha_bars[t - 1].sqrt() * betas[t] * x0 + (1 - betas[t]).sqrt() * before * x_t
    )
    return mean / now, betas[t] * before / now


def posterior_by_precisions(x0, x_t, t, betas, alpha_bars):
    if t == 1:
        return x0, torch.zeros(1, 1)
    a, b = 1 / (1 - alpha_bars[t - 1]), (1 - betas[t]) / betas[t]
    mean = a * alpha_bars[t - 1].sqrt() * x0 + b * x_t / (1 - betas[t]).sqrt()
    return mean / (a + b), (1 / (a + b)).expand(len(x0), 1)


def posterior_looped(x0, x_t, t, betas, alpha_bars):
    pairs = [posterior(*p, t, betas, alpha_bars) for p in zip(x0, x_t, strict=True)]
    return torch.stack([mean for mean, _ in pairs]), float(pairs[0][1])


def posterior_of_the_package(*, x0, x_t, t, betas, alpha_bars):
    ddpm = DDPM(MLP(dim=1, n_feat=8), schedule=Schedule.from_betas(betas[1:]))
    return ddpm.q_posterior(x0, x_t, t)


def a_sample(*args):
    mean, variance = posterior(*args)
    return torch.normal(mean, float(variance) ** 0.5), variance


def kl(m, v, n, w):
    return 0.5 * (torch.log(w / v) + (v + (m - n) ** 2) / w - 1)


def kl_in_numpy(mean1, var1, mean2, var2):
    a, b, c, d = (v.double().numpy() for v in (mean1, var1, mean2, var2))
    return np.log(np.sqrt(d / b)) + (b + (a - c) ** 2) / (2 * d) - 1 / 2


def kl_looped(*args):
    rows = zip(*(x.flatten().tolist() for x in args), strict=True)
    terms = [math.log(w / v) + (v + (m - n) ** 2) / w - 1 for m, v, n, w in rows]
    return torch.tensor(terms)[:, None] / 2


def kl_drawn(m, v, n, w):
    f, g = Normal(m, v.sqrt()), Normal(n, w.sqrt())
    x = f.sample((20_000,))
    return (f.log_prob(x) - g.log_prob(x)).mean(0)


def mean(x_t, eps_hat, t, betas, alpha_bars):
    noise = betas[t] / (1 - alpha_bars[t]).sqrt()
    return (x_t - noise * eps_hat) / (1 - betas[t]).sqrt()


def mean_by_x0(change=lambda x: x):
    """Through x̂_0 and eq. 7, with x̂_0 changed in between."""

    def answer(x_t, eps_hat, t, betas, alpha_bars):
        a = alpha_bars[t]
        x0_hat = change((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt())
        return posterior(x0_hat, x_t, t, betas, alpha_bars)[0]

    return answer


def mean_in_numpy(x_t, eps_hat, t, betas, alpha_bars):
    b, ab = float(betas[t]), float(alpha_bars[t])
    factors = np.array([1, -b / math.sqrt(1 - ab)]) / math.sqrt(1 - b)
    return np.einsum("k,kbd->bd", factors, np.stack([x_t.numpy(), eps_hat.numpy()]))


def weight(t, sigma_t, betas, alpha_bars):
    return betas[t] ** 2 / (2 * sigma_t**2 * (1 - betas[t]) * (1 - alpha_bars[t]))


def weight_by_means(t, sigma_t, betas, alpha_bars):
    a, b = mean(torch.zeros(2), torch.tensor([0.0, 1]), t, betas, alpha_bars)
    return (a - b) ** 2 / (2 * sigma_t**2)


def weight_in_numpy(t, sigma_t, betas, alpha_bars):
    b, ab = betas.numpy()[t], alpha_bars.numpy()[t]
    return 0.5 * (b / (sigma_t * np.sqrt(1 - b) * np.sqrt(1 - ab))) ** 2


RIGHT = {
    "q_posterior": [
        posterior_by_precisions,
        posterior_looped,
        posterior_of_the_package,
        lambda *args: [
            x.numpy() for x in of_floats(posterior, torch.Tensor.double)(*args)
        ],
    ],
    "kl_gaussians": [
        lambda m, v, n, w: kl_divergence(Normal(m, v.sqrt()), Normal(n, w.sqrt())),
        kl_in_numpy,
        kl_looped,
        lambda *args: kl(*args).clamp(min=0),
    ],
    "mean_from_eps": [mean, mean_by_x0(), mean_in_numpy],
    "weight": [
        weight_by_means,
        weight_in_numpy,
        lambda t, *rest: float(weight(torch.tensor(t), *rest)),
    ],
}
WRONG = {
    "q_posterior": {
        "only the mean": (lambda *args: posterior(*args)[0], "wrong_type"),
        "the other order": (lambda *args: posterior(*args)[::-1], "wrong_shape"),
        "a variance a sample": (
            lambda x, *_: (posterior(x, *_)[0], x**2),
            "wrong_shape",
        ),
        "a sample": (a_sample, None),
        "log variance": (
            lambda *args: (posterior(*args)[0], args[3][args[2]].log()),
            None,
        ),
        "half precision": (of_floats(posterior, torch.Tensor.half), None),
        "own tables": (
            lambda *a: posterior(*a[:3], LINEAR.betas, LINEAR.alpha_bars),
            None,
        ),
        "x_t at t = 1": (except_at(1, posterior, lambda *args: (args[1], 0.0)), None),
        **changed(posterior, 0),
        **changed(posterior, 1),
    },
    "kl_gaussians": {
        "in bits": (lambda *args: kl(*args) / math.log(2), None),
        "drawn": (kl_drawn, None),
        "at most 100": (lambda *args: kl(*args).clamp(max=100), None),
        "averaged": (lambda *args: kl(*args).mean().expand(len(args[0]), 1), None),
        "of both": (lambda m, v, n, w: kl(m, v, n, w) + kl(n, w, m, v), None),
        "Wasserstein": (lambda m, v, n, w: (m - n) ** 2 + (v**0.5 - w**0.5) ** 2, None),
        "half precision": (of_floats(kl, torch.Tensor.half), "not_finite"),
        "every pair": (lambda m, v, n, w: kl(m, v, n.T, w.T), "wrong_shape"),
        "wide only": (lambda m, v, n, w: kl(m, v, n, w.clamp(min=0.1)), None),
    },
    "mean_from_eps": {
        **{f"{label} x̂_0": (mean_by_x0(f), None) for label, f in CHANGES.items()},
        "x̂_0 of 1": (mean_by_x0(torch.ones_like), None),
        "no ε": (lambda x_t, _, t, betas, *__: x_t / (1 - betas[t]).sqrt(), None),
        "half precision": (of_floats(mean, torch.Tensor.half), None),
        "own tables": (lambda *a: mean(*a[:3], LINEAR.betas, LINEAR.alpha_bars), None),
        "x_t at t = 1": (except_at(1, mean, lambda x_t, *_: x_t), None),
        **changed(mean, 0),
        **changed(mean, 1),
    },
    "weight": {
        "rounded": (lambda *args: weight(*args).round(decimals=3), None),
        "at most 1": (lambda *args: weight(*args).clamp(max=1), None),
        "σ² = β": (lambda t, _, b, a: weight(t, b[t] ** 0.5, b, a), None),
        "half precision": (of_floats(weight, torch.Tensor.half), None),
        "own tables": (
            lambda *a: weight(*a[:2], LINEAR.betas, LINEAR.alpha_bars),
            None,
        ),
        "1 at t = 1": (except_at(1, weight, lambda *_: 1.0), None),
        "of all times": (lambda t, *rest: weight(slice(1, None), *rest), "wrong_shape"),
        "SNR": (
            lambda t, _, betas, alpha_bars: alpha_bars[t] / (1 - alpha_bars[t]),
            None,
        ),
    },
}
