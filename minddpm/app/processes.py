"""What is wrapped around a training: several processes, bfloat16, compilation.

Under torchrun each process draws the whole batch and works on its share of it;
gradients, losses and the clock are averaged, so all of them go on as one.
"""

import inspect
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minddpm import _validate
from minddpm.ddpm import DDPM
from minddpm.device import as_device
from minddpm.train import LossOf


def place() -> tuple[int, int]:
    """Return which of how many processes this is.

    Returns:
        The rank, from 0, and the number of processes; (0, 1) without torch.distributed.
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def agree(value: float) -> float:
    """Return the mean over all processes; infinity if one of them says so.

    Args:
        value: this process's.

    Returns:
        The mean, the same on each of them.
    """
    if place()[1] == 1:
        return value
    gpu = dist.get_backend() == "nccl"
    return float(_mean(torch.tensor(value, device="cuda" if gpu else "cpu")))


def share(size: int) -> slice:
    """Return which samples of a batch are this process's.

    Args:
        size: how many there are, over all processes.

    Returns:
        Its own part of them.

    Raises:
        ValueError: if the processes' parts would not be of one size.
    """
    rank, world = place()
    if size % world:
        rule = f"be a multiple of the {world} processes"
        _validate.fail("batch_size", rule, size)
    return slice(rank * size // world, (rank + 1) * size // world)


def _mean(value: Tensor) -> Tensor:
    """Return the mean over all processes; the tensor is replaced in place."""
    dist.all_reduce(value)
    return value.div_(dist.get_world_size())


class _Loss(nn.Module):
    """The loss of a batch and its draws, as one call for wrappers to see."""

    def __init__(self, ddpm: DDPM) -> None:
        super().__init__()
        self.ddpm = ddpm

    def forward(
        self, x0: Tensor, t: Tensor, c: Tensor | None, eps: Tensor, mask: Tensor
    ) -> Tensor:
        return self.ddpm.losses(x0, t, c, eps=eps, context_mask=mask).mean()


def batch_loss(
    ddpm: DDPM,
    generator: torch.Generator,
    *,
    time_power: float = 1.0,
    bf16: bool = False,
    compiled: bool = False,
) -> LossOf:
    """Return what `train` takes for `loss_of`.

    Args:
        ddpm: the model.
        generator: source of the times, if time_power is not 1.
        time_power: times are drawn as T u^time_power, rounded up, u uniform on (0, 1]:
            1 is Algorithm 1 and its uniform times; 0.5 draws t in proportion to 2t − 1,
            as a sampler of few steps, which are late ones, needs it. Positive.
        bf16: let the network compute in bfloat16 where PyTorch holds that safe. It
            pays on GPUs and on CPUs with matrix units for it (`has_bf16`), and is slow
            elsewhere.
        compiled: let torch.compile make the network's kernels, which takes a minute and
            needs a C++ compiler on the CPU.

    Returns:
        A function of (x0, t, c, eps, context_mask), the loss of a batch. On several
        processes it has the value of the whole batch, and the gradient of a share that
        backward averages.

    Raises:
        TypeError: if time_power is no number.
        ValueError: if it is not positive.
    """
    _validate.positive("time_power", time_power)
    world = place()[1]
    module: Any = _Loss(ddpm)
    if world > 1:
        # the tables never change: nothing to send at each step. PyTorch renamed it
        names = ("forward_sync_buffers", "broadcast_buffers")
        known = inspect.signature(DistributedDataParallel).parameters
        never: dict[str, Any] = {next(n for n in names if n in known): False}
        module = DistributedDataParallel(module, **never)
    if compiled:
        module = torch.compile(module)

    def loss_of(
        x0: Tensor, t: Tensor, c: Tensor | None, eps: Tensor, mask: Tensor
    ) -> Tensor:
        if time_power != 1:
            t = _spread(t, ddpm.n_T, time_power, generator)
        mine = share(len(x0))
        c = None if c is None else c[mine]
        with torch.autocast(ddpm.device.type, torch.bfloat16, enabled=bf16):
            loss: Tensor = module(x0[mine], t[mine], c, eps[mine], mask[mine])
        if world == 1:
            return loss
        return loss + (_mean(loss.detach().clone()) - loss.detach())

    return loss_of


def _spread(t: Tensor, T: int, power: float, generator: torch.Generator) -> Tensor:
    """Return times spread as T u^power, from uniform ones."""
    below = torch.rand(t.shape, generator=generator, device=generator.device)
    u = (t - below.to(t.device)) / T  # uniform on (0, 1], where t alone has gaps
    return (T * u**power).ceil().long().clamp(min=1)  # u^power may underflow


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


@contextmanager
def joined(device: torch.device | str | None) -> Iterator[torch.device]:
    """Join the other processes where torchrun started us, and leave with them.

    Args:
        device: where to compute; None is `default_device()`.

    Yields:
        The device to use: on GPUs each process has one of its own.
    """
    where = as_device(device)
    told = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"}
    if not told <= os.environ.keys() or dist.is_initialized():
        yield where
        return
    gpu = where.type == "cuda"
    if gpu:
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    # a process that waits longer than this for another one gives up
    dist.init_process_group("nccl" if gpu else "gloo", timeout=timedelta(seconds=60))
    try:
        yield where
        dist.barrier()  # or the first to leave would cut off the others
    finally:
        dist.destroy_process_group()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; the lock dies with its process.

    Args:
        folder: the folder, which is made if need be.

    Yields:
        Nothing; the training goes inside.

    Raises:
        RuntimeError: if another training is at work there.
        OSError: if it cannot be written to.
    """
    from filelock import FileLock, Timeout

    if place()[0]:
        yield
        return
    lock = FileLock(folder / "lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise RuntimeError(
            f"another training is at work in {folder}: wait for its end, or name "
            "another folder"
        ) from None
    except OSError as error:
        says = f"{error.strerror}; name a folder that can be written to"
        raise type(error)(error.errno, says, str(folder)) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def terminable() -> Iterator[None]:
    """Let a polite kill end the run as Ctrl-C does: with everything saved.

    Yields:
        Nothing; the training goes inside.
    """
    if threading.current_thread() is not threading.main_thread():  # gets no signals
        yield
        return

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
