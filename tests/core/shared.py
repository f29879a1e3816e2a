"""What tests of the core share: seeds, and networks that answer what a test says."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Answer: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    """Return random numbers of a test's own."""
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Draw normal noise with a seed of its own."""
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


class Net(torch.nn.Module):
    """Follows the network protocol with a function, and remembers what it was asked.

    Attributes:
        calls: the arguments x_t, c, t and context_mask of each call.
        weight: its one parameter, 1, which the answer may use or not.
    """

    def __init__(self, answer: Answer, n_classes: int = 0) -> None:
        super().__init__()
        self.answer, self.n_classes = answer, n_classes
        self.calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x_t: Tensor, c: Tensor, t: Tensor, context_mask: Tensor):
        """Answer what the function says, times the weight."""
        self.calls.append((x_t, c, t, context_mask))
        return self.weight * self.answer(x_t, c, t, context_mask)
