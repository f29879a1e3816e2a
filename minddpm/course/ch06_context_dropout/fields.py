"""Checks of the answer without a label, and of the floor, in notebook 06."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minddpm.course.kit.report import (
    Report,
    Wrong,
    call,
    check,
    name_mistake,
    z_score,
)

# --- Exercise 6.2: no label, from all labels ------------------------------------------

_EPS_HINTS = {
    "no_prior": "A frequent class is likely even before you look: p(c | x_t) has the "
    "factor p(c).",
    "prior_for_posterior": "Your weights are the same for every x_t. Where a point is "
    "tells something about its class.",
    "not_weighted": "All classes count alike in your mean; they should count by how "
    "likely they are.",
    "wrong_axis": "For one x_t, the weights of the classes must add up to 1. On which "
    "axis are the classes?",
    "missing_log": "log_q is a logarithm and shares are not. What turns a product into "
    "a sum?",
    "not_normalised": "The weights of one x_t must add up to 1: divide by their sum.",
    "wrong_sign": "The class under which x_t is more likely weighs more.",
    "upside_down": "Bayes' rule multiplies by p(c); it does not divide.",
    "hard_choice": "All classes count, each by its weight; not only the likeliest.",
    "softmax_of_exp": "Softmax takes the logarithms: it applies exp() itself.",
    "not_exponentiated": "Weights are probabilities: turn the logarithms back first.",
    "reduction": "A sum over the classes: the weights divide already.",
    "wrong_shape": "One weight for each class and x_t, (K, B), and an answer for each "
    "of both, (K, B, 2): the weight counts for both coordinates.",
    "underflow": "exp(−1000) is 0 on a computer, and 0/0 is NaN. Softmax subtracts the "
    "largest logarithm first: that changes no weight.",
    "": "Print the weights of one x_t: which class should weigh most there?",
}


def _weigh(logits: Tensor, eps_c: Tensor, axis: int = 0) -> Tensor:
    return (logits.softmax(axis)[..., None] * eps_c).sum(0)


def _known_eps(eps_c: Tensor, log_q: Tensor, shares: Tensor) -> dict[str, Any]:
    """Return what known mistakes give."""
    prior, log_p = shares[:, None], shares.log()[:, None]
    logits = log_q + log_p
    joint, K = logits.exp(), len(shares)

    def weighed(weights: Tensor) -> Tensor:
        return (weights[..., None] * eps_c).sum(0)

    likeliest = logits.argmax(0), log_q.argmax(0)
    columns = torch.arange(eps_c.shape[1])
    return {
        "no_prior": _weigh(log_q, eps_c),
        "prior_for_posterior": weighed(prior.expand_as(log_q)),
        "not_weighted": [eps_c.mean(0), eps_c.sum(0)],
        "wrong_axis": [
            _weigh(logits, eps_c, 1),
            _weigh(log_q, eps_c, 1),
            weighed(prior * log_q.softmax(1)),
            weighed(joint / joint.sum()),
        ],
        "missing_log": [
            _weigh(log_q + prior, eps_c),
            _weigh(log_q * prior, eps_c),
            _weigh(log_q * log_p, eps_c),
        ],
        "not_normalised": [
            weighed(joint),
            weighed(log_q.exp()),
            weighed(prior * log_q.softmax(0)),
        ],
        "wrong_sign": [_weigh(-logits, eps_c), _weigh(log_p - log_q, eps_c)],
        "upside_down": _weigh(log_q - log_p, eps_c),
        "hard_choice": [eps_c[k, columns] for k in likeliest],
        "softmax_of_exp": [
            _weigh(joint, eps_c),
            _weigh(log_q.exp(), eps_c),
            _weigh(prior * log_q.exp(), eps_c),
        ],
        "not_exponentiated": [
            weighed(logits / logits.sum(0)),
            weighed(log_q / log_q.sum(0)),
            weighed(logits),
            weighed(log_q),
            weighed(logits.log_softmax(0)),
        ],
        "reduction": _weigh(logits, eps_c) / K,
    }


@check("Exercise 6.2: no label, from all labels")
def check_unconditional_eps(function: Callable[..., Any]) -> Report:
    """Check `unconditional_eps(eps_c, log_q, shares)`, the mean over the posterior.

    ε(x_t, ∅) = Σ_c p(c | x_t) ε(x_t, c), p(c | x_t) ∝ p(c) q(x_t | c)

    Args:
        function: takes the answers of K classes, (K, B, 2) float, log q(x_t | c),
            (K, B), and p(c), (K,). Returns the answer without a label, (B, 2).

    Returns:
        The report. It measures the largest difference from the exact mean, for a few
        classes and where all densities are below the smallest number.
    """
    worst = 0.0
    for K, B in ((3, 5), (5, 8), (2, 7)):
        given = _draw(K, B)
        right = _right(**given)
        got = call(function, (B, 2), **given)
        if (apart := z_score(got, right, 1.0)) > 1e-4:
            wide = {name: value.double() for name, value in given.items()}
            mistake = name_mistake(got, _known_eps(**wide), 1e-3)
            raise Wrong(mistake, got[0], right[0], _EPS_HINTS[mistake or ""])
        worst = max(worst, apart)
    given["log_q"] = given["log_q"] - 3000.0
    right = _right(**given)
    hint = _EPS_HINTS["underflow"]
    said = "where log q is near −3000"
    try:
        got = call(function, (B, 2), **given)
    except Wrong as error:
        if error.report.mistake != "not_finite":
            raise
        raise Wrong("underflow", f"NaN {said}", right[0], hint) from None
    if z_score(got, right, 1.0) > 1e-2:  # float32 keeps four decimals of −3000
        mistake = "underflow" if z_score(got, 0.0, 1.0) < 1e-2 else None
        raise Wrong(mistake, f"{_pair(got[0])} {said}", _pair(right[0]), hint)
    return Report(
        measured=f"at most {worst:.1g} from the exact answer; finite {said}",
        expected="less than 0.0001",
        hint="So a network that knows every conditional answer, and how likely each "
        "class is at x_t, has the unconditional one as well.",
    )


def _draw(K: int, B: int) -> dict[str, Tensor]:
    """Draw inputs on which known mistakes differ clearly."""
    shares = (0.4 * torch.arange(1, K + 1).flip(0)).softmax(0)
    return {
        "eps_c": torch.randn(K, B, 2) + 1.5 * torch.arange(K)[:, None, None],
        "log_q": 1.2 * torch.randn(K, B) - 2.5,
        "shares": shares,
    }


def _right(eps_c: Tensor, log_q: Tensor, shares: Tensor) -> Tensor:
    logits = log_q.double() + shares.double().log()[:, None]
    return _weigh(logits, eps_c.double())


def _pair(row: Tensor) -> str:
    return f"({row[0]:.3f}, {row[1]:.3f})"


# --- Exercise 6.3: the floor with dropout ---------------------------------------------

_FLOOR_HINTS = {
    "blend": "You averaged the two answers before you squared. The network hears which "
    "question is asked, and gives one of them at a time.",
    "swapped": "drop_prob is the share of samples *without* a label.",
    "ignores_drop_prob": "Some samples go with a label and some without: both errors "
    "count, each by its share.",
    "not_half": "The two kinds of samples are equally frequent only at p = ½.",
    "reduction": "A mean over samples and over coordinates.",
    "not_squared": "The loss is a squared error, without a root.",
    "not_normalised": "The two shares must add up to 1.",
    "squared_weights": "Each error counts by its share; not by the share's square.",
    "the_gap": "That is what the label is worth, not the floor. Compare each answer "
    "with the noise.",
    "draws_again": "Two calls gave two results. You have both errors of every sample: "
    "weigh them with their probabilities, in place of drawing one.",
    "": "What is the loss of the samples with a label? Of those without? How many are "
    "there of each?",
}


def _known_floors(a: Tensor, b: Tensor, p: float) -> dict[str, Any]:
    """Return what known mistakes give, from the errors with and without a label."""
    q = 1 - p

    def mean(x: Tensor) -> Tensor:
        return x.square().mean()

    c, u = mean(a), mean(b)
    floor, count = q * c + p * u, len(a)
    return {
        "blend": [mean(q * a + p * b), mean(p * a + q * b)],
        "swapped": p * c + q * u,
        "ignores_drop_prob": [c, u],
        "not_half": [(c + u) / 2, mean((a + b) / 2)],
        "reduction": [2 * floor, 2 * count * floor, count * floor, floor / 2],
        "not_squared": [
            q * a.abs().mean() + p * b.abs().mean(),
            q * c.sqrt() + p * u.sqrt(),
            floor.sqrt(),
            q * a.norm(dim=1).mean() + p * b.norm(dim=1).mean(),
            q * a.mean() + p * b.mean(),
        ],
        "not_normalised": [c + u, c + p * u, q * c + u, q * c, p * u],
        "squared_weights": q**2 * c + p**2 * u,
        "the_gap": [u - c, c - u, mean(a - b), p * mean(a - b), q * mean(a - b)],
    }


@check("Exercise 6.3: the floor of training with dropout")
def check_dropout_floor(function: Callable[..., Any]) -> Report:
    """Check `dropout_floor(eps, eps_c, eps_u, drop_prob)`, a mean of two floors.

    (1−p) mean (ε − ε(x, c))² + p mean (ε − ε(x, ∅))²

    Args:
        function: takes the noise, the exact answers with and without a label, (n, 2)
            float each, and drop_prob. Returns the floor, a scalar.

    Returns:
        The report; the comparison is deterministic.
    """
    for n, p in ((40, 0.2), (7, 0.65), (90, 0.1)):
        eps = torch.randn(n, 2)
        eps_c = 0.7 * eps + 0.4 * torch.randn(n, 2)
        eps_u = 0.3 * eps + 0.9 * torch.randn(n, 2) + 0.5
        given = {"eps": eps, "eps_c": eps_c, "eps_u": eps_u}
        got = call(function, (), **given, drop_prob=p)
        a, b = eps.double() - eps_c.double(), eps.double() - eps_u.double()
        floor_c, floor_u = a.square().mean(), b.square().mean()
        right = (1 - p) * floor_c + p * floor_u
        if z_score(got, right, 1e-5) <= 1:
            continue
        mistake = name_mistake(got, _known_floors(a, b, p), 1e-5)
        again = call(function, (), **given, drop_prob=p)
        if z_score(got, again, 1e-9) > 1:
            mistake = "draws_again"
        raise Wrong(mistake, got, right, _FLOOR_HINTS[mistake or ""])
    blend = ((1 - p) * a + p * b).square().mean()
    return Report(
        measured=f"p = {p}: {got:.4f}",
        expected=f"p = {p}: {right:.4f}, between {floor_c:.4f} and {floor_u:.4f}",
        hint=f"Mixing the answers before squaring would have given {blend:.4f}.",
    )
