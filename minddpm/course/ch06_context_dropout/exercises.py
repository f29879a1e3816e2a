"""The exercises of notebook 06: context dropout, and what it asks of a network."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from minddpm.course.ch06_context_dropout.exercises_drops import DROP_CONTEXT
from minddpm.course.kit.exercise import Answer, Exercise, Inputs, mistakes
from minddpm.course.kit.report import Report, Wrong, call, show

# --- 6.2 ------------------------------------------------------------------------------


def unconditional_eps(eps_c: Tensor, log_q: Tensor, shares: Tensor) -> Tensor:
    """ε(x_t, ∅) = Σ_c p(c | x_t) ε(x_t, c), p(c | x_t) ∝ p(c) q(x_t | c).

    Args:
        eps_c: the answers of K classes, (K, B, 2) float.
        log_q: log q(x_t | c), (K, B).
        shares: p(c), (K,).

    Returns:
        The answer without a label, (B, 2).
    """
    weights = (log_q.double() + shares.double().log()[:, None]).softmax(0)
    return (weights[..., None] * eps_c.double()).sum(0)


@lru_cache(maxsize=8)
def _wrong_eps(eps_c: Tensor, log_q: Tensor, shares: Tensor) -> dict[str, list[Tensor]]:
    """Return wrong answers by the name of the mistake: each is a wrong weight."""
    q, p = log_q.double(), shares.double()[:, None].expand_as(log_q)
    logits, density, K = q + p.log(), q.exp(), len(q)
    pq, across = p * density, q.softmax(1)
    weights = {
        "no_prior": [q.softmax(0)],
        "prior_for_posterior": [p],
        "not_weighted": [p**0 / K, p**0],
        "wrong_axis": [logits.softmax(1), across, p * across, pq / pq.sum()],
        "missing_log": [x.softmax(0) for x in (q + p, q * p, q * p.log())],
        "not_normalised": [pq, density, p * q.softmax(0)],
        "wrong_sign": [(-logits).softmax(0), (p.log() - q).softmax(0)],
        "upside_down": [(q - p.log()).softmax(0)],
        "hard_choice": [F.one_hot(x.argmax(0), K).T for x in (logits, q)],
        "softmax_of_exp": [x.softmax(0) for x in (pq, density)],
        "not_exponentiated": [
            *(x / x.sum(0) for x in (logits, q)),
            *(logits, q, logits.log_softmax(0)),
        ],
        "reduction": [logits.softmax(0) / K],
        "underflow": [pq / (pq.sum(0) + 1e-12)],
    }
    return {
        name: [(w[..., None] * eps_c).sum(0) for w in made]
        for name, made in weights.items()
    }


_EPS_HINTS = {
    "no_prior": "A frequent class is likely even before you look: where is p(c)?",
    "prior_for_posterior": "Your weights are the same for every x_t: use where it is.",
    "not_weighted": "All classes count alike; they should by how likely they are.",
    "wrong_axis": "The weights of one x_t add up to 1. On which axis are the classes?",
    "missing_log": "log_q is a logarithm, shares are not. What makes a product a sum?",
    "not_normalised": "The weights of one x_t must add up to 1: divide by their sum.",
    "wrong_sign": "The class under which x_t is more likely weighs more.",
    "upside_down": "Bayes' rule multiplies by p(c); it does not divide.",
    "hard_choice": "All classes count, each by its weight; not only the likeliest.",
    "softmax_of_exp": "Softmax takes the logarithms: it applies exp() itself.",
    "not_exponentiated": "Weights are probabilities: turn the logarithms back first.",
    "reduction": "A sum over the classes: the weights divide already.",
    "underflow": "exp(−1000) is 0 here. Softmax first subtracts the largest logarithm.",
}


def _ordinary() -> Iterator[Inputs]:
    """Draw inputs on which known mistakes differ clearly."""
    for K, B in ((3, 5), (5, 8), (4, 4)):
        shares = 0.2 + torch.rand(K)
        yield {
            "eps_c": torch.randn(K, B, 2) + 1.5 * torch.randperm(K)[:, None, None],
            "log_q": 1.2 * torch.randn(K, B) - 2.5,
            "shares": shares / shares.sum(),
        }


def _fields() -> Iterator[Inputs]:
    """Draw ordinary inputs, and some with x_t where every density is 0."""
    yield from _ordinary()
    for inputs in _ordinary():
        low = -1000 * (torch.arange(inputs["log_q"].shape[1]) % 3)
        yield inputs | {"log_q": inputs["log_q"] + low}


def _judge_finite(exercise: Exercise, answer: Answer) -> Report:
    """Compare, and tell NaN where densities are 0 from other NaN."""
    try:
        return exercise.compare(answer)
    except Wrong as error:
        if error.report.mistake != "not_finite":
            raise
    replace(exercise, inputs=_ordinary).compare(answer)
    said = "NaN for some log q near −1000"
    raise exercise.wrong("underflow", said, "finite numbers, as elsewhere")


UNCONDITIONAL_EPS = Exercise(
    "Exercise 6.2: no label, from all labels",
    unconditional_eps,
    _fields,
    mistakes(_EPS_HINTS, _wrong_eps),
    hint="Print the weights of one x_t: which class should weigh most there?",
    praise="So who knows all conditional answers, and p(c | x_t), has this one too.",
    tolerance=1e-3,  # float32 keeps four decimals of −2000
    judge=_judge_finite,
)

# --- 6.3 ------------------------------------------------------------------------------


def dropout_floor(
    eps: Tensor, eps_c: Tensor, eps_u: Tensor, drop_prob: float
) -> Tensor:
    """(1−p) mean (ε − ε(x, c))² + p mean (ε − ε(x, ∅))², a mean of two floors.

    Args:
        eps: the noise, (n, 2) float.
        eps_c: the exact answers with a label, (n, 2).
        eps_u: those without, (n, 2).
        drop_prob: p.

    Returns:
        The floor, a scalar.
    """
    told, untold = ((eps - x).double().square().mean() for x in (eps_c, eps_u))
    return (1 - drop_prob) * told + drop_prob * untold


def _wrong_floors(
    eps: Tensor, eps_c: Tensor, eps_u: Tensor, p: float
) -> dict[str, list[Tensor]]:
    """Return wrong floors by the name of the mistake."""
    a, b = (eps - eps_c).double(), (eps - eps_u).double()
    drawn = torch.where(torch.rand(len(a), 1) < p, b, a)

    def mix(x: Tensor, y: Tensor) -> Tensor:
        return (1 - p) * x + p * y

    def ms(x: Tensor) -> Tensor:
        return x.square().mean()

    c, u, n = ms(a), ms(b), len(a)
    return {
        "blend": [ms(mix(a, b)), ms(mix(b, a))],
        "swapped": [mix(u, c)],
        "ignores_drop_prob": [c, u, torch.minimum(c, u)],
        "not_half": [(c + u) / 2, ms((a + b) / 2)],
        "reduction": [k * mix(c, u) for k in (2, 2 * n, n, 0.5)],
        "not_squared": [
            *(mix(c, u).sqrt(), mix(c.sqrt(), u.sqrt()), mix(a, b).mean()),
            *(mix(a.abs(), b.abs()).mean(), mix(a.norm(dim=1), b.norm(dim=1)).mean()),
        ],
        "not_normalised": [c + u, c + p * u, u + (1 - p) * c, (1 - p) * c, p * u],
        "squared_weights": [(1 - p) ** 2 * c + p**2 * u],
        "the_gap": [u - c, c - u, *(k * ms(a - b) for k in (1, p, 1 - p))],
        "draws_again": [ms(drawn)],
    }


_FLOOR_HINTS = {
    "blend": "You averaged the answers before you squared; one is given at a time.",
    "swapped": "drop_prob is the share of samples *without* a label.",
    "ignores_drop_prob": "Some samples go with a label and some without: both count.",
    "not_half": "The two kinds of samples are equally frequent only at p = ½.",
    "reduction": "A mean over samples and over coordinates.",
    "not_squared": "The loss is a squared error, without a root.",
    "not_normalised": "The two shares must add up to 1.",
    "squared_weights": "Each error counts by its share; not by the share's square.",
    "the_gap": "That is what the label is worth. Compare each answer with the noise.",
    "draws_again": "Weigh both errors with their probabilities; do not draw one.",
}


def _errors() -> Iterator[Inputs]:
    """Draw errors; once, those with a label are the larger ones."""
    for n, p, k in ((40, 0.2, 0.9), (7, 0.65, 0.9), (90, 0.03, 0.1), (12, 1.0, 0.9)):
        eps = torch.randn(n, 2) * torch.tensor([1.0, 1.7]) + 0.3
        yield {
            "eps": eps,
            "eps_c": 0.7 * eps + 0.4 * torch.randn(n, 2),
            "eps_u": (1 - 0.8 * k) * eps + k * (0.4 + torch.randn(n, 2)),
            "drop_prob": p,
        }


def _judge_steady(exercise: Exercise, answer: Answer) -> Report:
    """Compare, after a look whether the answer draws."""
    inputs = next(iter(exercise.inputs()))
    one, two = (call(answer, None, **inputs) for _ in range(2))
    if exercise.apart((one,), (two,)) > 1:
        said = f"{show(one)}, and asked the same again {show(two)}"
        raise exercise.wrong("draws_again", said, "the same twice")
    return exercise.compare(answer)


DROPOUT_FLOOR = Exercise(
    "Exercise 6.3: the floor of training with dropout",
    dropout_floor,
    _errors,
    mistakes(_FLOOR_HINTS, _wrong_floors),
    show=lambda floor, drop_prob, **_: f"p = {drop_prob}: {show(floor)}",
    hint="What is the loss of the samples with a label? Of those without?",
    praise="Mixing the answers before squaring would have given less.",
    tolerance=1e-5,
    judge=_judge_steady,
)

EXERCISES = [DROP_CONTEXT, UNCONDITIONAL_EPS, DROPOUT_FLOOR]
