"""Answers to the exercises of notebook 02."""

import math

import numpy as np
import torch

from minddpm import DDPM, MLP, Schedule
from minddpm.course import checks
from wrong_answers import Exercise

schedule = Schedule.linear(T=1000)
ab, betas_, alphas_ = schedule.alpha_bars, schedule.betas, schedule.alphas
ddpm = DDPM(MLP(dim=2, n_feat=4), schedule=schedule)
one = torch.ones(1)


# --- 2.2 -----------------------------------------------------------------------------


def table(betas):
    return torch.cat([torch.ones(1), torch.cumprod(1 - betas, dim=0)])


def table_looped(betas):
    result = [1.0]
    for beta in betas:
        result.append(result[-1] * (1 - float(beta)))
    return torch.tensor(result)


def table_float64(betas):
    padded = torch.nn.functional.pad(betas.double(), (1, 0))
    return (1 - padded).cumprod(0)


def table_numpy(betas):
    return np.concatenate([[1.0], np.cumprod(1 - betas.numpy())])


def table_of_products(betas):
    T = len(betas)
    return torch.stack([(1 - betas[:t]).prod() for t in range(T + 1)])


def table_of_logs(betas):
    logs = torch.log1p(-betas.double()).cumsum(0)
    return torch.cat([torch.zeros(1).double(), logs]).exp()


def table_filled(betas):
    result = torch.ones(len(betas) + 1)
    for t in range(1, len(betas) + 1):
        result[t] = result[t - 1] * (1 - betas[t - 1])
    return result


def table_of_the_package(betas):
    return Schedule.from_betas(betas).alpha_bars


def product_to_T(betas):
    return torch.cat([one, (1 - betas).prod().expand(len(betas))])


def product_from_t(betas):
    return torch.cat([one, (1 - betas).flip(0).cumprod(0).flip(0)])


def table_with_index_slip(betas):
    result = torch.ones(len(betas) + 1)
    for t in range(2, len(betas) + 1):
        result[t] = result[t - 1] * (1 - betas[t - 2])
    return result


WRONG_TABLES = {
    "entry 0 missing": (lambda betas: (1 - betas).cumprod(0), "first_entry"),
    "entry 0 is β_1's": (
        lambda betas: (1 - torch.cat([betas[:1], betas])).cumprod(0),
        "first_entry",
    ),
    "entry 0 is 0": (
        lambda betas: torch.cat([0 * one, (1 - betas).cumprod(0)]),
        "first_entry",
    ),
    "1 at the end": (
        lambda betas: torch.cat([(1 - betas).cumprod(0), one]),
        "first_entry",
    ),
    "entry 0 is β_1": (
        lambda betas: torch.cat([betas[:1], (1 - betas).cumprod(0)]),
        "first_entry",
    ),
    "β_1 taken for β_0": (
        lambda betas: torch.cat([one, (1 - betas[1:]).cumprod(0)]),
        "index_shift",
    ),
    "off by one": (table_with_index_slip, "index_shift"),
    "ᾱ_0…ᾱ_{T−1}": (lambda betas: table(betas)[:-1], "index_shift"),
    "∏ to T": (product_to_T, "product_to_T"),
    "∏ from t": (product_from_t, "product_to_T"),
    "1 − Σβ": (
        lambda betas: torch.cat([one, 1 - betas.cumsum(0)]),
        "sum_not_product",
    ),
    "cumsum of α": (
        lambda betas: torch.cat([one, (1 - betas).cumsum(0)]),
        "sum_not_product",
    ),
    "cumsum of α, no entry 0": (
        lambda betas: (1 - betas).cumsum(0),
        "sum_not_product",
    ),
    "∏ β": (lambda betas: torch.cat([one, betas.cumprod(0)]), "beta_for_alpha"),
    "√ᾱ": (lambda betas: table(betas).sqrt(), "variance_or_std"),
    "∏ √α": (
        lambda betas: torch.cat([one, (1 - betas).sqrt().cumprod(0)]),
        "variance_or_std",
    ),
    "α": (lambda betas: torch.cat([one, 1 - betas]), "which_alpha"),
    "1 − ᾱ": (lambda betas: 1 - table(betas), "swapped"),
    "only the last": (lambda betas: table(betas)[-1:], "wrong_shape"),
    "right up to T = 8 only": (lambda betas: table(betas[:8]), None),
    "exp(−Σβ)": (
        lambda betas: torch.cat([one, (-betas.cumsum(0)).exp()]),
        None,
    ),
    "the linear schedule, whatever β is": (
        lambda betas: ab[: len(betas) + 1],
        None,
    ),
}


# --- 2.3 -----------------------------------------------------------------------------


def wide(factor, x):
    return factor.reshape(-1, *[1] * (x.ndim - 1))


def jump(x0, t, eps):
    a = ab[t].reshape(-1, *[1] * (x0.ndim - 1))
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def jump_looped(x0, t, eps):
    x_t = torch.empty_like(x0)
    for b in range(len(x0)):
        a = ab[t[b]]
        x_t[b] = a.sqrt() * x0[b] + (1 - a).sqrt() * eps[b]
    return x_t


def jump_in_float64(x0, t, eps):
    product = torch.cumprod(1 - betas_.double(), 0)[t]
    while product.ndim < x0.ndim:
        product = product.unsqueeze(-1)
    return product.sqrt() * x0.double() + (1 - product).sqrt() * eps.double()


def jump_with_einsum(x0, t, eps):
    signal = torch.einsum("b,b...->b...", schedule.sqrt_alpha_bars[t], x0)
    noise = schedule.sqrt_one_minus_alpha_bars[t]
    return signal + torch.einsum("b,b...->b...", noise, eps)


def jump_transposed(x0, t, eps):
    a = ab[t]
    to_last = torch.movedim(x0, 0, -1), torch.movedim(eps, 0, -1)
    return torch.movedim(a**0.5 * to_last[0] + (1 - a) ** 0.5 * to_last[1], -1, 0)


def jump_with_numpy(x0, t, eps):
    a = ab.numpy()[t.numpy()].reshape(-1, *[1] * (x0.ndim - 1))
    return np.sqrt(a) * x0.numpy() + np.sqrt(1 - a) * eps.numpy()


def jump_of_the_package(x0, t, eps):
    return ddpm.q_sample(x0, t, eps)


def jump_with_a_generator(x0, t, eps=None, *, generator=None):
    if eps is None:
        eps = torch.randn(x0.shape, generator=generator)
    return jump(x0, t, eps)


def jump_with(signal, noise):
    """Return an answer with these factors, functions of ᾱ."""

    def answer(x0, t, eps):
        a = wide(ab[t], x0)
        return signal(a) * x0 + noise(a) * eps

    return answer


def at_other_times(change):
    def answer(x0, t, eps):
        return jump(x0, change(t), eps)

    return answer


def one_step(x0, t, eps):
    return wide(alphas_[t].sqrt(), x0) * x0 + wide(betas_[t].sqrt(), x0) * eps


def alpha_beside_alpha_bar(x0, t, eps):
    noise = (1 - ab[t]).sqrt()
    return wide(alphas_[t].sqrt(), x0) * x0 + wide(noise, x0) * eps


def beta_beside_alpha_bar(x0, t, eps):
    return wide(ab[t].sqrt(), x0) * x0 + wide(betas_[t].sqrt(), x0) * eps


def last_axis(x0, t, eps):
    return ab[t].sqrt() * x0 + (1 - ab[t]).sqrt() * eps


def second_to_last_axis(x0, t, eps):
    a = ab[t].view(-1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def for_pictures_only(x0, t, eps):
    a = ab[t].view(-1, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def table_without_entry_0(x0, t, eps):
    a = wide((1 - betas_[1:]).cumprod(0).clone()[t.clamp(max=999)], x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def walk_with_one_eps(x0, t, eps):
    x_t = x0.clone()
    for s in range(1, int(t.max()) + 1):
        step = alphas_[s].sqrt() * x_t + betas_[s].sqrt() * eps
        x_t = torch.where(wide(s <= t, x0), step, x_t)
    return x_t


def root(a):
    return a.sqrt()


WRONG_JUMPS = {
    "ᾱ and 1−ᾱ": (jump_with(lambda a: a, lambda a: 1 - a), "variance_or_std"),
    "√ᾱ and 1−ᾱ": (jump_with(root, lambda a: 1 - a), "variance_or_std"),
    "ᾱ and √(1−ᾱ)": (
        jump_with(lambda a: a, lambda a: (1 - a).sqrt()),
        "variance_or_std",
    ),
    "√ᾱ and 1−√ᾱ": (jump_with(root, lambda a: 1 - a.sqrt()), "variance_or_std"),
    "swapped": (jump_with(lambda a: (1 - a).sqrt(), root), "swapped"),
    "swapped shares": (jump_with(lambda a: 1 - a, lambda a: a), "swapped"),
    "no noise": (jump_with(root, lambda a: 0 * a), "no_noise"),
    "no signal": (jump_with(lambda a: 0 * a, lambda a: (1 - a).sqrt()), "no_signal"),
    "x0 not scaled": (
        jump_with(lambda a: 1.0, lambda a: (1 - a).sqrt()),
        "no_weight",
    ),
    "eps not scaled": (jump_with(root, lambda a: 1.0), "no_weight"),
    "a sum": (jump_with(lambda a: 1.0, lambda a: 1.0), "no_weight"),
    "√ᾱ for both": (jump_with(root, root), "same_factor"),
    "1−√(1−ᾱ)": (
        jump_with(lambda a: 1 - (1 - a).sqrt(), lambda a: (1 - a).sqrt()),
        "variance_or_std",
    ),
    "all steps with one eps": (walk_with_one_eps, "one_noise_for_all"),
    "minus": (jump_with(root, lambda a: -((1 - a).sqrt())), "wrong_sign"),
    "one step only": (one_step, "which_alpha"),
    "α for ᾱ": (alpha_beside_alpha_bar, "which_alpha"),
    "β for 1−ᾱ": (beta_beside_alpha_bar, "which_alpha"),
    "t − 1": (at_other_times(lambda t: t - 1), "index_shift"),
    "t + 1": (at_other_times(lambda t: (t + 1).clamp(max=1000)), "index_shift"),
    "a table without entry 0": (table_without_entry_0, "index_shift"),
    "ᾱ_T": (at_other_times(lambda t: torch.full_like(t, 1000)), "product_to_T"),
    "the first t for all": (at_other_times(lambda t: t[0].expand(len(t))), "shared_t"),
    "the largest t for all": (
        at_other_times(lambda t: t.max().expand(len(t))),
        "shared_t",
    ),
    "factors along the last axis": (last_axis, "wrong_axis"),
    "factors along the rows": (second_to_last_axis, "wrong_axis"),
    "pictures only": (for_pictures_only, "wrong_shape"),
    "noise of its own": (
        lambda x0, t, eps: jump(x0, t, torch.randn_like(eps)),
        "which_noise",
    ),
    "uniform noise": (
        lambda x0, t, eps: jump(x0, t, torch.rand_like(eps)),
        "which_noise",
    ),
    "one number for all pixels": (
        lambda x0, t, eps: jump(x0, t, torch.ones_like(eps) * eps.flatten()[0]),
        None,
    ),
    "a third root": (
        jump_with(lambda a: a ** (1 / 3), lambda a: (1 - a) ** (1 / 3)),
        None,
    ),
    "clamped": (lambda x0, t, eps: jump(x0, t, eps).clamp(-1, 1), None),
    "other schedule": (
        lambda x0, t, eps: DDPM(
            MLP(dim=2, n_feat=4), schedule=Schedule.cosine(1000)
        ).q_sample(x0, t, eps),
        None,
    ),
}


# --- 2.4 -----------------------------------------------------------------------------


def linspace(T, low, high):
    return torch.linspace(low, high, T)


def rescaled(T):
    return torch.linspace(1e-4, 0.02, T) * 1000 / T


def rescaled_ends(T):
    factor = 1000 / T
    return torch.linspace(1e-4 * factor, 0.02 * factor, T, dtype=torch.float64)


def rescaled_with_numpy(T):
    return np.linspace(0.1 / T, 20 / T, T)


def rescaled_looped(T):
    betas = torch.zeros(T)
    for t in range(1, T + 1):
        betas[t - 1] = (1e-4 + (0.02 - 1e-4) * (t - 1) / (T - 1)) * 1000 / T
    return betas


def rescaled_by_the_package(T):
    return Schedule.linear(T, rescale=True).betas[1:]


WRONG_BETAS = {
    "not rescaled": (lambda T: linspace(T, 1e-4, 0.02), "terminal_noise"),
    "every so many of 1000": (
        lambda T: linspace(1000, 1e-4, 0.02)[1000 // T - 1 :: 1000 // T][:T],
        "terminal_noise",
    ),
    "the first T of 1000": (
        lambda T: linspace(1000, 1e-4, 0.02)[:T],
        "terminal_noise",
    ),
    "T/1000": (lambda T: linspace(T, 1e-4, 0.02) * T / 1000, "swapped"),
    "√(1000/T)": (
        lambda T: linspace(T, 1e-4, 0.02) * math.sqrt(1000 / T),
        "variance_or_std",
    ),
    "β_T only": (lambda T: linspace(T, 1e-4, 20 / T), "one_end_only"),
    "β_0 = 0 in front": (
        lambda T: torch.cat([torch.zeros(1), rescaled(T)]),
        "first_entry",
    ),
    "T + 1 of them": (lambda T: linspace(T + 1, 0.1 / T, 20 / T), "index_shift"),
    "without its last": (
        lambda T: linspace(T + 1, 0.1 / T, 20 / T)[:-1],
        "index_shift",
    ),
    "constant": (lambda T: torch.full((T,), 10.05 / T), "constant_beta"),
    "1000//T": (lambda T: linspace(T, 1e-4, 0.02) * (1000 // T), "rounded_factor"),
    "1 − α^(1000/T)": (
        lambda T: 1 - (1 - linspace(T, 1e-4, 0.02)) ** (1000 / T),
        "not_linear",
    ),
    "the sum from 0": (lambda T: linspace(T, 0.0, 20.1 / T), None),
    "for T = 50 always": (lambda T: rescaled(50), "wrong_shape"),
    "factor 20 always": (lambda T: linspace(T, 1e-4, 0.02) * 20, None),
    "cosine": (lambda T: Schedule.cosine(T).betas[1:], None),
}


EXERCISES = [
    Exercise(
        check=checks.check_last_signal,
        right=[0.777, 0.78, 0.8, 0.75, torch.tensor(0.777), np.float32(0.777)],
        wrong={
            "ᾱ_T": (0.604, "variance_or_std"),
            "1 − ᾱ_T": (0.396, "variance_or_std"),
            "√(1−ᾱ_T)": (0.629, "swapped"),
            "pure noise": (0.0, "terminal_noise"),
            "as for T = 1000": (0.0064, "terminal_noise"),
            "as if rescaled": (0.0028, "terminal_noise"),
            "β_T at every step": (math.exp(-0.5), "sum_not_half"),
            "nothing happens": (1.0, None),
            "half": (0.5, None),
            "minus the exponent": (-0.25, None),
        },
    ),
    Exercise(
        check=checks.check_alpha_bars,
        right=[
            table,
            table_looped,
            table_float64,
            table_numpy,
            table_of_products,
            table_of_logs,
            table_filled,
            table_of_the_package,
        ],
        wrong=WRONG_TABLES,
    ),
    Exercise(
        check=checks.check_q_sample,
        right=[
            jump,
            jump_looped,
            jump_in_float64,
            jump_with_einsum,
            jump_transposed,
            jump_with_numpy,
            jump_of_the_package,
            jump_with_a_generator,
        ],
        wrong=WRONG_JUMPS,
    ),
    Exercise(
        check=checks.check_rescaled_betas,
        right=[
            rescaled,
            rescaled_ends,
            rescaled_with_numpy,
            rescaled_looped,
            rescaled_by_the_package,
        ],
        wrong=WRONG_BETAS,
    ),
]
