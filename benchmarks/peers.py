"""Training and sampling on MNIST beside what one would use instead, in one run.

    python benchmarks/peers.py [--minutes 3] [--n 256] [--only minddpm,diffusers]

Each network trains for the same time on the same cores and then draws samples. Printed,
and as ratios to this package: parameters, images a second in training and in sampling
(one network evaluation each), the Fréchet distance of the samples, and that of as many
real test pictures. Peers are taken as their own MNIST-sized examples make them:

    diffusers   UNet2DModel as in unit 1 of Hugging Face's course: 28×28, 2 layers a
                block, (32, 64, 64) channels, attention below; DDPMScheduler of 1,000
                steps, AdamW, learning rate 1e-3, batches of 128
    lucidrains  denoising-diffusion-pytorch as in its README, dim 64, (1, 2, 4, 8), for
                one channel and 32×32 (its halvings ask for it), batches of 32
    small       smalldiffusion as in its Fashion-MNIST example: 64 channels, (1, 1, 2),
                attention at 14×14, log-linear schedule, batches of 128
    lecture     a plain network of the size of well-known lecture notes, ours: 128
                features at full resolution, time and class multiplied in, 2 halvings
"""

import argparse
import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minddpm import DDPM, Schedule, data, ddim, metrics, sample
from minddpm.evaluate import _classifier, _features
from minddpm.presets import PRESETS, model


@dataclass
class Peer:
    """A network in training.

    Attributes:
        parameters: how many.
        batch: pictures a step.
        step: takes a training step on pictures and labels.
        draw: draws n samples, (n, 1, 28, 28) in [−1, 1], and says how many evaluations
            of the network each of them took.
    """

    parameters: int
    batch: int
    step: Callable[[Tensor, Tensor], None]
    draw: Callable[[int], tuple[Tensor, int]]


def count(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take a gradient step."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


# --- the networks ---------------------------------------------------------------------


def diffusers(seconds: float) -> Peer:
    """Make UNet2DModel with DDPMScheduler."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

    down, plain = ("AttnDownBlock2D", "AttnUpBlock2D"), ("DownBlock2D", "UpBlock2D")
    network = UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(32, 64, 64),
        down_block_types=(plain[0], down[0], down[0]),
        up_block_types=(down[1], down[1], plain[1]),
    )
    noising = DDPMScheduler(num_train_timesteps=1000)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step(x: Tensor, c: Tensor) -> None:
        t, eps = torch.randint(0, 1000, (len(x),)), torch.randn_like(x)
        eps_hat = network(noising.add_noise(x, eps, t), t).sample
        descend(optimiser, F.mse_loss(eps_hat, eps))

    @torch.no_grad()
    def draw(n: int) -> tuple[Tensor, int]:
        walk = DDIMScheduler(num_train_timesteps=1000, timestep_spacing="trailing")
        walk.set_timesteps(50)
        x = torch.randn(n, 1, 28, 28)
        for t in walk.timesteps:
            x = walk.step(network(x, t).sample, t, x).prev_sample
        return x, 50

    return Peer(count(network), 128, step, draw)


def lucidrains(seconds: float) -> Peer:
    """Make denoising-diffusion-pytorch's Unet and GaussianDiffusion."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    network = Unet(dim=64, dim_mults=(1, 2, 4, 8), channels=1)
    model = GaussianDiffusion(
        network, image_size=32, timesteps=1000, sampling_timesteps=50
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=8e-5, betas=(0.9, 0.99))

    def step(x: Tensor, c: Tensor) -> None:
        padded = F.pad((x + 1) / 2, (2, 2, 2, 2))
        descend(optimiser, model(padded))

    def draw(n: int) -> tuple[Tensor, int]:
        return 2 * model.sample(batch_size=n)[:, :, 2:-2, 2:-2] - 1, 50

    return Peer(count(network), 32, step, draw)


def small(seconds: float) -> Peer:
    """Make smalldiffusion's Unet with its log-linear schedule."""
    from smalldiffusion import Scaled, ScheduleLogLinear, Unet, samples
    from smalldiffusion.diffusion import generate_train_sample

    kind = Scaled(Unet)
    network = kind(28, 1, 1, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(14,))
    schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
    optimiser = torch.optim.AdamW(network.parameters(), lr=7e-4)

    def step(x: Tensor, c: Tensor) -> None:
        x0, sigma, eps, _ = generate_train_sample(x, schedule)
        descend(optimiser, kind.get_loss(network, x0, sigma, eps))

    def draw(n: int) -> tuple[Tensor, int]:
        sigmas = schedule.sample_sigmas(50)
        *_, x = samples(network, sigmas, batchsize=n)
        return x, len(sigmas) - 1

    return Peer(count(network), 128, step, draw)


class Lecture(nn.Module):
    """A plain U-Net at full resolution; time and class are multiplied and added in.

    Args:
        n_feat: features at full resolution.
    """

    def __init__(self, n_feat: int = 128) -> None:
        super().__init__()
        self.n_classes, n = 10, n_feat
        self.enter = self._block(1, n)
        self.down1, self.down2 = self._block(n, n), self._block(n, 2 * n)
        self.to_vector = nn.Sequential(nn.AvgPool2d(7), nn.GELU())
        self.time = nn.ModuleList(self._embed(1, k * n) for k in (2, 1))
        self.label = nn.ModuleList(self._embed(10, k * n) for k in (2, 1))
        self.from_vector = nn.Sequential(
            nn.ConvTranspose2d(2 * n, 2 * n, 7, 7), nn.GroupNorm(8, 2 * n), nn.ReLU()
        )
        self.up1 = nn.Sequential(
            nn.ConvTranspose2d(4 * n, n, 2, 2), self._block(n, n), self._block(n, n)
        )
        self.up2 = nn.Sequential(
            nn.ConvTranspose2d(2 * n, n, 2, 2), self._block(n, n), self._block(n, n)
        )
        self.leave = nn.Sequential(
            nn.Conv2d(2 * n, n, 3, 1, 1),
            nn.GroupNorm(8, n),
            nn.ReLU(),
            nn.Conv2d(n, 1, 3, 1, 1),
        )

    @staticmethod
    def _block(n_in: int, n_out: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n in (n_in, n_out):
            conv = nn.Conv2d(n, n_out, 3, 1, 1)
            layers += [conv, nn.BatchNorm2d(n_out), nn.GELU()]
        return nn.Sequential(*layers)

    @staticmethod
    def _embed(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(n_in, n_out), nn.GELU(), nn.Linear(n_out, n_out))

    def forward(self, x: Tensor, c: Tensor, t: Tensor, context_mask: Tensor) -> Tensor:
        """Predict the noise; see the network protocol of `DDPM`."""
        c = F.one_hot(c, 10) * (1 - context_mask[:, None])
        full = self.enter(x)
        half = self.down1(F.max_pool2d(full, 2))
        quarter = self.down2(F.max_pool2d(half, 2))
        h = self.from_vector(self.to_vector(quarter))
        for k, (up, skip) in enumerate(((self.up1, quarter), (self.up2, half))):
            told = self.time[k](t[:, None]), self.label[k](c)
            time_k, label_k = (v[:, :, None, None] for v in told)
            h = up(torch.cat([label_k * h + time_k, skip], dim=1))
        return self.leave(torch.cat([h, full], dim=1))


def lecture(seconds: float) -> Peer:
    """Make the plain network, T = 400, Adam, batches of 256."""
    network = Lecture()
    ddpm = DDPM(network, schedule=Schedule.linear(400))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step(x: Tensor, c: Tensor) -> None:
        descend(optimiser, ddpm(x, c))

    def draw(n: int) -> tuple[Tensor, int]:
        x_T, c = torch.randn(n, 1, 28, 28), torch.arange(n) % 10
        network.eval()
        return sample(ddim(ddpm, x_T, c, steps=50, clip_x0=1.0)), 50

    return Peer(count(network), 256, step, draw)


def minddpm(seconds: float) -> Peer:
    """Make this package's MNIST preset, with all that its training does."""
    from minddpm.history import begin

    preset = PRESETS["mnist"]
    images, labels = data.load("mnist")
    ddpm = model(preset, images, labels, 0, torch.device("cpu"))
    history = begin(ddpm, preset.config, None)
    start = time.monotonic()

    def step(x: Tensor, c: Tensor) -> None:
        spent = min(1.0, (time.monotonic() - start) / seconds)
        warm = min(1.0, (history.ema.updates + 1) / (preset.config.warmup + 1))
        share = warm * 0.5 * (1 + torch.tensor(torch.pi * spent).cos())
        history.optimiser.param_groups[0]["lr"] = preset.config.lr * float(share)
        loss = ddpm(x, c)
        history.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ddpm.parameters(), preset.config.grad_clip)
        history.optimiser.step()
        history.ema.update()

    def draw(n: int) -> tuple[Tensor, int]:
        history.ema.swap()
        ddpm.eval()
        x_T, c = torch.randn(n, 1, 28, 28), torch.arange(n) % 10
        return sample(ddim(ddpm, x_T, c, steps=50, clip_x0=1.0)), 50

    return Peer(count(ddpm), preset.config.batch_size, step, draw)


PEERS = {
    "minddpm": minddpm,
    "diffusers": diffusers,
    "lucidrains": lucidrains,
    "small": small,
    "lecture": lecture,
}


# --- the measurement ------------------------------------------------------------------


def batches(x: Tensor, c: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of one shuffle after another, without end."""
    while True:
        for index in torch.randperm(len(x)).split(size):
            yield x[index], c[index]


def measure(make: Callable[[float], Peer], seconds: float, n: int) -> dict[str, float]:
    """Train, draw and judge."""
    torch.manual_seed(0)
    x, c = data.load("mnist")
    peer = make(seconds)
    supply = batches(x, c, peer.batch)
    peer.step(*next(supply))  # not timed: whatever happens once
    begin, seen = time.monotonic(), 0
    while (trained := time.monotonic() - begin) < seconds:
        peer.step(*next(supply))
        seen += peer.batch
    begin = time.monotonic()
    samples, evaluations = peer.draw(n)
    drawn = time.monotonic() - begin
    device = torch.device("cpu")
    classifier = _classifier("mnist", (x, c), device)
    known = _features(classifier, x, device)
    distance = metrics.frechet_distance(
        _features(classifier, samples.clamp(-1, 1), device), known
    )
    return {
        "parameters": peer.parameters,
        "train": seen / trained,
        "sample": n * evaluations / drawn,
        "distance": distance,
    }


def floor(n: int) -> float:
    """Return the Fréchet distance of n real test pictures, mean of ten draws."""
    device, train = torch.device("cpu"), data.load("mnist")
    classifier = _classifier("mnist", train, device)
    known = _features(classifier, train[0], device)
    test = _features(classifier, data.load("mnist", "test")[0], device)
    draws = [test[torch.randperm(len(test))[:n]] for _ in range(10)]
    return sum(metrics.frechet_distance(draw, known) for draw in draws) / len(draws)


def main() -> None:
    """Print a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PEERS)
    )
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(f"{arguments.minutes:g} minutes each, {torch.get_num_threads()} threads")
    head = f"{'':11} {'parameters':>11} {'training':>9} {'sampling':>9} {'Fréchet':>8}"
    print(f"{head}   training, ours / theirs\n{'':23} {'images/s':>9} {'calls/s':>9}")
    ours = None
    for name in arguments.only:
        with contextlib.redirect_stderr(io.StringIO()):  # their progress bars
            row = measure(PEERS[name], 60 * arguments.minutes, arguments.n)
        ours = ours or row["train"]
        print(
            f"{name:11} {row['parameters']:11,.0f} {row['train']:9.1f} "
            f"{row['sample']:9.1f} {row['distance']:8.2f} {ours / row['train']:9.1f}",
            flush=True,
        )
    print(f"{'real':11} {'':31} {floor(arguments.n):8.2f}")


if __name__ == "__main__":
    main()
