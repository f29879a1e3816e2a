"""Checks of the exercises in notebook 02: the tables of a schedule, and its end."""

import math
from collections.abc import Callable, Mapping, Sequence
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


def _linear(T: int) -> Tensor:
    """Return β_1…β_T of the range that was made for T = 1000, not rescaled."""
    return torch.linspace(1e-4, 0.02, T, dtype=torch.float64)


def _name_table(table: Tensor, known: Mapping[str, Sequence[Tensor]]) -> str | None:
    """Name the mistake that gives this table, among those that give its length."""
    same = {k: [x for x in v if len(x) == len(table)] for k, v in known.items()}
    return name_mistake(table, {k: v for k, v in same.items() if v}, 1e-5)


# --- 2.1 -----------------------------------------------------------------------------

_GUESS_HINTS = {
    "variance_or_std": "That is a share of the variance. What factor has x_0?",
    "swapped": "That is the factor of the noise. The two squares add up to 1.",
    "terminal_noise": "Pure noise? How much is Σβ_t over 50 steps of this range?",
    "sum_not_half": "β grows from 0.0001 to 0.02: what is its mean? And the root?",
    "": "Estimate Σβ_t from the number of steps and the mean of β.",
}


@check("Exercise 2.1: predict √ᾱ_T for T = 50", number=True)
def check_last_signal(guess: float) -> Report:
    """Check a guess of √ᾱ_T for 50 steps with β from 0.0001 to 0.02.

    √ᾱ_T = √((1−β_1) … (1−β_T)) ≈ exp(−Σβ_t / 2)

    Args:
        guess: a number in [0, 1]; 0.03 from the truth is near enough.

    Returns:
        The report.
    """
    ends = ((1 - b).prod() for b in (_linear(50), _linear(1000), 20 * _linear(50)))
    share, in_1000, rescaled = map(float, ends)
    known = {
        "variance_or_std": [share, 1 - share],
        "swapped": (1 - share) ** 0.5,
        "terminal_noise": [0.0, in_1000**0.5, rescaled**0.5],
        "sum_not_half": [math.exp(-0.5 * 50 * 0.02), math.exp(-1)],
    }
    if abs(guess - share**0.5) > 0.03:
        mistake = name_mistake(guess, known, tolerance=0.011)
        raise Wrong(mistake, guess, "√ᾱ_50, within 0.03", _GUESS_HINTS[mistake or ""])
    hint = "So x_50 is still mostly picture. Where it matters: sampling."
    return Report(measured=guess, expected=share**0.5, hint=hint)


# --- 2.2 -----------------------------------------------------------------------------

_TABLE_HINTS = {
    "first_entry": "Entry 0 stands for x_0 itself, before any noise: what is ᾱ_0?",
    "index_shift": "Entry t must hold α_1 … α_t, no factor more and no factor less.",
    "product_to_T": "Each t has a product of its own, of the factors up to t.",
    "sum_not_product": "Shares multiply: 0.9 of 0.9 is 0.81.",
    "beta_for_alpha": "A step keeps the share α = 1 − β. Which one multiplies?",
    "variance_or_std": "ᾱ is a share of the variance. No root is taken here.",
    "which_alpha": "This is α_t: what step t alone keeps. ᾱ_t is for all up to t.",
    "swapped": "This is 1 − ᾱ_t, the share of the noise.",
    "wrong_shape": "One entry for each t in 0…T, so how many?",
    "": "Write down ᾱ_0, ᾱ_1 and ᾱ_2 in terms of β_1 and β_2, and compare.",
}


@check("Exercise 2.2: the table of ᾱ")
def check_alpha_bars(function: Callable[..., Any]) -> Report:
    """Check `alpha_bars(betas)`, the table that every later notebook looks up.

    ᾱ_0 = 1, ᾱ_t = (1−β_1)(1−β_2) … (1−β_t)

    Args:
        function: takes betas, (T,) float tensor of β_1…β_T; returns (T+1,).

    Returns:
        The report. It compares every entry, for three schedules.
    """
    uneven = torch.tensor([0.02, 0.1, 0.05, 0.3, 0.15, 0.4, 0.2, 0.35])
    for betas in (uneven, torch.tensor([0.3]), _linear(1000).float()):
        table = call(function, (None,), betas=betas)
        alpha, one = 1 - betas.double(), torch.ones(1).double()
        right = torch.cat([one, alpha.cumprod(0)])
        if len(table) == len(right) and z_score(table, right, 1e-3 * right) < 1:
            continue
        mistake = _name_table(table, _known_tables(alpha))
        if mistake is None and len(table) != len(right):
            mistake = "wrong_shape"
        elif mistake is None and torch.allclose(table[1:], right[1:], rtol=1e-3):
            mistake = "first_entry"
        given, first = (
            ", ".join(f"{x:.3f}" for x in values[:3]) for values in (betas, table)
        )
        raise Wrong(
            mistake,
            f"β = {given}, … gives {len(table)} entries: {first}, …",
            f"{len(right)} entries, of which entry 0 belongs to t = 0",
            _TABLE_HINTS[mistake or ""],
        )
    return Report(
        measured=f"ᾱ_T = {table[-1]:.3g} for the linear schedule with T = 1000",
        expected=f"{right[-1]:.3g}",
        hint="The same table is Schedule.linear(1000).alpha_bars.",
    )


def _known_tables(alpha: Tensor) -> dict[str, list[Tensor]]:
    """Return the tables that known mistakes give, from α_1…α_T."""
    one, product, beta = torch.ones(1).double(), alpha.cumprod(0), 1 - alpha
    right, to_T, left = torch.cat([one, product]), product[-1:], 1 - beta.cumsum(0)
    behind_1 = {  # with entry 0, and without
        "product_to_T": [to_T.expand(len(alpha)), alpha.flip(0).cumprod(0).flip(0)],
        "sum_not_product": [left, left.clamp(min=0), alpha.cumsum(0)],
        "beta_for_alpha": [beta.cumprod(0)],
        "variance_or_std": [product.sqrt()],
        "which_alpha": [alpha],
    }
    return {
        "first_entry": [
            product,
            torch.cat([0 * one, product]),
            torch.cat([alpha[:1], alpha]).cumprod(0),
            torch.cat([product, to_T]),
            torch.cat([product, one]),
        ],
        "index_shift": [
            torch.cat([one, right[:-1]]),
            right[:-1],
            right[1:] / alpha[0],  # β_1 taken for β_0
            torch.cat([one, right[1:] / alpha[0]]),
        ],
        "swapped": [1 - right, 1 - product],
        **{k: v + [torch.cat([one, x]) for x in v] for k, v in behind_1.items()},
    }


# --- 2.4 -----------------------------------------------------------------------------

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
    "right_sum": "Σβ_t is right. Now compare your first and last β, for T = 1000 too.",
    "wrong_shape": "One entry for each step, β_1…β_T.",
    "": "Print the sum of your β's for T = 50 and for T = 1000.",
}


@check("Exercise 2.4: β for fewer steps")
def check_rescaled_betas(function: Callable[..., Any]) -> Report:
    """Check `rescaled_betas(T)`, a linear schedule with as much noise as 1000 steps.

    β_t from 0.0001 · 1000/T to 0.02 · 1000/T, so that Σβ_t does not depend on T

    Args:
        function: takes T, an int of at least 21; returns β_1…β_T, (T,).

    Returns:
        The report. It compares every entry; the number to look at is √ᾱ_T.
    """
    for T in (50, 400, 1000, 25):
        betas = call(function, (None,), T=T)
        right = _linear(T) * 1000 / T
        end = (1 - betas).clamp(min=0).prod() ** 0.5
        if len(betas) == T and z_score(betas, right, 1e-5) <= 1:
            continue
        mistake = _name_table(betas, _known_betas(T))
        if mistake is None and len(betas) != T:
            mistake = "wrong_shape"
        same_sum = bool((betas.sum() - right.sum()).abs() < 0.01)
        raise Wrong(
            mistake,
            f"T = {T}: {len(betas)} β's, Σβ_t = {betas.sum():.2f}, √ᾱ_T = {end:.3f}",
            f"T = {T}: {T} β's, Σβ_t = {right.sum():.2f}",
            _BETAS_HINTS[mistake or ("right_sum" if same_sum else "")],
        )
    return Report(
        measured=f"T = 25: √ᾱ_T = {end:.4f}",
        expected="below 0.05, as for T = 50, 400 and 1000",
        hint="In the package: Schedule.linear(T, rescale=True).",
    )


def _known_betas(T: int) -> dict[str, list[Tensor]]:
    """Return the β's that known mistakes give."""
    factor, every, zero = 1000 / T, 1000 // T, torch.zeros(1).double()
    plain, whole, longer = _linear(T), _linear(1000), _linear(T + 1) * factor
    one_end = torch.linspace(1e-4, 0.02 * factor, T, dtype=torch.float64)
    return {
        "terminal_noise": [plain, whole[::every], whole[every - 1 :: every], whole[:T]],
        "swapped": [plain / factor],
        "rounded_factor": [plain * every, plain * (every + 1)],
        "not_linear": [1 - (1 - plain) ** factor],
        "variance_or_std": [plain * factor**0.5, plain * factor**2],
        "one_end_only": [one_end],
        "index_shift": [longer, longer[1:], longer[:-1], _linear(T - 1) * factor],
        "first_entry": [torch.cat([zero, plain * factor])],
        "constant_beta": [(plain * factor).mean().expand(T)],
    }
