"""Kill a training at random moments, resume it, and compare with one left in peace.

    python tests/app/kill_and_resume.py [N] [--data digits] [--steps 600] [--batch 8]

Trains once without a break, then over and over in a process that SIGKILL ends at a
random moment, N times in all, also before there is a checkpoint or while one is being
written. After every kill the files must be whole; every training that gets to its end
must hold the same weights, averages, moments and losses as the first, bit by bit. The
exit status is 0 if all of this is so.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import minddpm
from minddpm.app import files
from minddpm.app.files import load_checkpoint


def start(folder: Path, data: str, steps: int, batch: int) -> subprocess.Popen[bytes]:
    """Begin a training, or go on with the one that has left a state."""
    argv = [sys.executable, "-m", "minddpm", "train", "--data", data]
    argv += ["--out", str(folder), "--device", "cpu", "--save-every", "0.3"]
    if (folder / "state.safetensors").exists():
        argv += ["--resume"]
    else:
        argv += ["--steps", str(steps), "--batch", str(batch)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a training, which must be a good one."""
    out, _ = process.communicate(timeout=600)
    if process.returncode:
        raise SystemExit(f"status {process.returncode}: {out.decode()[-2000:]}")


def look(folder: Path) -> tuple[str, list[str]]:
    """Say what a kill left behind, and what of it cannot be read."""
    says, faults = "nothing", []
    state, model = folder / "state.safetensors", folder / "model.safetensors"
    try:
        if state.exists():
            says = f"step {len(load_checkpoint(state)[1].losses)}"
        if model.exists():
            minddpm.load(folder)
            says += ", model"
    except Exception as error:  # any at all is what this is about
        faults.append(f"{type(error).__name__}: {error}")
    unfinished = [path.name for path in folder.glob(".*.unfinished")]
    return ", ".join([says, *unfinished]), faults


def differences(one: Path, other: Path) -> list[str]:
    """Name every tensor that is not the same in two trainings, bit by bit."""
    found = []
    for name in ("state.safetensors", "model.safetensors"):
        a, b = (files.read(folder / name)[0] for folder in (one, other))
        found += [f"{name}: {key}" for key in a.keys() ^ b.keys()]
        found += [
            f"{name}: {key}" for key in a.keys() & b.keys() if not _same(a[key], b[key])
        ]
    return found


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    bits = [x.contiguous().reshape(-1).view(torch.uint8) for x in (one, other)]
    return one.dtype == other.dtype and torch.equal(*bits)


def kill(
    process: subprocess.Popen[bytes], folder: Path, rng: random.Random, early: bool
) -> str:
    """End a training at a random moment, and say when; "" if it was faster.

    An early kill comes before Python has loaded what it needs, and so before there can
    be a checkpoint. Of the others one in four comes at any moment of the start, and the
    rest within a second and a half of a checkpoint, in which there are several more.
    """
    began, at = time.monotonic(), rng.uniform(0, 1.5)
    if early:
        sign, at = "start", at / 5
    elif rng.random() < 0.25:
        sign, at = "start", 3 * at
    else:
        sign = "checkpoint"
        before = written(folder)
        while written(folder) == before and process.poll() is None:
            time.sleep(0.002)
    try:
        process.wait(at)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        spent = time.monotonic() - began
        return f"{spent:6.2f} s, {at:.2f} s after its {sign}"
    return ""


def written(folder: Path) -> int:
    """Return when the last state was written, 0 if there is none."""
    state = folder / "state.safetensors"
    return state.stat().st_mtime_ns if state.exists() else 0


def kill_and_resume(
    root: Path,
    kills: int,
    *,
    data: str = "digits",
    steps: int = 600,
    batch: int = 8,
    seed: int = 0,
) -> list[str]:
    """Do it all in a folder, print a table, and return what went wrong."""
    finish(start(root / "in peace", data, steps, batch))
    print(f"kill  training  after{'':35}left behind")
    rng, done, faults, training = random.Random(seed), 0, [], 0
    while done < kills:
        training += 1
        folder = root / f"killed {training}"
        process = start(folder, data, steps, batch)
        while done < kills and (when := kill(process, folder, rng, done == 0)):
            done += 1
            left, unreadable = look(folder)
            faults += unreadable
            print(f"{done:4}  {training:8}  {when:40}{left}", flush=True)
            process = start(folder, data, steps, batch)
        finish(process)
        found = differences(root / "in peace", folder)
        faults += [f"training {training}: {name}" for name in found]
        print(f"training {training} is done: {len(found)} differences", flush=True)
    return faults


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", nargs="?", type=int, default=20, metavar="N")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        faults = kill_and_resume(
            Path(root),
            args.kills,
            data=args.data,
            steps=args.steps,
            batch=args.batch,
            seed=args.seed,
        )
    print("\n".join(faults) or f"{args.kills} kills, no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
