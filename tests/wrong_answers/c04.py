"""Answers to the exercises of notebook 04."""

import math

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from minddpm import DDPM, MLP, Schedule
from minddpm.course import checks
from wrong_answers import Exercise

# --- 4.1: the posterior --------------------------------------------------------------


def posterior(x0, x_t, t, betas, alpha_bars):
    s = t - 1
    rest = 1 - alpha_bars[t]
    of_x0 = alpha_bars[s].sqrt() * betas[t] / rest
    of_x_t = (1 - betas[t]).sqrt() * (1 - alpha_bars[s]) / rest
    return of_x0 * x0 + of_x_t * x_t, betas[t] * (1 - alpha_bars[s]) / rest


def posterior_by_precisions(x0, x_t, t, betas, alpha_bars):
    s, alpha = t - 1, 1 - betas[t]
    if t == 1:
        return x0, torch.zeros(1, 1)
    from_x0, from_x_t = 1 / (1 - alpha_bars[s]), alpha / betas[t]
    variance = 1 / (from_x0 + from_x_t)
    mean = from_x0 * alpha_bars[s].sqrt() * x0 + from_x_t * x_t / alpha.sqrt()
    return variance * mean, variance


def posterior_in_float64(x0, x_t, t, betas, alpha_bars):
    x0, x_t, betas, alpha_bars = (v.double() for v in (x0, x_t, betas, alpha_bars))
    return posterior(x0, x_t, torch.tensor(t), betas, alpha_bars)


def posterior_looped(x0, x_t, t, betas, alpha_bars):
    pairs = [posterior(a, b, t, betas, alpha_bars) for a, b in zip(x0, x_t)]  # noqa: B905
    return torch.stack([mean for mean, _ in pairs]), pairs[0][1]


def posterior_in_numpy(x0, x_t, t, betas, alpha_bars):
    b, ab, before = betas[t].item(), alpha_bars[t].item(), alpha_bars[t - 1].item()
    mean = (
        np.sqrt(before) * b * x0.numpy() + np.sqrt(1 - b) * (1 - before) * x_t.numpy()
    )
    return mean / (1 - ab), b * (1 - before) / (1 - ab)


def posterior_of_the_package(*, x0, x_t, t, betas, alpha_bars):
    ddpm = DDPM(MLP(dim=1, n_feat=8), schedule=Schedule.from_betas(betas[1:]))
    return ddpm.q_posterior(x0, x_t, t)


def variance_a_sample(x0, x_t, t, betas, alpha_bars):
    mean, variance = posterior(x0, x_t, t, betas, alpha_bars)
    return mean, variance.expand(len(x0), 1)


def posterior_with(
    of_x0=lambda b, a, ab, ab_s: ab_s**0.5 * b / (1 - ab),
    of_x_t=lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s) / (1 - ab),
    variance=lambda b, a, ab, ab_s: b * (1 - ab_s) / (1 - ab),
    s_is_t=False,
    later=0,
):
    """The right answer with one formula, or the times of the tables, replaced."""

    def answer(x0, x_t, t, betas, alpha_bars):
        t = t + later
        s = t if s_is_t else t - 1
        four = (betas[t], 1 - betas[t], alpha_bars[t], alpha_bars[s])
        return of_x0(*four) * x0 + of_x_t(*four) * x_t, variance(*four)

    return answer


def unweighted(x0, x_t, t, betas, alpha_bars):
    first, second = alpha_bars[t - 1].sqrt() * x0, x_t / (1 - betas[t]).sqrt()
    return (first + second) / 2, posterior(x0, x_t, t, betas, alpha_bars)[1]


def swapped_precisions(x0, x_t, t, betas, alpha_bars):
    alpha, before = 1 - betas[t], 1 - alpha_bars[t - 1]
    p, q = 1 / before, alpha / betas[t]
    first, second = alpha_bars[t - 1].sqrt() * x0, x_t / alpha.sqrt()
    return (q * first + p * second) / (p + q), 1 / (p + q)


def betas_one_early(x0, x_t, t, betas, alpha_bars):
    b, ab, before = betas[t - 1], alpha_bars[t], alpha_bars[t - 1]
    mean = before.sqrt() * b * x0 + (1 - b).sqrt() * (1 - before) * x_t
    return mean / (1 - ab), b * (1 - before) / (1 - ab)


# --- 4.2: the divergence -------------------------------------------------------------


def kl(mean1, var1, mean2, var2):
    return 0.5 * (torch.log(var2 / var1) + (var1 + (mean1 - mean2) ** 2) / var2 - 1)


def kl_of_pytorch(mean1, var1, mean2, var2):
    return kl_divergence(Normal(mean1, var1.sqrt()), Normal(mean2, var2.sqrt()))


def kl_in_numpy(mean1, var1, mean2, var2):
    a, b, c, d = (v.double().numpy() for v in (mean1, var1, mean2, var2))
    return np.log(np.sqrt(d / b)) + (b + (a - c) ** 2) / (2 * d) - 1 / 2


def kl_looped(mean1, var1, mean2, var2):
    result = torch.zeros_like(mean1)
    for i in range(len(mean1)):
        m1, v1 = mean1[i].item(), var1[i].item()
        m2, v2 = mean2[i].item(), var2[i].item()
        result[i] = 0.5 * (math.log(v2) - math.log(v1) + (v1 + (m1 - m2) ** 2) / v2 - 1)
    return result


def kl_by_name(*, mean1, var1, mean2, var2):
    return kl(mean1, var1, mean2, var2)


# --- 4.3: the mean from the noise ----------------------------------------------------


def mean_from_eps(x_t, eps_hat, t, betas, alpha_bars):
    alpha = 1 - betas[t]
    return (x_t - betas[t] / (1 - alpha_bars[t]).sqrt() * eps_hat) / alpha.sqrt()


def mean_by_posterior(x_t, eps_hat, t, betas, alpha_bars):
    x0_hat = (x_t - (1 - alpha_bars[t]).sqrt() * eps_hat) / alpha_bars[t].sqrt()
    return posterior(x0_hat, x_t, t, betas, alpha_bars)[0]


def mean_in_float64(x_t, eps_hat, t, betas, alpha_bars):
    tables = betas.double(), alpha_bars.double()
    return mean_from_eps(x_t.double(), eps_hat.double(), torch.tensor(t), *tables)


def mean_in_numpy(x_t, eps_hat, t, betas, alpha_bars):
    b, ab = float(betas[t]), float(alpha_bars[t])
    noise = b / math.sqrt(1 - ab) * eps_hat.numpy()
    return (x_t.numpy() - noise) / math.sqrt(1 - b)


def mean_looped(x_t, eps_hat, t, betas, alpha_bars):
    tables = betas, alpha_bars
    rows = [
        mean_from_eps(x_t[i : i + 512], eps_hat[i : i + 512], t, *tables)
        for i in range(0, len(x_t), 512)
    ]
    return torch.cat(rows)


def mean_with(factors, later=0):
    """A weighted sum of x_t and eps_hat."""

    def answer(x_t, eps_hat, t, betas, alpha_bars):
        t = t + later
        four = (betas[t], 1 - betas[t], alpha_bars[t], alpha_bars[t - 1])
        of_x_t, of_eps = factors(*four)
        return of_x_t * x_t + of_eps * eps_hat

    return answer


def right_factors(b, a, ab, ab_s):
    return a**-0.5, -b / (a * (1 - ab)) ** 0.5


def beta_one_early(x_t, eps_hat, t, betas, alpha_bars):
    step = betas[t - 1] / (1 - alpha_bars[t]).sqrt()
    return (x_t - step * eps_hat) / (1 - betas[t]).sqrt()


# --- 4.4: the weight -----------------------------------------------------------------


def weight(t, sigma_t, betas, alpha_bars):
    return betas[t] ** 2 / (2 * sigma_t**2 * (1 - betas[t]) * (1 - alpha_bars[t]))


def weight_as_float(t, sigma_t, betas, alpha_bars):
    return float(weight(t, sigma_t, betas.double(), alpha_bars.double()))


def weight_by_means(t, sigma_t, betas, alpha_bars):
    noise = torch.tensor([[0.0], [1.0]])
    a, b = mean_from_eps(torch.zeros(2, 1), noise, t, betas, alpha_bars)
    return ((a - b) ** 2 / (2 * sigma_t**2))[0]


def weight_in_numpy(t, sigma_t, betas, alpha_bars):
    b, ab = betas.numpy()[t], alpha_bars.numpy()[t]
    return 0.5 * (b / (sigma_t * np.sqrt(1 - b) * np.sqrt(1 - ab))) ** 2


def weight_with(formula, later=0):
    def answer(t, sigma_t, betas, alpha_bars):
        t = t + later
        four = (betas[t], 1 - betas[t], alpha_bars[t], alpha_bars[t - 1])
        return formula(sigma_t, *four)

    return answer


def weight_beta_early(t, sigma_t, betas, alpha_bars):
    b = betas[t - 1]
    return b**2 / (2 * sigma_t**2 * (1 - betas[t]) * (1 - alpha_bars[t]))


EXERCISES = [
    Exercise(
        check=checks.check_q_posterior,
        right=[
            posterior,
            posterior_by_precisions,
            posterior_in_float64,
            posterior_looped,
            posterior_in_numpy,
            posterior_of_the_package,
            variance_a_sample,
        ],
        wrong={
            "swapped factors": (
                posterior_with(
                    lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s) / (1 - ab),
                    lambda b, a, ab, ab_s: ab_s**0.5 * b / (1 - ab),
                ),
                "swapped",
            ),
            "swapped roots": (
                posterior_with(
                    lambda b, a, ab, ab_s: a**0.5 * b / (1 - ab),
                    lambda b, a, ab, ab_s: ab_s**0.5 * (1 - ab_s) / (1 - ab),
                ),
                "swapped",
            ),
            "swapped precisions": (swapped_precisions, "swapped"),
            "β for β/α, the second witness's variance": (
                posterior_with(
                    lambda b, a, ab, ab_s: ab_s**0.5 * b / (b + 1 - ab_s),
                    lambda b, a, ab, ab_s: (1 - ab_s) / a**0.5 / (b + 1 - ab_s),
                    lambda b, a, ab, ab_s: b * (1 - ab_s) / (b + 1 - ab_s),
                ),
                "which_variance",
            ),
            "no √ᾱ_s": (
                posterior_with(lambda b, a, ab, ab_s: b / (1 - ab)),
                "missing_scale",
            ),
            "no variance": (
                lambda x0, x_t, t, betas, alpha_bars: (x0, None),
                "returns_nothing",
            ),
            "√ᾱ_t for √α_t": (
                posterior_with(
                    of_x_t=lambda b, a, ab, ab_s: ab**0.5 * (1 - ab_s) / (1 - ab)
                ),
                "which_alpha",
            ),
            "√α_t for √ᾱ_s": (
                posterior_with(lambda b, a, ab, ab_s: a**0.5 * b / (1 - ab)),
                "which_alpha",
            ),
            "ᾱ_t for ᾱ_s everywhere": (posterior_with(s_is_t=True), "index_shift"),
            "√ᾱ_t for √ᾱ_s": (
                posterior_with(lambda b, a, ab, ab_s: ab**0.5 * b / (1 - ab)),
                "index_shift",
            ),
            "1−ᾱ_t for 1−ᾱ_s in the mean": (
                posterior_with(of_x_t=lambda b, a, ab, ab_s: a**0.5),
                "index_shift",
            ),
            "times count from 0": (posterior_with(later=1), "index_shift"),
            "one step early": (posterior_with(later=-1), "index_shift"),
            "β_s for β_t": (betas_one_early, "index_shift"),
            "β for β̃": (
                posterior_with(variance=lambda b, a, ab, ab_s: b),
                "beta_for_posterior",
            ),
            "√β̃ for β̃": (
                posterior_with(
                    variance=lambda b, a, ab, ab_s: (b * (1 - ab_s) / (1 - ab)) ** 0.5
                ),
                "variance_or_std",
            ),
            "√β for β̃": (
                posterior_with(variance=lambda b, a, ab, ab_s: b**0.5),
                "variance_or_std",
            ),
            "α_t for √α_t": (
                posterior_with(of_x_t=lambda b, a, ab, ab_s: a * (1 - ab_s) / (1 - ab)),
                "variance_or_std",
            ),
            "ᾱ_s for √ᾱ_s": (
                posterior_with(lambda b, a, ab, ab_s: ab_s * b / (1 - ab)),
                "variance_or_std",
            ),
            "no roots": (
                posterior_with(
                    lambda b, a, ab, ab_s: ab_s * b / (1 - ab),
                    lambda b, a, ab, ab_s: a * (1 - ab_s) / (1 - ab),
                ),
                "variance_or_std",
            ),
            "√β_t in the mean": (
                posterior_with(lambda b, a, ab, ab_s: (ab_s * b) ** 0.5 / (1 - ab)),
                "variance_or_std",
            ),
            "√(1−ᾱ_t) below": (
                posterior_with(
                    lambda b, a, ab, ab_s: ab_s**0.5 * b / (1 - ab) ** 0.5,
                    lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s) / (1 - ab) ** 0.5,
                ),
                "variance_or_std",
            ),
            "no denominator": (
                posterior_with(
                    lambda b, a, ab, ab_s: ab_s**0.5 * b,
                    lambda b, a, ab, ab_s: a**0.5 * (1 - ab_s),
                ),
                "no_denominator",
            ),
            "β̃ without denominator": (
                posterior_with(variance=lambda b, a, ab, ab_s: b * (1 - ab_s)),
                "no_denominator",
            ),
            "β̃ upside down": (
                posterior_with(
                    variance=lambda b, a, ab, ab_s: (
                        b * (1 - ab) / (1 - ab_s).clamp(min=1e-6)
                    )
                ),
                "index_shift",
            ),
            "plain average": (unweighted, "not_weighted"),
            "no x_t": (
                posterior_with(of_x_t=lambda b, a, ab, ab_s: 0 * b),
                "forgets_x_t",
            ),
            "no x0": (
                posterior_with(
                    lambda b, a, ab, ab_s: 0 * b, lambda b, a, ab, ab_s: a**-0.5
                ),
                "forgets_x0",
            ),
            "minus": (
                posterior_with(
                    of_x_t=lambda b, a, ab, ab_s: -(a**0.5) * (1 - ab_s) / (1 - ab)
                ),
                "wrong_sign",
            ),
            "a sample for the mean": (
                lambda x0, x_t, t, betas, alpha_bars: (
                    posterior(x0, x_t, t, betas, alpha_bars)[0]
                    + 0.1 * torch.randn_like(x0),
                    posterior(x0, x_t, t, betas, alpha_bars)[1],
                ),
                None,
            ),
            "variance differs by sample": (
                lambda x0, x_t, t, betas, alpha_bars: (
                    posterior(x0, x_t, t, betas, alpha_bars)[0],
                    x0.square(),
                ),
                "wrong_shape",
            ),
            "right at t = 8 only": (
                lambda x0, x_t, t, betas, alpha_bars: posterior(
                    x0, x_t, 8, betas, alpha_bars
                ),
                None,
            ),
            "2 % too large": (
                lambda x0, x_t, t, betas, alpha_bars: posterior(
                    1.02 * x0, x_t, t, betas, alpha_bars
                ),
                None,
            ),
        },
    ),
    Exercise(
        check=checks.check_kl_gaussians,
        right=[kl, kl_of_pytorch, kl_in_numpy, kl_looped, kl_by_name],
        wrong={
            "no ½": (lambda m, v, n, w: 2 * kl(m, v, n, w), "missing_half"),
            "no ½ before the log": (
                lambda m, v, n, w: (
                    torch.log(w / v) + 0.5 * ((v + (m - n) ** 2) / w - 1)
                ),
                "variance_or_std",
            ),
            "no ½ before the means": (
                lambda m, v, n, w: (
                    0.5 * (torch.log(w / v) + v / w - 1) + (m - n) ** 2 / w
                ),
                "missing_half",
            ),
            "no −1": (lambda m, v, n, w: kl(m, v, n, w) + 0.5, "missing_minus_one"),
            "−1 not halved": (
                lambda m, v, n, w: (
                    0.5 * (torch.log(w / v) + (v + (m - n) ** 2) / w) - 1
                ),
                "missing_half",
            ),
            "reversed": (lambda m, v, n, w: kl(n, w, m, v), "reversed_kl"),
            "for standard deviations": (
                lambda m, v, n, w: kl(m, v**2, n, w**2),
                "variance_or_std",
            ),
            "roots of the variances": (
                lambda m, v, n, w: kl(m, v.sqrt(), n, w.sqrt()),
                "variance_or_std",
            ),
            "only the log for std": (
                lambda m, v, n, w: (
                    0.5 * (torch.log((w / v).sqrt()) + (v + (m - n) ** 2) / w - 1)
                ),
                "variance_or_std",
            ),
            "no log": (
                lambda m, v, n, w: 0.5 * ((v + (m - n) ** 2) / w - 1),
                "missing_log",
            ),
            "log upside down": (
                lambda m, v, n, w: (
                    0.5 * (torch.log(v / w) + (v + (m - n) ** 2) / w - 1)
                ),
                "log_sign",
            ),
            "means forgotten": (
                lambda m, v, n, w: 0.5 * (torch.log(w / v) + v / w - 1),
                "missing_means",
            ),
            "means not squared": (
                lambda m, v, n, w: (
                    0.5 * (torch.log(w / v) + (v + (m - n).abs()) / w - 1)
                ),
                "not_squared",
            ),
            "divided by var1": (
                lambda m, v, n, w: (
                    0.5 * (torch.log(w / v) + v / w + (m - n) ** 2 / v - 1)
                ),
                "which_variance",
            ),
            "gap not divided": (
                lambda m, v, n, w: 0.5 * (torch.log(w / v) + v / w + (m - n) ** 2 - 1),
                "which_variance",
            ),
            "minus": (lambda m, v, n, w: -kl(m, v, n, w), "wrong_sign"),
            "sum over the batch": (
                lambda m, v, n, w: kl(m, v, n, w).sum(),
                "wrong_shape",
            ),
            "both directions": (
                lambda m, v, n, w: (kl(m, v, n, w) + kl(n, w, m, v)) / 2,
                None,
            ),
            "right for the first pair only": (
                lambda m, v, n, w: kl(m, v, n, w)[:1].expand(len(m), 1),
                None,
            ),
            "zero": (lambda m, v, n, w: torch.zeros_like(m), None),
            "no var1 / var2": (
                lambda m, v, n, w: 0.5 * (torch.log(w / v) + (m - n) ** 2 / w),
                "missing_ratio",
            ),
        },
    ),
    Exercise(
        check=checks.check_mean_from_eps,
        right=[
            mean_from_eps,
            mean_by_posterior,
            mean_in_float64,
            mean_in_numpy,
            mean_looped,
        ],
        wrong={
            "√ᾱ_t for √α_t": (
                mean_with(
                    lambda b, a, ab, ab_s: (ab**-0.5, -b / (ab * (1 - ab)) ** 0.5)
                ),
                "which_alpha",
            ),
            "√(1−α_t) for √(1−ᾱ_t)": (
                mean_with(lambda b, a, ab, ab_s: (a**-0.5, -b / (a * (1 - a)) ** 0.5)),
                "one_step_noise",
            ),
            "1−ᾱ_t for β_t": (
                mean_with(lambda b, a, ab, ab_s: (a**-0.5, -(((1 - ab) / a) ** 0.5))),
                "which_alpha",
            ),
            "√β_t for β_t": (
                mean_with(
                    lambda b, a, ab, ab_s: (a**-0.5, -((b / (a * (1 - ab))) ** 0.5))
                ),
                "variance_or_std",
            ),
            "1−ᾱ_t without root": (
                mean_with(lambda b, a, ab, ab_s: (a**-0.5, -b / (a**0.5 * (1 - ab)))),
                "variance_or_std",
            ),
            "α_t without root": (
                mean_with(lambda b, a, ab, ab_s: (1 / a, -b / (a * (1 - ab) ** 0.5))),
                "variance_or_std",
            ),
            "no 1/√α_t": (
                mean_with(lambda b, a, ab, ab_s: (1.0, -b / (1 - ab) ** 0.5)),
                "missing_scale",
            ),
            "times √α_t": (
                mean_with(
                    lambda b, a, ab, ab_s: (a**0.5, -(a**0.5) * b / (1 - ab) ** 0.5)
                ),
                "upside_down",
            ),
            "no 1/√(1−ᾱ_t)": (
                mean_with(lambda b, a, ab, ab_s: (a**-0.5, -b / a**0.5)),
                "no_denominator",
            ),
            "ε is one step's noise": (
                mean_with(lambda b, a, ab, ab_s: (a**-0.5, -((b / a) ** 0.5))),
                "one_step_noise",
            ),
            "ᾱ_s for ᾱ_t": (
                mean_with(
                    lambda b, a, ab, ab_s: (a**-0.5, -b / (a * (1 - ab_s)) ** 0.5)
                ),
                "index_shift",
            ),
            "β_s for β_t": (beta_one_early, "index_shift"),
            "one step early": (mean_with(right_factors, later=-1), "index_shift"),
            "times count from 0": (mean_with(right_factors, later=1), "index_shift"),
            "plus": (
                mean_with(lambda b, a, ab, ab_s: (a**-0.5, b / (a * (1 - ab)) ** 0.5)),
                "wrong_sign",
            ),
            "x̂_0": (
                mean_with(lambda b, a, ab, ab_s: (ab**-0.5, -(((1 - ab) / ab) ** 0.5))),
                "wrong_target",
            ),
            "x̂_0 noised again": (
                mean_with(
                    lambda b, a, ab, ab_s: (
                        (ab_s / ab) ** 0.5,
                        (1 - ab_s) ** 0.5 - (ab_s * (1 - ab) / ab) ** 0.5,
                    )
                ),
                "wrong_target",
            ),
            "with fresh noise": (
                lambda x_t, eps_hat, t, betas, alpha_bars: (
                    mean_from_eps(x_t, eps_hat, t, betas, alpha_bars)
                    + betas[t].sqrt() * torch.randn_like(x_t)
                ),
                None,
            ),
            "noise of its own": (
                lambda x_t, eps_hat, t, betas, alpha_bars: mean_from_eps(
                    x_t, torch.randn_like(x_t), t, betas, alpha_bars
                ),
                None,
            ),
            "right at t = 8 only": (
                lambda x_t, eps_hat, t, betas, alpha_bars: mean_from_eps(
                    x_t, eps_hat, 8, betas, alpha_bars
                ),
                None,
            ),
        },
    ),
    Exercise(
        check=checks.check_weight,
        right=[weight, weight_as_float, weight_by_means, weight_in_numpy],
        wrong={
            "no ½": (
                weight_with(lambda s, b, a, ab, ab_s: b**2 / (s**2 * a * (1 - ab))),
                "missing_half",
            ),
            "σ for σ²": (
                weight_with(lambda s, b, a, ab, ab_s: b**2 / (2 * s * a * (1 - ab))),
                "variance_or_std",
            ),
            "β for β²": (
                weight_with(lambda s, b, a, ab, ab_s: b / (2 * s**2 * a * (1 - ab))),
                "variance_or_std",
            ),
            "√(1−ᾱ)": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a * (1 - ab) ** 0.5)
                ),
                "variance_or_std",
            ),
            "√α": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a**0.5 * (1 - ab))
                ),
                "variance_or_std",
            ),
            "not squared": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b / (2 * s**2 * (a * (1 - ab)) ** 0.5)
                ),
                "variance_or_std",
            ),
            "ᾱ for α": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * ab * (1 - ab))
                ),
                "which_alpha",
            ),
            "1−α for 1−ᾱ": (
                weight_with(lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a * (1 - a))),
                "which_alpha",
            ),
            "no α": (
                weight_with(lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * (1 - ab))),
                "missing_scale",
            ),
            "no 1−ᾱ": (
                weight_with(lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a)),
                "no_denominator",
            ),
            "ᾱ_s for ᾱ_t": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a * (1 - ab_s))
                ),
                "index_shift",
            ),
            "β_s for β_t": (weight_beta_early, "index_shift"),
            "one step early": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a * (1 - ab)), later=-1
                ),
                "index_shift",
            ),
            "upside down": (
                weight_with(lambda s, b, a, ab, ab_s: 2 * s**2 * a * (1 - ab) / b**2),
                "upside_down",
            ),
            "one": (weight_with(lambda s, b, a, ab, ab_s: 1.0), "not_weighted_at_all"),
            "brackets forgotten": (
                weight_with(lambda s, b, a, ab, ab_s: b**2 / 2 * s**2 * a * (1 - ab)),
                "upside_down",
            ),
            "α squared": (
                weight_with(
                    lambda s, b, a, ab, ab_s: b**2 / (2 * s**2 * a**2 * (1 - ab))
                ),
                "variance_or_std",
            ),
            "of the means": (
                weight_with(lambda s, b, a, ab, ab_s: 1 / (2 * s**2)),
                "wrong_target",
            ),
            "SNR": (weight_with(lambda s, b, a, ab, ab_s: ab / (1 - ab)), None),
            "½ β/α(1−ᾱ), for σ² = β": (
                weight_with(lambda s, b, a, ab, ab_s: b / (2 * a * (1 - ab))),
                None,
            ),
        },
    ),
]
