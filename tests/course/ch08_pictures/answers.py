"""Answers to the exercises of chapter 08 beside those that the exercises declare."""

import numpy as np
import torch


def to_model(pixels):
    return pixels.float() / 127.5 - 1


def to_picture(x):
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def both_numpy(pixels, x):
    grey = np.clip(x.numpy() * 127.5 + 127.5, 0, 255)
    return pixels.numpy().astype(np.float64) / 255 * 2 - 1, np.rint(grey).astype(
        "uint8"
    )


def both_add_half(pixels, x):
    grey = ((x / 2 + 0.5) * 255 + 0.5).clamp(min=0, max=255.9)
    return [2 * (pixels / 255) - 1, grey.to(torch.uint8)]


def both_looped(pixels, x):
    values = [min(max(round((v + 1) * 127.5), 0), 255) for v in x.flatten().tolist()]
    picture = torch.tensor(values, dtype=torch.uint8).view(x.shape)
    return torch.stack([to_model(p) for p in pixels]), picture


def there(f):
    return lambda pixels, x: (f(pixels), to_picture(x))


def back(f):
    return lambda pixels, x: (to_model(pixels), f(x))


def rule(f):
    """Return an update by another rule, without gradients."""

    @torch.no_grad()
    def answer(average, weights, d):
        return [f(a, p, d) for a, p in zip(average, weights, strict=True)]

    return answer


def ema_data(average, weights, d):
    for k, p in enumerate(weights):
        average[k] = average[k] - (1 - d) * (average[k] - p.data)
    return average


def ema_foreach(average, weights, d):
    torch._foreach_lerp_(average, [p.data for p in weights], 1 - d)
    return average


def ema_numpy(average, weights, d):
    both = zip(average, weights, strict=True)
    numbers = [d * a.double().numpy() + (1 - d) * p.detach().numpy() for a, p in both]
    return tuple(map(torch.as_tensor, numbers))


@torch.no_grad()
def into_the_weights(average, weights, d):
    for a, p in zip(average, weights, strict=True):
        p.mul_(1 - d).add_(a, alpha=d)
    return [p.clone() for p in weights]


def graph_in_place(average, weights, d):
    for a, p in zip(average, weights, strict=True):
        a.mul_(d).add_((1 - d) * p)
    return average


def by_mask(losses, t, T):
    mean, count = torch.zeros(T + 1), torch.zeros(T + 1, dtype=torch.int64)
    for k in t.unique():
        mean[k], count[k] = losses[t == k].mean(), (t == k).sum()
    return mean, count


def by_one_hot(losses, t, T):
    hot = torch.nn.functional.one_hot(t, T + 1).double()
    return (hot.T @ losses.double()) / hot.sum(0).clamp(min=1), hot.sum(0)


def mean_by(f):
    return lambda losses, t, T: (f(losses, t, T), by_mask(losses, t, T)[1])


def minus_one(losses, t, T):
    mean, count = by_mask(losses, t, T)
    return mean.where(count > 0, -1)


def to_the_largest(losses, t, T):
    return by_mask(losses, t, int(t.max()))


RIGHT = {
    "normalise": [both_numpy, both_add_half, both_looped],
    "ema_update": [
        ema_data,
        ema_foreach,
        ema_numpy,
        rule(lambda a, p, d: p.lerp(a, d)),
    ],
    "loss_by_t": [by_mask, by_one_hot],
}
WRONG = {
    "normalise": {
        "from 1 on": (there(lambda p: to_model(p.clamp(min=1))), None),
        "/127 − 1": (there(lambda p: p.float() / 127 - 1), None),
        "rounded up": (
            back(lambda x: ((x.clamp(-1, 1) + 1) * 127.5).ceil().byte()),
            None,
        ),
        "clamped in place": (
            back(lambda x: to_picture(x.clamp_(-1, 1))),
            "changes_its_input",
        ),
        "int64": (back(lambda x: to_picture(x).long()), "wrong_dtype"),
        "the other order": (lambda p, x: both_looped(p, x)[::-1], "wrong_shape"),
    },
    "ema_update": {
        "into the weights": (into_the_weights, "changes_its_input"),
        "graph, in place": (graph_in_place, "keeps_graph"),
        "the last not": (
            lambda a, w, d: [*ema_numpy(a, w, d)[:-1], a[-1]],
            "first_entry",
        ),
        "d = 0.9 for ever": (rule(lambda a, p, d: 0.9 * a + 0.1 * p), None),
        "half precision": (rule(lambda a, p, d: p.half().lerp(a.half(), d)), None),
        "reversed": (lambda *args: ema_numpy(*args)[::-1], "wrong_shape"),
    },
    "loss_by_t": {
        "to the largest t": (to_the_largest, "wrong_shape"),
        "root of the mean": (mean_by(lambda *args: by_mask(*args)[0].sqrt()), None),
        "1% less": (mean_by(lambda *args: 0.99 * by_mask(*args)[0]), None),
        "NaN": (
            mean_by(lambda *args: by_mask(*args)[0] / by_mask(*args)[1]),
            "not_finite",
        ),
        "−1 for none": (mean_by(minus_one), "no_draw"),
    },
}
