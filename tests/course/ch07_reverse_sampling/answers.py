"""Answers to the exercises of chapter 07 beside those that the exercises declare."""

import math

import numpy as np
import torch

from minddpm import DDPM, MLP, Schedule


def step(x_t, eps_hat, t, b, ab, variance, z=torch.randn_like, sigma2=None, last=1):
    """Go by x̂_0 and eq. 7."""
    tilde = b[t] * (1 - ab[t - 1]) / (1 - ab[t])
    right = b[t] if variance == "beta" else tilde
    right = sigma2(b[t], tilde) if sigma2 else right
    mean = clipped(x_t, eps_hat, t, b, ab, math.inf)
    return mean + right**0.5 * z(x_t) if t > last else mean


def step_in_numpy(x_t, eps_hat, t, betas, alpha_bars, variance):
    b, a, a_s = (float(v) for v in (betas[t], alpha_bars[t], alpha_bars[t - 1]))
    mean = (x_t.numpy() - b / math.sqrt(1 - a) * eps_hat.numpy()) / math.sqrt(1 - b)
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    sigma = math.sqrt(b if variance == "beta" else b * (1 - a_s) / (1 - a))
    return mean + (t > 1) * sigma * rng.standard_normal(mean.shape)


def step_of_torch_normal(*, x_t, eps_hat, t, betas, alpha_bars, variance):
    tilde = betas[1:] * (1 - alpha_bars[:-1]) / (1 - alpha_bars[1:])
    sigma2 = tilde[t - 1] if variance == "posterior" else betas[t]
    alpha = alpha_bars[t] / alpha_bars[t - 1]
    mean = x_t - (1 - alpha) * (1 - alpha_bars[t]) ** -0.5 * eps_hat
    return torch.normal(alpha**-0.5 * mean, (float(sigma2) * (t != 1)) ** 0.5)


def step_by_columns(x_t, eps_hat, *rest):
    columns = zip(x_t.double().T, eps_hat.double().T, strict=True)
    return torch.stack([step(x, e, *rest) for x, e in columns], dim=1)


def seeded(x):
    torch.manual_seed(len(x))
    return torch.randn_like(x)


def repeated(x):
    return torch.randn_like(x)[torch.arange(len(x)) // 2]


def opposed(x):
    z = torch.randn_like(x)
    return torch.cat([z[: len(x) // 2], -z[: -(len(x) // 2) or None]])[: len(x)]


def stepping(**change):
    return lambda *case: step(*case, **change)


def law_by_probing(m, d, betas, alpha_bars, variance):
    """Eq. 11 at two points gives slope and offset of each step."""
    law = np.array([0.0, 1.0])
    for t in reversed(range(1, len(betas))):
        b, ab, ab_s = (float(x) for x in (betas[t], alpha_bars[t], alpha_bars[t - 1]))
        x = np.array([0.0, 1.0])
        eps = math.sqrt(1 - ab) * (x - math.sqrt(ab) * m) / (ab * d**2 + 1 - ab)
        y = (x - b / math.sqrt(1 - ab) * eps) / math.sqrt(1 - b)
        sigma2 = b if variance == "beta" else b * (1 - ab_s) / (1 - ab)
        k = y[1] - y[0]
        law = np.array([y[0] + k * law[0], k**2 * law[1] + sigma2 * (t > 1)])
    return law[0], np.sqrt(law[1])


def law_by_products(m, d, betas, alpha_bars, variance, start=0.0, scale=1.0):
    """Each step's noise, carried to the end by the product of the later factors."""
    v = 1 + alpha_bars * (d**2 - 1)
    k = torch.sqrt(1 - betas[1:]) * v[:-1] / v[1:]
    reach = torch.cat([torch.ones(1).double(), k.cumprod(0)])
    sigma2 = betas[1:].clone()
    if variance != "beta":
        sigma2 *= (1 - alpha_bars[:-1]) / (1 - alpha_bars[1:])
    sigma2[0] = 0
    mean = m + reach[-1] * (start - alpha_bars[-1].sqrt() * m)
    return mean, scale * (reach[-1] ** 2 + (reach[:-1] ** 2 * sigma2).sum()).sqrt()


def clipped(x_t, eps_hat, t, betas, alpha_bars, limit, clamp=torch.clamp):
    b, a, a_s = betas[t], alpha_bars[t], alpha_bars[t - 1]
    held = clamp((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt(), -limit, limit)
    return (a_s.sqrt() * b * held + (1 - b).sqrt() * (1 - a_s) * x_t) / (1 - a)


def clipped_by_package(x_t, eps_hat, t, betas, alpha_bars, limit):
    ddpm = DDPM(MLP(dim=3, n_feat=8), schedule=Schedule.from_betas(betas[1:]))
    x0_hat = ddpm.predict_x0(x_t, t, eps_hat).clamp(-limit, limit)
    return ddpm.q_posterior(x0_hat, x_t, t)[0]


def clipped_through_eps(x_t, eps_hat, t, betas, alpha_bars, limit):
    """Work out the noise that the clamped x̂_0 implies, and use eq. 11."""
    b, a, x = float(betas[t]), float(alpha_bars[t]), x_t.numpy()
    held = np.clip((x - (1 - a) ** 0.5 * eps_hat.numpy()) / a**0.5, -limit, limit)
    return (x - b / (1 - a) * (x - a**0.5 * held)) / (1 - b) ** 0.5


def clipping(clamp):
    return lambda *case: clipped(*case, clamp=clamp)


def jump(x_t, eps_hat, t, s, alpha_bars, keep=lambda x0: x0):
    a, a_s = alpha_bars[t].item(), alpha_bars[s].item()
    x0_hat = keep((x_t - math.sqrt(1 - a) * eps_hat) / math.sqrt(a))
    return math.sqrt(a_s) * x0_hat + math.sqrt(1 - a_s) * eps_hat


def jump_by_scores(*, x_t, eps_hat, t, s, alpha_bars):
    """In x/√ᾱ, the step is a straight line in √(1−ᾱ)/√ᾱ."""
    a = alpha_bars.double().numpy()
    level = np.sqrt((1 - a) / a)
    scaled = x_t.numpy() / np.sqrt(a[t]) + (level[s] - level[t]) * eps_hat.numpy()
    return scaled * np.sqrt(a[s])


RIGHT = {
    "p_step": [step, step_in_numpy, step_of_torch_normal, step_by_columns],
    "output_law": [law_by_probing, law_by_products],
    "clipped_mean": [clipped, clipped_by_package, clipped_through_eps],
    "ddim_step": [jump, jump_by_scores],
}
WRONG = {
    "p_step": {
        "each noise twice": (stepping(z=repeated), "shared_draw"),
        "noise of two signs": (stepping(z=opposed), "shared_draw"),
        "seeded inside": (stepping(z=seeded), "shared_draw"),
        "σ² = √(β β̃)": (stepping(sigma2=lambda b, c: (b * c) ** 0.5), None),
        "no noise, clamped": (lambda *a: step(*a, last=9).clamp(-1, 1), None),
        "half precision": (lambda *a: step(*a).half(), None),
    },
    "output_law": {
        "std first": (lambda *a: law_by_products(*a)[::-1], None),
        "1 % too wide": (lambda *a: law_by_products(*a, scale=1.01), None),
        "starts at 1": (lambda *a: law_by_products(*a, start=1.0), None),
        "one variance": (lambda *a: law_by_products(*a[:4], ""), "posterior_for_beta"),
    },
    "clipped_mean": {
        "own range": (clipping(lambda x, *_: x.clamp(x.min(), x.max())), "no_clamp"),
        "squashed": (clipping(lambda x, _, limit: limit * (x / limit).tanh()), None),
        "a fold": (clipping(lambda x, _, top: x.where(x.abs() < top, 0)), None),
    },
    "ddim_step": {
        "clamped": (lambda *a: jump(*a, keep=lambda x0: x0.clamp(-1, 1)), None),
        "centred": (lambda *a: jump(*a, keep=lambda x0: x0 - x0.mean(0)), None),
        "half precision": (lambda x, e, *a: jump(x.half(), e.half(), *a), None),
    },
}
