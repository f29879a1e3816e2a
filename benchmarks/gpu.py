"""All that a GPU can tell of this package, in one command of at most 8 minutes.

    python benchmarks/gpu.py [--device cuda] [--seconds 480] [--only parity waits …]

PyTorch is enough to start it: what else is missing is installed by pip, from
`build/wheels` if that is there, else from the network, and never another PyTorch.
MNIST is taken from $MINDDPM_DATA; where it is not, the digits of scikit-learn stand in.
Each part prints what it measured and how long it took; one that fails is told of at
the end, in the exit status too, and one for which no time is left is named.

    parity      loss, gradient, samples and exact answers: the GPU's beside the CPU's
    waits       how often a step of training has to wait for the GPU
    training    the preset in as many steps as the CPU takes in three minutes; samples,
                judged
    speed       images/s of training: float32 and bfloat16, compiled and not
    tests       those that ask for CUDA
    notebooks   00 and 05, run by nbval on the GPU

`--device cpu --quick` rehearses without a GPU, with numbers that mean nothing; kernels
are compiled on a GPU only.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT / "build" / "wheels"
# by the name that is imported
NEEDED = {"numpy": "numpy", "safetensors": "safetensors", "filelock": "filelock"}
NEEDED |= {"PIL": "pillow", "psutil": "psutil", "tqdm": "tqdm"}
USEFUL = {"sklearn": "scikit-learn", "torchvision": "torchvision"}
FOR_TESTS = {"pytest": "pytest", "nbval": "nbval", "hypothesis": "hypothesis"}
FOR_TESTS |= {"matplotlib": "matplotlib", "ipywidgets": "ipywidgets"}

CPU_STEPS = 5056  # what two cores with AVX-512 take in three minutes (README)


def missing(packages: dict[str, str]) -> list[str]:
    """Return the distributions that are not there."""
    return [d for m, d in packages.items() if importlib.util.find_spec(m) is None]


def install(packages: dict[str, str]) -> None:
    """Have pip install what is missing, beside the PyTorch that is there."""
    if not (names := missing(packages)):
        return
    source = ["--no-index", "--find-links", str(WHEELS)] if WHEELS.is_dir() else []
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text(f"torch=={torch.__version__}\n")
        pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(pins)]
        wait = ["--retries", "0", "--timeout", "5"]
        done = subprocess.run([*pip, *wait, *source, *names], check=False)
    importlib.invalidate_caches()
    if done.returncode:
        print(f"not there, and not to be had: {', '.join(missing(packages))}")


class Bench:
    """The device, the time that is left, and what has failed.

    Args:
        args: of the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.device = torch.device(args.device)
        self.quick = args.quick
        self.end = time.monotonic() + args.seconds
        self.failed: list[str] = []

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def part(self, work: Callable[["Bench"], None], least: float) -> None:
        """Do a part, if at least so many seconds are left; print how long it took."""
        name, start = work.__name__, time.monotonic()
        print(f"\n== {name}", flush=True)
        if self.left < least and not self.quick:
            print(f"left out: {self.left:.0f} s are left, it takes about {least:.0f}")
            return
        try:
            work(self)
        except Exception:  # the parts after it still have something to tell
            traceback.print_exc()
            self.failed.append(name)
        print(f"({name}: {time.monotonic() - start:.1f} s)", flush=True)

    def wait(self) -> None:
        """Wait for the GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def run(self, *command: str) -> None:
        """Run a Python module on the device, within the time that is left."""
        subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=os.environ | {"MINDDPM_DEVICE": str(self.device)},
            check=True,
            timeout=None if self.quick else max(self.left, 1),
        )


def pictures() -> tuple[str, Any, Any]:
    """Return the name of the data set, its pictures and its labels."""
    from minddpm import data

    for place in (os.environ.get("MINDDPM_DATA"), ROOT.parent / "shared" / "mnist"):
        if place and (Path(place) / "MNIST").is_dir() and not missing(USEFUL):
            os.environ["MINDDPM_DATA"] = str(place)
            return "mnist", *data.load("mnist", download=False)
    print("no MNIST in $MINDDPM_DATA: the digits of scikit-learn stand in")
    return "digits", *data.load("digits")


def begin(bench: Bench, images: Any, labels: Any, batch: int | None = None) -> Any:
    """Return the history of a new training by the preset of MNIST."""
    from dataclasses import replace

    from minddpm.app.presets import PRESETS, model
    from minddpm.train import History

    preset = PRESETS["mnist"]
    config = replace(preset.config, batch_size=batch or preset.config.batch_size)
    return History(model(preset, images, labels, 0, bench.device), config)


def parity(bench: Bench) -> None:
    """Compare what the device computes with what the CPU does, in float32."""
    import minddpm
    from minddpm import ExactDenoiser, ancestral, ddim, sample
    from minddpm.ddpm import DDPM

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def draws() -> torch.Generator:
        return torch.Generator().manual_seed(0)  # on the CPU, for both

    x0 = torch.rand(32, 1, 28, 28, generator=draws()) * 2 - 1
    eps = torch.randn(32, 1, 28, 28, generator=draws())
    c, t = torch.arange(32) % 10, torch.arange(32) * 12 + 1
    mask = (torch.arange(32) % 3 == 0).float()

    def answers(device: torch.device) -> dict[str, Any]:
        ddpm = minddpm.load("mnist", device=device)
        on = [v.to(device) for v in (x0, t, c, eps, mask)]
        losses = ddpm.losses(*on[:3], eps=on[3], context_mask=on[4])
        losses.mean().backward()
        grads = [p.grad.flatten() for p in ddpm.parameters() if p.grad is not None]
        x_T = eps.to(device)
        exact = DDPM(ExactDenoiser(x0, ddpm.schedule, c), schedule=ddpm.schedule)
        walks = {
            "ancestral, 40 of T steps": ddim(
                ddpm, x_T, on[2], steps=40, eta=1.0, clip_x0=1.0, generator=draws()
            ),
            "ddim, 10 steps, w = 1": ddim(ddpm, x_T, on[2], steps=10, w=1.0),
            "exact denoiser, all steps": ancestral(
                exact.to(device), x_T, on[2], generator=draws()
            ),
        }
        found = {"losses": losses, "gradient": torch.cat(grads)}
        found |= {name: sample(walk) for name, walk in walks.items()}
        return {name: value.detach().cpu() for name, value in found.items()}

    expected, got = answers(torch.device("cpu")), answers(bench.device)
    worst = {}
    for name, value in expected.items():
        worst[name] = float((got[name] - value).abs().max() / value.abs().max())
        print(f"{name:28} differs by at most {worst[name]:.1e} of the largest value")
    if wrong := [name for name, value in worst.items() if not value < 1e-3]:
        raise AssertionError(f"too far from the CPU: {', '.join(wrong)}")


def waits(bench: Bench) -> None:
    """Count the waits for the device in 40 steps of training, between two looks."""
    from minddpm.app.processes import batch_loss
    from minddpm.train import gradient_steps

    if bench.device.type != "cuda":
        print("a CPU has none")
        return
    _, images, labels = pictures()
    history = begin(bench, images, labels)
    loss_of = batch_loss(history.ddpm, history.generator, time_power=0.5, bf16=True)
    x0, c = images.to(bench.device), labels.to(bench.device)
    steps = gradient_steps(x0, c, history, loss_of, lambda: 0.0)
    for _ in range(5):  # the first ones may
        next(steps)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(40):
                next(steps)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    told = [str(w.message) for w in caught if "synchroniz" in str(w.message)]
    print(f"{len(told) / 40:g} waits a step, {history.step} steps")
    if told:
        raise AssertionError(f"{len(told)} waits in 40 steps, the first: {told[0]}")


def training(bench: Bench) -> None:
    """Train, sample and evaluate by the command line's own functions."""
    from minddpm.__main__ import main

    name, _, _ = pictures()
    steps, n = (20, 100) if bench.quick else (CPU_STEPS, 1000)
    where = ["--device", str(bench.device)]
    with tempfile.TemporaryDirectory() as folder:
        run, samples = f"{folder}/run", f"{folder}/samples.npz"
        for command in (
            ["train", "--data", name, "--steps", str(steps), "--out", run],
            ["sample", "--weights", run, "--n", str(n), "--out", samples],
            ["evaluate", samples, "--data", name],
        ):
            start = time.monotonic()
            if main([*command, *where]):
                raise RuntimeError(f"minddpm {' '.join(command)} failed")
            print(f"{command[0]}: {time.monotonic() - start:.1f} s", flush=True)


def speed(bench: Bench) -> None:
    """Print the images/s of training, for two sizes of a batch."""
    from minddpm.app.processes import batch_loss, has_bf16
    from minddpm.train import gradient_steps

    _, images, labels = pictures()
    x0, c = images.to(bench.device), labels.to(bench.device)
    numbers = (False, True) if has_bf16(bench.device) else (False,)
    print("| batch | numbers | compiled | images/s | ms a step | ready after, s |")
    print("|---:|---|---|---:|---:|---:|")
    batches = (32,) if bench.quick else (32, 1024)
    for compiled in (False, True)[: 1 + (bench.device.type == "cuda")]:
        for batch in batches:
            for bf16 in numbers:
                if compiled and bench.left < 60:
                    print(f"| {batch} | … | yes | left out: no time | | |")
                    continue
                history = begin(bench, images, labels, batch)
                loss_of = batch_loss(
                    history.ddpm, history.generator, bf16=bf16, compiled=compiled
                )
                steps = gradient_steps(x0, c, history, loss_of, lambda: 0.0)
                start = time.monotonic()
                for _ in range(3):
                    next(steps)
                bench.wait()
                ready, begun = time.monotonic() - start, time.monotonic()
                count, most = 0, 0.3 if bench.quick else 3.0
                while time.monotonic() - begun < most:
                    next(steps)
                    count += 1
                bench.wait()
                each = (time.monotonic() - begun) / count
                print(
                    f"| {batch} | {'bfloat16' if bf16 else 'float32'} "
                    f"| {'yes' if compiled else 'no'} | {batch / each:,.0f} "
                    f"| {1000 * each:.2f} | {ready:.1f} |",
                    flush=True,
                )


def tests(bench: Bench) -> None:
    """Run the tests that ask for CUDA."""
    if gone := missing(FOR_TESTS):
        print(f"left out: {', '.join(gone)} not there")
        return
    bench.run("pytest", "-q", "-rs", "-k", "cuda", "tests/core", "tests/app")


def notebooks(bench: Bench) -> None:
    """Run two notebooks on the device."""
    if gone := missing(FOR_TESTS):
        print(f"left out: {', '.join(gone)} not there")
        return
    names = ["00_start_here"] if bench.quick else ["00_start_here", "05_training"]
    bench.run("pytest", "-q", *[f"notebooks/{name}.ipynb" for name in names])


# What is done, and the seconds that it takes about.
PARTS = {
    work.__name__: (work, seconds)
    for work, seconds in (
        (parity, 20),
        (waits, 20),
        (training, 120),
        (speed, 60),
        (tests, 30),
        (notebooks, 60),
    )
}


def main() -> int:
    """Do all parts; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=480, help="in all (480)")
    parser.add_argument("--quick", action="store_true", help="a rehearsal")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    bench = Bench(args := parser.parse_args())
    for packages in (NEEDED, USEFUL, FOR_TESTS):
        install(packages)
    if gone := missing(NEEDED):
        print(f"cannot start without {', '.join(gone)}; put their wheels into {WHEELS}")
        return 1
    sys.path.insert(0, str(ROOT))  # whether or not minddpm is installed
    if bench.device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU; rehearse by --device cpu")
    name = args.device
    if bench.device.type == "cuda":
        name = torch.cuda.get_device_name(bench.device)
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"{name}, PyTorch {torch.__version__}, Python {version}")
    for part in args.only:
        bench.part(*PARTS[part])
    print(f"\nfailed: {', '.join(bench.failed)}" if bench.failed else "\nall went well")
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
