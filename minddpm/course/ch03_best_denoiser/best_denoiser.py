"""Checks of the denoiser and its noise in notebook 03."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

# --- Exercise 3.1 ---------------------------------------------------------------------

_MEAN_HINTS = {
    "variance_or_std": "1−ᾱ is the noise's variance already: no root, no square of it.",
    "missing_two": "A bell's exponent is −distance² / (2 · variance).",
    "unscaled_data": "x_t was made from √ᾱ · x_k, not from x_k: compare it with that.",
    "which_alpha": "Eq. 4 scales x_0 by the root of ᾱ.",
    "wrong_sign": "The farther a data point is, the less it weighs.",
    "not_squared": "The exponent holds the squared distance.",
    "no_variance": "How much a distance counts depends on the noise: divide the square "
    "by 2 (1−ᾱ).",
    "precedence": "In Python x / 2 * v is (x / 2) · v: put brackets around 2 * v.",
    "softmax_of_exp": "Softmax takes the exponents: it applies exp() itself.",
    "per_coordinate": "One weight per data point: sum the squares over the coordinates "
    "before the softmax.",
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
    "": "Print the weights of one x_t: which data point should weigh most?",
}


def _mean(
    x_t: Tensor,
    data: Tensor,
    *,
    scale: float,
    exponent: Callable[[Tensor], Tensor],
    axis: int = 1,
) -> Tensor:
    """Return the weighted mean with another exponent, a function of the distance²."""
    distance2 = (x_t[:, None] - scale * data).double().square().sum(2)
    return exponent(distance2).softmax(axis) @ data.double()


def _right_mean(x_t: Tensor, data: Tensor, a: float) -> Tensor:
    return _mean(x_t, data, scale=a**0.5, exponent=lambda d: -d / (2 * (1 - a)))


def _known_means(x_t: Tensor, data: Tensor, a: float) -> dict[str, Any]:
    """Return what known mistakes give."""
    v, root = 1 - a, a**0.5
    size = x_t.shape[1]

    def mean(scale: float = root, variance: float = v, **how: Any) -> Tensor:
        how.setdefault("exponent", lambda d: -d / (2 * variance))
        return _mean(x_t, data, scale=scale, **how)

    squares = (x_t[:, None] - root * data).double().square()  # (B, N, D)
    distance2, each = squares.sum(2), -squares / (2 * v)
    likelihood = (-distance2 / (2 * v)).exp()
    height = (2 * torch.pi * v) ** (-size / 2)
    wide = data.double()
    return {
        "variance_or_std": [
            mean(variance=v**0.5),
            mean(variance=v**2),
            mean(variance=1 - root),
            mean(variance=(1 - root) ** 2),
        ],
        "missing_two": mean(variance=v / 2),
        "unscaled_data": [mean(scale=1.0), mean(scale=1.0, variance=v / a)],
        "which_alpha": [
            mean(scale=a),
            mean(scale=a, variance=1 - a**2),
        ],
        "wrong_sign": mean(variance=-v),
        "no_variance": [mean(variance=0.5), mean(variance=1.0)],
        "precedence": mean(variance=1 / v),
        "softmax_of_exp": likelihood.softmax(1) @ wide,
        "per_coordinate": (each.softmax(1) * wide).sum(1),
        "ignores_noise": x_t.double() / root,
        "not_squared": [
            mean(exponent=lambda d: -d.sqrt() / (2 * v)),
            mean(exponent=lambda d: -d.sqrt() / (2 * v**0.5)),
        ],
        "swapped": [
            mean(variance=a),
            mean(scale=v**0.5, variance=a),
            mean(scale=v**0.5),
        ],
        "not_normalised": [
            likelihood @ wide,
            height * likelihood @ wide,
            likelihood @ wide / len(data),
            height * likelihood @ wide / len(data),
        ],
        "not_weighted": wide.mean(0).expand(x_t.shape),
        "nearest_point": [
            wide[distance2.argmin(1)],
            wide[(x_t[:, None] - data).square().sum(2).argmin(1)],
        ],
        "wrong_axis": [
            mean(axis=0),
            likelihood / likelihood.sum() @ wide,
        ],
        "reduction": mean(exponent=lambda d: -d / (2 * v * size)),
        "scaled_answer": root * mean(),
    }


@check("Exercise 3.1: the best denoiser")
def check_denoise(function: Callable[..., Any]) -> Report:
    """Check `denoise(x_t, data, alpha_bar_t)`, the softmax-weighted mean.

    E[x_0 | x_t] = Σ_k r_k x_k with r = softmax(−‖x_t − √ᾱ_t x_k‖² / (2 (1−ᾱ_t)))

    Args:
        function: takes x_t, (B, D) float, the data, (N, D) float, and ᾱ_t, a float in
            (0, 1); returns E[x_0 | x_t], (B, D).

    Returns:
        The report. It measures the largest difference from the exact mean, at several
        noise levels, and far from all data at hardly any noise.
    """
    worst = 0.0
    for a in (0.36, 0.05, 0.9):  # at 0.36 no two known mistakes look alike
        data, eps = torch.randn(5, 3), torch.randn(7, 3)
        x_t = a**0.5 * data[torch.arange(7) % 5] + (1 - a) ** 0.5 * eps
        inputs = {"x_t": x_t, "data": data, "alpha_bar_t": a}
        measured = call(function, (7, 3), **inputs)
        right = _right_mean(x_t, data, a)
        if (apart := z_score(measured, right, 1.0)) > 1e-3:
            mistake = name_mistake(measured, _known_means(x_t, data, a), 1e-3)
            raise Wrong(
                mistake,
                f"ᾱ_t = {a:g}: off by up to {apart:.3g}, first row {_row(measured)}",
                f"first row {_row(right)}",
                _MEAN_HINTS[mistake or ""],
            )
        worst = max(worst, apart)
    _check_far_away(function)
    return Report(
        measured=f"off by at most {worst:.1g} at three noise levels",
        expected="E[x_0 | x_t]",
        hint="No training, and no network will ever have a smaller squared error.",
    )


def _check_far_away(function: Callable[..., Any]) -> None:
    """Check points far from all data, at hardly any noise: exp() gives 0 for each."""
    data = 2 * torch.eye(4) + 0.1 * torch.randn(4, 4)
    a = 1 - 1e-4
    x_t = 4 * data
    expected = "the data point that is nearest, by far"
    try:
        measured = call(function, (4, 4), x_t=x_t, data=data, alpha_bar_t=a)
    except Wrong as wrong:
        if wrong.report.mistake != "not_finite":
            raise
        where = "far from all data at 1−ᾱ_t = 0.0001 your result is NaN or infinite"
        raise Wrong("underflow", where, expected, _MEAN_HINTS["underflow"]) from None
    if (apart := z_score(measured, data, 1.0)) > 1e-2:
        zero = z_score(measured, 0.0, 1.0) < 1e-2  # a small number saved the 0/0
        mistake = "underflow" if zero else None
        where = f"off by {apart:.3g} far from all data at 1−ᾱ_t = 0.0001"
        raise Wrong(mistake, where, expected, _MEAN_HINTS["underflow"])


def _row(x: Tensor) -> str:
    return "[" + ", ".join(f"{value:.3f}" for value in x[0].tolist()) + "]"


# --- Exercise 3.2 ---------------------------------------------------------------------

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
    "not_linear": "x_t and x0_hat enter with one factor each, and nothing is added: "
    "check the brackets.",
    "": "Solve eq. 4 for ε, one step at a time.",
}


def _known_eps(a: float) -> dict[str, list[tuple[float, float]]]:
    """Return the factors of x_t and x0_hat that known mistakes give."""
    s, n = a**0.5, (1 - a) ** 0.5
    return {
        "variance_or_std": [
            (1 / n**2, -s / n**2),
            (1 / n**2, -a / n**2),
            (1 / (1 - s), -s / (1 - s)),
            (1 / (1 - s) ** 0.5, -s / (1 - s) ** 0.5),
        ],
        "which_alpha": [(1 / n, -a / n)],
        "unscaled_data": [(1 / n, -1 / n), (1, -1)],
        "swapped": [(1 / s, -n / s), (1 / n, -n / n), (1 / s, -1)],
        "wrong_sign": [(1 / n, s / n), (-1 / n, s / n)],
        "not_divided": [(1, -s)],
        "multiplied": [(n, -s * n)],
        "no_signal": [(1 / n, 0), (1, 0)],
        "precedence": [(1, -s / n), (1 / n, -s)],
    }


@check("Exercise 3.2: the noise from the clean point")
def check_eps_from_x0(function: Callable[..., Any]) -> Report:
    """Check `eps_from_x0(x_t, x0_hat, alpha_bar_t)`, eq. 15 solved for ε.

    ε = (x_t − √ᾱ_t · x̂_0) / √(1−ᾱ_t)

    Args:
        function: takes x_t and x0_hat, (B, D) float, and ᾱ_t, a float in (0, 1);
            returns the noise, (B, D).

    Returns:
        The report. It measures the factors of x_t and x0_hat by least squares.
    """
    for a in (0.36, 0.98, 0.02):  # at 0.36 no two known mistakes look alike
        x_t, x0_hat = torch.randn(2, 256, 2)
        eps = call(function, (256, 2), x_t=x_t, x0_hat=x0_hat, alpha_bar_t=a).flatten()
        parts = torch.stack([x_t.flatten(), x0_hat.flatten()], dim=1).double()
        factors = torch.linalg.lstsq(parts, eps).solution
        rest = float((eps - parts @ factors).abs().max())
        noise = (1 - a) ** 0.5
        right = torch.tensor([1 / noise, -(a**0.5) / noise]).double()
        expected = f"ᾱ_t = {a:g}: {_sum(right)}"
        if rest > 1e-3:
            measured = f"ᾱ_t = {a:g}: no weighted sum of x_t and x0_hat"
            raise Wrong(None, measured, expected, _EPS_HINTS["not_linear"])
        if z_score(factors, right, 1e-3) > 1:
            mistake = name_mistake(factors, _known_eps(a), tolerance=2e-3)
            measured = f"ᾱ_t = {a:g}: {_sum(factors)}"
            raise Wrong(mistake, measured, expected, _EPS_HINTS[mistake or ""])
    return Report(
        measured=f"ᾱ_t = {a:g}: {_sum(factors)}",
        expected=expected,
        hint="A guess of x_0 and a guess of ε are one and the same knowledge.",
    )


def _sum(factors: Tensor) -> str:
    return f"{factors[0]:.3f}·x_t {factors[1]:+.3f}·x0_hat"
