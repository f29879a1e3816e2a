"""Models and trainings in files that rebuild themselves.

A file is in the safetensors format: tensors, and in its header one JSON text that says
what they are, with a checksum over both. Nothing in it is ever executed. Writing is
atomic: the old file is whole until the new one is complete.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minddpm import _validate
from minddpm.app import muon
from minddpm.app.writing import plain
from minddpm.app.writing import replace as replace
from minddpm.ddpm import DDPM
from minddpm.device import Device, as_device
from minddpm.nets import MLP, UNet
from minddpm.schedule import Schedule
from minddpm.train import History, TrainConfig

VERSION = 2
_READABLE = (1, 2)  # version 1 had the optimiser among the settings
SHIPPED = Path(__file__).parents[1] / "weights"

_ENDS = ("running", "steps", "time", "interrupted")
_NETWORKS = {"MLP": MLP, "UNet": UNet}
_CURE = "take another copy, or an earlier checkpoint"


def save(path: str | Path, ddpm: DDPM, **about: Any) -> None:
    """Write a model to one file, from which `load` rebuilds it.

    Args:
        path: the file; its folder must exist.
        ddpm: the model, around an `MLP` or a `UNet`.
        **about: what else to keep in the header, as JSON: data set, command, ….
            Numbers and arrays of NumPy and tensors are kept as numbers and lists.

    Raises:
        TypeError: if the network is another one, or what is told about it is no JSON.
        ValueError: if its weights are of several dtypes.
        OSError: if the file cannot be written; one that was there is still whole.
    """
    write(path, pack(ddpm), {"model": describe(ddpm), "about": plain(about)})


def load(name: str | Path, device: Device = None) -> DDPM:
    """Rebuild a model from a file, or from the name of shipped weights.

    Args:
        name: the path of a file written by `save`, the folder of a training run, or a
            name of weights that come with minddpm ("mnist"). Where the present folder
            holds one's own weights of that name, "./mnist" says that they are meant.
        device: where to put the model; None is the CPU.

    Returns:
        The model, in evaluation mode and in the dtype in which it was saved.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged, or none of ours, the name has two meanings,
            or this machine has no such device.
    """
    path = find(name)
    return unpack(path, *read(path), device)


def find(name: str | Path) -> Path:
    """Return the file that `load` means by a name.

    Args:
        name: a name of shipped weights, a file, or the folder of a training run.

    Returns:
        The path of an existing file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the name is that of shipped weights and of weights made here.
    """
    path = Path(name)
    if path.is_dir():
        path /= "model.safetensors"
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.safetensors"))}
    if (known := shipped.get(str(name))) and path.is_file():
        raise ValueError(
            f"{name} names {path} in this folder and weights that come with minddpm; "
            f"say .{os.sep}{path} or {known}"
        )
    if known:
        return known
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path}; name a file, the folder of a training run, or one "
            f"of those that come with minddpm: {', '.join(shipped) or 'none'}"
        )
    return path


# --- trainings ------------------------------------------------------------------------


def save_checkpoint(
    path: str | Path, ddpm: DDPM, history: History, **about: Any
) -> None:
    """Write a model in training and all it needs to go on to one file.

    Args:
        path: the file; its folder must exist.
        ddpm: the model, around an `MLP` or a `UNet`.
        history: what `train` returned, or handed to its callback.
        **about: what else to keep in the header, as in `save`.

    Raises:
        TypeError: if the network is another one, or the optimiser neither AdamW nor
            `Muon`.
        ValueError: if the optimiser is not of all parameters, or one could not be
            rebuilt with its options.
        OSError: if the file cannot be written; one that was there is still whole.
    """
    moments = history.optimiser.state_dict()
    tensors = pack(ddpm) | {
        "losses": history.losses,
        "queue": history.queue,
        "generator": history.generator.get_state(),
    }
    tensors |= {f"shadow.{k}": v for k, v in enumerate(history.ema.shadow)}
    tensors |= {
        f"moments.{k}.{name}": value
        for k, values in moments["state"].items()
        for name, value in values.items()
    }
    header = {
        "model": describe(ddpm),
        "about": plain(about),
        "config": asdict(history.config),
        "optimiser": muon.describe(ddpm, history.optimiser),
        "seconds": history.seconds,
        "stopped": history.stopped,
        "updates": history.ema.updates,
        "swapped": history.ema.swapped,
    }
    write(path, tensors, header)


def load_checkpoint(path: str | Path, device: Device = None) -> tuple[DDPM, History]:
    """Read what `save_checkpoint` wrote.

    Args:
        path: the file.
        device: where to go on; the kind of device on which it was written. None is
            the CPU.

    Returns:
        The model, with the weights that it held then, and the history to hand to
        `train(…, resume=history)`.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged, or holds no training, or this machine has no such
            device.
    """
    tensors, header = read(path)
    if "config" not in header:
        raise ValueError(
            f"{path} holds a model without its training; minddpm.load reads it"
        )
    ddpm = unpack(path, tensors, header, device)
    with fitting(path):
        return ddpm, _restore(ddpm, tensors, header)


def _restore(ddpm: DDPM, tensors: dict[str, Tensor], header: dict[str, Any]) -> History:
    """Return the history that the parts of a file make."""
    optimiser = muon.rebuild(ddpm, **header["optimiser"])
    history = History(ddpm, TrainConfig(**header["config"]), optimiser)
    ema, moments = history.ema, optimiser.state_dict()
    for k, (shadow, live) in enumerate(zip(ema.shadow, ddpm.parameters(), strict=True)):
        shadow.copy_(checked(tensors, f"shadow.{k}", shadow))
        kept = part(tensors, f"moments.{k}.")
        if kept:  # laid out in memory as the parameter is, which fused steps rely on
            step = torch.zeros((), dtype=torch.float32)
            likes = {"step": step, "exp_avg": live, "exp_avg_sq": live}
            if isinstance(optimiser, muon.Muon) and muon.is_matrix(live):
                del likes["exp_avg_sq"]
            moments["state"][k] = {
                name: torch.empty_like(like).copy_(checked(kept, name, like))
                for name, like in likes.items()
            }
    optimiser.load_state_dict(moments)
    ema.updates = _validate.integer("updates", header["updates"], 0)
    ema.swapped = _validate.instance("swapped", header["swapped"], bool)
    history.seconds = _validate.real("seconds", header["seconds"], 0.0, math.inf)
    history.stopped = _validate.choice("stopped", header["stopped"], _ENDS)
    for name, like in (("losses", history.losses), ("queue", history.queue)):
        checked(tensors, name, like.new_empty(tensors[name].numel()))
    history.take_up(tensors["losses"], tensors["queue"])
    state = history.generator.get_state()
    history.generator.set_state(checked(tensors, "generator", state))
    return history


def _as_today(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header with what version 1 kept among the settings in today's place."""
    if header["version"] == 1 and "config" in header:
        config = header["config"]
        kind = {"adamw": "AdamW", "muon": "Muon"}[config["optimiser"]]
        options = {"betas": config.pop("adam_betas")}
        options["weight_decay"] = config.pop("weight_decay")
        header["optimiser"] = {"kind": kind, "lr": config["lr"], **options}
        for name in ("time_power", "bf16", "compile"):
            header["about"][name] = config.pop(name)
    return header


# --- what a model is made of ----------------------------------------------------------


def describe(ddpm: DDPM) -> dict[str, Any]:
    """Return all that makes a model, but for its tensors, as JSON.

    Args:
        ddpm: the model, around an `MLP` or a `UNet`.

    Returns:
        Network, its arguments, and the arguments of `DDPM`.

    Raises:
        TypeError: if the network is another one.
    """
    net: Any = _as_made(_validate.instance("ddpm", _as_made(ddpm), DDPM).nn_model)
    kind = type(net).__name__
    if type(net) not in _NETWORKS.values():
        raise TypeError(
            f"nn_model must be one of {', '.join(_NETWORKS)} to be rebuilt from a "
            f"file, got {kind}; keep its state_dict() beside the code that makes it"
        )
    if len(kinds := {str(weight.dtype) for weight in net.parameters()}) > 1:
        got, cure = ", ".join(sorted(kinds)), "cast it, as with ddpm.float()"
        _validate.fail("nn_model", "have weights of one dtype", got, cure)
    return {
        "network": kind,
        "arguments": net.config,
        "drop_prob": ddpm.drop_prob,
        "prediction": ddpm.prediction,
    }


def pack(ddpm: DDPM) -> dict[str, Tensor]:
    """Return the tensors of a model: the schedule's tables and the weights.

    Args:
        ddpm: the model.

    Returns:
        Tensors by name, `schedule.…` and `nn_model.…`.
    """
    tables = {f"schedule.{k}": getattr(ddpm, k) for k in ddpm.schedule.tables()}
    weights = _as_made(ddpm.nn_model).state_dict()
    return tables | {f"nn_model.{k}": v for k, v in weights.items()}


def _as_made(module: Any) -> Any:
    """Return the module that torch.compile wrapped, or that it did not."""
    return getattr(module, "_orig_mod", module)


def unpack(
    path: str | Path,
    tensors: dict[str, Tensor],
    header: dict[str, Any],
    device: Device = None,
) -> DDPM:
    """Build the model that `describe` and `pack` took apart.

    Args:
        path: the file that the rest was read from, for the message of an error.
        tensors: what `pack` returned; others are ignored.
        header: what `describe` returned, under "model".
        device: where to put the model; None is the CPU.

    Returns:
        The model, in evaluation mode.

    Raises:
        ValueError: if the parts do not fit together, or there is no such device.
    """
    # the first weights are drawn, only to be replaced
    with fitting(path), torch.random.fork_rng(devices=[]):
        model, weights = header["model"], part(tensors, "nn_model.")
        make, arguments = _NETWORKS[model["network"]], model["arguments"]
        _refuse_larger(weights, arguments)
        kind = next(iter(weights.values())).dtype
        with torch.device("meta"):  # takes no memory: is it the network in the file?
            shapes = make(**arguments).to(kind)
        for name, value in shapes.state_dict().items():
            if name in weights:
                checked(weights, name, value)
        shapes.load_state_dict(weights, assign=True)  # none missing, none too many
        network = make(**arguments).to(kind)
        network.load_state_dict(weights)
        tables = part(tensors, "schedule.")
        like = _validate.floats("betas", tables["betas"]).new_empty(
            max(2, tables["betas"].numel())
        )
        for name in tables:
            checked(tables, name, like)
        ddpm = DDPM(
            network,
            drop_prob=model["drop_prob"],
            schedule=Schedule(**{k: v.float() for k, v in tables.items()}),
            prediction=model["prediction"],
        )
        for name, table in [*ddpm.named_buffers(recurse=False)]:
            setattr(ddpm, name, table.to(like.dtype))
    return ddpm.to(as_device(device or "cpu")).eval()


def _refuse_larger(weights: dict[str, Tensor], arguments: dict[str, Any]) -> None:
    """Refuse a network with a width above twice the weights, or layers above them."""
    held = 2 * sum(weight.numel() for weight in weights.values())
    most = {"n_layers": len(weights), "middle": len(weights)}
    for name, value in arguments.items():
        if isinstance(value, int) and value > most.get(name, held):
            raise ValueError(f"{arguments} ask for more than the weights in the file")


@contextlib.contextmanager
def fitting(path: str | Path) -> Iterator[None]:
    """Say of parts that do not fit together which file they came from.

    Args:
        path: the file.

    Yields:
        Nothing; what is done with the parts goes inside.

    Raises:
        ValueError: if that fails.
    """
    try:
        yield
    except (
        *(ArithmeticError, AttributeError, LookupError, MemoryError),
        *(RuntimeError, TypeError, ValueError),
    ) as error:
        what = " ".join(str(error).split())
        what = what if len(what) < 300 else f"{what[:300]}…"
        raise ValueError(
            f"{path} does not fit this version of minddpm: "
            f"{type(error).__name__}: {what}"
        ) from None


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it.

    Args:
        tensors: tensors by name.
        prefix: such as "nn_model.".

    Returns:
        Those tensors, by the rest of their names.
    """
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def checked(tensors: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    """Return a tensor by its name, once it is known to have a shape and a dtype.

    Args:
        tensors: tensors by name.
        name: its name.
        like: a tensor of that shape and dtype.

    Returns:
        The tensor.

    Raises:
        KeyError: if there is none of that name.
        ValueError: if it has another shape or dtype.
    """
    tensor = tensors[name]
    if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
        raise ValueError(
            f"{name} must be {tuple(like.shape)} {like.dtype}, got "
            f"{tuple(tensor.shape)} {tensor.dtype}"
        )
    return tensor


# --- files ----------------------------------------------------------------------------


def write(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and a header to a file, all or nothing.

    Args:
        path: the file; its folder must exist.
        tensors: tensors by name.
        header: what they are, as JSON.

    Raises:
        OSError: if the file cannot be written; one that was there is still whole.
    """
    from safetensors.torch import save as serialise

    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    text = json.dumps({"version": VERSION, **header}, sort_keys=True)
    metadata = {"minddpm": text, "sha256": _digest(tensors, text)}
    replace(path, serialise(tensors, metadata))


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `write` made, and check that it is whole.

    Args:
        path: the file.

    Returns:
        The tensors by name, on the CPU, and the header.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged, none of ours, or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as file:  # what a system says of a file, it says here
        room = os.fstat(file.fileno()).st_size
    try:
        with safe_open(path, framework="pt") as content:
            metadata = content.metadata()
            text, digest = metadata["minddpm"], metadata["sha256"]
            version = (header := json.loads(text))["version"]
            # copies, for the file may change while they live
            tensors = {k: content.get_tensor(k).clone() for k in content.keys()}  # noqa: SIM118
        whole = _digest(tensors, text) == digest
    except (
        *(ArithmeticError, AttributeError, LookupError, MemoryError),
        *(RecursionError, SafetensorError, TypeError, ValueError),
    ) as error:
        what = "is no file of minddpm's, or is damaged" if room else "is empty"
        raise ValueError(f"{path} {what} ({type(error).__name__}); {_CURE}") from None
    if not whole:
        raise ValueError(f"{path} is damaged: its checksum does not fit; {_CURE}")
    if version not in _READABLE:
        raise ValueError(
            f"{path} has version {version} of the format, and this minddpm "
            f"reads version {VERSION} at most; install the minddpm that wrote it"
        )
    with fitting(path):
        return tensors, _as_today(header)


def _digest(tensors: dict[str, Tensor], text: str) -> str:
    """Return a checksum of the header's text and of all tensors."""
    checksum = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        checksum.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        checksum.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return checksum.hexdigest()
