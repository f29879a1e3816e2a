"""Checks of the exercises in notebook 05, but for the loss: that is in c05_loss."""

import math
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

# --- 5.2: the time embedding ---------------------------------------------------------

_FEATURE_HINTS = {
    "not_divided": "The phase is ω times the share t / T, not times t.",
    "index_shift": "t counts from 1 to T here; nothing is to be subtracted.",
    "wrong_order": "First all sines, then all cosines.",
    "two_pi": "The phase is ω t / T as it stands, in radians, with no 2π.",
    "upside_down": "A high frequency makes the phase grow fast with t.",
    "one_frequency": "Each column has a frequency of its own.",
    "no_sines": "Half of the columns are sines.",
    "no_cosines": "Half of the columns are cosines.",
    "": "Build the phases first, (B, F): one row for each t, one column for each ω.",
}


@check("Exercise 5.2: the time embedding")
def check_time_features(function: Callable[..., Any]) -> Report:
    """Check `time_features(t, T, frequencies)`.

    [sin(ω_1 t/T), …, sin(ω_F t/T), cos(ω_1 t/T), …, cos(ω_F t/T)]

    Args:
        function: takes t, (B,) int64 in 1…T; T, an int; and the frequencies ω, (F,)
            float. Returns the features, (B, 2F).

    Returns:
        The report; the comparison is deterministic.
    """
    for T, F in ((100, 5), (40, 3), (1000, 4)):
        t = torch.tensor([1, 3, T // 2, T - 7, 6, 5, T])[: 7 if F == 5 else 6]
        frequencies = torch.logspace(0, 2, F)
        got = call(function, (len(t), 2 * F), t=t, T=T, frequencies=frequencies)
        omega, steps = frequencies.double(), t.double()[:, None]
        phase = steps / T * omega
        sin, cos = phase.sin(), phase.cos()
        right = _features(phase)
        if z_score(got, right, 1e-3) <= 1:
            continue
        name = name_mistake(
            got,
            {
                "not_divided": _features(steps * omega),
                "index_shift": [
                    _features((steps - 1) / T * omega),
                    _features(steps / (T + 1) * omega),
                    _features((steps - 1) / (T - 1) * omega),
                ],
                "wrong_order": [
                    torch.cat([cos, sin], 1),
                    torch.stack([sin, cos], 2).flatten(1),
                    torch.stack([cos, sin], 2).flatten(1),
                ],
                "two_pi": [_features(2 * math.pi * phase), _features(math.pi * phase)],
                "upside_down": [
                    _features(steps / T / omega),
                    _features(T / steps * omega),
                ],
                "one_frequency": [
                    _features((steps / T * omega[:1]).expand(-1, F)),
                    _features((steps / T).expand(-1, F)),
                ],
                "no_sines": torch.cat([cos, cos], 1),
                "no_cosines": torch.cat([sin, sin], 1),
            },
            1e-3,
        )
        row = int((got - right).abs().amax(1).argmax())
        where = f"T = {T}, t = {int(t[row])}: "
        raise Wrong(
            name,
            where + _numbers(got[row]),
            where + _numbers(right[row]),
            _FEATURE_HINTS[name or ""],
        )
    return Report(
        measured=f"T = {T}, t = {int(t[-1])}: {_numbers(got[-1])}",
        expected=f"T = {T}, t = {int(t[-1])}: {_numbers(right[-1])}",
        hint="The first layer of the network sees these in place of t / T.",
    )


def _features(phase: Tensor) -> Tensor:
    return torch.cat([phase.sin(), phase.cos()], dim=1)


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.3f}" for value in values.tolist())


# --- 5.3: the excess and its error ---------------------------------------------------

_EXCESS_HINTS = {
    "wrong_sign": "A network that is worse than the exact denoiser has a positive "
    "excess.",
    "relative": "Return the difference itself; the percentage comes later.",
    "not_paired": "Both had the same x_0, ε and t: what is hard for one is hard for "
    "the other, and goes away in the difference. Take it sample by sample.",
    "no_root_n": "The standard error of a mean of n values is std / √n.",
    "variance_or_std": "The standard error is a standard deviation, not a variance.",
    "swapped": "Return the mean first, then its standard error.",
    "reduction": "The mean of the differences, not their sum.",
    "absolute": "Keep the sign of each difference: on some draws the network does "
    "better by luck, and that counts against its excess.",
    "two_errors": "Return one standard error, not the two of an interval.",
    "": "Take the difference sample by sample; its mean, and its std over √n.",
}


@check("Exercise 5.3: the excess and its standard error")
def check_excess(function: Callable[..., Any]) -> Report:
    """Check `excess(losses_net, losses_exact)`, with the error of paired differences.

    d_i = l_i(net) − l_i(exact); mean(d) and std(d)/√n

    Args:
        function: takes the losses of two models on the same n draws, (n,) float each.
            Returns the mean of the differences and its standard error, two scalars.

    Returns:
        The report; the comparison is deterministic.
    """
    for n, gap in ((400, 0.03), (90, 0.2)):
        of_exact = 0.35 * torch.randn(n).square()
        of_net = of_exact + gap + 0.08 * torch.randn(n)
        got = call(function, [(), ()], losses_net=of_net, losses_exact=of_exact)
        a, b = of_net.double(), of_exact.double()
        d = a - b
        mean, error = d.mean(), d.std() / n**0.5
        mistake = None
        if z_score(got[0], mean, 1e-5) > 1:
            known = {
                "wrong_sign": -mean,
                "relative": [mean / b.mean(), a.mean() / b.mean(), (d / b).mean()],
                "swapped": error,
                "reduction": [d.sum(), d.abs().sum()],
                "absolute": [d.abs().mean(), d.square().mean()],
            }
            mistake = name_mistake(got[0], known, 1e-5)
        elif z_score(got[1], error, 0.01 * error) > 1:
            spread = d.var()
            apart = (a.var() + b.var()).sqrt() / n**0.5
            wide = (a.std() + b.std()) / n**0.5
            known = {
                "not_paired": [
                    *(apart, wide, a.std() / n**0.5, b.std() / n**0.5),
                    (a.std() - b.std()).abs() / n**0.5,
                ],
                "no_root_n": [d.std(), d.std() / n],
                "variance_or_std": [spread, spread / n, spread / n**0.5],
                "two_errors": [2 * error, 1.96 * error],
            }
            mistake = name_mistake(got[1], known, 1e-3 * float(error))
        else:
            continue
        raise Wrong(
            mistake,
            f"n = {n}: {got[0]:.4g} ± {got[1]:.4g}",
            f"n = {n}: {mean:.4g} ± {error:.4g}",
            _EXCESS_HINTS[mistake or ""],
        )
    apart = float(((a.var() + b.var()) / n).sqrt())
    return Report(
        measured=f"n = {n}: {got[0]:.4g} ± {got[1]:.4g}",
        expected=f"n = {n}: {mean:.4g} ± {error:.4g}",
        hint=f"Without the pairing the error would have been {apart:.4g}.",
    )
