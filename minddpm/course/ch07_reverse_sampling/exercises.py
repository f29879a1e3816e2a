"""The exercises of notebook 07; here the output's law and a DDIM step."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch07_reverse_sampling.exercises_clamp import CLIPPED_MEAN
from minddpm.course.ch07_reverse_sampling.exercises_step import P_STEP
from minddpm.course.kit.exercise import Answer, Exercise, Inputs, Mistake
from minddpm.course.kit.means import Factors
from minddpm.course.kit.report import regress
from minddpm.schedule import Schedule

Part = Callable[..., Any]

# --- 7.2 ------------------------------------------------------------------------------


def output_law(
    m: float, d: float, betas: Tensor, alpha_bars: Tensor, variance: str
) -> tuple[float, float]:
    """The law of Algorithm 2's output for Gaussian data, with the exact noise.

    V_{t−1} = k_t² V_t + σ_t² from V_T = 1, with k_t = √α_t v_{t−1} / v_t and
    v_t = ᾱ_t d² + 1 − ᾱ_t; the mean likewise; the last step adds no σ_1².

    Args:
        m: mean of the data.
        d: their standard deviation.
        betas: β_t, (T+1,) float64 with entry 0 for "no noise".
        alpha_bars: ᾱ_t, likewise.
        variance: "posterior" or "beta".

    Returns:
        The output's mean and standard deviation.
    """
    return _law(m, d, betas, alpha_bars, variance)


def _sigma2(b: float, tilde: float, exact: float, variance: str) -> float:
    """Return the variance asked for; exact is what the data would need."""
    return b if variance == "beta" else tilde


def _law(
    m: float,
    d: float,
    betas: Tensor,
    alpha_bars: Tensor,
    variance: str,
    *,
    start: Part = lambda m, d, ab: (0.0, 1.0),
    times: Callable[[int], range] = lambda T: range(T, 0, -1),
    v: Part = lambda ab, d: ab * d**2 + 1 - ab,
    k: Part = lambda a, ab, ab_s, ratio: a**0.5 * ratio,
    sigma2: Part = _sigma2,
    grow: Part = lambda k, V: k**2 * V,
    quiet: int = 1,
    pull: int = 1,
    shift: int = 0,
    result: Part = lambda M, V, m: (M, V**0.5),
) -> Any:
    """Walk mean and variance from T to 0, with one thing changed or none."""
    table, ab = betas.tolist(), alpha_bars.tolist()
    M, V = start(m, d, ab[-1])
    for t in times(len(table) - 1):
        b, now, before = table[max(1, t + shift)], ab[t], ab[t - 1]
        ratio = v(before, d) / v(now, d)
        added = sigma2(b, b * (1 - before) / (1 - now), b * ratio, variance)
        factor = k(1 - b, now, before, ratio)
        M = factor * M + pull * (before**0.5 - factor * now**0.5) * m
        V = grow(factor, V) + (added if t > quiet else 0)
    return result(M, V, m)


def _changed(**values: list[Any]) -> list[Answer]:
    """Return walks with one thing changed each."""
    return [partial(_law, **{what: to}) for what in values for to in values[what]]


_LAWS: dict[str, list[Answer]] = {
    "variance_or_std": _changed(
        result=[lambda M, V, m: (M, V), lambda M, V, m: (M, V**0.25)],
        sigma2=[lambda *of: _sigma2(*of) ** 0.5, lambda *of: _sigma2(*of) ** 2],
        k=[lambda a, ab, s, r: a * r, lambda a, ab, s, r: (a * r) ** 0.5],
        v=[lambda ab, d: ab**0.5 * d**2 + 1 - ab],
    ),
    "not_squared": _changed(grow=[lambda k, V: k * V], v=[lambda a, d: a * d + 1 - a]),
    "last_step_noise": _changed(quiet=[0]),
    "stops_early": _changed(
        times=[lambda T: range(T, 1, -1), lambda T: range(T - 1, 0, -1)]
    ),
    "wrong_start": _changed(
        start=[
            *(lambda m, d, ab: (ab**0.5 * m, 1.0), lambda m, d, ab: (0.0, 0.0)),
            *(lambda m, d, ab: (m, 1.0), lambda m, d, ab: (m, d**2)),
            lambda m, d, ab: (ab**0.5 * m, ab * d**2 + 1 - ab),
        ]
    ),
    "beta_for_posterior": _changed(
        sigma2=[lambda b, *_: b, lambda b, tilde, _, kind: _sigma2(tilde, b, _, kind)]
    ),
    "posterior_for_beta": _changed(sigma2=[lambda b, tilde, *_: tilde]),
    "upside_down": _changed(
        k=[lambda a, ab, s, r: a**0.5 / r, lambda a, ab, s, r: r / a**0.5]
    ),
    "which_alpha": _changed(
        k=[lambda a, ab, s, r: ab**0.5 * r, lambda a, ab, s, r: s**0.5 * r]
    ),
    "missing_scale": _changed(k=[lambda a, ab, s, r: r]),
    "missing_means": _changed(pull=[0]),
    "wrong_target": [
        lambda m, d, *_: (m, d),
        lambda m, d, _, ab, kind: (ab[-1] ** 0.5 * m, (1 + ab[-1] * (d**2 - 1)) ** 0.5),
    ],
    "which_variance": _changed(sigma2=[lambda b, tilde, exact, _: exact]),
    "wrong_order": _changed(times=[lambda T: range(1, T + 1)]),
    "index_shift": _changed(shift=[-1], k=[lambda a, *_: a**0.5]),
    "no_noise": _changed(sigma2=[lambda *_: 0.0]),
}
_LAW_HINTS = {
    "variance_or_std": "The recursion is one of variances. Check roots and squares.",
    "not_squared": "A factor k multiplies a standard deviation by k. And a variance?",
    "last_step_noise": "Which step of Algorithm 2 adds no noise?",
    "stops_early": "The last step is the one at t = 1. Which is yours?",
    "wrong_start": "The walk starts from pure noise: which mean and variance has that?",
    "beta_for_posterior": "You were asked for “posterior”, β̃_t.",
    "posterior_for_beta": "You were asked for “beta”: σ_t² is β_t itself.",
    "upside_down": "Is k_t the later v over the earlier one, or the other way round?",
    "which_alpha": "α_t belongs to one step, ᾱ_t to all steps up to t. Look up k_t.",
    "missing_scale": "k_t has two factors. Where has √α_t gone?",
    "missing_means": "The mean moves, too: towards √ᾱ_{t−1} m.",
    "wrong_target": "That is the law of the data, or of x_t. What does the walk make?",
    "which_variance": "That is the step's exact variance. The walk uses β_t or β̃_t.",
    "wrong_order": "Walk from T down to 1.",
    "index_shift": "Two times occur, t and t−1: does every look-up take the right one?",
    "no_noise": "Every step but the last adds σ_t² to the variance.",
}


def _walks() -> Iterator[Inputs]:
    for m, d, betas, variance in (
        (1.0, 0.3, [0.05, 0.2, 0.1, 0.4, 0.25, 0.3, 0.15, 0.35], "posterior"),
        (-0.7, 0.5, [0.04, 0.1, 0.15, 0.2, 0.25, 0.3], "beta"),
        (0.4, 1.7, [0.1, 0.5, 0.2, 0.6, 0.3], "beta"),
        (1.5, 0.2, [0.2, 0.3], "posterior"),
        (-2.0, 1.3, [0.3, 0.15, 0.4, 0.1], "posterior"),
    ):
        s = Schedule.from_betas(betas)
        tables = {"betas": s.betas.double(), "alpha_bars": s.alpha_bars.double()}
        yield {"m": m, "d": d, **tables, "variance": variance}


def _show_law(law: Any, m: float, d: float, betas: Tensor, **rest: Any) -> str:
    case = f"data N({m}, {d}²), T = {len(betas) - 1}, {rest['variance']}"
    return f"{case}: mean {law[0]:.4f}, std {law[1]:.4f}"


OUTPUT_LAW = Exercise(
    "Exercise 7.2: the law of the output",
    output_law,
    _walks,
    [Mistake(name, hint, _LAWS[name]) for name, hint in _LAW_HINTS.items()],
    show=_show_law,
    hint="Follow mean and variance through one step by hand, with T = 1 and T = 2.",
    praise="Try d = 0 and d = 1 with both variances: which of them fits which?",
)

# --- 7.4 ------------------------------------------------------------------------------


def ddim_step(
    x_t: Tensor, eps_hat: Tensor, t: int, s: int, alpha_bars: Tensor
) -> Tensor:
    """A step without fresh noise, [DDIM eq. 12] with σ = 0.

    x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε̂, x̂_0 = (x_t − √(1−ᾱ_t) ε̂) / √ᾱ_t

    Args:
        x_t: samples at time t, (B, D) float.
        eps_hat: the guessed noise, (B, D).
        t: the time, an int in 1…T.
        s: the time to go to, an int with 0 ≤ s < t.
        alpha_bars: ᾱ_t, (T+1,) float with entry 0 for "no noise".

    Returns:
        x_s, (B, D).
    """
    of_x_t, of_eps = _jump(*alpha_bars[[t, s]].tolist())
    return of_x_t * x_t + of_eps * eps_hat


def _jump(
    now: float, then: float, signal: float | None = None, noise: float | None = None
) -> tuple[float, float]:
    """Divide by √now, mix with √signal and √noise: the factors of x_t and eps_hat."""
    up = ((then if signal is None else signal) / now) ** 0.5
    rest = ((1 - then) if noise is None else noise) ** 0.5
    return up, rest - up * (1 - now) ** 0.5


def _wrong_jumps(t: int, s: int, alpha_bars: Tensor) -> Factors:
    """Return wrong factors of x_t and eps_hat by the name of the mistake."""
    a = alpha_bars.tolist()
    at, to, step = a[t], a[s], a[t] / a[t - 1]
    up, kept, left = (to / at) ** 0.5, (1 - at) ** 0.5, (1 - to) ** 0.5
    # times beside t and s; without a guard, s−1 = −1 is T
    later, *beside = a[min(t + 1, len(a) - 1)], a[max(s - 1, 0)], a[s - 1], a[s + 1]
    return {
        "swapped_times": [_jump(to, at), _jump(a[s or 1], at)],
        "swapped": [_jump(at, to, 1 - to, to)],
        "ignores_s": [
            _jump(at, a[t - 1]),
            (step**-0.5, -(1 - step) / (step * (1 - at)) ** 0.5),
        ],
        "index_shift": [
            *(_jump(at, to, at, 1 - to), _jump(at, to, to, 1 - at)),
            *(_jump(now, to) for now in (a[t - 1], later)),
            *(_jump(now, then) for now in (at, a[t - 1], later) for then in beside),
        ],
        "variance_or_std": [
            *(_jump(at, to, to**2), _jump(at, to, to**2, (1 - to) ** 2)),
            *(_jump(at, to, None, (1 - to) ** 2), (up, left - up * kept**2)),
            *((x, left - x * kept) for x in (up / at**0.5, to / at)),
        ],
        "which_alpha": [
            *(_jump(at / to, to), _jump(step, to)),
            *(_jump(at, to, None, 1 - at / to), _jump(at / to, 1.0)),
        ],
        "missing_scale": [(to**0.5, left - to**0.5 * kept)],
        "no_noise": [
            _jump(at, to, None, 0.0),
            # Algorithm 2's mean for the whole jump, without its σ z
            _jump(at, to, None, (at / to) * (1 - to) ** 2 / (1 - at)),
        ],
        "wrong_sign": [(up, -left - up * kept), (up, left + up * kept)],
        "wrong_target": [_jump(at, 1.0)],
        "stays": [(1.0, 0.0)],
    }


def _jumps_of(name: str, x_t: Tensor, eps_hat: Tensor, *case: Any) -> list[Tensor]:
    return [p * x_t + q * eps_hat for p, q in _wrong_jumps(*case)[name]]


_JUMP_HINTS = {
    "swapped_times": "You come from t, where x̂_0 is worked out, and go to s.",
    "swapped": "Which of the two factors belongs to the data, and which to the noise?",
    "ignores_s": "Your step leads to t−1. It should lead to s.",
    "index_shift": "alpha_bars[t] is ᾱ_t. x̂_0 needs ᾱ_t alone, the new mixture ᾱ_s.",
    "variance_or_std": "Some factor is a variance where a standard deviation belongs.",
    "which_alpha": "Only ᾱ_t and ᾱ_s themselves occur in the step, no quotient.",
    "missing_scale": "x_t holds x_0 with a factor. Has your x̂_0 been divided by it?",
    "no_noise": "At s > 0 there is still noise in x_s. Which noise, and how much?",
    "wrong_sign": "Noise is taken away to get x̂_0, and added again afterwards.",
    "wrong_target": "That is x̂_0: right for s = 0 only.",
    "stays": "Your step returns x_t.",
}


def _pairs_of_times() -> Iterator[Inputs]:
    table = Schedule.linear(20, 0.02, 0.4).alpha_bars
    for t, s in ((14, 5), (8, 7), (12, 0), (6, 3), (20, 2), (1, 0)):
        # each sample twice: what differs between the two was drawn
        x_t, eps_hat = torch.randn(2, 20, 3).repeat(1, 2, 1)
        x_t, eps_hat = 1.3 * x_t + 0.4, eps_hat - 0.2
        yield {"x_t": x_t, "eps_hat": eps_hat, "t": t, "s": s, "alpha_bars": table}


def _drawn(got: Tensor, right: Tensor, **inputs: Any) -> bool:
    """Tell whether the same sample came out in two ways."""
    half = len(right) // 2
    return got.shape == right.shape and not torch.allclose(got[:half], got[half:])


def _show_jump(x_s: Tensor, x_t: Tensor, eps_hat: Tensor, t: int, **rest: Any) -> str:
    """Write x_s as a weighted sum of x_t and eps_hat, if it is one."""
    weights, _, left = regress(x_s, x_t, eps_hat)
    where = f"from t = {t} to s = {rest['s']}"
    if float(left.abs().max()) > 1e-3:
        return f"{where}: no weighted sum of x_t and eps_hat"
    return f"{where}: {weights[0]:.4f}·x_t {weights[1]:+.4f}·eps_hat"


DDIM_STEP = Exercise(
    "Exercise 7.4: a DDIM step",
    ddim_step,
    _pairs_of_times,
    [
        *(Mistake(k, hint, [partial(_jumps_of, k)]) for k, hint in _JUMP_HINTS.items()),
        Mistake(
            "fresh_noise",
            "The same numbers gave different results. Which noise does DDIM put back?",
            [lambda x_t, eps_hat, *at: ddim_step(x_t, torch.randn_like(x_t), *at)],
            sign=_drawn,
        ),
    ],
    show=_show_jump,
    hint="Write x̂_0 in terms of x_t and ε̂, then mix x̂_0 and ε̂ as in eq. 4, at s.",
    praise="With the true ε it lands on the x_s of eq. 4 that has the same ε.",
)

EXERCISES = [P_STEP, OUTPUT_LAW, CLIPPED_MEAN, DDIM_STEP]
