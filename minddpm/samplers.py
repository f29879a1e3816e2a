"""Walks from noise to data: Algorithm 2, and DDIM's walks in fewer steps.

A sampler is a generator that yields a `Step` at a time, so that a film strip, a
progress bar and the final sample are the same loop; `sample` drains one. The one source
of noise is `generator`: one `torch.randn` of x's shape a step, and none at the last.
`times` says where a walk in few steps stops on its way.

Equation numbers are those of DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239) and of
DDIM (Song, Meng & Ermon 2021, arXiv 2010.02502).
"""

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from minddpm import _validate
from minddpm._validate import Labels
from minddpm.device import Rng, at_rest, randn

Model: TypeAlias = Any  # a DDPM, which stands above this file


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


@_validate.by_name
def times(T: int, n: int | None = None, shift: float = 1.0) -> list[int]:
    """Return the times of a walk in n steps, from T down to 1 or more.

    Even times u T are shifted to T s u / (1 + (s − 1) u), rounded, as Esser et al.
    (2024, section 5.3.2) shift those of rectified flows: closer together near T.

    Args:
        T: number of steps of the schedule.
        n: how many to take, in 1…T; None is all.
        shift: s, at least 1; 1 leaves the times even. More than T/n is taken for T/n:
            then no time comes twice.

    Returns:
        n ints that fall from T.

    Raises:
        TypeError: if T or n is no int, or shift no number.
        ValueError: if one is out of range.

    >>> times(1000, 5)
    [1000, 800, 600, 400, 200]
    >>> times(1000, 5, shift=5.0)
    [1000, 952, 882, 769, 556]
    """
    n = T if n is None else _validate.integer("n", n, 1, T)
    s = min(shift, T / n)
    return [round(T * (s * k / (n + (s - 1) * k))) for k in range(n, 0, -1)]


@torch.no_grad()
@_validate.by_name
def p_step(
    ddpm: Model, x_t: Tensor, t: int, c: Labels = None, *, w: float = 0.0,
    variance: str = "posterior", clip_x0: float | None = None, generator: Rng = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Take one reverse step, from x_t to x_{t−1} [DDPM Algorithm 2, eq. 7 and 11].

    x_{t−1} = μ̃(x̂_0, x_t) + σ_t z, with no noise at the last step, t = 1.

    Args:
        ddpm: the model.
        x_t: noisy samples, (B, *D) float.
        t: the time of x_t, an int in 1…T.
        c: labels, (B,) int64, or None.
        w: guidance weight; 0 is the plain conditional model [CFG eq. 6].
        variance: σ_t² is "posterior" (β̃_t) or "beta" (β_t).
        clip_x0: clamp x̂_0 (not x_t) to [−clip_x0, clip_x0]; None does not.
        generator: source of the noise z, drawn once unless t = 1.

    Returns:
        x_{t−1} and x̂_0, both (B, *D).

    Raises:
        TypeError: if a dtype is wrong or t is no int.
        ValueError: if a shape is wrong or an argument is out of range.
    """
    t = _validate.integer("t", t, 1, ddpm.n_T)
    x0_hat, _ = _guess(ddpm, x_t, t, c, w, clip_x0)
    mean, posterior = ddpm.q_posterior(x0_hat, x_t, t)
    if t == 1:
        return mean, x0_hat
    sigma_t = (posterior if variance == "posterior" else ddpm.betas[t]).sqrt()
    return mean + sigma_t * randn(x_t.shape, x_t, generator), x0_hat


@_validate.by_name
def ancestral(
    ddpm: Model, x_T: Tensor, c: Labels = None, *, w: float = 0.0,
    variance: str = "posterior", clip_x0: float | None = None, generator: Rng = None,
) -> Iterator[Step]:  # fmt: skip
    """Walk back through all T steps [DDPM Algorithm 2].

    Args:
        ddpm: the model.
        x_T: pure noise to start from, (B, *D) float.
        c: labels, (B,) int64, or None.
        w: guidance weight; 0 is the plain conditional model [CFG eq. 6].
        variance: σ_t² is "posterior" (β̃_t) or "beta" (β_t).
        clip_x0: clamp x̂_0 (not x_t) to [−clip_x0, clip_x0]; None does not.
        generator: source of the noise: one draw a step, none at the last.

    Returns:
        An iterator over T steps, from noisy to clean. It computes as you go.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range.
    """
    _check(ddpm, x_T, c, w)
    options: Any = {"variance": variance, "clip_x0": clip_x0, "generator": generator}

    def walk() -> Iterator[Step]:
        x = x_T
        for t in range(ddpm.n_T, 0, -1):
            x, x0_hat = p_step(ddpm, x, t, c, w=w, **options)
            yield Step(t, x, x0_hat)

    return walk()


@_validate.by_name
def ddim(
    ddpm: Model, x_T: Tensor, c: Labels = None, *, steps: int | Sequence[int] = 50,
    eta: float = 0.0, w: float = 0.0, clip_x0: float | None = None,
    rederive_eps: bool = True, generator: Rng = None,
) -> Iterator[Step]:  # fmt: skip
    """Walk back in few, larger steps [DDIM eq. 12 and 16].

    x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s−σ²) ε_θ + σ z
    σ = η √((1−ᾱ_s)/(1−ᾱ_t)) √(1−ᾱ_t/ᾱ_s)

    Args:
        ddpm: the model; any trained one will do, DDIM changes only the walk.
        x_T: pure noise to start from, (B, *D) float.
        c: labels, (B,) int64, or None.
        steps: how many, in 1…T, at even `times`; or the times themselves, from T down
            to 1 or more: [T, 9] walks T → 9 → 0.
        eta: η in [0, 1]; 0 is deterministic, 1 over all T steps is `ancestral`.
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
    _check(ddpm, x_T, c, w)
    if not isinstance(steps, Sequence):
        steps = times(ddpm.n_T, _validate.integer("steps", steps, 1, ddpm.n_T))
    stops = [*_validate.falling("steps", steps, ddpm.n_T), 0]

    @torch.no_grad()
    def walk() -> Iterator[Step]:
        x = x_T
        for t, s in itertools.pairwise(stops):
            x0_hat, eps_hat = _guess(ddpm, x, t, c, w, clip_x0)
            if rederive_eps and clip_x0 is not None:
                eps_hat = (x - ddpm.sqrtab[t] * x0_hat) / ddpm.sqrtmab[t]
            noise_t, noise_s = ddpm.sqrtmab[t], ddpm.sqrtmab[s]
            between = (1 - (ddpm.sqrtab[t] / ddpm.sqrtab[s]) ** 2).sqrt()
            sigma_t = eta * (noise_s / noise_t) * between
            # rounding can make this difference slightly negative
            towards_x_t = (noise_s**2 - sigma_t**2).clamp(min=0).sqrt()
            x = ddpm.sqrtab[s] * x0_hat + towards_x_t * eps_hat
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

    >>> from minddpm import DDPM, MLP
    >>> ddpm = DDPM(MLP(dim=2), n_T=10)
    >>> sample(ddim(ddpm, torch.zeros(3, 2), steps=5)).shape
    torch.Size([3, 2])
    """
    last = collections.deque(steps, maxlen=1)
    if not last:
        raise ValueError("steps must hold at least one step; was it used up before?")
    return last[0].x_s


def _guess(
    ddpm: Model, x_t: Tensor, t: int, c: Labels, w: float, clip_x0: float | None
) -> tuple[Tensor, Tensor]:
    """Return x̂_0, clamped if asked for, and ε_θ."""
    with at_rest(ddpm.nn_model):
        eps_hat = ddpm.predict_eps(x_t, t, c, w)
    x0_hat = ddpm.predict_x0(x_t, t, eps_hat)
    return x0_hat if clip_x0 is None else x0_hat.clamp(-clip_x0, clip_x0), eps_hat


def _check(ddpm: Model, x_T: Tensor, c: Labels, w: float) -> None:
    """Refuse bad arguments when the sampler is made, not at its first step."""
    n = _validate.batch("x_T", x_T, ddpm.device)
    _validate.guided(w, c)
    if c is not None:
        _validate.labels("c", c, n, ddpm.n_classes, ddpm.device)
