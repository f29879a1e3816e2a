"""Checks of the exercises in notebook 01: mean and variance, and how many steps."""

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

_TABLE = Schedule.from_betas([0.15, 0.1, 0.4, 0.2, 0.55])

_HINTS = {
    "variance_or_std": "A factor f multiplies the mean by f and the variance by f². "
    "Which f do x_{t−1} and ε have in [DDPM eq. 2]?",
    "index_shift": "Entry t of the result comes from entry t−1 of the result and from "
    "β_t, entry t of the table.",
    "no_start": "Entry 0 of the result is m0 and v0: no step, no change.",
    "stops_early": "The last entry belongs to x_T. Which is your last step?",
    "wrong_shape": "Entry t of the result belongs to x_t, from x_0 to x_T.",
    "no_weight": "The step shrinks x_{t−1} first. What does that do to its variance?",
    "no_noise": "The noise has a variance, too; those of independent parts add.",
    "not_squared": "These are standard deviations. The exercise asks for variances.",
    "swapped": "Return the means first, then the variances.",
    "not_multiplied": "Entry t starts from entry t−1, not from entry 0.",
    "": "Write down mean and variance of √(1−β_t) x_{t−1} + √β_t ε, term by term.",
}


@check("Exercise 1.2: mean and variance at every step")
def check_moments(function: Callable[..., Any]) -> Report:
    """Check `moments(m0, v0, betas)`, mean and variance of x_t for all t.

    m_t = √(1−β_t) m_{t−1}; v_t = (1−β_t) v_{t−1} + β_t, from [DDPM eq. 2]

    Args:
        function: takes mean and variance of x_0, floats, and the table betas, (T+1,)
            float with β_0 = 0. Returns means and variances, (T+1,) each.

    Returns:
        The report; the comparison is deterministic.
    """
    betas = _TABLE.betas
    for m0, v0 in ((0.8, 0.5), (-1.5, 0.0), (0.0, 3.0)):
        shape = (None,)
        means, variances = call(function, [shape, shape], m0=m0, v0=v0, betas=betas)
        b = betas.double()
        right = _recursion(m0, v0, b)
        if not len(means) == len(variances) == len(betas):
            said = f"{len(means)} means and {len(variances)} variances"
            cut = _cut(means, right[0])
            wanted = f"{len(betas)} of each, from t = 0 to t = {len(betas) - 1}"
            raise Wrong(cut, said, wanted, _HINTS[cut])
        got = torch.stack([means, variances])
        if z_score(got, right, 1e-4) <= 1:
            continue
        beta_before = torch.cat([b[:1], b[:-1]])
        early = torch.cat([right[:, :1], right[:, :-1]], dim=1)
        keep, none = 1 - b, torch.zeros(len(b)).double()
        known = {
            "variance_or_std": [
                torch.stack([_run(m0, f), _run(v0, g, a)])
                for f in (keep.sqrt(), keep)
                for g, a in (
                    (keep, b),
                    (keep.sqrt(), b),
                    (keep.sqrt(), b.sqrt()),
                    (keep, b.sqrt()),
                    (keep**2, b**2),
                    (keep**2, b),
                    (keep, b**2),
                )
            ],
            "index_shift": [_recursion(m0, v0, beta_before), early],
            "no_weight": [
                torch.stack([_run(m0, f), _run(v0, none + 1, b)])
                for f in (keep.sqrt(), none + 1)
            ],
            "no_noise": [torch.stack([_run(m0, keep.sqrt()), _run(v0, keep)])],
            "not_squared": [torch.stack([right[0], right[1].sqrt()])],
            "swapped": [right.flip(0)],
            "not_multiplied": [torch.stack([m0 * keep.sqrt(), keep * v0 + b])],
        }
        row = int(z_score(means, right[0], 1e-4) <= 1)  # the first that is wrong
        name = name_mistake(got, known, 1e-4)
        what = ("mean", "variance")[row]
        start = f"from {what} {(m0, v0)[row]:g}: "
        raise Wrong(
            name,
            start + _numbers(got[row]),
            start + _numbers(right[row]),
            _HINTS[name or ""],
        )
    return Report(
        measured="from variance 3: " + _numbers(variances),
        expected="from variance 3: " + _numbers(right[1]),
        hint="What is left of 3 − 1 after each step? And of the mean?",
    )


def _cut(values: Tensor, right: Tensor) -> str:
    """Name what is missing from a result of the wrong length."""
    if len(values) == len(right) - 1:
        for name, rest in (("no_start", right[1:]), ("stops_early", right[:-1])):
            if z_score(values, rest, 1e-4) <= 1:
                return name
    return "wrong_shape"


def _run(start: float, factor: Tensor, added: Tensor | None = None) -> Tensor:
    """Return u_0…u_T with u_t = factor_t u_{t−1} + added_t."""
    values = [start]
    for t in range(1, len(factor)):
        plus = 0.0 if added is None else float(added[t])
        values.append(float(factor[t]) * values[-1] + plus)
    return torch.tensor(values, dtype=torch.float64)


def _recursion(m0: float, v0: float, betas: Tensor) -> Tensor:
    """Return means and variances of the chain, (2, T+1)."""
    return torch.stack([_run(m0, (1 - betas).sqrt()), _run(v0, 1 - betas, betas)])


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.3f}" for value in values.tolist())


@check("Exercise 1.4: how many steps?", number=True)
def check_steps_needed(number: float) -> Report:
    """Check the smallest T with (1−β)^T < 1 % for β_t = 0.02 at every step.

    Args:
        number: the answer.

    Returns:
        The report.
    """
    share = 0.98
    exact = math.log(0.01) / math.log(share)
    right = math.ceil(exact)
    hints = {
        "index_shift": "At your T the share is still above 1 %.",
        "one_too_many": "With one step less the share is below 1 % already.",
        "variance_or_std": "You looked at the factor √(1−β), but the share of the "
        "variance has the factor 1−β.",
        "not_multiplied": "Each step takes 2 % of what is left, not of the beginning.",
        "not_rounded": "Steps are whole: which is the first T below 1 %?",
    }
    known = {
        "index_shift": right - 1,
        "one_too_many": right + 1,
        "variance_or_std": [
            *(2 * exact + k for k in (0, -1, 1)),
            math.ceil(2 * exact),
        ],
        "not_multiplied": [49, 49.5, 50, 51],
    }
    if number != right:
        name = name_mistake(number, known, 1e-6)
        if name is None and abs(number - exact) < 1:
            name = "not_rounded"
        raise Wrong(
            name,
            f"T = {number:g}: the share left is {_percent(share, number)}",
            "the first T with less than 1 %",
            hints.get(name or "", "Each step multiplies the share by 1−β. Loop."),
        )
    return Report(
        measured=f"T = {right}: the share left is {_percent(share, right)}",
        expected=f"below 1 %; at T = {right - 1} it is {_percent(share, right - 1)}",
        hint="The logarithm has it without a loop: T > log 0.01 / log 0.98.",
    )


def _percent(share: float, steps: float) -> str:
    if not 0 <= steps < 1e5:
        return "no number"
    return f"{100 * share**steps:.4g} %"
