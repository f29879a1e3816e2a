"""Right and wrong answers to the exercises of notebook 06."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from minddpm.course import checks
from wrong_answers import Exercise

# --- 6.1: context dropout -------------------------------------------------------------


def drop_context(v, drop_prob):
    p = torch.full((len(v),), drop_prob, device=v.device)
    context_mask = torch.bernoulli(p)
    return v * (1 - context_mask)[:, None], context_mask


def drop_where(v, drop_prob):
    dropped = torch.rand(len(v)) < drop_prob
    return torch.where(dropped[:, None], 0.0, v), dropped.float()


def drop_looped(v, drop_prob):
    told, mask = v.clone(), torch.zeros(len(v))
    for i in range(len(v)):
        if torch.rand(()).item() < drop_prob:
            told[i], mask[i] = 0, 1
    return told, mask


def drop_float64(v, drop_prob):
    keep = torch.bernoulli((1 - drop_prob) * torch.ones(len(v), 1).double())
    return v.double() * keep, 1 - keep[:, 0]


def drop_numpy(v, drop_prob):
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    mask = rng.binomial(1, drop_prob, len(v))
    return v.numpy() * (1 - mask[:, None]), mask


def drop_indexed(v, drop_prob):
    mask = torch.rand(v.shape[0]) >= 1 - drop_prob
    told = v.clone()
    told[mask] = 0.0
    return told, mask


def drop_expanded(v, drop_prob):
    mask = torch.empty(len(v)).bernoulli_(drop_prob)
    wide = mask.unsqueeze(1).repeat(1, v.shape[1])
    return v.masked_fill(wide.bool(), 0), mask


def dropping(
    draw=lambda v, p: torch.bernoulli(torch.full((len(v),), float(p))),
    tell=lambda v, m, p: v * (1 - m)[:, None],
    mask=lambda m: m,
):
    """Return context dropout with one thing changed."""

    def answer(v, drop_prob):
        m = draw(v, drop_prob)
        return tell(v, m, drop_prob), mask(m)

    return answer


def rate(change):
    return dropping(draw=lambda v, p: (torch.rand(len(v)) < change(p)).float())


def one_hot_0(v, m, p):
    zero = F.one_hot(torch.tensor(0), v.shape[1]).float()
    return torch.where(m[:, None] > 0, zero, v)


def elementwise(v, drop_prob):
    mask = torch.bernoulli(torch.full_like(v, drop_prob))
    return v * (1 - mask), mask[:, 0]


def nn_dropout(v, drop_prob):
    told = F.dropout(v, drop_prob)
    return told, (told == 0).all(1).float()


def dropout_of_rows(v, drop_prob):
    keep = F.dropout(torch.ones(len(v), 1), drop_prob)
    return v * keep, (keep[:, 0] == 0).float()


def seed_inside(v, drop_prob):
    g = torch.Generator().manual_seed(3)
    m = torch.bernoulli(torch.full((len(v),), drop_prob), generator=g)
    return v * (1 - m)[:, None], m


def redrawn(v, drop_prob):
    return drop_context(v, drop_prob)[0], drop_context(v, drop_prob)[1]


def exact_count(v, drop_prob):
    m = torch.zeros(len(v))
    m[torch.randperm(len(v))[: round(drop_prob * len(v))]] = 1
    return v * (1 - m)[:, None], m


def first_rows(v, drop_prob):
    m = (torch.arange(len(v)) < drop_prob * len(v)).float()
    return v * (1 - m)[:, None], m


def one_draw_a_class(v, drop_prob):
    # rows with the same largest entry go together
    m = (torch.rand(v.shape[1]) < drop_prob).float()[v.argmax(1)]
    return v * (1 - m)[:, None], m


def one_class_only(v, drop_prob):
    share = (v.argmax(1) == 0).float().mean().clamp(min=1e-6)
    m = (torch.rand(len(v)) < drop_prob / share).float() * (v.argmax(1) == 0)
    return v * (1 - m)[:, None], m


def in_tenths(v, drop_prob):
    m = (torch.randint(10, (len(v),)) < 10 * drop_prob).float()
    return v * (1 - m)[:, None], m


def first_half_only(v, drop_prob):
    half = (torch.arange(len(v)) < len(v) / 2).float()
    m = (torch.rand(len(v)) < 2 * drop_prob).float() * half
    return v * (1 - m)[:, None], m


def alternating(v, drop_prob):
    m = (torch.rand(len(v) // 2) < drop_prob).float().repeat_interleave(2)
    return v * (1 - m)[:, None], m


WRONG_DROPS = {
    "kept labels times −1": (
        dropping(tell=lambda v, m, p: v * (-1 * (1 - m))[:, None]),
        "wrong_sign",
    ),
    "the mask itself negative": (dropping(mask=lambda m: -m), "wrong_sign"),
    "dropped labels negated": (
        dropping(tell=lambda v, m, p: v * (1 - 2 * m)[:, None]),
        "wrong_sign",
    ),
    "dropped ones told": (
        dropping(tell=lambda v, m, p: v * m[:, None]),
        "inverted_mask",
    ),
    "mask of the kept": (dropping(mask=lambda m: 1 - m), "inverted_mask"),
    "kept with p": (rate(lambda p: 1 - p), "inverted_mask"),
    "one draw a batch": (
        dropping(draw=lambda v, p: (torch.rand(1) < p).float().expand(len(v))),
        "shared_draw",
    ),
    "one number once": (
        dropping(
            draw=lambda v, p: torch.full((len(v),), float(torch.rand(()) < p)),
        ),
        "shared_draw",
    ),
    "one draw for two": (alternating, "shared_draw"),
    "one draw a class": (one_draw_a_class, "shared_draw"),
    "element by element": (elementwise, "per_coordinate"),
    "nn.Dropout": (nn_dropout, "per_coordinate"),
    "rows divided by 1−p": (dropout_of_rows, "rescaled"),
    "times 1−p": (
        dropping(tell=lambda v, m, p: v * (1 - p), mask=lambda m: 0 * m),
        "not_drawn",
    ),
    "label 0 for dropped": (dropping(tell=one_hot_0), "zero_label"),
    "ones for dropped": (
        dropping(tell=lambda v, m, p: torch.where(m[:, None] > 0, 1.0, v)),
        "one_label",
    ),
    "the mean for dropped": (
        dropping(tell=lambda v, m, p: torch.where(m[:, None] > 0, v.mean(0), v)),
        "one_label",
    ),
    "noise for dropped": (
        dropping(
            tell=lambda v, m, p: torch.where(m[:, None] > 0, torch.randn_like(v), v)
        ),
        None,
    ),
    "shifted rows for dropped": (
        dropping(tell=lambda v, m, p: torch.where(m[:, None] > 0, v.roll(1, 0), v)),
        None,
    ),
    "mask drawn again": (redrawn, "redrawn_mask"),
    "mask of probabilities": (
        dropping(mask=lambda m: 0.3 + 0 * m),
        "not_a_mask",
    ),
    "never drops": (dropping(draw=lambda v, p: torch.zeros(len(v))), "never_drops"),
    "drops all": (dropping(draw=lambda v, p: torch.ones(len(v))), "drops_all"),
    "seed inside": (seed_inside, "same_draws"),
    "the first rows": (first_rows, "same_draws"),
    "exactly pB": (exact_count, "fixed_count"),
    "always 0.1": (rate(lambda p: 0.1), "ignores_drop_prob"),
    "always 0.5": (rate(lambda p: 0.5), "ignores_drop_prob"),
    "p²": (rate(lambda p: p**2), "wrong_rate"),
    "√p": (rate(lambda p: p**0.5), None),  # at 0.3 it is near 0.5
    "p/2": (rate(lambda p: p / 2), "wrong_rate"),
    "in tenths": (in_tenths, None),
    "randn": (
        dropping(draw=lambda v, p: (torch.randn(len(v)) < p).float()),
        "which_noise",
    ),
    "randn above": (
        dropping(draw=lambda v, p: (torch.randn(len(v)) > p).float()),
        "which_noise",
    ),
    "one class only": (one_class_only, None),
    "first half only": (first_half_only, None),
    "one row less": (
        lambda v, drop_prob: drop_context(v[1:], drop_prob),
        "wrong_shape",
    ),
    "mask (B, 1)": (dropping(mask=lambda m: m[:, None]), "wrong_shape"),
    "swapped": (lambda v, drop_prob: drop_context(v, drop_prob)[::-1], "wrong_shape"),
    "no mask": (lambda v, drop_prob: drop_context(v, drop_prob)[0], None),
}

# --- 6.2: the answer without a label --------------------------------------------------


def unconditional_eps(eps_c, log_q, shares):
    r = (log_q + shares.log()[:, None]).softmax(dim=0)
    return (r[:, :, None] * eps_c).sum(0)


def eps_einsum(eps_c, log_q, shares):
    logits = log_q.double().T + shares.double().log()
    return torch.einsum("bk,kbd->bd", logits.softmax(-1), eps_c.double())


def eps_looped(eps_c, log_q, shares):
    K, B, _ = eps_c.shape
    result = torch.zeros(B, 2)
    for b in range(B):
        logits = [float(log_q[k, b]) + math.log(shares[k]) for k in range(K)]
        top = max(logits)
        weights = [math.exp(x - top) for x in logits]
        for k in range(K):
            result[b] += weights[k] / sum(weights) * eps_c[k, b]
    return result


def eps_logsumexp(eps_c, log_q, shares):
    joint = log_q + torch.log(shares).view(-1, 1)
    return ((joint - joint.logsumexp(0)).exp().unsqueeze(-1) * eps_c).sum(dim=0)


def eps_shifted_numpy(eps_c, log_q, shares):
    eps_c, log_q, shares = eps_c.numpy(), log_q.numpy(), shares.numpy()
    q = np.exp(log_q - log_q.max(axis=0)) * shares[:, None]
    return np.sum((q / q.sum(0))[..., None] * eps_c, axis=0)


def weighing(weights):
    return lambda eps_c, log_q, shares: (
        weights(log_q, shares[:, None])[..., None] * eps_c
    ).sum(0)


def plain(log_q, p):
    q = log_q.exp() * p
    return q / q.sum(0)


WRONG_EPS = {
    "likelihood only": (weighing(lambda q, p: q.softmax(0)), "no_prior"),
    "prior only": (weighing(lambda q, p: p.expand_as(q)), "prior_for_posterior"),
    "mean": (lambda e, q, p: e.mean(0), "not_weighted"),
    "sum": (lambda e, q, p: e.sum(0), "not_weighted"),
    "softmax over the batch": (
        weighing(lambda q, p: (q + p.log()).softmax(1)),
        "wrong_axis",
    ),
    "over the batch, no prior": (weighing(lambda q, p: q.softmax(1)), "wrong_axis"),
    "over the batch, times p": (
        weighing(lambda q, p: p * q.softmax(1)),
        "wrong_axis",
    ),
    "over everything": (
        weighing(lambda q, p: (q.exp() * p) / (q.exp() * p).sum()),
        "wrong_axis",
    ),
    "log q + p": (weighing(lambda q, p: (q + p).softmax(0)), "missing_log"),
    "log q times p": (weighing(lambda q, p: (q * p).softmax(0)), "missing_log"),
    "log q times log p": (
        weighing(lambda q, p: (q * p.log()).softmax(0)),
        "missing_log",
    ),
    "not divided": (weighing(lambda q, p: q.exp() * p), "not_normalised"),
    "densities": (weighing(lambda q, p: q.exp()), "not_normalised"),
    "softmax times p": (weighing(lambda q, p: q.softmax(0) * p), "not_normalised"),
    "softmin": (weighing(lambda q, p: (-q - p.log()).softmax(0)), "wrong_sign"),
    "−log q": (weighing(lambda q, p: (p.log() - q).softmax(0)), "wrong_sign"),
    "divided by p": (weighing(lambda q, p: (q - p.log()).softmax(0)), "upside_down"),
    "likeliest": (
        lambda e, q, p: e[(q + p.log()[:, None]).argmax(0), torch.arange(e.shape[1])],
        "hard_choice",
    ),
    "likeliest, no prior": (
        lambda e, q, p: e[q.argmax(0), torch.arange(e.shape[1])],
        "hard_choice",
    ),
    "softmax of densities": (
        weighing(lambda q, p: (q.exp() * p).softmax(0)),
        "softmax_of_exp",
    ),
    "logarithms as weights": (
        weighing(lambda q, p: (q + p.log()) / (q + p.log()).sum(0)),
        "not_exponentiated",
    ),
    "log_softmax": (
        weighing(lambda q, p: (q + p.log()).log_softmax(0)),
        "not_exponentiated",
    ),
    "mean over the classes": (
        lambda e, q, p: unconditional_eps(e, q, p) / len(p),
        "reduction",
    ),
    "plain exp": (weighing(plain), "underflow"),
    "exp with a small number": (
        weighing(
            lambda q, p: (q.exp() * p) / ((q.exp() * p).sum(0) + 1e-12),
        ),
        "underflow",
    ),
    "plain exp in float64": (
        weighing(lambda q, p: plain(q.double(), p.double())),
        "underflow",
    ),
    "clamped logarithms": (
        weighing(lambda q, p: (q.clamp(min=-50) + p.log()).softmax(0)),
        None,
    ),
    "squared posterior": (
        weighing(lambda q, p: (2 * (q + p.log())).softmax(0)),
        None,
    ),
    "first class": (lambda e, q, p: e[0], None),
    "not summed": (
        lambda e, q, p: (q + p.log()[:, None]).softmax(0)[..., None] * e,
        "wrong_shape",
    ),
    "weights only": (
        lambda e, q, p: (q + p.log()[:, None]).softmax(0),
        "wrong_shape",
    ),
}

# --- 6.3: the floor -------------------------------------------------------------------


def dropout_floor(eps, eps_c, eps_u, drop_prob):
    floor_c = (eps - eps_c).square().mean()
    floor_u = (eps - eps_u).square().mean()
    return (1 - drop_prob) * floor_c + drop_prob * floor_u


def floor_from_the_gap(eps, eps_c, eps_u, drop_prob):
    a = ((eps - eps_c) ** 2).mean(1).double()
    b = ((eps - eps_u) ** 2).mean(1).double()
    return (a + drop_prob * (b - a)).mean()


def floor_floats(eps, eps_c, eps_u, drop_prob):
    c, u = F.mse_loss(eps_c, eps).item(), F.mse_loss(eps_u, eps).item()
    return c - drop_prob * c + drop_prob * u


def floor_looped(eps, eps_c, eps_u, drop_prob):
    total = 0.0
    for e, a, b in zip(eps.tolist(), eps_c.tolist(), eps_u.tolist(), strict=True):
        for k in range(2):
            total += (1 - drop_prob) * (e[k] - a[k]) ** 2
            total += drop_prob * (e[k] - b[k]) ** 2
    return total / (2 * len(eps))


def floor_numpy(eps, eps_c, eps_u, drop_prob):
    answers = np.stack([eps_c.numpy(), eps_u.numpy()])
    floors = np.mean((answers - eps.numpy()) ** 2, axis=(1, 2))
    return floors @ np.array([1 - drop_prob, drop_prob])


def flooring(rule):
    """Return an answer from the errors with and without a label, and p."""
    return lambda eps, eps_c, eps_u, drop_prob: rule(
        eps - eps_c, eps - eps_u, drop_prob
    )


def ms(x):
    return x.square().mean()


def drawn_again(eps, eps_c, eps_u, drop_prob):
    mask = (torch.rand(len(eps), 1) < drop_prob).float()
    return ms(eps - torch.where(mask > 0, eps_u, eps_c))


WRONG_FLOORS = {
    "blend": (flooring(lambda a, b, p: ms((1 - p) * a + p * b)), "blend"),
    "blend, swapped": (flooring(lambda a, b, p: ms(p * a + (1 - p) * b)), "blend"),
    "swapped": (flooring(lambda a, b, p: p * ms(a) + (1 - p) * ms(b)), "swapped"),
    "with the label": (flooring(lambda a, b, p: ms(a)), "ignores_drop_prob"),
    "without it": (flooring(lambda a, b, p: ms(b)), "ignores_drop_prob"),
    "the lesser": (
        flooring(lambda a, b, p: torch.minimum(ms(a), ms(b))),
        "ignores_drop_prob",
    ),
    "half of each": (flooring(lambda a, b, p: (ms(a) + ms(b)) / 2), "not_half"),
    "half a blend": (flooring(lambda a, b, p: ms((a + b) / 2)), "not_half"),
    "sum over coordinates": (
        flooring(lambda a, b, p: 2 * ((1 - p) * ms(a) + p * ms(b))),
        "reduction",
    ),
    "sum over all": (
        flooring(
            lambda a, b, p: (1 - p) * a.square().sum() + p * b.square().sum(),
        ),
        "reduction",
    ),
    "half a square": (
        flooring(lambda a, b, p: ((1 - p) * ms(a) + p * ms(b)) / 2),
        "reduction",
    ),
    "absolute": (
        flooring(lambda a, b, p: (1 - p) * a.abs().mean() + p * b.abs().mean()),
        "not_squared",
    ),
    "root": (
        flooring(lambda a, b, p: ((1 - p) * ms(a) + p * ms(b)).sqrt()),
        "not_squared",
    ),
    "roots": (
        flooring(lambda a, b, p: (1 - p) * ms(a).sqrt() + p * ms(b).sqrt()),
        "not_squared",
    ),
    "norms": (
        flooring(
            lambda a, b, p: (1 - p) * a.norm(dim=1).mean() + p * b.norm(dim=1).mean(),
        ),
        "not_squared",
    ),
    "no weights": (flooring(lambda a, b, p: ms(a) + ms(b)), "not_normalised"),
    "c + p u": (flooring(lambda a, b, p: ms(a) + p * ms(b)), "not_normalised"),
    "one part": (flooring(lambda a, b, p: (1 - p) * ms(a)), "not_normalised"),
    "squared weights": (
        flooring(lambda a, b, p: (1 - p) ** 2 * ms(a) + p**2 * ms(b)),
        "squared_weights",
    ),
    "the gap": (flooring(lambda a, b, p: ms(b) - ms(a)), "the_gap"),
    "distance of the fields": (flooring(lambda a, b, p: ms(a - b)), "the_gap"),
    "drawn": (drawn_again, "draws_again"),
    "always 0.1": (flooring(lambda a, b, p: 0.9 * ms(a) + 0.1 * ms(b)), None),
    "the lesser of each": (
        flooring(lambda a, b, p: torch.minimum(a.square(), b.square()).mean()),
        None,
    ),
    "a row each": (
        flooring(lambda a, b, p: ((1 - p) * a**2 + p * b**2).mean(1)),
        "wrong_shape",
    ),
}

EXERCISES = [
    Exercise(
        check=checks.check_drop_context,
        right=[
            drop_context,
            drop_where,
            drop_looped,
            drop_float64,
            drop_numpy,
            drop_indexed,
            drop_expanded,
        ],
        wrong=WRONG_DROPS,
    ),
    Exercise(
        check=checks.check_unconditional_eps,
        right=[
            unconditional_eps,
            eps_einsum,
            eps_looped,
            eps_logsumexp,
            eps_shifted_numpy,
        ],
        wrong=WRONG_EPS,
    ),
    Exercise(
        check=checks.check_dropout_floor,
        right=[
            dropout_floor,
            floor_from_the_gap,
            floor_floats,
            floor_looped,
            floor_numpy,
        ],
        wrong=WRONG_FLOORS,
    ),
]
