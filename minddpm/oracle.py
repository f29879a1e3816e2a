"""Exact answers with no network: the best denoiser there is, and the loss it leaves.

A finite data set is a mixture of Gaussians of zero width, so one class serves both. All
sums are done in float64: at t = 1 a squared distance is divided by about 10⁻⁴. Equation
numbers are those of DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from minddpm import _validate
from minddpm._validate import Labels, Times
from minddpm.device import Exact, Rng, randn, source
from minddpm.schedule import Schedule

BLOCK = 2**23  # numbers in a (rows, K) block: 64 MB of float64


class GaussianMixture(Exact):
    """A mixture of isotropic Gaussians with exact ε, score and density at every t.

    q(x_t) = Σ_k w_k N(x_t; √ᾱ_t μ_k, (ᾱ_t s_k² + 1 − ᾱ_t) I), from [DDPM eq. 4]. It
    follows the network protocol, so `DDPM(mixture, schedule=schedule)` samples with the
    network that training can only approach. Gradients with respect to x_t flow. In all
    methods `t` is an int or (B,) int64 in 1…T; `c` is (B,) int64, and None stands for
    "no label": the whole mixture.

    Args:
        means: μ_k, (K, *D) float.
        stds: s_k ≥ 0, a float for all components or a (K,) float tensor.
        schedule: the noise schedule.
        weights: w_k > 0, (K,) float, normalised here; None makes them equal.
        labels: class of each component, (K,) int64 ≥ 0; None for unlabelled data.

    Attributes:
        schedule: as given.
        data_shape: D, the shape of one sample.
        n_classes: the largest label plus one; 0 without labels.

    Raises:
        TypeError: if an argument is of the wrong type or dtype.
        ValueError: if a shape is wrong, a number is out of range or not finite, or
            there is no component.

    >>> mixture = GaussianMixture(torch.tensor([[-1.0], [1.0]]), 0.1, Schedule.cosine())
    >>> mixture.denoise(torch.tensor([[0.0], [0.1]]), t=500)
    tensor([[0.0000],
            [0.1367]])
    """

    def __init__(
        self, means: Tensor, stds: float | Tensor, schedule: Schedule, *,
        weights: Tensor | None = None, labels: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        n = len(_validate.samples("means", means))
        if isinstance(stds, Tensor):
            wrong = ~(_validate.floats("stds", stds, (n,)).isfinite() & (stds >= 0))
            _validate.refuse("stds", stds, wrong, "be finite and at least 0")
        else:
            stds = means.new_tensor([_validate.real("stds", stds, 0.0, math.inf)])
        weights = torch.ones(n).to(means) if weights is None else weights
        wrong = ~(_validate.floats("weights", weights, (n,)).isfinite() & (weights > 0))
        _validate.refuse("weights", weights, wrong, "be finite and positive")
        _validate.like("schedule", schedule, *_validate.RULES["schedule"][1:])
        present: list[int] = []
        if labels is not None:
            present = _validate.labels("labels", labels, n).unique().tolist()
            _validate.refuse("labels", labels, labels < 0, "be at least 0")
            labels = labels.to(means.device, copy=True)
        self.schedule = schedule
        self.data_shape = means.shape[1:]
        self.n_classes = present[-1] + 1 if present else 0
        self._empty_classes = sorted(set(range(self.n_classes)) - set(present))
        self.means = nn.Buffer(means.detach().clone())
        self.stds = nn.Buffer(stds.detach().to(means, copy=True))
        self.weights = nn.Buffer((weights / weights.sum()).detach().to(means))
        self.labels: Any = None if labels is None else nn.Buffer(labels)
        signal, noise = schedule.sqrt_alpha_bars, schedule.sqrt_one_minus_alpha_bars
        self.sqrt_alpha_bars = nn.Buffer(signal.to(means.device, copy=True))
        self.sqrt_one_minus_alpha_bars = nn.Buffer(noise.to(means.device, copy=True))

    def forward(
        self, x_t: Tensor, c: Labels, t: Tensor, context_mask: Labels
    ) -> Tensor:
        """Predict the noise in x_t, as the network protocol asks.

        Args:
            x_t: noisy samples, (B, *D) float.
            c: labels, (B,) int64 or None; ignored by an unlabelled mixture.
            t: times over T, in (0, 1], float, (B,) or broadcastable to it.
            context_mask: (B,) float, 1 where the label is dropped; None drops none.

        Returns:
            E[ε | x_t, c], or E[ε | x_t] where the label is dropped, (B, *D).

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong, or t or a label is out of range.
        """
        n = len(_validate.floats("x_t", x_t, (None, *self.data_shape)))
        share = _validate.spread("t", _validate.floats("t", t), n).detach().float()
        steps = (share * self.schedule.T).round().long()
        rule = f"be in (0, 1], the step over T = {self.schedule.T} (eps takes steps)"
        _validate.refuse("t", share, (steps < 1) | ~(share <= 1), rule)
        c = c if self.n_classes else None
        return self.eps(x_t, steps, c, context_mask)

    def eps(
        self, x_t: Tensor, t: Times, c: Labels = None, context_mask: Labels = None
    ) -> Tensor:
        """Return the best guess of the noise: the minimiser of [DDPM eq. 14].

        E[ε | x_t, c] = (x_t − √ᾱ_t E[x_0 | x_t, c]) / √(1−ᾱ_t)

        Args:
            x_t: noisy samples, (B, *D) float.
            t: 1…T, int or (B,) int64.
            c: labels, (B,) int64, or None.
            context_mask: (B,) float, 1 where the label is dropped; None drops none.

        Returns:
            (B, *D), of x_t's dtype.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong, t or a label is out of range, or no
                component has the label.
        """
        x, signal, noise = self._inputs(x_t, t)
        c = self._known(c, len(x), context_mask)
        x0_hat, _ = self._posterior(x, signal, noise, c)
        return ((x - signal * x0_hat) / noise).view_as(x_t).to(x_t)

    def denoise(self, x_t: Tensor, t: Times, c: Labels = None) -> Tensor:
        """Return the best guess of the clean sample, by Bayes' rule on [DDPM eq. 4].

        E[x_0 | x_t, c] = Σ_k r_k (μ_k + √ᾱ_t s_k² (x_t − √ᾱ_t μ_k) / v_k) with
        v_k = ᾱ_t s_k² + 1 − ᾱ_t and r = softmax(log w_k + log N(x_t; √ᾱ_t μ_k, v_k I)).
        For a finite data set (s = 0): Σ_k r_k x_k, a softmax-weighted mean.

        Args:
            x_t: noisy samples, (B, *D) float.
            t: 1…T, int or (B,) int64.
            c: labels, (B,) int64, or None.

        Returns:
            (B, *D), of x_t's dtype.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: as in `eps`.
        """
        x0_hat, _ = self._posterior(*self._inputs(x_t, t), self._known(c, len(x_t)))
        return x0_hat.view_as(x_t).to(x_t)

    def score(self, x_t: Tensor, t: Times, c: Labels = None) -> Tensor:
        """Return ∇ log q(x_t | c) = −E[ε | x_t, c] / √(1−ᾱ_t), from [DDPM eq. 4].

        Args:
            x_t: noisy samples, (B, *D) float.
            t: 1…T, int or (B,) int64.
            c: labels, (B,) int64, or None.

        Returns:
            (B, *D), of x_t's dtype.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: as in `eps`.
        """
        x, signal, noise = self._inputs(x_t, t)
        x0_hat, _ = self._posterior(x, signal, noise, self._known(c, len(x)))
        return ((signal * x0_hat - x) / noise**2).view_as(x_t).to(x_t)

    def log_prob(self, x_t: Tensor, t: Times, c: Labels = None) -> Tensor:
        """Return log q(x_t | c), the density of the noisy data, from [DDPM eq. 4].

        Args:
            x_t: noisy samples, (B, *D) float.
            t: 1…T, int or (B,) int64; also 0, the data's own density, unless a
                component has zero width.
            c: labels, (B,) int64, or None.

        Returns:
            (B,) in nats, of x_t's dtype.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: as in `eps`.
        """
        inputs = self._inputs(x_t, t, low=0)
        if self.stds.device.type == "cpu" and (self.stds == 0).any():
            rule = "be at least 1 where a component has zero width (take stds > 0)"
            at = torch.as_tensor(t).reshape(-1)
            _validate.refuse("t", at, at == 0, rule)
        return self._posterior(*inputs, self._known(c, len(x_t)))[1].to(x_t)

    @torch.no_grad()
    def sample(
        self, n: int, *, c: Labels = None, generator: Rng = None
    ) -> tuple[Tensor, Tensor]:
        """Draw clean samples x_0 from the mixture, at t = 0.

        Args:
            n: how many, at least 1.
            c: their labels, (n,) int64; None draws from the whole mixture.
            generator: source of the components, then of their noise.

        Returns:
            x_0, (n, *D), and the class of each, (n,) int64: all 0 without labels.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if n is less than 1, or as in `eps` for c.
        """
        n = _validate.integer("n", n, 1)
        asked: Any = self._known(c, n)
        device = source(generator, self.means)["device"]
        weights = self.weights.to(device)
        k = torch.empty(n, dtype=torch.int64, device=device)
        for label in [None] if asked is None else asked.unique().tolist():
            mine: Any = slice(None) if label is None else (asked == label).to(device)
            of_class: Any = 1 if label is None else (self.labels == label).to(device)
            chosen = weights * of_class
            k[mine] = chosen.multinomial(len(k[mine]), True, generator=generator)
        k = k.to(self.means.device)
        x0 = self.means[k]
        stds = self.stds.expand(len(self.means))[k].view(n, *(1,) * (x0.ndim - 1))
        x0 = x0 + stds * randn(x0.shape, x0, generator)
        return x0, torch.zeros_like(k) if self.labels is None else self.labels[k]

    # --- plumbing --------------------------------------------------------------------

    def _inputs(
        self, x_t: Tensor, t: Times, low: int = 1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_t as (B, d), √ᾱ_t and √(1−ᾱ_t) as (B, 1), all float64."""
        n = len(_validate.floats("x_t", x_t, (None, *self.data_shape)))
        table = self.sqrt_alpha_bars
        t = _validate.times(t, n, self.schedule.T, low, table.device)
        signal = _wide(table[t]).view(n, 1)
        # squared, this is 1 − ᾱ_t to float32's relative precision; 1 minus ᾱ_t is not
        noise = _wide(self.sqrt_one_minus_alpha_bars[t]).view(n, 1)
        return _wide(x_t).reshape(n, self.data_shape.numel()), signal, noise

    def _known(self, c: Labels, n: int, context_mask: Labels = None) -> Labels:
        """Check the labels and return them with −1 for the dropped ones."""
        if c is None:
            return None
        if self.labels is None:
            raise ValueError("c must be None: the mixture was built without labels=…")
        _validate.labels("c", c, n, self.n_classes)
        if context_mask is not None:
            _validate.floats("context_mask", context_mask, (n,))
            c = c.masked_fill(context_mask > 0.5, -1)
        for label in self._empty_classes:
            _validate.refuse("c", c, c == label, "name a class that has a component")
        return c

    def _posterior(
        self, x: Tensor, signal: Tensor, noise: Tensor, c: Labels
    ) -> tuple[Tensor, Tensor]:
        """Return E[x_0 | x_t, c], (B, d), and log q(x_t | c), (B,); float64."""
        means = _wide(self.means).reshape(len(self.means), -1)  # (K, d)
        norms = torch.linalg.vector_norm(means, dim=1).square()
        log_weights = _wide(self.weights).log()
        s2 = _wide(self.stds).square()  # (1,) or (K,)
        x0_hats, log_probs = [], []
        rows = max(1, BLOCK // len(means))
        for i in range(0, max(1, len(x)), rows):
            x_i, a, b = x[i : i + rows], signal[i : i + rows], noise[i : i + rows]
            prior = log_weights
            if c is not None and self.labels is not None:
                c_i = c[i : i + rows, None].to(x.device)
                outside = (c_i >= 0) & (c_i != self.labels.to(x.device))
                prior = prior.masked_fill(outside, -math.inf)
            variance = a**2 * s2 + b**2  # (rows, 1 or K)
            distance = x_i.square().sum(1, keepdim=True) - 2 * a * (x_i @ means.T)
            distance = (distance + a**2 * norms).clamp(min=0)
            logits = prior.log_softmax(-1) - distance / (2 * variance)
            logits = logits - x.shape[1] / 2 * (2 * math.pi * variance).log()
            log_prob = logits.logsumexp(1)
            r = (logits - log_prob[:, None]).exp()  # (rows, K), each row sums to 1
            gain = a * s2 / variance
            pulled = (r * gain).sum(1, keepdim=True) * x_i
            x0_hats.append((r * (1 - a * gain)) @ means + pulled)
            log_probs.append(log_prob)
        return torch.cat(x0_hats), torch.cat(log_probs)


class ExactDenoiser(GaussianMixture):
    """The best network there is for a finite data set; it memorises it [DDPM eq. 14].

    E[x_0 | x_t] = Σ_k r_k x_k with r = softmax(−‖x_t − √ᾱ_t x_k‖² / (2 (1−ᾱ_t))): a
    `GaussianMixture` of zero widths, with its methods.

    Args:
        data: all clean samples, (N, *D) float.
        schedule: the noise schedule.
        labels: their classes, (N,) int64; None for unlabelled data.

    Raises:
        TypeError: if an argument is of the wrong type or dtype.
        ValueError: if a shape is wrong, or the data is empty or not finite.

    >>> data = torch.tensor([[-1.0], [1.0]])
    >>> oracle = ExactDenoiser(data, Schedule.linear(), labels=torch.tensor([0, 1]))
    >>> oracle.denoise(torch.tensor([[0.3], [0.3]]), t=500, c=torch.tensor([0, 1]))
    tensor([[-1.],
            [ 1.]])
    """

    def __init__(self, data: Tensor, schedule: Schedule, labels: Labels = None) -> None:
        super().__init__(_validate.samples("data", data), 0.0, schedule, labels=labels)


class LossFloor(NamedTuple):
    """The least L_simple within reach, as `loss_floor` measured it [DDPM eq. 14].

    Attributes:
        t: the times, (K,) int64.
        per_t: the floor at each, (K,) float64.
        standard_error: that of `per_t`, (K,) float64.
        mean: the floor of the loss averaged over these times.
        mean_standard_error: that of `mean`.
    """

    t: Tensor
    per_t: Tensor
    standard_error: Tensor
    mean: float
    mean_standard_error: float


@torch.no_grad()
@_validate.by_name
def loss_floor(
    denoiser: GaussianMixture, ts: int | Sequence[int] | Tensor | None = None,
    n: int = 1000, *, drop_prob: float = 0.0, generator: Rng = None,
) -> LossFloor:  # fmt: skip
    """Estimate the least L_simple that any network can reach [DDPM eq. 14].

    The mean over the dimensions of (ε − E[ε | x_t, c])², for n fresh draws of x_0 and ε
    at each t. A loss many standard errors below it is a bug.

    Args:
        denoiser: the law of the data, a `GaussianMixture` or `ExactDenoiser`.
        ts: times in 1…T; None takes them all, as training does.
        n: draws at each time, at least 2.
        drop_prob: share of the draws whose label is hidden; no matter without labels.
        generator: source of x_0, ε and the hidden labels, in this order at each time.

    Returns:
        The floor at each time and on average, with standard errors.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range, or `ts` is empty.

    >>> one_point = ExactDenoiser(torch.zeros(1, 2), Schedule.cosine(T=100))
    >>> loss_floor(one_point, ts=[1, 50, 100]).mean < 1e-12
    True
    """
    T = denoiser.schedule.T
    n = _validate.integer("n", n, 2)
    ts = torch.arange(1, T + 1) if ts is None else torch.as_tensor(ts).reshape(-1)
    t_all = [_validate.integer("ts", t, 1, T) for t in ts.tolist()]
    _validate.integer("the number of ts", len(t_all), 1)
    errors = []
    for t in t_all:
        x0, c = denoiser.sample(n, generator=generator)
        x, signal, noise = denoiser._inputs(x0, t)
        eps = randn(x.shape, x, generator)
        hidden = randn((n,), x, generator, torch.rand).lt(drop_prob).to(x)
        x_t = (signal * x + noise * eps).view_as(x0)
        eps_hat = denoiser(x_t, c.to(x.device), torch.full_like(hidden, t / T), hidden)
        errors.append((eps - eps_hat.view_as(eps)).square().mean(dim=1).cpu())
    error = torch.stack(errors)  # (K, n)
    per_t, se = error.mean(dim=1), error.std(dim=1) / math.sqrt(n)
    means = float(per_t.mean()), float(se.norm()) / len(t_all)
    return LossFloor(torch.tensor(t_all), per_t, se, *means)


def _wide(x: Tensor) -> Tensor:
    """Return x in float64; MPS has none, so from there it moves to the CPU."""
    return (x.cpu() if x.device.type == "mps" else x).double()
