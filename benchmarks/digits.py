"""Digits in at most 30 s: train on the real ones, sample, let a classifier read them.

    python benchmarks/digits.py [--seeds 3]

Printed for each seed: seconds of training and sampling, and the share of 1,000 samples
(100 a class, plain conditional, w = 0) that a classifier fitted to real digits reads as
the class that was asked for. Timings are of the machine at hand; compare ratios only.
"""

import argparse
import dataclasses
import time

import torch

from minddpm import data, metrics
from minddpm.ddpm import DDPM
from minddpm.device import default_device
from minddpm.nets import UNet
from minddpm.samplers import ancestral, sample
from minddpm.schedule import Schedule
from minddpm.train import TrainConfig, train

CONFIG = TrainConfig(steps=600, batch_size=96, lr=5e-3)


def run(seed: int, config: TrainConfig) -> tuple[float, float, float]:
    """Return seconds of training, seconds of sampling, and class accuracy."""
    torch.manual_seed(seed)
    device = default_device()
    ddpm = DDPM(UNet(1, 32, 10), device=device, schedule=Schedule.cosine(200))
    history = train(ddpm, data.load("digits"), config, progress=False)
    begin = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    x_T = torch.randn(1000, 1, 8, 8, generator=generator).to(device)
    c = torch.arange(1000, device=device) % 10
    x = sample(ancestral(ddpm, x_T, c, clip_x0=1.0, generator=generator))
    seconds = time.perf_counter() - begin
    accuracy = metrics.class_accuracy((x, c), data.load("digits"))
    return history.seconds, seconds, accuracy


def main() -> None:
    """Print one line a seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=CONFIG.steps)
    arguments = parser.parse_args()
    real = metrics.class_accuracy(data.load("digits", "test"), data.load("digits"))
    print(f"real held-out digits: {real:.3f}; {torch.get_num_threads()} threads")
    for seed in range(arguments.seeds):
        config = dataclasses.replace(CONFIG, steps=arguments.steps, seed=seed)
        trained, sampled, accuracy = run(seed, config)
        print(
            f"seed {seed}: training {trained:.1f} s, 1,000 samples in {sampled:.1f} s, "
            f"accuracy {accuracy:.3f}"
        )


if __name__ == "__main__":
    main()
