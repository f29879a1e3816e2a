"""Networks that remember what a loss asked them, and what it did with their answers.

The loss is differentiated twice with respect to their answers, and so tells what it
does with them: w (target − answer)² has the derivatives −2 w (target − answer) and 2 w.
So x_t, its time and its target are known, number by number.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from minddpm import data
from minddpm.course.kit.exercise import Answer
from minddpm.course.kit.report import Wrong, call, kind, regress
from minddpm.oracle import GaussianMixture
from minddpm.schedule import Schedule

T = 8
SCHEDULE = Schedule.cosine(T)
RING = GaussianMixture(*data.ring_mixture(), SCHEDULE)

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t, x0, t) -> a net's answer


class _Probe(nn.Module):
    """A network that answers by a rule and remembers what it saw, in x0's order."""

    def __init__(self, x0: Tensor, rule: Rule) -> None:
        super().__init__()
        self.x0, self.rule = x0.double(), rule
        self.weight = nn.Parameter(torch.zeros(()))  # for the loss to depend on
        self.seen: list[tuple[Tensor, ...]] = []  # answer, x_t, T times the share
        self.asked = 0
        self.loss: Any = None

    def forward(self, x_t: Any, c: Any, t: Any, context_mask: Any) -> Tensor:
        """Answer as the network protocol asks; label and mask do not matter."""
        share = torch.as_tensor(t).detach().double().reshape(-1)
        x0 = self.x0[self.asked : self.asked + len(x_t)]
        if x_t.shape != x0.shape or len(share) not in (1, len(x0)):
            said = f"the network was asked about {kind(x_t)} and {len(share)} times"
            raise Wrong(None, said, "each of (B, 2) once, with a time for each")
        self.asked += len(x0)
        noisy, told = x_t.detach().double(), T * share.expand(len(x0))
        out = self.rule(noisy, x0, told.round().long().clamp(1, T)).to(x_t)
        self.seen.append((out.requires_grad_(), noisy, told))
        return out + self.weight


def _ask(answer: Answer, x0: Tensor, rule: Rule) -> dict[str, Tensor]:
    """Return what an answer does with a network that answers by this rule."""
    probe = _Probe(x0, rule)

    @wraps(answer)
    def keep(*args: Any, **kwargs: Any) -> Any:
        probe.loss = answer(*args, **kwargs)
        return probe.loss

    value = call(keep, (), net=probe, x0=x0, alpha_bars=SCHEDULE.alpha_bars)
    if probe.asked != len(x0):
        said = f"the network was asked about {probe.asked} samples"
        raise Wrong(None, said, f"each of the {len(x0)} samples once")
    if not getattr(probe.loss, "requires_grad", False):
        said = "a number that does not know where it came from"
        hint = (
            "Training needs the gradient of the loss: no .item(), .detach(), no_grad."
        )
        raise Wrong("no_gradient", said, "a tensor to call .backward() on", hint)
    outs, x_t, told = zip(*probe.seen, strict=True)

    def derivative(y: Any) -> tuple[Tensor, ...]:
        if not y.requires_grad:
            return tuple(map(torch.zeros_like, outs))
        return torch.autograd.grad(y, outs, create_graph=True, materialize_grads=True)

    slopes = derivative(probe.loss)
    parts = outs, slopes, derivative(sum(x.sum() for x in slopes)), x_t, told
    out, g, h, *seen = (torch.cat(each).detach().double() for each in parts)
    target = out - (g / h).nan_to_num(0, 0, 0)
    names = "loss", "out", "slope", "weight", "target", "x0", "x_t", "told"
    values = value[None], out, g, h * out.numel() / 2, target, x0.double(), *seen
    return dict(zip(names, values, strict=True))


def noise_in(x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Return the ε of x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε: a network that knows it."""
    signal, noise = SCHEDULE.sqrt_alpha_bars, SCHEDULE.sqrt_one_minus_alpha_bars
    return (x_t - signal[t, None] * x0) / noise[t, None].double()


def measure(answer: Answer) -> tuple[Tensor, dict[str, Tensor]]:
    """Ask three networks: one answers 0, one knows ε, one is the exact denoiser.

    Args:
        answer: a loss.

    Returns:
        What can be compared with a face: how the loss grows, the weight of the squares,
        and what x_t and target are made of at each time, with standard errors, (K, 2);
        and what the three saw, if the loss grows as a square does.
    """
    x0, _ = RING.sample(256)
    large = _ask(answer, x0[:64], lambda x_t, x0, t: 1e4 * torch.randn_like(x_t))
    power = float((large["slope"] * large["out"]).sum() / large["loss"])
    if abs(power - 2) > 0.01:
        return torch.tensor([[power, 1e-3]]).double(), {}
    rules: list[Rule] = [
        lambda x, x0, t: 0 * x,
        noise_in,
        lambda x, x0, t: RING.eps(x, t),
    ]
    asked = [_ask(answer, x0, rule) for rule in rules]
    seen = {name: torch.cat([one[name] for one in asked]) for name in asked[0]}
    features = [(power, 1e-3), (float(seen["weight"].abs().mean().log()), 0)]
    told = (seen["told"] * 1000).round()
    for k in told.unique()[: 2 * T]:
        x0, x_t, target = (seen[name][told == k] for name in ("x0", "x_t", "target"))
        signal, error, rest = regress(x_t, x0)
        spread = float(rest.square().mean().sqrt())
        sums, errors, _ = regress(target, x0, x_t if spread > 1e-4 else 0 * x_t)
        features += [(float(k) / 1000, 0), (spread, spread / (2 * len(rest)) ** 0.5)]
        features += zip([*signal, *sums], [*error, *errors], strict=True)
    return torch.tensor(features).double() + torch.tensor([0, 2e-4]), seen
