"""The check of exercise 9.4 in notebook 09."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch09_guidance.guide import factors, judge_factors
from minddpm.course.kit.report import Report, Wrong, call, check, z_score

_HINTS = {
    "two_calls": "Both questions fit into one batch of 2B rows: torch.cat joins them.",
    "too_many_rows": "Each sample is asked about twice, once with and once without its "
    "label, and no more.",
    "not_repeated": "All four inputs of the network need one entry for each of its "
    "rows: what is repeated for x_t must be repeated for the others.",
    "wrong_shape": "The mask has one number a row, as the labels do.",
    "wrong_input": "Both halves ask about the same x_t, exactly as given.",
    "wrong_order": "Row by row, x_t, c and t must belong together, and so must the two "
    "answers that you combine. cat([x, x]) and repeat_interleave(2) order rows "
    "differently.",
    "wrong_time": "The network expects the time as you were given it, one for a row.",
    "wrong_label": "Where the label is kept, it must be the sample's own.",
    "never_dropped": "Your mask drops no label, so one half of the answers is missing. "
    "Which value means dropped?",
    "always_dropped": "Your mask drops every label. Which value means kept?",
    "label_for_mask": "A label of 0 is a class like any other. The mask alone drops a "
    "label.",
    "mask_inverted": "1 means dropped. Which half of your mask has the ones, and which "
    "half do you treat as conditional?",
    "swapped": "Your mask is right. Which half of the answers comes from the rows that "
    "kept their label?",
    "": "Print len(x_t) and context_mask as the network gets them.",
}


def _fail(mistake: str | None, measured: Any, expected: Any) -> Wrong:
    return Wrong(mistake, measured, expected, _HINTS[mistake or ""])


class _Probe:
    """A network that follows the protocol, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def __call__(self, x_t: Any, c: Any, t: Any, context_mask: Any) -> Tensor:
        n = len(x_t)
        for name, value in (("c", c), ("t", t), ("context_mask", context_mask)):
            if not isinstance(value, Tensor):
                said = f"{name} was of type {type(value).__name__}"
                raise _fail("wrong_shape", said, f"{name} a tensor of shape ({n},)")
            if value.numel() != n:
                said = f"x_t had {n} rows, {name} had {value.numel()} entries"
                name = "not_repeated" if value.numel() * 2 == n else "wrong_shape"
                raise _fail(name, said, f"{n} entries in each")
        row = (x_t.detach().clone(), c.reshape(-1).clone(), t.reshape(-1).clone())
        self.asked.append((*row, context_mask.reshape(-1).double()))
        return self.answer(x_t, *row[1:], context_mask.reshape(-1).double())

    @staticmethod
    def answer(x_t: Tensor, c: Tensor, t: Tensor, mask: Tensor) -> Tensor:
        """Return predictions that tell rows, labels, times and masks apart."""
        x_t, wide = x_t.double(), (len(x_t), *(1,) * (x_t.ndim - 1))
        c, t, mask = c.view(wide).double(), t.view(wide).double(), mask.view(wide)
        kept = (0.5 + 0.2 * c) * x_t + (c + 1).sin() * t
        dropped = (3 * x_t).sin() - 0.4 * t
        return (1 - mask) * kept + mask * dropped


@check("Exercise 9.4: one call")
def check_batched_guidance(function: Callable[..., Any]) -> Report:
    """Check `batched_guidance(net, x_t, c, t, w)`, [CFG eq. 6] in one call.

    Args:
        function: takes a network, called as net(x_t, c, t, context_mask) with a mask in
            which 1 means dropped; x_t, (B, *D) float; c, (B,) int64; t, (B,) float in
            (0, 1]; and w, a float. Returns the guided prediction, (B, *D).

    Returns:
        The report. The network it hands over keeps a record of its calls.
    """
    for shape, w in (
        ((6, 2), 2.5),
        ((5, 1, 4, 4), 4.0),
        ((1, 3), 0.6),
        ((4, 2), 0.0),
        ((7, 2), -1.0),
        ((8, 2), -0.5),
    ):
        n = shape[0]
        x_t, t = torch.randn(shape), (1 + torch.randperm(20)[:n]) / 20
        c = 1 + torch.arange(n) % 5
        probe = _Probe()
        inputs = {"net": probe, "x_t": x_t, "c": c, "t": t, "w": w}
        result = call(function, shape, **inputs)
        if len(probe.asked) != 1:
            said = f"the network was called {len(probe.asked)} times"
            raise _fail("two_calls", said, "one call")
        # with these weights one of the answers has the factor 0, and may be left out
        _judge_rows(probe, x_t, c, t, both=w not in (0.0, -1.0))
        _judge_result(result, probe, (x_t, c, t), w)
    return Report(
        measured="one call a prediction, each sample with its label and without",
        expected="the same, combined as in [CFG eq. 6]",
        hint="In the package: DDPM.predict_eps with w other than 0.",
    )


def _judge_rows(probe: _Probe, x_t: Tensor, c: Tensor, t: Tensor, both: bool) -> None:
    """Raise unless each sample was asked about with its own label and without."""
    n = len(x_t)
    x_rows, c_rows, t_rows, mask = probe.asked[0]
    if (both and len(x_rows) != 2 * n) or len(x_rows) not in (n, 2 * n):
        name = "too_many_rows" if len(x_rows) > 2 * n else None
        raise _fail(name, f"{len(x_rows)} rows", f"{2 * n} rows for {n} samples")
    apart = torch.cdist(x_rows.double().flatten(1), x_t.double().flatten(1))
    sample = apart.argmin(dim=1)  # which sample each row is about
    if float(apart.min(dim=1).values.max()) > 1e-5:
        said = "some rows of x_t are none of the samples"
        raise _fail("wrong_input", said, "each sample twice, as given")
    if not ((mask == 0) | (mask == 1)).all():
        said = f"a mask with {mask.unique().numel()} different values"
        raise _fail(None, said, "0 for kept and 1 for dropped")
    told = t_rows.double() - t[sample].double()
    if float(told.abs().max()) > 1e-5:
        own = len(t_rows) == 2 * n and t_rows.double().sort()[0].allclose(
            torch.cat([t, t]).double().sort()[0], atol=1e-5
        )
        said = "a sample was asked about with the time of another"
        other = f"times from {t_rows.min():.3g} to {t_rows.max():.3g}"
        name = "wrong_order" if own else "wrong_time"
        raise _fail(name, said if own else other, "for each row the time of its sample")
    kept = mask == 0
    if both and kept.all():
        changed = not torch.equal(c_rows, c[sample])
        name = "label_for_mask" if changed else "never_dropped"
        raise _fail(name, "no row with its label dropped", "half of the rows")
    if both and not kept.any():
        raise _fail("always_dropped", "no row that keeps its label", "half of the rows")
    if not torch.equal(c_rows[kept], c[sample][kept]):
        own = set(c_rows.tolist()) <= set(c.tolist())
        said = "a sample was asked about with the label of another"
        name = "wrong_order" if own else "wrong_label"
        raise _fail(name, said, "where it is kept, the sample's own label")
    if both and not torch.equal(sample[kept].sort()[0], torch.arange(n)):
        said = "some samples kept their label twice, others never"
        raise _fail(
            "wrong_order", said, "each sample once with its label, once without"
        )


def _judge_result(
    result: Tensor, probe: _Probe, given: tuple[Tensor, ...], w: float
) -> None:
    """Raise unless the two answers were combined as in [CFG eq. 6]."""
    x_t, c, t = given
    n = len(x_t)
    zero = torch.zeros(n, dtype=torch.float64)
    eps_c = probe.answer(x_t, c, t, zero)
    eps_u = probe.answer(x_t, c, t, zero + 1)
    right = (1 + w) * eps_c - w * eps_u
    if z_score(result, right, 1e-4 * (1 + abs(w))) <= 1:
        return
    expected = f"w = {w:g}: {1 + w:g} times the answer with the label {-w:+g} times "
    expected += "the one without"
    if z_score(result, (1 + w) * eps_u - w * eps_c, 1e-4 * (1 + abs(w))) <= 1:
        name = "mask_inverted" if probe.asked[0][3][0] == 1 else "swapped"
        said = f"w = {w:g}: the two answers in each other's place"
        raise _fail(name, said, expected)
    if n > 1 and w not in (0.0, -1.0):
        answers = probe.answer(*probe.asked[0])
        for first, second in (
            (answers[0::2], answers[1::2]),
            (answers[1::2], answers[0::2]),
            (answers[:n], answers[n:]),
            (answers[:n], answers[n:].flip(0)),
            (answers[n:], answers[:n]),
        ):
            mixed = (1 + w) * first - w * second
            if z_score(result, mixed, 1e-4 * (1 + abs(w))) <= 1:
                said = f"w = {w:g}: answers about different samples, combined"
                raise _fail("wrong_order", said, expected)
    judge_factors(*factors(result, eps_c, eps_u), w)
    raise _fail(None, f"w = {w:g}: another combination of the answers", expected)
