"""An optimiser that turns each matrix of weights by as much in every direction.

Muon: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024,
kellerjordan.github.io/posts/muon). PyTorch has had one since 2.9, for matrices alone;
this one also takes the kernels of convolutions, and leaves all else to AdamW.
"""

from typing import Any

import torch
from torch import Tensor

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
        self.momentum = momentum

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
            for p in group["params"]:
                if p.grad is not None and is_matrix(p):
                    self._turn(p, p.grad, group["lr"])
                    p.grad = None  # which AdamW takes for "leave it alone"
        return super().step()

    def _turn(self, p: Tensor, gradient: Tensor, lr: float) -> None:
        """Move a kernel; `exp_avg` and `step` are AdamW's names for such things."""
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(p)
        state["step"] += 1
        average = state["exp_avg"].lerp_(gradient, 1 - self.momentum)
        # Nesterov's look ahead
        matrix = gradient.lerp(average, self.momentum).flatten(1)
        rows, columns = matrix.shape
        scale = 5 * max(1.0, rows / columns) ** 0.5
        p.sub_(orthogonal(matrix).view(p.shape), alpha=lr * scale)


def is_matrix(p: Tensor) -> bool:
    """Return whether Muon takes a parameter: a kernel with channels enough.

    Args:
        p: the parameter.

    Returns:
        True for a kernel (out, in, height, width) with 16 channels or more in and out.
    """
    return p.ndim == 4 and min(p.shape[:2]) >= _LEAST


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return about U Vᵀ, where U S Vᵀ is a matrix's singular value decomposition.

    Args:
        matrix: (rows, columns) float.
        iterations: of Newton and Schulz; five bring all but the smallest singular
            values to between 0.7 and 1.2.

    Returns:
        The matrix with its singular values near 1, of the same shape.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    # a step multiplies x by a polynomial of x xᵀ: so only that, which is square and
    # small, goes through the steps, and x is multiplied once
    square = x @ x.T
    product = torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(iterations):
        factor = torch.addmm(square, square, square, beta=_B, alpha=_C)
        factor.diagonal().add_(_A)
        product = factor @ product
        square = factor @ square @ factor
    x = product @ x
    return x.T if tall else x
