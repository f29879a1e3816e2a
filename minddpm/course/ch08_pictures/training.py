"""The checks of exercises 8.2 and 8.3 in notebook 08: the EMA, and the loss by t."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

# --- 8.2: one update of the average --------------------------------------------------

_SHAPES = [(3, 4), (4,), (), (2, 1, 2)]
_EMA_HINTS = {
    "swapped": "d is the share of the *old* average that is kept.",
    "no_update": "The average came back as it was. `a = …` in a loop gives a name to a "
    "new tensor; it does not write into the old one.",
    "no_average": "These are the present weights; where is the old average?",
    "wrong_sign": "Both shares are positive and add up to 1.",
    "no_weight": "Both terms need a factor; the two factors add up to 1.",
    "half": "d decides the shares. It is not always ½.",
    "squared": "d acts once an update: did you use it twice?",
    "bias_corrected": "Nothing is to be divided here: the average starts at the "
    "weights themselves, not at 0 as Adam's do.",
    "first_entry": "Some tensors of the list were not updated.",
    "keeps_graph": "The result records gradients, and with it the graph of all steps "
    "so far. Which tool of PyTorch cuts that: .detach(), or no_grad?",
    "alias": "The average shares its memory with the weights: the next training step "
    "will change both.",
    "changes_its_input": "Training goes on from the weights: write into the average, "
    "or into a new tensor.",
    "": "One tensor at a time: d times the old average, plus 1 − d times the weight.",
}


@check("Exercise 8.2: one update")
def check_ema_update(function: Callable[..., Any]) -> Report:
    """Check `ema_update(average, weights, d)`, one step of the average.

    θ̄ ← d θ̄ + (1 − d) θ, for each tensor of a list

    Args:
        function: takes the average, a list of tensors; the weights, a list of
            parameters of the same shapes; and d in [0, 1). Returns the new average, a
            list of tensors without gradient that do not share the weights' memory. It
            may write into the old average, not into the weights.

    Returns:
        The report; the comparison is deterministic.
    """
    for d in (0.9, 0.6, 0.0):
        average = [torch.randn(shape) for shape in _SHAPES]
        weights = [nn.Parameter(torch.randn(shape)) for shape in _SHAPES]
        for _ in range(2):
            average = _update(function, average, weights, d)
            with torch.no_grad():  # a training step
                for p in weights:
                    p.add_(torch.randn(p.shape))
    return Report(
        measured="two updates with d = 0.9, 0.6 and 0, the weights changing between",
        expected="d·average + (1 − d)·weights, in every tensor",
        hint="In the package this is EMA.update, whose d grows from 2/11 on.",
    )


def _update(
    function: Callable[..., Any],
    average: list[Tensor],
    weights: list[nn.Parameter],
    d: float,
) -> list[Tensor]:
    """Return the student's new average, if it is right in every respect."""
    old = [a.double().clone() for a in average]
    now = [p.detach().double().clone() for p in weights]
    raw: list[Any] = []

    @functools.wraps(function)
    def kept(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        raw[:] = result if isinstance(result, tuple | list) else [result]
        return result

    given: dict[str, Any] = {"average": average, "weights": weights, "d": d}
    got = call(kept, list(_SHAPES), **given)
    pairs = zip(weights, now, strict=True)
    if any(not torch.equal(p.detach().double(), n) for p, n in pairs):
        said = "your function changed the weights"
        raise _wrong("changes_its_input", said, "the weights as they were")
    right = [d * a + (1 - d) * n for a, n in zip(old, now, strict=True)]
    if z_score(_flat(got), _flat(right), 1e-5) > 1:
        fine = [_near(g, r) for g, r in zip(got, right, strict=True)]
        k = fine.index(False)
        said = f"d = {d:g}, average {_show(old[k])}, weights {_show(now[k])}: "
        mistake = _name(got, old, now, d)
        raise _wrong(mistake, said + _show(got[k]), _show(right[k]))
    if any(isinstance(r, Tensor) and r.requires_grad for r in raw):
        said = "the new average has requires_grad = True"
        raise _wrong("keeps_graph", said, "tensors without gradient")
    memory = {p.untyped_storage().data_ptr() for p in weights}
    tensors = [r for r in raw if isinstance(r, Tensor)]
    if any(r.untyped_storage().data_ptr() in memory for r in tensors):
        said = "the new average shares memory with the weights"
        raise _wrong("alias", said, "memory of its own")
    return [torch.as_tensor(r) for r in raw]


def _wrong(mistake: str | None, measured: Any, expected: Any) -> Wrong:
    return Wrong(mistake, measured, expected, _EMA_HINTS[mistake or ""])


def _name(
    got: list[Tensor], old: list[Tensor], now: list[Tensor], d: float
) -> str | None:
    """Return the name of the mistake that gives this average, or None."""
    a, n, right = _flat(old), _flat(now), d * _flat(old) + (1 - d) * _flat(now)
    known = {
        "swapped": (1 - d) * a + d * n,
        "no_update": a,
        "no_average": n,
        "wrong_sign": [d * a - (1 - d) * n, (1 - d) * n - d * a, d * a + (d - 1) * n],
        "no_weight": [
            *(a + (1 - d) * n, d * a + n, a + n, d * a, (1 - d) * n),
            *(a + d * n, (1 + d) * a + (1 - d) * n, d * (a + n), (1 - d) * (a + n)),
        ],
        "half": (a + n) / 2,
        "squared": d * d * a + (1 - d * d) * n,
        "bias_corrected": [right / (1 - d), right / (1 - d * d)],
    }
    mistake = name_mistake(_flat(got), known, 1e-5)
    if mistake is None:
        triples = list(zip(got, old, now, strict=True))
        fine = [_near(g, d * x + (1 - d) * y) for g, x, y in triples]
        same = [_near(g, x) for g, x, _ in triples]
        if any(fine) and all(f or s for f, s in zip(fine, same, strict=True)):
            return "first_entry"
    return mistake


def _near(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= 1e-5)


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.double().reshape(-1) for t in tensors])


def _show(tensor: Tensor) -> str:
    return f"{float(tensor.reshape(-1)[0]):.4f}"


# --- 8.3: the loss at each t ---------------------------------------------------------

_LOSS_HINTS = {
    "index_shift": "Entry t belongs to time t, and entry 0 to no draw at all.",
    "reduction": "Each time was drawn more or less often: divide each sum by its own "
    "count.",
    "not_weighted": "Each draw counts the same, whichever order they come in: sum, and "
    "divide once.",
    "one_count": "All sums were divided by the same number. Each t has its own count.",
    "last_only": "table[t] = losses keeps one draw of each t, the last one written. "
    "Draws of the same t have to be added.",
    "wrong_shape": "T + 1 entries, also when the largest times were never drawn.",
    "squared": "The losses are squares already.",
    "not_squared": "The losses as they are: no root.",
    "cumulative": "The draws with *this* t, not with all times up to it.",
    "overall": "One mean for each t, not the mean of all draws.",
    "median": "The mean, not the median: floors and losses are means.",
    "swapped": "Return the means first, then the counts.",
    "no_draw": "A time without a draw has mean 0 and count 0: nothing is known there.",
    "wrong_count": "The second result says how many draws have this t.",
    "share": "How many draws, not which share of them.",
    "": "Count the draws of each t, add up their losses, and divide.",
}


@check("Exercise 8.3: the loss at each t")
def check_loss_by_t(function: Callable[..., Any]) -> Report:
    """Check `loss_by_t(losses, t, T)`: mean loss and number of draws for each time.

    mean_t = Σ_{i: t_i = t} l_i / n_t, and 0 where n_t = 0

    Args:
        function: takes the losses, (n,) float; their times, (n,) int64 in 1…T; and T.
            Returns the means and the counts, (T+1,) each; entry t belongs to time t.

    Returns:
        The report; the comparison is deterministic.
    """
    for n, T, high in ((60, 12, 9), (400, 30, 30), (5, 7, 7)):
        t = torch.randint(1, high + 1, (n,))
        t[:2] = torch.tensor([1, high])
        t[t == 4] = 5  # a time in the middle that nobody drew
        losses = torch.rand(n) + t / T
        got = call(function, [(None,), (None,)], losses=losses, t=t, T=T)
        _judge_by_t(got, losses.double(), t, T)
    return Report(
        measured=f"n = {n}, T = {T}: counts {got[1].long().tolist()}",
        expected="every draw at its own time, none at 0, and 0 where none was drawn",
        hint="Few draws make a noisy mean: the counts say how far to trust each entry.",
    )


def _judge_by_t(got: tuple[Tensor, Tensor], losses: Tensor, t: Tensor, T: int) -> None:
    """Raise unless means and counts are right."""
    count = torch.bincount(t, minlength=T + 1).double()
    total = torch.bincount(t, weights=losses, minlength=T + 1)
    mean, n = total / count.clamp(min=1), len(t)
    where = f"n = {n}, T = {T}: "
    for result, name in zip(got, ("means", "counts"), strict=True):
        if len(result) != T + 1:
            cut_short = len(result) == int(t.max()) + 1
            without_0 = len(result) == T and not cut_short
            said = f"{where}{len(result)} {name}"
            shape = "index_shift" if without_0 else "wrong_shape"
            raise _missed(shape, said, f"{T + 1}")
    if z_score(got[0], mean, 1e-4) > 1:
        last = torch.zeros(T + 1, dtype=torch.float64)
        halves = torch.zeros(T + 1, dtype=torch.float64)
        for time, value in zip(t.tolist(), losses, strict=True):
            last[time] = value
            halves[time] = value if halves[time] == 0 else (halves[time] + value) / 2
        drawn = count > 0
        middles = torch.zeros(T + 1, dtype=torch.float64)
        for k in range(T + 1):
            if drawn[k]:
                middles[k] = losses[t == k].median()
        up_to = total.cumsum(0) / count.cumsum(0).clamp(min=1)
        everywhere = torch.full_like(mean, float(losses.mean()))
        known = {
            "swapped": count,
            "index_shift": [mean.roll(-1), mean.roll(1)],
            "reduction": total,
            "one_count": [total / k for k in (n, T, T + 1, n / T, count.max())],
            "last_only": last,
            "not_weighted": halves,
            "squared": torch.bincount(t, losses**2, T + 1) / count.clamp(min=1),
            "not_squared": torch.bincount(t, losses.sqrt(), T + 1) / count.clamp(min=1),
            "cumulative": up_to,
            "overall": [everywhere, everywhere * drawn],
            "median": middles,
        }
        mistake = name_mistake(got[0], known, 1e-4)
        if mistake is None and z_score(got[0][drawn], mean[drawn], 1e-4) <= 1:
            mistake = "no_draw"
        k = int((got[0] - mean).abs().argmax())
        said = f"{where}at t = {k} a mean of {got[0][k]:.4f}"
        raise _missed(mistake, said, f"{mean[k]:.4f}, of {int(count[k])} draws")
    if z_score(got[1], count, 1e-6) > 1:
        known = {
            "index_shift": [count.roll(-1), count.roll(1)],
            "share": [count / n, count / count.max()],
            "no_draw": count.clamp(min=1),
            "cumulative": count.cumsum(0),
            "wrong_count": [
                total,
                mean,
                (count > 0).double(),
                torch.full_like(count, n),
            ],
        }
        k = int((got[1] - count).abs().argmax())
        said = f"{where}at t = {k} a count of {got[1][k]:.4g}"
        mistake = name_mistake(got[1], known, 1e-4)
        raise _missed(mistake, said, f"{int(count[k])}")


def _missed(mistake: str | None, measured: Any, expected: Any) -> Wrong:
    return Wrong(mistake, measured, expected, _LOSS_HINTS[mistake or ""])
