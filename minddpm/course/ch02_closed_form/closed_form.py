"""Checks of the exercises in notebook 02: the jump."""

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
from minddpm.schedule import Schedule

Pair = tuple[Tensor, Tensor]  # factors of x_0 and of ε, (B,) each

_JUMP_HINTS = {
    "variance_or_std": "ᾱ_t and 1−ᾱ_t are variances. Which power of a factor is one?",
    "swapped": "Near t = 0 almost all is picture: which factor is near 1 there?",
    "no_noise": "Only x0 is left in your result. Where does eps come in?",
    "no_signal": "Only eps is left in your result. Where does x0 come in?",
    "no_weight": "x0 and eps need a factor each, or the variance grows.",
    "same_factor": "x0 and eps have different factors; their squares add up to 1.",
    "one_noise_for_all": "Steps with fresh noise add their variances, with the same "
    "eps they add up in full. A jump needs no loop over the steps.",
    "wrong_sign": "The two parts are added.",
    "which_alpha": "α_t and β_t belong to step t alone. The jump needs all steps to t.",
    "index_shift": "The table has an entry 0, so entry t is the one for time t.",
    "product_to_T": "Every sample got the noise of t = T. Look the table up at t.",
    "shared_t": "Every sample has a t of its own, and a factor of its own.",
    "wrong_axis": "Factors of shape (B,) line up with the last axis, not with the "
    "first. Give them the shape (B, 1, …), with as many axes as x0.",
    "which_noise": "Use the noise that you are given, eps, and draw none of your own.",
    "": "Print both factors for one t, and compare with the schedule's tables.",
}


@check("Exercise 2.3: a jump for each sample")
def check_q_sample(function: Callable[..., Any]) -> Report:
    """Check `q_sample(x0, t, eps)` with the linear schedule of 1000 steps.

    x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, with a t for each sample [DDPM eq. 4]

    Args:
        function: takes x0, (B, *D) float, t, (B,) int64 in 1…1000, and eps, of x0's
            shape; returns x_t, (B, *D).

    Returns:
        The report. It compares every number, for pictures and for points.
    """
    schedule = Schedule.linear(1000)
    spread = torch.tensor([300, 2, 640, 90, 999, 470, 210, 800])
    ends = torch.tensor([1000, 1, 500, 1, 1000, 20])
    # as many samples as columns: a factor on the wrong axis raises no error here
    for shape, t in (((8, 1, 8, 8), spread), ((6, 2), ends), ((1, 3, 4, 5), ends[:1])):
        x0, eps = torch.randn(2, *shape)
        x_t = call(function, shape, x0=x0, t=t, eps=eps)
        x0, eps = x0.double(), eps.double()
        right = _mix(x0, eps, _factors(schedule, t))
        if z_score(x_t, right, 1e-4) <= 1:
            continue
        mistake = name_mistake(x_t, _known_jumps(schedule, x0, t, eps), 1e-3)
        if mistake is None and _own_noise(x_t, x0, eps, _factors(schedule, t)):
            mistake = "which_noise"
        raise Wrong(
            mistake,
            f"t = {t[0]}: {_fit(x_t[0], x0[0], eps[0])}",
            f"t = {t[0]}: {_fit(right[0], x0[0], eps[0])}",
            _JUMP_HINTS[mistake or ""],
        )
    return Report(
        measured="x_t is right for pictures and points, at t = 1 and at t = 1000 too",
        expected="√ᾱ_t·x0 + √(1−ᾱ_t)·eps, each sample with its own t",
        hint="The package's is ddpm.q_sample.",
    )


def _factors(schedule: Schedule, t: Tensor) -> Pair:
    tables = schedule.sqrt_alpha_bars, schedule.sqrt_one_minus_alpha_bars
    return tables[0][t].double(), tables[1][t].double()


def _mix(x0: Tensor, eps: Tensor, factors: Pair, axis: int = 0) -> Tensor:
    """Give each sample its factors; those of a mistake lie along another axis."""
    shape = [1] * x0.ndim
    shape[axis] = -1
    return factors[0].reshape(shape) * x0 + factors[1].reshape(shape) * eps


def _known_jumps(
    schedule: Schedule, x0: Tensor, t: Tensor, eps: Tensor
) -> dict[str, list[Tensor]]:
    """Return what known mistakes make of a batch."""
    s, n = _factors(schedule, t)
    earlier, later = (_factors(schedule, (t + k).clamp(max=1000)) for k in (-1, 1))
    a, b = schedule.alphas[t].double(), schedule.betas[t].double()
    one, zero = torch.ones_like(s), torch.zeros_like(s)
    # Σ √(β_s/ᾱ_s): a walk that takes every step with the same eps
    looped = (schedule.betas.double() / schedule.alpha_bars.double()).sqrt().cumsum(0)
    shared = [t[0], t[-1], t.max(), t.min(), t.double().mean().long()]
    pairs: dict[str, list[Pair]] = {
        "variance_or_std": [
            *((s**2, n**2), (s, n**2), (s**2, n)),
            *((s, 1 - s), (1 - n, n)),
        ],
        "swapped": [(n, s), (n**2, s**2)],
        "no_noise": [(s, zero), (s**2, zero), (one, zero)],
        "no_signal": [(zero, n), (zero, n**2), (zero, one)],
        "no_weight": [(one, one), (s, one), (one, n)],
        "same_factor": [(s, s), (n, n)],
        "one_noise_for_all": [(s, s * looped[t])],
        "wrong_sign": [(s, -n), (-s, n)],
        "which_alpha": [(a**0.5, b**0.5), (a**0.5, n), (s, b**0.5), (a, b)],
        "index_shift": [earlier, later, (earlier[0], n), (s, earlier[1])],
        "product_to_T": [_factors(schedule, torch.full_like(t, 1000))],
        "shared_t": [_factors(schedule, k.expand(len(t))) for k in shared],
    }
    axes = [k for k in range(1, x0.ndim) if x0.shape[k] == len(t)]
    known = {k: [_mix(x0, eps, pair) for pair in v] for k, v in pairs.items()}
    return known | {"wrong_axis": [_mix(x0, eps, (s, n), axis) for axis in axes]}


def _own_noise(x_t: Tensor, x0: Tensor, eps: Tensor, factors: Pair) -> bool:
    """Tell whether x_t has its signal, and noise that has nothing to do with eps."""
    zero = torch.zeros_like(factors[0])
    signal = _mix(x0, eps, (factors[0], zero)).flatten()
    noise = _mix(x0, eps, (zero, factors[1])).flatten()
    rest, error = x_t.flatten() - signal, noise.numel() ** -0.5
    of_noise = float(rest @ noise / noise.square().sum())
    of_signal = float(rest @ signal / signal.square().sum())
    spread = float(rest.std() / signal.std())
    return abs(of_noise) < 5 * error and abs(of_signal) < 5 * error * (1 + spread)


def _fit(x_t: Tensor, x0: Tensor, eps: Tensor) -> str:
    """Write x_t as a weighted sum of x0 and eps, if it is one."""
    parts = torch.stack([x0.flatten(), eps.flatten()], dim=1)
    factors = torch.linalg.lstsq(parts, x_t.flatten()).solution
    if float((parts @ factors - x_t.flatten()).abs().max()) > 1e-3:
        return "no weighted sum of x0 and eps"
    return f"{factors[0]:.3f}·x0 {factors[1]:+.3f}·eps"
