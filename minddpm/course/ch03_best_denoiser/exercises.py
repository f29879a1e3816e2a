"""The exercises of notebook 03: the best denoiser, its noise, the loss it leaves."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Exercise, mistakes
from minddpm.course.kit.report import regress, show

# --- 3.1 ------------------------------------------------------------------------------


def denoise(x_t: Tensor, data: Tensor, alpha_bar_t: float) -> Tensor:
    """E[x_0 | x_t] = Σ_k r_k x_k with r = softmax(−‖x_t − √ᾱ_t x_k‖² / (2 (1−ᾱ_t))).

    Args:
        x_t: noisy points, (B, D) float.
        data: all clean points, (N, D) float.
        alpha_bar_t: ᾱ_t, a float in (0, 1).

    Returns:
        E[x_0 | x_t], (B, D).
    """
    squares = _squares(x_t, data, alpha_bar_t**0.5).sum(2)
    return (-squares / (2 * (1 - alpha_bar_t))).softmax(1) @ data.double()


def _squares(x_t: Tensor, data: Tensor, scale: float) -> Tensor:
    return (x_t[:, None].double() - scale * data.double()).square()  # (B, N, D)


_MEAN_HINTS = {
    "variance_or_std": "1−ᾱ is the noise's variance already: no root, no square of it.",
    "missing_two": "A bell's exponent is −distance² / (2 · variance).",
    "unscaled_data": "x_t was made from √ᾱ · x_k, not from x_k: compare it with that.",
    "which_alpha": "Eq. 4 scales x_0 by the root of ᾱ.",
    "wrong_sign": "The farther a data point is, the less it weighs.",
    "not_squared": "The exponent holds the squared distance.",
    "no_variance": "How much does a distance count when there is little noise?",
    "precedence": "In Python x / 2 * v is (x / 2) · v: put brackets around 2 * v.",
    "softmax_of_exp": "Softmax takes the exponents: it applies exp() itself.",
    "per_coordinate": "One weight per data point: first sum over the coordinates.",
    "ignores_noise": "That is eq. 4 with the noise left out: no data in it.",
    "swapped": "ᾱ is the signal's share; the exponent has the noise's.",
    "not_normalised": "The weights of one x_t must add up to 1.",
    "not_weighted": "Your result is the same for every x_t.",
    "nearest_point": "All data points count, each by its weight; not only the largest.",
    "wrong_axis": "Softmax over the data points: the weights of one x_t add up to 1.",
    "reduction": "‖·‖² is the sum over the coordinates, not their mean.",
    "scaled_answer": "The weights average the clean points, without the factor √ᾱ.",
    "underflow": "exp(−1000) is 0 on a computer, and 0/0 is NaN. Softmax subtracts the "
    "largest exponent first: that changes no weight.",
}


def _means(x_t: Tensor, data: Tensor, a: float) -> dict[str, list[Tensor]]:
    """Return what known mistakes give for E[x_0 | x_t]."""
    v, root, wide, D = 1 - a, a**0.5, data.double(), data.shape[1]
    each = -_squares(x_t, data, root) / (2 * v)
    right, bells = each.sum(2), each.sum(2).exp()
    total, height = bells.sum(1, keepdim=True), (2 * math.pi * v) ** (-D / 2)

    def mean(scale: float, *variances: float) -> list[Tensor]:
        distance2 = _squares(x_t, data, scale).sum(2)
        return [(-distance2 / (2 * u)).softmax(1) @ wide for u in variances]

    def by(*weights: Tensor) -> list[Tensor]:
        return [w @ wide for w in weights]

    distance = (-right * 2 * v).sqrt()
    return {
        "variance_or_std": mean(root, v**0.5, v**2, 1 - root, (1 - root) ** 2),
        "missing_two": mean(root, v / 2),
        "unscaled_data": mean(1.0, v, v / a),
        "which_alpha": mean(a, v, 1 - a**2),
        "wrong_sign": mean(root, -v),
        "not_squared": by(*((-distance / (2 * u)).softmax(1) for u in (v, v**0.5))),
        "no_variance": mean(root, 0.5, 1.0),
        "precedence": mean(root, 1 / v),
        "softmax_of_exp": by(bells.softmax(1)),
        "per_coordinate": [(each.softmax(1) * wide).sum(1)],
        "ignores_noise": [x_t / root],
        "swapped": mean(root, a) + mean(v**0.5, v, a),
        "not_normalised": by(
            *(bells * f / n for f in (1, height) for n in (1, len(data)))
        ),
        "not_weighted": mean(root, math.inf),
        "nearest_point": mean(root, 1e-12) + mean(1.0, 1e-12),
        "wrong_axis": by(right.softmax(0), bells / bells.sum()),
        "reduction": mean(root, v * D),
        "scaled_answer": [root * denoise(x_t, data, a)],
        "underflow": by(bells / total, bells / (total + 1e-12)),
    }


def _noisy_points() -> Iterator[dict[str, Any]]:
    for a, B, N in ((0.36, 7, 5), (0.05, 4, 4), (0.9, 1, 9), (0.7, 6, 3)):
        data = torch.randn(N, 3) * torch.tensor([0.7, 1.0, 1.3]) + 0.4
        data[-1] = data[0]  # each counts as often as it is there
        x_t = a**0.5 * data[torch.arange(B) % N] + (1 - a) ** 0.5 * torch.randn(B, 3)
        yield {"x_t": x_t, "data": data, "alpha_bar_t": a}
    # far from all data, at hardly any noise, exp() gives 0 for each of them
    data = 2 * torch.eye(4) + 0.1 * torch.randn(4, 4)
    yield {"x_t": 4 * data, "data": data, "alpha_bar_t": 1 - 1e-4}


def _show_mean(mean: Tensor, x_t: Tensor, data: Tensor, alpha_bar_t: float) -> str:
    return f"ᾱ_t = {alpha_bar_t:g}: first row {show(mean[0])}"


DENOISE = Exercise(
    "Exercise 3.1: the best denoiser",
    denoise,
    _noisy_points,
    mistakes(_MEAN_HINTS, _means),
    show=_show_mean,
    hint="Print the weights of one x_t: which data point should weigh most?",
    praise="No training, and no network will ever have a smaller squared error.",
)

# --- 3.2 ------------------------------------------------------------------------------


def eps_from_x0(x_t: Tensor, x0_hat: Tensor, alpha_bar_t: float) -> Tensor:
    """ε = (x_t − √ᾱ_t · x̂_0) / √(1−ᾱ_t), eq. 15 solved for ε.

    Args:
        x_t: noisy points, (B, D) float.
        x0_hat: guesses of the clean points, (B, D) float.
        alpha_bar_t: ᾱ_t, a float in (0, 1).

    Returns:
        The noise that belongs to the guess, (B, D).
    """
    return (x_t.double() - alpha_bar_t**0.5 * x0_hat) / (1 - alpha_bar_t) ** 0.5


_EPS_HINTS = {
    "variance_or_std": "Eq. 4 multiplies ε by √(1−ᾱ), a standard deviation.",
    "which_alpha": "Eq. 4 multiplies x_0 by the root of ᾱ.",
    "unscaled_data": "x_t holds √ᾱ · x_0, not x_0: that much must go.",
    "swapped": "Which factor belongs to x_0 in eq. 4, and which to ε?",
    "wrong_sign": "Take the signal away from x_t; what is left is noise.",
    "not_divided": "What is left is √(1−ᾱ) · ε. And ε itself?",
    "multiplied": "What is left is √(1−ᾱ) · ε: undo the factor, do not repeat it.",
    "no_signal": "x0_hat does not appear in your result.",
    "precedence": "Only one of the terms is divided: put brackets around x_t − √ᾱ x̂_0.",
}


def _sums(x_t: Tensor, x0_hat: Tensor, a: float) -> dict[str, list[Tensor]]:
    """Return what known mistakes give for ε."""
    s, n = a**0.5, (1 - a) ** 0.5
    pairs = {  # factors of x_t and of x0_hat
        "variance_or_std": [
            *((1 / n**2, -f / n**2) for f in (s, a)),
            *((1 / f, -s / f) for f in (1 - s, (1 - s) ** 0.5)),
        ],
        "which_alpha": [(1 / n, -a / n)],
        "unscaled_data": [(1 / n, -1 / n), (1, -1)],
        "swapped": [(1 / s, -n / s), (1 / n, -1), (1 / s, -1)],
        "wrong_sign": [(1 / n, s / n), (-1 / n, s / n)],
        "not_divided": [(1, -s)],
        "multiplied": [(n, -s * n)],
        "no_signal": [(1 / n, 0), (1, 0)],
        "precedence": [(1, -s / n), (1 / n, -s)],
    }
    return {k: [f * x_t + g * x0_hat for f, g in row] for k, row in pairs.items()}


def _guesses() -> Iterator[dict[str, Any]]:
    for a, (B, D) in ((0.36, (64, 2)), (0.98, (3, 3)), (0.02, (2, 5)), (0.8, (5, 1))):
        x_t, x0_hat = 0.8 * torch.randn(2, B, D) + 0.3
        yield {"x_t": x_t, "x0_hat": x0_hat - 0.8, "alpha_bar_t": a}


def _show_eps(eps: Tensor, x_t: Tensor, x0_hat: Tensor, alpha_bar_t: float) -> str:
    """Write ε as a weighted sum of x_t and x0_hat, if it is one."""
    weights, _, rest = regress(eps, x_t, x0_hat)
    if float(rest.abs().max()) > 1e-3:
        return f"ᾱ_t = {alpha_bar_t:g}: no weighted sum of x_t and x0_hat"
    return f"ᾱ_t = {alpha_bar_t:g}: {weights[0]:.3f}·x_t {weights[1]:+.3f}·x0_hat"


EPS_FROM_X0 = Exercise(
    "Exercise 3.2: the noise from the clean point",
    eps_from_x0,
    _guesses,
    mistakes(_EPS_HINTS, _sums),
    show=_show_eps,
    hint="Solve eq. 4 for ε, one step at a time: x_t and x0_hat get one factor each.",
    praise="A guess of x_0 and a guess of ε are one and the same knowledge.",
)

# --- 3.3 ------------------------------------------------------------------------------


def gaussian_floor(alpha_bar_t: float, s: float) -> float:
    """Var(ε) − Cov(ε, x_t)² / Var(x_t) = ᾱ_t s² / (ᾱ_t s² + 1−ᾱ_t), for N(m, s²).

    Args:
        alpha_bar_t: ᾱ_t, a float in (0, 1).
        s: standard deviation of the data, a float > 0.

    Returns:
        The least loss at t, a number.
    """
    return _share(alpha_bar_t * s**2, 1 - alpha_bar_t)


def _share(signal: float, noise: float) -> float:
    return signal / (signal + noise)


_FLOOR_HINTS = {
    "variance_or_std": "Variances: s² of x_0, 1−ᾱ of the noise in x_t, and no root.",
    "which_alpha": "Var(√ᾱ · x_0) holds the square of the factor.",
    "explained_part": "That part of the noise is known from x_t; what is left?",
    "wrong_target": "That is what is left of x_0. The loss is about ε.",
    "not_squared": "The covariance appears squared, divided by Var(x_t).",
    "swapped": "Cov(ε, x_t) has the factor of ε in eq. 4, not that of x_0.",
    "unscaled_data": "x_t holds √ᾱ · x_0: where is ᾱ in its variance?",
    "noise_not_scaled": "x_t holds √(1−ᾱ) · ε: where is that factor in Cov and Var?",
    "wrong_noise": "ε itself has variance 1; its factor √(1−ᾱ) belongs to x_t.",
    "no_noise": "Var(x_t) is a sum: of the data's part and of the noise's.",
    "unit_variance": "Var(x_t) is 1 only for data of variance 1: where is s?",
    "not_normalised": "That is signal over noise. Var(x_t), below the line, has both.",
}


def _floors(a: float, s: float) -> dict[str, list[float]]:
    """Return what known mistakes give for the floor."""
    v, root, signal = 1 - a, a**0.5, a * s**2
    total = signal + v
    return {
        "variance_or_std": [
            *(_share(a * s, v), _share(root * s, v**0.5), _share(signal, v**0.5)),
            *(_share(signal, v) ** 0.5, 1 - v / total**0.5, 1 - v**2 / total),
            *(1 - v / x for x in (signal + v**0.5, (root * s + v**0.5) ** 2)),
        ],
        "which_alpha": [
            *(_share(root * s**2, v), _share(signal * a, v)),
            1 - v / (root * s**2 + v),
        ],
        "explained_part": [v / total],
        "wrong_target": [s**2 * v / total, s * (v / total) ** 0.5, s**2],
        "not_squared": [1 - v**0.5 / total, 1 - (v / total) ** 0.5],
        "swapped": [1 - a / total, _share(v * s**2, a), a / total],
        "unscaled_data": [_share(s**2, v)],
        "noise_not_scaled": [
            1 - x / y
            for x, y in ((1, total), (v, signal + 1), (1, signal + 1), (v, s**2 + 1))
        ],
        "wrong_noise": [v - v / total, v - v**2 / total],
        "no_noise": [1 - v / s**2, 1 - v / signal],
        "unit_variance": [a],
        "not_normalised": [signal / v],
    }


GAUSSIAN_FLOOR = Exercise(
    "Exercise 3.3: the floor of one Gaussian",
    gaussian_floor,
    lambda: [
        {"alpha_bar_t": a, "s": s}
        for a, s in ((0.36, 0.7), (0.9, 0.2), (0.1, 3.0), (0.99, 1.0))
    ],
    mistakes(_FLOOR_HINTS, _floors),
    tolerance=1e-5,
    show=lambda floor, alpha_bar_t, s: f"ᾱ_t = {alpha_bar_t:g}, s = {s:g}: {floor:.4f}",
    hint="Write down Cov(ε, x_t) and Var(x_t) first, from eq. 4.",
    praise="Near t = 1 it is close to 1: such little noise hides among the data.",
)

EXERCISES = [DENOISE, EPS_FROM_X0, GAUSSIAN_FLOOR]
