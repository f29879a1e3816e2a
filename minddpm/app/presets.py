"""What `minddpm train` does with each data set, unless it is told otherwise."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

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


def model(
    preset: Preset, images: Tensor, labels: Tensor, seed: int, device: torch.device
) -> DDPM:
    """Return an untrained model; the same seed gives the same weights on any device.

    Args:
        preset: what to build.
        images: pictures to learn from, (N, C, H, W): only their shape counts.
        labels: their classes, (N,) int64: only the largest counts.
        seed: seed of the first weights.
        device: where to put it.

    Returns:
        The model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(
            images.shape[1], n_classes=int(labels.max()) + 1, **preset.network
        )
    return DDPM(
        network,
        device=device,
        schedule=Schedule.cosine(preset.T),
        prediction=preset.prediction,
    )
