"""The diffusion model: the forward process q, the loss, and what a reverse step needs.

Equation numbers are those of DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239) and of
CFG (Ho & Salimans 2022, arXiv 2207.12598); v-prediction is that of Salimans & Ho (2022,
arXiv 2202.00512).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from minddpm import _validate, samplers
from minddpm._validate import Labels, Times
from minddpm.device import Device, Exact, Rng, as_device, dtype_of, randn, source
from minddpm.schedule import Schedule, short_names


class DDPM(Exact):
    """A denoising diffusion model around a network that predicts noise [DDPM].

    Shapes: B samples of any shape D, points (B, 2) or pictures (B, C, H, W), about in
    [−1, 1]. Times `t` are an int or a (B,) int64 tensor in 1…n_T; labels `c` are (B,)
    int64. The tables of the schedule are buffers under the names of `Schedule`
    (`betas`, `alpha_bars`, …) and of `ddpm_schedules` (`sqrtab`, `sqrtmab`, …), each
    (n_T+1,) with entry 0 for "no noise". They stay float32 where the network is cast to
    a half precision: only the network computes in it, the mathematics does not.

    Args:
        nn_model: any module called as `nn_model(x_t, c, t, context_mask) -> eps_hat`
            with t in (0, 1] of shape (B,), c (B,) int64 and context_mask (B,) float, in
            which 1 means that the label is dropped. Its attribute `n_classes`, where it
            has one, says which labels exist.
        betas: (β_1, β_T) of the linear schedule.
        n_T: number of steps T.
        device: where to move the model; None leaves it where `nn_model` is.
        drop_prob: probability in [0, 1] with which `forward` drops a label.
        schedule: any other schedule, in place of `betas` and `n_T`.
        prediction: what `nn_model` is trained to answer: the noise ("eps"), the clean
            sample ("x0"), or v = √ᾱ_t ε − √(1−ᾱ_t) x_0 ("v"). `predict_eps` turns
            either into noise, so that all else is the same.

    Raises:
        TypeError: if an argument is of the wrong type.
        ValueError: if an argument is out of range, or `schedule` is given together with
            `betas` or `n_T`.

    >>> from minddpm import MLP
    >>> ddpm = DDPM(MLP(dim=2, n_classes=3), betas=(1e-4, 0.02), n_T=1000)
    >>> loss = ddpm(torch.zeros(5, 2), torch.tensor([0, 1, 2, 0, 1]))
    >>> loss.shape
    torch.Size([])
    """

    betas: Tensor  # the buffers that the methods below look up
    alphas: Tensor
    sqrtab: Tensor
    sqrtmab: Tensor
    posterior_variances: Tensor

    @_validate.by_name
    def __init__(
        self, nn_model: nn.Module, betas: tuple[float, float] = (1e-4, 0.02),
        n_T: int = 1000, device: Device = None, drop_prob: float = 0.1, *,
        schedule: Schedule | None = None, prediction: str = "eps",
    ) -> None:  # fmt: skip
        super().__init__()
        self.nn_model = _validate.instance("nn_model", nn_model, nn.Module)
        if schedule is None:
            schedule = Schedule.linear(n_T, *betas)
        elif (*betas, n_T) != (1e-4, 0.02, 1000):
            _validate.fail("schedule", "come without betas and n_T", f"{betas}, {n_T}")
        self.drop_prob, self.prediction = float(drop_prob), prediction
        for name, table in (schedule.tables() | short_names(schedule)).items():
            self.register_buffer(name, table.clone())
        held = nn_model.state_dict().values()
        here = next((tensor.device for tensor in held), "cpu")
        self.to(as_device(device or here))

    @property
    def device(self) -> torch.device:
        """The device that the tables are on."""
        return self.betas.device

    @property
    def n_T(self) -> int:
        """The number of steps T."""
        return len(self.betas) - 1

    @property
    def schedule(self) -> Schedule:
        """The noise schedule: a copy of the buffers, which are what is looked up."""
        names = Schedule.__dataclass_fields__
        return Schedule(**{k: getattr(self, k).float().cpu().clone() for k in names})

    @property
    def n_classes(self) -> int:
        """The number of classes that the network knows; 0 for an unlabelled one."""
        return int(getattr(self.nn_model, "n_classes", 0) or 0)

    # --- the forward process q -------------------------------------------------------

    def q_step(
        self, x_s: Tensor, t: Times, eps: Tensor | None = None, *, generator: Rng = None
    ) -> Tensor:
        """Take one forward step, from x_{t−1} to x_t [DDPM eq. 2].

        x_t = √(1−β_t) x_{t−1} + √β_t ε

        Args:
            x_s: x_{t−1}, (B, *D) float.
            t: the time of the result, 1…n_T, int or (B,) int64.
            eps: the noise ε, of x_s's shape; None draws it.
            generator: source of the noise.

        Returns:
            x_t, (B, *D).

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong or t is out of range.
        """
        at, eps = self._at(t, x_s=x_s), _noise(eps, x_s, generator)
        return at(self.alphas).sqrt() * x_s + at(self.betas).sqrt() * eps

    def q_sample(
        self, x0: Tensor, t: Times, eps: Tensor | None = None, *, generator: Rng = None
    ) -> Tensor:
        """Jump from x_0 to x_t at once [DDPM eq. 4].

        x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε

        Args:
            x0: clean samples, (B, *D) float.
            t: the time of the result, 1…n_T, int or (B,) int64.
            eps: the noise ε, of x0's shape; None draws it.
            generator: source of the noise.

        Returns:
            x_t, (B, *D).

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong or t is out of range.

        >>> from minddpm import MLP
        >>> ddpm = DDPM(MLP(dim=2), n_T=1000)
        >>> ddpm.q_sample(torch.ones(1, 2), 1000, eps=torch.zeros(1, 2))
        tensor([[0.0064, 0.0064]])
        """
        at, eps = self._at(t, x0=x0), _noise(eps, x0, generator)
        return at(self.sqrtab) * x0 + at(self.sqrtmab) * eps

    def q_posterior(self, x0: Tensor, x_t: Tensor, t: Times) -> tuple[Tensor, Tensor]:
        """Return mean and variance of q(x_{t−1} | x_t, x_0) [DDPM eq. 6 and 7].

        μ̃ = √ᾱ_{t−1} β_t / (1−ᾱ_t) · x_0 + √α_t (1−ᾱ_{t−1}) / (1−ᾱ_t) · x_t
        β̃ = (1−ᾱ_{t−1}) / (1−ᾱ_t) · β_t

        Args:
            x0: clean samples, (B, *D) float.
            x_t: noisy samples at time t, (B, *D).
            t: 1…n_T, int or (B,) int64.

        Returns:
            The mean μ̃, (B, *D), and the variance β̃, (B, 1, …). At t = 1 they are x_0
            and 0.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong or t is out of range.
        """
        at, before = self._at(t, x_t=x_t), self._at(t, shift=-1, x_t=x_t)
        _validate.floats("x0", x0, x_t.shape)
        one_minus = at(self.sqrtmab) ** 2
        of_x0 = before(self.sqrtab) * at(self.betas) / one_minus
        of_x_t = at(self.alphas).sqrt() * before(self.sqrtmab) ** 2 / one_minus
        return of_x0 * x0 + of_x_t * x_t, at(self.posterior_variances)

    # --- the loss --------------------------------------------------------------------

    def forward(self, x: Tensor, c: Labels = None, *, generator: Rng = None) -> Tensor:
        """Return the training loss of a batch [DDPM Algorithm 1, eq. 14].

        Draws, in this order: t uniform on 1…n_T inclusive, ε standard normal, and a
        context mask in which each label is dropped (1) with probability drop_prob.

        Args:
            x: clean samples x_0, (B, *D) float.
            c: labels, (B,) int64; None trains without labels.
            generator: source of the three draws.

        Returns:
            The mean of (ε − ε_θ(x_t, t))² over samples and dimensions, a scalar.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong or a label is out of range.
        """
        t, eps, mask = self.draw(x, generator)
        return self.losses(x, t, c, eps=eps, context_mask=mask).mean()

    def draw(self, x: Tensor, generator: Rng = None) -> tuple[Tensor, Tensor, Tensor]:
        """Make the random draws of one training step [DDPM Algorithm 1].

        Args:
            x: clean samples, (B, *D) float.
            generator: source of the draws, in the order of the results.

        Returns:
            t, (B,) int64, uniform on 1…n_T; ε, of x's shape; and the context mask, (B,)
            float, 1 (dropped) with probability drop_prob.

        Raises:
            TypeError: if x is no float tensor.
            ValueError: if x is a single number, or on another device than the model.
        """
        n = _validate.batch("x", x, self.device)
        t = torch.randint(1, self.n_T + 1, (n,), **source(generator, x))
        eps = randn(x.shape, x, generator)
        chances = torch.full((n,), self.drop_prob, dtype=torch.float32, device=t.device)
        mask = chances.bernoulli(generator=generator)
        return t.to(x.device), eps, mask.to(x.device)

    def losses(
        self, x0: Tensor, t: Times, c: Labels = None, *, eps: Tensor | None = None,
        context_mask: Tensor | None = None, generator: Rng = None,
    ) -> Tensor:  # fmt: skip
        """Return each sample's loss at chosen times [DDPM eq. 14].

        Args:
            x0: clean samples, (B, *D) float.
            t: 1…n_T, int or (B,) int64.
            c: labels, (B,) int64; None hides them all.
            eps: the noise ε, of x0's shape; None draws it.
            context_mask: (B,) float, 1 = dropped; None keeps every label.
            generator: source of the noise.

        Returns:
            The mean of (ε − ε_θ(x_t, t))² over the dimensions of each sample, (B,);
            with another `prediction`, the same of x_0 or v in place of ε.

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong, t or a label is out of range, or there is
                no sample.
        """
        at, eps = self._at(t, x0=x0), _noise(eps, x0, generator)
        answer = self._network(self.q_sample(x0, t, eps), t, c, context_mask)
        target = eps if self.prediction == "eps" else x0
        if self.prediction == "v":
            target = at(self.sqrtab) * eps - at(self.sqrtmab) * x0
        return (target - answer).square().flatten(1).mean(dim=1)

    # --- the reverse process p -------------------------------------------------------

    def predict_eps(
        self, x_t: Tensor, t: Times, c: Labels = None, w: float = 0.0
    ) -> Tensor:
        """Predict the noise in x_t, guided towards the labels [CFG eq. 6].

        ε̃ = (1 + w) ε_θ(x_t, t, c) − w ε_θ(x_t, t, no label)

        Args:
            x_t: noisy samples, (B, *D) float.
            t: 1…n_T, int or (B,) int64.
            c: labels, (B,) int64; None predicts without labels.
            w: guidance weight; 0 is the plain conditional prediction, −1 the
                unconditional one. Any other than 0 doubles the batch.

        Returns:
            The predicted noise, (B, *D).

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong, t or a label is out of range, or w is not 0
                without labels.
        """
        if _validate.named("w", w) == 0:
            return self._to_eps(self._network(x_t, t, c), x_t, t)
        _validate.guided(w, c)
        n = _validate.batch("x_t", x_t, self.device)
        t = _validate.times(t, n, self.n_T, device=x_t.device)
        c = _validate.labels("c", c, n, self.n_classes)
        hidden = torch.arange(2 * n, device=x_t.device) >= n
        with_label, without = self._network(
            torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([c, c]), hidden.to(x_t)
        ).chunk(2)
        # the same for any prediction: what turns an answer into ε is linear
        return self._to_eps((1 + w) * with_label - w * without, x_t, t)

    def predict_x0(self, x_t: Tensor, t: Times, eps_hat: Tensor) -> Tensor:
        """Turn a prediction of the noise into one of x_0 [DDPM eq. 15].

        x̂_0 = (x_t − √(1−ᾱ_t) ε_θ) / √ᾱ_t

        Args:
            x_t: noisy samples, (B, *D) float.
            t: 1…n_T, int or (B,) int64.
            eps_hat: predicted noise, of x_t's shape.

        Returns:
            x̂_0, (B, *D).

        Raises:
            TypeError: if a dtype is wrong.
            ValueError: if a shape is wrong or t is out of range.
        """
        at = self._at(t, x_t=x_t)
        _validate.floats("eps_hat", eps_hat, x_t.shape)
        return (x_t - at(self.sqrtmab) * eps_hat) / at(self.sqrtab)

    p_step = samplers.p_step

    @_validate.by_name
    def sample(
        self, n_sample: int, size: tuple[int, ...], device: Device = None,
        guide_w: float = 0.0, *, c: Labels = None, generator: Rng = None,
        **options: Any,
    ) -> Tensor:  # fmt: skip
        """Draw samples, all n_T steps from pure noise [DDPM Algorithm 2].

        Args:
            n_sample: how many, at least 1.
            size: shape of one sample, such as (1, 28, 28) or (2,).
            device: where to draw x_T: the model's own device, which is what None means.
            guide_w: guidance weight w, as in `predict_eps`.
            c: labels, (n_sample,) int64; None cycles through 0…n_classes−1, or samples
                without labels where the network has no `n_classes`.
            generator: source of x_T and of every step's noise, in this order.
            **options: `variance` and `clip_x0`, as in `samplers.ancestral`.

        Returns:
            The samples, (n_sample, *size) float32.

        Raises:
            TypeError: if an argument is of the wrong type.
            ValueError: if an argument is out of range.
        """
        if c is None and self.n_classes:
            c = torch.arange(n_sample, device=self.device) % self.n_classes
        _validate.like("size", size, "shape such as (1, 28, 28)", "__iter__")
        shape = n_sample, *(_validate.integer("each of size", n, 1) for n in size)
        here = self.betas.new_empty(0, device=as_device(device or self.device))
        x_T = randn(shape, here, generator)
        options["generator"] = generator
        return samplers.sample(samplers.ancestral(self, x_T, c, w=guide_w, **options))

    # --- plumbing --------------------------------------------------------------------

    def _to_eps(self, answer: Tensor, x_t: Tensor, t: Times) -> Tensor:
        """Turn the network's answer into a prediction of the noise."""
        if self.prediction == "eps":
            return answer
        at = self._at(t, x_t=x_t)
        if self.prediction == "v":
            return at(self.sqrtmab) * x_t + at(self.sqrtab) * answer
        return (x_t - at(self.sqrtab) * answer) / at(self.sqrtmab)

    def _at(
        self, t: Times, shift: int = 0, **samples: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """Return a function that looks up a table at t + shift, as (B, 1, …).

        The samples, which say how many and where, come under their caller's name.
        """
        ((name, x),) = samples.items()
        n = _validate.batch(name, x, self.device)
        index = _validate.times(t, n, self.n_T, device=x.device) + shift
        return lambda table: table[index].view(n, *(1,) * (x.ndim - 1))

    def _network(
        self, x_t: Tensor, t: Times, c: Labels, context_mask: Tensor | None = None
    ) -> Tensor:
        """Call the network as its protocol says; no labels are all labels dropped."""
        n = _validate.batch("x_t", x_t, self.device)
        t = _validate.times(t, n, self.n_T, device=x_t.device)
        if c is None:
            c, context_mask = torch.zeros_like(t), x_t.new_ones(n)
        elif context_mask is None:
            context_mask = x_t.new_zeros(n)
        _validate.labels("c", c, n, self.n_classes, self.device)
        _validate.floats("context_mask", context_mask, (n,))
        own = getattr(self.nn_model, "schedule", None)  # that an oracle is exact for
        if isinstance(own, Schedule) and not own.betas.equal(self.schedule.betas):
            _validate.fail("schedule", f"be nn_model.schedule, {own}", self.schedule)
        x = x_t.to(dtype_of(self.nn_model, x_t))
        answer = self.nn_model(x, c, t.float() / self.n_T, context_mask)
        return _validate.floats("nn_model's output", answer, x_t.shape).to(x_t.dtype)


def _noise(eps: Tensor | None, x: Tensor, generator: Rng) -> Tensor:
    """Return the given noise, once its shape is checked, or draw some."""
    if eps is None:
        return randn(x.shape, x, generator)
    return _validate.floats("eps", eps, x.shape)
