"""What `minddpm train` does with each data set, unless it is told otherwise."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minddpm import _validate
from minddpm._validate import Labels
from minddpm.ddpm import DDPM
from minddpm.nets import UNet
from minddpm.schedule import Schedule
from minddpm.train import TrainConfig


@dataclass(frozen=True)
class Preset:
    """What `minddpm train` does with a data set, unless it is told otherwise.

    Attributes:
        network: arguments of `UNet`, but for channels and classes.
        T: steps of the cosine schedule.
        prediction: as in `DDPM`.
        config: how to train.
        time_power: how late times are drawn, as in `processes.batch_loss`.
    """

    network: dict[str, Any]
    T: int
    prediction: str
    config: TrainConfig
    time_power: float = 1.0


_DEEP = {"n_feat": 32, "widths": (1, 3), "middle": 2}
_MUON = TrainConfig(steps=6000, batch_size=32, optimiser="muon", lr=4e-3)

PRESETS = {
    "digits": Preset(
        {"n_feat": 32},
        200,
        "eps",
        TrainConfig(steps=600, batch_size=96, lr=5e-3),
    ),
    # late times are those that `minddpm sample` walks through; the first of these is
    # tuned for three minutes on two cores (benchmarks/README.md); the others are not
    "mnist": Preset(_DEEP, 400, "v", _MUON, time_power=0.5),
    "fashion_mnist": Preset(_DEEP, 400, "v", _MUON, time_power=0.5),
    "cifar10": Preset(
        {"n_feat": 64, "widths": (1, 2, 2)},
        400,
        "v",
        replace(_MUON, steps=20_000, batch_size=64, lr=3e-3),
    ),
}


def source(name: str) -> str:
    """Return what `data.load` calls a data set, or a folder from anywhere.

    Args:
        name: a key of `PRESETS`, or a folder of pictures, relative or with "~".

    Returns:
        The key, or "folder:" and the absolute path.

    Raises:
        ValueError: if it is neither.
    """
    if name in PRESETS:
        return name
    path = Path(os.path.expanduser(name.removeprefix("folder:")))
    if not path.is_dir():
        rule = f"be one of {', '.join(PRESETS)}, or a folder of pictures"
        _validate.fail("data", rule, repr(name))
    return f"folder:{path.absolute()}"


def suited(images: Tensor) -> Preset:
    """Return what to do with pictures of one's own, by their size and number.

    Args:
        images: pictures to learn from, (N, C, H, W).

    Returns:
        The preset of the data set most like them, with fewer steps for few pictures
        (100 looks at each, but 1,000 steps at least), and larger patches for large
        ones, so that the network's finest level has at most 20×20 pixels.
    """
    n, side = len(images), max(images.shape[2:])
    many = images.shape[1] == 3 and n >= 10_000
    name = "digits" if side <= 16 else "cifar10" if many else "mnist"
    preset, patch = PRESETS[name], 2
    while side > 20 * patch:
        patch *= 2
    looks = 100 * n // preset.config.batch_size
    config = replace(preset.config, steps=min(preset.config.steps, max(1000, looks)))
    return replace(preset, network=preset.network | {"patch": patch}, config=config)


def model(
    preset: Preset, images: Tensor, labels: Labels, seed: int, device: torch.device
) -> DDPM:
    """Return an untrained model; the same seed gives the same weights on any device.

    Args:
        preset: what to build.
        images: pictures to learn from, (N, C, H, W): only their shape counts.
        labels: their classes, (N,) int64: only the largest counts; or None.
        seed: seed of the first weights.
        device: where to put it.

    Returns:
        The model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        n_classes = 0 if labels is None else int(labels.max()) + 1
        network = UNet(images.shape[1], n_classes=n_classes, **preset.network)
    return DDPM(
        network,
        device=device,
        schedule=Schedule.cosine(preset.T),
        prediction=preset.prediction,
    )
