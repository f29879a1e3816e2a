"""Where the work is done: the device, its random numbers, and how many share it."""

import os
from typing import TypeAlias

import torch
import torch.distributed as dist
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
        if torch.cuda.is_available():
            return torch.device("cuda")
        mps = torch.backends.mps.is_available()
        return torch.device("mps" if mps else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(
            "MINDDPM_DEVICE must name a device of this machine, such as cpu, cuda or "
            f"mps, got {name!r}: {str(error).splitlines()[0]}; unset it to let minddpm "
            "choose"
        ) from None
    return torch.device(name)


def has_bf16(device: torch.device) -> bool:
    """Return whether a device has units that multiply matrices in bfloat16.

    Args:
        device: where to compute.

    Returns:
        True for a GPU that knows the format, and for a CPU with AMX.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def randn(shape: torch.Size, like: Tensor, generator: Rng) -> Tensor:
    """Draw standard normal noise where the generator lives, then move it to `like`.

    Args:
        shape: shape of the result.
        like: gives dtype and device.
        generator: source of randomness; None is PyTorch's global one.

    Returns:
        Noise of that shape, with the dtype and the device of `like`.
    """
    device = like.device if generator is None else generator.device
    noise = torch.randn(shape, generator=generator, device=device, dtype=like.dtype)
    return noise.to(like.device)


def place() -> tuple[int, int]:
    """Return which of how many processes this is.

    Returns:
        The rank, from 0, and the number of processes; (0, 1) without torch.distributed.
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def over_processes(value: Tensor, world: int) -> Tensor:
    """Return the mean over all processes.

    Args:
        value: this process's value, any shape; replaced in place.
        world: number of processes.

    Returns:
        The mean, the same on each of them.
    """
    if world > 1:
        dist.all_reduce(value)
        value /= world
    return value
