"""The checks of exercises 7.3 and 7.4: a mean with a clamp, and a DDIM step."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch04_noise_prediction_loss.posterior import (
    TIMES,
    T,
    factors_of,
    posterior_mistakes,
    tables,
)
from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_SHAPE = (400, 3)
_LIMITS = (0.8, 1.0, 1.3, 0.5, 2.0)
_JUMPS = ((14, 5), (8, 7), (T, 2), (12, 0), (6, 3), (1, 0))

_CLAMP_HINTS = {
    "no_clamp": "Some x̂_0 lie beyond the limit, and your mean used them as they are.",
    "clamps_x_t": "x_t is data plus noise, and may lie beyond the limit. Which of your "
    "numbers is a guess of the data?",
    "clamps_the_mean": "The mean of x_{t−1} is still partly noise. Clamp the guess of "
    "the data, before it enters the mean.",
    "clamps_the_noise": "ε̂ is noise: nothing keeps it in the range of the data.",
    "ignores_limit": "The limit is an argument: the data need not lie in [−1, 1].",
    "one_end_only": "The data have a range with two ends.",
    "wrong_target": "That is x̂_0, or its clamped version. Asked for is the mean of "
    "x_{t−1}.",
    "swapped": "Close to t = T, x̂_0 is a poor guess: which factor in eq. 7 must then "
    "be the smaller one?",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Look up which "
    "of them stands where, in eqs. 7 and 15.",
    "index_shift": "Two times occur, t and t−1. Go through every look-up in a table: "
    "does it take the right one? Entry 0 is no noise, so table[t] is time t.",
    "variance_or_std": "Some factor is a variance where a standard deviation belongs, "
    "or the other way round. Check each root in eqs. 7 and 15.",
    "missing_scale": "x_t holds x_0 with a factor. Has your x̂_0 been divided by it?",
    "no_denominator": "Both factors in eq. 7 have something below the line.",
    "wrong_sign": "The guessed noise is taken away from x_t.",
    "": "Compute x̂_0, then clamp it, then eq. 7: compare each line with its formula.",
}
_JUMP_HINTS = {
    "fresh_noise": "Two calls with the same numbers gave different results. Which "
    "noise does a DDIM step put back?",
    "swapped_times": "You come from t and go to s: x̂_0 is worked out at t, and mixed "
    "again at s.",
    "swapped": "Which of the two factors belongs to the data, and which to the noise?",
    "ignores_s": "Your step leads to t−1. It should lead to s.",
    "index_shift": "Entry 0 of the table is no noise, so alpha_bars[t] is ᾱ_t and "
    "alpha_bars[s] is ᾱ_s. x̂_0 needs only the one, the new mixture only the other.",
    "variance_or_std": "Some factor is a variance where a standard deviation belongs. "
    "Check each root.",
    "which_alpha": "Only ᾱ_t and ᾱ_s themselves occur in the step, no quotient.",
    "missing_scale": "x_t holds x_0 with a factor. Has your x̂_0 been divided by it?",
    "no_noise": "At s > 0 there is still noise in x_s. Which noise, and how much?",
    "wrong_sign": "Noise is taken away to get x̂_0, and added again afterwards.",
    "wrong_target": "That is x̂_0: right for s = 0 only.",
    "stays": "Your step returns x_t.",
    "": "Write x̂_0 in terms of x_t and ε̂, then mix x̂_0 and ε̂ as in eq. 4, at time s.",
}


def _guesses(x_t: Tensor, eps: Tensor, t: int) -> dict[str, list[Tensor]]:
    """Return wrong versions of x̂_0 by the name of the mistake."""
    beta, alpha_bar = (table.double() for table in tables())
    now, a = alpha_bar[t], 1 - beta[t]
    before, after = alpha_bar[t - 1], alpha_bar[min(t + 1, T)]

    def x0(ab: Tensor) -> Tensor:
        return (x_t - (1 - ab).sqrt() * eps) / ab.sqrt()

    return {
        "variance_or_std": [
            (x_t - (1 - now) * eps) / now.sqrt(),
            (x_t - (1 - now).sqrt() * eps) / now,
            (x_t - (1 - now) * eps) / now,
        ],
        "missing_scale": [x_t - (1 - now).sqrt() * eps, x_t - eps],
        "wrong_sign": [(x_t + (1 - now).sqrt() * eps) / now.sqrt()],
        "which_alpha": [x0(a), (x_t - (1 - now).sqrt() * eps) / a.sqrt()],
        "index_shift": [x0(before), x0(after)],
    }


def _clamp_mistakes(
    x_t: Tensor, eps: Tensor, t: int, limit: float
) -> dict[str, list[Tensor]]:
    """Return what known mistakes give for the mean."""
    beta, alpha_bar = (table.double() for table in tables())
    b, now, before = beta[t], alpha_bar[t], alpha_bar[t - 1]
    of_x0 = before.sqrt() * b / (1 - now)
    of_x_t = (1 - b).sqrt() * (1 - before) / (1 - now)

    def mean(x0: Tensor, x: Tensor = x_t) -> Tensor:
        return of_x0 * x0 + of_x_t * x

    def guess(x: Tensor, noise: Tensor) -> Tensor:
        return (x - (1 - now).sqrt() * noise) / now.sqrt()

    x0 = guess(x_t, eps)
    held, cut = x0.clamp(-limit, limit), x_t.clamp(-limit, limit)
    quiet = [eps.clamp(-1, 1), eps.clamp(-limit, limit)]
    known = {
        "no_clamp": [mean(x0)],
        "clamps_x_t": [
            mean(guess(cut, eps), cut),
            mean(x0, cut),
            mean(guess(cut, eps)),
            mean(held, cut),
            mean(guess(cut, eps).clamp(-limit, limit), cut),
            mean(guess(cut, eps).clamp(-limit, limit)),
        ],
        "clamps_the_mean": [
            mean(x0).clamp(-limit, limit),
            mean(held).clamp(-limit, limit),
        ],
        "clamps_the_noise": [mean(guess(x_t, z)) for z in quiet],
        "ignores_limit": [mean(x0.clamp(-1, 1))],
        "one_end_only": [
            mean(x0.clamp(max=limit)),
            mean(x0.clamp(min=-limit)),
            mean(x0.clamp(0, limit)),
            mean(x0.abs().clamp(max=limit)),
        ],
        "wrong_target": [x0, held],
    }
    factors, _ = posterior_mistakes(t)
    for name, pairs in factors.items():
        known.setdefault(name, []).extend(p * held + q * x_t for p, q in pairs)
    for name, x0_hats in _guesses(x_t, eps, t).items():
        faces = [mean(x0_hat.clamp(-limit, limit)) for x0_hat in x0_hats]
        known.setdefault(name, []).extend(faces)
    right = mean(held)
    return {
        name: [f for f in faces if z_score(f, right, 1.0) > 1e-3]
        for name, faces in known.items()
    }


@check("Exercise 7.3: the mean, with a clamp")
def check_clipped_mean(function: Callable[..., Any]) -> Report:
    """Check `clipped_mean(x_t, eps_hat, t, betas, alpha_bars, limit)`.

    x̂_0 = (x_t − √(1−ᾱ_t) ε̂) / √ᾱ_t [DDPM eq. 15], clamped to [−limit, limit], in the
    place of x_0 in μ̃ [DDPM eq. 7].

    Args:
        function: takes x_t and eps_hat, (B, D) float; t, an int in 1…T; betas and
            alpha_bars, (T+1,) float with entry 0 for "no noise"; limit, a float.
            Returns the mean of x_{t−1}, (B, D).

    Returns:
        The report; the comparison is deterministic.
    """
    beta, alpha_bar = tables()
    for t, limit in zip(TIMES, _LIMITS, strict=True):
        x_t, eps = 1.2 * torch.randn(2, *_SHAPE)
        inputs = {"x_t": x_t, "eps_hat": eps, "t": t, "betas": beta}
        inputs |= {"alpha_bars": alpha_bar, "limit": limit}
        got = call(function, _SHAPE, **inputs)
        b, now, before = (v.double() for v in (beta[t], alpha_bar[t], alpha_bar[t - 1]))
        x, noise = x_t.double(), eps.double()
        x0_hat = (x - (1 - now).sqrt() * noise) / now.sqrt()
        beyond = float((x0_hat.abs() > limit).double().mean())
        held = x0_hat.clamp(-limit, limit)
        right = before.sqrt() * b * held + (1 - b).sqrt() * (1 - before) * x
        right = right / (1 - now)
        if (apart := z_score(got, right, 1.0)) > 2e-4:
            known = _clamp_mistakes(x, noise, t, limit)
            mistake = name_mistake(got, known, 4e-4)
            raise Wrong(
                mistake,
                f"t = {t}, limit {limit}: off by up to {apart:.3g}",
                f"μ̃ of the clamped x̂_0; {beyond:.0%} of the x̂_0 lie beyond the limit",
                _CLAMP_HINTS[mistake or ""],
            )
    return Report(
        measured=f"the right means at t = {', '.join(map(str, sorted(TIMES)))}",
        expected="μ̃ of the clamped x̂_0, for five limits",
        hint="In the package: clip_x0=limit.",
    )


def _jump_mistakes(t: int, s: int) -> dict[str, list[tuple[float, float]]]:
    """Return what known mistakes give for the factors of x_t and eps_hat."""
    _, table = tables()
    a, before = table.double().tolist(), max(s - 1, 0)
    after = min(s + 1, T)

    def jump(
        now: float, then: float, signal: float | None = None, noise: float | None = None
    ) -> tuple[float, float]:
        """Divide by √now, mix with √signal and √noise, or as at time then."""
        up = (then if signal is None else signal) ** 0.5
        rest = ((1 - then) if noise is None else noise) ** 0.5
        return up / now**0.5, rest - up * (1 - now) ** 0.5 / now**0.5

    at, to = a[t], a[s]
    step = at / a[t - 1]
    kept = (1 - at) ** 0.5
    known = {
        "swapped_times": [jump(to, at)] if s else [],
        "swapped": [jump(at, to, 1 - to, to)],
        "ignores_s": [
            jump(at, a[t - 1]),
            (step**-0.5, -(1 - step) / (step * (1 - at)) ** 0.5),
        ],
        "index_shift": [
            jump(at, to, at, 1 - to),
            jump(at, to, to, 1 - at),
            jump(a[t - 1], to),
            jump(at, a[before]),
            jump(at, a[after]),
            jump(a[t - 1], a[before]),
            jump(a[min(t + 1, T)], a[after]),
        ],
        "variance_or_std": [
            jump(at, to, to**2),
            jump(at, to, None, (1 - to) ** 2),
            jump(at, to, to**2, (1 - to) ** 2),
            ((to / at) ** 0.5, (1 - to) ** 0.5 - (1 - at) * (to / at) ** 0.5),
            (to**0.5 / at, (1 - to) ** 0.5 - (to * (1 - at)) ** 0.5 / at),
            (to / at, (1 - to) ** 0.5 - (1 - at) ** 0.5 * to / at),
        ],
        "which_alpha": [
            jump(at / to, to),
            jump(step, to),
            jump(at, to, None, 1 - at / to),
            jump(at / to, 1.0),
        ],
        "missing_scale": [(to**0.5, (1 - to) ** 0.5 - to**0.5 * kept)],
        "no_noise": [
            jump(at, to, None, 0.0),
            # Algorithm 2's mean for the whole jump, without its σ z
            jump(at, to, None, (at / to) * (1 - to) ** 2 / (1 - at)),
        ],
        "wrong_sign": [
            ((to / at) ** 0.5, -((1 - to) ** 0.5) - (to / at) ** 0.5 * kept),
            ((to / at) ** 0.5, (1 - to) ** 0.5 + (to / at) ** 0.5 * kept),
        ],
        "wrong_target": [jump(at, 1.0)],
        "stays": [(1.0, 0.0)],
    }
    right = torch.tensor(jump(at, to))
    return {
        name: [f for f in faces if z_score(torch.tensor(f), right, 1.0) > 1e-3]
        for name, faces in known.items()
    }


@check("Exercise 7.4: a DDIM step")
def check_ddim_step(function: Callable[..., Any]) -> Report:
    """Check `ddim_step(x_t, eps_hat, t, s, alpha_bars)` [DDIM eq. 12] with σ = 0.

    x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε̂, x̂_0 = (x_t − √(1−ᾱ_t) ε̂) / √ᾱ_t

    Args:
        function: takes x_t and eps_hat, (B, D) float; t and s, ints with 0 ≤ s < t ≤ T;
            alpha_bars, (T+1,) float with entry 0 for "no noise". Returns x_s, (B, D).

    Returns:
        The report. It measures the factors of x_t and eps_hat by least squares, and
        whether two calls agree.
    """
    _, alpha_bar = tables()
    for t, s in _JUMPS:
        x_t, eps = torch.randn(2, *_SHAPE)
        inputs = {"x_t": x_t, "eps_hat": eps, "t": t, "s": s, "alpha_bars": alpha_bar}
        first, second = (call(function, _SHAPE, **inputs) for _ in range(2))
        now, then = alpha_bar[t].double(), alpha_bar[s].double()
        of_x_t = (then / now).sqrt()
        right = torch.stack([of_x_t, (1 - then).sqrt() - of_x_t * (1 - now).sqrt()])
        got, rest = factors_of(first, x_t, eps)
        linear = rest < 1e-3
        where = f"from t = {t} to s = {s}"
        measured = f"{where}: {got[0]:.4f}·x_t {got[1]:+.4f}·eps_hat"
        mistake: str | None = ""
        if z_score(first, second, 1.0) > 1e-4:
            mistake, measured = "fresh_noise", f"{where}: two calls do not agree"
        elif not linear:
            mistake = None
            measured = f"{where}: no weighted sum of x_t and eps_hat"
        elif z_score(got, right, 1.0) > 2e-4:
            mistake = name_mistake(got, _jump_mistakes(t, s), 5e-4)
        if mistake != "":
            expected = f"{where}: {right[0]:.4f}·x_t {right[1]:+.4f}·eps_hat"
            raise Wrong(mistake, measured, expected, _JUMP_HINTS[mistake or ""])
    return Report(
        measured=f"the right factors for {len(_JUMPS)} pairs of t and s",
        expected="no fresh noise, and x̂_0 itself at s = 0",
        hint="With the true ε your step lands on the x_s of eq. 4 that has the same ε.",
    )
