"""minddpm: denoising diffusion, small enough to read in an evening.

`schedule`, `ddpm` and `samplers` are the mathematics; `oracle` has the exact answers,
`nets`, `data`, `train` and `metrics` what is needed to try it. What the command line
does is in `minddpm.app`, and what only the notebooks need in `minddpm.course`, which
`import minddpm` does not load.
"""

from minddpm import data as data
from minddpm import metrics as metrics
from minddpm.app.files import load, load_checkpoint, save, save_checkpoint
from minddpm.ddpm import DDPM
from minddpm.device import default_device
from minddpm.nets import MLP, UNet
from minddpm.oracle import ExactDenoiser, GaussianMixture, LossFloor, loss_floor
from minddpm.samplers import Step, ancestral, ddim, sample, times
from minddpm.schedule import Schedule, ddpm_schedules
from minddpm.train import EMA, History, TrainConfig

__all__ = [
    "DDPM", "EMA", "ExactDenoiser", "GaussianMixture", "History", "LossFloor", "MLP",
    "Schedule", "Step", "TrainConfig", "UNet", "ancestral", "ddim", "ddpm_schedules",
    "default_device", "load", "load_checkpoint", "loss_floor", "sample", "save",
    "save_checkpoint", "times",
]  # fmt: skip
