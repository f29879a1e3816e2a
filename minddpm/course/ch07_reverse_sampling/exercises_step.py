"""Exercise 7.1: one step of Algorithm 2."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minddpm.course.kit import means
from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Mistake
from minddpm.course.kit.report import Report, call, regress, z_score
from minddpm.schedule import Schedule

# --- 7.1 ------------------------------------------------------------------------------

# Neighbouring steps differ, so that a shifted index shows in a few thousand draws.
_TABLE = Schedule.from_betas([0.2, 0.35, 0.3, 0.6, 0.55, 0.35, 0.2, 0.5])
# Neither long nor wide, so that loops over samples or columns do not take long.
_SHAPES = {4: (1500, 2), 2: (120, 130), 7: (100, 160), 8: (4, 1000), 1: (30, 20)}
_STD = 0.3  # of the data
_LIMIT = 5.0  # standard errors


def p_step(
    x_t: Tensor,
    eps_hat: Tensor,
    t: int,
    betas: Tensor,
    alpha_bars: Tensor,
    variance: str,
) -> Tensor:
    """One step back [DDPM Algorithm 2].

    x_{t−1} = (x_t − β_t / √(1−ᾱ_t) · ε̂) / √α_t + σ_t z, z = 0 at t = 1
    σ_t² = β_t, or β̃_t = β_t (1−ᾱ_{t−1}) / (1−ᾱ_t)

    Args:
        x_t: noisy samples, (B, D) float.
        eps_hat: the guessed noise, (B, D).
        t: the time, an int in 1…T.
        betas: β_t, (T+1,) float with entry 0 for "no noise".
        alpha_bars: ᾱ_t, likewise.
        variance: "posterior" or "beta".

    Returns:
        x_{t−1}, (B, D), with noise of its own.
    """
    return _step(x_t, eps_hat, t, betas, alpha_bars, variance)


class _At(NamedTuple):
    """What the variance of a step may be made of; s = t−1."""

    b: float
    a: float
    rest: float  # 1 − ᾱ_t
    b_s: float
    rest_s: float
    beta: bool = True  # whether "beta" is asked for

    @property
    def tilde(self) -> float:
        return self.b * self.rest_s / self.rest

    @property
    def right(self) -> float:
        return self.b if self.beta else self.tilde


def _at(t: int, betas: Tensor, alpha_bars: Tensor, variance: str) -> _At:
    (b, a, _, rest), (b_s, _, _, rest_s), *_ = means.around(t, betas, alpha_bars)
    return _At(b, a, rest, b_s, rest_s, variance == "beta")


def _step(
    x_t: Tensor,
    eps_hat: Tensor,
    t: int,
    betas: Tensor,
    alpha_bars: Tensor,
    variance: str,
    *,
    mean: tuple[str, int] | None = None,
    sigma2: Callable[[_At], float] = lambda at: at.right,
    draw: Callable[[Tensor], Tensor] = torch.randn_like,
    quiet: int = 1,
    shift: int = 0,
    noise_shift: int = 0,
) -> Tensor:
    """Take a step with one thing changed or none."""
    k, j = (min(max(t + by, 1), len(betas) - 1) for by in (shift, shift + noise_shift))
    at = _at(k, betas, alpha_bars, variance)
    of_x_t, of_eps = at.a**-0.5, -at.b / (at.a * at.rest) ** 0.5
    if mean is not None:
        wrong = means.mean_mistakes(k, betas, alpha_bars)
        of_x_t, of_eps = wrong[mean[0]][mean[1]]
    sigma = sigma2(_at(j, betas, alpha_bars, variance)) ** 0.5 if t > quiet else 0.0
    return of_x_t * x_t + of_eps * eps_hat + sigma * draw(x_t)


def _changed(**values: list[Any]) -> list[Answer]:
    """Return steps with one thing changed each."""
    return [partial(_step, **{what: to}) for what in values for to in values[what]]


def _posterior(*tildes: Callable[[_At], float]) -> list[Answer]:
    """Return steps with another β̃."""

    def face(tilde: Callable[[_At], float]) -> Answer:
        return partial(_step, sigma2=lambda at: at.b if at.beta else tilde(at))

    return [face(tilde) for tilde in tildes]


def _stops(x_t: Tensor, eps_hat: Tensor, t: int, *rest: Any) -> Tensor:
    return 1 * x_t if t == 1 else p_step(x_t, eps_hat, t, *rest)


def _late(*case: Any, **change: Any) -> Tensor:
    x_t, eps_hat, t, betas, *rest = case
    return _step(x_t, eps_hat, t, betas.roll(1), *rest, **change)


def _repeated(x: Tensor) -> Tensor:
    return torch.randn(len(x) // 2 + 1, *x.shape[1:]).repeat(2, 1)[: len(x)]


_STEP_HINTS = {
    "last_step_noise": "Look at line 3 of Algorithm 2: what is z at t = 1?",
    "stops_early": "The step at t = 1 is a step, too: it leads from x_1 to x_0.",
    "no_noise": "Your result is a mean. What does line 4 add to it?",
    "which_noise": "z is standard normal. Which of torch's functions draws that?",
    "shared_draw": "Each number needs a draw of its own, at every call. Look at z.",
    "variance_or_std": "β_t and β̃_t are variances. Check every root in the step.",
    "beta_for_posterior": "Asked for “posterior”: what makes β̃_t smaller than β_t?",
    "posterior_for_beta": "You were asked for “beta”: the variance is β_t itself.",
    "index_shift": "Two times occur. Entry 0 is no noise, so table[t] is time t.",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all to t: look at eqs. 7 and 11.",
    "upside_down": "Eq. 2 shrank x_{t−1}, and β̃_t < β_t: does each factor go that way?",
    "no_denominator": "One factor is missing below a line: look at eqs. 7 and 11.",
    "inside_the_bracket": "In line 4 the noise comes last: is yours divided by √α_t?",
    "no_weight": "z has variance 1. Which variance should this step add?",
    "missing_scale": "In eq. 11 the whole bracket is divided by √α_t.",
    "one_step_noise": "ε̂ is all of x_t's noise. Which part does eq. 11 take away?",
    "wrong_sign": "The guessed noise is taken away.",
    "wrong_target": "This takes away all of the noise. The step leads back by one.",
}
_STEPS: dict[str, list[Answer]] = {
    "last_step_noise": _changed(quiet=[0]),
    "stops_early": [_stops],
    "no_noise": _changed(quiet=[99]),
    "which_noise": _changed(
        draw=[
            *(torch.rand_like, lambda x: torch.randn_like(x).sign()),
            *(lambda x: 2 * torch.rand_like(x) - 1, lambda x: torch.rand_like(x) - 0.5),
            lambda x: 12**0.5 * (torch.rand_like(x) - 0.5),
        ]
    ),
    "shared_draw": _changed(
        draw=[
            *(_repeated, lambda x: torch.randn(()).expand_as(x)),
            lambda x: torch.randn(len(x), 1).expand_as(x),
            lambda x: torch.randn(x.shape[1:]).expand_as(x),
        ]
    ),
    "variance_or_std": [
        *_changed(sigma2=[lambda at: at.right**2, lambda at: at.right**0.5]),
        *_posterior(lambda at: at.b * at.tilde, lambda at: at.tilde**2 / at.b),
    ],
    "beta_for_posterior": _changed(
        sigma2=[lambda at: at.b, lambda at: at.tilde if at.beta else at.b]
    ),
    "posterior_for_beta": _changed(sigma2=[lambda at: at.tilde]),
    "index_shift": [
        *_changed(shift=[-1, 1], noise_shift=[-1, 1], sigma2=[lambda at: at.b_s]),
        *_posterior(lambda at: at.b_s * at.rest_s / at.rest),
        *(_late, partial(_late, sigma2=lambda at: at.b)),
    ],
    "which_alpha": _changed(
        sigma2=[lambda at: at.rest, lambda at: at.rest_s, lambda at: at.a]
    ),
    "upside_down": _posterior(lambda at: at.b * at.rest / at.rest_s),
    "no_denominator": _posterior(lambda at: at.b * at.rest_s),
    "no_weight": _changed(sigma2=[lambda at: 1.0]),
    "inside_the_bracket": _changed(sigma2=[lambda at: at.right / at.a]),
}


def _faces(name: str) -> list[Answer]:
    """Return steps with that mistake in the noise, or in the mean."""
    pairs = means.mean_mistakes(1, _TABLE.betas, _TABLE.alpha_bars).get(name, [])
    in_mean = _changed(mean=[(name, k) for k in range(len(pairs))])
    return _STEPS.get(name, []) + in_mean


def _steps() -> Iterator[Inputs]:
    """Yield exact guesses for Gaussian data, each number with a mean of its own."""
    tables = {"betas": _TABLE.betas, "alpha_bars": _TABLE.alpha_bars}
    for t, shape in _SHAPES.items():
        for variance in ("posterior", "beta"):
            now = _TABLE.alpha_bars[t]
            # each number twice: what differs between the two was drawn
            centre, z = torch.randn(2, math.prod(shape) // 2).repeat(1, 2)
            centre, v = now.sqrt() * (centre + 0.5), now * _STD**2 + 1 - now
            x_t = (centre + v.sqrt() * z).view(shape)
            eps_hat = (1 - now).sqrt() * (x_t - centre.view(shape)) / v
            guess = {"x_t": x_t, "eps_hat": eps_hat, "t": t}
            yield {**guess, **tables, "variance": variance}


class _Seen(NamedTuple):
    """What was measured of a step."""

    values: Tensor  # factors of x_t, eps_hat, 1 and curves; std, tails; rest at t = 1
    errors: Tensor
    one: Tensor  # the result of a call
    drawn: Tensor  # the difference from a second call, over √2
    rest: float  # largest entry that the factors do not explain

    def text(self, t: int, variance: str, **_: Any) -> str:
        w = self.values.tolist()
        noise = f"noise of variance {w[5] ** 2:.4f}, kurtosis {3 + w[6]:.2f}"
        return f"t = {t}, {variance}: {w[0]:.4f}·x_t {w[1]:+.4f}·eps_hat, {noise}"


def _look(step: Answer, inputs: Inputs) -> _Seen:
    """Measure a step; what differs between two calls is noise, whatever the mean."""
    x, eps = inputs["x_t"].double(), inputs["eps_hat"].double()
    one, two = (call(step, tuple(x.shape), **inputs) for _ in range(2))
    u, drawn, n = (x - x.mean()) / x.std(), (one - two) / 2**0.5, x.numel()
    curves = u**2 - 1, u**3 - 3 * u
    weights, errors, left = regress((one + two) / 2, x, eps, x**0, *curves)
    std, rest = drawn.square().mean().sqrt(), left.abs().max()
    tails = (drawn**4).mean() / std**4 - 3 if std > 1e-4 else 0 * std
    values = [*weights, std, tails, rest * (inputs["t"] == 1)]
    # the error of the kurtosis is itself uncertain
    more = torch.tensor([float(std) / (2 * n) ** 0.5, 1.5 * (24 / n) ** 0.5, 0])
    errors = torch.cat([errors, more]).clamp(min=3e-5)
    return _Seen(torch.stack(values), errors, one, drawn, float(rest))


def _right(t: int, *tables: Any) -> Tensor:
    at = _at(t, *tables)
    mean = at.a**-0.5, -at.b / (at.a * at.rest) ** 0.5
    noise = at.right**0.5 if t > 1 else 0.0
    return torch.tensor([*mean, 0, 0, 0, noise, 0, 0], dtype=torch.float64)


def _shares(drawn: Tensor) -> bool:
    """Tell whether numbers have their noise in common, up to its sign."""
    for z in (drawn, drawn.T):
        rows = z[z.abs().min(1).values > 1e-6].abs()
        rows = rows[rows[:, 0].argsort()]
        twins = (rows[1:] - rows[:-1]).abs().max(1).values < 5e-6
        alike = (z * z.roll(1, 0)).mean() / z.square().mean()
        error = (2 / z.numel()) ** 0.5  # of two columns, each pair counts twice
        if int(twins.sum()) > 1e-3 * len(z) or z_score(alike, 0, error) > _LIMIT:
            return True
    return False


def _fault(seen: _Seen, right: Tensor, t: int) -> str | None:
    """Return the mistake that a step shows by itself; "" if another, None if none."""
    far = (seen.values - right).abs() / seen.errors > _LIMIT
    silent = float(seen.values[5]) < 1e-3
    if t == 1 and not silent:
        return "last_step_noise"
    if t > 1 and silent:
        first, second = seen.one.flatten().chunk(2)
        same, plain = torch.allclose(first, second), seen.values[2:5].abs().max() < 1e-3
        mean = "no_noise" if plain and seen.rest < 1e-3 else ""
        return mean if same else "shared_draw"
    if t > 1 and _shares(seen.drawn):
        return "shared_draw"
    if far.nonzero().tolist() == [[6]]:
        return "which_noise"
    return "" if far.any() else None


def _judge(exercise: Exercise, answer: Answer) -> Report:
    """Measure the mean and the noise of a step at five times, with both variances."""
    rows: list[tuple[str | None, Inputs, _Seen, Tensor]] = []
    for inputs in exercise.inputs():
        try:
            seen = _look(answer, inputs)
        except Exception:
            if any(row[0] is not None for row in rows):
                break  # what it gave before is wrong already
            raise
        _, _, t, *tables = inputs.values()
        right = _right(t, *tables)
        rows.append((_fault(seen, right, t), inputs, seen, right))
    wrong = [row for row in rows if row[0] is not None]
    if not wrong:
        measured = f"mean and variance at t = {', '.join(map(str, sorted(_SHAPES)))}"
        expected = "E[x_{t−1} given x_t], exact for this data, and σ_t²"
        worst = max(
            z_score(seen.values, right, seen.errors) for *_, seen, right in rows
        )
        return Report("", True, True, None, measured, expected, worst, exercise.praise)

    def distance(face: Answer) -> float:
        far = 0.0
        for _, inputs, seen, _ in rows:
            other = _look(face, inputs)
            error = _LIMIT * torch.hypot(seen.errors, other.errors)
            far = max(far, z_score(seen.values, other.values, error))
            if far > 1:
                break
        return far

    names, (_, inputs, seen, right) = {row[0] for row in wrong}, wrong[0]
    name = (names.pop() if len(names) == 1 else "") or exercise.explain(distance)
    apart = z_score(seen.values, right, seen.errors)
    measured, expected = (s.text(**inputs) for s in (seen, seen._replace(values=right)))
    if name == "shared_draw":
        measured += ", some of it shared"
    elif measured == expected:
        measured += f", and a rest of up to {seen.rest:.2g}"
    raise exercise.wrong(name, measured, expected, apart)


P_STEP = Exercise(
    "Exercise 7.1: one step back",
    p_step,
    _steps,
    [Mistake(name, hint, _faces(name)) for name, hint in _STEP_HINTS.items()],
    hint="Compare mean and variance with eqs. 11 and 7, factor by factor.",
    praise="This is the whole step; the package has it as DDPM.p_step.",
    judge=_judge,
)
