"""Exercises 8.2 and 8.3: the average of the weights, and the loss by t."""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Results, mistakes
from minddpm.course.kit.report import Report, show

Wrongs = dict[str, list[Any]]  # wrong results by the name of the mistake


def pairs(right: tuple[Any, Any], first: Wrongs, second: Wrongs) -> Wrongs:
    """Return pairs of results of which one or both are wrong.

    Args:
        right: the right pair.
        first: wrong first results, by the name of the mistake.
        second: wrong second results, likewise.

    Returns:
        The pairs; both are wrong by the same mistake.
    """
    made = {}
    for name in [*first, *second]:
        wrong = first.get(name, []), second.get(name, [])
        firsts, seconds = ([x, *w] for x, w in zip(right, wrong, strict=True))
        made[name] = list(product(firsts, seconds))[1:]
    return made


def near(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are the same up to rounding; of any shapes."""
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-4)


# --- 8.2: one update of the average ---------------------------------------------------

_SHAPES: list[tuple[int, ...]] = [(3, 4), (4,), (), (2, 1, 2)]


def ema_update(
    average: Sequence[Tensor], weights: Sequence[Tensor], d: float
) -> tuple[Tensor, ...]:
    """θ̄ ← d θ̄ + (1 − d) θ, for each tensor of a list.

    Args:
        average: the average, a list of tensors; it may be written into.
        weights: parameters of the same shapes, not to be written into.
        d: the share that is kept, in [0, 1).

    Returns:
        The new average: tensors without gradient that do not share the weights' memory.
    """
    both = zip(average, weights, strict=True)
    return tuple(d * a + (1 - d) * p.detach() for a, p in both)


def _wrong_averages(
    average: Sequence[Tensor], weights: Sequence[Tensor], d: float
) -> Wrongs:
    """Return wrong averages; rules gives those of one tensor."""

    def rules(a: Tensor, n: Tensor) -> Wrongs:
        right = d * a + (1 - d) * n
        return {
            "swapped": [(1 - d) * a + d * n],
            "no_update": [a],
            "no_average": [n],
            "wrong_sign": [k * d * a + m * (1 - d) * n for k, m in ((1, -1), (-1, 1))],
            "no_weight": [
                *(a + (1 - d) * n, d * a + n, a + n, d * a, (1 - d) * n, a + d * n),
                *((1 + d) * a + (1 - d) * n, d * (a + n), (1 - d) * (a + n)),
            ],
            "half": [(a + n) / 2],
            "squared": [d * d * a + (1 - d * d) * n],
            "bias_corrected": [right / (1 - d), right / (1 - d * d)],
            "first_entry": [right if a.ndim == 2 else a, right if a.ndim > 1 else a],
            "keeps_graph": [(1 * right).requires_grad_()],
            "alias": [right if d else n],
        }

    both = zip(average, weights, strict=True)
    made = [rules(a, p.detach()) for a, p in both]
    return {name: list(zip(*(m[name] for m in made), strict=True)) for name in made[0]}


def _some_only(got: Results, right: Results, average: list[Tensor], **_: Any) -> bool:
    """Tell whether some tensors are right, and the others as they were."""
    fine = [near(g, r) for g, r in zip(got, right, strict=True)]
    same = [near(g, a) for g, a in zip(got, average, strict=True)]
    return any(fine) and all(f or s for f, s in zip(fine, same, strict=True))


_EMA_HINTS = {
    "swapped": "d is the share of the *old* average that is kept.",
    "no_update": "The old average came back. `a = …` in a loop only renames a tensor.",
    "no_average": "These are the present weights; where is the old average?",
    "wrong_sign": "Both shares are positive and add up to 1.",
    "no_weight": "Both terms need a factor; the two factors add up to 1.",
    "half": "d decides the shares. It is not always ½.",
    "squared": "d acts once an update: did you use it twice?",
    "bias_corrected": "This average starts at the weights, not at 0 as Adam's do.",
    "first_entry": "Some tensors of the list were not updated.",
    "keeps_graph": "The result records gradients, with the graph of all steps so far: "
    "which tool of PyTorch cuts that, .detach() or no_grad?",
    "alias": "The average is the weights: the next training step will change both.",
    "changes_its_input": "Training goes on from the weights: leave them as they are.",
}


def _updates() -> Iterator[Inputs]:
    for d in (0.9, 0.6, 0.0, 0.37):
        yield {
            "average": [1.5 * torch.randn(shape) - 0.2 for shape in _SHAPES],
            "weights": [nn.Parameter(torch.randn(shape) + 0.4) for shape in _SHAPES],
            "d": d,
        }


def _judge_update(exercise: Exercise, answer: Answer) -> Report:
    """Compare, with an eye on the weights and on the memory of the average."""
    found = {}

    @functools.wraps(answer)
    def watched(*args: Any, **named: Any) -> Any:
        weights = (*args, *named.values())[1]
        args, named = copy.deepcopy((args, named))  # it may write into the average
        own, result = (*args, *named.values())[1], answer(*args, **named)
        if not all(map(torch.equal, own, weights)):
            said = "your function changed the weights", "the weights as they were"
            raise exercise.wrong("changes_its_input", *said)
        memory = {p.untyped_storage().data_ptr() for p in own}
        for x in result if isinstance(result, list | tuple) else []:
            if isinstance(x, Tensor) and x.requires_grad:
                found["keeps_graph"] = "requires_grad = True", "no gradient"
            elif isinstance(x, Tensor) and x.untyped_storage().data_ptr() in memory:
                found["alias"] = "in the memory of the weights", "memory of its own"
        return result

    report = exercise.compare(watched)
    for name, (measured, expected) in found.items():
        raise exercise.wrong(name, f"the new average: {measured}", expected)
    return report


EMA_UPDATE = Exercise(
    "Exercise 8.2: one update",
    ema_update,
    _updates,
    mistakes(_EMA_HINTS, _wrong_averages, first_entry=_some_only),
    show=lambda result, d, **_: f"d = {d}: {show(result)}",
    hint="One tensor at a time: d times the old average, plus 1 − d times the weight.",
    praise="In the package this is EMA.update, whose d grows from 2/11 on.",
    tolerance=1e-5,
    judge=_judge_update,
)

# --- 8.3: the loss at each t ----------------------------------------------------------


def loss_by_t(losses: Tensor, t: Tensor, T: int) -> tuple[Tensor, Tensor]:
    """mean_t = Σ_{i: t_i = t} l_i / n_t, and 0 where n_t = 0.

    Args:
        losses: (n,) float.
        t: their times, (n,) int64 in 1…T.
        T: number of steps.

    Returns:
        The means and the counts, (T+1,) each; entry t belongs to time t.
    """
    count = torch.bincount(t, minlength=T + 1)
    total = torch.bincount(t, weights=losses.double(), minlength=T + 1)
    return total / count.clamp(min=1), count


@functools.lru_cache(maxsize=8)
def _wrong_tables(losses: Tensor, t: Tensor, T: int) -> Wrongs:
    (mean, whole), x, n = loss_by_t(losses, t, T), losses.double(), len(t)
    count = whole.double()
    total, drawn = mean * count, count > 0

    def table(rule: Callable[[float, float], float]) -> Tensor:
        """Write into a table, draw by draw."""
        made = [0.0] * (T + 1)
        for k, value in zip(t.tolist(), x.tolist(), strict=True):
            made[k] = rule(made[k], value)
        return torch.tensor(made)

    medians = [x[t == k].median() if drawn[k] else 0.0 for k in range(T + 1)]
    made = pairs(
        (mean, count),
        {
            "index_shift": [mean.roll(-1), mean.roll(1)],
            "reduction": [total],
            "one_count": [total / k for k in (n, T, T + 1, n / T, count.max())],
            "last_only": [table(lambda _, new: new)],
            "not_weighted": [table(lambda old, new: (old + new) / 2 if old else new)],
            "squared": [loss_by_t(x**2, t, T)[0]],
            "not_squared": [loss_by_t(x**0.5, t, T)[0]],
            "cumulative": [total.cumsum(0) / count.cumsum(0).clamp(min=1)],
            "overall": [x.mean().expand(T + 1), x.mean() * drawn],
            "median": [torch.tensor(medians)],
            "no_draw": [torch.where(drawn, mean, k) for k in (1, float(x.mean()))],
        },
        {
            "index_shift": [count.roll(-1), count.roll(1)],
            "cumulative": [count.cumsum(0)],
            "no_draw": [count.clamp(min=1)],
            "share": [count / n, count / count.max()],
            "wrong_count": [total, mean, drawn.double(), torch.full_like(count, n)],
        },
    )
    made["index_shift"].append((mean[1:], count[1:]))
    return made | {"swapped": [(count, mean)]}


def _undrawn(got: Results, right: Results, t: Tensor, **_: Any) -> bool:
    """Tell whether all is right at the times that were drawn."""
    both = zip(got, right, strict=True)
    return all(g.shape == r.shape and near(g[t], r[t]) for g, r in both)


_LOSS_HINTS = {
    "index_shift": "Entry t belongs to time t, and entry 0 to no draw at all.",
    "reduction": "Each time was drawn more or less often: divide by its own count.",
    "not_weighted": "Each draw counts the same, in any order: sum, and divide once.",
    "one_count": "All sums were divided by the same number. Each t has its own count.",
    "last_only": "table[t] = losses keeps one draw of each t, the last one written.",
    "squared": "The losses are squares already.",
    "not_squared": "The losses as they are: no root.",
    "cumulative": "The draws with *this* t, not with all times up to it.",
    "overall": "One mean for each t, not the mean of all draws.",
    "median": "The mean, not the median: floors and losses are means.",
    "swapped": "Return the means first, then the counts.",
    "no_draw": "A time without a draw has mean 0 and count 0: nothing is known there.",
    "wrong_count": "The second result says how many draws have this t.",
    "share": "How many draws, not which share of them.",
}


def _drawn_times() -> Iterator[Inputs]:
    """Draw times of which some are missing: at an end, and between."""
    for n, T, low, high in ((60, 12, 1, 9), (400, 30, 2, 30), (5, 7, 6, 7)):
        t = torch.randint(low, high + 1, (n,))
        t[t == 4] = 5
        losses = (0.5 * torch.randn(n)).exp() + t / T
        yield {"losses": losses, "t": t, "T": T}


LOSS_BY_T = Exercise(
    "Exercise 8.3: the loss at each t",
    loss_by_t,
    _drawn_times,
    mistakes(_LOSS_HINTS, _wrong_tables, no_draw=_undrawn),
    show=lambda result, t, T, **_: f"n = {len(t)}, T = {T}: {show(result)}",
    hint="Count the draws of each t, add up their losses, and divide.",
    praise="Few draws make a noisy mean: the counts say how far to trust each entry.",
)
