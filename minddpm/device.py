"""Where the work is done: the device, random numbers, modes and dtypes."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Device: TypeAlias = torch.device | str | None
Rng: TypeAlias = torch.Generator | None  # None is PyTorch's global generator


def default_device() -> torch.device:
    """Return the device to work on: $MINDDPM_DEVICE, else CUDA, else MPS, else CPU.

    Returns:
        The device.

    Raises:
        ValueError: if $MINDDPM_DEVICE names a device that PyTorch does not know, or
            one that this machine does not have.
    """
    if name := os.environ.get("MINDDPM_DEVICE"):
        return as_device(name, "MINDDPM_DEVICE", "unset it to let minddpm choose")
    gpu = "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device("cuda" if torch.cuda.is_available() else gpu)


def as_device(
    device: Device, name: str = "device", cure: str = "cpu is always there"
) -> torch.device:
    """Return a device, once it is known that this machine has it.

    Args:
        device: a device or its name, such as "cuda"; None is `default_device()`.
        name: what the caller calls it, for the message of an error.
        cure: the end of that message.

    Returns:
        The device.

    Raises:
        ValueError: if PyTorch does not know it, or this machine does not have it.
    """
    if device is None:
        return default_device()
    try:
        torch.empty(0, device=device)
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        why = str(error).splitlines()[0].split(". ")[0]  # some go on for a page
        got = f"{device!r} ({why}); {cure}"
        raise ValueError(
            f"{name} must name a device of this machine, got {got}"
        ) from None
    return torch.device(device)


def source(generator: Rng, like: Tensor) -> dict[str, Any]:
    """Return where random numbers come from, as PyTorch's functions take it.

    Args:
        generator: source of randomness; None is PyTorch's global one.
        like: gives the device of that.

    Returns:
        The `device` that draws, and the `generator` if there is one: None would keep
        torch.compile from drawing for any number of samples.

    Raises:
        TypeError: if it is no generator.
    """
    if generator is None:
        return {"device": like.device}
    if not isinstance(generator, torch.Generator):
        got = f"{type(generator).__name__}; torch.Generator() makes one"
        raise TypeError(f"generator must be a Generator, got {got}")
    return {"device": generator.device, "generator": generator}


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

    Raises:
        TypeError: if the generator is none.
    """
    return draw(shape, dtype=like.dtype, **source(generator, like)).to(like.device)


def dtype_of(network: nn.Module, x: Tensor) -> torch.dtype:
    """Return the dtype that a network computes in: that of its first weights.

    Args:
        network: the network.
        x: what it is given; without weights it takes that as it is.

    Returns:
        The dtype.
    """
    for weight in network.parameters():
        if weight.is_floating_point():
            return weight.dtype
    return x.dtype


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Put a network in evaluation mode, and back each part that was in training.

    Args:
        network: the network, which may have dropout or count in a batch norm.

    Yields:
        Nothing; it is asked inside.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class Exact(nn.Module):
    """A module whose own buffers stay float32 or wider, whatever it is cast to.

    `.half()` and `.bfloat16()` are for weights. Tables, of which differences and
    quotients are taken, would keep two or three digits.

    Args:
        *args: as for `nn.Module`.
        **kwargs: as for `nn.Module`.
    """

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        held = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, table in held.items():
            if (now := getattr(self, name)).dtype.itemsize < 4:
                setattr(self, name, table.to(now.device))
        return self
