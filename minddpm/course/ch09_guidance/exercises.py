"""The exercises of notebook 09: guidance, its conventions, and what it aims at."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch09_guidance.exercises_batched import BATCHED_GUIDANCE
from minddpm.course.ch09_guidance.exercises_guide import GUIDE
from minddpm.course.kit.exercise import Exercise, mistakes

# --- 9.2 ------------------------------------------------------------------------------


def convert_scale(library: Callable[..., Any], w: float) -> float:
    """Find the scale with which a library guides by w.

    It is w where the library computes (1 + w) ε(c) − w ε(∅) [CFG eq. 6], and s = 1 + w
    where it computes ε(∅) + s (ε(c) − ε(∅)).

    Args:
        library: a function (eps_c, eps_u, scale) of one of the two conventions, for
            floats or tensors.
        w: the weight that is wanted, a float.

    Returns:
        The scale, a float.
    """
    return w if library(1.0, 0.0, 0.0) > 0.5 else 1 + w


_IN_S: list[Callable[..., Any]] = [
    lambda eps_c, eps_u, scale: eps_u + scale * (eps_c - eps_u),
    lambda eps_c, eps_u, scale: scale * eps_c + (1 - scale) * eps_u,
]
_IN_W: list[Callable[..., Any]] = [
    lambda eps_c, eps_u, scale: eps_c + scale * (eps_c - eps_u),
    lambda eps_c, eps_u, scale: (1 + scale) * eps_c - scale * eps_u,
]


def _libraries() -> Iterator[dict[str, Any]]:
    for k, w in enumerate((2.6, 4.3, -0.45, 0.0, -1.0, 1.0, 7.5, -2.3)):
        # neither convention always comes first
        for kind in (_IN_W, _IN_S) if k % 3 else (_IN_S, _IN_W):
            yield {"library": kind[k % 2], "w": w}


def _wrong_scales(library: Callable[..., Any], w: float) -> dict[str, list[float]]:
    """Return wrong numbers for this library, where it matters by its convention."""
    k = 0 if library(1.0, 0.0, 0.0) > 0.5 else 1
    signs = (w, w - 1), (w - 1, w), (w - 1, w - 1), (w - 1, w + 1), (w, 1 - w)
    return {
        "no_conversion": [w],
        "always_converts": [1 + w],
        "swapped": [(1 + w, w)[k]],
        "wrong_sign": [pair[k] for pair in signs],
    }


def _show_scale(scale: Tensor, library: Callable[..., Any], w: float) -> str:
    guided = library(1.0, 0.0, float(scale)) - 1
    return f"w = {w:g}: with a scale of {float(scale):g} it guides with w = {guided:g}"


_SCALE_HINTS = {
    "no_conversion": "You return w whatever the library is. Do both guide with w then?",
    "always_converts": "You return 1 + w whatever the library is. Do both take that?",
    "swapped": "Each is right for the other library. What do they do at scale 0?",
    "wrong_sign": "Compare the factors of ε(c): w is the smaller of the two numbers.",
}

CONVERT_SCALE = Exercise(
    "Exercise 9.2: which convention is it?",
    convert_scale,
    _libraries,
    mistakes(_SCALE_HINTS, _wrong_scales),
    show=_show_scale,
    expects="a scale with which this library guides with the w that was asked for",
    hint="With eps_c = 1, eps_u = 0 and your scale, the library should return 1 + w.",
    praise="A scale of 7.5 in s, for example, is w = 6.5.",
)

# --- 9.3 ------------------------------------------------------------------------------

Moments = tuple[Tensor, Tensor]


def guided_gaussian(
    mean_c: Tensor, var_c: Tensor, mean: Tensor, var: Tensor, w: float
) -> Moments:
    """Mean m' and variance v' of p(x|c)^(1+w) p(x)^(−w), normalised.

    1/v' = (1 + w)/v_c − w/v and m'/v' = (1 + w) m_c/v_c − w m/v

    Args:
        mean_c: mean of the class p(x|c), (K,) float.
        var_c: its variance, (K,).
        mean: mean of the population p(x), (K,).
        var: its variance, (K,).
        w: guidance weight, a float.

    Returns:
        The mean and the variance of the product, (K,) each.
    """
    return _product((1 + w) / var_c.double(), -w / var.double(), mean_c, mean)


def _product(p_c: Tensor, p: Tensor, mean_c: Tensor, mean: Tensor) -> Moments:
    """Return mean and variance for these shares of the precision."""
    return (p_c * mean_c + p * mean) / (p_c + p), 1 / (p_c + p)


def _gaussians() -> Iterator[dict[str, Any]]:
    # a density comes out where var_c/var < (1 + w)/w, or > for w < −1
    for w in (2.4, 0.7, 6.3, 0.0, -1.0, -0.4, -2.3):
        low = max(0.1, 1.2 * (1 + w) / w) if w < 0 else 0.1
        high = min(2.0, 0.8 * (1 + w) / w) if w > 0 else 2.0
        means, var = 1.5 * torch.randn(2, 5), 0.4 + 1.6 * torch.rand(5)
        var_c = var * (low + (high - low) * torch.rand(5))
        given = {"mean_c": means[0] - 0.6, "var_c": var_c, "mean": means[1] + 0.3}
        yield given | {"var": var, "w": w}


def _wrong_moments(
    mean_c: Tensor, var_c: Tensor, mean: Tensor, var: Tensor, w: float
) -> dict[str, list[Moments]]:
    """Return mean and variance as known mistakes give them."""
    mean_c, var_c, mean, var = (x.double() for x in (mean_c, var_c, mean, var))
    m, v = guided_gaussian(mean_c, var_c, mean, var, w)
    s_c, s, p = var_c.sqrt(), var.sqrt(), w / var
    between, apart = (1 + w) * mean_c - w * mean, (1 + w) * var_c - w * var
    spread = (1 + w) ** 2 * var_c + w**2 * var, ((1 + w) * s_c - w * s) ** 2
    power = 1 + w if w > -1 else 1  # of the class alone; there is none below

    def shares(p_c: Any, p: Any) -> Moments:
        return _product(p_c, p, mean_c, mean)

    plus, plus_v = shares((1 + w) / var_c, p)
    over_std = shares((1 + w) / s_c, -w / s)
    return {
        "variance_or_std": [
            *((m, v.sqrt()), (m, v**2), over_std, (over_std[0], v)),
            shares((1 + w) / var_c**2, -w / var**2),
        ],
        "wrong_sign": [
            *((plus, plus_v), (m, plus_v), (plus, v), (plus / plus_v * v, v)),
            *((m / v * plus_v, plus_v), (-m, v), shares((1 - w) / var_c, p)),
        ],
        "not_weighted": [
            (m, apart),
            *((between, x) for x in (apart, *spread, v, var_c)),
        ],
        "no_population": [(mean_c, var_c / power), (mean_c, v), (m, var_c / power)],
        "no_w": [(mean_c, var_c), (m, var_c), shares(1 / var_c, -1 / var)],
        "upside_down": [
            *((m, 1 / v), (m / v, 1 / v), (m / v**2, v), (m / v**2, 1 / v)),
            shares((1 + w) * var_c, -w * var),
        ],
        "scale_convention": [shares(w / var_c, (1 - w) / var)],
        "swapped": [
            shares(-w / var_c, (1 + w) / var),
            shares((1 + w) / var, -w / var_c),
        ],
        "not_normalised": [(m / v, v), (m / power, v)],
        "wrong_order": [(v, m)],
    }


def _show_moments(moments: Moments, **given: Any) -> str:
    first, second, *values = (
        float(torch.as_tensor(x).flatten()[0]) for x in (*moments, *given.values())
    )
    facts = ", ".join(f"{k} {x:.4g}" for k, x in zip(given, values, strict=True))
    return f"{facts}: mean {first:.4f}, variance {second:.4f}"


_PRODUCT_HINTS = {
    "variance_or_std": "A Gaussian has its variance under the square. Check each root.",
    "wrong_sign": "The population's power is −w. What sign have its x² and x then?",
    "not_weighted": "Logarithms are added, not moments. Narrow Gaussians pull harder.",
    "no_population": "Your answer does not depend on the population.",
    "no_w": "Your answer does not depend on w as it should.",
    "upside_down": "The factor of −x²/2 is one over the variance.",
    "scale_convention": "The powers are 1 + w and −w.",
    "swapped": "The class has the power 1 + w, the population −w.",
    "not_normalised": "The factor of x is the mean divided by the variance.",
    "wrong_order": "First the mean, then the variance.",
}

GUIDED_GAUSSIAN = Exercise(
    "Exercise 9.3: the product of two Gaussians",
    guided_gaussian,
    _gaussians,
    mistakes(_PRODUCT_HINTS, _wrong_moments),
    show=_show_moments,
    hint="Collect x² and x: in a Gaussian they have the factors −1/(2v) and m/v.",
    praise="w = 0 gives the class, w = −1 the population.",
)

EXERCISES = [GUIDE, CONVERT_SCALE, GUIDED_GAUSSIAN, BATCHED_GUIDANCE]
