"""The check of exercise 7.1: one step of Algorithm 2."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch04_noise_prediction_loss.noise_prediction_loss import (
    mean_mistakes,
)
from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)
from minddpm.schedule import Schedule

# Neighbouring steps differ, so that a shifted index shows in a few thousand draws.
_TABLE = Schedule.from_betas([0.2, 0.35, 0.3, 0.6, 0.55, 0.35, 0.2, 0.5])
_TIMES = (4, 2, 7, 8, 1)  # at 4 no two known mistakes look alike
_SHAPE = (15_000, 2)
_STD = 0.3  # of the data
_LIMIT = 5.0  # standard errors

_HINTS = {
    "last_step_noise": "Look at line 3 of Algorithm 2: what is z at t = 1?",
    "stops_early": "The step at t = 1 is a step, too: it leads from x_1 to x_0.",
    "no_noise": "Your result is a mean. What does line 4 add to it?",
    "which_noise": "z is standard normal. Which of torch's random functions draws "
    "that, and which draws numbers from 0 to 1?",
    "shared_draw": "Several numbers got the same noise. Each number of each sample "
    "needs a draw of its own, at every call: what shape has your z?",
    "variance_or_std": "β_t and β̃_t are variances. Which factor of z has that "
    "variance? Check every other root in the step as well.",
    "beta_for_posterior": "You were asked for “posterior”: what makes β̃_t smaller "
    "than β_t?",
    "posterior_for_beta": "You were asked for “beta”: the variance is β_t itself.",
    "index_shift": "Two times occur, t and t−1. Go through every look-up in a table: "
    "does it take the right one? Entry 0 is no noise, so table[t] is time t.",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Look each of "
    "them up in eqs. 7 and 11.",
    "upside_down": "Should every factor multiply, or divide? β̃_t is smaller than β_t, "
    "and a step back undoes that eq. 2 shrank x_{t−1}.",
    "no_denominator": "One factor is missing below a line: look at eqs. 7 and 11.",
    "inside_the_bracket": "In line 4 the noise comes last: is yours divided by √α_t?",
    "no_weight": "z has variance 1. Which variance should this step add?",
    "missing_scale": "In eq. 11 the whole bracket is divided by √α_t.",
    "one_step_noise": "ε̂ is all of the noise in x_t, not what the last step added: "
    "eq. 11 says which part of it to take away.",
    "wrong_sign": "The guessed noise is taken away.",
    "wrong_target": "This takes away all of the noise, as x̂_0 does. The step leads "
    "back by one, to t−1.",
    "": "Compare your mean with eq. 11 and your variance with eq. 7, factor by factor.",
}


def _sigma_mistakes(t: int, variance: str) -> dict[str, Any]:
    """Return what known mistakes give for the standard deviation of the noise."""
    betas, alpha_bars = _TABLE.betas.tolist(), _TABLE.alpha_bars.tolist()
    s, later = t - 1, min(t + 1, _TABLE.T)
    b, rest, rest_s = betas[t], 1 - alpha_bars[t], 1 - alpha_bars[s]
    tilde = b * rest_s / rest
    right = b if variance == "beta" else tilde
    before = betas[s] * (1 - alpha_bars[max(s - 1, 0)]) / max(rest_s, 1e-9)
    after = betas[later] * rest / (1 - alpha_bars[later])
    name = "posterior_for_beta" if variance == "beta" else "beta_for_posterior"
    return {
        "variance_or_std": [
            *(right, right**0.25, b, tilde, b**0.5 * rest_s / rest),
            b * (rest_s / rest) ** 0.5,
        ],
        name: math.sqrt(tilde if variance == "beta" else b),
        "index_shift": [
            math.sqrt(v)
            for v in (
                *(betas[s], betas[later], before, after),
                betas[s] * rest_s / rest,
            )
        ],
        "which_alpha": [rest**0.5, rest_s**0.5, (1 - b) ** 0.5],
        "upside_down": [(b * rest / max(rest_s, 1e-9)) ** 0.5],
        "no_denominator": [(b * rest_s) ** 0.5],
        "no_weight": [1.0],
        "inside_the_bracket": [(right / (1 - b)) ** 0.5],
    }


def _fit(result: Tensor, parts: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factors of x_t and eps_hat in the result, their errors, and the rest.

    The rest, (N, 2), has its mean of every coordinate left in it.
    """
    n = result.numel()
    flat = [part.flatten() for part in parts]
    ends = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]
    ones = [end.double().repeat(len(result)) for end in ends]
    design = torch.stack([*flat, *ones], dim=1)
    solution = torch.linalg.lstsq(design, result.flatten()).solution
    rest = (result.flatten() - design @ solution).view_as(result)
    gram = torch.linalg.inv(design.T @ design).diagonal()
    errors = (gram * rest.square().sum() / (n - 4)).sqrt()[:2]
    return solution[:2], errors, rest + solution[2:]


def _noise_of(t: int, rest: Tensor, again: Tensor, said: str) -> None:
    """Raise if what was added is no fresh normal number for each entry."""
    expected = f"t = {t}: a normal number of its own for each entry, at every call"
    alike = torch.corrcoef(rest.T)[0, 1].abs()
    if (rest.std(0) < 1e-4).all() or torch.equal(rest, again) or alike > 0.2:
        raise Wrong("shared_draw", said, expected, _HINTS["shared_draw"])
    centred = rest - rest.mean(0)
    sigma, n = centred.square().mean().sqrt(), rest.numel()
    kurtosis = float((centred**4).mean() / sigma**4)
    shape = z_score(kurtosis, 3, math.sqrt(24 / n))
    shift = z_score(rest.mean(0), 0, sigma / math.sqrt(len(rest)))
    if shape > 1.5 * _LIMIT:  # its error is itself uncertain
        measured = f"{said}, kurtosis {kurtosis:.2f}"
        expected = f"t = {t}: normal noise, kurtosis 3"
        raise Wrong("which_noise", measured, expected, _HINTS["which_noise"], shape)
    if shift > 1.2 * _LIMIT:
        measured = f"{said}, whose mean is {rest.mean():.3f}"
        raise Wrong("which_noise", measured, "mean 0", _HINTS["which_noise"], shift)


@check("Exercise 7.1: one step back")
def check_p_step(function: Callable[..., Any]) -> Report:
    """Check `p_step(x_t, eps_hat, t, betas, alpha_bars, variance)` [DDPM Algorithm 2].

    x_{t−1} = (x_t − β_t / √(1−ᾱ_t) · ε̂) / √α_t + σ_t z, z = 0 at t = 1
    σ_t² = β_t, or β̃_t = β_t (1−ᾱ_{t−1}) / (1−ᾱ_t)

    Args:
        function: takes x_t and eps_hat, (B, D) float; t, an int in 1…T; betas and
            alpha_bars, (T+1,) float with entry 0 for "no noise"; variance, "posterior"
            or "beta". Returns x_{t−1}, (B, D), with noise of its own.

    Returns:
        The report. The guess is exact for Gaussian data, so E[x_{t−1} | x_t] is known;
        it measures the factors of x_t and eps_hat, and mean, variance and kurtosis of
        what was added.
    """
    beta, alpha_bar = _TABLE.betas, _TABLE.alpha_bars
    worst = 0.0
    for t in _TIMES:
        for variance in ("posterior", "beta"):
            now, before = (alpha_bar[k].double() for k in (t, t - 1))
            b = beta[t].double()
            centre = torch.randn(_SHAPE, dtype=torch.float64)  # of each number's law
            v_t, v_s = (a * _STD**2 + 1 - a for a in (now, before))
            x_t = now.sqrt() * centre + v_t.sqrt() * torch.randn(_SHAPE)
            eps_hat = (1 - now).sqrt() * (x_t - now.sqrt() * centre) / v_t
            inputs = {"x_t": x_t.float(), "eps_hat": eps_hat.float(), "t": t}
            inputs |= {"betas": beta, "alpha_bars": alpha_bar, "variance": variance}
            first, second = (call(function, _SHAPE, **inputs) for _ in range(2))
            parts = [x_t, eps_hat]
            got, errors, rest = _fit(first, parts)
            right = torch.stack([(1 - b).rsqrt(), -b / ((1 - b) * (1 - now)).sqrt()])
            sigma2 = float(b if variance == "beta" else b * (1 - before) / (1 - now))
            sigma2 = 0.0 if t == 1 else sigma2
            std = float((rest - rest.mean(0)).square().mean().sqrt())
            added = float(rest.square().mean().sqrt())
            said = f"t = {t}, {variance}: {_sum(got)}, noise of variance {std**2:.4f}"
            wanted = f"t = {t}, {variance}: {_sum(right)}, variance {sigma2:.4f}"
            if t == 1 and added > 1e-3:
                raise _wrong("last_step_noise", said, wanted)
            if t > 1 and added < 1e-3:
                raise _wrong("no_noise", said, wanted)
            if t > 1:
                _noise_of(t, rest, _fit(second, parts)[2], said)
            errors = errors.clamp(min=2e-5)
            off = z_score(got, right, errors)
            if off > _LIMIT:
                known = mean_mistakes(t, beta, alpha_bar) | {
                    "stops_early": [(1.0, 0.0)]
                }
                nearest = name_mistake(got, known, _LIMIT * float(errors.max()))
                # noise that does not belong there widens the rest, and its error
                raise _wrong(nearest, said, wanted, off if t > 1 else None)
            if t == 1:
                continue
            error = sigma2**0.5 / math.sqrt(2 * rest.numel())
            apart = z_score(std, sigma2**0.5, error)
            if apart > _LIMIT:
                tolerance = _LIMIT * error * max(1.0, std / sigma2**0.5)
                name = name_mistake(std, _sigma_mistakes(t, variance), tolerance)
                raise _wrong(name, said, wanted, apart)
            oracle = before.sqrt() * centre + (1 - b).sqrt() * v_s / v_t * (
                x_t - now.sqrt() * centre
            )
            error = (sigma2 / rest.numel()) ** 0.5
            worst = max(worst, apart, z_score((first - oracle).mean(), 0, error))
    return Report(
        measured=f"mean and variance at t = {', '.join(map(str, sorted(_TIMES)))}",
        expected="E[x_{t−1} given x_t], exact for this data, and σ_t²",
        standard_errors=worst,
        hint="This is the whole step; the package has it as DDPM.p_step.",
    )


def _wrong(
    mistake: str | None, measured: str, expected: str, apart: float | None = None
) -> Wrong:
    return Wrong(mistake, measured, expected, _HINTS[mistake or ""], apart)


def _sum(factors: Tensor) -> str:
    return f"{factors[0]:.4f}·x_t {factors[1]:+.4f}·eps_hat"
