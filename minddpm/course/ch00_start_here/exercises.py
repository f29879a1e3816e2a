"""The exercise of notebook 00: a mixture of signal and noise."""

from collections.abc import Iterator

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Exercise, Inputs, Mistake, mistakes
from minddpm.course.kit.report import regress, z_score


def signal_and_noise(x0: Tensor, eps: Tensor, a: float) -> Tensor:
    """√a · x0 + √(1−a) · eps: a mixture that keeps the share a of x0's variance.

    Args:
        x0: the signal, (B, D) float, variance 1.
        eps: the noise, (B, D) float, variance 1.
        a: share of the variance that comes from x0, a float in [0, 1].

    Returns:
        The mixture, (B, D), variance 1.
    """
    return a**0.5 * x0.double() + (1 - a) ** 0.5 * eps.double()


_HINTS = {
    "variance_or_std": "A factor f multiplies the variance by f². Which f leaves a?",
    "swapped": "The larger a, the more of x0: which factor belongs to it?",
    "no_noise": "Only x0 is left in your result. Where does eps come in?",
    "no_signal": "Only eps is left in your result. Where does x0 come in?",
    "no_weight": "Both x0 and eps need a factor, or the variance grows.",
    "wrong_sign": "The two parts are added.",
}


def _wrong(x0: Tensor, eps: Tensor, a: float) -> dict[str, list[Tensor]]:
    """Return mixtures with other factors, by the name of the mistake."""
    s, n, b = a**0.5, (1 - a) ** 0.5, 1 - a
    roots = [(a, b), (s, b), (a, n), (s, 1 - s), (a, (1 - a**2) ** 0.5), (a**2, b**2)]
    factors = {
        "variance_or_std": roots,
        "swapped": [(n, s), (b, a)],
        "no_noise": [(s, 0), (a, 0), (1, 0)],
        "no_signal": [(0, n), (0, b), (0, 1)],
        "no_weight": [(1, 1), (s, 1), (1, n), (a, 1), (1, b)],
        "wrong_sign": [(s, -n), (-s, n)],
    }
    return {k: [p * x0 + q * eps for p, q in v] for k, v in factors.items()}


def _own_noise(got: Tensor, right: Tensor, x0: Tensor, eps: Tensor, a: float) -> bool:
    """Tell whether x0 has its factor, and the noise has nothing to do with eps."""
    if got.shape != right.shape or a == 1:  # without noise, nothing can be said of it
        return False
    weights, errors, _ = regress(got, x0, eps, x0**0)
    return z_score(weights[:2], torch.tensor([a**0.5, 0.0]), errors[:2]) < 5


def _cases() -> Iterator[Inputs]:
    for a in (0.36, 0.0, 1.0, 0.64, 0.07):  # at 0.36 no two mistakes look alike
        x0, eps = torch.randn(2, 300, 3) * torch.tensor([0.6, 1.0, 1.4])
        yield {"x0": x0 + 0.5, "eps": eps - 0.2, "a": a}


def _show(mixture: Tensor, x0: Tensor, eps: Tensor, a: float) -> str:
    (p, q), _, rest = regress(mixture, x0, eps)
    if float(rest.abs().max()) > 1e-3:
        return f"a = {a:g}: no weighted sum of x0 and eps"
    return f"a = {a:g}: {p:.3f}·x0 {q:+.3f}·eps, variance {p**2 + q**2:.3f}"


SIGNAL_AND_NOISE = Exercise(
    "Exercise 0.1: mix signal and noise",
    signal_and_noise,
    _cases,
    [
        *mistakes(_HINTS, _wrong),
        Mistake("which_noise", "Use eps; draw no noise of your own.", sign=_own_noise),
    ],
    show=_show,
    hint="Write down which factor x0 has, which eps has, and square them.",
    praise="This is the whole forward process; there, one step has a = 1−β_t.",
)

EXERCISES = [SIGNAL_AND_NOISE]
