"""Exercise 9.4: the guided prediction from one call of the network."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch09_guidance.exercises_guide import GUIDE, guide
from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Mistake, Results
from minddpm.course.kit.report import Report, Wrong, call, kind

Part = Callable[[Tensor], Any]


def batched_guidance(
    net: Answer, x_t: Tensor, c: Tensor, t: Tensor, w: float
) -> Tensor:
    """ε̃ = (1 + w) ε(c) − w ε(∅) [CFG eq. 6], from one call of the network.

    Args:
        net: called as net(x_t, c, t, context_mask) for any batch size, with a mask in
            which 1 means dropped.
        x_t: noisy samples, (B, *D) float.
        c: labels, (B,) int64.
        t: times over T, in (0, 1], (B,) float.
        w: guidance weight, a float.

    Returns:
        The guided prediction, (B, *D).
    """
    both = net(_halves(x_t), _halves(c), _halves(t), _kept_first(t))
    return guide(both[: len(t)], both[len(t) :], w)


def _halves(x: Tensor) -> Tensor:
    return torch.cat([x, x])


def _kept_first(t: Tensor) -> Tensor:
    return torch.arange(2 * len(t)) // len(t)


def _net(x_t: Tensor, c: Tensor, t: Tensor, context_mask: Tensor) -> Tensor:
    """Return predictions that tell rows, labels, times and masks apart."""
    wide = (len(x_t), *[1] * (x_t.ndim - 1))
    c, t, mask = (v.double().view(wide) for v in (c, t, context_mask))
    kept = (0.5 + 0.2 * c) * x_t + (c + 1).sin() * t
    return (1 - mask) * kept + mask * (2 * (3 * x_t.double()).sin() + 0.5 - 0.8 * t)


def _samples() -> Iterator[Inputs]:
    shapes = (6, 2), (5, 1, 4, 4), (1, 3), (4, 2), (7, 2), (8, 2), (3, 2)
    weights = 2.6, 4.3, 0.6, 0.0, -1.0, -0.4, -2.3
    for shape, w in zip(shapes, weights, strict=True):
        x_t, n = 1.3 * torch.randn(shape) + 0.4, shape[0]
        c, t = torch.randperm(10)[:n], (1 + torch.randperm(20)[:n]) / 20
        yield {"net": _net, "x_t": x_t, "c": c, "t": t, "w": w}


def _watch(exercise: Exercise, answer: Answer, inputs: Inputs) -> Results:
    """Ask an answer, and look at what it asks the network.

    Args:
        exercise: has the hints.
        answer: right or wrong.
        inputs: its arguments.

    Returns:
        A mark of the order; the rows that were asked, sorted, with x_t, mask, label and
        time; and the prediction.
    """
    asked: list[Tensor] = []

    def net(x_t: Any, c: Any, t: Any, context_mask: Any) -> Tensor:
        n = len(x_t)
        if x_t.shape[1:] != inputs["x_t"].shape[1:]:
            raise exercise.wrong("wrong_shape", kind(x_t), "rows as in x_t")
        for name, value in {"c": c, "t": t, "context_mask": context_mask}.items():
            entries = value.numel() if isinstance(value, Tensor) else 0
            if entries != n:
                mistake = "not_repeated" if 2 * entries == n else "wrong_shape"
                said = f"x_t had {n} rows, {name} was {kind(value)}"
                raise exercise.wrong(mistake, said, f"{n} entries in each")
        row = [v.reshape(n, -1).double() for v in (x_t, context_mask, c, t)]
        row[2] = row[2].where(row[1] != 1, 0)  # a dropped label may be anything
        asked.append(torch.cat(row, dim=1))
        return _net(x_t, c, t, context_mask)

    result = call(answer, tuple(inputs["x_t"].shape), **(inputs | {"net": net}))
    if len(asked) != 1:
        said = f"the network was called {len(asked)} times"
        raise exercise.wrong("two_calls" if asked else None, said, "one call")
    # with w = 0 or −1 one of the two has the factor 0, and may be left out
    rows = asked[0][asked[0][:, -3] != 1 + inputs["w"]]
    # below the tolerance: it decides between faces that are the same otherwise
    order = exercise.tolerance / 2 * asked[0][:1, -3].clamp(0, 1)
    return order, torch.tensor(sorted(rows.tolist())).double(), result


def _judge(exercise: Exercise, answer: Answer) -> Report:
    cases = list(exercise.inputs())
    right = [_watch(exercise, exercise.reference, inputs) for inputs in cases]
    got = [_watch(exercise, answer, inputs) for inputs in cases]
    pairs = list(zip(got, right, strict=True))
    wrong = [pair for pair in pairs if exercise.apart(*pair) > 1]
    if not wrong:
        said = "in one call, each sample with its label and without"
        return Report(measured=said, expected=said, hint=exercise.praise)

    def distance(face: Answer) -> float:
        far = 0.0
        try:
            for inputs, result in zip(cases, got, strict=True):
                if far <= 1:
                    given = _watch(exercise, face, inputs)
                    far = max(far, exercise.apart(result, given))
        except Wrong:  # it never comes as far as an answer
            return math.inf
        return far

    name = exercise.explain(distance)
    for m in exercise.mistakes if name is None else ():
        if m.sign and all(m.sign(*pair) for pair in wrong):
            name = m.name
    for inputs, (a, b) in zip(cases, pairs, strict=True):
        if exercise.apart(a[:2], b[:2]) > 1:
            raise exercise.wrong(name, *_rows_apart(a[1], b[1], inputs["w"]))
    try:
        return _combined(cases, [result for _, _, result in got])
    except Wrong as found:
        if name is None:
            raise
        texts = found.report.measured, found.report.expected
    raise exercise.wrong(name, *texts)


def _rows_apart(asked: Tensor, right: Tensor, w: float) -> tuple[str, str]:
    """Write what an answer asked, and what a right one asks."""
    if asked.shape != right.shape:
        a, b = (f"w = {w:g}: {len(rows)} rows that count" for rows in (asked, right))
        return a, b
    row = int((asked - right).abs().amax(1).argmax())
    a, b = (", ".join(f"{x:.6g}" for x in rows[row]) for rows in (asked, right))
    said = f"w = {w:g}: a row with x_t, mask, c and t ="
    return f"{said} {a}", f"{said} {b}"


def _combined(cases: list[Inputs], results: list[Tensor]) -> Report:
    """Judge predictions that come from the right questions as exercise 9.1 does."""
    given = {case["w"]: result for case, result in zip(cases, results, strict=True)}
    inputs = []
    for net, x_t, c, t, w in (case.values() for case in cases):
        eps_c, eps_u = (net(x_t, c, t, 0 * t + mask) for mask in (0, 1))
        inputs.append({"eps_c": eps_c, "eps_u": eps_u, "w": w})
    exercise = replace(GUIDE, inputs=lambda: inputs)
    return exercise.compare(lambda eps_c, eps_u, w: given[w])


def _with(
    x: Part = _halves,
    c: Part = _halves,
    t: Part = _halves,
    mask: Part = _kept_first,
    answers: Part = lambda both: both.chunk(2),
) -> Answer:
    """Return the right answer with other parts; a mask is made of the times."""

    def face(net: Answer, x_t: Tensor, labels: Tensor, times: Tensor, w: float) -> Any:
        kept, dropped = answers(net(x(x_t), c(labels), t(times), mask(times)))
        return guide(kept, dropped, w)

    return face


def _of_times(x: float, y: float) -> Part:
    return lambda t: torch.cat([0 * t + x, 0 * t + y])


_LAYOUTS = product(
    *[(_halves, lambda x: x.repeat_interleave(2, dim=0))] * 3,
    (_kept_first, lambda t: torch.arange(2 * len(t)) % 2),
    (lambda both: both.chunk(2), lambda both: (both[0::2], both[1::2])),
)
_FACES: dict[str, list[Answer]] = {
    "two_calls": [
        lambda net, x_t, c, t, w: guide(net(x_t, c, t, 0 * t), net(x_t, c, t, t**0), w)
    ],
    "too_many_rows": [
        _with(
            **dict.fromkeys("xct", lambda v: torch.cat([v, v, v])),
            mask=lambda t: torch.arange(3 * len(t)) // len(t) // 2,
            answers=lambda both: both.chunk(3)[::2],
        )
    ],
    "not_repeated": [_with(**{part: lambda v: v}) for part in ("c", "t", "mask")],
    "wrong_shape": [_with(t=lambda t: t[:1])],
    "wrong_input": [_with(x=lambda x: torch.cat([x, 0 * x]))],
    # the first and the last layout are right
    "wrong_order": [_with(*layout) for layout in list(_LAYOUTS)[1:-1]]
    + [_with(**dict.fromkeys("xct", lambda v: torch.cat([v, v.flip(0)])))],
    "wrong_time": [_with(t=lambda t: 20 * _halves(t))],
    "wrong_label": [_with(c=lambda c: _halves(c) + 1)],
    "never_dropped": [_with(mask=_of_times(0, 0))],
    "always_dropped": [_with(mask=_of_times(1, 1))],
    "label_for_mask": [
        _with(c=part, mask=_of_times(0, 0))
        for part in (
            lambda c: torch.cat([c, 0 * c]),
            lambda c: torch.cat([c, 0 * c - 1]),
        )
    ],
    "mask_inverted": [_with(mask=_of_times(1, 0))],
    "swapped": [_with(answers=lambda both: both.chunk(2)[::-1])],
}
_HINTS = {
    "two_calls": "Both questions fit into one batch of 2B rows: torch.cat joins them.",
    "too_many_rows": "Each sample is asked about twice: with its label, and without.",
    "not_repeated": "What is repeated for x_t must be repeated for the other inputs.",
    "wrong_shape": "A row of x_t keeps its shape; the other inputs have a number each.",
    "wrong_input": "Both halves ask about the same x_t, exactly as given.",
    "wrong_order": "Row by row, x_t, c and t must belong together, and so must the two "
    "answers that you combine. cat and repeat_interleave(2) order rows differently.",
    "wrong_time": "The network expects the time as you were given it, one for a row.",
    "wrong_label": "Where the label is kept, it must be the sample's own.",
    "never_dropped": "Your mask drops no label. Which value means dropped?",
    "always_dropped": "Your mask drops every label. Which value means kept?",
    "label_for_mask": "A label of 0 is a class like any other. The mask alone drops.",
    "mask_inverted": "1 means dropped. Which half do you treat as conditional?",
    "swapped": "Your mask is right. Which answers come from rows that kept the label?",
}


def _only(part: int) -> Callable[..., bool]:
    """Return a sign: of x_t, mask, c and t, one has other entries; −1: none has."""

    def sign(got: Results, right: Results) -> bool:
        asked, wanted = got[1], right[1]
        if asked.shape != wanted.shape or torch.equal(asked, wanted):
            return False
        off = (asked.sort(0).values - wanted.sort(0).values).abs().amax(0) > 1e-4
        found = [bool(off[:-3].any()), *off[-3:].tolist()]
        return found == [k == part for k in range(4)]

    return sign


_SIGNS = {
    "wrong_input": _only(0),
    "wrong_order": _only(-1),
    "wrong_label": _only(2),
    "wrong_time": _only(3),
}

BATCHED_GUIDANCE = Exercise(
    "Exercise 9.4: one call",
    batched_guidance,
    _samples,
    [Mistake(k, hint, _FACES[k], _SIGNS.get(k)) for k, hint in _HINTS.items()],
    judge=_judge,
    hint="Print len(x_t) and context_mask as the network gets them.",
    praise="In the package: DDPM.predict_eps with w other than 0.",
)
