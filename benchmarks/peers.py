"""Training and sampling on MNIST beside what one would use instead, in one run.

    python benchmarks/peers.py [--minutes 3] [--n 256] [--only minddpm,diffusers]

Each network trains for the same time on the same cores, then draws n samples with 50
evaluations of the network for each. They are clamped to [−1, 1] and judged alike: the
Fréchet distance of their features to those of the training set, the features being one
classifier's for all, beside the same of n real test pictures. Where a network knows the
classes, the share that the classifier reads as asked for is printed too; all samples
are drawn without guidance. Drawing a given class is the easier task and the better
behaved mixture of classes, so compare distances within each kind first.

Each peer is used as its own example of this size uses it; what differs is said here:

    diffusers   unit 2 of Hugging Face's course (class-conditioned MNIST): UNet2DModel,
                28×28, 2 layers a block, (32, 64, 64) channels, attention below, class
                embedding of 4 channels beside the picture; DDPMScheduler of 1,000
                steps, squaredcos_cap_v2; Adam, 1e-3, batches of 128. It draws by the
                same scheduler, trailing, as 1,000 evaluations would take too long.
    lucidrains  denoising-diffusion-pytorch, README and `Trainer`: dim 64, batches of
                32, Adam, 8e-5, gradients clipped at 1, average of 0.995 every 10 steps,
                1,000 steps, DDIM. Its README has no example of this size: one channel,
                28×28 and two halvings, (1, 2, 4), are ours.
    small       smalldiffusion, examples/fashion_mnist_unet.py: Scaled(Unet), 64
                channels, (1, 1, 2), attention at 14×14, ScheduleLogLinear from 0.01 to
                20, AdamW, 7e-4, average of 0.999, gam 1.6. It has batches of 1,024 for
                300 epochs on a GPU; here they have 128, or it would hardly move.
    lecture     a plain network of the size of well-known lecture notes, ours: 128
                features at full resolution, time and class multiplied in, 2 halvings,
                T = 400, Adam, 1e-4, batches of 256

Peers compute in float32, as their examples do on a CPU. This package's preset takes
bfloat16 where the CPU has units for it; `--autocast` gives that to the peers too.
"""

import argparse
import contextlib
import datetime
import io
import logging
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minddpm import data, metrics
from minddpm.app import drawing, presets
from minddpm.app.evaluation import _accuracy, _classifier, _features
from minddpm.app.processes import batch_loss, has_bf16
from minddpm.ddpm import DDPM
from minddpm.samplers import sample
from minddpm.schedule import Schedule
from minddpm.train import EMA, History, train

CPU = torch.device("cpu")
EVALUATIONS = 50  # of the network, for each sample
Batches = Iterator[tuple[Tensor, Tensor]]
Fit = Callable[[float], float]


@dataclass
class Peer:
    """A network to train.

    Attributes:
        network: what is trained.
        fit: trains for so many seconds; returns pictures a second.
        draw: draws samples, (n, 1, 28, 28), for (n,) labels that it may ignore.
        classes: whether it does not.
    """

    network: nn.Module
    fit: Fit
    draw: Callable[[Tensor], Tensor]
    classes: bool


def loop(
    batch: int, step: Callable[[Tensor, Tensor], None]
) -> Callable[[float], float]:
    """Return a `fit` that takes steps on shuffled batches till the time is up."""

    def batches() -> Batches:
        x, c = data.load("mnist")
        while True:
            for index in torch.randperm(len(x)).split(batch):
                yield x[index], c[index]

    def fit(seconds: float) -> float:
        supply, seen = batches(), 0
        step(*next(supply))  # not timed: whatever happens once
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            x, c = next(supply)
            step(x, c)
            seen += len(x)
        return seen / (time.monotonic() - begin)

    return fit


def descend(
    optimiser: torch.optim.Optimizer, loss: Tensor, clip: float | None = None
) -> None:
    """Take a gradient step."""
    optimiser.zero_grad()
    loss.backward()
    if clip is not None:
        for group in optimiser.param_groups:
            nn.utils.clip_grad_norm_(group["params"], clip)
    optimiser.step()


# --- the networks ---------------------------------------------------------------------


class ClassConditioned(nn.Module):
    """UNet2DModel with an embedding of the class in channels beside the picture."""

    def __init__(self) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        plain, attends = "DownBlock2D", "AttnDownBlock2D"
        self.label = nn.Embedding(10, 4)
        self.unet = UNet2DModel(
            sample_size=28,
            in_channels=5,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=(32, 64, 64),
            down_block_types=(plain, attends, attends),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """Predict the noise."""
        told = self.label(c)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return self.unet(torch.cat([x, told], dim=1), t).sample


def diffusers() -> Peer:
    """Make UNet2DModel with DDPMScheduler."""
    from diffusers import DDPMScheduler

    network, kind = ClassConditioned(), "squaredcos_cap_v2"
    noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule=kind)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(x: Tensor, c: Tensor) -> None:
        t, eps = torch.randint(0, 1000, (len(x),)), torch.randn_like(x)
        eps_hat = network(noising.add_noise(x, eps, t), t, c)
        descend(optimiser, F.mse_loss(eps_hat, eps))

    def draw(c: Tensor) -> Tensor:
        walk = DDPMScheduler(1000, beta_schedule=kind, timestep_spacing="trailing")
        walk.set_timesteps(EVALUATIONS)
        x = torch.randn(len(c), 1, 28, 28)
        for t in walk.timesteps:
            x = walk.step(network(x, t, c), t, x).prev_sample
        return x

    return Peer(network, loop(128, step), draw, True)


def lucidrains() -> Peer:
    """Make denoising-diffusion-pytorch's Unet and GaussianDiffusion."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA as Average

    model = GaussianDiffusion(
        Unet(dim=64, dim_mults=(1, 2, 4), channels=1),
        image_size=28,
        timesteps=1000,
        sampling_timesteps=EVALUATIONS,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=8e-5, betas=(0.9, 0.99))
    average = Average(model, beta=0.995, update_every=10)

    def step(x: Tensor, c: Tensor) -> None:
        descend(optimiser, model((x + 1) / 2), clip=1.0)  # it takes [0, 1]
        average.update()

    def draw(c: Tensor) -> Tensor:
        return 2 * average.ema_model.sample(batch_size=len(c)) - 1

    return Peer(model, loop(32, step), draw, False)


def small() -> Peer:
    """Make smalldiffusion's Unet with its log-linear schedule."""
    from smalldiffusion import Scaled, ScheduleLogLinear, Unet, samples
    from smalldiffusion.diffusion import generate_train_sample

    kind = Scaled(Unet)
    network = kind(28, 1, 1, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(14,))
    schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
    optimiser = torch.optim.AdamW(network.parameters(), lr=7e-4)
    average = EMA(network, 0.999)  # with the warm-up of torch_ema, which it takes

    def step(x: Tensor, c: Tensor) -> None:
        x0, sigma, eps, _ = generate_train_sample(x, schedule)
        descend(optimiser, kind.get_loss(network, x0, sigma, eps))
        average.update()

    def draw(c: Tensor) -> Tensor:
        average.swap()
        sigmas = schedule.sample_sigmas(EVALUATIONS)
        *_, x = samples(network, sigmas, gam=1.6, batchsize=len(c))
        return x

    return Peer(network, loop(128, step), draw, False)


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


def lecture() -> Peer:
    """Make the plain network."""
    network = Lecture()
    ddpm = DDPM(network, schedule=Schedule.linear(400))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step(x: Tensor, c: Tensor) -> None:
        descend(optimiser, ddpm(x, c))

    return Peer(ddpm, loop(256, step), lambda c: drawn_by(ddpm, c), True)


def minddpm() -> Peer:
    """Make this package's MNIST preset, trained as `minddpm train` does."""
    preset, samples = presets.PRESETS["mnist"], data.load("mnist")
    ddpm = presets.model(preset, *samples, 0, CPU)

    def fit(seconds: float) -> float:
        config = replace(preset.config, steps=10**6, max_seconds=seconds)
        history = History(ddpm, config)
        options = {"time_power": preset.time_power, "bf16": has_bf16(CPU)}
        loss_of = batch_loss(ddpm, history.generator, **options)
        train(ddpm, samples, progress=False, resume=history, loss_of=loss_of)
        return history.step * config.batch_size / history.seconds

    return Peer(ddpm, fit, lambda c: drawn_by(ddpm, c), True)


def drawn_by(ddpm: DDPM, c: Tensor) -> Tensor:
    """Draw as `minddpm sample` does."""
    x_T = torch.randn(len(c), 1, 28, 28)
    return sample(drawing.walk(ddpm.eval(), x_T, c, steps=EVALUATIONS))


PEERS = {  # and the package that is installed for it
    "minddpm": (minddpm, "minddpm"),
    "diffusers": (diffusers, "diffusers"),
    "lucidrains": (lucidrains, "denoising-diffusion-pytorch"),
    "small": (small, "smalldiffusion"),
    "lecture": (lecture, None),
}


# --- the measurement ------------------------------------------------------------------


class Judge:
    """One classifier, what it makes of the training set, and of real test pictures."""

    def __init__(self, n: int) -> None:
        samples, (test, _) = data.load("mnist"), data.load("mnist", "test")
        self.classifier = _classifier("mnist", samples, CPU)
        self.known = _features(self.classifier, samples[0], CPU)
        held_out = _features(self.classifier, test, CPU)
        draws = [held_out[torch.randperm(len(test))[:n]] for _ in range(10)]
        floors = [metrics.frechet_distance(draw, self.known) for draw in draws]
        self.floor = sum(floors) / len(floors)

    def distance(self, x: Tensor) -> float:
        """Return the Fréchet distance of samples to the training set."""
        own = _features(self.classifier, x.clamp(-1, 1), CPU)
        return metrics.frechet_distance(own, self.known)

    def accuracy(self, x: Tensor, c: Tensor) -> float:
        """Return the share of samples that is read as the class asked for."""
        return _accuracy(self.classifier, x.clamp(-1, 1), c, CPU)


def measure(
    make: Callable[[], Peer], seconds: float, n: int, judge: Judge, autocast: bool
) -> dict[str, float]:
    """Train, draw and judge."""
    torch.manual_seed(0)
    peer, c = make(), torch.arange(n) % 10
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        speed = peer.fit(seconds)
        peer.network.eval()
        begin = time.monotonic()
        with torch.no_grad():
            x = peer.draw(c).float()
        drawn = time.monotonic() - begin
    return {
        "parameters": sum(p.numel() for p in peer.network.parameters()),
        "train": speed,
        "sample": n / drawn,
        "distance": judge.distance(x),
        "accuracy": judge.accuracy(x, c) if peer.classes else float("nan"),
    }


def processor() -> str:
    """Return the name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(PEERS)
    )
    parser.add_argument("--autocast", action="store_true")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.only if name not in PEERS]:
        parser.error(f"--only knows {', '.join(PEERS)}; got {', '.join(unknown)}")
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    own = "bfloat16" if has_bf16(CPU) else "float32"
    theirs = "bfloat16 by autocast" if arguments.autocast else "float32"
    print(
        f"{datetime.date.today()}, {processor()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}. "
        f"{arguments.minutes:g} minutes of training each, {arguments.n} samples, "
        f"{EVALUATIONS} evaluations a sample; minddpm in {own}, the others in {theirs}."
        "\n\n| network | parameters | training, images/s | minddpm / it "
        "| samples/s | minddpm / it | Fréchet distance | it / minddpm | read as asked |"
        f"\n|---|{'---:|' * 8}",
        flush=True,
    )
    torch.manual_seed(0)
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        judge = Judge(arguments.n)
    ours: dict[str, float] | None = None
    for name in arguments.only:
        make, package = PEERS[name]
        with contextlib.redirect_stderr(io.StringIO()):
            autocast = arguments.autocast and name != "minddpm"
            row = measure(make, 60 * arguments.minutes, arguments.n, judge, autocast)
        ours = row if name == "minddpm" else ours
        version = f" {metadata.version(package)}" if package else ""
        cells = [f"{name}{version}", f"{row['parameters']:,.0f}"]
        for key in ("train", "sample"):
            cells.append(f"{row[key]:.1f}")
            cells.append(f"{ours[key] / row[key]:.1f} ×" if ours else "")
        cells.append(f"{row['distance']:.2f}")
        cells.append(f"{row['distance'] / ours['distance']:.1f} ×" if ours else "")
        known = row["accuracy"] == row["accuracy"]
        cells.append(f"{row['accuracy']:.3f}" if known else "knows no classes")
        print(f"| {' | '.join(cells)} |", flush=True)
    print(f"| real test pictures {'| ' * 5}| {judge.floor:.2f} | | |")


if __name__ == "__main__":
    main()
