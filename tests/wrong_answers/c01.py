"""Answers to the exercises of notebook 01."""

import math

import numpy as np
import torch

from minddpm.course import checks
from wrong_answers import Exercise

# --- 1.1: one step --------------------------------------------------------------------


def step(x_s, t, betas):
    eps = torch.randn_like(x_s)
    return (1 - betas[t]).sqrt() * x_s + betas[t].sqrt() * eps


def step_with_generator(x_s, t, betas, generator=None):
    eps = torch.randn(x_s.shape, generator=generator)
    return torch.sqrt(1 - betas[t]) * x_s + torch.sqrt(betas[t]) * eps


def step_by_normal(x_s, t, betas):
    beta = float(betas[t])
    mean = math.sqrt(1 - beta) * x_s.double()
    return torch.normal(mean, math.sqrt(beta))


def step_looped(x_s, t, betas):
    x_t = torch.empty_like(x_s)
    for i, x in enumerate(x_s):
        x_t[i] = (1 - betas[t]) ** 0.5 * x + betas[t] ** 0.5 * torch.randn(x.shape)
    return x_t


def step_for_tensors_of_t(x_s, t, betas):
    t = torch.as_tensor(t).expand(len(x_s))
    beta_t = betas[t].view(-1, *[1] * (x_s.ndim - 1))
    return (1 - beta_t).sqrt() * x_s + beta_t.sqrt() * torch.randn_like(x_s)


def step_by_name(*, x_s, t, betas):
    return step(x_s, t, betas)


def step_with(factor, std, draw=torch.randn_like):
    """Return a step with other factors, both of them functions of β_t."""

    def answer(x_s, t, betas):
        return factor(betas[t]) * x_s + std(betas[t]) * draw(x_s)

    return answer


def keep(beta):
    return (1 - beta).sqrt()


def noise(beta):
    return beta.sqrt()


def other_entry(shift):
    return lambda x_s, t, betas: step(x_s, t + shift, betas)


def jump(x_s, t, betas):
    alpha_bar = torch.cumprod(1 - betas, 0)[t]
    return alpha_bar.sqrt() * x_s + (1 - alpha_bar).sqrt() * torch.randn_like(x_s)


def draw_of(shape):
    """Return a way to draw noise of another shape than x's, to be broadcast."""
    return step_with(keep, noise, lambda x: torch.randn(shape(x)))


def always_the_same(x_s, t, betas):
    generator = torch.Generator().manual_seed(0)
    return step_with_generator(x_s, t, betas, generator)


def half_noisy(x_s, t, betas):
    return torch.cat([step(x_s[:250], t, betas), keep(betas[t]) * x_s[250:]])


Q_STEP = Exercise(
    check=checks.check_q_step,
    right=[
        step,
        step_with_generator,
        step_by_normal,
        step_looped,
        step_for_tensors_of_t,
        step_by_name,
    ],
    wrong={
        "β for √β": (step_with(keep, lambda b: b), "variance_or_std"),
        "1−β for √(1−β)": (step_with(lambda b: 1 - b, noise), "variance_or_std"),
        "shares": (step_with(lambda b: 1 - b, lambda b: b), "variance_or_std"),
        "√(1−β²) and β": (
            step_with(lambda b: (1 - b**2).sqrt(), lambda b: b),
            "variance_or_std",
        ),
        "1−√β": (step_with(lambda b: 1 - b.sqrt(), noise), "variance_or_std"),
        "rand for randn": (step_with(keep, noise, torch.rand_like), "which_noise"),
        "rand from −1 to 1": (
            step_with(keep, noise, lambda x: 2 * torch.rand_like(x) - 1),
            "which_noise",
        ),
        "rand of variance 1": (
            step_with(keep, noise, lambda x: 12**0.5 * (torch.rand_like(x) - 0.5)),
            "which_noise",
        ),
        "±1": (
            step_with(keep, noise, lambda x: torch.randn_like(x).sign()),
            "which_noise",
        ),
        "noise of mean 0.1": (
            step_with(keep, noise, lambda x: torch.randn_like(x) + 0.1),
            "which_noise",
        ),
        "β_{t−1}": (other_entry(-1), "index_shift"),
        "β_{t+1}": (other_entry(1), "index_shift"),
        "swapped": (step_with(noise, keep), "swapped"),
        "swapped shares": (step_with(lambda b: b, lambda b: 1 - b), "swapped"),
        "no noise": (step_with(keep, lambda b: 0), "no_noise"),
        "x_s as it was": (lambda x_s, t, betas: x_s.clone(), "no_noise"),
        "noise only": (step_with(lambda b: 0, noise), "no_signal"),
        "no shrinking": (step_with(lambda b: 1, noise), "no_weight"),
        "noise without factor": (step_with(keep, lambda b: 1), "no_weight"),
        "sum": (step_with(lambda b: 1, lambda b: 1), "no_weight"),
        "minus x_s": (step_with(lambda b: -keep(b), noise), "wrong_sign"),
        "ᾱ for α": (jump, "which_alpha"),
        "one number for all": (draw_of(lambda x: ()), "shared_draw"),
        "one noise for the batch": (draw_of(lambda x: x.shape[1:]), "shared_draw"),
        "one number for a picture": (
            draw_of(lambda x: (len(x), 1, 1, 1)),
            "shared_draw",
        ),
        "one row for all": (draw_of(lambda x: x.shape[-1:]), "shared_draw"),
        "one number for a row": (draw_of(lambda x: (*x.shape[:-1], 1)), "shared_draw"),
        "seeded inside": (always_the_same, "shared_draw"),
        "noise in half of the batch": (half_noisy, None),
        "β 8 % too large": (lambda x_s, t, betas: step(x_s, t, 1.08 * betas), None),
        "always t = 3": (lambda x_s, t, betas: step(x_s, 3, betas), None),
        "cut off": (lambda x_s, t, betas: step(x_s, t, betas).clamp(-1, 1), None),
    },
)


# --- 1.2: mean and variance at every step ---------------------------------------------


def moments_with(factor, gain, added):
    """Return a recursion with other factors, all of them functions of β_t."""

    def answer(m0, v0, betas):
        m, v = [torch.as_tensor(m0)], [torch.as_tensor(v0)]
        for beta in betas[1:]:
            m.append(factor(beta) * m[-1])
            v.append(gain(beta) * v[-1] + added(beta))
        return torch.stack(m).float(), torch.stack(v).float()

    return answer


def one(beta):
    return 1


moments = moments_with(keep, lambda b: 1 - b, lambda b: b)


def moments_filled(m0, v0, betas):
    means, variances = torch.zeros(len(betas)), torch.zeros(len(betas))
    means[0], variances[0] = m0, v0
    for t in range(1, len(betas)):
        means[t] = (1 - betas[t]) ** 0.5 * means[t - 1]
        variances[t] = (1 - betas[t]) * variances[t - 1] + betas[t]
    return means, variances


def moments_closed(m0, v0, betas):
    left = torch.cumprod(1 - betas.double(), 0)
    return left.sqrt() * m0, 1 + left * (v0 - 1)


def moments_numpy(m0, v0, betas):
    left = np.cumprod(1 - betas.numpy())
    return np.sqrt(left) * m0, left * v0 + 1 - left


def moments_cut(part):
    return lambda *given: tuple(values[part] for values in moments(*given))


def moments_shifted(m0, v0, betas):
    return moments(m0, v0, torch.cat([betas[:1], betas[:-1]]))


def moments_first_twice(m0, v0, betas):
    m, v = moments(m0, v0, betas)
    return torch.cat([m[:1], m[:-1]]), torch.cat([v[:1], v[:-1]])


def moments_of_one_step(m0, v0, betas):
    return (1 - betas).sqrt() * m0, (1 - betas) * v0 + betas


MOMENTS = Exercise(
    check=checks.check_moments,
    right=[moments, moments_filled, moments_closed, moments_numpy],
    wrong={
        "1−β for the mean": (
            moments_with(lambda b: 1 - b, lambda b: 1 - b, lambda b: b),
            "variance_or_std",
        ),
        "√(1−β) for the variance": (
            moments_with(keep, keep, lambda b: b),
            "variance_or_std",
        ),
        "√β added": (moments_with(keep, lambda b: 1 - b, noise), "variance_or_std"),
        "both roots": (moments_with(keep, keep, noise), "variance_or_std"),
        "squares": (
            moments_with(keep, lambda b: (1 - b) ** 2, lambda b: b**2),
            "variance_or_std",
        ),
        "no shrinking": (moments_with(keep, one, lambda b: b), "no_weight"),
        "no shrinking at all": (moments_with(one, one, lambda b: b), "no_weight"),
        "no noise": (
            moments_with(keep, lambda b: 1 - b, lambda b: 0 * b),
            "no_noise",
        ),
        "β_{t−1}": (moments_shifted, "index_shift"),
        "x_0 twice": (moments_first_twice, "index_shift"),
        "starts at x_1": (moments_cut(slice(1, None)), "no_start"),
        "stops at x_{T−1}": (moments_cut(slice(-1)), "stops_early"),
        "the last only": (moments_cut(slice(-1, None)), "wrong_shape"),
        "variances first": (lambda *given: moments(*given)[::-1], "swapped"),
        "each step from x_0": (moments_of_one_step, "not_multiplied"),
        "standard deviations": (
            lambda *given: (moments(*given)[0], moments(*given)[1].sqrt()),
            "not_squared",
        ),
        "nothing happens": (
            lambda m0, v0, betas: (m0 + 0 * betas, v0 + 0 * betas),
            None,
        ),
    },
)


# --- 1.3: the whole chain -------------------------------------------------------------


def chain(x0, betas):
    rows = [x0]
    for t in range(1, len(betas)):
        rows.append(step(rows[-1], t, betas))
    return torch.stack(rows)


def chain_filled(x0, betas):
    path = torch.zeros(len(betas), len(x0), dtype=torch.float64)
    path[0] = x0
    for t in range(1, len(betas)):
        eps = torch.randn(len(x0))
        path[t] = (1 - betas[t]).sqrt() * path[t - 1] + betas[t].sqrt() * eps
    return path


def chain_with_all_noise_drawn_first(x0, betas, generator=None):
    eps = torch.randn(len(betas), len(x0), generator=generator)
    rows = [x0.clone()]
    for beta, e in zip(betas[1:], eps[1:], strict=True):
        rows.append(keep(beta) * rows[-1] + noise(beta) * e)
    return torch.stack(rows)


def chain_summed(x0, betas):
    left = torch.cumprod(1 - betas.double(), 0).sqrt()[:, None]
    eps = betas.sqrt()[:, None] * torch.randn(len(betas), len(x0)) / left
    return left * (x0 + torch.cumsum(eps, 0))


def chain_with(one_step, last=0):
    """Return a chain of other steps; `last` moves its end."""

    def answer(x0, betas):
        rows = [x0]
        for t in range(1, len(betas) + last):
            rows.append(one_step(rows[-1], t, betas))
        return torch.stack(rows)

    return answer


def one_noise(x0, betas):
    eps, rows = torch.randn(x0.shape), [x0]
    for beta in betas[1:]:
        rows.append(keep(beta) * rows[-1] + noise(beta) * eps)
    return torch.stack(rows)


def noise_adds_up(x0, betas):
    eps, rows = torch.zeros(x0.shape), [x0]
    for beta in betas[1:]:
        eps = eps + torch.randn(x0.shape)
        rows.append(keep(beta) * rows[-1] + noise(beta) * eps)
    return torch.stack(rows)


def last_row_left_empty(x0, betas):
    path = torch.zeros(len(betas), len(x0))
    path[0] = x0
    for t in range(1, len(betas) - 1):
        path[t] = step(path[t - 1], t, betas)
    return path


def from_x0_each_time(x0, betas):
    rows = [step(x0, t, betas) for t in range(1, len(betas))]
    return torch.stack([x0, *rows])


def jumps(x0, betas):
    return torch.stack([x0, *(jump(x0, t, betas) for t in range(1, len(betas)))])


def one_tensor(x0, betas):
    x, rows = x0.clone(), []
    for beta in betas:
        x.mul_(keep(beta)).add_(noise(beta) * torch.randn(x.shape))
        rows.append(x)
    return torch.stack(rows)


def counted_from_0(x0, betas):
    rows = [x0]
    for t in range(len(betas) - 1):
        rows.append(step(rows[-1], t, betas))
    return torch.stack(rows)


RUN_CHAIN = Exercise(
    check=checks.check_run_chain,
    right=[chain, chain_filled, chain_with_all_noise_drawn_first, chain_summed],
    wrong={
        "T rows": (chain_with(step, last=-1), "stops_early"),
        "last row empty": (last_row_left_empty, "stops_early"),
        "without x_0": (lambda x0, betas: chain(x0, betas)[1:], "no_start"),
        "x_1 to x_T, x_T twice": (
            lambda x0, betas: chain(x0, betas)[[1, 2, 3, 4, 5, 5]],
            "no_start",
        ),
        "one noise for all steps": (one_noise, "one_noise"),
        "one number for all points": (
            chain_with(step_with(keep, noise, lambda x: torch.randn(1))),
            "shared_draw",
        ),
        "t from 0": (counted_from_0, "index_shift"),
        "β_{t−1}": (chain_with(other_entry(-1)), "index_shift"),
        "from x_0 each time": (from_x0_each_time, "starts_over"),
        "jumps": (jumps, "starts_over"),
        "one tensor in the list": (one_tensor, "same_tensor"),
        "ᾱ for α": (chain_with(jump), "which_alpha"),
        "β for √β": (chain_with(step_with(keep, lambda b: b)), "variance_or_std"),
        "1−β for √(1−β)": (
            chain_with(step_with(lambda b: 1 - b, noise)),
            "variance_or_std",
        ),
        "rand for randn": (
            chain_with(step_with(keep, noise, torch.rand_like)),
            "which_noise",
        ),
        "no noise": (chain_with(step_with(keep, lambda b: 0)), "no_noise"),
        "no shrinking": (chain_with(step_with(one, noise)), "no_weight"),
        "backwards": (lambda x0, betas: chain(x0, betas).flip(0), "no_start"),
        "one step too many": (
            lambda x0, betas: chain(x0, torch.cat([betas, betas[-1:]])),
            "too_many_rows",
        ),
        "a step from t = 0": (
            lambda x0, betas: torch.cat([x0[None], chain(x0, betas)]),
            "too_many_rows",
        ),
        "x_T only": (lambda x0, betas: chain(x0, betas)[-1], "last_only"),
        "a row for each point": (lambda x0, betas: chain(x0, betas).T, "transposed"),
        "summed noise": (noise_adds_up, None),
        "betas backwards": (
            lambda x0, betas: chain(x0, torch.cat([betas[:1], betas[1:].flip(0)])),
            None,
        ),
    },
)


# --- 1.4: how many steps? -------------------------------------------------------------

STEPS_NEEDED = Exercise(
    check=checks.check_steps_needed,
    right=[228, 228.0, torch.tensor(228), np.int64(228)],
    wrong={
        "one too few": (227, "index_shift"),
        "one too many": (229, "one_too_many"),
        "the factor, not the share": (456, "variance_or_std"),
        "2 % of the beginning": (50, "not_multiplied"),
        "not rounded": (math.log(0.01) / math.log(0.98), "not_rounded"),
        "a guess": (1000, None),
        "negative": (-228, None),
    },
)

EXERCISES = [Q_STEP, MOMENTS, RUN_CHAIN, STEPS_NEEDED]
