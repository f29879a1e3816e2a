"""Answers to the exercises of notebook 03."""

import math

import numpy as np
import torch
from torch.distributions import Normal

from minddpm.course import checks
from wrong_answers import Exercise

# --- 3.1: denoise(x_t, data, alpha_bar_t) ---------------------------------------------


def squared(x_t, data, a, scale=None):
    """‖x_t − √ᾱ x_k‖², (B, N), or with another factor of x_k."""
    scale = a**0.5 if scale is None else scale
    return (x_t[:, None] - scale * data).square().sum(dim=2)


def right(x_t, data, alpha_bar_t):
    a = alpha_bar_t
    return (-squared(x_t, data, a) / (2 * (1 - a))).softmax(dim=1) @ data


def looped(x_t, data, alpha_bar_t):
    result = torch.zeros_like(x_t)
    for i, x in enumerate(x_t):
        logits = torch.tensor(
            [
                -float(((x - alpha_bar_t**0.5 * x_k) ** 2).sum())
                / (2 * (1 - alpha_bar_t))
                for x_k in data
            ]
        )
        weights = (logits - logits.max()).exp()
        for r, x_k in zip(weights / weights.sum(), data, strict=True):
            result[i] += r * x_k
    return result


def in_float64(x_t, data, alpha_bar_t):
    return right(x_t.double(), data.double(), torch.tensor(alpha_bar_t).double())


def with_cdist(x_t, data, alpha_bar_t):
    distance = torch.cdist(x_t, alpha_bar_t**0.5 * data)
    return torch.softmax(-(distance**2) / 2 / (1 - alpha_bar_t), -1) @ data


def with_log_prob(x_t, data, alpha_bar_t):
    bells = Normal(alpha_bar_t**0.5 * data, (1 - alpha_bar_t) ** 0.5)
    log_likelihood = bells.log_prob(x_t[:, None]).sum(-1)
    log_r = log_likelihood - log_likelihood.logsumexp(1, keepdim=True)
    return log_r.exp() @ data


def with_numpy(x_t, data, alpha_bar_t):
    x, points = x_t.numpy(), data.numpy()
    logits = -((x[:, None] - np.sqrt(alpha_bar_t) * points) ** 2).sum(-1)
    logits = logits / (2 * (1 - alpha_bar_t))
    r = np.exp(logits - logits.max(1, keepdims=True))
    return (r / r.sum(1, keepdims=True)) @ points


def in_units_of_x0(*, x_t, data, alpha_bar_t):
    snr = alpha_bar_t / (1 - alpha_bar_t)
    distance = (x_t[:, None] / alpha_bar_t**0.5 - data).square().sum(2)
    return (-snr * distance / 2).softmax(1) @ data


def expanded_square(x_t, data, alpha_bar_t):
    points = alpha_bar_t**0.5 * data.double()
    inner = x_t.double() @ points.T - points.square().sum(1) / 2
    return (inner / (1 - alpha_bar_t)).softmax(1).float() @ data


def mean_with(exponent, scale=None, dim=1):
    """The weighted mean with a mistake in the exponent."""

    def answer(x_t, data, alpha_bar_t):
        factor = alpha_bar_t**0.5 if scale is None else scale(alpha_bar_t)
        distance2 = squared(x_t, data, alpha_bar_t, factor)
        return exponent(distance2, alpha_bar_t).softmax(dim=dim) @ data

    return answer


def bells(x_t, data, a):
    return (-squared(x_t, data, a) / (2 * (1 - a))).exp()


def not_normalised(x_t, data, alpha_bar_t):
    return bells(x_t, data, alpha_bar_t) @ data


def density_as_weight(x_t, data, alpha_bar_t):
    height = (2 * math.pi * (1 - alpha_bar_t)) ** (-x_t.shape[1] / 2)
    return height * bells(x_t, data, alpha_bar_t) @ data


def divided_by_n(x_t, data, alpha_bar_t):
    return bells(x_t, data, alpha_bar_t) @ data / len(data)


def one_sum_for_all(x_t, data, alpha_bar_t):
    likelihood = bells(x_t, data, alpha_bar_t)
    return likelihood / likelihood.sum() @ data


def naive(x_t, data, alpha_bar_t):
    likelihood = bells(x_t, data, alpha_bar_t)
    return likelihood / likelihood.sum(1, keepdim=True) @ data


def naive_in_float64(x_t, data, alpha_bar_t):
    return naive(x_t.double(), data.double(), alpha_bar_t)


def naive_with_a_patch(x_t, data, alpha_bar_t):
    likelihood = bells(x_t, data, alpha_bar_t)
    return likelihood / (likelihood.sum(1, keepdim=True) + 1e-12) @ data


def one_maximum_for_all(x_t, data, alpha_bar_t):
    exponents = -squared(x_t, data, alpha_bar_t) / (2 * (1 - alpha_bar_t))
    likelihood = (exponents - exponents.max()).exp()
    return likelihood / likelihood.sum(1, keepdim=True) @ data


def nearest(x_t, data, alpha_bar_t):
    return data[squared(x_t, data, alpha_bar_t).argmin(1)]


def nearest_unscaled(x_t, data, alpha_bar_t):
    return data[torch.cdist(x_t, data).argmin(1)]


def scaled_answer(x_t, data, alpha_bar_t):
    return alpha_bar_t**0.5 * right(x_t, data, alpha_bar_t)


def plain_mean(x_t, data, alpha_bar_t):
    return data.mean(0).expand(x_t.shape)


def rescaled_input(x_t, data, alpha_bar_t):
    return x_t / alpha_bar_t**0.5


def per_coordinate(x_t, data, alpha_bar_t):
    distance2 = (x_t[:, None] - alpha_bar_t**0.5 * data).square()
    r = (-distance2 / (2 * (1 - alpha_bar_t))).softmax(1)
    return (r * data).sum(1)


DENOISE = Exercise(
    check=checks.check_denoise,
    right=[
        right,
        looped,
        in_float64,
        with_cdist,
        with_log_prob,
        with_numpy,
        in_units_of_x0,
        expanded_square,
    ],
    wrong={
        "std in the exponent": (
            mean_with(lambda d, a: -d / (2 * (1 - a) ** 0.5)),
            "variance_or_std",
        ),
        "variance squared": (
            mean_with(lambda d, a: -d / (2 * (1 - a) ** 2)),
            "variance_or_std",
        ),
        "1−√ᾱ for 1−ᾱ": (
            mean_with(lambda d, a: -d / (2 * (1 - a**0.5))),
            "variance_or_std",
        ),
        "no 2": (mean_with(lambda d, a: -d / (1 - a)), "missing_two"),
        "data not scaled": (
            mean_with(lambda d, a: -d / (2 * (1 - a)), scale=lambda a: 1.0),
            "unscaled_data",
        ),
        "data scaled by ᾱ": (
            mean_with(lambda d, a: -d / (2 * (1 - a)), scale=lambda a: a),
            "which_alpha",
        ),
        "plus in the exponent": (
            mean_with(lambda d, a: d / (2 * (1 - a))),
            "wrong_sign",
        ),
        "distance not squared": (
            mean_with(lambda d, a: -d.sqrt() / (2 * (1 - a))),
            "not_squared",
        ),
        "ᾱ for 1−ᾱ": (mean_with(lambda d, a: -d / (2 * a)), "swapped"),
        "data scaled by √(1−ᾱ)": (
            mean_with(lambda d, a: -d / (2 * (1 - a)), lambda a: (1 - a) ** 0.5),
            "swapped",
        ),
        "softmax over the batch": (
            mean_with(lambda d, a: -d / (2 * (1 - a)), dim=0),
            "wrong_axis",
        ),
        "mean over coordinates": (
            mean_with(lambda d, a: -d / 3 / (2 * (1 - a))),
            "reduction",
        ),
        "weights not normalised": (not_normalised, "not_normalised"),
        "densities for weights": (density_as_weight, "not_normalised"),
        "divided by N": (divided_by_n, "not_normalised"),
        "one sum for the whole batch": (one_sum_for_all, "wrong_axis"),
        "exp, then divide": (naive, "underflow"),
        "the same in float64": (naive_in_float64, "underflow"),
        "the same, with a patch": (naive_with_a_patch, "underflow"),
        "nearest data point": (nearest, "nearest_point"),
        "nearest, data not scaled": (nearest_unscaled, "nearest_point"),
        "mean of the scaled data": (scaled_answer, "scaled_answer"),
        "mean of all data": (plain_mean, "not_weighted"),
        "x_t / √ᾱ": (rescaled_input, "ignores_noise"),
        "weights per coordinate": (per_coordinate, "per_coordinate"),
        "no variance at all": (mean_with(lambda d, a: -d), "no_variance"),
        "the 2, but no variance": (mean_with(lambda d, a: -d / 2), "no_variance"),
        "/ 2 * v": (mean_with(lambda d, a: -d / 2 * (1 - a)), "precedence"),
        "softmax of exp": (
            mean_with(lambda d, a: (-d / (2 * (1 - a))).exp()),
            "softmax_of_exp",
        ),
        "the largest of the batch subtracted": (one_maximum_for_all, "underflow"),
        "right at one ᾱ only": (lambda x, d, a: right(x, d, 0.36), None),
        "bfloat16": (
            lambda x, d, a: right(x.bfloat16(), d.bfloat16(), a).float(),
            None,
        ),
    },
)

# --- 3.2: eps_from_x0(x_t, x0_hat, alpha_bar_t) ---------------------------------------


def eps_right(x_t, x0_hat, alpha_bar_t):
    return (x_t - alpha_bar_t**0.5 * x0_hat) / (1 - alpha_bar_t) ** 0.5


def eps_looped(x_t, x0_hat, alpha_bar_t):
    rows = [eps_right(x, x0, alpha_bar_t) for x, x0 in zip(x_t, x0_hat, strict=True)]
    return torch.stack(rows)


def eps_numpy(*, x_t, x0_hat, alpha_bar_t):
    signal = np.sqrt(alpha_bar_t) * x0_hat.numpy()
    return (x_t.numpy() - signal) / np.sqrt(1 - alpha_bar_t)


def eps_float64(x_t, x0_hat, alpha_bar_t):
    a = torch.tensor(alpha_bar_t, dtype=torch.float64)
    return (x_t - a.sqrt() * x0_hat) * (1 - a).rsqrt()


EPS = Exercise(
    check=checks.check_eps_from_x0,
    right=[eps_right, eps_looped, eps_numpy, eps_float64],
    wrong={
        "divided by 1−ᾱ": (
            lambda x, x0, a: (x - a**0.5 * x0) / (1 - a),
            "variance_or_std",
        ),
        "no root at all": (lambda x, x0, a: (x - a * x0) / (1 - a), "variance_or_std"),
        "ᾱ for √ᾱ": (lambda x, x0, a: (x - a * x0) / (1 - a) ** 0.5, "which_alpha"),
        "x0_hat not scaled": (
            lambda x, x0, a: (x - x0) / (1 - a) ** 0.5,
            "unscaled_data",
        ),
        "difference of the pictures": (lambda x, x0, a: x - x0, "unscaled_data"),
        "factors swapped": (
            lambda x, x0, a: (x - (1 - a) ** 0.5 * x0) / a**0.5,
            "swapped",
        ),
        "plus": (lambda x, x0, a: (x + a**0.5 * x0) / (1 - a) ** 0.5, "wrong_sign"),
        "backwards": (
            lambda x, x0, a: (a**0.5 * x0 - x) / (1 - a) ** 0.5,
            "wrong_sign",
        ),
        "not divided": (lambda x, x0, a: x - a**0.5 * x0, "not_divided"),
        "multiplied": (
            lambda x, x0, a: (x - a**0.5 * x0) * (1 - a) ** 0.5,
            "multiplied",
        ),
        "only the signal divided": (
            lambda x, x0, a: x - a**0.5 * x0 / (1 - a) ** 0.5,
            "precedence",
        ),
        "only x_t divided": (
            lambda x, x0, a: x / (1 - a) ** 0.5 - a**0.5 * x0,
            "precedence",
        ),
        "root of 1−√ᾱ": (
            lambda x, x0, a: (x - a**0.5 * x0) / (1 - a**0.5) ** 0.5,
            "variance_or_std",
        ),
        "no brackets below": (lambda x, x0, a: (x - a**0.5 * x0) / 1 - a**0.5, None),
        "eq. 15 once more": (
            lambda x, x0, a: (x - a**0.5 * x0) / a**0.5,
            "swapped",
        ),
        "x_t alone": (lambda x, x0, a: x / (1 - a) ** 0.5, "no_signal"),
        "noise of its own": (lambda x, x0, a: torch.randn_like(x), None),
        "right at one ᾱ only": (lambda x, x0, a: eps_right(x, x0, 0.36), None),
    },
)

# --- 3.3: gaussian_floor(alpha_bar_t, s) ----------------------------------------------


def floor_right(alpha_bar_t, s):
    return alpha_bar_t * s**2 / (alpha_bar_t * s**2 + 1 - alpha_bar_t)


def floor_from_covariance(alpha_bar_t, s):
    covariance = math.sqrt(1 - alpha_bar_t)
    variance = alpha_bar_t * s * s + 1 - alpha_bar_t
    return 1 - covariance**2 / variance


def floor_of_tensors(*, alpha_bar_t, s):
    a, s = torch.tensor([alpha_bar_t, s])
    return 1 / (1 + (1 - a) / (a * s.square()))


def floor_from_the_posterior(alpha_bar_t, s):
    a = np.float64(alpha_bar_t)
    variance = 1 / (1 / s**2 + a / (1 - a))
    return variance * a / (1 - a)


FLOOR = Exercise(
    check=checks.check_gaussian_floor,
    right=[
        floor_right,
        floor_from_covariance,
        floor_of_tensors,
        floor_from_the_posterior,
    ],
    wrong={
        "s for s²": (lambda a, s: a * s / (a * s + 1 - a), "variance_or_std"),
        "root of the floor": (
            lambda a, s: floor_right(a, s) ** 0.5,
            "variance_or_std",
        ),
        "std for variance below": (
            lambda a, s: 1 - (1 - a) / (a * s**2 + 1 - a) ** 0.5,
            "variance_or_std",
        ),
        "covariance 1−ᾱ": (
            lambda a, s: 1 - (1 - a) ** 2 / (a * s**2 + 1 - a),
            "variance_or_std",
        ),
        "√ᾱ for ᾱ": (
            lambda a, s: a**0.5 * s**2 / (a**0.5 * s**2 + 1 - a),
            "which_alpha",
        ),
        "the part that is known": (
            lambda a, s: (1 - a) / (a * s**2 + 1 - a),
            "explained_part",
        ),
        "what is left of x_0": (
            lambda a, s: s**2 * (1 - a) / (a * s**2 + 1 - a),
            "wrong_target",
        ),
        "covariance not squared": (
            lambda a, s: 1 - (1 - a) ** 0.5 / (a * s**2 + 1 - a),
            "not_squared",
        ),
        "covariance of x_0": (lambda a, s: 1 - a / (a * s**2 + 1 - a), "swapped"),
        "ᾱ left out": (lambda a, s: s**2 / (s**2 + 1 - a), "unscaled_data"),
        "0": (lambda a, s: 0.0, None),
        "1": (lambda a, s: 1.0, None),
        "ᾱ": (lambda a, s: a, "unit_variance"),
        "signal over noise": (lambda a, s: a * s**2 / (1 - a), "not_normalised"),
        "covariance 1": (
            lambda a, s: 1 - 1 / (a * s**2 + 1 - a),
            "noise_not_scaled",
        ),
        "Var(x_t) with the whole noise": (
            lambda a, s: 1 - (1 - a) / (a * s**2 + 1),
            "noise_not_scaled",
        ),
        "no factor in Var(x_t)": (
            lambda a, s: 1 - (1 - a) / (s**2 + 1),
            "noise_not_scaled",
        ),
        "Var(x_t) = s²": (lambda a, s: 1 - (1 - a) / s**2, "no_noise"),
        "Var(ε) = 1−ᾱ": (
            lambda a, s: (1 - a) - (1 - a) ** 2 / (a * s**2 + 1 - a),
            "wrong_noise",
        ),
        "stds added": (
            lambda a, s: 1 - (1 - a) / (a**0.5 * s + (1 - a) ** 0.5) ** 2,
            "variance_or_std",
        ),
        "a tenth too high": (lambda a, s: 1.1 * floor_right(a, s), None),
        "right for s = 0.7 only": (lambda a, s: floor_right(a, 0.7), None),
    },
)

EXERCISES = [DENOISE, EPS, FLOOR]
