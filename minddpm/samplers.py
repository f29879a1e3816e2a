"""Samplers: generators that walk from noise to data and yield every step.

A film strip, a progress bar and the final sample are the same loop:
`for step in ancestral(ddpm, x_T, c): ...` or `x = sample(ancestral(ddpm, x_T, c))`.
"""

import collections
import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from minddpm import _validate
from minddpm.ddpm import DDPM, Labels
from minddpm.device import Rng, randn


class Step(NamedTuple):
    """One reverse step, from x_t to x_s with s < t [DDPM Algorithm 2].

    Attributes:
        t: the time it started at, an int in 1…T.
        x_s: the samples it arrived at, (B, *D).
        x0_hat: the prediction of x_0 that it was made with, (B, *D).
    """

    t: int
    x_s: Tensor
    x0_hat: Tensor


def ancestral(
    ddpm: DDPM,
    x_T: Tensor,
    c: Labels = None,
    *,
    w: float = 0.0,
    variance: str = "posterior",
    clip_x0: float | None = None,
    generator: Rng = None,
) -> Iterator[Step]:
    """Walk back through all T steps [DDPM Algorithm 2].

    Args:
        ddpm: the model.
        x_T: pure noise to start from, (B, *D) float.
        c: labels, (B,) int64, or None.
        w: guidance weight; 0 is the plain conditional model [CFG eq. 6].
        variance: σ_t² is "posterior" (β̃_t) or "beta" (β_t).
        clip_x0: clamp x̂_0 (not x_t) to [−clip_x0, clip_x0]; None does not.
        generator: source of noise: one draw a step, none at t = 1.

    Returns:
        An iterator over T steps, from noisy to clean. It computes as you go.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range.
    """
    _check(ddpm, x_T, c, w, clip_x0)
    _validate.choice("variance", variance, ("posterior", "beta"))

    step = functools.partial(
        ddpm.p_step, c=c, w=w, variance=variance, clip_x0=clip_x0, generator=generator
    )

    def walk() -> Iterator[Step]:
        x = x_T
        for t in range(ddpm.n_T, 0, -1):
            x, x0_hat = step(x, t)
            yield Step(t, x, x0_hat)

    return walk()


def ddim(
    ddpm: DDPM,
    x_T: Tensor,
    c: Labels = None,
    *,
    steps: int | Sequence[int] = 50,
    eta: float = 0.0,
    w: float = 0.0,
    clip_x0: float | None = None,
    rederive_eps: bool = False,
    generator: Rng = None,
) -> Iterator[Step]:
    """Walk back in few, larger steps [DDIM eq. 12 and 16].

    x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s−σ²) ε_θ + σ z
    σ = η √((1−ᾱ_s)/(1−ᾱ_t)) √(1−ᾱ_t/ᾱ_s)

    Args:
        ddpm: the model; any trained one will do, DDIM changes only the walk.
        x_T: pure noise to start from, (B, *D) float.
        c: labels, (B,) int64, or None.
        steps: how many, in 1…T, with times spaced evenly from T down; or the times
            themselves, from T down to 1 or more: [T, 9] walks T → 9 → 0.
        eta: η in [0, 1]; 0 is deterministic, 1 over all T steps is `ancestral` (with
            clip_x0 too, if rederive_eps).
        w: guidance weight; 0 is the plain conditional model [CFG eq. 6].
        clip_x0: clamp x̂_0 (not x_t) to [−clip_x0, clip_x0]; None does not.
        rederive_eps: after the clamp, use the ε that leads from x̂_0 to x_t in place of
            ε_θ. Without it, what the clamp takes from x̂_0 stays in ε_θ, with the other
            sign, and guided samples leave their class. Libraries differ: it is what
            OpenAI's code does, and `use_clipped_model_output` in diffusers.
        generator: source of noise: one draw a step while σ > 0.

    Returns:
        An iterator over the steps, from noisy to clean. It computes as you go.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range.
    """
    _check(ddpm, x_T, c, w, clip_x0)
    if not isinstance(steps, Sequence):
        n = _validate.integer("steps", steps, 1, ddpm.n_T)
        steps = [round(ddpm.n_T * k / n) for k in range(n, 0, -1)]
    times = _validate.falling("steps", steps, ddpm.n_T)
    eta = _validate.real("eta", eta, 0.0, 1.0)

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        x = x_T
        for t, s in zip(times, [*times[1:], 0], strict=True):
            eps_hat = ddpm.predict_eps(x, t, c, w)
            x0_hat = ddpm.predict_x0(x, t, eps_hat)
            if clip_x0 is not None:
                x0_hat = x0_hat.clamp(-clip_x0, clip_x0)
            signal_t, signal_s = ddpm.sqrtab[t], ddpm.sqrtab[s]
            noise_t, noise_s = ddpm.sqrtmab[t], ddpm.sqrtmab[s]
            if rederive_eps:
                eps_hat = (x - signal_t * x0_hat) / noise_t
            between = (1 - (signal_t / signal_s) ** 2).sqrt()  # noise from s to t
            sigma_t = eta * (noise_s / noise_t) * between
            # rounding can make this difference slightly negative
            towards_x_t = (noise_s**2 - sigma_t**2).clamp(min=0).sqrt()
            x = signal_s * x0_hat + towards_x_t * eps_hat
            if s > 0 and eta > 0:
                x = x + sigma_t * randn(x.shape, x, generator)
            yield Step(t, x, x0_hat)

    return walk()


def sample(steps: Iterable[Step]) -> Tensor:
    """Run a sampler to its end and return the samples it arrives at.

    Args:
        steps: what `ancestral` or `ddim` returned (or such an iterator in a progress
            bar).

    Returns:
        The last step's x_s, (B, *D).

    Raises:
        ValueError: if there is no step left in it.

    >>> from minddpm import MLP
    >>> ddpm = DDPM(MLP(dim=2), n_T=10)
    >>> sample(ddim(ddpm, torch.zeros(3, 2), steps=5)).shape
    torch.Size([3, 2])
    """
    last = collections.deque(steps, maxlen=1)
    if not last:
        raise ValueError("steps must hold at least one step; was it used up before?")
    return last[0].x_s


def _check(ddpm: DDPM, x_T: Tensor, c: Labels, w: float, clip_x0: float | None) -> None:
    """Refuse bad arguments when the sampler is made, not at its first step."""
    _validate.instance("ddpm", ddpm, DDPM)
    n = len(_validate.floats("x_T", x_T))
    _validate.real("w", w, -math.inf, math.inf)
    if c is not None:
        _validate.labels("c", c, n, ddpm.n_classes)
    elif w:
        raise ValueError(f"w must be 0 without labels, got {w}; pass the labels c")
    if clip_x0 is not None:
        _validate.real("clip_x0", clip_x0, 0.0, math.inf)
