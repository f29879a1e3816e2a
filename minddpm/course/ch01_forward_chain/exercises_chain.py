"""Exercises 1.1 and 1.3: one step, and the whole chain."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Mistake
from minddpm.course.kit.report import Report, Wrong, call, regress
from minddpm.schedule import Schedule

_BETAS = Schedule.from_betas([0.15, 0.1, 0.4, 0.2, 0.55]).betas
_LIMIT = 5.0  # standard errors
_NORMAL = torch.randn_like

Seen = dict[str, tuple[float, float, float]]  # measured, its error, and what is right
Looked = tuple[Seen, Callable[[], Seen]]  # what tells faces apart; and the rest


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
    """Return the right factors of x_{t−1} and ε, and those of each mistake."""
    b, before, after = (float(betas[min(k, len(betas) - 1)]) for k in (t, t - 1, t + 1))
    left = float((1 - betas[: t + 1].double()).prod())
    a, r, s, jump = 1 - b, (1 - b) ** 0.5, b**0.5, (1 - left) ** 0.5
    (p, q), (u, v) = (((1 - k) ** 0.5, k**0.5) for k in (before, after))
    return {
        "right": [(r, s)],
        "variance_or_std": [(r, b), (a, s), (a, b), (1 - s, s), ((1 - b**2) ** 0.5, b)],
        "index_shift": [(p, q), (p, s), (r, q), (u, v), (u, s), (r, v)],
        "swapped": [(s, r), (b, a)],
        "no_noise": [(r, 0), (a, 0)],
        "no_signal": [(0, s), (0, b), (0, 1)],
        "no_weight": [(1, s), (r, 1), (1, 1), (1, b)],
        "wrong_sign": [(-r, s)],
        "which_alpha": [(left**0.5, jump), (left**0.5, s), (r, jump)],
    }


def _step(
    x: Tensor, t: int, b: Tensor, of: str = "right", k: int = 0, draw: Answer = _NORMAL
) -> Tensor:
    signal, noise = _factors(t, b)[of][k]
    return signal * x + noise * draw(x)


def _chain(x0: Tensor, betas: Tensor, step: Answer = q_step) -> Tensor:
    rows = [x0]
    for t in range(1, len(betas)):
        rows.append(step(rows[-1], t, betas))
    return torch.stack(rows)


_UNIFORM = (1, 0), (1, 0.5), (2, 0.5), (12**0.5, 0.5)  # width, and where the middle is
_DRAWS: dict[str, list[Answer]] = {
    "which_noise": [
        *(lambda x, w=w, c=c: w * (torch.rand_like(x) - c) for w, c in _UNIFORM),
        *(lambda x: torch.randn_like(x).sign(), lambda x: torch.randn_like(x) + 0.1),
    ],
    "shared_draw": [
        *(lambda x, k=k: _NORMAL(x.narrow(k, 0, 1)).expand_as(x) for k in (0, -1)),
        lambda x: torch.randn_like(x)[torch.arange(len(x)) // 2],
    ],
}
_CHANGES: dict[str, list[Answer]] = {  # of a right trajectory
    "stops_early": [lambda x: x[:-1], lambda x: torch.cat([x[:-1], 0 * x[:1]])],
    "no_start": [lambda x: x[1:], lambda x: x.flip(0), lambda x: x.roll(-1, 0)],
    "too_many_rows": [lambda x, k=k: x[sorted([k, *range(len(x))])] for k in (0, 1)],
    "last_only": [lambda x: x[-1]],
    "transposed": [lambda x: x.T],
    "same_tensor": [lambda x: x[:1].expand_as(x), lambda x: x[-1:].expand_as(x)],
}
_STARTS: dict[str, list[Answer]] = {  # steps that are made once x0 is known
    "one_noise": [lambda x0: partial(_step, draw=_NORMAL(x0).expand_as)],
    "starts_over": [
        lambda x0, of=of: lambda x, t, betas: _step(x0, t, betas, of)
        for of in ("right", "which_alpha")
    ],
}


def _steps(name: str) -> list[Answer]:
    """Return steps with that mistake, in the factors or in the draw."""
    drawn: list[Answer] = [partial(_step, draw=draw) for draw in _DRAWS.get(name, [])]
    pairs = _factors(1, _BETAS).get(name, [])
    return drawn + [partial(_step, of=name, k=k) for k in range(len(pairs))]


def _chains(name: str) -> list[Answer]:
    """Return chains with that mistake, in their steps or beside them."""
    changed = [lambda *x, f=f: f(_chain(*x)) for f in _CHANGES.get(name, [])]
    made = [lambda x0, b, f=f: _chain(x0, b, f(x0)) for f in _STARTS.get(name, [])]
    return [*changed, *made, *(partial(_chain, step=step) for step in _steps(name))]


# --- what is measured -----------------------------------------------------------------


def _fit(x: Tensor, y: Tensor, beta: float, t: int) -> Seen:
    """Measure what step t makes of x: its factors, and what its noise is like."""
    u = (x - x.mean()) / x.std().clamp(min=1e-6)
    weights, errors, rest = regress(y, x, x**0, u**2 - 1)
    (w, mean, curve), (e, f, g) = weights.tolist(), errors.clamp(min=1e-3).tolist()
    variance, n = float(rest.square().mean()), len(rest)
    z = rest / variance**0.5 if variance > 1e-8 else torch.randn(n).double()
    seen = {
        "factor of x_{t−1}": (w, e, (1 - beta) ** 0.5),
        "variance": (variance, max(variance, beta / 10) * (2 / n) ** 0.5, beta),
        # the errors of higher moments are themselves uncertain
        "kurtosis": (float((z**4).mean()), 1.5 * (24 / n) ** 0.5, 3.0),
        "skewness": (float((z**3).mean()), 1.5 * (6 / n) ** 0.5, 0.0),
        "mean of the noise": (mean, f, 0.0),
        "factor of (x_{t−1})²": (curve, g, 0.0),
    }
    return {f"{label} at t = {t}": stat for label, stat in seen.items()}


def _equal(rows: Tensor) -> float:
    """Return the share of rows, zeros apart, equal to another one up to the sign."""
    rows = rows[rows.abs().amax(1) > 1e-4]
    if rows.shape[1] < 8 or len(rows) < 2:  # noise of ±1 has equal ones by chance
        return 0.0
    rows = rows * rows[:, :1].sign()
    gaps = rows[rows[:, 0].argsort()].diff(dim=0).abs()
    return float((gaps < 1e-5).all(1).double().mean())


def _ties(z: Tensor, y: Tensor, rows: str, columns: str) -> Seen:
    """Measure whether numbers share their noise.

    Args:
        z: the noise of two calls, of variance 1 if the step is right, (2, R, C).
        y: what the first call returned.
        rows: what a row is.
        columns: what a column is.
    """
    c, error = z - z.mean(), (2 / z.numel()) ** 0.5
    power = float(c.square().mean())
    seen = {"noise²/β_t": (power, error, 1.0)}
    for label, x in (("equal results", y), ("share of noise drawn twice", z)):
        gaps = x.abs().flatten().sort().values.diff()
        seen[label] = float((gaps < 2e-6).double().mean()), 0.03, 0.0
    for axis, of in enumerate(("calls", rows, columns)):
        equal = _equal(z.movedim(axis, 0).flatten(1))
        alike = float((c * c.roll(1, axis)).mean()) / max(power, 1e-12)
        seen[f"share of {of} with equal noise"] = equal, 1e-3, 0.0
        seen[f"correlation of {of}"] = alike * (z.shape[axis] > 1), error, 0.0
    return seen


def _look_at_step(step: Answer, inputs: Inputs) -> Looked:
    x, t = inputs["x_s"].double(), inputs["t"]
    beta = float(inputs["betas"][t])
    y = torch.stack([call(step, tuple(x.shape), **inputs) for _ in range(2)])
    z = ((y - (1 - beta) ** 0.5 * x) / beta**0.5).reshape(2, len(x), -1)
    return _fit(x.expand_as(y), y, beta, t), partial(
        _ties, z, y[0], "samples", "places"
    )


def _look_at_chain(chain: Answer, inputs: Inputs) -> Looked:
    x0, betas = (value.double() for value in inputs.values())
    first = torch.atleast_1d(call(chain, None, **inputs))
    seen = _form(first, x0, len(betas))
    if _off(seen):
        return seen, dict
    x = torch.stack([first, call(chain, tuple(first.shape), **inputs)])
    b = betas[1:, None]
    for t in range(1, len(betas)):
        seen |= _fit(x[:, t - 1], x[:, t], float(betas[t]), t)
    z = (x[:, 1:] - (1 - b).sqrt() * x[:, :-1]) / b.sqrt()
    return seen, partial(_ties, z, x[0, 1:], "steps", "points")


def _form(path: Tensor, x0: Tensor, rows: int) -> Seen:
    """Measure what rows a trajectory has."""
    seen: Seen = {"rows": (len(path), 0.1, rows), "axes": (path.ndim, 0.1, 2)}
    seen["columns"] = path.shape[-1], 0.1, len(x0)
    if len(path) and path.shape[1:] == x0.shape:
        off = float((path[0] - x0).abs().mean())
        seen["distance of row 0 from x0"] = off, max(off / 9, 1e-7), 0
        seen["more rows like row 0"] = int((path[1:] == path[0]).all(1).sum()), 0.1, 0
    return seen


# --- what is made of it ---------------------------------------------------------------


def _off(seen: Seen) -> list[str]:
    """Return what is further from the right than chance takes it."""
    return [k for k, (v, e, right) in seen.items() if abs(v - right) > _LIMIT * e]


def _shows(seen: Seen) -> str | None:
    """Return the mistake that shows by itself, whatever the numbers are."""
    off = {label.split(" at t")[0] for label in _off(seen)}
    ties = {label for label in off if label.startswith(("share", "correlation"))}
    rest = off - ties
    variances = [stat[0] for k, stat in seen.items() if k.startswith("variance")]
    if variances and max(variances) < 1e-6 and "mean of the noise" not in off:
        return "no_noise"
    if seen.get("share of steps with equal noise", [0])[0] > 0.99:
        return "one_noise"
    # noise that is shared has statistics of larger errors, so others may be off
    if ties and (rest <= {"noise²/β_t"} or any("equal" in label for label in ties)):
        return "shared_draw"
    return "which_noise" if rest and rest <= {"kurtosis", "skewness"} else None


def _distance(look: Answer, asked: list[tuple[Inputs, Seen]], face: Answer) -> float:
    """Return how far a face is from what was measured, as a share of the limit."""
    far = 0.0
    for inputs, seen in asked:
        other, _ = look(face, inputs)
        if seen.keys() != other.keys():
            return math.inf
        for (a, e, _), (b, f, _) in zip(seen.values(), other.values(), strict=True):
            far = max(far, abs(a - b) / math.hypot(e, f) / _LIMIT)
    return far if _off(other) else math.inf  # where it is right, it explains nothing


def _judge(look: Answer, exercise: Exercise, answer: Answer) -> Report:
    """Measure an answer, up to the first inputs where it is wrong, and name it."""
    asked: list[tuple[Inputs, Seen]] = []
    for inputs in exercise.inputs():
        fit, ties = look(answer, inputs)
        asked.append((inputs, fit))
        seen = fit | ties()
        if off := _off(seen):
            break
    kept = off[:3] or [k for k in seen if " at t" in k][:3]
    got, wanted = ("; ".join(f"{k}: {seen[k][i]:.4g}" for k in kept) for i in (0, 2))
    apart = max(abs(v - right) / error for v, error, right in [seen[k] for k in kept])
    if not off:
        return Report("", True, True, None, got, wanted, apart, exercise.praise)
    name = _shows(seen) or exercise.explain(partial(_distance, look, asked))
    if name is None and {"axes", "columns"} & set(off):
        raise Wrong("wrong_shape", got, wanted, "One row for each t, N columns.")
    raise exercise.wrong(name, got, wanted, apart if " at t" in off[0] else None)


def _times() -> Iterator[Inputs]:
    # at t = 3 no two mistakes look alike
    for t, shape in {3: (200, 1, 8, 8), 1: (600, 5), 5: (900,)}.items():
        mean, scale = torch.randn(2, shape[0], *[1] * (len(shape) - 1))
        x_s = 0.6 + 0.5 * mean + (0.5 + scale.abs()) * torch.randn(shape)
        yield {"x_s": x_s, "t": t, "betas": _BETAS}


def _starts() -> Iterator[Inputs]:
    for n, betas in ((4000, _BETAS), (3000, _BETAS[[0, 4, 3]])):
        x0 = torch.where(torch.rand(n) < 0.4, -1.0, 1.2) + 0.3 * torch.randn(n)
        yield {"x0": x0, "betas": betas}


_HINTS = {
    "one_noise": "Every step added the same noise. Where do you draw it?",
    "stops_early": "The trajectory has T+1 rows, x_0 to x_T. Which is your last step?",
    "no_start": "Row 0 of the trajectory is x_0 itself, before any step.",
    "too_many_rows": "Row 0 is x_0, and T steps follow: which are first and last?",
    "last_only": "Keep every x_t on the way, and stack them, x_0 first.",
    "transposed": "One row for each t: along which axis did you stack?",
    "starts_over": "Step t starts from x_{t−1}, the row that you made last.",
    "same_tensor": "Did you put one tensor into your list, and change it in place?",
    "variance_or_std": "β_t and 1−β_t are shares of variance. What factors are those?",
    "which_noise": "The noise is standard normal. Which of torch's functions draws it?",
    "index_shift": "Entry 0 of the table says “no noise”. Which entry is β_t?",
    "swapped": "β_t is small: most of x_{t−1} should stay. Which factor is its own?",
    "no_noise": "Your result is x_{t−1} times a number. Where does noise come in?",
    "no_signal": "Your result does not depend on x_{t−1}.",
    "no_weight": "Both terms need a factor, or the variance grows.",
    "wrong_sign": "The mean is a positive multiple of x_{t−1}.",
    "which_alpha": "These factors belong to t steps at once. One step has β_t alone.",
    "shared_draw": "Several numbers got the same noise: what shape has yours, or seed?",
}

Q_STEP = Exercise(
    "Exercise 1.1: one step",
    q_step,
    _times,
    [Mistake(k, hint, _steps(k)) for k, hint in _HINTS.items() if _steps(k)],
    hint="Compare your factors with [DDPM eq. 2], one at a time.",
    praise="This is the whole step; the package has it as DDPM.q_step.",
    judge=partial(_judge, _look_at_step),
)
RUN_CHAIN = Exercise(
    "Exercise 1.3: the whole chain",
    run_chain,
    _starts,
    [Mistake(name, hint, _chains(name)) for name, hint in _HINTS.items()],
    hint="Compare your factors with [DDPM eq. 2], one at a time.",
    praise="Each row was made from the row above alone: a Markov chain.",
    judge=partial(_judge, _look_at_chain),
)
