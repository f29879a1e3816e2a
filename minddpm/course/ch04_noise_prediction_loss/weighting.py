"""What stands before ‖ε − ε_θ‖² in the losses of notebook 04, and what comes of it."""

import math

import torch
from torch import Tensor

from minddpm.schedule import Schedule

WEIGHTS = (
    "bound, σ² = β",
    "bound, σ² = β̃",
    "L_simple",
    "error of x̂_0",
    "Min-SNR",
)
"""What stands before ‖ε − ε_θ‖²; see `loss_weights`."""


def loss_weights(name: str, schedule: Schedule, gamma: float = 5.0) -> Tensor:
    """Return the factor w_t before ‖ε − ε_θ‖² at each t.

    - bound: β_t² / (2 σ_t² α_t (1−ᾱ_t)), with σ_t² = β_t or β̃_t [DDPM eq. 12];
    - L_simple: 1 [DDPM eq. 14];
    - error of x̂_0: (1−ᾱ_t) / ᾱ_t, as ‖x_0 − x̂_0‖² is that times ‖ε − ε_θ‖²;
    - Min-SNR: min(SNR_t, γ) / SNR_t [Min-SNR].

    Args:
        name: one of `WEIGHTS`.
        schedule: the noise schedule.
        gamma: γ of Min-SNR, positive.

    Returns:
        (T+1,) float64. Entry 0 is NaN, and so is entry 1 for σ² = β̃: β̃_1 = 0 would
        give it all of the weight.

    Raises:
        ValueError: if there is no such name.
    """
    beta, alpha_bar = schedule.betas.double(), schedule.alpha_bars.double()
    noise = schedule.sqrt_one_minus_alpha_bars.double().square()
    bound = beta / (2 * (1 - beta) * noise)  # with σ² = β
    snr = alpha_bar / noise
    if name == "bound, σ² = β":
        w = bound
    elif name == "bound, σ² = β̃":
        w = bound * noise / noise.roll(1)  # β/β̃ = (1−ᾱ_t) / (1−ᾱ_{t−1})
        w[1] = math.nan
    elif name == "L_simple":
        w = torch.ones_like(beta)
    elif name == "error of x̂_0":
        w = 1 / snr
    elif name == "Min-SNR":
        w = snr.clamp(max=gamma) / snr
    else:
        raise ValueError(f"name must be one of {', '.join(WEIGHTS)}; got {name!r}")
    w[0] = math.nan
    return w


def tenths(terms: Tensor) -> Tensor:
    """Return the share that each tenth of the time axis has in a sum over t = 1…T.

    Args:
        terms: (T+1,) float, at least 0, T ≥ 1; entry 0, and others that are not
            finite, do not count.

    Returns:
        (10,) float64, of sum 1. Step t belongs to the tenth of (t−1)/T.
    """
    T = len(terms) - 1
    values = torch.where(terms.isfinite(), terms, 0)[1:].double()
    tenth = torch.arange(T) * 10 // T
    sums = torch.zeros(10, dtype=torch.float64).index_add(0, tenth, values)
    return sums / sums.sum()


def best_error(schedule: Schedule, std: float) -> Tensor:
    """Return E(ε − ε*)² = ᾱ_t s² / (ᾱ_t s² + 1 − ᾱ_t): no network has less.

    Args:
        schedule: the noise schedule.
        std: s, of the data, which are Gaussian and one-dimensional.

    Returns:
        (T+1,) float64.
    """
    signal = schedule.alpha_bars.double() * std**2
    return signal / (signal + schedule.sqrt_one_minus_alpha_bars.double().square())
