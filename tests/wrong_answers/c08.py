"""Right and wrong answers to the exercises of notebook 08."""

import copy

import numpy as np
import torch

from minddpm.course import checks
from wrong_answers import Exercise

# --- 8.1: pixels, and back ------------------------------------------------------------


def to_model(pixels):
    return pixels.float() / 127.5 - 1


def to_picture(x):
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def both_ways(pixels, x):
    return to_model(pixels), to_picture(x)


def both_float64(pixels, x):
    x0 = (pixels.double() - 127.5) / 127.5
    return x0, torch.round(255 * (x.double() + 1) / 2).clamp(0, 255).byte()


def both_numpy(pixels, x):
    x0 = pixels.numpy().astype(np.float32) / 255 * 2 - 1
    grey = np.clip(x.numpy() * 127.5 + 127.5, 0, 255)
    return x0, np.rint(grey).astype(np.uint8)


def both_add_half(pixels, x):
    x0 = 2 * (pixels / 255) - 1
    picture = ((x / 2 + 0.5) * 255 + 0.5).clamp(min=0, max=255.9).to(torch.uint8)
    return [x0, picture]


def both_looped(pixels, x):
    x0 = torch.stack([to_model(p) for p in pixels])
    values = [min(max(round((v + 1) * 127.5), 0), 255) for v in x.flatten().tolist()]
    return x0, torch.tensor(values, dtype=torch.uint8).view(x.shape)


def both_half(pixels, x):
    low, high = torch.tensor(-1.0), torch.tensor(1.0)
    x = torch.minimum(torch.maximum(x, low), high)
    return pixels.to(torch.float64).mul(2).div(255).sub(1), torch.round(
        x.add(1).mul(127.5)
    ).type(torch.uint8)


def there(f):
    """Return an answer with another way in."""
    return lambda pixels, x: (f(pixels), to_picture(x))


def back(f):
    """Return an answer with another way back."""
    return lambda pixels, x: (to_model(pixels), f(x))


def in_place(pixels, x):
    return to_model(pixels), ((x.clamp_(-1, 1) + 1) * 127.5).round().byte()


def byte(x):
    """Wrap as uint8 does, on any machine."""
    return x.long().remainder(256).to(torch.uint8)


WRONG_WAYS = {
    "[0, 1]": (there(lambda p: p.float() / 255), "range_01"),
    "/256": (there(lambda p: p.float() / 256), "range_01"),
    "/128 − 1": (there(lambda p: p.float() / 128 - 1), "divided_by_256"),
    "−128, /128": (there(lambda p: (p.float() - 128) / 128), "divided_by_256"),
    "standardised": (
        there(lambda p: (p.float() - p.float().mean()) / p.float().std()),
        "own_range",
    ),
    "own maximum": (
        there(lambda p: p.float() / p.float().amax((1, 2, 3), True) * 2 - 1),
        "own_range",
    ),
    "uint8 doubled": (there(lambda p: p * 2 / 255 - 1), "overflow"),
    "uint8 − 128": (there(lambda p: (p - 128) / 128), "overflow"),
    "negative": (there(lambda p: 1 - p.float() / 127.5), "wrong_sign"),
    "centred only": (there(lambda p: p.float() - 127.5), "unscaled_data"),
    "nothing done": (there(lambda p: p.float()), "unscaled_data"),
    "whole numbers": (there(lambda p: p // 255 * 2 - 1.0), "truncated"),
    "rounded to halves": (there(lambda p: to_model(p).mul(2).round() / 2), None),
    "tanh": (there(lambda p: to_model(p).tanh()), None),
    "/127 − 1": (there(lambda p: p.float() / 127 - 1), None),
    "pixels 1…255": (there(lambda p: to_model(p.clamp(min=1))), None),
    "no clamp": (back(lambda x: byte(((x + 1) * 127.5).round())), "no_clamp"),
    "no clamp, truncated": (back(lambda x: byte((x + 1) * 127.5)), "no_clamp"),
    "clamped after the cast": (
        back(lambda x: byte(((x + 1) * 127.5).round()).clamp(0, 255)),
        "no_clamp",
    ),
    "clamped above only": (
        back(lambda x: byte(((x.clamp(max=1) + 1) * 127.5).round())),
        "no_clamp",
    ),
    "truncated": (
        back(lambda x: ((x.clamp(-1, 1) + 1) * 127.5).to(torch.uint8)),
        "truncated",
    ),
    "rounded up": (back(lambda x: ((x.clamp(-1, 1) + 1) * 127.5).ceil().byte()), None),
    "clamped to [0, 1]": (
        back(lambda x: ((x.clamp(0, 1) + 1) * 127.5).round().byte()),
        "clamps_at_zero",
    ),
    "from [0, 1]": (back(lambda x: (x.clamp(0, 1) * 255).round().byte()), "range_01"),
    "× 128": (
        back(lambda x: (x * 128 + 128).clamp(0, 255).round().byte()),
        "divided_by_256",
    ),
    "× 127 + 128": (
        back(lambda x: (x.clamp(-1, 1) * 127 + 128).byte()),
        "divided_by_256",
    ),
    "stretched": (
        back(lambda x: ((x - x.min()) / (x.max() - x.min()) * 255).round().byte()),
        "own_range",
    ),
    "inverted": (back(lambda x: 255 - to_picture(x)), "wrong_sign"),
    "absolute": (back(lambda x: to_picture(x.abs())), None),
    "tanh back": (back(lambda x: to_picture(x.tanh())), None),
    "not scaled back": (
        back(lambda x: byte(x.clamp(-1, 1).round())),
        None,
    ),
    "floats back": (back(lambda x: to_picture(x).float()), "wrong_dtype"),
    "int64 back": (back(lambda x: to_picture(x).long()), "wrong_dtype"),
    "clamped in place": (in_place, "changes_its_input"),
    "other order": (lambda pixels, x: (to_picture(x), to_model(pixels)), "wrong_shape"),
    "one result": (lambda pixels, x: to_model(pixels), None),
}

# --- 8.2: one update of the average ---------------------------------------------------


def ema_update(average, weights, d):
    pairs = zip(average, weights, strict=True)
    return [d * a + (1 - d) * p.detach() for a, p in pairs]


@torch.no_grad()
def ema_in_place(average, weights, d):
    for a, p in zip(average, weights, strict=True):
        a.mul_(d).add_(p, alpha=1 - d)
    return average


def ema_data(average, weights, d):
    for k, p in enumerate(weights):
        average[k] = average[k] - (1 - d) * (average[k] - p.data)
    return average


def ema_lerp(average, weights, d):
    with torch.no_grad():
        return tuple(map(lambda a, p: torch.lerp(p, a, d), average, weights))


def ema_float64(average, weights, d):
    numbers = [
        d * a.double().numpy() + (1 - d) * p.detach().double().numpy()
        for a, p in zip(average, weights, strict=True)
    ]
    return [torch.as_tensor(values) for values in numbers]


def ema_foreach(average, weights, d):
    live = [p.data for p in weights]
    torch._foreach_lerp_(average, live, 1 - d)
    return average


def rule(f):
    """Return an update by another rule, without gradients."""

    @torch.no_grad()
    def answer(average, weights, d):
        return [f(a, p, d) for a, p in zip(average, weights, strict=True)]

    return answer


@torch.no_grad()
def into_the_weights(average, weights, d):
    for a, p in zip(average, weights, strict=True):
        p.mul_(1 - d).add_(a, alpha=d)
    return [p.clone() for p in weights]


@torch.no_grad()
def weights_and_average(average, weights, d):
    result = ema_update(average, weights, d)
    for a, p in zip(result, weights, strict=True):
        p.copy_(a)
    return result


def rebinds(average, weights, d):
    for a, p in zip(average, weights, strict=True):
        a = d * a + (1 - d) * p.detach()
    return average


def shares_at_zero(average, weights, d):
    if d == 0:
        return [p.detach() for p in weights]
    return ema_update(average, weights, d)


def graph_in_place(average, weights, d):
    for a, p in zip(average, weights, strict=True):
        a.mul_(d).add_((1 - d) * p)
    return average


def only_the_first(average, weights, d):
    return [*ema_update(average[:1], weights[:1], d), *average[1:]]


def only_matrices(average, weights, d):
    new = ema_update(average, weights, d)
    return [b if b.ndim > 1 else a for a, b in zip(average, new, strict=True)]


def stacked(average, weights, d):
    flat = torch.cat([a.flatten() for a in ema_update(average, weights, d)])
    return [flat]


def deep_copies(average, weights, d):
    return copy.deepcopy(list(weights))


WRONG_AVERAGES = {
    "shares swapped": (rule(lambda a, p, d: (1 - d) * a + d * p), "swapped"),
    "lerp the other way": (rule(lambda a, p, d: torch.lerp(a, p, d)), "swapped"),
    "nothing": (lambda average, weights, d: average, "no_update"),
    "rebinds a name": (rebinds, "no_update"),
    "the weights": (rule(lambda a, p, d: p.clone()), "no_average"),
    "copies of the weights": (deep_copies, "no_average"),
    "minus": (rule(lambda a, p, d: d * a - (1 - d) * p), "wrong_sign"),
    "d − 1": (rule(lambda a, p, d: d * a + (d - 1) * p), "wrong_sign"),
    "all of the old": (rule(lambda a, p, d: a + (1 - d) * p), "no_weight"),
    "all of the new": (rule(lambda a, p, d: d * a + p), "no_weight"),
    "old alone": (rule(lambda a, p, d: d * a), "no_weight"),
    "sum": (rule(lambda a, p, d: a + p), "no_weight"),
    "half and half": (rule(lambda a, p, d: (a + p) / 2), "half"),
    "twice": (rule(lambda a, p, d: d * (d * a + (1 - d) * p) + (1 - d) * p), "squared"),
    "Adam's correction": (
        rule(lambda a, p, d: (d * a + (1 - d) * p) / (1 - d + 1e-12)),
        "bias_corrected",
    ),
    "the first only": (only_the_first, "first_entry"),
    "matrices only": (only_matrices, "first_entry"),
    "with the graph": (
        lambda average, weights, d: [
            d * a + (1 - d) * p for a, p in zip(average, weights, strict=True)
        ],
        "keeps_graph",
    ),
    "with the graph, in place": (graph_in_place, "keeps_graph"),
    "shares memory at d = 0": (shares_at_zero, "alias"),
    "into the weights": (into_the_weights, "changes_its_input"),
    "into both": (weights_and_average, "changes_its_input"),
    "geometric": (
        rule(lambda a, p, d: a.abs() ** d * p.abs() ** (1 - d)),
        None,
    ),
    "of squares": (
        rule(lambda a, p, d: (d * a**2 + (1 - d) * p**2).sqrt()),
        None,
    ),
    "d = 0.9 for ever": (rule(lambda a, p, d: 0.9 * a + 0.1 * p), None),
    "a mean of each tensor": (
        rule(lambda a, p, d: (d * a + (1 - d) * p.mean()).expand(a.shape).clone()),
        None,
    ),
    "noise": (
        rule(lambda a, p, d: d * a + (1 - d) * p + 1e-3 * torch.randn(a.shape)),
        None,
    ),
    "one vector": (stacked, None),
    "reversed": (
        lambda average, weights, d: ema_update(average, weights, d)[::-1],
        "wrong_shape",
    ),
}

# --- 8.3: the loss at each t ----------------------------------------------------------


def loss_by_t(losses, t, T):
    count = torch.bincount(t, minlength=T + 1)
    total = torch.bincount(t, weights=losses, minlength=T + 1)
    return total / count.clamp(min=1), count


def by_mask(losses, t, T):
    mean, count = torch.zeros(T + 1), torch.zeros(T + 1, dtype=torch.int64)
    for k in range(T + 1):
        own = losses[t == k]
        count[k] = len(own)
        if len(own):
            mean[k] = own.mean()
    return mean, count


def by_dictionary(losses, t, T):
    found = {k: [] for k in range(T + 1)}
    for k, value in zip(t.tolist(), losses.tolist(), strict=True):
        found[k].append(value)
    means = [sum(v) / len(v) if v else 0.0 for v in found.values()]
    return torch.tensor(means), torch.tensor([len(v) for v in found.values()])


def by_one_hot(losses, t, T):
    hot = torch.nn.functional.one_hot(t, T + 1).double()
    count = hot.sum(0)
    return (hot.T @ losses.double()) / count.clamp(min=1), count


def by_index_add(losses, t, T):
    total = torch.zeros(T + 1).index_add(0, t, losses)
    count = torch.zeros(T + 1).index_add(0, t, torch.ones_like(losses))
    return torch.nan_to_num(total / count), count


def by_numpy(losses, t, T):
    edges = np.arange(T + 2) - 0.5
    count, _ = np.histogram(t.numpy(), edges)
    total, _ = np.histogram(t.numpy(), edges, weights=losses.numpy())
    return total / np.maximum(count, 1), count


def mean_by(f):
    """Return an answer with other means."""
    return lambda losses, t, T: (f(losses, t, T), loss_by_t(losses, t, T)[1])


def count_by(f):
    """Return an answer with other counts."""

    def answer(losses, t, T):
        mean, count = loss_by_t(losses, t, T)
        return mean, f(count, len(t))

    return answer


def total(losses, t, T):
    return torch.bincount(t, weights=losses, minlength=T + 1)


def overwritten(losses, t, T):
    table = torch.zeros(T + 1)
    for k, value in zip(t, losses, strict=True):
        table[k] = value
    return table


def running(losses, t, T):
    table = torch.zeros(T + 1)
    for k, value in zip(t, losses, strict=True):
        table[k] = value if table[k] == 0 else (table[k] + value) / 2
    return table


def medians(losses, t, T):
    table = torch.zeros(T + 1)
    for k in t.unique():
        table[k] = losses[t == k].median()
    return table


def maxima(losses, t, T):
    table = torch.zeros(T + 1)
    for k in t.unique():
        table[k] = losses[t == k].max()
    return table


def without_minlength(losses, t, T):
    count = torch.bincount(t)
    return torch.bincount(t, weights=losses) / count.clamp(min=1), count


def from_t_1(losses, t, T):
    mean, count = loss_by_t(losses, t, T)
    return mean[1:], count[1:]


def shifted(by):
    def answer(losses, t, T):
        return tuple(table.roll(by) for table in loss_by_t(losses, t, T))

    return answer


def filled(value):
    """Return means with something else where nothing was drawn."""

    def means(losses, t, T):
        mean, count = loss_by_t(losses, t, T)
        other = losses.mean() if value is None else value
        return torch.where(count > 0, mean, other)

    return means


def up_to_t(losses, t, T):
    mean, count = loss_by_t(losses, t, T)
    return (mean * count).cumsum(0) / count.cumsum(0).clamp(min=1)


EXERCISES = [
    Exercise(
        check=checks.check_normalise,
        right=[
            both_ways,
            both_float64,
            both_numpy,
            both_add_half,
            both_looped,
            both_half,
        ],
        wrong=WRONG_WAYS,
    ),
    Exercise(
        check=checks.check_ema_update,
        right=[
            ema_update,
            ema_in_place,
            ema_data,
            ema_lerp,
            ema_float64,
            ema_foreach,
        ],
        wrong=WRONG_AVERAGES,
    ),
    Exercise(
        check=checks.check_loss_by_t,
        right=[
            loss_by_t,
            by_mask,
            by_dictionary,
            by_one_hot,
            by_index_add,
            by_numpy,
        ],
        wrong={
            "from t = 1": (from_t_1, "index_shift"),
            "one too early": (shifted(-1), "index_shift"),
            "one too late": (shifted(1), "index_shift"),
            "without minlength": (without_minlength, "wrong_shape"),
            "sums": (mean_by(total), "reduction"),
            "sums over n": (
                mean_by(lambda x, t, T: total(x, t, T) / len(t)),
                "one_count",
            ),
            "sums over T": (mean_by(lambda x, t, T: total(x, t, T) / T), "one_count"),
            "sums over n/T": (
                mean_by(lambda x, t, T: total(x, t, T) * T / len(t)),
                "one_count",
            ),
            "the last draw": (mean_by(overwritten), "last_only"),
            "running halves": (mean_by(running), "not_weighted"),
            "squares": (
                mean_by(lambda x, t, T: loss_by_t(x**2, t, T)[0]),
                "squared",
            ),
            "roots": (
                mean_by(lambda x, t, T: loss_by_t(x.sqrt(), t, T)[0]),
                "not_squared",
            ),
            "root of the mean": (
                mean_by(lambda x, t, T: loss_by_t(x, t, T)[0].sqrt()),
                None,
            ),
            "all times up to t": (mean_by(up_to_t), "cumulative"),
            "the mean of all": (
                mean_by(lambda x, t, T: x.mean().expand(T + 1)),
                "overall",
            ),
            "medians": (mean_by(medians), "median"),
            "maxima": (mean_by(maxima), None),
            "the mean where none": (mean_by(filled(None)), "no_draw"),
            "one where none": (mean_by(filled(1.0)), "no_draw"),
            "count plus one": (
                mean_by(
                    lambda x, t, T: (
                        total(x, t, T) / (torch.bincount(t, None, T + 1) + 1)
                    )
                ),
                None,
            ),
            "counts clamped": (count_by(lambda n, N: n.clamp(min=1)), "no_draw"),
            "shares": (count_by(lambda n, N: n / N), "share"),
            "drawn or not": (count_by(lambda n, N: n > 0), "wrong_count"),
            "counts all draws": (
                count_by(lambda n, N: torch.full_like(n, N)),
                "wrong_count",
            ),
            "counts up to t": (count_by(lambda n, N: n.cumsum(0)), "cumulative"),
            "counts shifted": (count_by(lambda n, N: n.roll(-1)), "index_shift"),
            "counts first": (
                lambda losses, t, T: loss_by_t(losses, t, T)[::-1],
                "swapped",
            ),
            "ignores the largest t": (
                lambda losses, t, T: loss_by_t(losses[t < t.max()], t[t < t.max()], T),
                None,
            ),
        },
    ),
]
