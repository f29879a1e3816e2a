"""Exercises 1.1 and 1.3: one step, and the whole chain."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Mistake
from minddpm.course.kit.report import Report, call, regress
from minddpm.schedule import Schedule

_BETAS = Schedule.from_betas([0.15, 0.1, 0.4, 0.2, 0.55]).betas
_SHORT = Schedule.from_betas([0.3, 0.6]).betas
_LIMIT = 5.0  # standard errors

# by title and label: what was measured, its error, and what is right
Seen = dict[tuple[str, str], tuple[float, float, float]]
Look = Callable[[Answer, Inputs], tuple[Seen, Callable[[], Seen]]]


def q_step(x_s: Tensor, t: int, betas: Tensor) -> Tensor:
    """One forward step [DDPM eq. 2] with its own noise.

    x_t = √(1−β_t) x_{t−1} + √β_t ε

    Args:
        x_s: x_{t−1}, a batch of any shape, (B, *D) float.
        t: the time of the result, an int in 1…T.
        betas: the table, (T+1,) float, with betas[0] = 0.

    Returns:
        x_t, (B, *D).
    """
    return _step(x_s, t, betas)


def run_chain(x0: Tensor, betas: Tensor) -> Tensor:
    """The trajectory x_0…x_T.

    x_t = √(1−β_t) x_{t−1} + √β_t ε_t for t = 1…T [DDPM eq. 2], ε_t fresh at each t

    Args:
        x0: N points in one dimension, (N,) float.
        betas: the table, (T+1,) float, with betas[0] = 0.

    Returns:
        The trajectory, (T+1, N): row 0 is x0, row t is x_t.
    """
    return _chain(x0, betas)


# --- how people go wrong --------------------------------------------------------------


def _factors(t: int, betas: Tensor) -> dict[str, list[tuple[float, float]]]:
    """Return factors of x_{t−1} and ε, right ones and those of each mistake."""
    b, before, after = (float(betas[min(k, len(betas) - 1)]) for k in (t, t - 1, t + 1))
    left = float((1 - betas[: t + 1].double()).prod())
    a, r, s, jump = 1 - b, (1 - b) ** 0.5, b**0.5, (1 - left) ** 0.5
    shifted = [((1 - k) ** 0.5, k**0.5) for k in (before, after)]
    mixed = [pair for p, q in shifted for pair in ((p, s), (r, q))]
    return {
        "right": [(r, s)],
        "variance_or_std": [
            *((r, b), (a, s), (a, b), (1 - s, s), (r, 1 - r)),
            ((1 - b**2) ** 0.5, b),
        ],
        "index_shift": shifted + mixed,
        "swapped": [(s, r), (b, a)],
        "no_noise": [(r, 0), (a, 0)],
        "no_signal": [(0, s), (0, b), (0, 1)],
        "no_weight": [(1, s), (r, 1), (1, 1), (1, b)],
        "wrong_sign": [(-r, s)],
        "which_alpha": [(left**0.5, jump), (left**0.5, s), (r, jump)],
    }


def _step(
    x_s: Tensor,
    t: int,
    betas: Tensor,
    of: tuple[str, int] = ("right", 0),
    draw: Callable[[Tensor], Tensor] = torch.randn_like,
) -> Tensor:
    signal, noise = _factors(t, betas)[of[0]][of[1]]
    return signal * x_s + noise * draw(x_s)


def _half(x: Tensor) -> Tensor:
    """Draw noise whose second half repeats the first."""
    return torch.randn_like(x[: len(x) // 2]).repeat(2, *[1] * (x.ndim - 1))


def _seeded(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


_DRAWS: dict[str, list[Callable[[Tensor], Tensor]]] = {
    "which_noise": [
        *(torch.rand_like, lambda x: torch.rand_like(x) - 0.5),
        *(lambda x: 2 * torch.rand_like(x) - 1, lambda x: torch.randn_like(x).sign()),
        lambda x: 12**0.5 * (torch.rand_like(x) - 0.5),
        lambda x: torch.randn_like(x) + 0.1,
    ],
    "shared_draw": [
        *(_half, lambda x: torch.randn(()).expand_as(x)),
        lambda x: torch.randn_like(x[:1]).expand_as(x),
        lambda x: torch.randn_like(x[..., :1]).expand_as(x),
    ],
}


def _steps(name: str) -> list[Answer]:
    """Return steps with that mistake in the factors or in the draw."""
    pairs = _factors(1, _BETAS).get(name, [])
    steps = [partial(_step, of=(name, k)) for k in range(len(pairs))]
    return steps + [partial(_step, draw=draw) for draw in _DRAWS.get(name, [])]


def _chain(x0: Tensor, betas: Tensor, step: Answer = q_step, more: int = 0) -> Tensor:
    rows = [x0]
    for t in range(1, len(betas) + more):
        rows.append(step(rows[-1], t, betas))
    return torch.stack(rows)


def _from_x0(x0: Tensor, betas: Tensor, name: str) -> Tensor:
    steps = [_step(x0, t, betas, (name, 0)) for t in range(1, len(betas))]
    return torch.stack([x0, *steps])


def _one_noise(x0: Tensor, betas: Tensor) -> Tensor:
    eps = torch.randn_like(x0)
    return _chain(x0, betas, partial(_step, draw=lambda x: eps))


def _unfinished(x0: Tensor, betas: Tensor) -> Tensor:
    return torch.cat([_chain(x0, betas)[:-1], 0 * x0[None]])


_CHAINS: dict[str, list[Answer]] = {
    "one_noise": [_one_noise],
    "stops_early": [partial(_chain, more=-1), _unfinished],
    "no_start": [
        *(lambda x0, betas: _chain(x0, betas)[1:], lambda *x: _chain(*x).flip(0)),
        lambda x0, betas: _chain(_step(x0, 1, betas), betas),
    ],
    "too_many_rows": [
        *(partial(_chain, more=1), lambda x0, b: torch.cat([x0[None], _chain(x0, b)])),
    ],
    "last_only": [lambda x0, betas: _chain(x0, betas)[-1]],
    "transposed": [lambda x0, betas: _chain(x0, betas).T],
    "starts_over": [partial(_from_x0, name=name) for name in ("right", "which_alpha")],
    "same_tensor": [
        *(
            lambda x0, betas: x0.expand(len(betas), -1),
            lambda x0, betas: _chain(x0, betas)[-1:].expand(len(betas), -1),
        ),
    ],
}

# --- what is measured -----------------------------------------------------------------

_FACTOR, _MEAN, _VARIANCE = "factor of x_{t−1}", "mean of the noise", "its variance"
_TAILS, _SKEW, _CALLS = "kurtosis", "skewness", "correlation of calls"
_SHOWN = {_FACTOR, _VARIANCE, _TAILS}
_TIES = ("share of", "correlation of")  # between the noise of several numbers


def _fit(title: str, x: Tensor, y: Tensor, beta: float, **others: Tensor) -> Seen:
    """Measure what a step makes of x: its factors, and what its noise is like."""
    u = (x - x.mean()) / x.std().clamp(min=1e-6)
    labels = (_FACTOR, _MEAN, "factor of (x_{t−1})²", *others)
    weights, errors, rest = regress(y, x, x**0, u**2 - 1, *others.values())
    variance, n = float(rest.square().mean()), len(rest)
    z = rest / variance**0.5 if variance > 1e-8 else torch.randn(n).double()
    right = [(1 - beta) ** 0.5] + [0.0] * (len(labels) - 1)
    fit = zip(weights.tolist(), errors.clamp(min=1e-3).tolist(), right, strict=True)
    return {(title, k): stat for k, stat in zip(labels, fit, strict=True)} | {
        (title, _VARIANCE): (variance, max(variance, beta) * (2 / n) ** 0.5, beta),
        # the error of the kurtosis is itself uncertain
        (title, _TAILS): (float((z**4).mean()), 1.5 * (24 / n) ** 0.5, 3.0),
        (title, _SKEW): (float((z**3).mean()), 1.5 * (6 / n) ** 0.5, 0.0),
    }


def _twice(values: Tensor) -> float:
    """Return the share of numbers that are equal to another one, up to the sign."""
    return float((values.abs().flatten().sort().values.diff() < 2e-6).double().mean())


def _equal(rows: Tensor) -> float:
    """Return the share of rows, zeros apart, equal to another one up to the sign."""
    rows = rows[rows.abs().amax(1) > 1e-4]
    if rows.shape[1] < 8 or len(rows) < 2:  # noise of ±1 has equal ones by chance
        return 0.0
    rows = rows * rows[:, :1].sign()
    rows = rows[rows[:, 0].argsort()]
    return float((rows.diff(dim=0).abs() < 1e-5).all(1).double().mean())


def _ties(z: Tensor, x: Tensor, rows: str, columns: str) -> Seen:
    """Measure whether numbers share their noise.

    Args:
        z: the noise of two calls, of variance 1 if the step is right, (2, R, C).
        x: what the first call returned.
        rows: what a row is.
        columns: what a column is.
    """
    c = z - z.mean()
    power, n = float(c.square().mean()), z.numel()
    seen = {"variance of all noise over β_t": (power, (2 / n) ** 0.5, 1.0)}
    for axis, of in enumerate(("calls", rows, columns)):
        if z.shape[axis] > 1:
            alike = float((c * c.roll(1, axis)).mean()) / max(power, 1e-12)
            seen[f"correlation of {of}"] = alike, (2 / n) ** 0.5, 0.0
    by = {rows: z.movedim(1, 0), columns: z.movedim(2, 0)}
    for of, parts in by.items():
        seen[f"share of equal {of}"] = _equal(parts.flatten(1)), 2e-3, 0.0
    seen["share of noise drawn twice"] = _twice(z), 0.03, 0.0
    seen["numbers returned twice"] = _twice(x), 0.03, 0.0
    return {("noise", label): stat for label, stat in seen.items()}


def _look_at_step(step: Answer, inputs: Inputs) -> tuple[Seen, Callable[[], Seen]]:
    x, beta = inputs["x_s"].double(), float(inputs["betas"][inputs["t"]])
    y = torch.stack([call(step, tuple(x.shape), **inputs) for _ in range(2)])

    def ties() -> Seen:
        z = (y - (1 - beta) ** 0.5 * x) / beta**0.5
        return _ties(z.reshape(2, len(x), -1), y[0], "samples", "places")

    return _fit(f"t = {inputs['t']}", x.expand_as(y), y, beta), ties


def _form(path: Tensor, x0: Tensor, T: int) -> Seen:
    """Measure what rows a trajectory has."""
    shape = path.shape or (0,)
    seen = {
        "axes": (path.ndim, 0.1, 2),
        "rows": (shape[0], 0.1, T + 1),
        "columns": (shape[-1], 0.1, len(x0)),
    }
    if path.ndim == 2 and len(path) and shape[1] == len(x0):
        off = float((path[0] - x0).abs().mean())
        same = (path[1:] - path[0]).abs().amax(1) < 1e-9
        seen["distance of row 0 from x0"] = off, off / 9 if off > 1e-6 else 1e-6, 0
        seen["rows like row 0"] = int(same.sum()), 0.1, 0
    return {("trajectory", label): stat for label, stat in seen.items()}


def _look_at_chain(chain: Answer, inputs: Inputs) -> tuple[Seen, Callable[[], Seen]]:
    x0, betas = (value.double() for value in inputs.values())
    T, paths = len(betas) - 1, [call(chain, None, **inputs) for _ in range(2)]
    for path in paths:
        seen = _form(path, x0, T)
        if _off(seen):
            return seen, dict
    x = torch.stack(paths)
    for t in range(1, T + 1):
        others = {"factor of x_0": x[:, 0]} if t > 1 else {}
        seen |= _fit(f"t = {t}", x[:, t - 1], x[:, t], float(betas[t]), **others)

    def ties() -> Seen:
        signal, noise = (1 - betas[1:, None]).sqrt(), betas[1:, None].sqrt()
        z = (x[:, 1:] - signal * x[:, :-1]) / noise
        return _ties(z, x[0, 1:], "steps", "points")

    return seen, ties


# --- what is made of it ---------------------------------------------------------------


def _off(seen: Seen) -> list[tuple[str, str]]:
    return [
        k
        for k, (value, error, right) in seen.items()
        if abs(value - right) > _LIMIT * error
    ]


def _shows(seen: list[Seen]) -> str | None:
    """Return the mistake that shows by itself, whatever the numbers are."""
    off = {label for each in seen for _, label in _off(each)}
    stats: dict[str, list[float]] = {}
    for each in seen:
        for (_, label), stat in each.items():
            stats.setdefault(label, []).append(stat[0])
    quiet = [variance < 1e-6 for variance in stats.get(_VARIANCE, [])]
    if min(stats.get("share of equal steps", [0.0])) > 0.99:
        return "one_noise"
    if any(label.startswith("share of equal") for label in off):
        return "shared_draw"
    if quiet and all(quiet) and _MEAN not in off:
        return "no_noise"
    if quiet and not any(quiet) and min(stats[_CALLS]) > 0.999:  # seeded inside
        return "shared_draw"
    ties = {label for label in off if label.startswith(_TIES)}
    if ties and all(label.startswith("variance of all") for label in off - ties):
        return "shared_draw"
    return "which_noise" if off and off <= {_TAILS, _SKEW} | ties else None


def _judge(look: Look, exercise: Exercise, answer: Answer) -> Report:
    """Measure an answer on all inputs, and find the mistake that explains it."""
    asked: list[Inputs] = []
    fits: list[Seen] = []
    wrong: list[Seen] = []
    seen: list[Seen] = []  # with what ties the noise, which says nothing of faces
    for inputs in exercise.inputs():
        try:
            fit, ties = look(answer, inputs)
        except Exception:
            if not wrong:
                raise
            break  # what it gave before is wrong already
        asked.append(inputs)
        fits.append(fit)
        seen.append(fit | ties())
        wrong += seen[-1:] if _off(seen[-1]) else []

    def distance(face: Answer) -> float:
        far = 0.0
        for inputs, own in zip(asked, fits, strict=True):
            other, _ = look(face, inputs)
            if own.keys() != other.keys():
                return math.inf
            for (a, e, _), (b, f, _) in zip(own.values(), other.values(), strict=True):
                far = max(far, abs(a - b) / math.hypot(e, f) / _LIMIT)
            if far > 1:
                break
        return far

    first = (wrong or seen)[0]
    off = _off(first)
    title = off[0][0] if off else next(iter(first))[0]
    part = {label: stat for (of, label), stat in first.items() if of == title}
    kept = [k for k in part if k in _SHOWN or (title, k) in off]
    measured, expected = (
        f"{title}: " + ", ".join(f"{k} {part[k][i]:.4g}" for k in kept) for i in (0, 2)
    )
    apart = max(abs(value - right) / error for value, error, right in part.values())
    if not wrong:
        return Report("", True, True, None, measured, expected, apart, exercise.praise)
    name = _shows(seen) or exercise.explain(distance)
    random = title.startswith("t = ")
    raise exercise.wrong(name, measured, expected, apart if random else None)


def _noisy(shape: tuple[int, ...]) -> Tensor:
    """Draw a batch whose samples have means and scales of their own."""
    each = len(shape) - 1
    mean, scale = torch.randn(2, shape[0], *[1] * each)
    return 0.6 + 0.5 * mean + (0.5 + scale.abs()) * torch.randn(shape)


def _times() -> Iterator[Inputs]:
    yield {"x_s": _noisy((200, 1, 8, 8)), "t": 3, "betas": _BETAS}  # no two look alike
    yield {"x_s": _noisy((2000, 5)), "t": 1, "betas": _BETAS}
    yield {"x_s": _noisy((3000,)), "t": 2, "betas": _SHORT}


def _starts() -> Iterator[Inputs]:
    for n, betas in ((4000, _BETAS), (3000, _SHORT)):
        x0 = torch.where(torch.rand(n) < 0.4, -1.0, 1.2) + 0.3 * torch.randn(n)
        yield {"x0": x0, "betas": betas}


_HINTS = {
    "one_noise": "Every step added the same noise. Where do you draw it?",
    "stops_early": "The trajectory has T+1 rows, x_0 to x_T. Which is your last step?",
    "no_start": "Row 0 of the trajectory is x_0 itself, before any step.",
    "too_many_rows": "Row 0 is x_0, and T steps follow. Which is your first step, and "
    "which your last?",
    "last_only": "Keep every x_t on the way, and stack them, x_0 first.",
    "transposed": "One row for each t, one column for each point: along which axis did "
    "you stack?",
    "starts_over": "Step t starts from x_{t−1}, the row that you made last.",
    "same_tensor": "All rows are equal. Did you put one tensor into your list T+1 "
    "times, and change it in place?",
    "variance_or_std": "β_t and 1−β_t are shares of variance. Which factor does a "
    "share ask for?",
    "which_noise": "The noise of a step is standard normal. Which of torch's random "
    "functions draws that, and which draws numbers from 0 to 1?",
    "index_shift": "Entry 0 of the table says “no noise”. Which entry is β_t?",
    "swapped": "β_t is small: most of x_{t−1} should stay. Which factor belongs to it?",
    "no_noise": "Your result is x_{t−1} times a number. Where does noise come in?",
    "no_signal": "Your result does not depend on x_{t−1}.",
    "no_weight": "Both terms need a factor, or the variance grows.",
    "wrong_sign": "The mean is a positive multiple of x_{t−1}.",
    "which_alpha": "These factors belong to t steps at once. One step has β_t alone.",
    "shared_draw": "Several numbers got the same noise. Each of them, in each sample "
    "and at each step, needs a draw of its own: what shape has your noise?",
}
_CHECK = "Compare your factors with [DDPM eq. 2], one at a time."

Q_STEP = Exercise(
    "Exercise 1.1: one step",
    q_step,
    _times,
    [Mistake(k, hint, _steps(k)) for k, hint in _HINTS.items() if k not in _CHAINS],
    hint=_CHECK,
    praise="This is the whole step; the package has it as DDPM.q_step.",
    judge=partial(_judge, _look_at_step),
)
RUN_CHAIN = Exercise(
    "Exercise 1.3: the whole chain",
    run_chain,
    _starts,
    [
        Mistake(
            k,
            hint,
            [*_CHAINS.get(k, []), *(partial(_chain, step=s) for s in _steps(k))],
        )
        for k, hint in _HINTS.items()
    ],
    hint=_CHECK,
    praise="Each row was made from the row above alone: a Markov chain.",
    judge=partial(_judge, _look_at_chain),
)
