"""The exercises of notebook 01: a step, the chain, and what becomes of the variance."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from minddpm.course.ch01_forward_chain.exercises_chain import Q_STEP, RUN_CHAIN
from minddpm.course.kit.exercise import Exercise, Inputs, Mistake, mistakes

Moments = tuple[Tensor, Tensor]

# --- 1.2 ------------------------------------------------------------------------------


def moments(m0: float, v0: float, betas: Tensor) -> Moments:
    """Mean and variance of x_t for all t, exactly.

    m_t = √(1−β_t) m_{t−1}; v_t = (1−β_t) v_{t−1} + β_t, from [DDPM eq. 2]

    Args:
        m0: mean of x_0, a float.
        v0: variance of x_0, a float.
        betas: the table, (T+1,) float, with betas[0] = 0.

    Returns:
        Means and variances, (T+1,) each; entry t belongs to x_t.
    """
    b = betas.double()
    return _run(m0, (1 - b).sqrt(), 0 * b), _run(v0, 1 - b, b)


def _run(start: float, factor: Tensor, added: Tensor) -> Tensor:
    """Return u_0…u_T with u_t = factor_t u_{t−1} + added_t."""
    values = [start]
    for f, a in zip(factor.tolist()[1:], added.tolist()[1:], strict=True):
        values.append(f * values[-1] + a)
    return torch.tensor(values, dtype=torch.float64)


def _wrong(m0: float, v0: float, betas: Tensor) -> dict[str, list[Moments]]:
    """Return wrong means and variances, by the name of the mistake."""
    (m, v), b, T = moments(m0, v0, betas), betas.double(), len(betas) - 1
    keep, zero, one = 1 - b, 0 * b, b**0
    i, j = [0, *range(T)], [0, *range(2, T + 1), T]  # one entry late, or early
    gains = [(g, a) for g in (keep, keep.sqrt(), keep**2) for a in (b, b.sqrt(), b**2)]
    runs = [(x, _run(v0, *g)) for x in (m, _run(m0, keep, zero)) for g in gains]
    return {
        "variance_or_std": runs[1:],
        "index_shift": [(m[i], v[i]), *(moments(m0, v0, b[k]) for k in (i, j))],
        "no_start": [(m[1:], v[1:])],
        "stops_early": [(m[:-1], v[:-1])],
        "no_weight": [(x, _run(v0, one, b)) for x in (m, _run(m0, one, zero))],
        "no_noise": [(m, _run(v0, keep, zero)), (m, _run(v0, keep.sqrt(), zero))],
        "not_squared": [(m, v.sqrt())],
        "swapped": [(v, m)],
        "not_multiplied": [(m0 * keep.sqrt(), keep * v0 + b)],
    }


_HINTS = {
    "variance_or_std": "A factor f multiplies the mean by f, and the variance by f².",
    "index_shift": "Entry t comes from entry t−1 of the result, and from β_t.",
    "no_start": "Entry 0 of the result is m0 and v0: no step, no change.",
    "stops_early": "The last entry belongs to x_T. Which is your last step?",
    "no_weight": "The step shrinks x_{t−1} first. What does that do to its variance?",
    "no_noise": "The noise has a variance, too; those of independent parts add.",
    "not_squared": "These are standard deviations. The exercise asks for variances.",
    "swapped": "Return the means first, then the variances.",
    "not_multiplied": "Entry t starts from entry t−1, not from entry 0.",
}


def _tables() -> Iterator[Inputs]:
    for T, m0, v0 in ((5, 0.8, 0.5), (5, -1.5, 0.0), (300, 2.3, 3.0), (1, 0.0, 1.4)):
        betas = (0.05 + torch.rand(T + 1) / 2) * min(1, 5 / T)
        betas[0] = 0
        yield {"m0": m0, "v0": v0, "betas": betas}


MOMENTS = Exercise(
    "Exercise 1.2: mean and variance at every step",
    moments,
    _tables,
    mistakes(_HINTS, _wrong),
    hint="Write down mean and variance of √(1−β_t) x_{t−1} + √β_t ε, term by term.",
    praise="What is left of v0 − 1 after each step? And of the mean?",
)

# --- 1.4 ------------------------------------------------------------------------------

_EXACT = math.log(0.01) / math.log(0.98)

STEPS_NEEDED = Exercise(
    "Exercise 1.4: how many steps?",
    228,
    name="steps_needed",
    tolerance=1e-9,
    show=lambda T: f"T = {float(T):g}: the share left is {100 * 0.98**T:.4g} %",
    expects="the first T with less than 1 %",
    mistakes=[
        Mistake("index_shift", "At your T the share is still above 1 %.", [227]),
        Mistake("one_too_many", "One step less is enough already.", [229]),
        Mistake("variance_or_std", "Of √(1−β) or 1−β?", [455, 456, 457, 2 * _EXACT]),
        Mistake("not_multiplied", "2 % of the rest at each step.", [49, 49.5, 50, 51]),
        Mistake("not_rounded", "Steps are whole.", [_EXACT, 227.9, 227.95, 227.948]),
    ],
    hint="Each step multiplies the share by 1−β. Loop.",
    praise="The logarithm has it without a loop: T > log 0.01 / log 0.98.",
)

EXERCISES = [Q_STEP, MOMENTS, RUN_CHAIN, STEPS_NEEDED]
