"""The exercises of notebook 01: a step, the chain, and what becomes of the variance."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from minddpm.course.ch01_forward_chain.exercises_chain import Q_STEP, RUN_CHAIN
from minddpm.course.kit.exercise import Exercise, Inputs, Mistake
from minddpm.course.kit.means import mistakes_of

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
    return _run(m0, (1 - b).sqrt()), _run(v0, 1 - b, b)


def _run(start: float, factor: Tensor, added: Tensor | float = 0.0) -> Tensor:
    """Return u_0…u_T with u_t = factor_t u_{t−1} + added_t."""
    values = [start]
    both = factor[1:].tolist(), (added + 0 * factor)[1:].tolist()
    for f, a in zip(*both, strict=True):
        values.append(f * values[-1] + a)
    return torch.tensor(values, dtype=torch.float64)


def _wrong(m0: float, v0: float, betas: Tensor) -> dict[str, list[Moments]]:
    """Return wrong means and variances, by the name of the mistake."""
    m, v = moments(m0, v0, betas)
    b = betas.double()
    keep, one = 1 - b, torch.ones_like(b)
    late = torch.cat([b[:1], b[:-1]])
    sooner = torch.cat([b[:1], b[2:], b[-1:]])
    gains = [(keep, b), (keep.sqrt(), b), (keep.sqrt(), b.sqrt()), (keep, b.sqrt())]
    gains += [(keep**2, b**2), (keep**2, b), (keep, b**2)]
    means = _run(m0, keep.sqrt()), _run(m0, keep)
    runs = [(mean, _run(v0, *gain)) for mean in means for gain in gains]
    return {
        "variance_or_std": runs[1:],
        "index_shift": [
            *(moments(m0, v0, late), moments(m0, v0, sooner)),
            (torch.cat([m[:1], m[:-1]]), torch.cat([v[:1], v[:-1]])),
        ],
        "no_start": [(m[1:], v[1:])],
        "stops_early": [(m[:-1], v[:-1])],
        "no_weight": [(x, _run(v0, one, b)) for x in (m, _run(m0, one))],
        "no_noise": [(m, _run(v0, keep)), (m, _run(v0, keep.sqrt()))],
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
        betas = torch.cat(
            [torch.zeros(1), (0.05 + 0.5 * torch.rand(T)) * min(1, 5 / T)]
        )
        yield {"m0": m0, "v0": v0, "betas": betas}


MOMENTS = Exercise(
    "Exercise 1.2: mean and variance at every step",
    moments,
    _tables,
    mistakes_of(_wrong, _HINTS),
    hint="Write down mean and variance of √(1−β_t) x_{t−1} + √β_t ε, term by term.",
    praise="What is left of v0 − 1 after each step? And of the mean?",
)

# --- 1.4 ------------------------------------------------------------------------------

_EXACT = math.log(0.01) / math.log(0.98)
_ROOTS = [2 * _EXACT, 455, 456, 457]


def _between(got: Tensor, right: Tensor) -> bool:
    return bool(got != got.round()) and abs(float(got) - _EXACT) < 0.06


STEPS_NEEDED = Exercise(
    "Exercise 1.4: how many steps?",
    math.ceil(_EXACT),
    name="steps_needed",
    tolerance=1e-9,
    show=lambda T: f"T = {float(T):g}: the share left is {100 * 0.98**T:.4g} %",
    expects="the first T with less than 1 %",
    mistakes=[
        Mistake("index_shift", "At your T the share is still above 1 %.", [227]),
        Mistake("one_too_many", "One step less is enough already.", [229]),
        Mistake("variance_or_std", "The share has 1−β, without a root.", _ROOTS),
        Mistake(
            "not_multiplied", "A step takes 2 % of what is left.", [49, 49.5, 50, 51]
        ),
        Mistake("not_rounded", "Steps are whole: which is the first?", sign=_between),
    ],
    hint="Each step multiplies the share by 1−β. Loop.",
    praise="The logarithm has it without a loop: T > log 0.01 / log 0.98.",
)

EXERCISES = [Q_STEP, MOMENTS, RUN_CHAIN, STEPS_NEEDED]
