"""Exercise 6.1: context dropout."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Mistake
from minddpm.course.kit.report import Report, Shape, call, z_score

_LIMIT = 5.0  # standard errors
_ROWS, _CALLS = 64, 100
_TOLD, _ALL = slice(6), slice(None)  # facts about what is told; and about the mask


_DRAWS = "shared_draw", "same_draws", "fixed_count"  # these explain no rows, no rate
Facts = tuple[Inputs, Tensor, Tensor]  # a case, means over its rows, their errors


def drop_context(v: Tensor, drop_prob: float) -> tuple[Tensor, Tensor]:
    """Tell (1 − m) v, with m ~ Bernoulli(p) for each row.

    Args:
        v: vectors, (B, K) float.
        drop_prob: p, in [0, 1].

    Returns:
        What the network is told, (B, K), and the mask, (B,), 1 where v was dropped.
    """
    mask = torch.bernoulli(torch.full((len(v),), float(drop_prob)))
    return v * (1 - mask)[:, None], mask


def _labels() -> Iterator[Inputs]:
    """Draw more rows for smaller p: each rate is known to a fraction of itself."""
    ordinary = ((3000, 0.6), (1000, 0.23), (2000, 0.043), (20_000, 0.005))
    for n, p in (*ordinary, (500, 0.0), (500, 1.0)):
        yield {"v": 0.6 + 1.5 * torch.randn(n, 5), "drop_prob": p}


def _face(
    draw: Callable[..., Tensor] = lambda n, p: torch.rand(n) < p,
    tell: Callable[..., Tensor] = lambda v, m, p: v * (1 - m),
    mask: Callable[..., Tensor] = lambda m, p: m,
) -> Answer:
    """Return an answer that draws, tells or returns something else."""

    def answer(v: Tensor, p: float) -> tuple[Tensor, Tensor]:
        m = draw(len(v), p).float()
        return tell(v, m[:, None], p), mask(m, p)

    return answer


def _drawn(*rules: Callable[..., Tensor]) -> list[Answer]:
    return [_face(draw=rule) for rule in rules]


def _rated(*rates: Callable[..., float]) -> list[Answer]:
    return [_face(draw=lambda n, p, r=r: torch.rand(n) < r(p)) for r in rates]


def _told(*rules: Callable[..., Tensor]) -> list[Answer]:
    return [_face(tell=rule) for rule in rules]


def _filled(*labels: Callable[[Tensor], Tensor]) -> list[Answer]:
    return _told(*(lambda v, m, p, f=f: torch.where(m > 0, f(v), v) for f in labels))


def _seeded(n: int, p: float) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(1)) < p


_FACES = {
    "never_drops": _rated(lambda p: 0),
    "drops_all": _rated(lambda p: 1),
    "wrong_sign": [
        *_told(lambda v, m, p: v * (m - 1), lambda v, m, p: v * (1 - 2 * m)),
        _face(mask=lambda m, p: -m),
    ],
    "rescaled": _told(lambda v, m, p: v * (1 - m) / max(1 - p, 1e-9)),
    "not_drawn": _told(lambda v, m, p: v * (1 - p), lambda v, m, p: v * p),
    "per_coordinate": [
        *_told(lambda v, m, p: v * (torch.rand(v.shape) >= p)),
        *_told(lambda v, m, p: F.dropout(v, p)),
    ],
    "zero_label": _filled(lambda v: torch.eye(v.shape[1])[0]),
    "one_label": _filled(lambda v: v**0, lambda v: -(v**0), lambda v: v.mean(0)),
    "inverted_mask": [
        *(_told(lambda v, m, p: v * m) + _rated(lambda p: 1 - p)),
        _face(mask=lambda m, p: 1 - m),
    ],
    "redrawn_mask": [_face(mask=lambda m, p: (torch.rand(len(m)) < p).float())],
    "not_a_mask": [_face(mask=lambda m, p: p + 0 * m)],
    "shared_draw": [
        *_drawn(lambda n, p: (torch.rand(1) < p).expand(n)),
        *_drawn(lambda n, p: (torch.rand(n // 2) < p).repeat(2)),
    ],
    "same_draws": _drawn(_seeded, lambda n, p: torch.arange(n) < p * n),
    "fixed_count": _drawn(lambda n, p: torch.randperm(n) < p * n),
    "ignores_drop_prob": _rated(lambda p: 0.1, lambda p: 0.2, lambda p: 0.5),
    "which_noise": _drawn(
        lambda n, p: torch.randn(n) < p, lambda n, p: torch.randn(n) > p
    ),
    "wrong_rate": [
        *_rated(lambda p: p**2, lambda p: p**0.5, lambda p: p / 2, lambda p: 2 * p),
        *_rated(*(lambda p, k=k: math.ceil(k * p) / k for k in (10, 100))),
        *_rated(*(lambda p, k=k: math.floor(k * p) / k for k in (10, 100))),
    ],
}
_HINTS = {
    "never_drops": "No label was ever dropped.",
    "drops_all": "Every label was dropped.",
    "wrong_sign": "A kept label must reach the network as it was: print 1 − mask.",
    "rescaled": "nn.Dropout divides what it keeps by 1 − p; here it stays as it is.",
    "not_drawn": "By chance, a label is told or not told; never told by halves.",
    "per_coordinate": "A label is dropped with all its numbers: one draw a row.",
    "zero_label": "Row 0 of the one-hot vectors is a class; no class has zeros.",
    "one_label": "“No label” is a vector of zeros: one that no class has.",
    "inverted_mask": "A 1 means dropped, and has probability p: where belongs 1 − …?",
    "redrawn_mask": "Return the mask that you applied: draw it once.",
    "not_a_mask": "A mask holds zeros and ones.",
    "shared_draw": "Samples are dropped together. What shape has your draw?",
    "same_draws": "Draw anew at every call; do not set a seed inside.",
    "fixed_count": "By draws of their own, how many of a batch are dropped varies.",
    "ignores_drop_prob": "The share of dropped labels must follow drop_prob.",
    "which_noise": "Which of torch's functions draws uniformly from 0 to 1?",
    "wrong_rate": "drop_prob is the probability of each draw, as it stands.",
}


def _judge(exercise: Exercise, answer: Answer) -> Report:
    """Judge the draws, then rows, masks and rates at several p."""
    cases = list(exercise.inputs())
    _judge_draws(exercise, answer)
    others = [m for m in exercise.mistakes if m.name not in _DRAWS]
    exercise = replace(exercise, mistakes=others)
    found = [(case, *_facts(answer, case)) for case in cases[:4]]
    report = _judge_rows(exercise, found)
    found += [(case, *_facts(answer, case)) for case in cases[4:]]  # p = 0 and 1
    _judge_rows(exercise, found)
    return report


def _zero(rows: Tensor) -> Tensor:
    return (rows.abs() < 1e-6).all(-1).double()


def _apart(samples: Tensor, least: Tensor | float) -> float:
    """Return how far the mean of the calls is from 0, whose error has a least size."""
    error = samples.std(0).clamp(min=torch.as_tensor(least)) / math.sqrt(len(samples))
    return z_score(samples.mean(0), 0, error)


def _judge_draws(exercise: Exercise, answer: Answer) -> None:
    """Raise unless the samples of a batch, and the calls, are drawn by themselves."""
    v = F.one_hot(torch.randperm(_ROWS) % 4, 4).float()
    shapes: list[Shape] = [(_ROWS, 4), (_ROWS,)]
    told = [call(answer, shapes, v=v, drop_prob=0.37)[0] for _ in range(_CALLS)]
    dropped = _zero(torch.stack(told))  # (calls, rows)
    x, counts = dropped - dropped.mean(), dropped.sum(1)
    spread = x.square().mean().sqrt()
    masks, draws = (dropped.unique(dim=k).shape[k] for k in (0, 1))
    groups = torch.cat([torch.eye(_ROWS), v], dim=1).double()
    sizes = groups.sum(0)
    uneven = _apart(x @ (groups / sizes), spread / sizes.sqrt())
    turns = range(1, _ROWS // 2 + 1)  # places of the batch so far apart
    least = spread**2 / math.sqrt(_ROWS)
    linked = max(_apart((x * x.roll(k, 1)).mean(1), least) for k in turns)
    if not x.any():
        return  # dropped all or none: the rates will tell
    found = [
        ("same_draws", masks == 1, "always the same ones", None),
        (None, uneven > _LIMIT, "some places or classes dropped more often", uneven),
        ("shared_draw", draws < min(masks, _ROWS), f"{draws} different draws", None),
        ("same_draws", masks < _CALLS and linked <= _LIMIT, f"{masks} masks", None),
        ("fixed_count", counts.max() - counts.min() <= 1, f"{counts[0]:g} each", None),
        (None, linked > _LIMIT, "draws that depend on each other", linked),
    ]
    for name, failed, said, apart in found:
        if failed:
            said = f"labels dropped in {_CALLS} batches of {_ROWS}: {said}"
            expected = "a draw of its own for each label, in each call"
            raise exercise.wrong(name, said, expected, apart)


def _facts(answer: Answer, case: Inputs) -> tuple[Tensor, Tensor]:
    """Return means over the rows, (9,), and their standard errors."""
    v = case["v"].double()
    told, mask = call(answer, [tuple(v.shape), (len(v),)], **case)
    facts = [_zero(told - v), _zero(told), (told * v).mean(1), told.mean(1)]
    facts += [told.square().mean(1), _zero(told[..., None]).mean(1)]
    rows = torch.stack([*facts, (mask == _zero(told)).double(), mask, mask.square()])
    return rows.mean(1), rows.std(1) / math.sqrt(len(v))


def _judge_rows(exercise: Exercise, found: list[Facts]) -> Report:
    """Raise unless rows and mask are right, and as many are dropped as should be."""

    def distance(face: Answer, part: slice) -> float:
        far = 0.0
        for case, facts, errors in found:
            others, more = _facts(face, case)
            chance = (errors.square() + more.square()).sqrt() + 1e-6
            far = max(far, z_score(facts[part], others[part], _LIMIT * chance[part]))
            if far > 1:
                break
        return far

    def say(p: float, *shares: float) -> str:
        return "p = {}: {:.2%} kept, {:.2%} zeros; mask right {:.2%}".format(p, *shares)

    for case, facts, _ in found:
        (kept, zero, *_, agree, mean, square), p = facts.tolist(), case["drop_prob"]
        apart = z_score(zero, p, math.sqrt(p * (1 - p) / len(case["v"])))
        said = say(p, kept, zero, agree), say(p, 1 - p, p, 1)
        sound = kept + zero > 1 - 1e-9, agree > 1 - 1e-9
        if not all(sound) or apart > _LIMIT:
            part = _ALL if sound[0] else _TOLD
            name = exercise.explain(partial(distance, part=part))
            if name is None and sound[0] and abs(mean - square) > 1e-9:
                name = "not_a_mask"
            raise exercise.wrong(name, *said, apart if all(sound) else None)
    return Report("", True, True, None, *said, apart, exercise.praise)


DROP_CONTEXT = Exercise(
    "Exercise 6.1: context dropout",
    drop_context,
    _labels,
    [Mistake(name, hint, _FACES[name]) for name, hint in _HINTS.items()],
    hint="Return v with some rows set to 0, and a mask that is 1 for these rows.",
    praise="The package draws this mask in DDPM.forward; its networks apply it.",
    judge=_judge,
)
