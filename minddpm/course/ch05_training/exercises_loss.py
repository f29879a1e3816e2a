"""Exercise 5.1: the loss."""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from minddpm.course.ch05_training.exercises_probe import RING, T, measure, noise_in
from minddpm.course.kit.exercise import Answer, Exercise, Mistake
from minddpm.course.kit.report import Report, Wrong, z_score
from minddpm.oracle import loss_floor

_LIMIT = 5.0  # standard errors


def loss(net: Any, x0: Tensor, alpha_bars: Tensor) -> Tensor:
    """Mean of (ε − net(√ᾱ_t x_0 + √(1−ᾱ_t) ε, t/T))², t in 1…T [DDPM eq. 14].

    Algorithm 1 without the gradient step; the times are uniform.

    Args:
        net: a network, called as net(x_t, None, t / T, None).
        x0: clean samples, (B, 2) float.
        alpha_bars: the table, (T+1,) float with ᾱ_0 = 1.

    Returns:
        The loss, a scalar that depends on the network's weights.
    """
    return _algorithm()(net, x0, alpha_bars)


def _mean(error: Tensor, s: Any = None) -> Tensor:
    return error.square().mean()


def _algorithm(
    times: Answer = lambda n, T: torch.randint(1, T + 1, (n,)),
    look: int = 0,
    draw: Answer = torch.randn_like,
    mix: Answer = lambda s, n, a, b: (s, n),
    target: Answer = lambda eps, x0, x_t, s, n, b: eps,
    told: Answer = lambda t, T: t / T,
    reduce: Answer = _mean,
) -> Answer:
    """Return Algorithm 1, with something changed."""

    def answer(net: Any, x0: Tensor, alpha_bars: Tensor) -> Any:
        T = len(alpha_bars) - 1
        t = times(len(x0), T)
        at = (t + look).clamp(0, T)
        bar, before = alpha_bars[at, None], alpha_bars[(at - 1).clamp(min=0), None]
        s, n, a, b = (x.sqrt() for x in (bar, 1 - bar, bar / before, 1 - bar / before))
        signal, noise = mix(s, n, a, b)
        eps = draw(x0)
        x_t = signal * x0 + noise * eps
        error = target(eps, x0, x_t, s, n, b) - net(x_t, None, told(t, T), None)
        return reduce(error, s)

    return answer


_features = cache(lambda face: measure(face)[0])


def _apart(one: Tensor, other: Tensor) -> float:
    if len(one) != len(other):
        return math.inf
    return z_score(one[:, 0], other[:, 0], _LIMIT * one[:, 1].hypot(other[:, 1]))


def _judge(exercise: Exercise, answer: Answer) -> Report:
    """Look at the shape of the loss, then at what x_t is made of, then at the draws."""
    features, seen = measure(answer)

    def distance(face: Answer) -> float:
        if _apart(_features(face), _features(loss)) <= 1:  # only its draws are wrong
            return math.inf
        return _apart(_features(face), features)

    def explained(said: str, expected: str) -> Wrong:
        return exercise.wrong(exercise.explain(distance), said, expected)

    if not seen:
        said = f"10 times the answers, {10 ** float(features[0, 0]):.3g} times the loss"
        raise explained(said, "100 times, for large answers")
    weight, target, told = seen["weight"], seen["target"], seen["told"]
    zero, knowing, exact = seen["loss"].tolist()
    if z_score(weight, weight.mean(), 1e-3 * weight.mean().abs()) > 1:
        same_t = (told[:, None] == told).double()
        means = same_t @ weight.mean(1, keepdim=True) / same_t.sum(1, keepdim=True)
        by_time = z_score(weight, means, 1e-3 * means.abs()) <= 1
        said = f"squares weigh from {weight.min():.3g} to {weight.max():.3g}"
        raise exercise.wrong("weighted" if by_time else None, said, "all weigh 1")
    if z_score(weight, 1.0, 1e-3) > 1:
        raise explained(f"{weight.mean():.4g} times the mean of the squares", "once")
    squares = (seen["out"] - target).square().view(3, -1)
    if z_score(squares.mean(1), seen["loss"], 1e-3) > 1:
        said = "not the mean of (target − the net's answer)², number by number"
        raise exercise.wrong(None, said, "their mean")
    t, batches, shares = told.round().long().clamp(1, T), told.view(3, -1), told / T
    n, shared = len(shares.unique()), bool((batches == batches[:, :1]).all())
    if z_score(told, t, 1e-3) > 1 or not (shared or n == T):
        said = f"the net was told {n} times, {shares.min():.3g} to {shares.max():.3g}"
        raise explained(said, f"{T} times, {1 / T:g} to 1")
    if z_score(target, noise_in(seen["x_t"], seen["x0"], t), 1e-3) > 1:
        said = f"{knowing:.3g} for a net that knows ε, {zero:.3g} for one of zeros"
        raise explained(said, "0 for a net that knows ε, 1 for one of zeros")
    if shared:
        raise exercise.wrong("shared_draw", "one t for the whole batch", "a t for each")
    _judge_times(exercise, t, batches.shape[1])
    _judge_noise(exercise, target.view(3, -1, 2))
    floor, error = (
        loss_floor(RING, n=500).mean,
        squares[2].std() / batches.shape[1] ** 0.5,
    )
    said = f"{zero:.3f} for a net that answers 0, {exact:.3f} for the exact denoiser, "
    said += f"{knowing:.2g} for a net that knows ε"
    expected = f"1; {floor:.3f}, the floor of this schedule of T = {T}; 0"
    apart = z_score(exact, floor, error)
    return Report("", True, True, None, said, expected, apart, exercise.praise)


def _judge_times(exercise: Exercise, t: Tensor, batch: int) -> None:
    """Raise unless t is uniform on 1…T, whatever it was for the samples before."""
    n, counts, i = len(t), t.bincount(minlength=T + 1)[1:], torch.arange(len(t))
    share = float((counts / n).square().sum())  # of pairs that are equal by chance
    same = (t[(i[:, None] + i) % n] == t[:, None]).double().mean(0)
    apart = (same - share)[1:] / (share * (1 - share) / n) ** 0.5
    if apart.max() > 8:  # the largest of hundreds
        again = same[batch] == 1 and apart[: batch - 1].max() <= 8
        lag = int(apart.argmax()) + 1
        said = f"samples i and i + {lag} have the same t in {same[lag]:.1%}"
        name = "same_draws" if again else "not_drawn"
        raise exercise.wrong(name, said, f"{share:.1%}", float(apart.max()))
    # χ² of T−1 degrees of freedom: mean T−1, variance 2 (T−1), and a long tail
    chi2 = float((counts - n / T).square().sum()) / (n / T)
    if (far := (chi2 - T + 1) / (2 * T - 2) ** 0.5) > 2 * _LIMIT:
        said = f"1…{T} drawn {', '.join(map(str, counts.tolist()))} times"
        raise exercise.wrong(None, said, "equally often", far)


def _judge_noise(exercise: Exercise, eps: Tensor) -> None:
    """Raise unless ε is standard normal, each number drawn for itself; (3, B, 2)."""
    size, near = eps.numel(), 5e-6 * float(eps.std())
    twice = [int((x.flatten().sort()[0].diff() < near).sum()) for x in (*eps, eps)]
    if twice[3] > size / 40:  # 3 are so by chance
        most = (eps / near).round().unique(return_counts=True)[1].max()
        name = "shared_draw" if sum(twice[:3]) > size / 80 else "same_draws"
        if most > size / 20 and z_score(eps, eps[:, :1], near) > 1:
            name = "which_noise"  # it has values of its own
        said = f"{twice[3]} of {size} numbers of the noise were there before"
        raise exercise.wrong(name, said, "each a draw of its own")
    rows = eps.flatten(0, 1).T
    linked = torch.cat([rows, rows.roll(1, 1)]).corrcoef().triu(1).abs().max()
    kurtosis = (eps - eps.mean()).pow(4).mean() / eps.var() ** 2
    apart = (
        z_score(linked, 0, rows.shape[1] ** -0.5),
        z_score(eps.mean(), 0, size**-0.5),
        z_score(eps.square().mean(), 1, (2 / size) ** 0.5),
        # normal samples reach high values more easily than low ones
        z_score(kurtosis, 3, (24 / size) ** 0.5) / (1 if kurtosis < 3 else 2),
    )
    if max(apart) > _LIMIT:
        said = f"mean {eps.mean():.3f}, variance {eps.var():.3f}, kurtosis "
        said += f"{kurtosis:.2f}, correlation of neighbours {linked:.2f}"
        normal = max(apart[1:]) <= _LIMIT
        mistake = None if normal else "which_noise"
        raise exercise.wrong(mistake, said, "0, 1, 3 and 0", max(apart))
    if eps.mean(1).square().mean() < 1e-6:
        raise exercise.wrong(None, "noise of mean 0 in each batch", "means of ±0.06")


def _each(key: str, n: int, rule: Answer) -> list[Answer]:
    """Return a face for each of the n variants in the list that the rule returns."""
    changes: list[Any] = [{key: lambda *x, k=k: rule(*x)[k]} for k in range(n)]
    return [_algorithm(**change) for change in changes]


def _seeded(draw: Answer, *size: Any) -> Any:
    return draw(*size, generator=torch.Generator().manual_seed(0))


_FACES = {
    "reduction": _each(
        "reduce", 3, lambda e, s: [f * _mean(e) for f in (2, len(e), 2 * len(e))]
    )
    + _each("reduce", 2, lambda e, s: [_mean(e) / f for f in (len(e), 2 * len(e))]),
    "half": _each("reduce", 1, lambda e, s: [_mean(e) / 2]),
    "not_squared": _each("reduce", 1, lambda e, s: [e.abs().mean()]),
    "weighted": _each("reduce", 1, lambda e, s: [_mean(s * e)]),
    "not_divided": _each("told", 1, lambda t, T: [t]),
    "index_shift": _each("told", 2, lambda t, T: [(t - 1) / T, t / (T + 1)])
    + [_algorithm(look=by) for by in (-1, 1)],
    "draws_t_0": _each(
        "times", 2, lambda n, T: [torch.randint(high, (n,)) for high in (T, T + 1)]
    ),
    "never_t_T": _each("times", 1, lambda n, T: [torch.randint(1, T, (n,))]),
    "no_noise": _each("mix", 3, lambda s, n, a, b: [(s, 0), (s**2, 0), (1, 0)]),
    "no_signal": _each("mix", 3, lambda s, n, a, b: [(0, n), (0, n**2), (0, 1)]),
    "no_weight": _each("mix", 3, lambda s, n, a, b: [(1, 1), (s, 1), (1, n)]),
    "variance_or_std": _each(
        "mix", 4, lambda s, n, a, b: [(s**2, n**2), (s, n**2), (s**2, n), (s, 1 - s)]
    ),
    "swapped": _each("mix", 2, lambda s, n, a, b: [(n, s), (n**2, s**2)]),
    "which_alpha": _each("mix", 3, lambda s, n, a, b: [(a, b), (s, b), (a, n)]),
    "wrong_sign": _each("mix", 2, lambda s, n, a, b: [(s, -n), (-s, n)]),
    "wrong_target": _each(
        "target", 5, lambda e, x0, x, s, n, b: [x0, x, x - x0, x0 - x, s * e - n * x0]
    ),
    "one_step_noise": _each("target", 2, lambda e, x0, x, s, n, b: [n * e, b * e]),
    "redrawn_noise": _each("target", 1, lambda e, *x: [torch.randn_like(e)]),
    "shared_draw": _each(
        "draw", 2, lambda x: [torch.randn_like(y) + 0 * x for y in (x[:1], x[:, :1])]
    )
    + _each("times", 1, lambda n, T: [torch.randint(1, T + 1, ()).expand(n)]),
    "same_draws": _each("draw", 1, lambda x: [_seeded(torch.randn, x.shape)])
    + _each("times", 1, lambda n, T: [_seeded(torch.randint, 1, T + 1, (n,))]),
    "not_drawn": _each("times", 1, lambda n, T: [torch.arange(n) % T + 1])
    + _each("times", 1, lambda n, T: [torch.randint(1, T + 1, (n,)).sort()[0]]),
    "which_noise": _each(
        "draw", 2, lambda x: [torch.rand_like(x), torch.randn_like(x).sign()]
    ),
}
_HINTS = {
    "reduction": "A mean does not grow with the batch: what does yours divide by?",
    "half": "Algorithm 1 has no factor ½ in front of the square.",
    "not_squared": "Ten times the error should cost a hundred times as much.",
    "weighted": "L_simple gives every t the weight 1.",
    "not_divided": "The network expects the time as a share, t / T, in (0, 1].",
    "index_shift": "Is the network told the t of x_t? The table has T + 1 entries.",
    "draws_t_0": "t = 0 is data without noise. Where does your randint begin and end?",
    "never_t_T": "randint(low, high) never draws high itself.",
    "no_noise": "Your x_t is x0, or x0 times a number. Where does the noise come in?",
    "no_signal": "Your x_t does not depend on x0.",
    "no_weight": "Both x0 and the noise have a factor in x_t [DDPM eq. 4].",
    "variance_or_std": "ᾱ_t and 1−ᾱ_t are shares of variance. And the factors in x_t?",
    "swapped": "At small t, x_t is almost x0. Which factor is then near 1?",
    "which_alpha": "α_t belongs to one step. The jump to time t needs all t of them.",
    "wrong_sign": "In x_t both parts are added; in the error ε comes with a plus.",
    "wrong_target": "Which of x0, x_t and eps is the network to predict?",
    "one_step_noise": "The target is ε itself, of variance 1, not its part in x_t.",
    "redrawn_noise": "The noise in x_t is the noise to predict: draw it once.",
    "shared_draw": "A time for each sample, a noise for each number: of what shapes?",
    "same_draws": "Draw anew at every call; do not set a seed inside.",
    "not_drawn": "Each time is a draw of its own, whatever the others are.",
    "which_noise": "The noise is standard normal: which function draws that?",
}
LOSS = Exercise(
    "Exercise 5.1: the loss",
    loss,
    mistakes=[Mistake(name, hint, _FACES[name]) for name, hint in _HINTS.items()],
    judge=_judge,
    hint="Go through the lines of Algorithm 1, one at a time: what shape has each?",
    praise="In the package this is DDPM.forward; labels come in notebook 06.",
)
