"""Right and wrong answers to the exercises of notebook 05."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from minddpm.course import checks
from wrong_answers import Exercise

# --- 5.1: the loss --------------------------------------------------------------------


def loss(net, x0, alpha_bars):
    T = len(alpha_bars) - 1
    t = torch.randint(1, T + 1, (len(x0),))
    eps = torch.randn_like(x0)
    alpha_bar_t = alpha_bars[t][:, None]
    x_t = alpha_bar_t.sqrt() * x0 + (1 - alpha_bar_t).sqrt() * eps
    return (eps - net(x_t, None, t / T, None)).square().mean()


def loss_float64(net, x0, alpha_bars):
    T = len(alpha_bars) - 1
    t = torch.randint(1, T + 1, (len(x0), 1))
    ab, eps = alpha_bars.double()[t], torch.randn_like(x0).double()
    x_t = torch.sqrt(ab) * x0.double() + torch.sqrt(1 - ab) * eps
    return F.mse_loss(net(x_t, None, t / T, None), eps)


def loss_looped(net, x0, alpha_bars):
    T, total = len(alpha_bars) - 1, 0.0
    for row in x0:
        t = torch.randint(1, T + 1, ()).item()
        eps = torch.randn(2)
        x_t = alpha_bars[t] ** 0.5 * row + (1 - alpha_bars[t]) ** 0.5 * eps
        eps_hat = net(x_t[None], None, torch.tensor([t / T]), None)[0]
        total = total + ((eps - eps_hat) ** 2).mean()
    return total / len(x0)


def loss_halves(net, x0, alpha_bars):
    parts = x0.chunk(2)
    return sum(loss(net, part, alpha_bars) for part in parts) / len(parts)


def loss_with_generator(net, x0, alpha_bars, generator=None):
    T, n = len(alpha_bars) - 1, len(x0)
    eps = torch.randn(x0.shape, generator=generator)  # the other order
    t = torch.randint(0, T, (n,), generator=generator) + 1
    ab = alpha_bars.index_select(0, t).reshape(n, 1)
    x_t = ab**0.5 * x0 + (1 - ab) ** 0.5 * eps
    eps_hat = net(x_t, torch.zeros(n), t.float() / T, torch.ones(n))
    return torch.mean((eps_hat - eps) ** 2)


def loss_from_floats(net, x0, alpha_bars):
    T = len(alpha_bars) - 1
    t = torch.ceil((1 - torch.rand(len(x0))) * T).long().clamp(1, T)
    eps = torch.empty_like(x0).normal_()
    weights = torch.tensor([1 / 2, 1 / 2])
    ab = torch.as_tensor(np.asarray(alpha_bars)[t.numpy()])[:, None]
    x_t = ab.sqrt().mul(x0).add((1 - ab).sqrt().mul(eps))
    return ((eps - net(x_t, None, t / T, None)) ** 2 @ weights).sum() / len(x0)


def wrong(
    low=1,
    high=1,  # T + high is the end of randint
    signal=lambda ab, a: ab.sqrt(),
    noise=lambda ab, a: (1 - ab).sqrt(),
    draw=torch.randn_like,
    target=lambda eps, x0, x_t, ab: eps,
    time=lambda t, T: t / T,
    reduce=lambda error: error.square().mean(),
    n_times=len,
    look=0,
):
    """Return Algorithm 1 with one thing changed."""

    def answer(net, x0, alpha_bars):
        T = len(alpha_bars) - 1
        t = torch.randint(low, T + high, (n_times(x0),)).expand(len(x0))
        eps = draw(x0)
        where = (t + look).clamp(0, T)
        ab = alpha_bars[where][:, None]
        a = ab / alpha_bars[(where - 1).clamp(min=0)][:, None]
        x_t = signal(ab, a) * x0 + noise(ab, a) * eps
        eps_hat = net(x_t, None, time(t, T), None)
        return reduce(target(eps, x0, x_t, ab) - eps_hat)

    return answer


def one_seed(net, x0, alpha_bars):
    torch.manual_seed(3)
    return loss(net, x0, alpha_bars)


def one_weight_a_time(net, x0, alpha_bars):
    T = len(alpha_bars) - 1
    t = torch.randint(1, T + 1, (len(x0),))
    eps, ab = torch.randn_like(x0), alpha_bars[t][:, None]
    x_t = ab.sqrt() * x0 + (1 - ab).sqrt() * eps
    return (ab * (eps - net(x_t, None, t / T, None)) ** 2).mean()


def skewed_times(net, x0, alpha_bars):
    T = len(alpha_bars) - 1
    t = torch.maximum(*torch.randint(1, T + 1, (2, len(x0))))
    eps, ab = torch.randn_like(x0), alpha_bars[t][:, None]
    x_t = ab.sqrt() * x0 + (1 - ab).sqrt() * eps
    return (eps - net(x_t, None, t / T, None)).square().mean()


def half_the_batch(net, x0, alpha_bars):
    return loss(net, x0[::2], alpha_bars)


WRONG_LOSSES = {
    "T never drawn": (wrong(high=0), "never_t_T"),
    "0 drawn": (wrong(low=0), "draws_t_0"),
    "0 to T−1": (wrong(low=0, high=0), "draws_t_0"),
    "one t a batch": (wrong(n_times=lambda x0: 1), "shared_draw"),
    "one ε a batch": (
        wrong(draw=lambda x0: torch.randn(2).expand_as(x0)),
        "shared_draw",
    ),
    "one ε a sample": (
        wrong(draw=lambda x0: torch.randn(len(x0), 1).expand_as(x0)),
        "shared_draw",
    ),
    "a seed inside": (one_seed, "same_draws"),
    "sum": (wrong(reduce=lambda e: e.square().sum()), "reduction"),
    "sum over coordinates": (
        wrong(reduce=lambda e: e.square().sum(1).mean()),
        "reduction",
    ),
    "sum over the batch": (
        wrong(reduce=lambda e: e.square().mean(1).sum()),
        "reduction",
    ),
    "half": (wrong(reduce=lambda e: e.square().mean() / 2), "half"),
    "absolute error": (wrong(reduce=lambda e: e.abs().mean()), "not_squared"),
    "root": (wrong(reduce=lambda e: e.square().mean().sqrt()), "not_squared"),
    "norm": (wrong(reduce=lambda e: e.norm()), "not_squared"),
    "a norm a sample": (wrong(reduce=lambda e: e.norm(dim=1).mean()), "not_squared"),
    "weight ᾱ_t": (one_weight_a_time, "weighted"),
    "detached": (wrong(reduce=lambda e: e.square().mean().detach()), "no_gradient"),
    "a float": (wrong(reduce=lambda e: e.square().mean().item()), "no_gradient"),
    "without gradient": (torch.no_grad()(loss), "no_gradient"),
    "target x0": (wrong(target=lambda eps, x0, x_t, ab: x0), "wrong_target"),
    "target x_t": (wrong(target=lambda eps, x0, x_t, ab: x_t), "wrong_target"),
    "target x_t − x0": (
        wrong(target=lambda eps, x0, x_t, ab: x_t - x0),
        "wrong_target",
    ),
    "target v": (
        wrong(target=lambda e, x0, x_t, ab: ab.sqrt() * e - (1 - ab).sqrt() * x0),
        "wrong_target",
    ),
    "target the noise in x_t": (
        wrong(target=lambda eps, x0, x_t, ab: (1 - ab).sqrt() * eps),
        "one_step_noise",
    ),
    "target −ε": (wrong(target=lambda eps, x0, x_t, ab: -eps), "wrong_sign"),
    "signal minus noise": (wrong(noise=lambda ab, a: -(1 - ab).sqrt()), "wrong_sign"),
    "ε drawn again": (
        wrong(target=lambda eps, x0, x_t, ab: torch.randn_like(x0)),
        "redrawn_noise",
    ),
    "ᾱ and 1−ᾱ": (
        wrong(signal=lambda ab, a: ab, noise=lambda ab, a: 1 - ab),
        "variance_or_std",
    ),
    "√ᾱ and 1−ᾱ": (wrong(noise=lambda ab, a: 1 - ab), "variance_or_std"),
    "ᾱ and √(1−ᾱ)": (wrong(signal=lambda ab, a: ab), "variance_or_std"),
    "√ᾱ and 1−√ᾱ": (wrong(noise=lambda ab, a: 1 - ab.sqrt()), "variance_or_std"),
    "swapped": (
        wrong(signal=lambda ab, a: (1 - ab).sqrt(), noise=lambda ab, a: ab.sqrt()),
        "swapped",
    ),
    "one step's α": (
        wrong(signal=lambda ab, a: a.sqrt(), noise=lambda ab, a: (1 - a).sqrt()),
        "which_alpha",
    ),
    "no noise": (wrong(noise=lambda ab, a: 0 * ab), "no_noise"),
    "x0 for x_t": (
        wrong(signal=lambda ab, a: 1, noise=lambda ab, a: 0),
        "no_noise",
    ),
    "no signal": (wrong(signal=lambda ab, a: 0 * ab), "no_signal"),
    "no factors": (
        wrong(signal=lambda ab, a: 1, noise=lambda ab, a: 1),
        "no_weight",
    ),
    "uniform noise": (wrong(draw=torch.rand_like), "which_noise"),
    "centred uniform noise": (
        wrong(draw=lambda x0: (torch.rand_like(x0) - 0.5) * math.sqrt(12)),
        "which_noise",
    ),
    "t for t/T": (wrong(time=lambda t, T: t), "not_divided"),
    "t/(T+1)": (wrong(time=lambda t, T: t / (T + 1)), "index_shift"),
    "(t−1)/T": (wrong(time=lambda t, T: (t - 1) / T), "index_shift"),
    "table at t−1": (wrong(look=-1), "index_shift"),
    "table at t+1": (wrong(look=1), "index_shift"),
    "t from 0, the table from 1": (wrong(low=0, high=0, look=1), "index_shift"),
    "large t more often": (skewed_times, None),
    "half the batch": (half_the_batch, None),
    "asks twice": (lambda n, x, ab: loss(n, x, ab) + 0 * loss(n, x, ab), None),
    "another time than told": (
        wrong(time=lambda t, T: t[torch.randperm(len(t))] / T),
        None,
    ),
}

# --- 5.2: the time embedding ----------------------------------------------------------


def time_features(t, T, frequencies):
    phase = t[:, None] / T * frequencies
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def features_looped(t, T, frequencies):
    return torch.tensor(
        [
            [f(w * k / T) for f in (math.sin, math.cos) for w in frequencies.tolist()]
            for k in t.tolist()
        ]
    )


def features_numpy(t, T, frequencies):
    phase = np.outer(t.numpy() / T, frequencies.numpy().astype(float))
    return np.hstack([np.sin(phase), np.cos(phase)])


def features_double(t, T, frequencies):
    phase = torch.outer(t.double() / T, frequencies.double())
    return torch.hstack((torch.sin(phase), torch.cos(phase)))


def of_phase(phase):
    def answer(t, T, frequencies):
        p = phase(t[:, None].double(), T, frequencies.double())
        return torch.cat([p.sin(), p.cos()], dim=1)

    return answer


def ordered(make):
    def answer(t, T, frequencies):
        phase = t[:, None] / T * frequencies
        return make(phase.sin(), phase.cos())

    return answer


# --- 5.3: the excess ------------------------------------------------------------------


def excess(losses_net, losses_exact):
    d = losses_net - losses_exact
    return d.mean(), d.std() / len(d) ** 0.5


def excess_floats(losses_net, losses_exact):
    d = (losses_net - losses_exact).double().numpy()
    return float(d.mean()), float(d.std()) / math.sqrt(len(d))  # n, not n−1


def excess_two_means(losses_net, losses_exact):
    n = len(losses_net)
    cross = torch.cov(torch.stack([losses_net, losses_exact]).double())
    variance = cross[0, 0] + cross[1, 1] - 2 * cross[0, 1]
    return losses_net.mean() - losses_exact.mean(), (variance / n).sqrt()


def excess_looped(losses_net, losses_exact):
    d = [float(a) - float(b) for a, b in zip(losses_net, losses_exact, strict=True)]
    mean = sum(d) / len(d)
    return mean, math.sqrt(sum((x - mean) ** 2 for x in d) / (len(d) - 1) / len(d))


def off(mean=lambda d: d.mean(), error=lambda d: d.std() / len(d) ** 0.5):
    return lambda losses_net, losses_exact: (
        mean(losses_net - losses_exact),
        error(losses_net - losses_exact),
    )


def of_both(error):
    return lambda a, b: ((a - b).mean(), error(a, b) / len(a) ** 0.5)


EXERCISES = [
    Exercise(
        check=checks.check_loss,
        right=[
            loss,
            loss_float64,
            loss_looped,
            loss_halves,
            loss_with_generator,
            loss_from_floats,
            lambda *, net, x0, alpha_bars: loss(net, x0, alpha_bars),
        ],
        wrong=WRONG_LOSSES,
    ),
    Exercise(
        check=checks.check_time_features,
        right=[time_features, features_looped, features_numpy, features_double],
        wrong={
            "t for t/T": (of_phase(lambda t, T, w: t * w), "not_divided"),
            "t−1": (of_phase(lambda t, T, w: (t - 1) / T * w), "index_shift"),
            "T+1": (of_phase(lambda t, T, w: t / (T + 1) * w), "index_shift"),
            "cosines first": (
                ordered(lambda s, c: torch.cat([c, s], 1)),
                "wrong_order",
            ),
            "alternating": (
                ordered(lambda s, c: torch.stack([s, c], 2).flatten(1)),
                "wrong_order",
            ),
            "2π": (of_phase(lambda t, T, w: 2 * math.pi * t / T * w), "two_pi"),
            "t/(T ω)": (of_phase(lambda t, T, w: t / T / w), "upside_down"),
            "ω forgotten": (
                of_phase(lambda t, T, w: (t / T).expand(-1, len(w))),
                "one_frequency",
            ),
            "sines twice": (
                ordered(lambda s, c: torch.cat([s, s], 1)),
                "no_cosines",
            ),
            "sines only": (ordered(lambda s, c: s), "wrong_shape"),
            "degrees": (of_phase(lambda t, T, w: torch.deg2rad(t / T * w)), None),
            "tangents": (ordered(lambda s, c: torch.cat([s, s / c], 1)), None),
        },
    ),
    Exercise(
        check=checks.check_excess,
        right=[excess, excess_floats, excess_two_means, excess_looped],
        wrong={
            "exact minus net": (off(mean=lambda d: -d.mean()), "wrong_sign"),
            "ratio": (lambda a, b: ((a - b).mean() / b.mean(), 0.0), "relative"),
            "quotient": (lambda a, b: (a.mean() / b.mean(), 0.0), "relative"),
            "two errors": (
                of_both(lambda a, b: (a.var() + b.var()).sqrt()),
                "not_paired",
            ),
            "the net's error": (of_both(lambda a, b: a.std()), "not_paired"),
            "difference of stds": (
                of_both(lambda a, b: (a.std() - b.std()).abs()),
                "not_paired",
            ),
            "std": (off(error=lambda d: d.std()), "no_root_n"),
            "std/n": (off(error=lambda d: d.std() / len(d)), "no_root_n"),
            "var/n": (off(error=lambda d: d.var() / len(d)), "variance_or_std"),
            "swapped": (lambda a, b: excess(a, b)[::-1], "swapped"),
            "sum": (off(mean=lambda d: d.sum()), "reduction"),
            "absolute": (off(mean=lambda d: d.abs().mean()), "absolute"),
            "squares": (off(mean=lambda d: d.square().mean()), "absolute"),
            "two standard errors": (
                off(error=lambda d: 2 * d.std() / len(d) ** 0.5),
                "two_errors",
            ),
            "median": (off(mean=lambda d: d.median()), None),
            "no error": (lambda a, b: ((a - b).mean(), 0.0), None),
        },
    ),
]
