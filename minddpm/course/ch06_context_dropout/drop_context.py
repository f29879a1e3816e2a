"""The check of context dropout in notebook 06."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

_LIMIT = 5.0  # standard errors
_ROWS, _CALLS = 128, 200
_P = 0.3

_HINTS = {
    "wrong_sign": "A kept label must reach the network as it was. Print 1 − mask for a "
    "mask of 0 and of 1: which of them are your factors?",
    "rescaled": "Kept rows stay as they are: this is no nn.Dropout, which divides what "
    "it keeps by 1 − p.",
    "not_drawn": "By chance, a label is told or not told; never told by halves.",
    "per_coordinate": "A label is dropped as a whole, with all its numbers: one draw a "
    "row. What shape has your draw?",
    "zero_label": "Row 0 of the one-hot vectors is a class. No class has the vector of "
    "zeros.",
    "one_label": "“No label” is a vector of zeros: one that no class has.",
    "inverted_mask": "1 in the mask means dropped, and drop_prob is the probability of "
    "a 1. Where does 1 − … belong?",
    "redrawn_mask": "The mask that you return must be the one that you applied: draw "
    "it once.",
    "not_a_mask": "A mask holds zeros and ones.",
    "shared_draw": "Samples are dropped together. Each needs a draw of its own: what "
    "shape has your draw?",
    "same_draws": "Draw anew at every call; do not set a seed inside.",
    "fixed_count": "Each sample is dropped by a draw of its own; so how many of a "
    "batch are dropped differs from call to call.",
    "never_drops": "No label was ever dropped.",
    "drops_all": "Every label was dropped.",
    "ignores_drop_prob": "The share of dropped labels must follow drop_prob.",
    "which_noise": "Which of torch's random functions draws numbers from 0 to 1, "
    "uniformly, and which normal ones?",
    "wrong_rate": "drop_prob is the probability of each draw, as it stands.",
    "": "Return v with some rows set to 0, and a mask that is 1 for these rows.",
}


def _fail(
    mistake: str | None, measured: Any, expected: Any, apart: float | None = None
) -> Wrong:
    return Wrong(mistake, measured, expected, _HINTS[mistake or ""], apart)


@check("Exercise 6.1: context dropout")
def check_drop_context(function: Callable[..., Any]) -> Report:
    """Check `drop_context(v, drop_prob)`, with rows and mask one by one.

    m ~ Bernoulli(p) for each row; told = (1 − m) v

    Args:
        function: takes vectors v, (B, K) float, and drop_prob in [0, 1]. Returns what
            the network is told, (B, K), and the mask, (B,), 1 where v was dropped.

    Returns:
        The report. Rows and mask are compared exactly; of the draws it measures the
        rate, and whether they are independent.
    """
    v = torch.randn(48, 5)
    for p in (0.5, 0.25):
        _judge_rows(function, v, p)
    classes = torch.randint(4, (_ROWS,))
    dropped = _dropped(function, F.one_hot(classes, 4).float(), _P)
    _judge_draws(dropped)
    measured = _judge_rate(dropped, _P)
    _judge_classes(dropped, classes)
    few = F.one_hot(classes[:32], 4).float()
    for p in (0.0, 1.0, 0.04):
        _judge_rate(_dropped(function, few, p), p)
    rate, error = measured
    return Report(
        measured=f"{rate:.1%} of {_ROWS * _CALLS:,} labels dropped; the others arrived "
        "unchanged",
        expected=f"{_P:.0%}, a draw a sample; kept labels unchanged",
        standard_errors=z_score(rate, _P, error),
        hint="The package draws this mask in DDPM.forward; its networks apply it.",
    )


def _ask(
    function: Callable[..., Any], v: Tensor, drop_prob: float
) -> tuple[Tensor, Tensor]:
    """Return what the network is told and the mask, float64."""
    shapes: list[Any] = [tuple(v.shape), (len(v),)]
    told, mask = call(function, shapes, v=v, drop_prob=drop_prob)
    return told, mask


def _judge_rows(function: Callable[..., Any], v: Tensor, p: float) -> None:
    """Raise unless every row is kept as it was or zero, and the mask says which."""
    told, mask = _ask(function, v, p)
    wide = v.double()
    kept = (told - wide).abs().amax(1) < 1e-6
    zero = told.abs().amax(1) < 1e-9
    other = ~(kept | zero)
    if other.any():
        first = int(other.nonzero()[0])
        raise _fail(
            _name_rows(told[other], wide[other], p),
            f"the row {_row(v[first])} became {_row(told[first])}",
            "each row as it was, or zeros",
        )
    expected = "1 where the row was dropped, 0 where it was kept"
    if not ((mask == 0) | (mask == 1)).all():
        negative = bool(((mask == 0) | (mask == -1)).all())
        mistake = "wrong_sign" if negative else "not_a_mask"
        raise _fail(mistake, f"a mask with {float(mask.min()):g} in it", expected)
    if (agree := int((mask == zero).sum())) < len(v):
        mistake = "redrawn_mask" if agree else "inverted_mask"
        said = f"mask and rows agree in {agree} of {len(v)} samples"
        raise _fail(mistake, said, expected)


def _name_rows(told: Tensor, v: Tensor, p: float) -> str | None:
    """Name what happened to rows that are neither as they were nor zero."""
    ratio = told / v
    if z_score(ratio, -1, 1e-4) <= 1:
        return "wrong_sign"
    scaled = torch.where(told == 0, 1 / (1 - p), ratio)
    if z_score(scaled, 1 / (1 - p), 1e-4) <= 1 and told.all():
        return "rescaled"
    if z_score(ratio, 1 - p, 1e-4) <= 1 or z_score(ratio, p, 1e-4) <= 1:
        return "not_drawn"
    if not told.all() and z_score(ratio[told != 0], ratio[told != 0][0], 1e-4) <= 1:
        return "per_coordinate"  # rescaled or not, some numbers of a row are missing
    if z_score(told, told[0], 1e-6) <= 1:
        first = F.one_hot(torch.tensor(0), v.shape[1])
        return "zero_label" if z_score(told[0], first, 1e-6) <= 1 else "one_label"
    return None


def _dropped(function: Callable[..., Any], v: Tensor, p: float) -> Tensor:
    """Return which rows many calls dropped, (_CALLS, B) bool."""
    return torch.stack([_ask(function, v, p)[1] > 0.5 for _ in range(_CALLS)])


def _judge_draws(dropped: Tensor) -> None:
    """Raise unless the samples of a batch, and the calls, are drawn by themselves."""
    expected = "a draw for each sample, new at every call"
    if not dropped.any():
        raise _fail("never_drops", f"0 of {dropped.numel():,} labels dropped", expected)
    if dropped.all():
        raise _fail("drops_all", f"all {dropped.numel():,} labels dropped", expected)
    counts = dropped.sum(1)
    if ((counts == 0) | (counts == _ROWS)).all():
        said = "in every batch, all labels were dropped or none"
        raise _fail("shared_draw", said, expected)
    if (dropped == dropped[0]).all():
        raise _fail("same_draws", "every call dropped the same samples", expected)
    if (counts == counts[0]).all():
        said = f"in every batch of {_ROWS}, {int(counts[0])} labels were dropped"
        raise _fail("fixed_count", said, "a number that varies, as draws of their own")
    # neighbours, and a sample in one call and the next
    q = float(dropped.double().mean())
    x = dropped.double() - q
    for a, b in ((x[:, 1:], x[:, :-1]), (x[1:], x[:-1])):
        z = z_score((a * b).mean(), 0, q * (1 - q) / math.sqrt(a.numel()))
        if z > _LIMIT:
            raise _fail("shared_draw", "draws that depend on each other", expected, z)
    # Σ (k − mean)² / (B q (1−q)) is χ² of n−1 degrees, q the rate that was found
    chi2 = float((counts - counts.double().mean()).square().sum()) / (
        _ROWS * q * (1 - q)
    )
    apart = (chi2 - (_CALLS - 1)) / math.sqrt(2 * (_CALLS - 1))
    said = f"dropped in a batch of {_ROWS}: {counts.double().mean():.1f} ± "
    said += f"{counts.double().std():.2f} labels"
    by_chance = f"± {math.sqrt(_ROWS * q * (1 - q)):.2f} for draws of their own"
    if abs(apart) > _LIMIT:
        mistake = "fixed_count" if apart < 0 else "shared_draw"
        raise _fail(mistake, said, by_chance, abs(apart))


def _judge_rate(dropped: Tensor, p: float) -> tuple[float, float]:
    """Raise unless the share of dropped labels is p; return it and its error."""
    rate = float(dropped.double().mean())
    error = math.sqrt(p * (1 - p) / dropped.numel())
    apart = z_score(rate, p, error)
    if apart > _LIMIT:
        normal = 0.5 * (1 + math.erf(p / math.sqrt(2)))  # randn < p
        known = {
            "inverted_mask": 1 - p,
            "which_noise": [normal, 1 - normal],
            "ignores_drop_prob": [0.1, 0.5, 0.2],
            "wrong_rate": [p**2, math.sqrt(p), p / 2, 2 * p],
        }
        name = name_mistake(rate, known, 0.02) or "wrong_rate"
        raise _fail(name, f"{rate:.1%} dropped", f"{p:.0%}", apart)
    return rate, error


def _judge_classes(dropped: Tensor, classes: Tensor) -> None:
    """Raise unless all places in the batch, and all classes, are dropped alike."""
    error = math.sqrt(_P * (1 - _P) / _CALLS)
    z = z_score(dropped.double().mean(0), _P, error)
    for k in classes.unique().tolist():
        own = dropped[:, classes == k].double()
        own_error = math.sqrt(_P * (1 - _P) / own.numel())
        z = max(z, z_score(own.mean(), _P, own_error))
    if z > _LIMIT:
        said = "some places of the batch are dropped more often than others"
        raise _fail(None, said, "the same probability for all", z)


def _row(row: Tensor) -> str:
    """Write the first numbers of a row."""
    return "(" + ", ".join(f"{float(x):.2f}" for x in row[:3]) + ", …)"
