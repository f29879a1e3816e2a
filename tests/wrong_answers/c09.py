"""Answers to the exercises of notebook 09."""

import numpy as np
import torch
from torch import nn

from minddpm import DDPM, Schedule
from minddpm.course import checks
from wrong_answers import Exercise

# --- 9.1: guide ----------------------------------------------------------------------


def guide(eps_c, eps_u, w):
    return (1 + w) * eps_c - w * eps_u


def guide_from_the_label(eps_c, eps_u, w):
    return eps_c + w * (eps_c - eps_u)


def guide_in_s(eps_c, eps_u, w):
    return torch.lerp(eps_u, eps_c, 1 + w)


def guide_in_numpy(eps_c, eps_u, w):
    return (1 + w) * eps_c.double().numpy() - w * eps_u.double().numpy()


def guide_looped(eps_c, eps_u, w):
    return torch.stack([guide(a, b, w) for a, b in zip(eps_c, eps_u, strict=True)])


def guide_with_shortcuts(*, eps_c, eps_u, w):
    if w == 0:
        return eps_c
    return eps_u if w == -1 else guide(eps_c, eps_u, torch.tensor(w))


def with_factors(a, b):
    """An answer with these functions of w for factors."""
    return lambda eps_c, eps_u, w: a(w) * eps_c + b(w) * eps_u


def rescaled(eps_c, eps_u, w):
    guided = guide(eps_c, eps_u, w)
    return guided * eps_c.std() / guided.std()


def shortcut_the_wrong_way(eps_c, eps_u, w):
    return eps_u if w == 0 else guide(eps_c, eps_u, w)


GUIDE = Exercise(
    checks.check_guide,
    [
        guide,
        guide_from_the_label,
        guide_in_s,
        guide_in_numpy,
        guide_looped,
        guide_with_shortcuts,
    ],
    {
        "plus": (with_factors(lambda w: 1 + w, lambda w: w), "wrong_sign"),
        "towards no label": (with_factors(lambda w: 1 - w, lambda w: w), "wrong_sign"),
        "both signs": (with_factors(lambda w: -1 - w, lambda w: w), "wrong_sign"),
        "s": (with_factors(lambda w: w, lambda w: 1 - w), "scale_convention"),
        "swapped": (with_factors(lambda w: -w, lambda w: 1 + w), "swapped"),
        "half of each": (with_factors(lambda w: 0.5, lambda w: 0.5), "averaged"),
        "a weighted mean": (
            with_factors(lambda w: 1 / (1 + w or 1), lambda w: w / (1 + w or 1)),
            "averaged",
        ),
        "conditional": (with_factors(lambda w: 1, lambda w: 0), "not_guided"),
        "unconditional": (with_factors(lambda w: 0, lambda w: 1), "not_guided"),
        "the difference": (with_factors(lambda w: w, lambda w: -w), "not_normalised"),
        "1 + w and 1": (with_factors(lambda w: 1 + w, lambda w: -1), "not_normalised"),
        "1 and w": (with_factors(lambda w: 1, lambda w: -w), "not_normalised"),
        "1 + w alone": (with_factors(lambda w: 1 + w, lambda w: 0), "not_normalised"),
        "1 + w twice": (
            with_factors(lambda w: 1 + w, lambda w: -1 - w),
            "not_normalised",
        ),
        "halved": (
            with_factors(lambda w: (1 + w) / 2, lambda w: -w / 2),
            "not_normalised",
        ),
        "squares": (
            with_factors(lambda w: (1 + w) ** 2, lambda w: -(w**2)),
            "variance_or_std",
        ),
        "roots": (
            with_factors(lambda w: abs(1 + w) ** 0.5, lambda w: -(abs(w) ** 0.5)),
            "variance_or_std",
        ),
        "twice as far": (with_factors(lambda w: 1 + 2 * w, lambda w: -2 * w), None),
        "a whole w": (with_factors(lambda w: 1 + int(w), lambda w: -int(w)), None),
        "w of at least 0": (
            with_factors(lambda w: 1 + max(w, 0), lambda w: -max(w, 0)),
            "negative_w",
        ),
        "|w|": (with_factors(lambda w: 1 + abs(w), lambda w: -abs(w)), "negative_w"),
        "w of at most 5": (
            with_factors(lambda w: 1 + min(w, 5), lambda w: -min(w, 5)),
            None,
        ),
        "w = 0 unconditional": (shortcut_the_wrong_way, "swapped"),
        "rescaled": (rescaled, "not_normalised"),
        "clamped": (lambda a, b, w: guide(a, b, w).clamp(-1, 1), "not_linear"),
        "product": (lambda eps_c, eps_u, w: (1 + w) * eps_c * eps_u, "not_linear"),
        "noisy": (
            lambda a, b, w: guide(a, b, w) + 0.01 * torch.randn_like(a),
            "not_linear",
        ),
        "mean": (lambda eps_c, eps_u, w: guide(eps_c, eps_u, w).mean(), "wrong_shape"),
        "in a row": (
            lambda a, b, w: torch.cat([(1 + w) * a, -w * b]),
            "wrong_shape",
        ),
        "no w": (lambda eps_c, eps_u: 2 * eps_c - eps_u, "wrong_arguments"),
    },
)

# --- 9.2: which convention -----------------------------------------------------------


def convert(library, w):
    at_zero = library(1.0, 0.0, 0.0)
    return w if at_zero > 0.5 else 1 + w


def convert_by_difference(library, w):
    return 1 + w - library(1.0, 0.0, 0.0)


def convert_with_tensors(library, w):
    a, b = torch.randn(2, 5)
    return w if torch.allclose(library(a, b, 0.0), a) else w + 1


def convert_by_trial(library, w):
    right = min((w, 1 + w), key=lambda k: abs(library(1.0, 0.0, k) - (1 + w)))
    return torch.tensor(right)


def convert_by_solving(library, w):
    low, high = library(np.float64(1), np.float64(0), 0), library(1.0, 0.0, 1.0)
    return (1 + w - low) / (high - low)


def depends(of_w, of_s):
    """An answer with one function of w for either convention."""

    def answer(library, w):
        return of_w(w) if library(1.0, 0.0, 0.0) > 0.5 else of_s(w)

    return answer


CONVERT = Exercise(
    checks.check_convert_scale,
    [
        convert,
        convert_by_difference,
        convert_with_tensors,
        convert_by_trial,
        convert_by_solving,
    ],
    {
        "w": (lambda library, w: w, "no_conversion"),
        "1 + w": (lambda library, w: 1 + w, "always_converts"),
        "swapped": (depends(lambda w: 1 + w, lambda w: w), "swapped"),
        "w − 1 for s": (depends(lambda w: w, lambda w: w - 1), "wrong_sign"),
        "w − 1": (lambda library, w: w - 1, "wrong_sign"),
        "w − 1 for w": (depends(lambda w: w - 1, lambda w: w), "wrong_sign"),
        "w − 1 and 1 + w": (depends(lambda w: w - 1, lambda w: w + 1), "wrong_sign"),
        "1 − w for s": (depends(lambda w: w, lambda w: 1 - w), "wrong_sign"),
        "twice": (depends(lambda w: w, lambda w: 2 + w), None),
        "−w": (lambda library, w: -w, None),
        "0": (lambda library, w: 0.0, None),
        "1": (lambda library, w: 1.0, None),
        "a factor": (depends(lambda w: w, lambda w: 2 * w), None),
        "a quotient": (depends(lambda w: w, lambda w: w / (1 + abs(w))), None),
        "a whole number": (depends(int, lambda w: int(1 + w)), None),
        "at least 0": (depends(lambda w: max(w, 0), lambda w: 1 + w), None),
        "at least 1 in s": (depends(lambda w: w, lambda w: max(1 + w, 1)), None),
        "asks at w": (lambda library, w: library(1.0, 0.0, w), None),
        "asks at 0": (lambda library, w: library(1.0, 0.0, 0.0), None),
        "asks for eps_u": (lambda library, w: w + library(0.0, 1.0, 0.0) * 2, None),
        "asks where both are equal": (
            lambda library, w: w if library(1.0, 1.0, 0.0) > 0.5 else 1 + w,
            "no_conversion",
        ),
        "a probe at 1, the limit of 0": (
            lambda library, w: w if library(1.0, 0.0, 1.0) > 0.5 else 1 + w,
            "no_conversion",
        ),
        "the guided prediction": (
            lambda library, w: library(torch.ones(3), torch.zeros(3), w),
            "wrong_shape",
        ),
        "both": (lambda library, w: (w, 1 + w), None),
        "the name": (lambda library, w: library.__name__, None),
        "no library": (lambda w: w, "wrong_arguments"),
    },
)

# --- 9.3: the product of two Gaussians -----------------------------------------------


def gaussian(mean_c, var_c, mean, var, w):
    precision = (1 + w) / var_c - w / var
    pull = (1 + w) * mean_c / var_c - w * mean / var
    return pull / precision, 1 / precision


def gaussian_in_one_fraction(mean_c, var_c, mean, var, w):
    below = (1 + w) * var - w * var_c
    return ((1 + w) * mean_c * var - w * mean * var_c) / below, var_c * var / below


def gaussian_from_the_class(mean_c, var_c, mean, var, w):
    extra = w * (1 / var_c - 1 / var)  # what p(c|x)^w adds to the precision
    variance = 1 / (1 / var_c + extra)
    return variance * (mean_c / var_c + w * (mean_c / var_c - mean / var)), variance


def gaussian_in_numpy(mean_c, var_c, mean, var, w):
    given = (value.double().numpy() for value in (mean_c, var_c, mean, var))
    return tuple(np.asarray(value) for value in gaussian(*given, w))


def gaussian_looped(*, mean_c, var_c, mean, var, w):
    rows = zip(mean_c, var_c, mean, var, strict=True)
    pairs = [gaussian(*row, w) for row in rows]
    return [torch.stack([pair[k] for pair in pairs]) for k in (0, 1)]


def gaussian_by_autograd(mean_c, var_c, mean, var, w):
    x = torch.zeros_like(mean_c, dtype=torch.float64, requires_grad=True)
    log_p = w * (x - mean) ** 2 / var / 2 - (1 + w) * (x - mean_c) ** 2 / var_c / 2
    (slope,) = torch.autograd.grad(log_p.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    return slope / -bend, -1 / bend


def by_shares(p_c, p, scale=lambda v: v):
    """A product with these shares of the precision, of (w, var_c, var)."""

    def answer(mean_c, var_c, mean, var, w):
        a, b = p_c(w, var_c, var), p(w, var_c, var)
        return (a * mean_c + b * mean) / (a + b), scale(1 / (a + b))

    return answer


def instead(mean_of=None, variance_of=None):
    """The right answer with the mean, or the variance, replaced."""

    def answer(mean_c, var_c, mean, var, w):
        given = (mean_c, var_c, mean, var, w)
        m, v = gaussian(*given)
        return (
            mean_of(*given, m, v) if mean_of else m,
            variance_of(*given, m, v) if variance_of else v,
        )

    return answer


def extrapolated(mc, vc, m, v, w, *_):
    return (1 + w) * mc - w * m


def class_power(mc, vc, m, v, w, *_):
    return vc / (1 + w) if w > -1 else vc


def right_c(w, var_c, var):
    return (1 + w) / var_c


GAUSSIAN = Exercise(
    checks.check_guided_gaussian,
    [
        gaussian,
        gaussian_in_one_fraction,
        gaussian_from_the_class,
        gaussian_in_numpy,
        gaussian_looped,
        gaussian_by_autograd,
    ],
    {
        "plus": (by_shares(right_c, lambda w, vc, v: w / v), "wrong_sign"),
        "plus in the variance": (
            instead(None, lambda mc, vc, m, v, w, *_: 1 / ((1 + w) / vc + w / v)),
            "wrong_sign",
        ),
        "plus in the mean": (
            instead(
                lambda mc, vc, m, v, w, _, new: new * ((1 + w) * mc / vc + w * m / v)
            ),
            "wrong_sign",
        ),
        "mean with the other sign": (
            instead(lambda *given: -given[-2]),
            "wrong_sign",
        ),
        "1 − w and w": (
            by_shares(lambda w, vc, v: (1 - w) / vc, lambda w, vc, v: w / v),
            "wrong_sign",
        ),
        "a standard deviation": (
            instead(None, lambda *given: given[-1].sqrt()),
            "variance_or_std",
        ),
        "its square": (
            instead(None, lambda *given: given[-1] ** 2),
            "variance_or_std",
        ),
        "over standard deviations": (
            by_shares(lambda w, vc, v: (1 + w) / vc**0.5, lambda w, vc, v: -w / v**0.5),
            "variance_or_std",
        ),
        "variances taken for std": (
            by_shares(lambda w, vc, v: (1 + w) / vc**2, lambda w, vc, v: -w / v**2),
            "variance_or_std",
        ),
        "moments extrapolated": (
            instead(extrapolated, lambda mc, vc, m, v, w, *_: (1 + w) * vc - w * v),
            "not_weighted",
        ),
        "mean extrapolated": (instead(extrapolated), "not_weighted"),
        "variance extrapolated": (
            instead(None, lambda mc, vc, m, v, w, *_: (1 + w) * vc - w * v),
            "not_weighted",
        ),
        "as of a sum of variables": (
            instead(
                extrapolated,
                lambda mc, vc, m, v, w, *_: (1 + w) ** 2 * vc + w**2 * v,
            ),
            "not_weighted",
        ),
        "sharpened": (instead(lambda mc, *_: mc, class_power), "no_population"),
        "mean of the class": (instead(lambda mc, *_: mc), "no_population"),
        "variance sharpened": (instead(None, class_power), "no_population"),
        "the class": (instead(lambda mc, *_: mc, lambda mc, vc, *_: vc), "no_w"),
        "variance of the class": (instead(None, lambda mc, vc, *_: vc), "no_w"),
        "powers 1 and −1": (
            by_shares(lambda w, vc, v: 1 / vc, lambda w, vc, v: -1 / v),
            "no_w",
        ),
        "a precision": (instead(None, lambda *given: 1 / given[-1]), "upside_down"),
        "weighted by variances": (
            by_shares(lambda w, vc, v: (1 + w) * vc, lambda w, vc, v: -w * v),
            "upside_down",
        ),
        "times the precision": (
            instead(lambda *given: given[-2] / given[-1] ** 2),
            "upside_down",
        ),
        "s": (
            by_shares(lambda w, vc, v: w / vc, lambda w, vc, v: (1 - w) / v),
            "scale_convention",
        ),
        "swapped": (
            by_shares(lambda w, vc, v: -w / vc, lambda w, vc, v: (1 + w) / v),
            "swapped",
        ),
        "variances swapped": (
            by_shares(lambda w, vc, v: (1 + w) / v, lambda w, vc, v: -w / vc),
            "swapped",
        ),
        "mean not divided": (
            instead(lambda *given: given[-2] / given[-1]),
            "not_normalised",
        ),
        "variance first": (lambda *given: gaussian(*given)[::-1], "wrong_order"),
        "a blend": (
            by_shares(lambda w, vc, v: 1 / vc, lambda w, vc, v: w / v),
            None,
        ),
        "the population": (
            instead(lambda mc, vc, m, *_: m, lambda mc, vc, m, v, *_: v),
            None,
        ),
        "a whole w": (lambda a, b, c, d, w: gaussian(a, b, c, d, int(w)), None),
        "w of at least 0": (
            lambda a, b, c, d, w: gaussian(a, b, c, d, max(w, 0)),
            None,
        ),
        "the mean alone": (lambda *given: gaussian(*given)[0], None),
        "averaged": (
            lambda *given: tuple(value.mean() for value in gaussian(*given)),
            "wrong_shape",
        ),
    },
)

# --- 9.4: one call -------------------------------------------------------------------


def batched(net, x_t, c, t, w):
    kept = torch.zeros(len(x_t), device=x_t.device)
    both = net(
        torch.cat([x_t, x_t]),
        torch.cat([c, c]),
        torch.cat([t, t]),
        torch.cat([kept, 1 - kept]),
    )
    eps_c, eps_u = both.chunk(2)
    return (1 + w) * eps_c - w * eps_u


def without_label_first(net, x_t, c, t, w):
    n = len(x_t)
    mask = (torch.arange(2 * n) < n).float()
    wide = (2, *(1,) * (x_t.ndim - 1))
    both = net(x_t.repeat(wide), c.repeat(2), t.repeat(2), mask)
    return both[:n] + (1 + w) * (both[n:] - both[:n])


def interleaved(net, x_t, c, t, w):
    x_t, c, t = (value.repeat_interleave(2, dim=0) for value in (x_t, c, t))
    both = net(x_t, c, t, torch.arange(len(x_t)) % 2.0)
    return (1 + w) * both[0::2] - w * both[1::2]


def by_name_in_float64(*, net, x_t, c, t, w):
    x_t, t = x_t.double(), t.double()
    mask = torch.tensor([[0.0], [1.0]]).expand(2, len(x_t)).reshape(-1)
    c = torch.cat([c, torch.zeros_like(c)])  # a dropped label may be anything
    both = net(x_t=torch.cat([x_t] * 2), c=c, t=torch.cat([t] * 2), context_mask=mask)
    return torch.lerp(both[len(x_t) :], both[: len(x_t)], 1 + w)


def with_a_shortcut(net, x_t, c, t, w):
    if w in (0, -1):
        return net(x_t, c, t, torch.full(t.shape, -float(w)))
    return batched(net, x_t, c, t, w)


class Asked(nn.Module):
    """A network around the one that was handed over, for the package's DDPM."""

    n_classes = 10

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x_t, c, t, context_mask):
        if context_mask is None:
            context_mask = torch.zeros(len(x_t))
        return self.net(x_t, c, t, context_mask)


def with_the_package(net, x_t, c, t, w):
    ddpm = DDPM(Asked(net), schedule=Schedule.cosine(20))
    return ddpm.predict_eps(x_t, (20 * t).round().long(), c, w)


def with_parts(
    x=lambda x: torch.cat([x, x]),
    c=lambda c: torch.cat([c, c]),
    t=lambda t: torch.cat([t, t]),
    mask=lambda n: torch.cat([torch.zeros(n), torch.ones(n)]),
    halves=lambda both: both.chunk(2),
    combine=lambda a, b, w: (1 + w) * a - w * b,
):
    """The right answer with a part replaced."""

    def answer(net, x_t, labels, times, w):
        both = net(x(x_t), c(labels), t(times), mask(len(x_t)))
        return combine(*halves(both), w)

    def batched_guidance(net, x_t, c, t, w):
        return answer(net, x_t, c, t, w)

    return batched_guidance


def two_calls(net, x_t, c, t, w):
    kept = torch.zeros(len(x_t))
    return (1 + w) * net(x_t, c, t, kept) - w * net(x_t, c, t, kept + 1)


def a_call_a_sample(net, x_t, c, t, w):
    parts = [
        batched(net, *(v[k : k + 1] for v in (x_t, c, t)), w) for k in range(len(x_t))
    ]
    return torch.cat(parts)


def one_row_each(net, x_t, c, t, w):
    return net(x_t, c, t, torch.zeros(len(x_t)))


def three_rows(net, x_t, c, t, w):
    n = len(x_t)
    mask = torch.cat([torch.zeros(2 * n), torch.ones(n)])
    a, _, b = net(torch.cat([x_t] * 3), c.repeat(3), t.repeat(3), mask).chunk(3)
    return (1 + w) * a - w * b


def no_call(net, x_t, c, t, w):
    return x_t


def zeros_and_ones(n):
    return torch.arange(2 * n) % 2.0


def twice(x):
    return x.repeat_interleave(2, dim=0)


def flipped(x):
    return torch.cat([x, x.flip(0)])


BATCHED = Exercise(
    checks.check_batched_guidance,
    [
        batched,
        without_label_first,
        interleaved,
        by_name_in_float64,
        with_a_shortcut,
        with_the_package,
    ],
    {
        "two calls": (two_calls, "two_calls"),
        "a call a sample": (a_call_a_sample, "two_calls"),
        "no call": (no_call, "two_calls"),
        "a row each": (one_row_each, None),
        "three rows each": (three_rows, "too_many_rows"),
        "mask inverted": (
            with_parts(mask=lambda n: torch.cat([torch.ones(n), torch.zeros(n)])),
            "mask_inverted",
        ),
        "halves swapped": (
            with_parts(halves=lambda both: both.chunk(2)[::-1]),
            "swapped",
        ),
        "no mask": (with_parts(mask=lambda n: torch.zeros(2 * n)), "never_dropped"),
        "all masked": (with_parts(mask=lambda n: torch.ones(2 * n)), "always_dropped"),
        "label 0 for the mask": (
            with_parts(
                c=lambda c: torch.cat([c, 0 * c]), mask=lambda n: torch.zeros(2 * n)
            ),
            "label_for_mask",
        ),
        "label −1 for the mask": (
            with_parts(
                c=lambda c: torch.cat([c, 0 * c - 1]), mask=lambda n: torch.zeros(2 * n)
            ),
            "label_for_mask",
        ),
        "mask of −1": (
            with_parts(mask=lambda n: torch.cat([torch.zeros(n), -torch.ones(n)])),
            None,
        ),
        "mask of a half": (
            with_parts(mask=lambda n: torch.cat([torch.zeros(n), torch.ones(n) / 2])),
            None,
        ),
        "labels not repeated": (with_parts(c=lambda c: c), "not_repeated"),
        "times not repeated": (with_parts(t=lambda t: t), "not_repeated"),
        "mask not repeated": (with_parts(mask=torch.zeros), "not_repeated"),
        "x_t not repeated": (with_parts(x=lambda x: x), "wrong_shape"),
        "one time for all": (with_parts(t=lambda t: t[:1]), None),
        "one time, repeated": (with_parts(t=lambda t: t[:1].repeat(2 * len(t))), None),
        "a number for a mask": (with_parts(mask=lambda n: 0.0), "wrong_shape"),
        "no mask at all": (with_parts(mask=lambda n: None), "wrong_shape"),
        "labels as 1-hot": (
            with_parts(c=lambda c: nn.functional.one_hot(torch.cat([c, c]), 10)),
            "wrong_shape",
        ),
        "a mask a number": (
            with_parts(mask=lambda n: torch.zeros(2 * n, 7)),
            "wrong_shape",
        ),
        "labels in pairs": (with_parts(c=twice), "wrong_order"),
        "times in pairs": (with_parts(t=twice), "wrong_order"),
        "x_t in pairs": (with_parts(x=twice), "wrong_order"),
        "mask in pairs": (with_parts(mask=zeros_and_ones), "wrong_order"),
        "inputs in pairs, mask in halves": (
            with_parts(x=twice, c=twice, t=twice),
            "wrong_order",
        ),
        "answers in pairs": (
            with_parts(halves=lambda both: (both[0::2], both[1::2])),
            "wrong_order",
        ),
        "inputs in pairs, answers in halves": (
            with_parts(x=twice, c=twice, t=twice, mask=zeros_and_ones),
            "wrong_order",
        ),
        "second half backwards": (
            with_parts(x=flipped, c=flipped, t=flipped),
            "wrong_order",
        ),
        "times T": (with_parts(t=lambda t: torch.cat([t, t]) * 20), "wrong_time"),
        "no time": (with_parts(t=lambda t: torch.zeros(2 * len(t))), "wrong_time"),
        "labels from 1": (with_parts(c=lambda c: torch.cat([c, c]) + 7), "wrong_label"),
        "labels negated": (with_parts(c=lambda c: -torch.cat([c, c])), "wrong_label"),
        "half of zeros": (
            with_parts(x=lambda x: torch.cat([x, 0 * x])),
            "wrong_input",
        ),
        "half of noise": (
            with_parts(x=lambda x: torch.cat([x, torch.randn_like(x)])),
            "wrong_input",
        ),
        "plus": (
            with_parts(combine=lambda a, b, w: (1 + w) * a + w * b),
            "wrong_sign",
        ),
        "s": (
            with_parts(combine=lambda a, b, w: b + w * (a - b)),
            "scale_convention",
        ),
        "averaged": (with_parts(combine=lambda a, b, w: (a + b) / 2), "averaged"),
        "conditional": (with_parts(combine=lambda a, b, w: a), "not_guided"),
        "difference": (
            with_parts(combine=lambda a, b, w: w * (a - b)),
            "not_normalised",
        ),
        "w of at least 0": (
            with_parts(combine=lambda a, b, w: a + max(w, 0) * (a - b)),
            None,
        ),
        "clamped": (
            with_parts(combine=lambda a, b, w: ((1 + w) * a - w * b).clamp(-0.5, 0.5)),
            "not_linear",
        ),
        "both halves": (
            with_parts(combine=lambda a, b, w: torch.cat([a, b])),
            "wrong_shape",
        ),
    },
)

EXERCISES = [GUIDE, CONVERT, GAUSSIAN, BATCHED]
