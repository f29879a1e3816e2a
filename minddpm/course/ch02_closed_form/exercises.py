"""The exercises of notebook 02: the jump, and where a schedule ends."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from minddpm.course.ch02_closed_form.exercises_jump import Q_SAMPLE
from minddpm.course.kit.exercise import Exercise, Mistake, mistakes

_ONE = torch.ones(1, dtype=torch.float64)


def _linear(T: int, low: float = 1e-4, high: float = 0.02) -> Tensor:
    """Return β_1…β_T of a range, not rescaled."""
    return torch.linspace(low, high, T, dtype=torch.float64)


# --- 2.1 ------------------------------------------------------------------------------

_SHARE, _IN_1000, _RESCALED = (
    float((1 - betas).prod())
    for betas in (_linear(50), _linear(1000), 20 * _linear(50))
)

LAST_SIGNAL = Exercise(
    "Exercise 2.1: predict √ᾱ_T for T = 50",
    _SHARE**0.5,
    name="last_signal",
    tolerance=0.03,
    expects="√ᾱ_50, within 0.03",
    mistakes=[
        Mistake(
            "variance_or_std",
            "That is a share of the variance. What factor has x_0?",
            [_SHARE, 1 - _SHARE],
        ),
        Mistake(
            "swapped",
            "That is the factor of the noise. The two squares add up to 1.",
            [(1 - _SHARE) ** 0.5],
        ),
        Mistake(
            "terminal_noise",
            "Pure noise? How much is Σβ_t over 50 steps of this range?",
            [0.0, _IN_1000**0.5, _RESCALED**0.5],
        ),
        Mistake(
            "sum_not_half",
            "β grows from 0.0001 to 0.02: what is its mean? And the root?",
            [math.exp(-0.5 * 50 * 0.02), math.exp(-1)],
        ),
    ],
    hint="Estimate Σβ_t from the number of steps and the mean of β.",
    praise="So x_50 is still mostly picture. Where it matters: sampling.",
)

# --- 2.2 ------------------------------------------------------------------------------


def alpha_bars(betas: Tensor) -> Tensor:
    """ᾱ_0 = 1, ᾱ_t = (1−β_1)(1−β_2) … (1−β_t): what every later notebook looks up.

    Args:
        betas: β_1…β_T, (T,) float.

    Returns:
        (T+1,).
    """
    return torch.cat([_ONE, (1 - betas.double()).cumprod(0)])


def _tables() -> Iterator[dict[str, Tensor]]:
    yield {"betas": torch.tensor([0.02, 0.1, 0.05, 0.3, 0.15, 0.4, 0.2, 0.35])}
    yield {"betas": torch.tensor([0.3])}
    yield {"betas": _linear(300).float()}


def _wrong_tables(betas: Tensor) -> dict[str, list[Tensor]]:
    """Return the tables that known mistakes give."""
    beta, alpha, right = betas.double(), 1 - betas.double(), alpha_bars(betas)
    left, shifted = right[1:], alpha_bars(betas[1:])
    behind_1 = {  # with ᾱ_0 = 1 in front, and without
        "product_to_T": [left[-1].expand(len(alpha)), alpha.flip(0).cumprod(0).flip(0)],
        "sum_not_product": [
            *(1 - beta.cumsum(0), (1 - beta.cumsum(0)).clamp(min=0)),
            alpha.cumsum(0),
        ],
        "beta_for_alpha": [beta.cumprod(0)],
        "variance_or_std": [left.sqrt()],
        "which_alpha": [alpha],
    }
    first = beta[:1]
    fronts = [[left], [0 * _ONE, left], [first, left], [1 - first, left * (1 - first)]]
    return {
        "first_entry": [
            torch.cat(parts) for parts in (*fronts, [left, _ONE], [left, left[-1:]])
        ],
        "index_shift": [
            *(right[:-1], torch.cat([_ONE, right[:-1]])),
            *(shifted, torch.cat([_ONE, shifted])),
        ],
        "swapped": [1 - right, 1 - left],
        **{k: v + [torch.cat([_ONE, x]) for x in v] for k, v in behind_1.items()},
    }


def _show_table(table: Tensor, betas: Tensor) -> str:
    given, first = (", ".join(f"{x:.4g}" for x in row[:4]) for row in (betas, table))
    return f"β = {given}, … gives {len(table)} entries: {first}, …"


_TABLE_HINTS = {
    "first_entry": "Entry 0 stands for x_0 itself, before any noise: what is ᾱ_0?",
    "index_shift": "Entry t must hold α_1 … α_t, no factor more and no factor less.",
    "product_to_T": "Each t has a product of its own, of the factors up to t.",
    "sum_not_product": "Shares multiply: 0.9 of 0.9 is 0.81.",
    "beta_for_alpha": "A step keeps the share α = 1 − β. Which one multiplies?",
    "variance_or_std": "ᾱ is a share of the variance. No root is taken here.",
    "which_alpha": "This is α_t: what step t alone keeps. ᾱ_t is for all up to t.",
    "swapped": "This is 1 − ᾱ_t, the share of the noise.",
}

ALPHA_BARS = Exercise(
    "Exercise 2.2: the table of ᾱ",
    alpha_bars,
    _tables,
    mistakes(_TABLE_HINTS, _wrong_tables),
    show=_show_table,
    hint="Write down ᾱ_0, ᾱ_1 and ᾱ_2 in terms of β_1 and β_2, and compare.",
    praise="The package has it as Schedule.from_betas(betas).alpha_bars.",
)

# --- 2.4 ------------------------------------------------------------------------------


def rescaled_betas(T: int) -> Tensor:
    """β_t from 0.0001 · 1000/T to 0.02 · 1000/T, so that Σβ_t does not depend on T.

    Args:
        T: number of steps, at least 21.

    Returns:
        β_1…β_T, (T,).
    """
    return _linear(T) * 1000 / T


def _show_betas(betas: Tensor, T: int) -> str:
    end = float((1 - betas).clamp(min=0).prod()) ** 0.5
    return f"T = {T}: {len(betas)} β's, Σβ_t = {betas.sum():.2f}, √ᾱ_T = {end:.3f}"


def _wrong_betas(T: int) -> dict[str, list[Tensor]]:
    """Return the β's that known mistakes give."""
    factor, every, plain, whole = 1000 / T, 1000 // T, _linear(T), _linear(1000)
    longer, shorter = (_linear(n, 0.1 / T, 20 / T) for n in (T + 1, T - 1))
    thinned = whole[::every], whole[every - 1 :: every], whole[every - 1 :: every][:T]
    return {
        "terminal_noise": [plain, *thinned, whole[:T]],
        "swapped": [plain / factor],
        "rounded_factor": [plain * every, plain * -(-1000 // T)],
        "not_linear": [1 - (1 - plain) ** factor],
        "variance_or_std": [plain * factor**0.5, plain * factor**2],
        "one_end_only": [_linear(T, 1e-4, 20 / T), _linear(T, 0.1 / T, 0.02)],
        "index_shift": [longer, longer[1:], longer[:-1], shorter],
        "first_entry": [torch.cat([0 * _ONE, plain * factor])],
        "constant_beta": [(plain * factor).mean().expand(T)],
    }


_BETAS_HINTS = {
    "terminal_noise": "The sum of your β's is far from that of the 1000 steps.",
    "swapped": "Fewer steps must each add more noise: which way round is the factor?",
    "variance_or_std": "β_t is a variance, and Σβ_t must stay. No root, no square.",
    "one_end_only": "Both ends of the range, β_1 and β_T, take the same factor.",
    "index_shift": "The first entry is β_1, the last is β_T: T entries in all.",
    "first_entry": "The result holds β_1…β_T. β_0 = 0 is put in front later.",
    "constant_beta": "β_t grows linearly from its first to its last value.",
    "rounded_factor": "1000//T is a whole number; which factor does T = 400 need?",
    "not_linear": "That keeps ᾱ_T even better, but β_t no longer grows linearly.",
}

RESCALED_BETAS = Exercise(
    "Exercise 2.4: β for fewer steps",
    rescaled_betas,
    lambda: [{"T": T} for T in (50, 400, 1000, 25)],
    mistakes(_BETAS_HINTS, _wrong_betas),
    tolerance=1e-5,
    show=_show_betas,
    hint="Print the sum of your β's, and the first and the last, for T = 50 and 1000.",
    praise="In the package: Schedule.linear(T, rescale=True).",
)

EXERCISES = [LAST_SIGNAL, ALPHA_BARS, Q_SAMPLE, RESCALED_BETAS]
