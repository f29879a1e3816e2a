"""An optimiser that turns each matrix of weights by as much in every direction.

Muon: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024,
kellerjordan.github.io/posts/muon). PyTorch has had one since 2.9, for matrices alone;
this one also takes the kernels of convolutions, and leaves all else to AdamW.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minddpm import train

# x ↦ a x + b x³ + c x⁵, over and over, drives singular values in (0, 1] to about 1
_A, _B, _C = 3.4445, -4.7750, 2.0315
_LEAST = 16  # rows and columns below which a kernel is no matrix worth the name


class Muon(torch.optim.AdamW):
    """Muon for the kernels of convolutions, AdamW for all other parameters.

    The step of a kernel is its averaged gradient, seen as a matrix of one row an output
    channel, with all its singular values made 1: W ← W − 5 lr √max(1, rows/columns) O.
    Rare directions, in which gradients are small, so get as long a step as common ones.

    Args:
        params: the parameters.
        lr: learning rate of AdamW; that of the kernels is five times as large.
        momentum: share of its past that a kernel's averaged gradient keeps.
        **options: as for `torch.optim.AdamW`.
    """

    def __init__(
        self, params: Any, lr: float = 3e-3, *, momentum: float = 0.95, **options: Any
    ) -> None:
        super().__init__(params, lr=lr, **options)
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step.

        Args:
            closure: None, as the gradients are needed as they are.

        Returns:
            None.

        Raises:
            ValueError: if there is a closure.
        """
        if closure is not None:
            raise ValueError("closure must be None: compute the gradients before")
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            kernels = [p for p in params if is_matrix(p)]
            keep = group["momentum"]
            turned = orthogonal([self._look_ahead(p, p.grad, keep) for p in kernels])
            for p, step in zip(kernels, turned, strict=True):
                rows, columns = step.shape
                scale = 5 * max(1.0, rows / columns) ** 0.5
                p.sub_(step.view(p.shape), alpha=group["lr"] * scale)
                p.grad = None  # which AdamW takes for "leave it alone"
        return super().step()

    def _look_ahead(self, p: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Return a kernel's averaged gradient, a step ahead as Nesterov's, as a matrix.

        It is kept under AdamW's names for such things, `exp_avg` and `step`.
        """
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(p)
        state["step"] += 1
        average = state["exp_avg"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum).flatten(1)


def is_matrix(p: Tensor) -> bool:
    """Return whether Muon takes a parameter: a kernel with channels enough.

    Args:
        p: the parameter.

    Returns:
        True for a kernel (out, in, height, width) with 16 channels or more in and out.
    """
    return p.ndim == 4 and min(p.shape[:2]) >= _LEAST


def orthogonal(matrices: list[Tensor], iterations: int = 5) -> list[Tensor]:
    """Return about U Vᵀ for each matrix, whose singular value decomposition is U S Vᵀ.

    Args:
        matrices: each (rows, columns) float.
        iterations: of Newton and Schulz; five bring all but the smallest singular
            values to between 0.7 and 1.2.

    Returns:
        The matrices with their singular values near 1, each of the same shape.
    """
    wide = [m.T if m.shape[0] > m.shape[1] else m for m in matrices]
    wide = [x / (x.norm() + 1e-7) for x in wide]
    # a step multiplies x by a polynomial of x xᵀ: so only that, which is square and
    # small, goes through the steps, all of a size at once, and x is multiplied once
    turned = dict[int, Tensor]()
    for size in sorted({len(x) for x in wide}):
        which = [k for k, x in enumerate(wide) if len(x) == size]
        square = torch.stack([wide[k] @ wide[k].T for k in which])
        factors: list[Tensor] = []
        for k in range(iterations):
            square = square if k == 0 else factors[-1] @ square @ factors[-1]
            factor = torch.baddbmm(square, square, square, beta=_B, alpha=_C)
            factor.diagonal(dim1=1, dim2=2).add_(_A)
            factors.append(factor)
        product = functools.reduce(torch.matmul, factors)
        turned |= {k: product[i] @ wide[k] for i, k in enumerate(which)}
    pairs = enumerate(matrices)
    return [turned[k].T if m.shape[0] > m.shape[1] else turned[k] for k, m in pairs]


OPTIMISERS = {"AdamW": torch.optim.AdamW, "Muon": Muon}  # by the name in a file
train.OPTIMISERS["muon"] = Muon  # by the name in TrainConfig
_KEPT = ("lr", "betas", "eps", "weight_decay", "fused", "momentum")


def describe(ddpm: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Return all that makes an optimiser of a model, but for its moments, as JSON.

    Args:
        ddpm: the model.
        optimiser: one of OPTIMISERS.

    Returns:
        The arguments of `rebuild`.

    Raises:
        TypeError: if it is another one.
        ValueError: if `rebuild` would not make the same one from them.
    """
    kind = type(optimiser).__name__
    if type(optimiser) is not OPTIMISERS.get(kind):
        known = ", ".join(OPTIMISERS)
        raise TypeError(f"optimiser must be one of {known} to be kept, got {kind}")
    group, *others = optimiser.param_groups
    if others or list(map(id, group["params"])) != list(map(id, ddpm.parameters())):
        raise ValueError(
            "optimiser must have one group, ddpm.parameters(), to be kept, got "
            f"{len(others) + 1} of {[len(g['params']) for g in (group, *others)]}"
        )
    for name in ("amsgrad", "maximize"):
        if group[name]:
            raise ValueError(f"{name} must be False for optimiser to be kept, got True")
    return {"kind": kind} | {name: group[name] for name in _KEPT if name in group}


def rebuild(
    ddpm: nn.Module,
    kind: str,
    lr: float,
    *,
    betas: Sequence[float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    fused: bool | None = True,
    **options: Any,
) -> torch.optim.Optimizer:
    """Make an optimiser of all parameters of a model.

    Args:
        ddpm: the model.
        kind: a name of OPTIMISERS.
        lr: learning rate, which `train` will set anew at each step.
        betas: AdamW's two decay rates.
        weight_decay: AdamW's; Muon's kernels have none.
        fused: take AdamW's step for all parameters in one call, where PyTorch can.
        **options: `eps`, and Muon's `momentum`.

    Returns:
        The optimiser.

    Raises:
        KeyError: if there is none of that name.
    """
    device = next(ddpm.parameters()).device
    options |= {"betas": tuple(betas), "weight_decay": weight_decay}
    options["fused"] = bool(fused) and device.type in ("cpu", "cuda")
    return OPTIMISERS[kind](ddpm.parameters(), lr=lr, **options)
