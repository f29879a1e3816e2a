"""Checks of the exercises in notebook 01: a step, and the whole chain."""

import math
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

_LIMIT = 5.0  # standard errors
_TABLE = Schedule.from_betas([0.15, 0.1, 0.4, 0.2, 0.55])

_HINTS = {
    "variance_or_std": "β_t and 1−β_t are shares of variance. Which factor does a "
    "share ask for?",
    "which_noise": "The noise of a step is standard normal. Which of torch's random "
    "functions draws that, and which draws numbers from 0 to 1?",
    "index_shift": "Entry 0 of the table says “no noise”. Which entry is β_t?",
    "swapped": "β_t is small: most of x_{t−1} should stay. Which factor belongs to it?",
    "no_noise": "Your result is x_{t−1} times a number. Where does noise come in?",
    "no_signal": "Your result does not depend on x_{t−1}.",
    "no_weight": "Both terms need a factor, or the variance grows.",
    "wrong_sign": "The mean is a positive multiple of x_{t−1}.",
    "which_alpha": "These factors belong to t steps at once. One step has β_t alone.",
    "shared_draw": "Several numbers got the same noise. Each of them, in each sample "
    "and at each step, needs a draw of its own: what shape has your noise?",
    "one_noise": "Every step added the same noise. Where do you draw it?",
    "stops_early": "The trajectory has T+1 rows, x_0 to x_T. Which is your last step?",
    "no_start": "Row 0 of the trajectory is x_0 itself, before any step.",
    "too_many_rows": "Row 0 is x_0, and T steps follow. Which is your first step, and "
    "which your last?",
    "last_only": "Keep every x_t on the way, and stack them, x_0 first.",
    "transposed": "One row for each t, one column for each point: along which axis did "
    "you stack?",
    "starts_over": "Step t starts from x_{t−1}, the row that you made last.",
    "same_tensor": "All rows are equal. Did you put one tensor into your list T+1 "
    "times, and change it in place?",
    "": "Compare your factors with [DDPM eq. 2], one at a time.",
}


def _known(t: int) -> dict[str, list[tuple[float, float]]]:
    """Return (factor of x_{t−1}, std of the noise) that known mistakes give at t."""
    beta = _TABLE.betas.tolist()
    b, root, noise = beta[t], math.sqrt(1 - beta[t]), math.sqrt(beta[t])
    shifted = [beta[s] for s in (t - 1, t + 1) if 1 <= s < len(beta)]
    roots = [(math.sqrt(1 - s), math.sqrt(s)) for s in shifted]
    signal_t = float(_TABLE.sqrt_alpha_bars[t])
    noise_t = float(_TABLE.sqrt_one_minus_alpha_bars[t])
    known = {
        "variance_or_std": [
            *((root, b), (1 - b, noise), (1 - b, b), (1 - noise, noise)),
            (math.sqrt(1 - b**2), b),
        ],
        "index_shift": [*roots, *((r, noise) for r, _ in roots)]
        + [(root, n) for _, n in roots],
        "swapped": [(noise, root), (b, 1 - b)],
        "no_noise": [(root, 0), (1 - b, 0)],
        "no_signal": [(0, noise), (0, b), (0, 1)],
        "no_weight": [(1, noise), (root, 1), (1, 1), (1, b)],
        "wrong_sign": [(-root, noise)],
        "which_alpha": [(signal_t, noise_t), (signal_t, noise), (root, noise_t)],
    }
    # where t = 1, √ᾱ_t is √α_t: no mistake can be seen there
    right = (root, noise)
    return {
        name: [f for f in faces if math.dist(f, right) > 1e-3]
        for name, faces in known.items()
    }


def _fail(
    mistake: str | None, measured: Any, expected: Any, apart: float | None = None
) -> Wrong:
    return Wrong(mistake, measured, expected, _HINTS[mistake or ""], apart)


def _judge(t: int, x_s: Tensor, x_t: Tensor) -> float:
    """Raise if a step t has other factors than [DDPM eq. 2], or other noise.

    Args:
        t: the step.
        x_s: x_{t−1}, (n,).
        x_t: what the student made of it, (n,).

    Returns:
        How many standard errors the variance is from β_t.
    """
    n, beta = len(x_s), float(_TABLE.betas[t])
    right = math.sqrt(1 - beta), math.sqrt(beta)
    factor, std = (float(value) for value in _slope(x_s, x_t, 0))
    measured = factor, std
    noise = x_t - factor * x_s
    offset = float(noise.mean())
    noise = noise - offset
    # a standard deviation of n normal numbers has the relative error 1/√(2n)
    se = right[1] / math.sqrt(n) / float(x_s.std())
    errors = se, right[1] / math.sqrt(2 * n)
    wanted = f"t = {t}: {_step(*right)}, kurtosis 3"
    apart = z_score(measured[1] ** 2, beta, beta * math.sqrt(2 / n))
    if measured[1] < 1e-4:
        raise _fail("no_noise", f"t = {t}: {_step(*measured)}", wanted, apart)
    kurtosis = float((noise**4).mean() / measured[1] ** 4)
    shape = z_score(kurtosis, 3, math.sqrt(24 / n))
    said = f"t = {t}: {_step(*measured)}, kurtosis {kurtosis:.2f}"
    if shape > 1.5 * _LIMIT:  # its error is itself uncertain
        raise _fail("which_noise", said, wanted, shape)
    wrong = [z_score(m, r, e) for m, r, e in zip(measured, right, errors, strict=True)]
    if max(wrong) > _LIMIT:
        # a larger variance than β_t has larger errors, too
        tolerance = _LIMIT * max(errors) * max(1.0, measured[1] / right[1])
        raise _fail(
            name_mistake(torch.tensor(measured), _known(t), tolerance),
            said,
            wanted,
            max(wrong),
        )
    mean = z_score(offset, 0, math.hypot(right[1] / math.sqrt(n), se * x_s.mean()))
    if mean > _LIMIT:
        measured_text = f"t = {t}: the noise has mean {offset:.3f}"
        raise _fail("which_noise", measured_text, "mean 0", mean)
    return apart


def _step(factor: float, std: float) -> str:
    return f"{factor:.3f}·x_{{t−1}}, noise of variance {std**2:.3f}"


@check("Exercise 1.1: one step")
def check_q_step(function: Callable[..., Any]) -> Report:
    """Check `q_step(x_s, t, betas)`, one forward step [DDPM eq. 2] with its own noise.

    x_t = √(1−β_t) x_{t−1} + √β_t ε

    Args:
        function: takes x_{t−1}, (B, *D) float; t, an int in 1…T; and the table betas,
            (T+1,) float with β_0 = 0. Returns x_t, (B, *D).

    Returns:
        The report. It measures the factor of x_{t−1} by least squares; mean, variance
        and kurtosis of what was added; and whether each number had a draw of its own.
    """
    betas, shape = _TABLE.betas, (500, 1, 8, 8)
    for t in (3, 1, 5):  # at 3 no two known mistakes look alike
        x_s = 0.8 * torch.randn(shape) + 0.6
        first, second = (
            call(function, shape, x_s=x_s, t=t, betas=betas).flatten(1)
            for _ in range(2)
        )
        x = x_s.double().flatten(1)
        # noise that is shared by samples or by pixels goes away with their mean
        for dim, along in ((0, "all samples of the batch"), (1, "all its pixels")):
            factor, rest = _slope(x, first, dim)
            added = first - factor * x
            if rest < 1e-4 and added.abs().max() > 1e-4:
                measured = f"t = {t}: {along} got the same noise"
                raise _fail("shared_draw", measured, "a draw for each number")
        apart = _judge(t, x.flatten(), first.flatten())
        # a draw for each number: then a mean of n of them has the variance β_t / n
        beta = float(betas[t])
        added = first - math.sqrt(1 - beta) * x
        for dim, along in ((0, "the batch"), (1, "a sample")):
            spread, n = added.mean(dim).square(), first.shape[dim]
            z = z_score(spread.mean(), beta / n, beta / n * math.sqrt(2 / len(spread)))
            if z > 2 * _LIMIT:
                measured = f"t = {t}: several numbers of {along} got the same noise"
                raise _fail("shared_draw", measured, "a draw for each number", z)
        if torch.equal(first, second):
            measured = f"t = {t}: two calls gave the same noise"
            raise _fail("shared_draw", measured, "new noise at every call")
    return Report(
        measured=f"t = {t}: variance of the noise {added.var():.4f}",
        expected=f"β_{t} = {beta:.4f}, kurtosis 3",
        standard_errors=apart,
        hint="This is the whole step; the package has it as DDPM.q_step.",
    )


def _slope(x: Tensor, y: Tensor, dim: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Fit y by a multiple of x, means along dim apart; return it and the rest's std."""
    x, y = x - x.mean(dim, keepdim=True), y - y.mean(dim, keepdim=True)
    factor = (x * y).sum() / x.square().sum()
    return factor, (y - factor * x).square().mean().sqrt()


@check("Exercise 1.3: the whole chain")
def check_run_chain(function: Callable[..., Any]) -> Report:
    """Check `run_chain(x0, betas)`, which returns the trajectory x_0…x_T.

    x_t = √(1−β_t) x_{t−1} + √β_t ε_t for t = 1…T [DDPM eq. 2], ε_t fresh at each t

    Args:
        function: takes x_0, (N,) float, and the table betas, (T+1,) float with β_0 = 0.
            Returns the trajectory, (T+1, N), row t holding x_t.

    Returns:
        The report. At each t it regresses x_t on x_{t−1} and x_0, and measures variance
        and kurtosis of what was added.
    """
    betas, n = _TABLE.betas, 4000
    T = len(betas) - 1
    x0 = torch.where(torch.rand(n) < 0.5, -1.0, 1.2) + 0.3 * torch.randn(n)
    path = call(function, None, x0=x0, betas=betas)
    start = x0.double()
    wanted = f"{T + 1} rows, x_0…x_{T}, the first of them x0"
    if path.ndim != 2 or path.shape[1] != n:
        faces = {(n,): "last_only", (n, T + 1): "transposed"}
        name = faces.get(tuple(path.shape), "wrong_shape")
        measured = f"a tensor of shape {tuple(path.shape)}"
        expected = f"a tensor of shape {(T + 1, n)}"
        raise Wrong(name, measured, expected, _HINTS.get(name, _HINTS["transposed"]))
    rows = f"{len(path)} rows"
    begins = len(path) > 0 and z_score(path[0], start, 1e-6) < 1
    if len(path) > 1 and z_score(path, path[:1], 1e-9) < 1:
        raise _fail("same_tensor", f"{rows}, all of them equal", wanted)
    if not begins:
        raise _fail("no_start", f"{rows}, the first of them is not x0", wanted)
    if len(path) != T + 1:
        mistake = "stops_early" if len(path) < T + 1 else "too_many_rows"
        raise _fail(mistake, rows, wanted)
    for t in range(1, T + 1):
        apart = _judge_row(t, start, path[t - 1], path[t])
    return Report(
        measured=f"variance at T: {path[T].var():.3f}; noise of step T, {apart:.1f} "
        "standard errors from β_T",
        expected=f"β_t at every t = 1…{T}, of normal noise",
        standard_errors=apart,
        hint="Each row was made from the row above alone: a Markov chain.",
    )


def _judge_row(t: int, x0: Tensor, x_s: Tensor, x_t: Tensor) -> float:
    """Raise if x_t is no step from x_{t−1}; return how far its variance is from β_t."""
    if z_score(x_t, 0.0, 1e-9) < 1 or torch.equal(x_t, x_s):
        said = "0" if not x_t.any() else f"x_{t - 1}"
        mistake = "index_shift" if t == 1 and x_t.any() else "stops_early"
        raise _fail(mistake, f"row {t} is {said}", f"a step from x_{t - 1}")
    one = torch.ones_like(x0)
    # from t = 2 on x_0 is a suspect, too: given x_{t−1} it has nothing to say
    terms = [one, x_s] if t == 1 else [one, x_s, x0]
    design = torch.stack(terms, dim=1)
    fit = torch.linalg.lstsq(design, x_t[:, None]).solution[:, 0]
    rest = x_t - design @ fit
    beta = float(_TABLE.betas[t])
    variance = rest.square().mean()
    errors = (torch.linalg.inv(design.T @ design).diagonal() * variance).sqrt()
    if rest.std() < 1e-5:  # nothing random is left
        said = f"t = {t}: {fit[0]:+.3f} {fit[1]:+.3f}·x_{t - 1}"
        said += "" if t == 1 else f" {fit[2]:+.3f}·x_0"
        one_noise = t > 1 and abs(fit[2]) > 1e-4
        shared = abs(fit[0]) > 1e-4
        mistake = "one_noise" if one_noise else "shared_draw" if shared else "no_noise"
        raise _fail(mistake, f"{said}, exactly", f"noise of variance {beta:.3f}")
    if t > 1:
        z = z_score(fit[2], 0, errors[2])
        if z > _LIMIT:
            said = f"t = {t}: {fit[1]:.3f}·x_{t - 1} {fit[2]:+.3f}·x_0 + noise"
            alone = z_score(fit[1], 0, errors[1]) < _LIMIT
            expected = f"t = {t}: x_0 has the factor 0"
            raise _fail("starts_over" if alone else None, said, expected, z)
    return _judge(t, x_s, x_t)
