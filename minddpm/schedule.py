"""Noise schedules: the β, α and ᾱ tables that everything else looks up.

Tables have T+1 entries. Entry 0 means "no noise", so `alpha_bars[t]` is ᾱ_t as printed
in DDPM (Ho, Jain & Abbeel 2020, arXiv 2006.11239) and `alpha_bars[t - 1]` is ᾱ_{t−1},
with no index to shift by hand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minddpm import _validate

# the least β, of which float64 keeps four digits beside 1, and ᾱ, below which float32
# loses some
LEAST, TINY = 1e-12, torch.finfo(torch.float32).tiny


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """How much noise each of T steps adds [DDPM eq. 2 and 4].

    Made by `linear`, `cosine`, `sigmoid` or `from_betas`, never by calling the class.
    All tables are float32 on the CPU, of shape (T+1,), computed in float64 and rounded
    once. They are shared, not copied: do not write into them.

    Attributes:
        betas: β_t, the variance that step t adds; β_0 = 0.
        alphas: α_t = 1 − β_t; α_0 = 1.
        alpha_bars: ᾱ_t = α_1 α_2 … α_t, the share of x_0's variance left; ᾱ_0 = 1.
        sqrt_alpha_bars: √ᾱ_t, the factor of x_0 in x_t.
        sqrt_one_minus_alpha_bars: √(1−ᾱ_t), the standard deviation of the noise in x_t.
        posterior_variances: β̃_t = β_t (1−ᾱ_{t−1}) / (1−ᾱ_t) [DDPM eq. 7]; β̃_0 = 0.
        snr: signal-to-noise ratio ᾱ_t / (1−ᾱ_t); infinite at t = 0.

    >>> schedule = Schedule.linear(T=1000)
    >>> schedule
    Schedule(T=1000, β 0.0001…0.02, √ᾱ_T = 0.0064)
    >>> float(schedule.alpha_bars[0])
    1.0
    """

    betas: Tensor
    alphas: Tensor
    alpha_bars: Tensor
    sqrt_alpha_bars: Tensor
    sqrt_one_minus_alpha_bars: Tensor
    posterior_variances: Tensor
    snr: Tensor

    @property
    def T(self) -> int:
        """The number of steps."""
        return len(self.betas) - 1

    def tables(self) -> dict[str, Tensor]:
        """Return every table by its name; each is (T+1,) float32."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        first, last = float(self.betas[1]), float(self.betas[-1])
        signal = float(self.sqrt_alpha_bars[-1])
        return f"Schedule(T={self.T}, β {first:.3g}…{last:.3g}, √ᾱ_T = {signal:.2g})"

    @classmethod
    def from_betas(cls, betas: Sequence[float] | np.ndarray | Tensor) -> "Schedule":
        """Build all tables from the variances β_1…β_T of the T steps [DDPM eq. 2].

        Args:
            betas: (T,) numbers in [1e-12, 1). Note the shape: β_0 is not among them.

        Returns:
            The schedule, with tables of T+1 entries.

        Raises:
            ValueError: if `betas` is empty, not 1-D, or has an entry out of range, or
                if ᾱ_T is less than the least number that float32 holds, 1.2e-38.
        """
        return cls._from_betas(betas, "betas")

    @classmethod
    def _from_betas(cls, betas: Any, names: str) -> "Schedule":
        """Build all tables; if they do not fit, `names` are to blame."""
        beta = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
        if beta.ndim != 1 or len(beta) == 0:
            _validate.fail("the shape of betas", "be (T,), T > 0", tuple(beta.shape))
        beta = F.pad(beta, (1, 0))
        alpha_bar = torch.cumprod(1 - beta, dim=0)
        fits = (beta >= LEAST) & (beta < 1) & (alpha_bar >= TINY)  # no NaN does
        if not fits[1:].all():
            t = int(fits[1:].logical_not().nonzero()[0]) + 1
            got = f"β_{t} = {beta[t]:g} and ᾱ_{t} = {alpha_bar[t]:.3g}"
            rule = f"give β in [{LEAST:g}, 1) and ᾱ of at least {TINY:.1e}"
            cure = "β = 0 adds no noise; fewer steps or smaller betas leave some signal"
            _validate.fail(names, rule, got, cure)
        rest = 1 - alpha_bar  # rolled by 1, entry t is that of t − 1
        posterior = torch.where(rest > 0, beta * rest.roll(1) / rest, 0.0)
        roots, snr = (alpha_bar.sqrt(), rest.sqrt()), alpha_bar / rest
        exact = beta, 1 - beta, alpha_bar, *roots, posterior, snr
        return cls(*(table.float() for table in exact))

    @classmethod
    @_validate.by_name
    def linear(
        cls, T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02,
        rescale: bool = False,
    ) -> "Schedule":  # fmt: skip
        """β_t grows linearly from β_1 to β_T [DDPM sec. 4].

        Args:
            T: number of steps, at least 1.
            beta_1: variance of the first step, in (0, beta_T).
            beta_T: variance of the last step, in (beta_1, 1).
            rescale: multiply both ends by 1000/T, so that the total noise hardly
                depends on T. Without it a small T ends far from pure noise.

        Returns:
            The schedule; with T = 1 its only entry is β_1.

        Raises:
            ValueError: unless 0 < beta_1 < beta_T < 1, after rescaling too; or if ᾱ_T
                vanishes, as with T = 20,000.
        """
        factor = 1000 / T if rescale else 1.0
        top = min(1.0, 1 / factor)  # whatever the factor, they are variances
        if not 0 < beta_1 < beta_T < top:
            rule = f"satisfy 0 < beta_1 < beta_T < {top:g}"
            rule += " = T/1000, for they are rescaled" * (top < 1)
            cure = "any other course is Schedule.from_betas, of few steps .cosine"
            _validate.fail("beta_1 and beta_T", rule, f"{beta_1} and {beta_T}", cure)
        betas = np.linspace(beta_1 * factor, beta_T * factor, T)
        return cls._from_betas(betas, f"T = {T}, beta_1 = {beta_1}, beta_T = {beta_T}")

    @classmethod
    @_validate.by_name
    def cosine(
        cls, T: int = 1000, s: float = 0.008, max_beta: float = 0.999
    ) -> "Schedule":
        """ᾱ_t follows a squared cosine, gentle at both ends [iDDPM eq. 17].

        ᾱ_t = f(t) / f(0) with f(t) = cos²((t/T + s) / (1 + s) · π/2), and β_t cut off
        at max_beta.

        Args:
            T: number of steps, at least 1.
            s: offset, at least 0; keeps β_1 from being vanishingly small.
            max_beta: the largest β_t, in (0, 1).

        Returns:
            The schedule.

        Raises:
            ValueError: if an argument is outside its range.
        """
        return cls._from_alpha_bar(
            lambda u: np.cos((u + s) / (1 + s) * math.pi / 2) ** 2,
            T,
            max_beta,
            f"s = {s}",
        )

    @classmethod
    @_validate.by_name
    def sigmoid(
        cls, T: int = 1000, start: float = -3.0, end: float = 3.0, tau: float = 1.0,
        max_beta: float = 0.999,
    ) -> "Schedule":  # fmt: skip
        """ᾱ_t follows a falling sigmoid, steepest in the middle (arXiv 2301.10972).

        ᾱ_t = (g(1) − g(t/T)) / (g(1) − g(0)), g(u) = 1 / (1 + exp(−(start
        + u (end − start)) / τ)), and β_t cut off at max_beta.

        Args:
            T: number of steps, at least 1.
            start: where on the sigmoid t = 0 lies, less than `end`.
            end: where on the sigmoid t = T lies.
            tau: temperature, positive; a small one makes the fall steeper.
            max_beta: the largest β_t, in (0, 1).

        Returns:
            The schedule.

        Raises:
            ValueError: if an argument is outside its range.
        """
        if not start < end:
            _validate.fail("start", "be less than end", f"{start} and {end}")

        def g(u: np.ndarray | float) -> np.ndarray:
            return 1 / (1 + np.exp(-(start + u * (end - start)) / tau))

        return cls._from_alpha_bar(
            lambda u: (g(1.0) - g(u)) / (g(1.0) - g(0.0)),
            T, max_beta, f"start = {start}, end = {end}, tau = {tau}",
        )  # fmt: skip

    @classmethod
    def _from_alpha_bar(
        cls, alpha_bar: Any, T: int, max_beta: float, names: str
    ) -> "Schedule":
        """Build the schedule with ᾱ_t = alpha_bar(t/T), as far as max_beta allows."""
        with np.errstate(all="ignore"):  # what comes of it is refused by its names
            curve = alpha_bar(np.arange(T + 1) / T)
            betas = np.minimum(1 - curve[1:] / curve[:-1], max_beta)
        return cls._from_betas(betas, f"T = {T}, max_beta = {max_beta}, {names}")


def ddpm_schedules(beta1: float, beta2: float, T: int) -> dict[str, Tensor]:
    """Return the linear schedule's tables under the short names of many tutorials.

    They differ from those tutorials in one point: entry 0 is "no noise", where theirs
    holds β_1 and shifts every ᾱ_t by one factor.

    Args:
        beta1: β_1, in (0, beta2).
        beta2: β_T, in (beta1, 1).
        T: number of steps, at least 1.

    Returns:
        `alpha_t` α_t, `oneover_sqrta` 1/√α_t, `sqrt_beta_t` √β_t, `alphabar_t` ᾱ_t,
        `sqrtab` √ᾱ_t (scales the image), `sqrtmab` √(1−ᾱ_t) (scales the noise) and
        `mab_over_sqrtmab` (1−α_t)/√(1−ᾱ_t); each (T+1,) float32.

    Raises:
        ValueError: unless 0 < beta1 < beta2 < 1 and T ≥ 1.

    >>> tables = ddpm_schedules(1e-4, 0.02, 1000)
    >>> float(tables["sqrtab"][0]), float(tables["sqrtmab"][0])
    (1.0, 0.0)
    """
    return short_names(Schedule.linear(T, beta1, beta2))


def short_names(schedule: Schedule) -> dict[str, Tensor]:
    """Return a schedule's tables under the short names of `ddpm_schedules`.

    Args:
        schedule: any schedule.

    Returns:
        The seven tables, each (T+1,) float32; see `ddpm_schedules`.
    """
    beta, noise = schedule.betas, schedule.sqrt_one_minus_alpha_bars
    return {
        "alpha_t": schedule.alphas,
        "oneover_sqrta": schedule.alphas.rsqrt(),
        "sqrt_beta_t": beta.sqrt(),
        "alphabar_t": schedule.alpha_bars,
        "sqrtab": schedule.sqrt_alpha_bars,
        "sqrtmab": noise,
        "mab_over_sqrtmab": torch.where(beta > 0, beta / noise, beta),
    }
