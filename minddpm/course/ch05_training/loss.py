"""The check of the loss in notebook 05."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm import data
from minddpm.course.ch05_training.networks import (
    LARGE,
    SCHEDULE,
    Probe,
    Rule,
    T,
    answer_large,
    answer_zero,
    cheats,
    noise_in,
    table,
)
from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)
from minddpm.oracle import GaussianMixture, LossFloor, loss_floor

_BATCH = 256
_LIMIT = 5.0  # standard errors

_HINTS = {
    "reduction": "A mean over all samples and all coordinates does not grow with "
    "their number: what does yours divide by?",
    "half": "Algorithm 1 has no factor ½ in front of the square.",
    "not_squared": "Ten times the error should cost a hundred times as much.",
    "weighted": "L_simple gives every t the weight 1.",
    "no_gradient": "Training needs the gradient of the loss: return a tensor, and keep "
    "away from .item(), .detach() and no_grad.",
    "not_divided": "The network expects the time as a share, t / T, in (0, 1].",
    "index_shift": "The network is told another time than the one that made x_t. Entry "
    "t of the table is time t, and T = len(alpha_bars) − 1.",
    "shared_draw": "Every sample of every batch needs a time of its own and, in each "
    "coordinate, a noise of its own: look at the shapes of your draws.",
    "same_draws": "Draw anew at every call; do not set a seed inside.",
    "draws_t_0": "t = 0 is data without noise: there is nothing to learn there. Which "
    "is the first number that your randint can draw, and which the last?",
    "never_t_T": "randint(low, high) never draws high itself.",
    "no_noise": "Your x_t is x0, or x0 times a number. Where does the noise come in?",
    "no_signal": "Your x_t does not depend on x0.",
    "no_weight": "Both x0 and the noise have a factor in x_t [DDPM eq. 4].",
    "variance_or_std": "ᾱ_t and 1−ᾱ_t are shares of variance. Which factors do they "
    "ask for in x_t [DDPM eq. 4]?",
    "swapped": "At small t, x_t is almost x0. Which factor is then near 1?",
    "which_alpha": "α_t belongs to one step. The jump to time t needs all t of them.",
    "wrong_sign": "In x_t, signal and noise are added; in the error, the network's "
    "answer is subtracted from ε.",
    "wrong_target": "Which of x0, x_t and eps is the network to predict?",
    "one_step_noise": "The target is ε itself, of variance 1 at every t, not the part "
    "√(1−ᾱ_t) ε that x_t has of it.",
    "redrawn_noise": "The noise in x_t and the noise to predict are one and the same: "
    "draw it once.",
    "which_noise": "The noise is standard normal. Which of torch's random functions "
    "draws that, and which draws numbers from 0 to 1?",
    "": "Go through the lines of Algorithm 1, one at a time.",
}


def _fail(
    mistake: str | None, measured: Any, expected: Any, apart: float | None = None
) -> Wrong:
    return Wrong(mistake, measured, expected, _HINTS[mistake or ""], apart)


def _ask(function: Callable[..., Any], x0: Tensor, rule: Rule) -> tuple[float, Probe]:
    """Return the student's loss for a network that answers by this rule."""
    probe = Probe(x0, rule)

    @functools.wraps(function)
    def keep(*args: Any, **kwargs: Any) -> Any:
        probe.loss = function(*args, **kwargs)
        return probe.loss

    loss = call(keep, (), net=probe, x0=x0, alpha_bars=SCHEDULE.alpha_bars)
    if (asked := sum(map(len, probe.x_t))) != len(x0):
        said = f"the network was asked about {asked} samples"
        raise _fail(None, said, f"each of the {len(x0)} samples once")
    return float(loss), probe


@functools.cache
def _ring() -> tuple[GaussianMixture, LossFloor]:
    """Return the law of the points, and the floor of its loss."""
    oracle = GaussianMixture(*data.ring_mixture(), SCHEDULE)
    draws = torch.Generator().manual_seed(0)
    return oracle, loss_floor(oracle, n=10_000, generator=draws)


@check("Exercise 5.1: the loss")
def check_loss(function: Callable[..., Any]) -> Report:
    """Check `loss(net, x0, alpha_bars)`, Algorithm 1 without the gradient step.

    mean of (ε − net(√ᾱ_t x_0 + √(1−ᾱ_t) ε, t/T))², t uniform on 1…T [DDPM eq. 14]

    Args:
        function: takes a network, called as net(x_t, None, t / T, None); x0, (B, 2)
            float; and the table alpha_bars, (T+1,) float with ᾱ_0 = 1. Returns the
            loss, a scalar that depends on the network's weights.

    Returns:
        The report. The networks it hands over cheat: one knows ε and must have the loss
        0, one answers 0 and must have 1, one is the exact denoiser and must have the
        floor.
    """
    oracle, floor = _ring()
    x0, _ = oracle.sample(_BATCH)
    of_zero, first = _ask(function, x0, answer_zero)
    _judge_size(function, x0[:64])
    if not getattr(first.loss, "requires_grad", False):
        said = "a number that does not know where it came from"
        raise _fail("no_gradient", said, "a tensor to call .backward() on")
    of_knowing, second = _ask(function, x0, noise_in)
    _judge_target(function, x0, of_knowing, of_zero, first)
    t = torch.cat(first.t + second.t)
    _judge_times(t)
    x_t = [torch.cat(probe.x_t) for probe in (first, second)]
    _judge_noise(x0, x_t, t)
    return _judge_floor(function, x0, of_zero, oracle, floor)


def _judge_size(function: Callable[..., Any], x0: Tensor) -> None:
    """Raise unless the loss is a mean of squares, by an answer that is far off."""
    ratio, numbers = _ask(function, x0, answer_large)[0] / LARGE**2, x0.numel()
    if z_score(ratio, 1.0, 0.01) <= 1:
        return
    again = [_ask(function, x0, answer_large)[0] / LARGE**2 for _ in range(3)]
    known = {
        "reduction": [2, numbers, numbers / 2, 1 / numbers, 2 / numbers],
        "half": [1 / 2],
        "not_squared": [k / LARGE for k in (1, 2**0.5, 2, numbers**0.5)],
    }
    # in logarithms, where all of them are equally far apart
    logs = {name: [math.log(k) for k in sizes] for name, sizes in known.items()}
    name = name_mistake(math.log(max(ratio, 1e-30)), logs, 0.01)
    if name is None and z_score(torch.tensor(again), ratio, 1e-4 * ratio) > 1:
        name = "weighted"
    said = f"{LARGE**2 * ratio:.4g} for a net that answers {LARGE:g} everywhere"
    raise _fail(name, said, f"close to {LARGE:g}² = {LARGE**2:.4g}")


def _judge_target(
    function: Callable[..., Any],
    x0: Tensor,
    of_knowing: float,
    of_zero: float,
    probe: Probe,
) -> None:
    """Raise unless a network that knows ε has the loss 0."""
    t, x_t = torch.cat(probe.t), torch.cat(probe.x_t)
    whole = bool(((t - t.round()).abs() < 1e-3).all())
    told = f"the network was told times from {t.min() / T:.3g} to {t.max() / T:.3g}"
    if t.max() > T * 1.001:
        raise _fail("not_divided", told, f"from 1/T = {1 / T:g} to 1")
    if not whole:
        by_more = t * (T + 1) / T  # divided by the length of the table
        shifted = bool(((by_more - by_more.round()).abs() < 1e-3).all())
        expected = f"whole multiples of 1/T = {1 / T:g}"
        raise _fail("index_shift" if shifted else None, told, expected)
    steps = t.round().long()
    if not steps.all():  # a time of 0 was told, but was it used as well?
        shift = {"index_shift": cheats(False)["index_shift"]}
        mistake = _found(function, x0, shift) or "draws_t_0"
        raise _fail(mistake, told, f"from 1/T = {1 / T:g} to 1")
    if of_knowing < 1e-4:
        return
    x0 = x0.double()
    said = f"{of_knowing:.3f} for a net that knows ε, {of_zero:.3f} for one of zeros"
    expected = "0 for a net that knows ε, 1 for one of zeros"
    if z_score(x_t, table("sqrt_alpha_bars")[steps] * x0, 1e-4) <= 1:
        raise _fail("no_noise", "x_t = √ᾱ_t·x0, exactly", "noise in x_t")
    if z_score(x_t, x0, 1e-6) <= 1:
        raise _fail("no_noise", "x_t = x0, exactly", "noise in x_t")
    first = steps == 1
    if first.any() and z_score(x_t[first], x0[first], 1e-6) <= 1:
        raise _fail("index_shift", "at t = 1, x_t = x0, exactly", "noise in x_t")
    spread = noise_in(x_t, x0, steps).square().mean()
    right_input = z_score(spread, 1.0, math.sqrt(2 / x_t.numel())) < _LIMIT
    name = _found(function, x0.float(), cheats(True)) if right_input else None
    name = name or _found(function, x0.float(), cheats(False))
    if name is None and right_input and z_score(of_knowing, 2, 0.5) < 1:
        name = "redrawn_noise"  # its variance is added to that of the noise in x_t
    raise _fail(name, said, expected)


def _found(
    function: Callable[..., Any], x0: Tensor, known: dict[str, list[Rule]]
) -> str | None:
    """Return the mistake whose network makes the loss zero, or None."""
    for name, rules in known.items():
        if any(_ask(function, x0, rule)[0] < 1e-4 for rule in rules):
            return name
    return None


def _judge_times(t: Tensor) -> None:
    """Raise unless t is uniform on 1…T, with a draw for each sample."""
    counts = t.round().long().bincount(minlength=T + 1)
    drawn = [k for k in range(T + 1) if counts[k]]
    said = f"t drawn: {', '.join(map(str, drawn))}"
    expected = f"every t in 1…{T}, equally often"
    if len(drawn) <= 2:  # one a call
        raise _fail("shared_draw", f"{said}, in two batches", expected)
    if not counts[T] and counts[1:T].all():
        raise _fail("never_t_T", said, expected)
    mean = len(t) / T
    chi2 = float(((counts[1:] - mean) ** 2 / mean).sum())
    # χ² of T−1 degrees of freedom: mean T−1, variance 2(T−1), and a long tail
    apart = (chi2 - (T - 1)) / math.sqrt(2 * (T - 1))
    if apart > 2 * _LIMIT:
        often = ", ".join(f"{k}: {int(n)}" for k, n in enumerate(counts) if k)
        raise _fail(None, f"how often each t was drawn: {often}", expected, apart)


def _judge_noise(x0: Tensor, x_t: list[Tensor], t: Tensor) -> None:
    """Raise unless ε is standard normal, with a draw for each number and each call."""
    n = len(x0)
    x0 = x0.double()
    eps = torch.stack(
        [
            noise_in(x, x0, steps.round().long())
            for x, steps in zip(x_t, (t[:n], t[n:]), strict=True)
        ]
    )
    each = "a draw for each number"
    if z_score(eps, eps[:, :1], 1e-3) <= 1:
        raise _fail("shared_draw", "all samples got the same noise", each)
    if z_score(eps, eps[..., :1], 1e-3) <= 1:
        said = "both coordinates of a sample got the same noise"
        raise _fail("shared_draw", said, each)
    if z_score(eps[0], eps[1], 1e-3) <= 1:
        raise _fail("same_draws", "two calls drew the same noise", "new noise")
    values, size = eps.flatten(), eps.numel()
    centred = values - values.mean()
    kurtosis = (centred**4).mean() / centred.square().mean() ** 2
    apart = max(
        z_score(values.mean(), 0, size**-0.5),
        z_score(values.square().mean(), 1, math.sqrt(2 / size)),
        # normal samples reach high values more easily than low ones
        z_score(kurtosis, 3, math.sqrt(24 / size)) / (1 if kurtosis < 3 else 2),
    )
    if apart > _LIMIT:
        said = f"noise of mean {values.mean():.3f}, variance {values.var():.3f}, "
        said += f"kurtosis {kurtosis:.2f}"
        raise _fail("which_noise", said, "mean 0, variance 1, kurtosis 3", apart)


def _judge_floor(
    function: Callable[..., Any],
    x0: Tensor,
    of_zero: float,
    oracle: GaussianMixture,
    floor: LossFloor,
) -> Report:
    """Compare the exact denoiser's loss with what it is on the same draws."""
    loss, probe = _ask(function, x0, lambda x_t, x0, t: oracle.eps(x_t, t))
    steps, x_t = torch.cat(probe.t).round().long(), torch.cat(probe.x_t)
    eps = noise_in(x_t, x0.double(), steps)
    own = (eps - oracle.eps(x_t, steps)).square().mean(1)
    error = math.hypot(float(own.std()) / len(own) ** 0.5, floor.mean_standard_error)
    apart = z_score(loss, floor.mean, error)
    measured = (
        f"{of_zero:.3f} for a net that answers 0; the exact denoiser {loss:.3f}, "
        f"{loss - float(own.mean()):.5f} above the floor of these draws"
    )
    expected = f"1; {floor.mean:.3f}, the floor of this schedule of T = {T}; 0"
    if z_score(loss, own.mean(), 1e-4) > 1 or apart > _LIMIT:
        raise _fail(None, measured, expected, apart)
    hint = "In the package this is DDPM.forward; labels come in notebook 06."
    return Report(
        measured=measured, expected=expected, standard_errors=apart, hint=hint
    )
