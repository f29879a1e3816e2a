"""Where the work is done: the device, and its random numbers."""

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Rng: TypeAlias = torch.Generator | None  # None is PyTorch's global generator


def default_device() -> torch.device:
    """Return the device to work on: $MINDDPM_DEVICE, else CUDA, else MPS, else CPU.

    Returns:
        The device.

    Raises:
        ValueError: if $MINDDPM_DEVICE names a device that PyTorch does not know, or
            one that this machine does not have.
    """
    name = os.environ.get("MINDDPM_DEVICE")
    if not name:
        gpu = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else gpu)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(
            "MINDDPM_DEVICE must name a device of this machine, such as cpu, got "
            f"{name!r}: {str(error).splitlines()[0]}; unset it to let minddpm choose"
        ) from None
    return torch.device(name)


def randn(
    shape: Sequence[int], like: Tensor, generator: Rng, draw: Any = torch.randn
) -> Tensor:
    """Draw standard normal noise where the generator lives, then move it to `like`.

    Args:
        shape: shape of the result.
        like: gives dtype and device.
        generator: source of randomness; None is PyTorch's global one.
        draw: what to draw in place of normal noise, such as torch.rand.

    Returns:
        Noise of that shape, with the dtype and the device of `like`.
    """
    device = like.device if generator is None else generator.device
    drawn = draw(shape, generator=generator, device=device, dtype=like.dtype)
    return drawn.to(like.device)
