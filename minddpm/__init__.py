"""minddpm: denoising diffusion, small enough to read in an evening.

The package that the notebooks of the course import. Layers, from the floor up:
`schedule`, `nets`, `data`, `metrics`, `device`; `ddpm`, `oracle`; `samplers`,
`checkpoint`, `history`, `train`. What only the notebooks need (plots, exercise checks,
explorers) is in `minddpm.course`, which `import minddpm` does not load.
"""

from minddpm.app.files import load, save
from minddpm.ddpm import DDPM
from minddpm.nets import MLP, UNet
from minddpm.oracle import ExactDenoiser, GaussianMixture, LossFloor, loss_floor
from minddpm.samplers import Step, ancestral, ddim, sample
from minddpm.schedule import Schedule, ddpm_schedules
from minddpm.device import default_device
from minddpm.train import EMA, History, TrainConfig

__all__ = [
    "DDPM",
    "EMA",
    "ExactDenoiser",
    "GaussianMixture",
    "History",
    "LossFloor",
    "MLP",
    "Schedule",
    "Step",
    "TrainConfig",
    "UNet",
    "ancestral",
    "ddim",
    "ddpm_schedules",
    "default_device",
    "load",
    "loss_floor",
    "sample",
    "save",
]
