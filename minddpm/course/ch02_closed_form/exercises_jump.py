"""Exercise 2.3: a jump for each sample."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Exercise, mistakes
from minddpm.course.kit.report import regress, z_score
from minddpm.schedule import Schedule

_LINEAR = Schedule.linear(1000)


def q_sample(x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, with a t for each sample [DDPM eq. 4].

    Args:
        x0: clean samples, (B, *D) float.
        t: times in 1…1000 of the linear schedule, (B,) int64.
        eps: the noise, of x0's shape.

    Returns:
        x_t, (B, *D).
    """
    return _mix(x0, eps, *_factors(t))


def _factors(t: Tensor) -> tuple[Tensor, Tensor]:
    tables = _LINEAR.sqrt_alpha_bars, _LINEAR.sqrt_one_minus_alpha_bars
    return tables[0][t].double(), tables[1][t].double()


def _mix(x0: Tensor, eps: Tensor, signal: Any, noise: Any, axis: int = 0) -> Tensor:
    """Give each sample its factors; those of a mistake lie along another axis."""
    shape = [1] * x0.ndim
    shape[axis] = -1
    a, b = (torch.as_tensor(f).double().reshape(shape) for f in (signal, noise))
    return a * x0 + b * eps


def _wrong_jumps(x0: Tensor, t: Tensor, eps: Tensor) -> dict[str, list[Tensor]]:
    """Return what known mistakes make of a batch."""
    (s, n), a, b = _factors(t), _LINEAR.alphas[t], _LINEAR.betas[t]
    one, zero = torch.ones_like(s), torch.zeros_like(s)
    shared = (t[0], t[-1], t.max(), t.min(), t.double().mean().long())

    def at(*times: Tensor) -> list[Any]:
        others = [_factors(k.clamp(0, 1000).expand(len(t))) for k in times]
        return [pair for o in others for pair in (o, (o[0], n), (s, o[1]))]

    # Σ √(β_s/ᾱ_s): a walk that takes every step with the same eps
    sums = (_LINEAR.betas.double() / _LINEAR.alpha_bars.double()).sqrt().cumsum(0)
    pairs = {
        "variance_or_std": [
            *((s**2, n**2), (s, n**2), (s**2, n)),
            *((s, 1 - s), (1 - n, n)),
        ],
        "swapped": [(n, s), (n**2, s**2)],
        "no_noise": [(s, zero), (s**2, zero), (one, zero)],
        "no_signal": [(zero, n), (zero, n**2), (zero, one)],
        "no_weight": [(one, one), (s, one), (one, n)],
        "same_factor": [(s, s), (n, n)],
        "one_noise_for_all": [(s, s * sums[t])],
        "wrong_sign": [(s, -n), (-s, n)],
        "which_alpha": [(a**0.5, b**0.5), (a**0.5, n), (s, b**0.5), (a, b)],
        "index_shift": at(t - 1, t + 1),
        "product_to_T": at(0 * t + 1000),
        "shared_t": at(*shared),
    }
    wrong = {k: [_mix(x0, eps, *pair) for pair in v] for k, v in pairs.items()}
    # along another axis that is as long as the batch; else there is no mistake
    axes = [k if k < x0.ndim and x0.shape[k] == len(t) else 0 for k in (2, 3)]
    axes.append(x0.ndim - 1 if x0.shape[-1] == len(t) else 0)
    wrong["wrong_axis"] = [_mix(x0, eps, s, n, axis) for axis in axes]
    others = torch.randn_like(eps), eps.flatten()[0].expand_as(eps)
    return wrong | {"which_noise": [q_sample(x0, t, other) for other in others]}


def _own_noise(got: Tensor, right: Tensor, x0: Tensor, t: Tensor, eps: Tensor) -> bool:
    """Tell whether x_t has its signal, and noise that has nothing to do with eps."""
    if got.shape != right.shape:
        return False
    (s, n), zero = _factors(t), torch.zeros(len(t))
    terms = _mix(x0, eps, s, zero), _mix(x0, eps, zero, n), _mix(x0**0, eps, n, zero)
    weights, errors, _ = regress(got, *terms)
    return z_score(weights[:2], torch.tensor([1.0, 0.0]), errors[:2]) < 5


def _jumps() -> Iterator[dict[str, Tensor]]:
    spread = torch.tensor([300, 2, 640, 90, 999, 470, 210, 800])
    ends = torch.tensor([1000, 1, 500, 1, 1000, 20])
    # as many samples as columns: a factor on the wrong axis raises no error here
    for shape, t in (((8, 1, 8, 8), spread), ((6, 2), ends), ((1, 3, 4, 5), ends[:1])):
        x0, eps = torch.randn(2, *shape)
        yield {"x0": 0.7 * x0 + 0.4, "t": t, "eps": eps}


def _show_jump(x_t: Tensor, x0: Tensor, t: Tensor, eps: Tensor) -> str:
    """Write the first x_t as a weighted sum of x0 and eps, if it is one."""
    weights, _, rest = regress(x_t[0], x0[0], eps[0])
    if float(rest.abs().max()) > 1e-3:
        return f"t = {t[0]}: no weighted sum of x0 and eps"
    return f"t = {t[0]}: {weights[0]:.3f}·x0 {weights[1]:+.3f}·eps"


_HINTS = {
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
    "wrong_axis": "Factors of shape (B,) line up with the last axis, not the first. "
    "Give them the shape (B, 1, …), with as many axes as x0.",
    "which_noise": "Use the noise that you are given, eps, and draw none of your own.",
}

Q_SAMPLE = Exercise(
    "Exercise 2.3: a jump for each sample",
    q_sample,
    _jumps,
    mistakes(_HINTS, _wrong_jumps, which_noise=_own_noise),
    show=_show_jump,
    hint="Print both factors for one t, and compare with the schedule's tables.",
    praise="The package's is ddpm.q_sample.",
)
