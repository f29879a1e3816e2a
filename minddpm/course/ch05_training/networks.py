"""The networks that the check of the loss in notebook 05 hands to the student.

They know more than a network can: x_0, and so ε. Each answers by a rule, and writes
down what it was asked.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minddpm.course.kit.report import Wrong
from minddpm.schedule import Schedule

T = 8
SCHEDULE = Schedule.cosine(T)
LARGE = 1e4
"""An answer next to which any target is small."""

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t, x0, t) -> the net's answer


def table(name: str) -> Tensor:
    """Return a table of the schedule as (T+1, 1) float64."""
    return getattr(SCHEDULE, name).double()[:, None]


def answer_zero(x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Return 0, whatever is asked."""
    return torch.zeros_like(x_t)


def answer_large(x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Return `LARGE`, whatever is asked."""
    return torch.full_like(x_t, LARGE)


def noise_in(x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Return the ε of x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε: a network that cheats."""
    signal, noise = table("sqrt_alpha_bars"), table("sqrt_one_minus_alpha_bars")
    return (x_t - signal[t] * x0) / noise[t].clamp(min=1e-6)


def cheats(right_input: bool) -> dict[str, list[Rule]]:
    """Return, for each known mistake, networks that make the loss with it zero.

    Args:
        right_input: x_t is as it should be and the target is not, or the reverse.

    Returns:
        The rules, by the name of the mistake.
    """
    signal, noise = table("sqrt_alpha_bars"), table("sqrt_one_minus_alpha_bars")
    step, beta = table("alphas").sqrt(), table("betas").sqrt()
    one, none = torch.ones_like(signal), torch.zeros_like(signal)

    def solve(a: Tensor, b: Tensor) -> Rule:
        """Undo x_t = a_t x_0 + b_t ε."""
        return lambda x_t, x0, t: (x_t - a[t] * x0) / torch.where(b == 0, 1, b)[t]

    def shift(by: int) -> Rule:
        def rule(x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
            return noise_in(x_t, x0, (t + by).clamp(0, T))

        return rule

    if right_input:
        return {
            "wrong_sign": [lambda x_t, x0, t: -noise_in(x_t, x0, t)],
            "wrong_target": [
                lambda x_t, x0, t: x0,
                lambda x_t, x0, t: x_t,
                lambda x_t, x0, t: x_t - x0,
                lambda x_t, x0, t: (signal[t] * x_t - x0) / noise[t],  # v
                lambda x_t, x0, t: (x0 - signal[t] * x_t) / noise[t],
            ],
            "one_step_noise": [
                lambda x_t, x0, t: x_t - signal[t] * x0,
                lambda x_t, x0, t: beta[t] * noise_in(x_t, x0, t),
            ],
        }
    return {
        "variance_or_std": [
            solve(signal**2, noise**2),
            solve(signal, noise**2),
            solve(signal**2, noise),
            solve(signal, 1 - signal),
            solve(signal**2, (1 - signal**4).sqrt()),
        ],
        "swapped": [solve(noise, signal), solve(noise**2, signal**2)],
        "index_shift": [shift(-1), shift(1)],
        "which_alpha": [solve(step, beta), solve(signal, beta), solve(step, noise)],
        "no_weight": [solve(one, one), solve(signal, one), solve(one, noise)],
        "no_signal": [solve(none, noise), solve(none, noise**2), solve(none, one)],
        "wrong_sign": [solve(signal, -noise), solve(-signal, noise)],
    }


class Probe(nn.Module):
    """A network that answers by a rule and writes down what it was asked.

    Args:
        x0: the batch that the student's loss is given, (B, 2) float; the samples are
            expected in its order.
        rule: what to answer.

    Attributes:
        x_t: what it was asked about, tensors (b, 2) float64, B rows in all.
        t: T times the share that it was told, tensors (b,) float64.
        loss: what the student's function returned, for the asker to keep.
    """

    def __init__(self, x0: Tensor, rule: Rule) -> None:
        super().__init__()
        self.x0, self.rule = x0, rule
        self.weight = nn.Parameter(torch.zeros(()))  # for the loss to depend on
        self.x_t: list[Tensor] = []
        self.t: list[Tensor] = []
        self.loss: Any = None

    def forward(self, x_t: Tensor, c: Any, t: Any, context_mask: Any) -> Tensor:
        """Answer as the network protocol asks; label and mask do not matter.

        Args:
            x_t: noisy samples, (b, 2) float.
            c: ignored.
            t: times over T, a number, or (b,) or broadcastable to it.
            context_mask: ignored.

        Returns:
            The answer, (b, 2), of x_t's dtype.

        Raises:
            Wrong: if a shape is wrong, or there are more samples than in the batch.
        """
        hint = "Ask the network once about each sample of the batch, with its time."
        if not isinstance(x_t, Tensor) or x_t.ndim != 2 or x_t.shape[1] != 2:
            kind = tuple(x_t.shape) if isinstance(x_t, Tensor) else type(x_t).__name__
            said = f"the network was given {kind} for x_t"
            raise Wrong(None, said, "a tensor of shape (B, 2)", hint)
        asked, n = sum(map(len, self.x_t)), len(x_t)
        if asked + n > len(self.x0):
            said = f"the network was asked about {asked + n} samples"
            raise Wrong(None, said, f"each of the {len(self.x0)} samples once", hint)
        share = torch.as_tensor(t).detach().double().reshape(-1)
        if len(share) not in (1, n):
            said = f"the network was given {len(share)} times for {n} samples"
            raise Wrong(None, said, "one time a sample", hint)
        noisy, told = x_t.detach().double(), T * share.expand(n)
        self.x_t.append(noisy)
        self.t.append(told)
        x0 = self.x0[asked : asked + n].double()
        steps = told.round().long().clamp(0, T)
        return self.rule(noisy, x0, steps).to(x_t) + self.weight
