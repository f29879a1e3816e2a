"""Right and wrong answers to the exercises of notebook 07."""

import math

import numpy as np
import torch

from minddpm import DDPM, MLP, Schedule, ddim, sample
from minddpm.course import checks
from wrong_answers import Exercise

# --- 7.1: one step back ---------------------------------------------------------------


def p_step(x_t, eps_hat, t, betas, alpha_bars, variance):
    b, a, a_s = betas[t], alpha_bars[t], alpha_bars[t - 1]
    mu = (x_t - b / (1 - a).sqrt() * eps_hat) / (1 - b).sqrt()
    if t == 1:
        return mu
    sigma2 = b if variance == "beta" else (1 - a_s) / (1 - a) * b
    return mu + sigma2.sqrt() * torch.randn_like(x_t)


def step_by_posterior(x_t, eps_hat, t, betas, alpha_bars, variance):
    x_t, eps_hat, b, ab = (v.double() for v in (x_t, eps_hat, betas, alpha_bars))
    x0_hat = (x_t - torch.sqrt(1 - ab[t]) * eps_hat) / torch.sqrt(ab[t])
    mean = ab[t - 1] ** 0.5 * b[t] * x0_hat
    mean = mean + (1 - b[t]) ** 0.5 * (1 - ab[t - 1]) * x_t
    std = {"beta": b[t], "posterior": b[t] * (1 - ab[t - 1]) / (1 - ab[t])}[variance]
    z = torch.randn(x_t.shape, dtype=torch.float64) if t > 1 else 0
    return mean / (1 - ab[t]) + std**0.5 * z


def step_in_numpy(x_t, eps_hat, t, betas, alpha_bars, variance):
    x, eps = x_t.numpy(), eps_hat.numpy()
    b, a, a_s = (float(v) for v in (betas[t], alpha_bars[t], alpha_bars[t - 1]))
    mean = (x - b / math.sqrt(1 - a) * eps) / math.sqrt(1 - b)
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    sigma = math.sqrt(b if variance == "beta" else b * (1 - a_s) / (1 - a))
    return mean + (t > 1) * sigma * rng.standard_normal(x.shape)


def step_of_torch_normal(*, x_t, eps_hat, t, betas, alpha_bars, variance):
    tilde = betas[1:] * (1 - alpha_bars[:-1]) / (1 - alpha_bars[1:])
    sigma2 = tilde[t - 1] if variance == "posterior" else betas[t]
    alpha = alpha_bars[t] / alpha_bars[t - 1]
    mean = x_t - (1 - alpha) * (1 - alpha_bars[t]) ** -0.5 * eps_hat
    return torch.normal(alpha**-0.5 * mean, (float(sigma2) * (t != 1)) ** 0.5)


def step_columns(x_t, eps_hat, t, betas, alpha_bars, variance):
    columns = [
        p_step(x, e, torch.tensor(t), betas, alpha_bars, variance)
        for x, e in zip(x_t.T, eps_hat.T, strict=True)
    ]
    return torch.stack(columns, dim=1)


def step_with(
    x_factor=lambda b, a, ab, ab_s: a**-0.5,
    eps_factor=lambda b, a, ab, ab_s: b / (a * (1 - ab)) ** 0.5,
    sigma2=lambda b, ab, ab_s, kind: b if kind == "beta" else b * (1 - ab_s) / (1 - ab),
    z=torch.randn_like,
    last=1,
    look=0,
):
    """Return the right step with one thing changed."""

    def answer(x_t, eps_hat, t, betas, alpha_bars, variance):
        where = min(max(t + look, 1), len(betas) - 1)
        b, ab, ab_s = betas[where], alpha_bars[where], alpha_bars[where - 1]
        four = (b, 1 - b, ab, ab_s)
        mean = x_factor(*four) * x_t - eps_factor(*four) * eps_hat
        if t <= last:
            return mean
        return mean + sigma2(b, ab, ab_s, variance) ** 0.5 * z(x_t)

    return answer


def stops_at_x_1(x_t, eps_hat, t, betas, alpha_bars, variance):
    return x_t if t == 1 else p_step(x_t, eps_hat, t, betas, alpha_bars, variance)


def seeded_step(x_t, eps_hat, t, betas, alpha_bars, variance):
    torch.manual_seed(0)
    return p_step(x_t, eps_hat, t, betas, alpha_bars, variance)


def betas_one_early(x_t, eps_hat, t, betas, alpha_bars, variance):
    b, a = betas[t - 1], alpha_bars[t]
    mu = (x_t - b / (1 - a).sqrt() * eps_hat) / (1 - b).sqrt()
    return mu + (t > 1) * b.sqrt() * torch.randn_like(x_t)


def zero_all_steps(x_t, eps_hat, t, betas, alpha_bars, variance):
    z = torch.randn_like(x_t) if t == 1 else torch.zeros_like(x_t)
    return (
        p_step(x_t, eps_hat, 1, betas[t - 1 :], alpha_bars[t - 1 :], variance) + 0 * z
    )


def noise_inside(x_t, eps_hat, t, betas, alpha_bars, variance):
    """Adds the noise before the division by √α_t."""
    b, a = betas[t], alpha_bars[t]
    z = torch.randn_like(x_t) if t > 1 else 0
    sigma2 = b if variance == "beta" else (1 - alpha_bars[t - 1]) / (1 - a) * b
    return (x_t - b / (1 - a).sqrt() * eps_hat + sigma2.sqrt() * z) / (1 - b).sqrt()


def clamped_step(x_t, *rest):
    return p_step(x_t, *rest).clamp(-1, 1)


def posterior_swapped(x_t, eps_hat, t, betas, alpha_bars, variance):
    b, ab, ab_s = betas[t], alpha_bars[t], alpha_bars[t - 1]
    x0_hat = (x_t - (1 - ab).sqrt() * eps_hat) / ab.sqrt()
    mean = (1 - b).sqrt() * (1 - ab_s) * x0_hat + ab_s.sqrt() * b * x_t
    sigma2 = b if variance == "beta" else b * (1 - ab_s) / (1 - ab)
    return mean / (1 - ab) + (t > 1) * sigma2.sqrt() * torch.randn_like(x_t)


def noise_of_x_t(x_t, eps_hat, t, betas, alpha_bars, variance):
    quiet = step_with(sigma2=lambda *given: 0)
    mean = quiet(x_t, eps_hat, t, betas, alpha_bars, variance)
    sigma2 = betas[t]
    if variance == "posterior":
        sigma2 = sigma2 * (1 - alpha_bars[t - 1]) / (1 - alpha_bars[t])
    return mean + (t > 1) * sigma2.sqrt() * eps_hat


WRONG_STEPS = {
    "noise at the last step": (step_with(last=0), "last_step_noise"),
    "no noise at t = 2 either": (step_with(last=2), "no_noise"),
    "stops at x_1": (stops_at_x_1, "stops_early"),
    "mean only": (step_with(sigma2=lambda *given: 0), "no_noise"),
    "σ² z": (
        step_with(
            sigma2=lambda b, ab, ab_s, kind: (
                (b if kind == "beta" else b * (1 - ab_s) / (1 - ab)) ** 2
            )
        ),
        "variance_or_std",
    ),
    "the other variance": (
        step_with(
            sigma2=lambda b, ab, ab_s, kind: (
                b if kind == "posterior" else b * (1 - ab_s) / (1 - ab)
            )
        ),
        "beta_for_posterior",
    ),
    "always β": (
        step_with(sigma2=lambda b, ab, ab_s, kind: b),
        "beta_for_posterior",
    ),
    "always β̃": (
        step_with(sigma2=lambda b, ab, ab_s, kind: b * (1 - ab_s) / (1 - ab)),
        "posterior_for_beta",
    ),
    "σ = 1": (step_with(sigma2=lambda *given: 1), "no_weight"),
    "σ² = 1−ᾱ_t": (
        step_with(sigma2=lambda b, ab, ab_s, kind: 1 - ab),
        "which_alpha",
    ),
    "σ² = 1−ᾱ_{t−1}": (
        step_with(sigma2=lambda b, ab, ab_s, kind: 1 - ab_s),
        "which_alpha",
    ),
    "β̃ upside down": (
        step_with(
            sigma2=lambda b, ab, ab_s, kind: (
                b if kind == "beta" else b * (1 - ab) / (1 - ab_s)
            )
        ),
        "upside_down",
    ),
    "β̃ without denominator": (
        step_with(
            sigma2=lambda b, ab, ab_s, kind: b if kind == "beta" else b * (1 - ab_s)
        ),
        "no_denominator",
    ),
    "uniform noise": (step_with(z=torch.rand_like), "which_noise"),
    "centred uniform noise": (
        step_with(z=lambda x: (torch.rand_like(x) - 0.5) * math.sqrt(12)),
        "which_noise",
    ),
    "signs for noise": (
        step_with(z=lambda x: torch.randn_like(x).sign()),
        "which_noise",
    ),
    "the guessed noise again": (noise_of_x_t, "no_noise"),
    "one z a batch": (
        step_with(z=lambda x: torch.randn(1, 2).expand_as(x)),
        "shared_draw",
    ),
    "one z a sample": (
        step_with(z=lambda x: torch.randn(len(x), 1).expand_as(x)),
        "shared_draw",
    ),
    "one number for all": (step_with(z=lambda x: torch.randn(())), "shared_draw"),
    "a seed inside": (seeded_step, "shared_draw"),
    "√ᾱ for √α": (
        step_with(
            x_factor=lambda b, a, ab, ab_s: ab**-0.5,
            eps_factor=lambda b, a, ab, ab_s: b / (ab * (1 - ab)) ** 0.5,
        ),
        "which_alpha",
    ),
    "α for √α": (
        step_with(
            x_factor=lambda b, a, ab, ab_s: 1 / a,
            eps_factor=lambda b, a, ab, ab_s: b / a / (1 - ab) ** 0.5,
        ),
        "variance_or_std",
    ),
    "1−ᾱ without root": (
        step_with(eps_factor=lambda b, a, ab, ab_s: b / a**0.5 / (1 - ab)),
        "variance_or_std",
    ),
    "√β ε̂": (
        step_with(eps_factor=lambda b, a, ab, ab_s: (b / a) ** 0.5),
        "one_step_noise",
    ),
    "all of the noise": (
        step_with(
            x_factor=lambda b, a, ab, ab_s: ab**-0.5,
            eps_factor=lambda b, a, ab, ab_s: ((1 - ab) / ab) ** 0.5,
        ),
        "wrong_target",
    ),
    "ε̂ added": (
        step_with(eps_factor=lambda b, a, ab, ab_s: -b / (a * (1 - ab)) ** 0.5),
        "wrong_sign",
    ),
    "no 1/√α": (
        step_with(
            x_factor=lambda *four: 1.0,
            eps_factor=lambda b, a, ab, ab_s: b / (1 - ab) ** 0.5,
        ),
        "missing_scale",
    ),
    "times √α": (
        step_with(
            x_factor=lambda b, a, ab, ab_s: a**0.5,
            eps_factor=lambda b, a, ab, ab_s: a**0.5 * b / (1 - ab) ** 0.5,
        ),
        "upside_down",
    ),
    "tables at t−1": (step_with(look=-1), "index_shift"),
    "tables at t+1": (step_with(look=1), "index_shift"),
    "β at t−1": (betas_one_early, "index_shift"),
    "always as if t = 1": (zero_all_steps, "no_noise"),
    "noise before the division": (noise_inside, "inside_the_bracket"),
    "clamped": (clamped_step, None),
    "μ̃ with its coefficients swapped": (posterior_swapped, None),
    "ε̂ ignored": (step_with(eps_factor=lambda *four: 0.0), None),
    "a tenth of the noise": (step_with(z=lambda x: 0.1 * torch.randn_like(x)), None),
    "noise 5 % too wide": (step_with(z=lambda x: 1.05 * torch.randn_like(x)), None),
}

# --- 7.2: the law of the output -------------------------------------------------------


def output_law(m, d, betas, alpha_bars, variance):
    M, V = 0.0, 1.0
    v = alpha_bars * d**2 + 1 - alpha_bars
    for t in range(len(betas) - 1, 0, -1):
        k = (1 - betas[t]) ** 0.5 * v[t - 1] / v[t]
        M = alpha_bars[t - 1] ** 0.5 * m + k * (M - alpha_bars[t] ** 0.5 * m)
        sigma2 = betas[t]
        if variance == "posterior":
            sigma2 = sigma2 * (1 - alpha_bars[t - 1]) / (1 - alpha_bars[t])
        V = k**2 * V + (sigma2 if t > 1 else 0)
    return M, V**0.5


def law_by_probing(m, d, betas, alpha_bars, variance):
    """Eq. 11 at two points gives slope and offset of each step."""
    law = np.array([0.0, 1.0])
    for t in reversed(range(1, len(betas))):
        b, ab, ab_s = (float(x) for x in (betas[t], alpha_bars[t], alpha_bars[t - 1]))
        x = np.array([0.0, 1.0])
        eps = math.sqrt(1 - ab) * (x - math.sqrt(ab) * m) / (ab * d**2 + 1 - ab)
        y = (x - b / math.sqrt(1 - ab) * eps) / math.sqrt(1 - b)
        slope = y[1] - y[0]
        sigma2 = b if variance == "beta" else b * (1 - ab_s) / (1 - ab)
        law = np.array([y[0] + slope * law[0], slope**2 * law[1] + sigma2 * (t > 1)])
    return law[0], np.sqrt(law[1])


def law_by_products(m, d, betas, alpha_bars, variance):
    """Each step's noise, carried to the end by the product of the later factors."""
    T = len(betas) - 1
    v = 1 + alpha_bars * (d**2 - 1)
    k = torch.sqrt(1 - betas[1:]) * v[:-1] / v[1:]  # of t = 1…T
    reach = torch.cat([torch.ones(1).double(), k.cumprod(0)])
    sigma2 = betas[1:].clone()
    if variance != "beta":
        sigma2 *= (1 - alpha_bars[:-1]) / (1 - alpha_bars[1:])
    sigma2[0] = 0
    mean = m - reach[T] * alpha_bars[T].sqrt() * m
    return mean, (reach[T] ** 2 + (reach[:T] ** 2 * sigma2).sum()).sqrt()


def law_recursive(m, d, betas, alpha_bars, variance):
    def down(t, M, V):
        if t == 0:
            return M, V**0.5
        a, b = alpha_bars.tolist(), betas.tolist()
        v, v_s = a[t] * d * d + 1 - a[t], a[t - 1] * d * d + 1 - a[t - 1]
        k = math.sqrt(1 - b[t]) * v_s / v
        tilde = b[t] * (1 - a[t - 1]) / (1 - a[t])
        noise = (tilde if variance == "posterior" else b[t]) if t >= 2 else 0
        M = math.sqrt(a[t - 1]) * m + k * (M - math.sqrt(a[t]) * m)
        return down(t - 1, M, k * k * V + noise)

    return down(len(betas) - 1, 0, 1)


def law_with(
    k=lambda b, ab, ab_s, v, v_s: (1 - b) ** 0.5 * v_s / v,
    v=lambda ab, d: ab * d**2 + 1 - ab,
    start=lambda m, d, ab: (0.0, 1.0),
    grow=lambda k, V: k**2 * V,
    sigma2=lambda b, tilde, kind, v, v_s: b if kind == "beta" else tilde,
    times=lambda T: range(T, 0, -1),
    last=1,
    pull=1.0,
    result=lambda M, V: (M, V**0.5),
    shift=0,
):
    """Return the right recursion with one thing changed."""

    def answer(m, d, betas, alpha_bars, variance):
        M, V = start(m, d, alpha_bars[-1])
        for t in times(len(betas) - 1):
            b, ab, ab_s = betas[max(1, t + shift)], alpha_bars[t], alpha_bars[t - 1]
            v_t, v_s = v(ab, d), v(ab_s, d)
            factor = k(b, ab, ab_s, v_t, v_s)
            tilde = b * (1 - ab_s) / (1 - ab)
            M = factor * M + pull * (ab_s**0.5 - factor * ab**0.5) * m
            added = sigma2(b, tilde, variance, v_t, v_s) if t > last else 0
            V = grow(factor, V) + added
        return result(M, V)

    return answer


def monte_carlo(m, d, betas, alpha_bars, variance):
    x = torch.randn(4000)
    for t in range(len(betas) - 1, 0, -1):
        ab = alpha_bars[t]
        eps = (1 - ab).sqrt() * (x - ab.sqrt() * m) / (ab * d**2 + 1 - ab)
        x = p_step(x, eps, t, betas, alpha_bars, variance)
    return x.mean(), x.std()


WRONG_LAWS = {
    "the variance": (law_with(result=lambda M, V: (M, V)), "variance_or_std"),
    "the fourth root": (law_with(result=lambda M, V: (M, V**0.25)), "variance_or_std"),
    "σ for σ²": (
        law_with(
            sigma2=lambda b, tilde, kind, v, s: (b if kind == "beta" else tilde) ** 0.5
        ),
        "variance_or_std",
    ),
    "α for √α in k": (
        law_with(k=lambda b, ab, ab_s, v, v_s: (1 - b) * v_s / v),
        "variance_or_std",
    ),
    "stds for variances in k": (
        law_with(k=lambda b, ab, ab_s, v, v_s: (1 - b) ** 0.5 * (v_s / v) ** 0.5),
        "variance_or_std",
    ),
    "k V": (law_with(grow=lambda k, V: k * V), "not_squared"),
    "d for d²": (law_with(v=lambda ab, d: ab * d + 1 - ab), "not_squared"),
    "noise at the last step": (law_with(last=0), "last_step_noise"),
    "stops at x_1": (law_with(times=lambda T: range(T, 1, -1)), "stops_early"),
    "starts at T−1": (law_with(times=lambda T: range(T - 1, 0, -1)), "stops_early"),
    "starts from q(x_T)": (
        law_with(start=lambda m, d, ab: (ab**0.5 * m, ab * d**2 + 1 - ab)),
        "wrong_start",
    ),
    "starts from the mean": (law_with(start=lambda m, d, ab: (m, 1.0)), "wrong_start"),
    "starts from a point": (
        law_with(start=lambda m, d, ab: (0.0, 0.0)),
        "wrong_start",
    ),
    "no noise": (law_with(sigma2=lambda *given: 0), "no_noise"),
    "always β": (
        law_with(sigma2=lambda b, tilde, kind, v, v_s: b),
        "beta_for_posterior",
    ),
    "always β̃": (
        law_with(sigma2=lambda b, tilde, kind, v, v_s: tilde),
        "posterior_for_beta",
    ),
    "the two swapped": (
        law_with(sigma2=lambda b, tilde, kind, v, s: tilde if kind == "beta" else b),
        "beta_for_posterior",
    ),
    "k upside down": (
        law_with(k=lambda b, ab, ab_s, v, v_s: (1 - b) ** 0.5 * v / v_s),
        "upside_down",
    ),
    "√ᾱ for √α": (
        law_with(k=lambda b, ab, ab_s, v, v_s: ab**0.5 * v_s / v),
        "which_alpha",
    ),
    "no √α": (law_with(k=lambda b, ab, ab_s, v, v_s: v_s / v), "missing_scale"),
    "the mean does not move": (law_with(pull=0.0), "missing_means"),
    "the data's mean": (
        law_with(result=lambda M, V: (1.0 + 0 * M, V**0.5)),
        "missing_means",
    ),
    "the data's law": (
        lambda m, d, betas, alpha_bars, variance: (m, d),
        "wrong_target",
    ),
    "the exact variance": (
        law_with(sigma2=lambda b, tilde, kind, v, v_s: b * v_s / v),
        "which_variance",
    ),
    "from 1 to T": (law_with(times=lambda T: range(1, T + 1)), "wrong_order"),
    "β at t−1": (law_with(shift=-1), "index_shift"),
    "one v for both": (
        law_with(k=lambda b, ab, ab_s, v, v_s: (1 - b) ** 0.5),
        "index_shift",
    ),
    "by 4,000 walks": (monte_carlo, None),
    "std first": (lambda *given: output_law(*given)[::-1], None),
    "1 % too wide": (law_with(result=lambda M, V: (M, 1.01 * V**0.5)), None),
}

# --- 7.3: the mean, with a clamp ------------------------------------------------------


def clipped_mean(x_t, eps_hat, t, betas, alpha_bars, limit):
    b, a, a_s = betas[t], alpha_bars[t], alpha_bars[t - 1]
    x0_hat = (x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()
    x0_hat = x0_hat.clamp(-limit, limit)
    of_x0 = a_s.sqrt() * b / (1 - a)
    of_x_t = (1 - b).sqrt() * (1 - a_s) / (1 - a)
    return of_x0 * x0_hat + of_x_t * x_t


def clipped_by_package(x_t, eps_hat, t, betas, alpha_bars, limit):
    ddpm = DDPM(MLP(dim=3, n_feat=8), schedule=Schedule.from_betas(betas[1:]))
    x0_hat = ddpm.predict_x0(x_t, t, eps_hat).clamp(-limit, limit)
    return ddpm.q_posterior(x0_hat, x_t, t)[0]


def clipped_through_eps(x_t, eps_hat, t, betas, alpha_bars, limit):
    """Work out the noise that the clamped x̂_0 implies, and use eq. 11."""
    x_t, eps_hat = x_t.double(), eps_hat.double()
    b, a = betas[t].double(), alpha_bars[t].double()
    x0_hat = torch.clip((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt(), -limit, limit)
    eps = (x_t - a.sqrt() * x0_hat) / (1 - a).sqrt()
    return (x_t - b / (1 - a).sqrt() * eps) / (1 - b).sqrt()


def clipped_in_numpy(x_t, eps_hat, t, betas, alpha_bars, limit):
    b, a, a_s = float(betas[t]), float(alpha_bars[t]), float(alpha_bars[t - 1])
    x = x_t.numpy()
    x0 = np.clip((x - np.sqrt(1 - a) * eps_hat.numpy()) / np.sqrt(a), -limit, limit)
    mean = np.sqrt(a_s) * b * x0 + np.sqrt(1 - b) * (1 - a_s) * x
    return mean / (1 - a)


def clipped_by_minimum(*, x_t, eps_hat, t, betas, alpha_bars, limit):
    top = torch.full_like(x_t, limit)
    x0 = (x_t / alpha_bars[t].sqrt()) - (1 / alpha_bars[t] - 1).sqrt() * eps_hat
    x0 = torch.maximum(torch.minimum(x0, top), -top)
    rest = 1 - alpha_bars[t]
    mean = alpha_bars[t - 1].sqrt() * betas[t] * x0
    return mean / rest + (1 - betas[t]).sqrt() * (1 - alpha_bars[t - 1]) / rest * x_t


def clipped_with(
    clamp=lambda x0, limit: x0.clamp(-limit, limit),
    before=lambda x_t, eps, limit: (x_t, eps),
    after=lambda mean, x0, limit: mean,
    x0=lambda x_t, eps, a, ab: (x_t - (1 - ab) ** 0.5 * eps) / ab**0.5,
    of_x0=lambda b, a, ab, ab_s: ab_s**0.5 * b / (1 - ab),
    of_x_t=lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s) / (1 - ab),
    s_is_t=False,
):
    """Return the right answer with one thing changed."""

    def answer(x_t, eps_hat, t, betas, alpha_bars, limit):
        x_t, eps = before(x_t, eps_hat, limit)
        b, ab, ab_s = betas[t], alpha_bars[t], alpha_bars[t if s_is_t else t - 1]
        guess = clamp(x0(x_t, eps, 1 - b, ab), limit)
        four = b, 1 - b, ab, ab_s
        return after(of_x0(*four) * guess + of_x_t(*four) * x_t, guess, limit)

    return answer


WRONG_CLAMPS = {
    "no clamp": (clipped_with(clamp=lambda x0, limit: x0), "no_clamp"),
    "x_t clamped, no clamp of x̂_0": (
        clipped_with(
            clamp=lambda x0, limit: x0,
            before=lambda x, e, limit: (x.clamp(-limit, limit), e),
        ),
        "clamps_x_t",
    ),
    "x_t clamped as well": (
        clipped_with(before=lambda x, e, limit: (x.clamp(-limit, limit), e)),
        "clamps_x_t",
    ),
    "the mean clamped": (
        clipped_with(
            clamp=lambda x0, limit: x0,
            after=lambda mean, x0, limit: mean.clamp(-limit, limit),
        ),
        "clamps_the_mean",
    ),
    "both clamped": (
        clipped_with(after=lambda mean, x0, limit: mean.clamp(-limit, limit)),
        "clamps_the_mean",
    ),
    "ε̂ clamped": (
        clipped_with(
            clamp=lambda x0, limit: x0,
            before=lambda x, e, limit: (x, e.clamp(-limit, limit)),
        ),
        "clamps_the_noise",
    ),
    "ε̂ clamped to ±1": (
        clipped_with(
            clamp=lambda x0, limit: x0,
            before=lambda x, e, limit: (x, e.clamp(-1, 1)),
        ),
        "clamps_the_noise",
    ),
    "±1": (clipped_with(clamp=lambda x0, limit: x0.clamp(-1, 1)), "ignores_limit"),
    "from above only": (
        clipped_with(clamp=lambda x0, limit: x0.clamp(max=limit)),
        "one_end_only",
    ),
    "from 0": (
        clipped_with(clamp=lambda x0, limit: x0.clamp(0, limit)),
        "one_end_only",
    ),
    "x̂_0": (clipped_with(after=lambda mean, x0, limit: x0), "wrong_target"),
    "swapped": (
        clipped_with(
            of_x0=lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s) / (1 - ab),
            of_x_t=lambda b, a, ab, ab_s: ab_s**0.5 * b / (1 - ab),
        ),
        "swapped",
    ),
    "√ᾱ_t for √α_t": (
        clipped_with(of_x_t=lambda b, a, ab, ab_s: ab**0.5 * (1 - ab_s) / (1 - ab)),
        "which_alpha",
    ),
    "√α_t for √ᾱ_{t−1}": (
        clipped_with(of_x0=lambda b, a, ab, ab_s: a**0.5 * b / (1 - ab)),
        "which_alpha",
    ),
    "√α in x̂_0": (
        clipped_with(x0=lambda x, e, a, ab: (x - (1 - a) ** 0.5 * e) / a**0.5),
        "which_alpha",
    ),
    "ᾱ_t for ᾱ_{t−1}": (clipped_with(s_is_t=True), "index_shift"),
    "1−ᾱ in x̂_0": (
        clipped_with(x0=lambda x, e, a, ab: (x - (1 - ab) * e) / ab**0.5),
        "variance_or_std",
    ),
    "ᾱ below x̂_0": (
        clipped_with(x0=lambda x, e, a, ab: (x - (1 - ab) ** 0.5 * e) / ab),
        "variance_or_std",
    ),
    "ᾱ_{t−1} for its root": (
        clipped_with(of_x0=lambda b, a, ab, ab_s: ab_s * b / (1 - ab)),
        "variance_or_std",
    ),
    "x̂_0 not divided": (
        clipped_with(x0=lambda x, e, a, ab: x - (1 - ab) ** 0.5 * e),
        "missing_scale",
    ),
    "no denominators": (
        clipped_with(
            of_x0=lambda b, a, ab, ab_s: ab_s**0.5 * b,
            of_x_t=lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s),
        ),
        "no_denominator",
    ),
    "ε̂ added": (
        clipped_with(x0=lambda x, e, a, ab: (x + (1 - ab) ** 0.5 * e) / ab**0.5),
        "wrong_sign",
    ),
    "squashed": (
        clipped_with(clamp=lambda x0, limit: limit * torch.tanh(x0 / limit)),
        None,
    ),
    "set to 0 beyond": (
        clipped_with(clamp=lambda x0, limit: x0 * (x0.abs() <= limit)),
        None,
    ),
    "scaled into the range": (
        clipped_with(clamp=lambda x0, limit: x0 * limit / x0.abs().max()),
        None,
    ),
    "half the limit": (
        clipped_with(clamp=lambda x0, limit: x0.clamp(-limit / 2, limit / 2)),
        None,
    ),
    "noise added": (
        clipped_with(after=lambda mean, x0, limit: mean + torch.randn_like(mean)),
        None,
    ),
}

# --- 7.4: a DDIM step -----------------------------------------------------------------


def ddim_step(x_t, eps_hat, t, s, alpha_bars):
    a, a_s = alpha_bars[t], alpha_bars[s]
    x0_hat = (x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()
    return a_s.sqrt() * x0_hat + (1 - a_s).sqrt() * eps_hat


def jump_by_factors(x_t, eps_hat, t, s, alpha_bars):
    a, a_s = alpha_bars[t].item(), alpha_bars[s].item()
    up = math.sqrt(a_s / a)
    return up * x_t + (math.sqrt(1 - a_s) - up * math.sqrt(1 - a)) * eps_hat


def jump_in_float64(x_t, eps_hat, t, s, alpha_bars):
    return ddim_step(x_t.double(), eps_hat.double(), t, s, alpha_bars.double())


def jump_by_scores(x_t, eps_hat, t, s, alpha_bars):
    """In x/√ᾱ, the step is a straight line in √(1−ᾱ)/√ᾱ."""
    level = ((1 - alpha_bars) / alpha_bars).sqrt()
    scaled = x_t / alpha_bars[t].sqrt() + (level[s] - level[t]) * eps_hat
    return scaled * alpha_bars[s].sqrt()


def jump_in_numpy(*, x_t, eps_hat, t, s, alpha_bars):
    a, e = alpha_bars.numpy(), eps_hat.numpy()
    x0 = (x_t.numpy() - np.sqrt(1 - a[t]) * e) / np.sqrt(a[t])
    return np.sqrt(a[s]) * x0 + np.sqrt(1 - a[s]) * e


def jump_with(
    signal=lambda a, a_s: a_s**0.5,
    noise=lambda a, a_s: (1 - a_s) ** 0.5,
    x0=lambda x, e, a, a_s: (x - (1 - a) ** 0.5 * e) / a**0.5,
    times=lambda t, s: (t, s),
    fresh=0.0,
):
    """Return the right step with one thing changed."""

    def answer(x_t, eps_hat, t, s, alpha_bars):
        t, s = times(t, s)
        a, a_s = alpha_bars[min(t, len(alpha_bars) - 1)], alpha_bars[max(s, 0)]
        x0_hat = x0(x_t, eps_hat, a, a_s)
        z = fresh * torch.randn_like(x_t) + (1 - fresh) * eps_hat if fresh else eps_hat
        return signal(a, a_s) * x0_hat + noise(a, a_s) * z

    return answer


def ancestral_mean(x_t, eps_hat, t, s, alpha_bars):
    alpha = alpha_bars[t] / alpha_bars[t - 1]
    noise = (1 - alpha) / (1 - alpha_bars[t]).sqrt() * eps_hat
    return (x_t - noise) / alpha.sqrt()


def mean_of_one_long_step(x_t, eps_hat, t, s, alpha_bars):
    alpha = alpha_bars[t] / alpha_bars[s]
    noise = (1 - alpha) / (1 - alpha_bars[t]).sqrt() * eps_hat
    return (x_t - noise) / alpha.sqrt()


def eta_1(x_t, eps_hat, t, s, alpha_bars):
    a, a_s = alpha_bars[t], alpha_bars[s]
    sigma2 = (1 - a_s) / (1 - a) * (1 - a / a_s)
    x0_hat = (x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()
    x_s = a_s.sqrt() * x0_hat + (1 - a_s - sigma2).clamp(min=0).sqrt() * eps_hat
    return x_s + sigma2.sqrt() * torch.randn_like(x_t)


def clamped_jump(x_t, eps_hat, t, s, alpha_bars):
    a, a_s = alpha_bars[t], alpha_bars[s]
    x0_hat = ((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()).clamp(-1, 1)
    return a_s.sqrt() * x0_hat + (1 - a_s).sqrt() * eps_hat


WRONG_JUMPS = {
    "fresh noise": (jump_with(fresh=1.0), "fresh_noise"),
    "a little fresh noise": (jump_with(fresh=0.01), "fresh_noise"),
    "η = 1": (eta_1, "fresh_noise"),
    "t and s swapped": (jump_with(times=lambda t, s: (s or 1, t)), "swapped_times"),
    "signal and noise swapped": (
        jump_with(
            signal=lambda a, a_s: (1 - a_s) ** 0.5, noise=lambda a, a_s: a_s**0.5
        ),
        "swapped",
    ),
    "to t−1": (jump_with(times=lambda t, s: (t, t - 1)), "ignores_s"),
    "the mean of Algorithm 2": (ancestral_mean, "ignores_s"),
    "its mean for the whole jump": (mean_of_one_long_step, "no_noise"),
    "noise as at t": (jump_with(noise=lambda a, a_s: (1 - a) ** 0.5), "index_shift"),
    "signal as at t": (jump_with(signal=lambda a, a_s: a**0.5), "index_shift"),
    "s−1": (jump_with(times=lambda t, s: (t, s - 1)), "index_shift"),
    "s+1": (jump_with(times=lambda t, s: (t, s + 1)), "index_shift"),
    "t−1 for t": (jump_with(times=lambda t, s: (t - 1, s)), "index_shift"),
    "t−1 and s−1": (jump_with(times=lambda t, s: (t - 1, s - 1)), "index_shift"),
    "1−ᾱ_s": (jump_with(noise=lambda a, a_s: 1 - a_s), "variance_or_std"),
    "ᾱ_s": (jump_with(signal=lambda a, a_s: a_s), "variance_or_std"),
    "ᾱ_s and 1−ᾱ_s": (
        jump_with(signal=lambda a, a_s: a_s, noise=lambda a, a_s: 1 - a_s),
        "variance_or_std",
    ),
    "1−ᾱ_t in x̂_0": (
        jump_with(x0=lambda x, e, a, a_s: (x - (1 - a) * e) / a**0.5),
        "variance_or_std",
    ),
    "ᾱ_t below x̂_0": (
        jump_with(x0=lambda x, e, a, a_s: (x - (1 - a) ** 0.5 * e) / a),
        "variance_or_std",
    ),
    "ᾱ_t/ᾱ_s in x̂_0": (
        jump_with(
            x0=lambda x, e, a, a_s: (x - (1 - a / a_s) ** 0.5 * e) / (a / a_s) ** 0.5
        ),
        "which_alpha",
    ),
    "1−ᾱ_t/ᾱ_s": (
        jump_with(noise=lambda a, a_s: (1 - a / a_s) ** 0.5),
        "which_alpha",
    ),
    "x̂_0 not divided": (
        jump_with(x0=lambda x, e, a, a_s: x - (1 - a) ** 0.5 * e),
        "missing_scale",
    ),
    "no noise": (jump_with(noise=lambda a, a_s: 0.0), "no_noise"),
    "ε̂ taken away twice": (
        jump_with(noise=lambda a, a_s: -((1 - a_s) ** 0.5)),
        "wrong_sign",
    ),
    "ε̂ added in x̂_0": (
        jump_with(x0=lambda x, e, a, a_s: (x + (1 - a) ** 0.5 * e) / a**0.5),
        "wrong_sign",
    ),
    "x̂_0": (jump_with(signal=lambda *a: 1.0, noise=lambda *a: 0.0), "wrong_target"),
    "x_t": (lambda x_t, eps_hat, t, s, alpha_bars: x_t + 0.0, "stays"),
    "clamped": (clamped_jump, None),
    "ε̂ halved": (jump_with(noise=lambda a, a_s: 0.5 * (1 - a_s) ** 0.5), None),
    "ε̂ ignored": (jump_with(x0=lambda x, e, a, a_s: x / a**0.5), None),
}


def jump_of_the_package(x_t, eps_hat, t, s, alpha_bars):
    """One step of `ddim`, over a schedule that has the two times only."""

    class Known(torch.nn.Module):
        def forward(self, x, c, time, mask):
            return eps_hat

    ratio = [1 - alpha_bars[s], 1 - alpha_bars[t] / alpha_bars[s]]
    betas = ratio if s else ratio[1:]
    model = DDPM(Known(), schedule=Schedule.from_betas([float(b) for b in betas]))
    steps = ddim(model, x_t, steps=len(betas))
    return next(steps).x_s if s else sample(steps)


EXERCISES = [
    Exercise(
        check=checks.check_p_step,
        right=[
            p_step,
            step_by_posterior,
            step_in_numpy,
            step_of_torch_normal,
            step_columns,
        ],
        wrong=WRONG_STEPS,
    ),
    Exercise(
        check=checks.check_output_law,
        right=[
            output_law,
            law_by_probing,
            law_by_products,
            law_recursive,
            lambda *, m, d, betas, alpha_bars, variance: output_law(
                m, d, betas, alpha_bars, variance
            ),
        ],
        wrong=WRONG_LAWS,
    ),
    Exercise(
        check=checks.check_clipped_mean,
        right=[
            clipped_mean,
            clipped_by_package,
            clipped_through_eps,
            clipped_in_numpy,
            clipped_by_minimum,
        ],
        wrong=WRONG_CLAMPS,
    ),
    Exercise(
        check=checks.check_ddim_step,
        right=[
            ddim_step,
            jump_by_factors,
            jump_in_float64,
            jump_by_scores,
            jump_in_numpy,
            jump_of_the_package,
        ],
        wrong=WRONG_JUMPS,
    ),
]
